"""Softmax and its logarithm.

The softmax of a row that is masked altogether (all -infinity), or that has a +infinity, is NaN, as
in PyTorch. Over an axis of length 0 the result is empty.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.arrays.library import Array, ArrayLike, array_module
from minigrad.arrays.sums import total, wide
from minigrad.autograd.record import differentiable
from minigrad.ops.arithmetic import exp
from minigrad.ops.reduction import sum


# for p = softmax(x): dx = (g - sum(g p)) p
@differentiable(x=lambda g, out, axis: (g - sum(g * out, axis, None, None, True)) * out)
def softmax(x: ArrayLike, axis: int | tuple[int, ...] = -1) -> Array:
    """exp(x) / sum(exp(x)) along `axis`: positive numbers with the sum 1, for `x` of any size."""
    e = array_module(x).exp(shifted(x, axis))
    e /= total(e, axis, True)
    return _like(x, e)


# for p = softmax(x): dx = g - p sum(g)
@differentiable(x=lambda g, out, axis: g - exp(out) * sum(g, axis, None, None, True))
def log_softmax(x: ArrayLike, axis: int | tuple[int, ...] = -1) -> Array:
    """log(softmax(x)) along `axis`, without underflow or overflow."""
    if not x.size:
        return x.copy()
    xp, z = array_module(x), shifted(x, axis)
    return _like(x, z - xp.log(total(xp.exp(z), axis, True)))


def _like(x: Array, result: Array) -> Array:
    """`result` in the dtype of `x`, if that is a float."""
    return result.astype(x.dtype, copy=False) if x.dtype.kind == "f" else result


def shifted(x: Array, axis: int | tuple[int, ...]) -> Any:
    """`x` minus its largest element along `axis`, in memory of its own; float16 in float32."""
    if not x.size:
        return x.copy()
    z = x.astype(wide(x.dtype), copy=False)
    with np.errstate(invalid="ignore"):  # infinity minus infinity
        return z - z.max(axis, keepdims=True)
