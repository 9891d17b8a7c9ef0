"""Softmax, and its logarithm.

A row that is masked altogether (all -infinity), or has a +infinity, has no softmax: NaN, as in
PyTorch. Over an axis of length 0 the result is as empty as `x`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.arrays.library import Array, ArrayLike, array_module
from minigrad.arrays.sums import total, wide
from minigrad.autograd.record import differentiable
from minigrad.ops.arithmetic import exp
from minigrad.ops.reduction import sum


@differentiable(x=lambda g, out, axis: (g - sum(g * out, axis, None, None, True)) * out)
def softmax(x: ArrayLike, axis: int | tuple[int, ...] = -1) -> Array:
    """exp(x) over its sum along `axis`: positive numbers that sum to 1, for `x` of any size."""
    e = array_module(x).exp(shifted(x, axis))
    e /= total(e, axis, True)
    return _like(x, e)


@differentiable(x=lambda g, out, axis: g - exp(out) * sum(g, axis, None, None, True))
def log_softmax(x: ArrayLike, axis: int | tuple[int, ...] = -1) -> Array:
    """Logarithm of the softmax of `x` along `axis`, without under- or overflow."""
    if not x.size:
        return x.copy()
    xp, z = array_module(x), shifted(x, axis)
    return _like(x, z - xp.log(total(xp.exp(z), axis, True)))


def _like(x: Array, result: Array) -> Array:
    return result.astype(x.dtype, copy=False) if x.dtype.kind == "f" else result


def shifted(x: Array, axis: int | tuple[int, ...]) -> Any:
    """`x` minus its largest element along `axis`, in memory of its own; float16 in float32."""
    if not x.size:
        return x.copy()
    z = x.astype(wide(x.dtype), copy=False)
    with np.errstate(invalid="ignore"):  # infinity minus infinity
        return z - z.max(axis, keepdims=True)
