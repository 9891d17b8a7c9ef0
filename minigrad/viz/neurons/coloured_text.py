"""The picture: for each feature some lines of the text, coloured by the unit that follows it best.

The lines are chosen by the feature alone, from the second half of the text: those over which it
changes most. They are not the lines where the unit does best.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import LinearSegmentedColormap
from numpy.typing import NDArray

from minigrad.viz.figures import COLOURS, FAINT, TEXT, families, new_figure, plain
from minigrad.viz.neurons.features import Feature
from minigrad.viz.neurons.following import Follower, halves
from minigrad.viz.neurons.letters import columns, drawn, full_colour
from minigrad.viz.neurons.measured import Measured

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DIVERGING = LinearSegmentedColormap.from_list(
    "orange to blue", ["#f1a340", "#fee0b6", "#ffffff", "#c6dff0", "#5fa8d3"]
)
"""The page's colours of what is negative and positive, but for the darkest: letters stand on it."""

ACROSS, LINES = 96, 3
"""Columns of a line, and how many lines there are for a feature."""

MOST = 6
"""Features in a picture."""

COLUMN, ROW = 0.092, 0.21
"""Inches; a row holds a line of text."""


class _Cell(NamedTuple):
    """A character in the picture."""

    token: int
    character: str
    column: int
    row: int
    width: int


def picture(neurons: Measured) -> Figure:
    """See `Neurons.figure`."""
    excerpts = []
    for best in neurons.best[:MOST]:
        feature = neurons.features[best.feature]
        cells = _excerpt(neurons.tokens, feature)
        if cells:
            excerpts.append((best, feature, cells))
    rows = sum(2.4 + 1 + cells[-1].row for _, _, cells in excerpts) + 1.6
    figure = new_figure((ACROSS + 4) * COLUMN, rows * ROW)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(-2, ACROSS + 2), ylim=(rows, 0))
    axes.set_axis_off()
    top = 0.4
    for best, feature, cells in excerpts:
        _head(axes, best, top)
        _draw(axes, cells, neurons.unit(best.unit), feature, top + 1.3)
        top += 2.4 + 1 + cells[-1].row
    _legend(axes, rows - 1.3, bool(excerpts))
    return figure


def _excerpt(tokens: list[str], feature: Feature) -> list[_Cell]:
    """`LINES` lines of the second half over which the feature changes most."""
    cells = _laid_out(tokens, halves(len(tokens))[1].start)
    if not cells:
        return []
    values = np.array([float(feature.values[cell.token]) for cell in cells])
    rows = np.array([cell.row for cell in cells])
    begins = np.searchsorted(rows, np.arange(rows[-1] + LINES + 1))  # then the last one, repeated
    sums, squares = (np.concatenate([[0.0], np.cumsum(x)]) for x in (values, values * values))
    tops, ends = begins[: rows[-1] + 1], begins[LINES:]
    around = squares[ends] - squares[tops] - (sums[ends] - sums[tops]) ** 2 / (ends - tops)
    top = int(np.argmax(around))  # sums of squares around the mean
    chosen = cells[tops[top] : ends[top]]
    return [cell._replace(row=cell.row - top) for cell in chosen]


def _laid_out(tokens: list[str], start: int) -> list[_Cell]:
    """Where each character is drawn, from the token `start` on."""
    cells: list[_Cell] = []
    column = row = 0
    for token in range(start, len(tokens)):
        for character in drawn(tokens[token]):
            width = columns(character)
            if column + width > ACROSS:
                column, row = 0, row + 1
            cells.append(_Cell(token, character, column, row, width))
            column += width
            if character == "\n":
                column, row = 0, row + 1
    return cells


def _head(axes: Axes, best: Follower, y: float) -> None:
    figures = f"r = {best.r:+.2f}"
    if best.auc is not None:
        figures += f", AUC = {best.auc:.3f}"
    else:
        figures = f"ρ = {best.spearman:+.2f}, {figures}"
    figures += f"   (by chance: 95 % within ±{best.by_chance:.2f}; p = {best.p:.3f})"
    for x, text, align, colour, weight in (
        (0, f"{plain(best.feature)}:  {plain(best.unit)}", "left", TEXT, "bold"),
        (ACROSS, figures.replace("-", "\N{MINUS SIGN}"), "right", FAINT, "normal"),
    ):
        axes.text(
            x,
            y + 0.4,
            text,
            ha=align,
            va="center",
            color=colour,
            fontsize=9,
            fontweight=weight,
            fontfamily=families(text),
        )


def _draw(
    axes: Axes, cells: list[_Cell], activation: NDArray[Any], feature: Feature, top: float
) -> None:
    """The characters on the colour of their token, underlined where the feature is true."""
    limit = float(full_colour(activation[:, None])[0]) or 1.0
    boxes, colours, lines = [], [], []
    for token, character, column, row, width in cells:
        left, right, y = column, column + width, top + row
        boxes.append(_box(left, right, y, y + 0.86))
        colours.append(DIVERGING((activation[token] / limit + 1) / 2))
        if feature.values.dtype == bool and feature.values[token]:
            lines.append([(left, y + 0.9), (right, y + 0.9)])
        sign = {" ": "·", "\n": "↵", "\t": "→"}.get(character, character)
        if sign.isprintable():
            axes.text(
                left + width / 2,
                y + 0.68,
                sign,
                ha="center",
                va="baseline",
                color=TEXT if sign == character else FAINT,
                fontsize=10.5,
                fontfamily=["DejaVu Sans Mono", *families(sign)],
                parse_math=False,
            )
    axes.add_collection(PolyCollection(boxes, facecolors=colours, linewidths=0, zorder=0))
    axes.add_collection(LineCollection(lines, colors=COLOURS[6], linewidths=1.4))


def _legend(axes: Axes, y: float, any_feature: bool) -> None:
    """What the colours mean."""
    if not any_feature:
        axes.text(0, y, "no feature changes in this text", color=FAINT, fontsize=9, va="center")
        return
    steps = np.linspace(-1, 1, 41)
    left, wide = 16.0, 0.5
    boxes = [_box(left + i * wide, left + (i + 1) * wide, y, y + 0.7) for i in range(len(steps))]
    colours = [DIVERGING((step + 1) / 2) for step in steps]
    axes.add_collection(PolyCollection(boxes, facecolors=colours, linewidths=0))
    right = left + len(steps) * wide
    said = "more than 99 % of all;   underlined: the feature is true;   text: where it changes most"
    texts = [(0, "left", "activation of the unit"), (left - 0.5, "right", "\N{MINUS SIGN}")]
    texts += [(right + 0.5, "left", f"+  {said}")]
    for x, align, text in texts:
        axes.text(x, y + 0.37, text, ha=align, va="center", color=FAINT, fontsize=8.5)


def _box(left: float, right: float, top: float, bottom: float) -> list[tuple[float, float]]:
    return [(left, top), (right, top), (right, bottom), (left, bottom)]
