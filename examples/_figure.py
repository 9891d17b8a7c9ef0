"""What the examples share: ``--save FILE.png`` and ``--lang ko``, and boxes, arrows and tables.

An example hands `run` two functions, one that prints and one that draws. The one that draws gets
`say`, which picks the language: ``say("hidden state", "은닉 상태")``. matplotlib is imported only
to draw.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from minigrad.training import write_atomically
from minigrad.viz.colours import COLOURS, FAINT, TEXT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

STRONG = COLOURS[1]
"""What stands out is of this colour, and thick."""

Say = Callable[[str, str], str]
"""Of an English and a Korean text, the one that is asked for."""

LANGUAGES: dict[str, Say] = {
    "en": lambda english, korean: english,
    "ko": lambda english, korean: korean,
}


def run(main: Callable[[], None], figure: Callable[[Say], Figure]) -> None:
    """Call `main`, which prints; or with ``--save FILE.png`` write what `figure` draws."""
    title = (sys.modules["__main__"].__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--save", metavar="FILE.png", help="draw it, and print nothing")
    parser.add_argument("--lang", choices=LANGUAGES, default="en", help="the picture's language")
    options = parser.parse_args()
    if options.save is None:
        main()
        return
    if not options.save.lower().endswith(".png"):
        parser.error(f"--save: the name of a PNG ends in .png, not as in {options.save!r}")
    try:
        from minigrad.viz.figures import png
    except ModuleNotFoundError as error:
        sys.exit(f"Error: {error}")
    write_atomically(options.save, png(figure(LANGUAGES[options.lang])))


# ---------------------------------------------------------------------- boxes and arrows


def canvas(axes: Axes, width: float, height: float) -> None:
    """Axes to draw on: no ticks, and a unit is as wide as it is high."""
    axes.set(xlim=(0, width), ylim=(0, height), aspect="equal")
    axes.axis("off")


def box(
    axes: Axes,
    x: float,
    y: float,
    text: str,
    colour: str = FAINT,
    *,
    strong: bool = False,
    width: float = 0.9,
    height: float = 0.5,
    fill: str = "white",
    **options: Any,
) -> None:
    """A box around (x, y), with a text in it; `options` are those of the text.

    With `strong` it stands out from others, in print without colours too.
    """
    from matplotlib.patches import FancyBboxPatch

    line = {"edgecolor": STRONG, "linewidth": 2.6} if strong else {"edgecolor": colour}
    corner, style = (x - width / 2, y - height / 2), "round,pad=0,rounding_size=0.08"
    line = {"linewidth": 1.4, "facecolor": fill, "zorder": 3} | line
    axes.add_patch(FancyBboxPatch(corner, width, height, style, **line))
    options = {"color": TEXT, "fontsize": 9.5, "ha": "center", "va": "center"} | options
    axes.text(x, y, text, zorder=4, **options)


def arrow(
    axes: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    colour: str = FAINT,
    *,
    strong: bool = False,
    curve: float = 0.0,
    dashed: bool = False,
) -> None:
    """An arrow; `curve` bends it, and `strong` is as in `box`."""
    from matplotlib.patches import FancyArrowPatch

    line = {"color": STRONG, "linewidth": 2.6} if strong else {"color": colour, "linewidth": 1.4}
    head = {"arrowstyle": "-|>", "mutation_scale": 11, "shrinkA": 0, "shrinkB": 0}
    way = {"connectionstyle": f"arc3,rad={curve}", "linestyle": "--" if dashed else "-"}
    axes.add_patch(FancyArrowPatch(start, end, **line, **head, **way, zorder=2))


# ---------------------------------------------------------------------- numbers


def number(value: float, form: str = "{:.2f}") -> str:
    """A number with a minus sign as wide as a plus."""
    return form.format(value).replace("-", "\N{MINUS SIGN}")


def cells(
    axes: Axes,
    values: np.ndarray,
    columns: Sequence[str],
    rows: Sequence[str],
    *,
    form: str = "{:.2f}",
    colours: str = "Blues",
    limits: tuple[float, float] = (0.0, 1.5),
    marked: Sequence[tuple[int, int]] = (),
    fontsize: float = 8.5,
) -> None:
    """A number in each cell, and behind it its colour; NaN is an empty cell.

    Parameters
    ----------
    values
        shape (rows, columns).
    marked
        cells (row, column) with a frame.
    """
    from matplotlib.patches import Rectangle

    image = axes.imshow(values, cmap=colours, vmin=limits[0], vmax=limits[1], aspect="auto")
    for (i, j), value in np.ndenumerate(values):
        if not np.isnan(value):
            r, g, b, _ = image.cmap(image.norm(value))
            colour = "white" if 0.3 * r + 0.59 * g + 0.11 * b < 0.5 else TEXT
            text = number(value, form)
            axes.text(j, i, text, color=colour, fontsize=fontsize, ha="center", va="center")
    for i, j in marked:
        place, style = (j - 0.45, i - 0.45), {"edgecolor": "black", "linewidth": 1.8, "zorder": 5}
        axes.add_patch(Rectangle(place, 0.9, 0.9, fill=False, **style))
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(length=0, labelsize=9, colors=TEXT)
    axes.spines[:].set_visible(False)


def softmax_steps(
    figure: Figure | SubFigure,
    runs: Sequence[tuple[str, np.ndarray, np.ndarray]],
    letters: Sequence[str],
    word: str,
    say: Say,
) -> None:
    """Logits, probabilities and loss at each time step, from left to right; a column for each run.

    Parameters
    ----------
    runs
        of each: a title, the logits and the probabilities, both of shape (T, letters).
    word
        its letters but the last are the inputs, all but the first are the targets.
    """
    from minigrad.viz.figures import dress, head

    steps = range(len(word) - 1)
    marked = [(letters.index(y), t) for t, y in enumerate(word[1:])]
    ratios = {"height_ratios": [len(letters), len(letters), 3]}
    panels = figure.subplots(3, len(runs), sharey="row", gridspec_kw=ratios, squeeze=False)
    limit = 1.6 * max(abs(logits).max() for _, logits, _ in runs)
    for (top, middle, bottom), (title, logits, p) in zip(panels.T, runs, strict=True):
        times = [f"t = {t + 1}" for t in steps]
        signed = {"colours": "PuOr_r", "limits": (-limit, limit)}
        cells(top, logits.T, times, letters, marked=marked, **signed)
        cells(middle, p.T, [""] * len(times), letters, marked=marked)
        losses = [-np.log(p[t, row]) for row, t in marked]
        bars = bottom.bar(steps, losses, width=0.5, color=COLOURS[0])
        mean = float(np.mean(losses))
        bottom.axhline(mean, color=COLOURS[1], linestyle="--", linewidth=1.2, zorder=1)
        for label in bottom.bar_label(bars, fmt="%.2f", padding=2, fontsize=8.5, color=TEXT):
            label.set(bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6})
        dress(bottom)
        bottom.grid(visible=False, axis="x")
        bottom.set_xticks(steps, [f"{x} → {y}" for x, y in pairwise(word)])
        bottom.tick_params(axis="x", labelsize=10.5, colors=TEXT)
        bottom.set_xlim(-0.5, len(steps) - 0.5)
        bottom.margins(y=0.22)
        above = {"xytext": (0, 24), "textcoords": "offset points", "ha": "center"}
        bold = {"color": TEXT, "fontsize": 11, "fontweight": "bold"}
        top.annotate(title, (0.5, 1), xycoords="axes fraction", **above, **bold)
        head(top, say("logits zₜ,   □ target yₜ", "로짓 zₜ,   □ 정답 yₜ"))
        head(middle, say("probabilities pₜ = softmax(zₜ)", "확률 pₜ = softmax(zₜ)"))
        head(
            bottom,
            say("loss −log pₜ[yₜ] in nats", "손실 −log pₜ[yₜ] (단위: nat)")
            + say(f",   - - mean {mean:.2f}", f",   - - 평균 {mean:.2f}"),
        )


__all__ = [
    *("COLOURS", "FAINT", "LINES", "TEXT", "Say"),
    *("arrow", "box", "canvas", "cells", "number", "run", "softmax_steps"),
]
