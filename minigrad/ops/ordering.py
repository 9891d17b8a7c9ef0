"""Ops for which the order of the elements along an axis counts: sort, topk, cumprod."""

from __future__ import annotations

from typing import Any

from minigrad.arrays.axes import one_axis
from minigrad.arrays.library import Array, ArrayLike, DType, bare, zeros
from minigrad.autograd.operands import operand
from minigrad.autograd.record import differentiable
from minigrad.ops.arithmetic import selected
from minigrad.ops.discrete import argsort
from minigrad.ops.indexing import take_along_axis
from minigrad.ops.reduction import no_out
from minigrad.ops.shape import concatenate, moveaxis, ravel, stack
from minigrad.tensor import Tensor


def sort(a: ArrayLike, axis: int | None = -1, descending: bool = False) -> Tensor:
    """The elements along `axis` in rising (or falling) order; None: all elements, as a vector.

    It gives the values alone; ``argsort`` gives their places before. Equal elements keep their
    order, and NaN counts as the largest.
    """
    a = operand(a)
    a, axis = (ravel(a), 0) if axis is None else (a, one_axis(a.ndim, axis, "sort"))
    return take_along_axis(a, argsort(bare(a), axis, descending), axis)


def topk(a: ArrayLike, k: int, axis: int = -1, largest: bool = True) -> tuple[Tensor, Tensor]:
    """The `k` largest (or smallest) elements along `axis`, and their places.

    Parameters
    ----------
    a
        any shape with an axis.
    k
        how many, from 0 to the length of the axis.
    axis
        the axis along which to look.
    largest
        False: the smallest.

    Returns
    -------
    (values, indices): the values in falling (for the smallest: rising) order, on the tape; and
    their places along `axis`, constants. Of equal elements the first are taken; NaN is the largest.

    Raises
    ------
    ValueError
        if the axis has fewer than `k` elements.
    """
    a = operand(a)
    axis = one_axis(a.ndim, axis, "topk")
    order = argsort(a, axis, largest)
    if not 0 <= k <= a.shape[axis]:
        raise ValueError(f"topk: k is {k}, but axis {axis} has {a.shape[axis]} elements")
    indices = order[(slice(None),) * axis + (slice(0, k),)]
    return take_along_axis(a, indices, axis), indices


def _cumprod_gradient(g: Any, a: Any, axis: int) -> Any:
    """The gradient of a_i, (a_0 ... a_{i-1}) (g_i + a_{i+1} (g_{i+1} + a_{i+2} (...))).

    It never divides by an element, so zeros do no harm.
    """
    a, g = moveaxis(a, axis, 0), moveaxis(g, axis, 0)
    if not len(a):
        return moveaxis(g, 0, axis)
    after = [g[-1]]
    for i in reversed(range(len(a) - 1)):
        after.append(g[i] + selected(a[i + 1], after[-1]))
    before = _cumprod(concatenate([zeros(a[:1].shape, a) + 1, a[:-1]]), 0)
    return moveaxis(selected(before, stack(after[::-1])), 0, axis)


@differentiable(a=_cumprod_gradient)
def _cumprod(a: Array, axis: int, dtype: DType = None) -> Array:
    return a.cumprod(axis, dtype=dtype)


def cumprod(a: ArrayLike, axis: int | None = None, dtype: DType = None, out: None = None) -> Tensor:
    """Running product along `axis`; None: over all elements in order, as a vector.

    The derivative is exact also where elements are 0.
    """
    no_out("cumprod", out)
    return _cumprod(ravel(a), 0, dtype) if axis is None else _cumprod(a, axis, dtype)
