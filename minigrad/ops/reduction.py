"""Ops that reduce along axes: sums, means, extrema, variances, norms of softmax.

`axis` is None (all axes), one axis or a tuple of them, as in NumPy; `out` stands in the signatures
because NumPy has it there, and must be None.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.arrays.axes import kept_shape, reduced_axes, reduced_count
from minigrad.arrays.library import Array, ArrayLike, Axis, DType, array_module, bare
from minigrad.arrays.sums import running, total, wide
from minigrad.autograd.record import differentiable
from minigrad.ops.arithmetic import clip, exp, in_dtype, selected, where
from minigrad.ops.shape import broadcast_to, concatenate, flip, moveaxis, ravel, stack
from minigrad.tensor import Tensor


@differentiable(a=lambda g, a_shape, axis: _spread(g, a_shape, axis))
def sum(
    a: ArrayLike, axis: Axis = None, dtype: DType = None, out: None = None, keepdims: bool = False
) -> Array:
    """Sum over `axis`."""
    _no_out("sum", out)
    return total(a, axis, keepdims, dtype)


@differentiable(
    a=lambda g, a_shape, axis: _spread(_over(g, reduced_count(a_shape, axis) or 1), a_shape, axis),
)
def mean(
    a: ArrayLike, axis: Axis = None, dtype: DType = None, out: None = None, keepdims: bool = False
) -> Array:
    """Mean over `axis`; of nothing it is NaN."""
    _no_out("mean", out)
    return _average(a, axis, keepdims, _float_dtype(a, dtype))


def _average(a: Any, axis: Axis, keepdims: bool, dtype: DType, ddof: float = 0) -> Any:
    """The sum over `axis` by n - `ddof`; where nothing is left to divide by, NaN or infinity."""
    sums = total(a, axis, keepdims, wide(dtype))
    return _over(sums, reduced_count(a.shape, axis) - ddof).astype(dtype, copy=False)


def _over(x: Any, count: float) -> Any:
    """The quotient, where a `count` below 0 is 0, and x / 0 is no reason for a warning."""
    if count > 0:
        # a count of above 65504 is infinite in float16
        return x * (1 / count) if x.dtype == np.float16 else x / count
    with np.errstate(all="ignore"):
        return x / 0


def _float_dtype(a: Any, dtype: DType) -> DType:
    """The dtype of a mean: `dtype`, or that of `a`, but float64 for integers."""
    return np.dtype(dtype or (a.dtype if a.dtype.kind == "f" else np.float64))


def _cumsum_gradient(g: Any, axis: Any) -> Any:
    return flip(_cumsum(flip(g, axis), axis), axis)


@differentiable(a=_cumsum_gradient)
def _cumsum(a: Array, axis: int, dtype: DType = None) -> Array:
    return running(a, axis, dtype)


def cumsum(a: ArrayLike, axis: int | None = None, dtype: DType = None, out: None = None) -> Tensor:
    """Running sum along `axis`; None: of all elements in order, as a vector."""
    _no_out("cumsum", out)
    return _cumsum(ravel(a), 0, dtype) if axis is None else _cumsum(a, axis, dtype)


def _share_of_ties(g: Any, a: Any, out: Any, axis: Axis) -> Any:
    """`g` to the elements that equal the extremum (or are NaN), in equal parts."""
    a, out = (bare(x) for x in (a, out))  # where the extremum lies is a constant
    shape = kept_shape(a.shape, axis)
    ties = (a == out.reshape(shape)) | (a != a)
    count = ties.sum(reduced_axes(a.ndim, axis), dtype=wide(a.dtype), keepdims=True)
    return where(ties, in_dtype(g.reshape(shape) / count, a.dtype), 0.0)


@differentiable(a=lambda g, a, out, axis: _share_of_ties(g, a, out, axis))
def max(a: ArrayLike, axis: Axis = None, out: None = None, keepdims: bool = False) -> Array:
    """Largest element over `axis`; NaN if there is one. Ties share the gradient equally.

    The values alone, as in NumPy, not a pair with their places as in PyTorch: those are
    ``argmax(a, axis)``. So ``v, i = x.max(1)`` would be the max of two rows.
    """
    _no_out("max", out)
    return a.max(axis, keepdims=keepdims)


@differentiable(a=lambda g, a, out, axis: _share_of_ties(g, a, out, axis))
def min(a: ArrayLike, axis: Axis = None, out: None = None, keepdims: bool = False) -> Array:
    """Smallest element over `axis`; NaN if there is one. Ties share the gradient equally.

    The values alone, as in NumPy, not a pair with their places as in PyTorch: those are
    ``argmin(a, axis)``. So ``v, i = x.min(1)`` would be the min of two rows.
    """
    _no_out("min", out)
    return a.min(axis, keepdims=keepdims)


def _spread_gradient(g: Any, a: Any, axis: Axis, ddof: float) -> Any:
    """The gradient of half the variance."""
    g = g.reshape(kept_shape(a.shape, axis))
    return in_dtype(selected(g, _centred(a, axis, ddof)), a.dtype)


def _centred(a: Any, axis: Axis, ddof: float) -> Any:
    """(a - mean) / (n - ddof): the derivative of half the variance."""
    a = in_dtype(a, wide(a.dtype))
    return _over(a - mean(a, axis, keepdims=True), reduced_count(a.shape, axis) - ddof)


def _variance(a: Any, axis: Axis, keepdims: bool, dtype: DType, ddof: float) -> Any:
    a = a.astype(wide(dtype), copy=False)
    deviations = a - _average(a, axis, True, a.dtype)
    return _average(deviations * deviations, axis, keepdims, a.dtype, ddof)


@differentiable(a=lambda g, a, axis, ddof: _spread_gradient(g * 2, a, axis, ddof))
def var(
    a: ArrayLike,
    axis: Axis = None,
    dtype: DType = None,
    out: None = None,
    ddof: float = 0,
    keepdims: bool = False,
) -> Array:
    """Variance over `axis`: the sum of squared deviations from the mean, over n - `ddof`.

    Where that divides by nothing it is NaN (or infinite), as it is of nothing.
    """
    _no_out("var", out)
    dtype = _float_dtype(a, dtype)
    return _variance(a, axis, keepdims, dtype, ddof).astype(dtype, copy=False)


@differentiable(
    a=lambda g, a, out, axis, ddof: _spread_gradient(g / where(out == 0, 1.0, out), a, axis, ddof),
)
def std(
    a: ArrayLike,
    axis: Axis = None,
    dtype: DType = None,
    out: None = None,
    ddof: float = 0,
    keepdims: bool = False,
) -> Array:
    """Standard deviation over `axis`. Its derivative is taken as 0 where all elements are equal."""
    _no_out("std", out)
    dtype = _float_dtype(a, dtype)
    variance = _variance(a, axis, keepdims, dtype, ddof)
    return array_module(a).sqrt(variance).astype(dtype, copy=False)


def _softmax_gradient(g: Any, a: Any, out: Any, axis: Axis) -> Any:
    shape, dtype = kept_shape(a.shape, axis), a.dtype
    if dtype == np.float16:  # whose `out` has lost too much
        a = a.astype(np.float32)
        out = logsumexp(a, axis)
    largest = _largest(a.dtype)  # so that infinity is not taken from infinity
    out = clip(out, -largest, largest).reshape(shape)
    return g.reshape(shape) * in_dtype(exp(clip(a, None, largest) - out), dtype)


@differentiable(a=_softmax_gradient)
def logsumexp(a: ArrayLike, axis: Axis = None, keepdims: bool = False) -> Array:
    """Log of the sum over `axis` of exp(a), for elements of any size; -inf for none."""
    xp, dtype = array_module(a), _float_dtype(a, None)
    if reduced_count(a.shape, axis) == 0:
        return total(a, axis, keepdims, dtype) - np.inf
    a = a.astype(wide(dtype), copy=False)
    largest = _largest(dtype)
    top = xp.clip(a.max(axis, keepdims=True), -largest, largest)
    with np.errstate(divide="ignore", over="ignore"):  # where all are -inf, or one is +inf
        y = xp.log(total(xp.exp(a - top), axis, True)) + top
    y = y.astype(dtype, copy=False)
    return y if keepdims else y.squeeze(reduced_axes(a.ndim, axis))


def _largest(dtype: DType) -> float:
    return float(np.finfo(dtype).max)


@differentiable(
    a=lambda g, a, axis: selected(
        g.reshape(kept_shape(a.shape, axis)), _products_of_others(a, axis)
    ),
)
def prod(
    a: ArrayLike, axis: Axis = None, dtype: DType = None, out: None = None, keepdims: bool = False
) -> Array:
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


def _spread(g: Any, shape: tuple[int, ...], axis: Axis) -> Any:
    """The gradient of a reduction, handed to every element that went into it."""
    return broadcast_to(g.reshape(kept_shape(shape, axis)), shape)


def _no_out(op: str, out: None) -> None:
    if out is not None:
        raise TypeError(f"{op}: out must be None; minigrad's ops make new tensors")
