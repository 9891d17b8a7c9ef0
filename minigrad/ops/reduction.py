"""Ops that reduce along axes: sums, means, extrema, variances, norms of softmax.

`axis` is None (all axes), one axis or a tuple of them, as in NumPy; `out` stands in the signatures
because NumPy has it there, and must be None.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from minigrad.backend import Array, ArrayLike, Axis, DType, array_module
from minigrad.ops.arithmetic import exp, where
from minigrad.ops.shape import broadcast_to, concatenate, flip, moveaxis, ravel, stack
from minigrad.recording import differentiable

if TYPE_CHECKING:
    from minigrad.tensor import Tensor


def reduced_axes(ndim: int, axis: Axis) -> tuple[int, ...]:
    """`axis` as a tuple of axes from 0 to `ndim` - 1."""
    if axis is None:
        return tuple(range(ndim))
    axes = tuple(axis) if isinstance(axis, tuple | list) else (axis,)
    return tuple(i + ndim if i < 0 else i for i in axes)


def kept_shape(shape: tuple[int, ...], axis: Axis) -> tuple[int, ...]:
    """`shape` with a 1 at each reduced axis, as ``keepdims=True`` gives it."""
    axes = reduced_axes(len(shape), axis)
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


def reduced_count(shape: tuple[int, ...], axis: Axis) -> int:
    """How many elements go into each element of a reduction."""
    return math.prod(shape[i] for i in reduced_axes(len(shape), axis))


def _spread(g: Any, shape: tuple[int, ...], axis: Axis) -> Any:
    """The gradient of a reduction, handed to every element that went into it."""
    return broadcast_to(g.reshape(kept_shape(shape, axis)), shape)


def _no_out(op: str, out: None) -> None:
    if out is not None:
        raise TypeError(f"{op}: out must be None; minigrad's ops make new tensors")


@differentiable(a=lambda g, a_shape, axis: _spread(g, a_shape, axis))
def sum(
    a: ArrayLike, axis: Axis = None, dtype: DType = None, out: None = None, keepdims: bool = False
) -> Tensor:
    """Sum over `axis`."""
    _no_out("sum", out)
    return a.sum(axis, dtype=dtype, keepdims=keepdims)


@differentiable(
    a=lambda g, a_shape, axis: _spread(g / reduced_count(a_shape, axis), a_shape, axis),
)
def mean(
    a: ArrayLike, axis: Axis = None, dtype: DType = None, out: None = None, keepdims: bool = False
) -> Tensor:
    """Mean over `axis`."""
    _no_out("mean", out)
    return a.mean(axis, dtype=dtype, keepdims=keepdims)


@differentiable(
    a=lambda g, a, axis: g.reshape(kept_shape(a.shape, axis)) * _products_of_others(a, axis),
)
def prod(
    a: ArrayLike, axis: Axis = None, dtype: DType = None, out: None = None, keepdims: bool = False
) -> Tensor:
    """Product over `axis`. The derivative is exact where elements are 0, too."""
    _no_out("prod", out)
    return a.prod(axis, dtype=dtype, keepdims=keepdims)


def _products_of_others(a: Any, axis: Axis) -> Any:
    """For each element, the product of all others that are reduced with it; without a division."""
    axes = reduced_axes(a.ndim, axis)
    last = tuple(range(-len(axes), 0))
    a = moveaxis(a, axes, last)
    flat = a.reshape(*a.shape[: a.ndim - len(axes)], reduced_count(a.shape, last))
    return moveaxis(_others(flat).reshape(a.shape), last, axes)


def _others(a: Any) -> Any:
    """The same along the last axis: the partner's value, times the product of all other pairs."""
    xp, n = array_module(a), a.shape[-1]
    if n < 2:
        return xp.ones(a.shape, a.dtype)
    if n % 2:
        one = xp.ones((*a.shape[:-1], 1), a.dtype)
        return _others(concatenate([a, one], -1))[..., :n]
    even, odd = a[..., 0::2], a[..., 1::2]
    rest = _others(even * odd)
    return stack([odd * rest, even * rest], -1).reshape(a.shape)


def _share_of_ties(g: Any, a: Any, out: Any, axis: Axis) -> Any:
    """`g` to the elements that equal the extremum (or are NaN), in equal parts."""
    a, out = (getattr(x, "_data", x) for x in (a, out))  # where the extremum lies is a constant
    ties = ((a == out.reshape(kept_shape(a.shape, axis))) | (a != a)).astype(a.dtype)
    axes = reduced_axes(a.ndim, axis)
    return g.reshape(kept_shape(a.shape, axis)) * (ties / ties.sum(axes, keepdims=True))


@differentiable(a=lambda g, a, out, axis: _share_of_ties(g, a, out, axis))
def max(a: ArrayLike, axis: Axis = None, out: None = None, keepdims: bool = False) -> Tensor:
    """Largest element over `axis`; NaN if there is one. Ties share the gradient equally.

    The values alone, as in NumPy, not a pair with their places as in PyTorch: those are
    ``argmax(a, axis)``. So ``v, i = x.max(1)`` would be the max of two rows.
    """
    _no_out("max", out)
    return a.max(axis, keepdims=keepdims)


@differentiable(a=lambda g, a, out, axis: _share_of_ties(g, a, out, axis))
def min(a: ArrayLike, axis: Axis = None, out: None = None, keepdims: bool = False) -> Tensor:
    """Smallest element over `axis`; NaN if there is one. Ties share the gradient equally.

    The values alone, as in NumPy, not a pair with their places as in PyTorch: those are
    ``argmin(a, axis)``. So ``v, i = x.min(1)`` would be the min of two rows.
    """
    _no_out("min", out)
    return a.min(axis, keepdims=keepdims)


def _centred(a: Any, axis: Axis, ddof: float) -> Any:
    """(a - mean) / (n - ddof): the derivative of half the variance."""
    count = reduced_count(a.shape, axis) - ddof
    return (a - a.mean(axis, keepdims=True)) / count


@differentiable(
    a=lambda g, a, axis, ddof: g.reshape(kept_shape(a.shape, axis)) * (_centred(a, axis, ddof) * 2),
)
def var(
    a: ArrayLike,
    axis: Axis = None,
    dtype: DType = None,
    out: None = None,
    ddof: float = 0,
    keepdims: bool = False,
) -> Tensor:
    """Variance over `axis`: the sum of squared deviations from the mean, over n - `ddof`."""
    _no_out("var", out)
    return a.var(axis, dtype=dtype, ddof=ddof, keepdims=keepdims)


@differentiable(
    a=lambda g, a, out, axis, ddof: (
        (g / where(out == 0, 1.0, out)).reshape(kept_shape(a.shape, axis)) * _centred(a, axis, ddof)
    ),
)
def std(
    a: ArrayLike,
    axis: Axis = None,
    dtype: DType = None,
    out: None = None,
    ddof: float = 0,
    keepdims: bool = False,
) -> Tensor:
    """Standard deviation over `axis`. Its derivative is taken as 0 where all elements are equal."""
    _no_out("std", out)
    return a.std(axis, dtype=dtype, ddof=ddof, keepdims=keepdims)


@differentiable(
    a=lambda g, a, out, axis: (
        g.reshape(kept_shape(a.shape, axis))
        * exp(a - _finite(out).reshape(kept_shape(a.shape, axis)))
    ),
)
def logsumexp(a: ArrayLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Log of the sum over `axis` of exp(a), for elements of any size."""
    xp = array_module(a)
    axes = reduced_axes(a.ndim, axis)
    top = _finite(a.max(axes, keepdims=True))
    total = xp.log(xp.exp(a - top).sum(axes, keepdims=True)) + top
    return total if keepdims else total.reshape([n for i, n in enumerate(a.shape) if i not in axes])


def _finite(x: Any) -> Any:
    """`x`, with 0 where it is infinite, so that inf - inf does not come up."""
    return where(array_module(x).isinf(getattr(x, "_data", x)), 0.0, x)


@differentiable(a=lambda g, axis: flip(_cumsum(flip(g, axis), axis), axis))
def _cumsum(a: Array, axis: int, dtype: DType = None) -> Any:
    return a.cumsum(axis, dtype=dtype)


def cumsum(a: ArrayLike, axis: int | None = None, dtype: DType = None, out: None = None) -> Tensor:
    """Running sum along `axis`; None: of all elements in order, as a vector."""
    _no_out("cumsum", out)
    return _cumsum(ravel(a), 0, dtype) if axis is None else _cumsum(a, axis, dtype)
