"""Where a decoder looked as it wrote each token, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.files import printable
from minigrad.viz.figures import FAINT, TEXT, missing_letters_as_boxes, new_figure, png
from models.writing.translation import AttentionMap

CELL = 0.24
"""The side of a cell, in inches; words need more in width."""

LETTER = 0.085
"""The width of a letter of a word, in inches."""


@missing_letters_as_boxes()
def attention_picture(maps: Sequence[AttentionMap], title: str = "") -> bytes:
    """Draw the weights of attention of one sentence or of several, side by side: a PNG.

    Each row belongs to a token that was written; the darker a cell, the more the decoder looked at
    the source token above it. The rows have the sum 1.

    Parameters
    ----------
    maps
        at least one sentence.
    title
        what stands above them.
    """
    widths = [_side(each.source) * len(each.source) + _margin(each.target) for each in maps]
    heights = [CELL * len(each.target) + _margin(each.source) for each in maps]
    figure = new_figure(
        max(3.2, sum(widths) + 0.5), max(2.4, max(heights) + 0.7), layout="constrained"
    )
    panels: Any = figure.subplots(1, len(maps), squeeze=False, width_ratios=widths)
    for axes, each in zip(panels[0], maps, strict=True):
        _draw(axes, each)
    if title:
        options = {"color": TEXT, "fontsize": 10, "weight": "bold", "parse_math": False}
        figure.suptitle(title, x=0.01, ha="left", **options)
    return png(figure)


def _draw(axes: Any, shown: AttentionMap) -> None:
    S, T = len(shown.source), len(shown.target)
    aspect = CELL / _side(shown.source)
    axes.imshow(shown.weights, cmap="Blues", vmin=0, vmax=1, aspect=aspect)
    axes.set_anchor("N")
    turned = {"rotation": 60, "ha": "left", "rotation_mode": "anchor"}
    options = {"parse_math": False, **(turned if max(map(len, shown.source)) > 1 else {})}
    axes.set_xticks(range(S), [_shown(token) for token in shown.source], **options)
    axes.set_yticks(range(T), [_shown(token) for token in shown.target], parse_math=False)
    axes.xaxis.tick_top()
    axes.tick_params(colors=TEXT, length=0, labelsize=9)
    axes.set_xticks(np.arange(S + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(T + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1)
    axes.tick_params(which="minor", length=0)
    axes.spines[:].set_color(FAINT)


def _shown(token: str) -> str:
    """A token as it is written beside its row or column."""
    return printable({" ": "␣", "<eos>": "end"}.get(token, token))


def _side(tokens: Sequence[str]) -> float:
    """The width of a column."""
    return CELL if max(map(len, tokens)) <= 1 else 0.32


def _margin(tokens: Sequence[str]) -> float:
    """The room for the longest token."""
    return 0.35 + LETTER * max(len(_shown(token)) for token in tokens)
