"""The picture of a `Timeline`: its slices, nested downwards, and the memory below them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from minigrad.viz.figures import COLOURS, TEXT, dress, head, new_figure, plain

COLOUR = {
    "layer": "#c9c9c9",
    "op": COLOURS[0],
    "backward": "#e3d2b5",
    "rule": COLOURS[1],
    "clipping": COLOURS[3],
    "optimiser": COLOURS[2],
}
"""The colour of each category of slices."""

LETTER = 0.0056
"""The width of a letter, as a share of the figure's."""


def timeline_figure(slices: Sequence[Any], memory: Sequence[tuple[int, int]]) -> Figure:
    """Each slice as a bar, what is inside of another below it; and the bytes held over time."""
    depth = max((s.depth for s in slices), default=0) + 1
    whole = max((s.end for s in slices), default=1) / 1e6
    height = 1.9 + 0.34 * depth
    figure = new_figure(12, height)
    share = 0.34 * depth / height
    above = figure.add_axes((0.06, 0.92 - 0.3 / height - share, 0.93, share))
    below = figure.add_axes((0.06, 0.45 / height, 0.93, 0.7 / height), sharex=above)
    for category, colour in COLOUR.items():
        for s in slices:
            if s.category == category:
                bar = [(s.start / 1e6, s.duration / 1e6)]
                above.broken_barh(
                    bar, (-s.depth - 0.95, 0.9), color=colour, edgecolor="white", linewidth=0.4
                )
                room = int(s.duration / 1e6 / whole * 0.93 / LETTER) - 1
                if room >= 3:
                    name = s.name if len(s.name) <= room else s.name[: room - 1] + "…"
                    dark = category in ("op", "rule", "optimiser")
                    above.text(
                        (s.start + s.duration / 2) / 1e6, -s.depth - 0.5, plain(name), fontsize=7.5,
                        ha="center", va="center", color="white" if dark else TEXT, clip_on=True,
                    )  # fmt: skip
    above.set_ylim(-depth - 0.05, 0.05)
    above.set_xlim(0, whole)
    above.axis("off")
    present = {s.category for s in slices}
    figure.legend(
        handles=[Patch(color=c, label=name) for name, c in COLOUR.items() if name in present],
        loc="upper left", bbox_to_anchor=(0.055, 1.0), ncols=6, frameon=False, fontsize=9,
        labelcolor=TEXT,
    )  # fmt: skip
    dress(below)
    times = [time / 1e6 for time, _ in memory]
    most = max((held for _, held in memory), default=0)
    unit, size = ("MB", 1e6) if most >= 1e6 else ("kB", 1e3)
    below.fill_between(times, [held / size for _, held in memory], step="post", color=COLOURS[5])
    head(below, f"{unit} held by results, by what ops keep, and by gradients", pad=3)
    below.set_ylim(bottom=0)
    below.set_xlabel("ms", color=TEXT, fontsize=9)
    return figure
