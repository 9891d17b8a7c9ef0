"""Pictures of the results that `compare` and `growth` have written as JSON.

python benchmarks/plot.py runs/bench/speed.json docs/speed.png
python benchmarks/plot.py runs/bench/growth.json docs/growth.png
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from minigrad.viz.colours import TEXT
from minigrad.viz.figures import dress

COLOURS = {
    "minigrad:captured": "#7a2a08",
    "minigrad:fused": "#c1440e",
    "minigrad:unrolled-captured": "#e07b4c",
    "minigrad:unrolled": "#f0a984",
    "numpy:floor": "#7a7a7a",
    "pytorch:layer": "#2b6cb0",
    "pytorch:cells": "#8fb8de",
    "jax:scan": "#5a9e6f",
    "autograd:cells": "#b8a9d9",
    "mygrad:cells": "#d9c77e",
}
WIDTH = 0.09  # of a bar, where two configurations are 1 apart
NUMBER = FuncFormatter(lambda value, _: f"{value:,g}")
SIZES = {"T": "time steps T", "N": "batch N", "H": "hidden units H", "V": "vocabulary V"}


def legend(figure: Figure, axes: Axes) -> None:
    """What the colours of `axes` stand for, above all panels."""
    handles, labels = axes.get_legend_handles_labels()
    options = {"loc": "outside upper center", "ncols": 4, "frameon": False, "labelcolor": TEXT}
    figure.legend(handles, labels, **options)


def speeds(results: dict) -> Figure:
    """Bars of the speed over that of the reference, for each configuration, up or down from 1."""
    measured = results["configurations"]
    references = {next(iter(result["peers"])) for result in measured.values()}
    bars = {peer: [] for peer in COLOURS}  # of each: position, quartile, median, quartile
    for group, result in enumerate(measured.values()):
        shown = [peer for peer in COLOURS if peer in result["peers"] and peer not in references]
        for i, peer in enumerate(shown):
            position = group + (i - (len(shown) - 1) / 2) * WIDTH
            bars[peer].append((position, *result["peers"][peer]["ratio"]))
    figure = Figure(figsize=(10, 4.5), dpi=120, layout="constrained")
    axes = figure.subplots()
    dress(axes)
    axes.grid(visible=False, axis="x")
    for peer, values in bars.items():
        if values:
            positions, low, median, high = np.transpose(values)
            axes.bar(
                positions, median - 1, 0.9 * WIDTH, bottom=1, yerr=[median - low, high - median],
                label=peer, color=COLOURS[peer], error_kw={"ecolor": TEXT, "elinewidth": 0.8},
            )  # fmt: skip
    axes.axhline(1, color=TEXT, linewidth=1)
    axes.set_yscale("log", base=2)
    axes.yaxis.set_major_formatter(NUMBER)
    axes.set_xticks(range(len(measured)), list(measured))
    axes.set_xlim(-0.6, len(measured) - 0.4)
    axes.set_ylabel(f"times as fast as {' or '.join(sorted(references))}", color=TEXT)
    legend(figure, axes)
    return figure


def growth(results: dict) -> Figure:
    """A panel for each size that grows: microseconds per token, both axes logarithmic."""
    figure = Figure(figsize=(10, 6.5), dpi=120, layout="constrained")
    panels = figure.subplots(2, 2, sharey=True)
    for axes, (size, of) in zip(panels.flat, results["sizes"].items(), strict=True):
        dress(axes)
        for peer, points in of.items():
            if points:
                values, times = np.transpose(points)
                style = {"linewidth": 2, "marker": "o", "markersize": 4, "color": COLOURS[peer]}
                axes.plot(values, times, label=peer, **style)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.xaxis.set_major_locator(FixedLocator(sorted({v for p in of.values() for v, _ in p})))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(NUMBER)
        axes.yaxis.set_major_formatter(NUMBER)
        axes.set_xlabel(SIZES[size], color=TEXT)
    for axes in panels[:, 0]:
        axes.set_ylabel("microseconds per token", color=TEXT)
    legend(figure, panels[0, 0])
    return figure


def main() -> None:
    """Draw what is in the file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", type=Path, help="JSON from compare.py or growth.py")
    parser.add_argument("picture", type=Path, help="the PNG to write")
    args = parser.parse_args()
    results = json.loads(args.results.read_text("utf-8"))
    figure = {"steps": speeds, "growth": growth}[results["what"]](results)
    figure.savefig(args.picture)


if __name__ == "__main__":
    main()
