"""Ops that reduce along axes: sums, means, maxima, variances, logsumexp, products; running sums.

`axis` is None (all axes), one axis or a tuple of axes, as in NumPy. `out` is in the signatures
because NumPy has it there; it must be None.
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


def _spread(g: Any, a_shape: tuple[int, ...], axis: Axis) -> Any:
    """The gradient of a sum: `g` for each element that went into it."""
    return broadcast_to(g.reshape(kept_shape(a_shape, axis)), a_shape)


@differentiable(a=_spread)
def sum(
    a: ArrayLike, axis: Axis = None, dtype: DType = None, out: None = None, keepdims: bool = False
) -> Array:
    """Sum over `axis`."""
    no_out("sum", out)
    return total(a, axis, keepdims, dtype)


@differentiable(
    a=lambda g, a_shape, axis: _spread(_over(g, reduced_count(a_shape, axis) or 1), a_shape, axis),
)
def mean(
    a: ArrayLike, axis: Axis = None, dtype: DType = None, out: None = None, keepdims: bool = False
) -> Array:
    """Mean over `axis`; NaN if there are no elements."""
    no_out("mean", out)
    return _average(a, axis, keepdims, _float_dtype(a, dtype))


def _average(a: Any, axis: Axis, keepdims: bool, dtype: DType, ddof: float = 0) -> Any:
    """The sum over `axis`, divided by n - `ddof`; NaN or infinite if this is 0 or less."""
    sums = total(a, axis, keepdims, wide(dtype))
    return _over(sums, reduced_count(a.shape, axis) - ddof).astype(dtype, copy=False)


def _over(x: Any, count: float) -> Any:
    """x / `count`, where a `count` below 0 counts as 0; without a warning for x / 0."""
    if count > 0:
        # a count above 65504 is infinite in float16
        return x * (1 / count) if x.dtype == np.float16 else x / count
    with np.errstate(all="ignore"):
        return x / 0


def _float_dtype(a: Any, dtype: DType) -> DType:
    """The dtype of a mean: `dtype`, or that of `a`, but float64 for integers."""
    return np.dtype(dtype or (a.dtype if a.dtype.kind == "f" else np.float64))


def _cumsum_gradient(g: Any, axis: Any) -> Any:
    """For each element, the sum of `g` from its place to the end."""
    return flip(_cumsum(flip(g, axis), axis), axis)


@differentiable(a=_cumsum_gradient)
def _cumsum(a: Array, axis: int, dtype: DType = None) -> Array:
    return running(a, axis, dtype)


def cumsum(a: ArrayLike, axis: int | None = None, dtype: DType = None, out: None = None) -> Tensor:
    """Running sum along `axis`; None: over all elements in order, as a vector."""
    no_out("cumsum", out)
    return _cumsum(ravel(a), 0, dtype) if axis is None else _cumsum(a, axis, dtype)


def _extremum_gradient(g: Any, a: Any, out: Any, axis: Axis) -> Any:
    """`g` for the elements that equal the maximum or minimum (or are NaN), in equal parts."""
    a, out = (bare(x) for x in (a, out))  # the place of the extremum is a constant
    shape = kept_shape(a.shape, axis)
    ties = (a == out.reshape(shape)) | (a != a)
    count = ties.sum(reduced_axes(a.ndim, axis), dtype=wide(a.dtype), keepdims=True)
    return where(ties, in_dtype(g.reshape(shape) / count, a.dtype), 0.0)


@differentiable(a=_extremum_gradient)
def max(a: ArrayLike, axis: Axis = None, out: None = None, keepdims: bool = False) -> Array:
    """Largest element over `axis`; NaN if there is one. Equal elements share the gradient equally.

    It gives the values alone, as in NumPy; PyTorch gives a pair (values, indices). The indices are
    ``argmax(a, axis)``. Do not write ``v, i = x.max(1)``: it unpacks the values of two rows.
    """
    no_out("max", out)
    return a.max(axis, keepdims=keepdims)


@differentiable(a=_extremum_gradient)
def min(a: ArrayLike, axis: Axis = None, out: None = None, keepdims: bool = False) -> Array:
    """Smallest element over `axis`; NaN if there is one. Equal elements share the gradient equally.

    It gives the values alone, as in NumPy; PyTorch gives a pair (values, indices). The indices are
    ``argmin(a, axis)``. Do not write ``v, i = x.min(1)``: it unpacks the values of two rows.
    """
    no_out("min", out)
    return a.min(axis, keepdims=keepdims)


def _half_variance_gradient(g: Any, a: Any, axis: Axis, ddof: float) -> Any:
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


@differentiable(a=lambda g, a, axis, ddof: _half_variance_gradient(g * 2, a, axis, ddof))
def var(
    a: ArrayLike,
    axis: Axis = None,
    dtype: DType = None,
    out: None = None,
    ddof: float = 0,
    keepdims: bool = False,
) -> Array:
    """Variance over `axis`: the sum of squared deviations from the mean, divided by n - `ddof`.

    It is NaN or infinite if n - `ddof` is 0 or less.
    """
    no_out("var", out)
    dtype = _float_dtype(a, dtype)
    return _variance(a, axis, keepdims, dtype, ddof).astype(dtype, copy=False)


@differentiable(
    a=lambda g, a, out, axis, ddof: _half_variance_gradient(
        g / where(out == 0, 1.0, out), a, axis, ddof
    ),
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
    no_out("std", out)
    dtype = _float_dtype(a, dtype)
    variance = _variance(a, axis, keepdims, dtype, ddof)
    return array_module(a).sqrt(variance).astype(dtype, copy=False)


def _logsumexp_gradient(g: Any, a: Any, out: Any, axis: Axis) -> Any:
    """d logsumexp(a) / d a = softmax(a) = exp(a - logsumexp(a))."""
    shape, dtype = kept_shape(a.shape, axis), a.dtype
    if dtype == np.float16:  # its `out` has lost too many digits
        a = a.astype(np.float32)
        out = logsumexp(a, axis)
    largest = _largest(a.dtype)  # as infinity - infinity is NaN
    out = clip(out, -largest, largest).reshape(shape)
    return g.reshape(shape) * in_dtype(exp(clip(a, None, largest) - out), dtype)


@differentiable(a=_logsumexp_gradient)
def logsumexp(a: ArrayLike, axis: Axis = None, keepdims: bool = False) -> Array:
    """log(sum(exp(a))) over `axis`, for elements of any size; -inf if there are none."""
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


def _prod_gradient(g: Any, a: Any, axis: Axis) -> Any:
    return selected(g.reshape(kept_shape(a.shape, axis)), _products_of_others(a, axis))


@differentiable(a=_prod_gradient)
def prod(
    a: ArrayLike, axis: Axis = None, dtype: DType = None, out: None = None, keepdims: bool = False
) -> Array:
    """Product over `axis`. The derivative is exact also where elements are 0."""
    no_out("prod", out)
    return a.prod(axis, dtype=dtype, keepdims=keepdims)


def _products_of_others(a: Any, axis: Axis) -> Any:
    """For each element, the product of all others that are reduced with it; it never divides."""
    axes = reduced_axes(a.ndim, axis)
    last = tuple(range(-len(axes), 0))
    a = moveaxis(a, axes, last)
    flat = a.reshape(*a.shape[: a.ndim - len(axes)], reduced_count(a.shape, last))
    return moveaxis(_others(flat).reshape(a.shape), last, axes)


def _others(a: Any) -> Any:
    """The same along the last axis: the other one of its pair, times all other pairs' products."""
    xp, n = array_module(a), a.shape[-1]
    if n < 2:
        return xp.ones(a.shape, a.dtype)
    if n % 2:
        one = xp.ones((*a.shape[:-1], 1), a.dtype)
        return _others(concatenate([a, one], -1))[..., :n]
    even, odd = a[..., 0::2], a[..., 1::2]
    rest = _others(even * odd)
    return stack([odd * rest, even * rest], -1).reshape(a.shape)


def no_out(op: str, out: None) -> None:
    if out is not None:
        raise TypeError(f"{op}: out must be None; minigrad's ops make new tensors")
