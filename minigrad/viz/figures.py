"""What all charts share: figures, axes and letters. It needs matplotlib, the extra ``viz``.

::

    figure = new_figure(6, 3)
    axes = figure.subplots()
    dress(axes)
    axes.plot([1, 2, 3], color=COLOURS[0])
    head(axes, "기울기의 크기")
    Path("a.png").write_bytes(png(figure))

matplotlib's own font has no Korean, Chinese or Japanese letters. Where a figure from `new_figure`
has them, in a label, a tick or anywhere else, it takes a font of the system.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, Literal

from minigrad.files import printable
from minigrad.viz.colours import COLOURS, FAINT, LINES, TEXT
from minigrad.viz.extra import extra

with extra():
    from matplotlib.axes import Axes
    from matplotlib.backend_bases import RendererBase
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.font_manager import findSystemFonts, fontManager, get_font
    from matplotlib.text import Text

__all__ = [
    "COLOURS",
    "FAINT",
    "LINES",
    "TEXT",
    "dress",
    "families",
    "head",
    "missing_letters_as_boxes",
    "new_figure",
    "png",
    "write",
]

DPI = 150
"""Pixels per inch of a figure."""

OWN = "DejaVu Sans"
"""The font that comes with matplotlib: Latin, Greek, Cyrillic letters and mathematical signs."""

OTHERS = (
    *("Noto Sans CJK KR", "Noto Sans CJK JP", "Noto Sans KR", "NanumGothic", "UnDotum"),
    *("Malgun Gothic", "Apple SD Gothic Neo"),
)
"""Fonts that systems have for Korean, most of them also for Chinese and Japanese; best first."""


LONGEST = 80
"""Letters of a name; a longer one is cut off."""


# ---------------------------------------------------------------------- figures


class _Figure(Figure):
    """A figure whose letters are drawn with the fonts that have them."""

    def draw(self, renderer: RendererBase) -> None:
        for text in self.findobj(Text):
            written = text.get_text()
            if not written.isascii():
                fonts = families(written)
                # beside a formula, matplotlib looks at the first font only
                formula = "$" in written and text.get_parse_math()
                text.set(fontfamily=fonts[::-1] if formula else fonts)
        with missing_letters_as_boxes():  # `families` has told it
            super().draw(renderer)


def new_figure(
    width: float, height: float, layout: Literal["constrained", "tight"] | None = None
) -> Figure:
    """An empty figure of so many inches; it needs no screen.

    Parameters
    ----------
    layout
        as in matplotlib, which makes room for labels; None: the axes stay where they are put.
    """
    figure = _Figure(figsize=(width, height), dpi=DPI, layout=layout, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def png(figure: Figure) -> bytes:
    """`figure` as a PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=figure.dpi)
    return buffer.getvalue()


# ---------------------------------------------------------------------- axes


def dress(axes: Axes) -> None:
    """Make the axes faint, so that the lines stand out."""
    axes.grid(color=LINES, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(LINES)
    axes.tick_params(colors=FAINT, length=0, labelsize=8.5)


def head(axes: Axes, text: str, pad: float = 6) -> None:
    """Write what the y axis means above it."""
    axes.set_title(text, loc="left", color=TEXT, fontsize=10, pad=pad)


# ---------------------------------------------------------------------- letters


def write(figure: Figure, x: float, y: float, text: str, **options: Any) -> None:
    """Write a text as it is, in any script: a dollar sign does not begin a formula.

    Parameters
    ----------
    x, y
        the place, as shares of the width and the height; the text is centred around `y`.
    options
        of `matplotlib.text.Text`.
    """
    figure.text(x, y, text, fontfamily=families(text), parse_math=False, va="center", **options)


def plain(name: str) -> str:
    """A name of the user's as matplotlib is to write it: no formula, not hidden, not too long."""
    name = printable(name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…")
    hidden = name.startswith("_")  # a legend would leave it out
    return f"{' ' * hidden}{name}".replace("$", r"\$")


def families(text: str) -> list[str]:
    """The fonts for `text`, the first that has a letter draws it.

    Warns
    -----
    UserWarning
        the first time that letters are in no font: they become boxes.
    """
    return [OWN, *_families(frozenset(text) - frozenset(map(chr, range(128))))]


@contextmanager
def missing_letters_as_boxes() -> Iterator[None]:
    """Within it, letters that are in no font here become boxes, without a warning."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font|no font here has")
        yield


@cache
def _families(letters: frozenset[str]) -> tuple[str, ...]:
    """The fonts besides `OWN` that have the others of `letters`."""
    missing = letters - _letters(OWN)
    found = []
    for name in OTHERS:
        if missing and missing & _letters(name):
            found.append(name)
            missing -= _letters(name)
    if missing:
        _warn_once("".join(sorted(missing)))
    return tuple(found)


@cache
def _letters(name: str) -> frozenset[str]:
    """The letters that the font of this name has: none, if there is no such font."""
    if name != OWN:
        _add_new_fonts()
    path = next((entry.fname for entry in fontManager.ttflist if entry.name == name), None)
    return frozenset(map(chr, get_font(path).get_charmap())) if path else frozenset()


@cache
def _add_new_fonts() -> None:
    """Tell matplotlib of the fonts installed since it made its list; it keeps that for ever."""
    known = {entry.fname for entry in fontManager.ttflist}
    for path in findSystemFonts():
        if path not in known:
            with suppress(Exception):  # a file that is broken, or of a kind it does not know
                fontManager.addfont(path)


_told = False


def _warn_once(letters: str) -> None:
    global _told
    if not _told:
        _told = True
        warnings.warn(
            f"no font here has {letters[:20]!r}, so they are drawn as boxes. Install a font: for "
            "Korean NanumGothic (sudo apt install fonts-nanum), for Korean, Chinese and Japanese "
            "Noto Sans CJK (sudo apt install fonts-noto-cjk)",
            stacklevel=3,
        )
