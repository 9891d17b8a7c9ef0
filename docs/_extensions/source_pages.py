"""A page for each file of the code, and a link to it from each place that names it.

In a text, `minigrad/nn/linear.py` becomes a link; so does a link to a file outside of docs/.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any

from docutils import nodes
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_for_filename
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx

ROOT = Path(__file__).parents[2]
ROOMS = ("minigrad", "models", "examples", "benchmarks")
KINDS = (".py", ".md", ".js")


def files() -> list[str]:
    """The files that have a page."""
    paths = (path for room in ROOMS for path in (ROOT / room).rglob("*") if path.suffix in KINDS)
    named = (path.relative_to(ROOT).as_posix() for path in paths if "vendor" not in path.name)
    return sorted(named, key=lambda name: (posixpath.dirname(name), name))


def pages(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """The pages, as `html-collect-pages` wants them."""
    named = files()
    for name in named:
        code = (ROOT / name).read_text("utf-8")
        shown = highlight(
            code,
            get_lexer_for_filename(name),
            HtmlFormatter(
                linenos="inline", lineanchors="L", anchorlinenos=True, cssclass="highlight"
            ),
        )
        body = f'<div class="source"><h1><code>{escape(name)}</code></h1>{shown}</div>'
        yield f"source/{name}", {"title": name, "body": body}, "page.html"
    body = "<h1>The code</h1>"
    for folder, inside in groupby(named, posixpath.dirname):
        body += f'<h2 id="{folder}"><code>{folder}/</code></h2><ul>'
        for name in inside:
            code = f"<code>{escape(posixpath.basename(name))}</code>"
            body += f'<li><a href="{name}.html">{code}</a></li>'
        body += "</ul>"
    yield "source/index", {"title": "The code", "body": body}, "page.html"


def uri(docname: str, name: str) -> str:
    """Where the page of a file is, or the place of a folder, from a page of the site."""
    to = f"source/index.html#{name.rstrip('/')}" if name.endswith("/") else f"source/{name}.html"
    return posixpath.relpath(to, posixpath.dirname(docname) or ".")


def link(app: Sphinx, doctree: nodes.document) -> None:
    """Put the links in."""
    docname, known = app.env.docname, set(app.env.source_files)  # type: ignore[attr-defined]
    for node in list(doctree.findall(pending_xref)):  # MyST gives a path, without its suffix
        named = posixpath.relpath(node.get("reftarget", ""), ROOT)
        if found := known & {named + suffix for suffix in KINDS}:
            made = nodes.reference("", "", *node.children, refuri=uri(docname, found.pop()))
            node.replace_self(made)
    for node in list(doctree.findall(nodes.literal)):
        if node.astext() in known and not isinstance(node.parent, nodes.reference):
            made = nodes.reference("", "", node.deepcopy(), refuri=uri(docname, node.astext()))
            node.replace_self(made)


def begin(app: Sphinx) -> None:
    """Note which files there are."""
    named = files()
    app.env.source_files = named + sorted({f"{posixpath.dirname(n)}/" for n in named})  # type: ignore[attr-defined]


def setup(app: Sphinx) -> dict[str, bool]:
    """As Sphinx wants it."""
    app.connect("builder-inited", begin)
    app.connect("doctree-read", link)
    app.connect("html-collect-pages", pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
