"""The loss curve of a run, as a picture."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.ticker import FuncFormatter, MaxNLocator

from models.units import Unit

TRAIN, VALID, TEXT, LINES = "#8fb8de", "#c1440e", "#333333", "#e6e6e6"


def loss_curve(records: Sequence[Mapping[str, Any]], unit: Unit, title: str) -> bytes:
    """Draw the losses of training and validation against the step.

    Parameters
    ----------
    records
        as in `metrics.jsonl`: each with "step", "split" ("train" or "valid") and "loss" in nats.
    unit
        what to tell the losses in; a perplexity gets a logarithmic axis.
    title
        what stands above.

    Returns
    -------
    bytes
        a PNG, 1200 by 750 pixels.
    """
    figure = Figure(figsize=(8, 5), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set_title(
        title, loc="left", color=TEXT, fontsize=11, fontfamily=_families(), parse_math=False
    )
    axes.set_xlabel("step", color=TEXT)
    axes.set_ylabel(unit.name, color=TEXT)
    if unit.short == "perplexity":
        axes.set_yscale("log")
        for axis in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
            axis(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.grid(color=LINES, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(LINES)
    axes.tick_params(colors=TEXT, length=0, labelsize=9)
    for split, label, options in (
        ("train", "training", {"color": TRAIN, "linewidth": 1.5}),
        ("valid", "validation", {"color": VALID, "linewidth": 2, "marker": "o", "markersize": 4}),
    ):
        points = [(r["step"], unit.of(r["loss"])) for r in records if r["split"] == split]
        if points:
            axes.plot(*zip(*points, strict=True), label=label, **options)  # type: ignore[arg-type]
    _mark_last(axes, records, unit)
    if unit.short != "perplexity" and records:  # the fall of the first few steps takes no room
        lowest = min(unit.of(record["loss"]) for record in records)
        top = min(axes.get_ylim()[1], 2.5 * lowest + 1)
        axes.set_ylim(bottom=max(0, lowest - 0.05 * (top - lowest)), top=top)
    if axes.lines:
        axes.legend(frameon=False, labelcolor=TEXT)
    buffer = io.BytesIO()
    with warnings.catch_warnings():  # letters that no font here has come out as boxes
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _families() -> list[str]:
    """Fonts for the name of a file, which may be in Korean, Chinese or Japanese."""
    wanted = ("Noto Sans CJK KR", "NanumGothic", "Malgun Gothic", "Apple SD Gothic Neo")
    installed = set(fontManager.get_font_names())
    return ["DejaVu Sans", *(name for name in wanted if name in installed)]


def _mark_last(axes: Axes, records: Sequence[Mapping[str, Any]], unit: Unit) -> None:
    """Write the last validation beside its point."""
    last = next((r for r in reversed(records) if r["split"] == "valid"), None)
    if last is not None:
        axes.annotate(
            unit.told(last["loss"]),
            (last["step"], unit.of(last["loss"])),
            xytext=(0, 9),
            textcoords="offset points",
            ha="right",
            color=VALID,
            fontweight="bold",
        )
