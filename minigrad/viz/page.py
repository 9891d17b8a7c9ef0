"""A page: one HTML file with all that it needs, which opens offline in any browser.

The views of a page are drawn by JavaScript: ``static/views/NAME.js`` registers a function that
draws the data of a `View`. All that comes from outside (names, source lines, corpora) goes into the
page as JSON, in a form that no HTML parser can take for a tag, and is shown as text. The page's
Content-Security-Policy lets no script run but the page's own, and no request go out.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minigrad.errors.values import told
from minigrad.files import printable, write_atomically
from minigrad.tensor import Tensor
from minigrad.viz.extra import extra

__all__ = ["Page", "View"]

STATIC = Path(__file__).parent / "static"

DIGITS = 4
"""How many significant digits of an array's floats a page holds."""

POLICY = (
    "default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'"
)

ESCAPED = re.compile(
    "[<>&\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufffe\uffff]"
)
"""Characters of a JSON text that are written as an escape within HTML.

They begin a tag or a comment, are no letters of UTF-8, or turn and hide the text around them.
"""


class View(NamedTuple):
    """A part of a page.

    Parameters
    ----------
    name
        which view draws it: ``static/views/NAME.js``, and what goes with it, ``NAME.PART.js``.
    data
        what it draws: None, booleans, numbers and strings, arrays and Tensors, and lists, tuples
        and dicts (with strings as keys) of them. The floats of an array are rounded to 4
        significant digits. NaN and infinities become the strings ``"NaN"``, ``"Infinity"`` and
        ``"-Infinity"``, since JSON has no others; ``minigrad.number`` reads them.
    title
        a heading above it.
    text
        a few sentences below the heading, as plain text.
    """

    name: str
    data: Any
    title: str = ""
    text: str = ""


class Page:
    r"""One HTML page without any other file.

    Control characters in its title and text, and in those of its views, are made visible, as
    ``\x1b``. In the data they stay.

    Parameters
    ----------
    title
        its heading, and the name of its tab.
    views
        what it shows, from top to bottom.
    text
        a few sentences below the heading, as plain text.
    language
        in which language the title and texts are: "en", "ko".

    Raises
    ------
    ValueError
        if there is no view of a name, or `language` is no language's tag.

    Examples
    --------
    >>> page = Page("A loss", [View("picture", {"source": "data:,", "alternative": "none"})])
    >>> page.write("loss.html")  # doctest: +SKIP
    """

    def __init__(
        self, title: str, views: Sequence[View], text: str = "", language: str = "en"
    ) -> None:
        if not re.fullmatch("[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*", language):
            raise ValueError(f'Page: language must be a tag such as "en", got {told(language)}')
        known = {_view(path) for path in _views()}
        for view in views:
            if view.name not in known:
                names = ", ".join(sorted(known))
                raise ValueError(f"Page: no view is called {told(view.name)}; there are {names}")
        self.title, self.views = title, list(views)
        self.text, self.language = text, language

    def html(self) -> str:
        """The page as HTML.

        Raises
        ------
        TypeError
            if the data of a view holds what JSON cannot.
        ModuleNotFoundError
            without Jinja2.
        """
        with extra():
            from jinja2 import Environment, FileSystemLoader, StrictUndefined
            from markupsafe import Markup
        names = list(dict.fromkeys(view.name for view in self.views))
        own = [path for path in _views() if _view(path) in names]
        scripts = [
            f"/*\n{_read('LICENSES.txt')}*/\n{_read('vendor.js')}",
            _read("page.js"),
            *(path.read_text("utf-8") for path in own),
            "minigrad.begin();",
        ]
        sheets = [path.with_suffix(".css") for path in own]
        style = _read("vendor.css") + _read("page.css")
        style += "".join(path.read_text("utf-8") for path in sheets if path.exists())
        environment = Environment(
            autoescape=True,
            loader=FileSystemLoader(STATIC),
            trim_blocks=True,
            undefined=StrictUndefined,
        )
        return environment.get_template("page.html").render(
            language=self.language,
            policy=Markup(POLICY.format(scripts=" ".join(map(_hash, scripts)))),
            title=_text(self.title),
            text=_text(self.text),
            style=Markup(style),
            data=Markup(as_json(list(map(_plain_view, self.views)))),
            scripts=list(map(Markup, scripts)),
        )

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the page to a file: as a whole, or not at all.

        Raises
        ------
        OSError
            if it cannot be written. Then a file that was there is still there.
        """
        write_atomically(path, self.html().encode("utf-8"))


def as_json(data: Any) -> str:
    """`data` as JSON that can stand within a ``<script>`` of a page: see `ESCAPED`."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def plain(data: Any, place: str = "data") -> Any:
    """`data` as JSON has it: see `View`.

    Parameters
    ----------
    place
        what an error calls it.

    Raises
    ------
    TypeError
        if it holds something else.
    """
    if isinstance(data, Tensor):
        data = data.numpy()
    if isinstance(data, np.ndarray | np.generic):
        if data.dtype.kind not in "biufU":
            raise TypeError(f"Page: {place} is an array of {data.dtype}, which JSON cannot hold")
        values = data.tolist()
        return _rounded(values) if data.dtype.kind == "f" else values
    if data is None or isinstance(data, bool | str | int):
        return data
    if isinstance(data, float):
        return data if math.isfinite(data) else _not_finite(data)
    if isinstance(data, Mapping):
        for key in data:
            if not isinstance(key, str):
                raise TypeError(f"Page: the keys of {place} must be strings, got {told(key)}")
        return {key: plain(value, f"{place}[{told(key)}]") for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [plain(value, f"{place}[{i}]") for i, value in enumerate(data)]
    raise TypeError(f"Page: {place} is {told(data)}, which JSON cannot hold")


def _rounded(numbers: Any) -> Any:
    if isinstance(numbers, list):
        return list(map(_rounded, numbers))
    return float(f"{numbers:.{DIGITS}g}") if math.isfinite(numbers) else _not_finite(numbers)


def _not_finite(number: float) -> str:
    if math.isnan(number):
        return "NaN"
    return "Infinity" if number > 0 else "-Infinity"


def _plain_view(view: View) -> dict[str, Any]:
    return {
        "name": view.name,
        "title": _text(view.title),
        "text": _text(view.text),
        "data": plain(view.data, f"the data of {view.name!r}"),
    }


def _text(text: str) -> str:
    return printable(text, keep="\n\t")


def _view(path: Path) -> str:
    """The view that a file is of: ``explorer.js`` and ``explorer.map.js`` are of "explorer"."""
    return path.name.split(".")[0]


def _views() -> list[Path]:
    return sorted((STATIC / "views").glob("*.js"))


def _read(name: str) -> str:
    return (STATIC / name).read_text("utf-8")


def _hash(script: str) -> str:
    """A script by its hash, as a Content-Security-Policy names it."""
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
