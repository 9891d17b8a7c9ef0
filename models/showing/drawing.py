"""What the pictures of runs share: lines of many points, axes of losses, ticks and labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import NDArray

from minigrad.viz.figures import FAINT, families
from models.measuring.units import Unit

POINTS = 600
"""A longer line is drawn as the means of neighbouring points, with their range behind it."""

MOST_NATS = 230.0
"""Larger losses, of a run that blew up, are cut off here, at a perplexity of 1e100."""

LEAST = 1e-9
"""The smallest loss that is drawn: a logarithmic axis has no 0."""

Array = NDArray[np.float64]


class Points(NamedTuple):
    """Points of a line, in the order of the records."""

    x: Array
    y: Array


# ---------------------------------------------------------------------- lines


def cut_off(nats: float) -> float:
    """A loss within the limits of what is drawn."""
    return min(max(nats, -MOST_NATS), MOST_NATS)


def draw_line(
    axes: Axes,
    points: Points,
    of: Callable[[float], float] | None,
    colour: str,
    label: str = "",
    *,
    band: bool = True,
    dots: float = 0.0,
    **options: Any,
) -> None:
    """Draw a line. If it has very many points: means of neighbours, with their range behind.

    Parameters
    ----------
    of
        turns means of losses in nats into what is drawn; None: they are drawn as they are.
    band
        whether to show that range.
    dots
        the size of a dot at each point, unless there are too many. A lone point always gets one, or
        it would not be seen.
    """
    x, y = points
    if not len(x):
        return
    if of is not None:
        y = np.clip(y, -MOST_NATS, MOST_NATS)
    parts = [y]
    if len(x) > POINTS:
        starts = np.linspace(0, len(x), POINTS, endpoint=False).astype(int)
        counts = np.repeat(*[np.diff(np.append(starts, len(x)))] * 2)
        x, mean = (np.add.reduceat(a / counts, starts) for a in (x, y))
        parts = [mean, np.minimum.reduceat(y, starts), np.maximum.reduceat(y, starts)]
    if of is not None:
        parts = [np.array([of(value) for value in part.tolist()]) for part in parts]
    if band and len(parts) == 3:
        axes.fill_between(x, parts[1], parts[2], color=colour, alpha=0.18, linewidth=0)
    if len(x) == 1 or (dots and len(x) <= 60):
        options |= {"marker": "o", "markersize": dots or 3.0}
    axes.plot(x, parts[0], color=colour, label=label, **options)


def mark_best(axes: Axes, x: float, y: float, text: str, colour: str, right: float) -> None:
    """Ring a point and write `text` at it; `right` is where the x axis ends."""
    ring: dict[str, Any] = {"markersize": 10, "markeredgewidth": 1.6, "markerfacecolor": "none"}
    axes.plot(x, y, "o", color=colour, zorder=5, **ring)
    place = x / right if right else 0.0
    at_left = place < 0.08  # where the line falls steeply
    axes.annotate(
        text,
        (x, y),
        xytext=(7 if at_left else 4 if place > 0.92 else 0, 9),
        textcoords="offset points",
        ha="left" if at_left else "right" if place > 0.92 else "center",
        va="bottom",
        color=colour,
        fontweight="bold",
        path_effects=[withStroke(linewidth=3, foreground="white")],
        zorder=6,
    )


# ---------------------------------------------------------------------- axes


def loss_axis(
    axes: Axes, lines: Sequence[Points], unit: Unit, references: Mapping[str, float] | None = None
) -> None:
    """Limits and ticks of an axis of losses: from just below the lowest.

    Much larger values, of the first steps or of a run that blew up, are outside; but the best of
    each line is inside, and so is the rise after it. `references` are inside too, and are drawn as
    dashed lines with their names.
    """
    references = references or {}
    for name, loss in references.items():
        _reference(axes, unit.of(loss), name)
    lines = [*lines, *(Points(np.zeros(1), np.array([loss])) for loss in references.values())]
    drawn = [line.y for line in lines if len(line.y)]
    bests = [unit.of(cut_off(float(y.min()))) for y in drawn]
    highest = max((unit.of(cut_off(float(y.max()))) for y in drawn), default=2.0)
    low, worst = min(bests, default=1.0), max(bests, default=2.0)
    if unit.logarithmic:
        low, worst = max(low, LEAST), max(worst, LEAST)
        high = max(min(highest, 1e3 * low), 1.1 * worst, 1.02 * low)
        room = max((high / low) ** 0.08, 1.01)
        axes.set_yscale("log")
        log_ticks(axes, low / room, high * room**0.4, 7)
        return
    size = abs(low)
    ends = (unit.of(cut_off(float(y[int(y.argmin()) :].max()))) for y in drawn)
    again = min(max(ends, default=0.0), 3 * abs(worst) + 1)
    most = max(low + 1.3 * size + 1, worst + 0.1 * (worst - low), again)
    high = max(min(highest, most), low + 0.01 * size + 1e-3)
    low, high = low - 0.08 * (high - low), high + 0.03 * (high - low)
    ticks = MaxNLocator(8, steps=[1, 2, 5, 10]).tick_values(low, high)
    decimals = max(0, -math.floor(math.log10(ticks[1] - ticks[0]) + 1e-9))
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(FixedLocator([t for t in ticks if low <= t <= high]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.{decimals}f}"))


def _reference(axes: Axes, value: float, name: str) -> None:
    """A dashed line across the axes, and its name below its middle."""
    axes.axhline(value, color=FAINT, linestyle=(0, (5, 4)), linewidth=1.2, zorder=1)
    axes.annotate(
        name,
        (0.5, value),
        xycoords=("axes fraction", "data"),
        xytext=(0, -4),
        textcoords="offset points",
        ha="center",
        va="top",
        color=FAINT,
        fontsize=9,
        path_effects=[withStroke(linewidth=3, foreground="white")],
        zorder=4,
    )


def norm_axis(axes: Axes, lines: Sequence[Points]) -> None:
    """A logarithmic axis, within four powers of ten of the usual norm."""
    values = np.concatenate([line.y for line in lines])
    low, high = 0.1, 10.0
    if len(values):
        usual = float(np.median(values))
        low = max(float(values.min()), usual / 1e4) / 1.4
        high = max(min(float(values.max()), usual * 1e4), low) * 1.4
    axes.set_yscale("log")
    log_ticks(axes, low, high, 4)


def log_ticks(axes: Axes, low: float, high: float, most: int) -> None:
    """Limits of a logarithmic y axis, and about `most` round numbers in between."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    choices: Sequence[Sequence[float]] = [
        *((1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 3, 5), (1, 2, 5), (1, 3), (1,))
    ]
    ticks: list[float] = []
    for digits in choices:
        candidates = [digit * 10.0**power for power in powers for digit in digits]
        ticks = [tick for tick in candidates if low <= tick <= high]
        if len(ticks) <= most:
            break
    if len(ticks) < 3 and high < 10 * low:  # less than one power of ten: evenly apart
        ticks = [t for t in MaxNLocator(most).tick_values(low, high) if low <= t <= high]
    ticks = ticks or [math.sqrt(low * high)]
    axes.yaxis.set_major_locator(FixedLocator(ticks[:: math.ceil(len(ticks) / (most + 2))]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    axes.set_ylim(low, high)


def x_axis(axes: Axes, right: float, name: str, *, whole: bool) -> None:
    """An x axis from 0 to `right`; with `whole`, its ticks are whole numbers."""
    axes.set_xlim(-0.01 * right, 1.01 * right or 1.0)
    axes.xaxis.set_major_locator(MaxNLocator(9, integer=whole, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    axes.set_xlabel(name, color=FAINT, fontsize=9)


def number(value: float) -> str:
    """``"1,200"``, ``"0.25"``, ``"3 M"``, ``"1e+15"``: short, and exact for a round number."""
    size = abs(value)
    if 1e6 <= size < 1e12:
        return f"{value / 1e9:.6g} G" if size >= 1e9 else f"{value / 1e6:.6g} M"
    if size >= 1e3:
        return f"{value:,.0f}" if size < 1e6 else f"{value:.3g}"
    return f"{value:.4g}"


# ---------------------------------------------------------------------- labels


def label_ends(figure: Figure, axes: Axes, labels: Sequence[tuple[float, str, str]]) -> None:
    """Write a label for each line to the right of `axes`, beside its end; they do not overlap.

    Parameters
    ----------
    labels
        for each line: the y of its end, a text and a colour.
    """
    size = 9.0 if len(labels) <= 25 else max(4.0, 225 / len(labels))
    gap = 1.4 * size / (figure.get_figheight() * 72 * axes.get_position().height)
    low, high = axes.get_ylim()

    def place(y: float) -> float:  # as a share of the height
        ends = axes.transScale.transform([(1.0, low), (1.0, high), (1.0, min(max(y, low), high))])
        bottom, top, at = ends[:, 1]
        return float((at - bottom) / (top - bottom))

    ordered = sorted((place(y), text, colour) for y, text, colour in labels)
    widest, renderer = 0.0, figure.canvas.get_renderer()  # type: ignore[attr-defined]
    places = spread([at for at, _, _ in ordered], gap)
    for at, (_, text, colour) in zip(places, ordered, strict=True):
        written = axes.text(
            1.012,
            at,
            text,
            transform=axes.transAxes,
            color=colour,
            fontsize=size,
            fontweight="bold",
            fontfamily=families(text),
            parse_math=False,
            va="center",
        )
        widest = max(widest, written.get_window_extent(renderer).width / figure.bbox.width)
    figure.subplots_adjust(right=max(0.4, 0.975 - widest))


def spread(places: Sequence[float], gap: float) -> list[float]:
    """Rising numbers near to `places`, at least `gap` apart and at most 1."""
    result: list[float] = []
    for place in places:
        result.append(max(place, result[-1] + gap) if result else place)
    limit = 1.0
    for i in range(len(result) - 1, -1, -1):
        result[i] = min(result[i], limit)
        limit = result[i] - gap
    return result
