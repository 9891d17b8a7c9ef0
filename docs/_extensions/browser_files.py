"""What the pages need to run minigrad in the browser: the package, and where Pyodide is.

With it go Jinja2 and MarkupSafe, which draw its pages; without their compiled parts.

The published pages load Pyodide from its own distribution. With the environment variable
`MINIGRAD_PYODIDE`, a folder with `pyodide.mjs` and the wheel of NumPy, they load a copy of that.
"""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import jinja2
import markupsafe
from sphinx.application import Sphinx

ROOT = Path(__file__).parents[2]
PYODIDE = "https://cdn.jsdelivr.net/pyodide/v0.27.7/full/"


def packed() -> Iterator[tuple[Path, Path]]:
    """The files of the packages, and where they are in the archive."""
    for folder in (
        ROOT / "minigrad",
        Path(jinja2.__file__).parent,
        Path(markupsafe.__file__).parent,
    ):
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.suffix not in (".pyc", ".so", ".pyd"):
                yield path, path.relative_to(folder.parent)


def write(app: Sphinx, error: Exception | None) -> None:
    """Put the files beside the scripts of the pages."""
    if error is not None or app.builder.name != "html":
        return
    folder = Path(app.outdir) / "_static" / "browser"
    with zipfile.ZipFile(folder / "minigrad.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path, name in packed():
            archive.write(path, name)
    where = PYODIDE
    if own := os.environ.get("MINIGRAD_PYODIDE"):
        shutil.copytree(own, folder / "pyodide", dirs_exist_ok=True)
        where = "./pyodide/"
    (folder / "where.js").write_text(
        f"export const PYODIDE = new URL({where!r}, import.meta.url).href;\n", "utf-8"
    )


def setup(app: Sphinx) -> dict[str, bool]:
    """As Sphinx wants it."""
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
