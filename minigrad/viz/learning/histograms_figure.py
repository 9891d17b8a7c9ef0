"""The picture of `Histograms`: a heat map over training for each parameter and each layer."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from minigrad.viz.figures import COLOURS, FAINT, TEXT, dress, new_figure, plain
from minigrad.viz.learning.series import LOG_EDGES, Series

ROWS = 8
"""How many parameters, and how many layers, one picture has; the page has all."""


def histograms_figure(histograms: Any) -> Figure:
    """Of `Histograms` the gradients, the outputs, and the shares of dead and saturated values."""
    columns = [
        ("Gradients of the parameters: log10 of |g|", histograms.gradients),
        ("Outputs of the layers", histograms.activations),
    ]
    rows = max(1, min(ROWS, max(len(series) for _, series in columns)))
    height = 0.75 + 1.05 * rows
    figure = new_figure(12, height)
    top, bottom, gap = 1 - 0.62 / height, 0.5 / height, 0.3 / height
    each = (top - bottom + gap) / rows
    for left, (title, column) in zip((0.045, 0.375), columns, strict=True):
        figure.text(left, 1 - 0.2 / height, title, color=TEXT, fontsize=10.5, va="center")
        shown = list(column.items())[:ROWS]
        for k, (name, series) in enumerate(shown):
            axes = figure.add_axes((left, top - (k + 1) * each + gap, 0.28, each - gap))
            heat(axes, series, histograms.steps_seen)
            scale = ": log10 of the magnitude" if series.edges is LOG_EDGES else ""
            scale = scale if column is histograms.activations else ""
            more = f" (and {len(column) - ROWS} more)" if k == ROWS - 1 < len(column) - 1 else ""
            axes.set_title(plain(name) + scale + more, loc="left", color=TEXT, fontsize=8.5, pad=2)
            if k + 1 < len(shown):
                axes.set_xticklabels([])
            else:
                axes.set_xlabel("step", color=TEXT, fontsize=9)
    figure.text(0.72, 1 - 0.2 / height, "Dead or saturated", color=TEXT, fontsize=10.5, va="center")
    axes = figure.add_axes((0.72, bottom, 0.265, top - bottom))
    _shares(axes, histograms.activations)
    return figure


def heat(axes: Axes, series: Series, seen: list[int]) -> None:
    """The share of values in each bin, over training; magnitudes where the bins are logarithmic."""
    share, edges = series.shares()
    used = np.flatnonzero(share.any(axis=0))
    low, high = (used[0], used[-1] + 1) if used.size else (0, len(edges) - 1)
    stride = max(1, min(np.diff(series.steps), default=1))
    x = np.append(series.steps, series.steps[-1] + stride) if len(series.looks) else np.arange(2)
    axes.set_facecolor("#440154")
    if share.size:
        axes.pcolormesh(x, edges[low : high + 1], share[:, low:high].T, cmap="viridis", vmin=0)
    lost = series.not_finite.astype(bool)
    axes.vlines(series.steps[lost] + stride / 2, edges[low], edges[high], color=COLOURS[1])
    axes.set_ylim(edges[low], edges[high])
    axes.set_xlim(0, (seen[-1] if seen else 0) + stride)
    axes.tick_params(colors=FAINT, length=0, labelsize=7.5)
    axes.spines[:].set_visible(False)


def _shares(axes: Axes, activations: dict[str, Series]) -> None:
    """Over training, the share of dead or saturated values of each layer, and of units."""
    dress(axes)
    layers = [(name, s) for name, s in activations.items() if s.flat.size]
    layers.sort(key=lambda layer: -layer[1].flat_values.max())
    for k, (name, series) in enumerate(layers[: len(COLOURS)]):
        axes.plot(series.steps, 100 * series.flat_values, color=COLOURS[k], label=plain(name))
        axes.plot(series.steps, 100 * series.flat_units, color=COLOURS[k], linestyle=":")
    axes.set_ylim(bottom=0)
    axes.set_ylabel(
        "% of values (lines), of units at all positions (dots)", color=TEXT, fontsize=8.5
    )
    axes.set_xlabel("step", color=TEXT, fontsize=9)
    if layers:
        axes.legend(frameon=False, fontsize=7.5, labelcolor=TEXT)
