"""Each page with code as a notebook, to be downloaded: it is made of the same source."""

from __future__ import annotations

from pathlib import Path

import jupytext
from sphinx.application import Sphinx


def write(app: Sphinx, error: Exception | None) -> None:
    """Put the notebooks below `notebooks/` in the site."""
    if error is not None or app.builder.name != "html":
        return
    source, out = Path(app.srcdir), Path(app.outdir) / "notebooks"
    for path in [*source.glob("steps/*.py"), *source.glob("lecture/*.py")]:
        notebook = jupytext.read(path, fmt="py:percent")
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        to = (out / path.relative_to(source)).with_suffix(".ipynb")
        to.parent.mkdir(parents=True, exist_ok=True)
        jupytext.write(notebook, to, fmt="ipynb")


def setup(app: Sphinx) -> dict[str, bool]:
    """As Sphinx wants it."""
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
