"""What a function of viz gives: it shows itself in a notebook, and saves itself as a file."""

from __future__ import annotations

import base64
import io
import os
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minigrad.errors.values import told
from minigrad.files import printable, write_atomically
from minigrad.viz.extra import extra
from minigrad.viz.page import Page, View

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Shown"]

HEIGHT = 640
"""In pixels: how high the frame in a notebook is, where the page in it cannot tell its own."""

PICTURES: dict[str, dict[str, Any]] = {
    ".png": {"dpi": 150},
    ".svg": {"metadata": {"Date": None}},
    ".pdf": {"metadata": {"CreationDate": None}},
}
"""By suffix, how matplotlib writes it: the same picture is the same file, whenever it is made."""


class Shown:
    """Something to look at: the base of all that the functions of viz give.

    A subclass has a `figure`, `views`, or both, and its numbers as public attributes.

    Attributes
    ----------
    title : str
        what it shows, in a few words.
    text : str
        a few sentences that go with it on a page; may be empty.
    """

    title: str
    text: str = ""

    def figure(self) -> Figure | None:
        """The matplotlib figure that .png, .svg and .pdf are made of; None if there is none."""
        return None

    def views(self) -> list[View]:
        """The interactive parts of its page; empty if there are none."""
        return []

    def page(self) -> Page:
        """The page that .html is: its views, or else its figure as a picture."""
        views = self.views()
        if not views:
            source = base64.b64encode(self._picture(".png")).decode()
            data = {"source": f"data:image/png;base64,{source}", "alternative": self.title}
            views = [View("picture", data)]
        return Page(self.title, views, text=self.text)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to a file: as a whole, or not at all.

        Parameters
        ----------
        path
            where to. Its suffix says what: .html is a page that opens offline in any browser;
            .png, .svg and .pdf are pictures.

        Raises
        ------
        ValueError
            if the suffix is another, or there is no such form of it.
        OSError
            if it cannot be written. Then a file that was there is still there.
        ModuleNotFoundError
            without the packages of the extra ``viz``.
        """
        suffix = Path(path).suffix.lower()
        if suffix == ".html":
            self.page().write(path)
        elif suffix in PICTURES:
            write_atomically(path, self._picture(suffix))
        else:
            raise ValueError(
                f"{type(self).__name__}.save: the path must end in .html, {', '.join(PICTURES)}, "
                f"got {told(os.fspath(path))}"
            )

    def _picture(self, suffix: str) -> bytes:
        with extra():
            import matplotlib
        figure = self.figure()
        if figure is None:
            raise ValueError(f"{type(self).__name__}.save: it is no picture; save it as .html")
        buffer = io.BytesIO()
        with matplotlib.rc_context({"svg.hashsalt": "minigrad"}):
            figure.savefig(buffer, format=suffix[1:], **PICTURES[suffix])
        return buffer.getvalue()

    def _repr_html_(self) -> str:
        """In a notebook: its page within a frame, or its picture."""
        title = escape(printable(self.title))
        if not self.views():
            source = base64.b64encode(self._picture(".png")).decode()
            return f'<img src="data:image/png;base64,{source}" alt="{title}">'
        return (
            f'<iframe title="{title}" srcdoc="{escape(self.page().html())}" '
            f'style="width: 100%; height: {HEIGHT}px; border: 0"></iframe>'
        )
