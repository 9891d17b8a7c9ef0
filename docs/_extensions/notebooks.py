"""Each page with code as a notebook, made of the same source: to be downloaded, or run in Colab.

The site is public where GITHUB_REPOSITORY says so, which GitHub sets in workflows; the one of the
tests pushes it to the branch gh-pages. Elsewhere nobody knows an address, and so there is no link
to Colab or to the source.
"""

from __future__ import annotations

import base64
import os
import posixpath
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jupytext
import nbformat
from sphinx.application import Sphinx

EXTRAS = "minigrad-rnn[testing,viz]"


class Repository(NamedTuple):
    """Where the code and the site are."""

    owner: str
    name: str
    commit: str

    @property
    def code(self) -> str:
        """The address of the code."""
        return f"https://github.com/{self.owner}/{self.name}"

    @property
    def site(self) -> str:
        """The address of the site, with a slash at its end."""
        host = f"{self.owner.lower()}.github.io"
        return f"https://{host}/" if self.name.lower() == host else f"https://{host}/{self.name}/"

    def colab(self, page: str) -> str:
        """Where the notebook of a page opens in Colab."""
        where = f"{self.owner}/{self.name}/blob/gh-pages/{notebook_of(page)}"
        return f"https://colab.research.google.com/github/{where}"

    def source(self, file: str) -> str:
        """Where the source of a page is shown: `file` is its path within docs/."""
        return f"{self.code}/blob/{self.commit}/docs/{file}"


def repository(environ: Mapping[str, str]) -> Repository | None:
    """What the environment of a workflow says; None elsewhere.

    Raises
    ------
    ValueError
        if GITHUB_REPOSITORY is not ``OWNER/NAME``.
    """
    told = environ.get("GITHUB_REPOSITORY")
    if not told:
        return None
    if not (found := re.fullmatch(r"([\w-]+)/([\w.-]+)", told)):
        raise ValueError(f"GITHUB_REPOSITORY must be OWNER/NAME, not {told!r}")
    return Repository(found[1], found[2], environ.get("GITHUB_SHA") or "main")


def notebook_of(page: str) -> str:
    """Where the notebook of a page is in the site."""
    return f"notebooks/{page}.ipynb"


@cache
def pages(docs: Path) -> dict[str, Path]:
    """The pages that are notebooks too, and their sources."""
    marked = [path for path in docs.glob("*.md") if "```{code-cell}" in path.read_text("utf-8")]
    found = [*docs.glob("steps/*.py"), *docs.glob("lecture/*.py"), *marked]
    named = {path.relative_to(docs).with_suffix("").as_posix(): path for path in sorted(found)}
    named.pop("in_the_browser", None)  # it is a program of its own
    return named


# ---------------------------------------------------------------------- what a notebook is


def notebook(docs: Path, page: str, public: Repository | None) -> Any:
    """The notebook of a page: it stands alone, with its pictures, and links to the site if any."""
    path = pages(docs)[page]
    text = path.read_text("utf-8")
    if path.suffix == ".md":
        text = text.split("---\n", 2)[2]  # without the settings at its head
    made = jupytext.reads(text, fmt="py:percent" if path.suffix == ".py" else "md:myst")
    made.metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "language_info": {"name": "python"},
    }
    for cell in made.cells:
        if cell.cell_type == "markdown":
            cell.source = standing_alone(cell.source, path, docs, public)
    code = "\n".join(cell.source for cell in made.cells if cell.cell_type == "code")
    if re.search(r"^(import|from) minigrad\b", code, re.M):
        made.cells.insert(1, nbformat.v4.new_code_cell(installing(public)))
    for i, cell in enumerate(made.cells):
        cell.id = f"cell-{i}"  # the same in each build
    return made


def installing(public: Repository | None) -> str:
    """The cell that installs minigrad where it is missing."""
    head = "try:\n    import minigrad\nexcept ModuleNotFoundError"
    if public is None:
        told = "minigrad-rnn is not on the package index yet; in a checkout of it: pip install"
        return f"""{head}:\n    raise ModuleNotFoundError('{told} ".[testing,viz]"') from None"""
    at = f"{EXTRAS} @ git+{public.code}@{public.commit}"
    return (
        f'{head}:  # minigrad-rnn is not on the package index yet\n    %pip install --quiet "{at}"'
    )


def standing_alone(text: str, path: Path, docs: Path, public: Repository | None) -> str:
    """A text of the page at `path` in the Markdown that notebooks know."""
    text = re.sub(
        r"^:::\{admonition\} (.*)\n:collapsible: closed\n(.*?)^:::$",
        r"<details><summary>\1</summary>\n\2\n</details>",
        text,
        flags=re.M | re.S,
    )

    def pictured(found: re.Match[str]) -> str:
        data = base64.b64encode((path.parent / found[2]).read_bytes()).decode()
        return f"![{found[1]}](data:image/png;base64,{data})"

    def linked(found: re.Match[str]) -> str:
        target, _, place = found[2].partition("#")
        if public is None:
            return found[1]
        where = Path(os.path.normpath(path.parent / target)) if target else path
        if where.is_relative_to(docs):
            to = where.relative_to(docs).with_suffix(".html").as_posix()
        else:  # a file of the code
            to = f"source/{where.relative_to(docs.parent).as_posix()}.html"
        return f"[{found[1]}]({public.site}{to}{'#' + place if place else ''})"

    parts = re.split(r"(^```.*?^```$)", text, flags=re.M | re.S)
    for i in range(0, len(parts), 2):  # what is not code
        parts[i] = re.sub(r"!\[([^]]*)\]\(([^):]+\.png)\)", pictured, parts[i])
        parts[i] = re.sub(r"(?<!!)\[([^]]+)\]\(([^):]+)\)", linked, parts[i])
    return "".join(parts)


# ---------------------------------------------------------------------- in the site


def write(app: Sphinx, error: Exception | None) -> None:
    """Put the notebooks into the site; the Korean pages have the same."""
    if error is not None or app.builder.name != "html" or app.config.language == "ko":
        return
    docs, public = Path(app.srcdir), repository(os.environ)
    for page in pages(docs):
        to = Path(app.outdir) / notebook_of(page)
        to.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook(docs, page, public), to)


def add_links(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Tell the template of a page where its notebook, Colab and its source are."""
    docs, public = Path(app.srcdir), repository(os.environ)
    if page in pages(docs):
        above = "../" * (page.count("/") + (app.config.language == "ko"))
        context["notebook"] = above + notebook_of(page)
        context["colab"] = public and public.colab(page)
    if public and page in app.env.found_docs and posixpath.dirname(page) != "reference":
        context["source_at"] = public.source(app.env.doc2path(page, base=False))


def setup(app: Sphinx) -> dict[str, bool]:
    """As Sphinx wants it."""
    app.connect("html-page-context", add_links)
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
