"""Which classes a classifier takes for which, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigrad.viz.figures import FAINT, TEXT, missing_letters_as_boxes, new_figure, png

MOST_LETTERS = 18
"""The most letters of a class's name."""

MOST_NUMBERS = 24
"""With more classes there are no numbers in the cells: they could not be read."""


@missing_letters_as_boxes()
def confusion_picture(counts: NDArray[np.int64], classes: Sequence[str], title: str) -> bytes:
    """Draw a confusion matrix: a PNG.

    A cell's colour is its share of the row, that is, of the examples of a class; its number is how
    many examples that are.

    Parameters
    ----------
    counts
        shape (C, C), from `models.measuring.confusion.confusion`.
    classes
        the names of the classes.
    title
        what stands above it.
    """
    C = len(classes)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = min(12.0, max(4.6, 2.4 + 0.42 * C))
    figure = new_figure(side + 1.6, side + 1.0, layout="constrained")
    axes: Any = figure.subplots()
    image = axes.imshow(shares, cmap="cividis", vmin=0, vmax=1)
    names = [n if len(n) <= MOST_LETTERS else f"{n[: MOST_LETTERS - 1]}…" for n in classes]
    small = 9 if C <= MOST_NUMBERS else 6
    upright = C <= 4 or max(map(len, names)) <= 2
    turned = {} if upright else {"rotation": 60, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(range(C), names, **turned)
    axes.set_yticks(range(C), names)
    axes.tick_params(colors=TEXT, length=0, labelsize=small)
    axes.set_xlabel("taken for", color=FAINT)
    axes.set_ylabel("is", color=FAINT)
    heading = {"x": 0.02, "ha": "left", "color": TEXT, "fontsize": 10, "fontweight": "bold"}
    figure.suptitle(title, **heading)  # a title of the axes may be cut off at the top
    axes.spines[:].set_visible(False)
    if C <= MOST_NUMBERS:
        for (i, j), count in np.ndenumerate(counts):
            if count:
                colour = "white" if shares[i, j] < 0.55 else "black"
                axes.text(
                    j, i, f"{count:,}", ha="center", va="center", color=colour, fontsize=small - 1
                )
    bar = figure.colorbar(image, ax=axes, shrink=0.7)
    bar.ax.tick_params(colors=FAINT, length=0, labelsize=8)
    bar.set_label("share of the row", color=FAINT)
    bar.outline.set_visible(False)
    return png(figure)
