"""Sums that keep their digits, which all of minigrad uses.

Along the last axis NumPy adds in pairs. Along any other axis it adds one row after the other. After
a million rows, the sum is a million times as large as the next row, whose last digits are lost. And
NumPy sums float16 in float16, whose largest number is 65504. Here 64 rows at a time are added, and
then the sums of these in the same way. This is done by a product with ones, which is also faster.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.arrays.axes import one_axis, reduced_axes
from minigrad.arrays.library import FLOAT32, Array, Axis, DType, array_module, on_gpu
from minigrad.arrays.recording import one_call
from minigrad.arrays.row_sums import add_rows

_BLOCK = 64  # rows that are added one after the other
_LAST = 4 * _BLOCK  # the same in the last round
_FEW = _BLOCK // 2  # up to so many, NumPy's own way is exact enough, and faster
_add_up: Any = np.add.reduce  # what x.sum calls in the end
_ONES = {char: np.ones(_LAST, char) for char in "fd"}
for _ones in _ONES.values():
    _ones.flags.writeable = False


def total(x: Array, axis: Axis = None, keepdims: bool = False, dtype: DType = None) -> Any:
    """The sum of the array `x` over `axis` (None: all axes), as exact as its dtype allows.

    `dtype` is the dtype of the result; None: that of `x`, and for integers what NumPy chooses. Sums
    of float16 are computed in float32.
    """
    given = x.dtype if dtype is None else np.dtype(dtype)
    if given.char == "e":
        return total(x, axis, keepdims, FLOAT32).astype(given)
    if on_gpu(x):
        return x.sum(axis, dtype=dtype, keepdims=keepdims)
    one = axis.__class__ is int and -x.ndim <= axis < x.ndim
    few = x.size <= _BLOCK or (one and x.shape[axis] <= _FEW)
    last = axis is None or (one and x.strides[axis] == x.itemsize)
    in_pairs = last and x.flags.c_contiguous
    if few or in_pairs or given.char not in _ONES:
        return _add_up(x, axis, dtype, None, keepdims)
    axes = reduced_axes(x.ndim, axis)
    x = x.astype(given, copy=False)
    result = _contiguous(x, axes) if x.flags.c_contiguous else _strided(x, axes)
    return result if keepdims else result.squeeze(axes)


def _contiguous(x: Array, axes: Sequence[int]) -> Array:
    for i in sorted(axes):
        x = _along(x, i)
    return x


def _along(x: Array, axis: int) -> Array:
    """The sum of the contiguous array `x` along `axis`, which stays with length 1."""
    length, before = x.shape[axis], math.prod(x.shape[:axis])
    after = math.prod(x.shape[axis + 1 :])
    if after == 1 or length <= _FEW or (before > 1 and length <= 2 * _BLOCK):
        return _add_up(x, axis, None, None, True)
    lead = (before,) if before > 1 else ()
    ones, rest = _ONES[x.dtype.char], None
    rows = x.reshape(*lead, length, after)
    while length > _LAST:
        left = length % _BLOCK
        if left:
            odd = ones[:left] @ rows[..., length - left :, :]
            rest = odd if rest is None else rest + odd
            rows = rows[..., : length - left, :]
        length //= _BLOCK
        rows = (ones[:_BLOCK] @ rows.reshape(*lead, _BLOCK, -1)).reshape(*lead, length, after)
    result = ones[:length] @ rows
    if rest is not None:
        result += rest
    return result.reshape(*x.shape[:axis], 1, *x.shape[axis + 1 :])


def _strided(x: Array, axes: Sequence[int]) -> Array:
    """The sum over `axes`, which stay with length 1, of an array that is not contiguous."""
    counts = [n if i in axes and x.strides[i] == 0 else 1 for i, n in enumerate(x.shape)]
    once = x[tuple([slice(0, 1) if n > 1 else slice(None) for n in counts])]  # without repeats
    order = sorted(range(x.ndim), key=lambda i: -x.strides[i])  # the order in memory
    y = array_module(x).ascontiguousarray(once.transpose(order))
    y = _contiguous(y, [order.index(i) for i in axes])
    y = y.transpose([order.index(i) for i in range(x.ndim)])
    return y * x.dtype.type(math.prod(counts))


def running(x: Array, axis: int, dtype: DType = None) -> Array:
    """The sums of the array `x` up to each place along `axis`, as exact as `total`."""
    given, axis = x.dtype if dtype is None else np.dtype(dtype), one_axis(x.ndim, axis)
    if given.char not in "ef" or (given.char == "f" and x.shape[axis] <= _LAST):
        return x.cumsum(axis, dtype=dtype)
    wider = np.float32 if on_gpu(x) else np.float64  # a GPU adds in pairs by itself
    return x.cumsum(axis, dtype=wider).astype(given, copy=False)


def wide(dtype: DType) -> DType:
    """The dtype in which to compute a sum with a result of `dtype`: float32 for float16."""
    return FLOAT32 if np.dtype(dtype).char == "e" else dtype


LONG = 64
"""From this length on, rows are summed by a call for each id, which is then up to ten times as
fast as `numpy.add.reduceat` of all."""

MANY = 256
"""NumPy adds row after row: of more rows than so many the last digits would be lost."""


FEW_ROWS = 64
"""Up to so many rows, `numpy.add.reduceat` of all is the fastest way."""


@one_call(loose=True)
def summed_rows(ids: Array, rows: Array) -> tuple[Array, Array]:
    """The `ids` (k,), sorted and each once, and the sum of the `rows` of each, in new memory.

    Equal ids are brought side by side by sorting; then the rows of each run of them are summed.
    """
    xp, given = array_module(rows), rows.dtype
    if on_gpu(rows):
        unique, inverse = xp.unique(ids, return_inverse=True)
        sums = xp.zeros((unique.size, rows.shape[1]), wide(given))
        add_rows(sums, inverse, xp.ascontiguousarray(rows, sums.dtype))
        return unique, sums.astype(given, copy=False)
    order = ids.argsort(kind="stable")
    ordered, rows = ids[order], rows.take(order, 0)
    is_first = np.ones(len(ids), bool)
    np.not_equal(ordered[1:], ordered[:-1], out=is_first[1:])
    (starts,) = is_first.nonzero()
    if len(starts) == len(ids):
        return ordered, rows
    rows = rows.astype(wide(given), copy=False)
    if len(ids) <= FEW_ROWS:
        sums = np.add.reduceat(rows, starts, 0)
        return ordered[starts], sums.astype(given, copy=False)
    if rows.shape[1] < LONG:
        sums, most = np.add.reduceat(rows, starts, axis=0), MANY
        if not (ordered[most:] == ordered[:-most]).any():
            return ordered[starts], sums.astype(given, copy=False)
    else:
        sums, most = rows[starts], 1
    ends = np.append(starts[1:], len(ids))
    runs = np.flatnonzero(ends - starts > most)
    for i, start, end in zip(
        runs.tolist(), starts[runs].tolist(), ends[runs].tolist(), strict=True
    ):
        if end - start <= MANY:
            np.add.reduce(rows[start:end], axis=0, out=sums[i])
        else:
            sums[i] = total(rows[start:end], 0)
    return ordered[starts], sums.astype(given, copy=False)
