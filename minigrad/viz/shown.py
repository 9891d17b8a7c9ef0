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

UNNOTED: dict[str, dict[str, Any]] = {
    ".png": {},
    ".svg": {"Date": None},
    ".pdf": {"CreationDate": None},
}
"""By suffix, what a picture does not say: made again, it is the same file."""


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
        views = self.views() or [View("picture", self._picture())]
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
        elif suffix in UNNOTED:
            write_atomically(path, _drawn(self._drawable(), suffix))
        else:
            raise ValueError(
                f"{type(self).__name__}.save: the path must end in .html, {', '.join(UNNOTED)}, "
                f"got {told(os.fspath(path))}"
            )

    def _repr_html_(self) -> str:
        """In a notebook: its page within a frame, or its picture."""
        if not self.views():
            picture = {key: escape(str(value)) for key, value in self._picture().items()}
            return '<img src="{source}" width="{width}" alt="{alternative}">'.format(**picture)
        title, page = escape(printable(self.title)), escape(self.page().html())
        return (
            f'<iframe title="{title}" srcdoc="{page}" '
            f'style="width: 100%; height: {HEIGHT}px; border: 0"></iframe>'
        )

    def _picture(self) -> dict[str, Any]:
        """What static/views/picture.js shows: letters of 12 points are as high as those of CSS."""
        figure = self._drawable()
        content = base64.b64encode(_drawn(figure, ".png")).decode()
        return {
            "source": f"data:image/png;base64,{content}",
            "width": round(96 * figure.get_figwidth()),
            "alternative": printable(self.title),
        }

    def _drawable(self) -> Figure:
        with extra():
            import matplotlib  # noqa: F401 (without it, this tells how to install it)
        figure = self.figure()
        if figure is None:
            raise ValueError(f"{type(self).__name__}.save: it is no picture; save it as .html")
        return figure


def _drawn(figure: Figure, suffix: str) -> bytes:
    from matplotlib import rc_context

    buffer = io.BytesIO()
    with rc_context({"svg.hashsalt": "minigrad", "savefig.dpi": "figure"}):
        figure.savefig(buffer, format=suffix[1:], metadata=UNNOTED[suffix])
    return buffer.getvalue()
