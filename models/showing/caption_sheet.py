"""Images with what a network has written about them, as a picture."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigrad.viz.figures import COLOURS, FAINT, TEXT, missing_letters_as_boxes, new_figure, png

COLUMNS, MOST = 6, 30
"""How many images are side by side, and how many are shown at most, evenly chosen."""

LETTERS = 20
"""The most letters in a line below an image, and two lines at most."""


@missing_letters_as_boxes()
def caption_sheet(
    images: NDArray[Any], written: Sequence[str], right: Sequence[str], title: str
) -> bytes:
    """Draw images, below each the caption that was written, and in grey the right one: a PNG.

    A caption that is right is blue.

    Parameters
    ----------
    images
        shape (N, height, width, 3), from 0 (black) to 1.
    written, right
        N captions each.
    title
        what stands above them.
    """
    which = np.unique(np.linspace(0, len(images) - 1, min(MOST, len(images))).astype(int)).tolist()
    rows = -(-len(which) // COLUMNS)
    figure = new_figure(1.75 * COLUMNS, 1.85 * rows + 0.7, layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", color=TEXT, fontsize=10, fontweight="bold")
    all_axes: Any = figure.subplots(rows, COLUMNS, squeeze=False)
    for axes in all_axes.ravel():
        axes.set_axis_off()
    for axes, i in zip(all_axes.ravel(), which, strict=False):
        axes.imshow(images[i], vmin=0, vmax=1, interpolation="nearest")
        below = {"transform": axes.transAxes, "ha": "center", "va": "top", "parse_math": False}
        text, truth = _lines(written[i]), _lines(right[i])
        colour = COLOURS[0] if text == truth else TEXT
        axes.text(0.5, -0.03, text, color=colour, fontsize=8.5, **below)
        if text != truth:
            place = -0.07 - 0.13 * len(text.splitlines())
            axes.text(0.5, place, truth, color=FAINT, fontsize=8.5, **below)
    return png(figure)


def _lines(text: str) -> str:
    """A text in at most two lines."""
    return "\n".join(textwrap.wrap(text, LETTERS, max_lines=2, placeholder=" …")) or "(nothing)"
