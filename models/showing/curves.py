"""The curves of a run, or of several side by side, as pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from minigrad.viz.figures import (
    COLOURS,
    FAINT,
    LINES,
    TEXT,
    dress,
    head,
    missing_letters_as_boxes,
    new_figure,
    png,
    write,
)
from models.measuring.units import Unit
from models.showing.drawing import (
    Array,
    Points,
    cut_off,
    draw_line,
    label_ends,
    loss_axis,
    mark_best,
    norm_axis,
    number,
    x_axis,
)

TRAIN, VALID, BEFORE, AFTER, RATE = "#8fb8de", "#c1440e", "#b0b0bc", "#5b4b8a", "#2f7f6f"

DASHES = ("-", "--", ":", "-.")
"""The styles of lines, for more runs than there are colours."""

NATS = Unit("loss in nats per token", "nats", lambda nats: nats)
"""The unit in which runs with different kinds of tokens are compared."""

MOST_NAME = 32
"""The most letters of a run's name."""

MOST, LEAST_NORM = 1e15, 1e-12
"""The largest number that is drawn, and the smallest norm: a logarithmic axis has no 0."""

Records = Sequence[Mapping[str, Any]]


@missing_letters_as_boxes()
def curves(
    records: Records, unit: Unit, title: str, references: Mapping[str, float] | None = None
) -> bytes:
    """Draw the losses of one run, the norm of its gradients and its learning rate.

    Parameters
    ----------
    records
        as in `metrics.jsonl`: each with "step", "split" ("train" or "valid") and "loss" in nats,
        those of "train" also with "grad_norm", "grad_norm_clipped" and "lr". A field that is
        missing, or not a finite number, is left out.
    unit
        the unit of the losses; a perplexity gets a logarithmic axis.
    title
        the title above the curves.
    references
        losses to compare with, by their names.

    Returns
    -------
    bytes
        a PNG, 1200 by 1230 pixels.
    """
    train_records, valid_records = _split(records, "train"), _split(records, "valid")
    train, valid = _points(train_records, "loss"), _points(valid_records, "loss")
    norms = [
        Points(line.x, np.maximum(line.y, LEAST_NORM))
        for line in (_points(train_records, key) for key in ("grad_norm", "grad_norm_clipped"))
    ]
    rates = _points(train_records, "lr")
    last = max((float(line.x.max()) for line in (train, valid) if len(line.x)), default=0.0)

    figure = new_figure(8, 8.2)
    top, middle, bottom = figure.subplots(
        3, 1, sharex=True, gridspec_kw={"height_ratios": [3.4, 1.2, 1]}
    )
    left = 0.09
    figure.subplots_adjust(left=left, right=0.97, bottom=0.06, top=0.87, hspace=0.24)
    write(figure, left, 0.97, title, color=TEXT, fontsize=13, fontweight="bold")

    head(top, unit.name, 22)
    draw_line(top, train, unit.of, TRAIN, "training", linewidth=1.4)
    draw_line(top, valid, unit.of, VALID, "validation", linewidth=1.8, dots=4)
    loss_axis(top, [train, valid], unit, references)
    subtitle = "no records yet"
    if len(valid.x):
        best = int(valid.y.argmin())
        step, loss = float(valid.x[best]), float(valid.y[best])
        mark_best(top, step, unit.of(cut_off(loss)), unit.told(loss), VALID, last)
        subtitle = f"best validation {unit.told(loss)}, at step {step:,.0f}"
    elif len(train.x):
        subtitle = "no validation yet"
    write(figure, left, 0.945, subtitle, color=FAINT, fontsize=9.5)

    head(middle, "gradient norm")
    draw_line(middle, norms[0], None, BEFORE, "before clipping", linewidth=1.4)
    draw_line(middle, norms[1], None, AFTER, "after clipping", linewidth=1.4)
    norm_axis(middle, norms)

    head(bottom, "learning rate")
    draw_line(bottom, rates, None, RATE, linewidth=1.4)
    bottom.set_ylim(0, 1.08 * (float(rates.y.max(initial=LEAST_NORM)) if len(rates.y) else 1))
    bottom.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    bottom.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))

    for axes in (top, middle, bottom):
        dress(axes)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(
                loc="lower right",
                bbox_to_anchor=(1.005, 1.06 if axes is top else 0.98),
                ncols=2,
                frameon=False,
                labelcolor=FAINT,
                fontsize=9,
                handlelength=1.4,
                borderaxespad=0.2,
                columnspacing=1.4,
            )
    x_axis(bottom, last, "step", whole=True)
    _epochs(top, records)
    return png(figure)


@missing_letters_as_boxes()
def comparison(
    runs: Sequence[tuple[str, Records, Unit]],
    x: str = "step",
    references: Mapping[str, float] | None = None,
) -> bytes:
    """Draw the validation losses of several runs into one picture, and faintly those of training.

    Parameters
    ----------
    runs
        the name, the records and the unit of each. Runs with different units are drawn in nats per
        token.
    x
        the x axis: "step", "epoch", "seconds" or "tokens". Where a record lacks it, the value is
        interpolated from the records before and after.
    references
        losses to compare with, by their names.

    Returns
    -------
    bytes
        a PNG, 1500 by 900 pixels.

    Raises
    ------
    ValueError
        if there is no run, `x` is none of these, or no record of a run has it.
    """
    if not runs:
        raise ValueError("comparison: there is no run to draw")
    if x not in ("step", "epoch", "seconds", "tokens"):
        raise ValueError(f"comparison: x={x!r} is not 'step', 'epoch', 'seconds' or 'tokens'")
    unit = runs[0][2] if len({own.name for _, _, own in runs}) == 1 else NATS
    lines = [
        tuple(_against(name, records, split, x) for split in ("train", "valid"))
        for name, records, _ in runs
    ]
    right = max(
        (float(line.x.max()) for pair in lines for line in pair if len(line.x)), default=0.0
    )
    x_name, scale = _scale(x, right)

    figure = new_figure(10, 6)
    axes = figure.subplots()
    figure.subplots_adjust(left=0.065, bottom=0.085, top=0.93)
    training = ", and faintly training" if len(runs) <= 8 else ""
    head(axes, f"{unit.name}: validation{training}", 10)
    labels, shown = [], []
    for i, ((train, valid), (name, _, own)) in enumerate(zip(lines, runs, strict=True)):
        colour, style = COLOURS[i % len(COLOURS)], DASHES[i // len(COLOURS) % len(DASHES)]
        train, valid = (Points(line.x / scale, line.y) for line in (train, valid))
        if training or not len(valid.x):
            shown.append(train)
            draw_line(axes, train, unit.of, colour, band=False, alpha=0.3, linewidth=1)
        shown.append(valid)
        draw_line(axes, valid, unit.of, colour, band=False, linewidth=1.9, linestyle=style, dots=3)
        told, end = "no records yet", -math.inf
        main = valid if len(valid.x) else train
        if len(main.x):
            best = int(main.y.argmin())
            told = own.told(float(main.y[best]))
            end, at_best = (unit.of(cut_off(float(main.y[j]))) for j in (-1, best))
            axes.plot(main.x[best], at_best, "o", color=colour, markersize=6.5, zorder=5)
        labels.append((end, f"{_elided(name)}  {told}", colour))
    loss_axis(axes, shown, unit, references)
    dress(axes)
    x_axis(axes, right / scale, x_name, whole=x == "step")
    label_ends(figure, axes, labels)
    return png(figure)


# ---------------------------------------------------------------------- of the records


def _split(records: Records, split: str) -> Records:
    return [record for record in records if record.get("split") == split]


def _column(records: Records, key: str) -> Array:
    """The values of `key` in the records, cut off at 1e15; NaN for what is not a number."""
    values = [record.get(key) for record in records]
    try:
        column = np.array(values, float).reshape(len(values))  # None becomes NaN
    except (TypeError, ValueError, OverflowError):
        numbers = (v if isinstance(v, int | float) else math.nan for v in values)
        column = np.array([float(min(max(v, -MOST), MOST)) for v in numbers])
    column[np.isinf(column)] = math.nan
    return np.clip(column, -MOST, MOST, out=column)


def _points(records: Records, key: str) -> Points:
    """`key` against the step."""
    x, y = _column(records, "step"), _column(records, key)
    usable = ~(np.isnan(x) | np.isnan(y))
    return Points(x[usable], y[usable])


def _against(name: str, records: Records, split: str, x: str) -> Points:
    """The losses of `split` against `x`; where `x` is missing, it is interpolated by the step."""
    steps, values = _column(records, "step"), _column(records, x)
    known = ~(np.isnan(steps) | np.isnan(values))
    line = _points(_split(records, split), "loss")
    if len(line.x) and not known.any():
        raise ValueError(f"comparison: no record of run {name!r} has {x!r}")
    at = np.interp(line.x, np.append(0.0, steps[known]), np.append(0.0, values[known]))
    return Points(at, line.y)


def _scale(x: str, right: float) -> tuple[str, float]:
    """The name of the x axis, and what its values are divided by."""
    if x != "seconds" or right < 300:
        return x, 1.0
    return ("minutes", 60.0) if right < 5 * 3600 else ("hours", 3600.0)


def _epochs(axes: Axes, records: Records) -> None:
    """Ticks on top where an epoch ended, if one did."""
    steps, epochs = _column(records, "step"), _column(records, "epoch")
    known = ~(np.isnan(steps) | np.isnan(epochs))
    steps, epochs = np.append(0.0, steps[known]), np.append(0.0, epochs[known])
    if epochs[-1] < 1 or steps[-1] <= 0:
        return
    ticks = np.array(MaxNLocator(8, integer=True).tick_values(0, float(epochs[-1])))
    ticks = ticks[(ticks >= 1) & (ticks <= epochs[-1] + 1e-9)]
    above = axes.secondary_xaxis("top")
    above.xaxis.set_major_locator(FixedLocator(np.interp(ticks, epochs, steps).tolist()))
    words = [f"epoch {number(ticks[0])}", *(number(tick) for tick in ticks[1:])]
    above.xaxis.set_major_formatter(FuncFormatter(lambda _, i: words[i] if i is not None else ""))
    above.tick_params(colors=FAINT, length=3, color=LINES, labelsize=8, pad=1)
    above.spines["top"].set_color(LINES)


def _elided(name: str) -> str:
    half = MOST_NAME // 2
    return name if len(name) <= MOST_NAME else f"{name[: half - 1]}…{name[-half:]}"
