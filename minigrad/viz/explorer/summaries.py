"""Arrays in a few numbers and a small picture: what a page holds of values and gradients.

A picture has one cell for each element; of a large array one for each block, with the element that
is the largest in size (a mean would hide it, and the sign). A cell is one letter: from ``-31/31``
to ``31/31`` of the largest cell, or not finite.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from minigrad.viz.reading import Numbers

SIDES = (24, 16, 12, 8, 4)
"""How many cells a picture may be high and wide."""

CELLS = 1_500_000
"""How many cells the pictures of a page may have together."""

LEVELS = 31
"""Shades for the numbers above 0, and as many for those below."""

LETTERS = np.frombuffer(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-", np.uint8
)
"""From the least number to the largest; the last letter is for what is not finite."""

FIRST = 5
"""How many numbers are told as they are."""


class Summaries:
    """The arrays of a page, each once."""

    def __init__(self) -> None:
        self._arrays: list[Numbers] = []
        self._places: dict[int, int] = {}

    def add(self, array: Numbers | None) -> int:
        """The number of an array; -1 for none."""
        if array is None:
            return -1
        if id(array) not in self._places:  # kept, so that no id is used again
            self._places[id(array)] = len(self._arrays)
            self._arrays.append(array)
        return self._places[id(array)]

    def plain(self) -> list[list[Any]]:
        """Each as a list of its norm, mean, least and largest number, of how many are NaN and
        infinite, of the first numbers, the size of the largest cell, the rows and columns of the
        picture, and the picture.

        Norm and mean are those of the finite numbers; 0 if there are none.
        """
        side = _side([array.shape for array in self._arrays])
        return [_summary(array, side) for array in self._arrays]


def norm(array: Numbers) -> float:
    """The root of the sum of squares, in float64."""
    flat = np.asarray(array, np.float64).ravel()
    with np.errstate(over="ignore", invalid="ignore"):
        square = float(flat @ flat)
        if math.isfinite(square) or not np.isfinite(flat).all():
            return math.sqrt(square)
        largest = float(np.abs(flat).max())
        return largest * norm(flat / largest)


def _side(shapes: Iterable[tuple[int, ...]]) -> int:
    sizes = [_matrix(shape) for shape in shapes]
    for side in SIDES:
        if (
            sum(min(rows, side) * min(columns, _width(rows, side)) for rows, columns in sizes)
            < CELLS
        ):
            break
    return side


def _matrix(shape: Sequence[int]) -> tuple[int, int]:
    """The rows and columns in which an array is shown: its last axis goes to the right."""
    return math.prod(shape[:-1]), shape[-1] if shape else 1


def _width(rows: int, side: int) -> int:
    return 2 * side if rows == 1 else side


def _summary(array: Numbers, side: int) -> list[Any]:
    x = np.asarray(array, np.float64)
    flat = x.ravel()
    if not flat.size:
        return [0, 0, 0, 0, 0, 0, "", 0, 0, 0, ""]
    nan = infinite = 0
    size, finite = norm(flat), flat
    if not math.isfinite(size):
        nan = int(np.isnan(flat).sum())
        infinite = int(np.isinf(flat).sum())
        finite = flat[np.isfinite(flat)]
        size = norm(finite)
    told = [rounded(size), rounded(finite.mean()) if finite.size else 0.0]
    told += [rounded(flat.min()), rounded(flat.max())]
    digits = 7 if flat.size == 1 else 4
    first = ", ".join(f"{value:.{digits}g}" for value in flat[:FIRST].tolist())
    more = ", …" if flat.size > FIRST else ""
    return [*told, nan, infinite, first + more, *_picture(x, side)]


def _picture(x: Numbers, side: int) -> tuple[float, int, int, str]:
    rows, columns = _matrix(x.shape)
    if rows * columns == 1:
        return 0, 0, 0, ""
    cells = _largest(x.reshape(rows, columns), side, _width(rows, side))
    is_finite = np.isfinite(cells)
    size = float(np.abs(cells).max(where=is_finite, initial=0.0))
    with np.errstate(invalid="ignore"):
        shades = np.round(cells * (LEVELS / size)) if size else np.zeros(cells.shape)
    shades = np.where(is_finite, shades + LEVELS, 2 * LEVELS + 1).astype(int)
    return rounded(size), *cells.shape, LETTERS[shades].tobytes().decode()


def _largest(x: Numbers, rows: int, columns: int) -> Numbers:
    """Of each block of a matrix the element that is the largest in size; a NaN if there is one."""
    high = low = x
    for axis, most in ((0, rows), (1, columns)):
        n = x.shape[axis]
        if n > most:
            starts = np.arange(most) * n // most
            high = np.maximum.reduceat(high, starts, axis)
            low = np.minimum.reduceat(low, starts, axis)
    return high if high is low else np.where(high >= -low, high, low)


def rounded(x: float) -> float:
    """`x` with four significant digits."""
    return float(f"{x:.4g}")
