"""The memory of a tape over the steps of the walk, drawn by matplotlib."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from minigrad.viz.explorer.memory_curve import MemoryCurve
from minigrad.viz.figures import COLOURS, FAINT, TEXT, dress, head, new_figure


def picture(memory: MemoryCurve, forward: int) -> Figure:
    """The bytes after each step, of which the first `forward` are the forward pass."""
    figure = new_figure(7, 3.2, layout="constrained")
    axes = figure.subplots()
    dress(axes)
    x = np.arange(1, len(memory.saved) + 1)
    total = memory.saved + memory.gradients
    axes.fill_between(x, memory.saved, step="post", color=COLOURS[5], alpha=0.5, linewidth=0)
    axes.plot(
        x, memory.saved, drawstyle="steps-post", color=COLOURS[0], label="kept for the way back"
    )
    dashed: dict[str, Any] = {"color": COLOURS[1], "linestyle": "--", "label": "with the gradients"}
    axes.plot(x, total, drawstyle="steps-post", **dashed)
    axes.axvline(forward + 0.5, color=FAINT, linewidth=0.8)
    axes.yaxis.set_major_formatter(EngFormatter("B"))
    axes.set(xlabel="step of the walk", xlim=(1, max(len(x), 2)), ylim=(0, None))
    for at, side, word in ((forward, "right", "forward "), (forward + 1, "left", " back")):
        top = axes.get_xaxis_transform()
        axes.text(at, 1.0, word, transform=top, ha=side, va="top", color=TEXT, fontsize=8.5)
    head(axes, "memory that the tape holds", pad=8)
    axes.legend(frameon=False, fontsize=8.5, loc="upper left")
    return figure
