"""Ops of neural networks: embedding lookup, dropout, layer normalisation."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.arrays import random
from minigrad.arrays.devices import beside
from minigrad.arrays.kernel import THREADS, usable
from minigrad.arrays.library import FLOAT32, Array, ArrayLike, array_module, as_array, bare, on_gpu
from minigrad.arrays.recording import one_call
from minigrad.arrays.row_sums import add_rows
from minigrad.arrays.sums import summed_rows, total, wide
from minigrad.autograd.fused import fused
from minigrad.autograd.node import Leaf
from minigrad.autograd.operands import operand
from minigrad.autograd.record import differentiable
from minigrad.autograd.sparse import RowSparse
from minigrad.ops.arithmetic import in_dtype, where
from minigrad.ops.indexing import all_below
from minigrad.ops.kernels import dropout_mask, take_rows
from minigrad.ops.reduction import mean, var
from minigrad.tensor import Tensor, wrap

DRAWS = 1 << 16
"""How many different numbers dropout draws."""


def _embedding_gradient(
    g: Any, ids: Array, weight_shape: tuple[int, int], padding_idx: int | None, sparse: bool
) -> Any:
    if padding_idx is not None:
        looked_up = ids != padding_idx
        if not on_gpu(ids) or sparse:
            ids, g = ids[looked_up], g[looked_up]
        else:  # a mask as an index would wait for the GPU
            g = where(looked_up[..., None], g, 0.0)
    if sparse and not isinstance(g, Tensor):
        return RowSparse(ids, g, weight_shape)
    return _sum_rows(g, ids, weight_shape)


@differentiable(weight=_embedding_gradient)
def _embedding(ids: Array, weight: ArrayLike, padding_idx: int | None, sparse: bool) -> Array:
    if usable(weight):
        return _taken_by_kernel(ids, weight, 0)
    xp, rows = array_module(weight), weight.shape[0]
    if not on_gpu(weight) or isinstance(weight, Tensor):
        return _taken(weight, ids, 0)
    inside = (ids >= 0) & (ids < rows)
    nan = xp.full((), np.nan, weight.dtype)
    return xp.where(inside[..., None], weight.take(xp.where(inside, ids, 0), 0), nan)


def _taken(matrix: Any, ids: Array, axis: int) -> Any:
    """The rows or columns with these ids, which were checked: on the CPU this saves time."""
    if isinstance(matrix, Tensor) or on_gpu(matrix):
        return matrix.take(ids, axis)
    return matrix.take(ids.astype(np.intp, copy=False), axis, mode="clip")


def _taken_by_kernel(ids: Array, matrix: Array, axis: int) -> Array:
    """The row (with `axis` 1: the column) of `matrix` for each id; NaN for ids that it lacks."""
    xp = array_module(ids)
    matrix, ids = xp.ascontiguousarray(matrix), ids.astype(np.int64, order="C", copy=False)
    (by_id, along), width = ((matrix.shape[1], 1)[:: 1 - 2 * axis], matrix.shape[1 - axis])
    out = xp.empty((*ids.shape, width), matrix.dtype)
    take_rows.over(out.size, out.dtype, width, matrix.shape[axis], by_id, along, ids, matrix, out)
    return out


@one_call("result")
def _fill(result: Array, ids: Array, rows: Array) -> None:
    """Make `result` 0, but for the sums of the `rows` of each id."""
    ids, sums = summed_rows(ids, rows)
    result.fill(0)
    result[ids] = sums


@differentiable(rows=lambda g, ids: _embedding(ids, g, None, False))
def _sum_rows(rows: Array, ids: Array, shape: tuple[int, int]) -> Array:
    """A matrix of `shape` whose row i is the sum of the `rows` with id i."""
    xp, given = array_module(rows), rows.dtype
    ids, rows = ids.reshape(-1), rows.reshape(ids.size, shape[1])
    if not on_gpu(rows):
        result = xp.empty(shape, given)
        _fill(result, ids, rows)
        return result
    rows = xp.ascontiguousarray(rows.astype(wide(given), copy=False))
    ids, result = ids.astype(np.int64, copy=False), xp.zeros(shape, rows.dtype)
    add_rows(result, ids, rows)  # those outside have been shown as NaN, by `take_rows`
    return result.astype(given, copy=False)


def embedding(
    ids: ArrayLike, weight: ArrayLike, padding_idx: int | None = None, sparse: bool = False
) -> Tensor:
    """The row of `weight` for each of `ids`: the product of a one-hot vector with `weight`.

    Parameters
    ----------
    ids
        integers from 0 to rows - 1, any shape.
    weight
        shape (rows, features).
    padding_idx
        an id whose row gets no gradient.
    sparse
        give `weight` its gradient as a `minigrad.RowSparse` of the rows that were looked up; SGD,
        Adagrad and Adam then update these rows alone. The gradient is dense all the same under
        ``create_graph=True``, for a weight that is the result of an op, and where a dense gradient
        is added to it or a hook gets it.

    Returns
    -------
    Tensor of shape ids.shape + (features,).

    Raises
    ------
    TypeError, IndexError
        if ids are not integers, or one is outside the rows (also if it is negative). On a GPU ids
        are not checked: the row of such an id is NaN.
    """
    weight, listed = operand(weight), isinstance(ids, list | tuple | int)
    if listed:
        ids = np.array(ids) if np.size(ids) else np.zeros(np.shape(ids), np.int64)
    where_from, ids = ids, as_array(bare(ids))
    if ids.dtype.kind not in "iu":
        raise TypeError(
            f"embedding: ids must be integers, not {ids.dtype} {ids.shape}; "
            "Python numbers become float32 in mg.tensor unless it is given dtype=int"
        )
    if weight.ndim != 2:
        raise ValueError(f"embedding: weight has shape {weight.shape}, expected (rows, features)")
    rows = weight.shape[0]
    if not on_gpu(ids) and not all_below(ids, rows):
        worst = ids.max() if ids.max() >= rows else ids.min()
        raise IndexError(f"embedding: id {worst} is outside the {rows} rows of weight")
    if not isinstance(where_from, Tensor):
        ids = beside(ids, weight) if listed else operand(ids, [weight])
    if ids.ndim == 0:
        return embedding(wrap(ids[None]), weight, padding_idx, sparse)[0]
    if padding_idx is not None and not -rows <= padding_idx < rows:
        raise IndexError(f"embedding: padding_idx {padding_idx} is outside the {rows} rows")
    padding_idx = None if padding_idx is None else int(padding_idx) % rows
    # the gradient of an op's result goes into the op's rule, which is written for arrays
    sparse = sparse and isinstance(getattr(weight, "_node", None), Leaf)
    return _embedding(ids, weight, padding_idx, sparse)


def _columns_gradient(g: Any, ids: Any, weight_shape: Any) -> Any:
    return _sum_columns(g, ids, weight_shape)


@differentiable(weight=_columns_gradient)
def columns(ids: Array, weight: ArrayLike) -> Array:
    """The column of `weight` for each of `ids`: the product of `weight` with a one-hot vector."""
    if usable(weight):
        return _taken_by_kernel(ids, weight, 1)
    return array_module(weight).moveaxis(_taken(weight, ids, 1), 0, -1)


@differentiable(values=lambda g, ids: columns(ids, g))
def _sum_columns(values: Array, ids: Array, shape: tuple[int, int]) -> Array:
    """A matrix of `shape` whose column i is the sum of the `values` with id i."""
    if on_gpu(values):
        return _sum_rows(values, ids, shape[::-1]).T
    result = array_module(values).empty(shape, values.dtype)
    _fill(result.T, ids.reshape(-1), values.reshape(ids.size, shape[0]))
    return result


def dropout(
    x: ArrayLike,
    p: float = 0.5,
    training: bool = True,
    rng: np.random.Generator | None = None,
    shared_axis: int | None = None,
) -> Tensor:
    """In training, `x` with each element 0 with probability `p`, and the others times 1 / (1 - p).

    Srivastava et al. (2014), Dropout: a simple way to prevent neural networks from overfitting.

    Parameters
    ----------
    x
        floats of any shape.
    p
        from 0 to 1; rounded to a multiple of 2^-16.
    training
        False: `x` as it is.
    rng
        the generator to draw from; None: minigrad's own (see `minigrad.manual_seed`). On a GPU two
        numbers are drawn from it, and the device makes the mask from them. The same generator gives
        the same mask each time, but another one than on the CPU.
    shared_axis
        along this axis there is one draw for all elements: they are dropped or kept together.

    Raises
    ------
    TypeError, ValueError
        if `x` is not floating-point, `p` is not from 0 to 1, or `x` has no such axis.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"dropout: p must be from 0 to 1, not {p}")
    x, p = operand(x), float(p)
    if x.dtype.kind != "f":
        raise TypeError(f"dropout: x must be floats, not {x.dtype} {x.shape}")
    if not training or p == 0:
        same: Tensor = x
        return same
    shape = list(x.shape)
    if shared_axis is not None:
        if not -x.ndim <= shared_axis < x.ndim:
            raise ValueError(f"dropout: shared_axis {shared_axis} is no axis of {x.shape}")
        shape[shared_axis] = 1
    return thinned(x, *drawn(x, shape, p, rng))


def _thinned_gradient(g: Any, kept: Any, scale: Any) -> Any:
    return thinned(g, kept, scale)


@differentiable(x=_thinned_gradient)
def thinned(x: ArrayLike, kept: Array, scale: float) -> Array:
    """`x` times `scale` where the mask `kept` is True, else 0, even for an infinite `x`."""
    return where(kept, x * x.dtype.type(scale), 0.0)


def drawn(
    x: Any, shape: Sequence[int], p: float, rng: np.random.Generator | None
) -> tuple[Array, float]:
    """A dropout mask of `shape`, on the device of `x`, False with probability `p`; and 1 / (1 - p).

    On the CPU `rng` draws each number. On a GPU it draws a key, from which the device makes them.
    """
    rng, drop, scale = random.generator(rng), round(p * DRAWS), 1 / (1 - p) if p < 1 else 1.0
    if not on_gpu(x):
        # drawing takes most of the time of dropout; integers of 16 bits take half that of floats
        return _mask(rng, tuple(shape), drop), scale
    kept = array_module(x).empty(shape, bool)
    _draw(rng, drop, kept)
    return kept, scale


@one_call()
def _mask(rng: np.random.Generator, shape: tuple[int, ...], drop: int) -> Array:
    return rng.integers(DRAWS, size=shape, dtype=np.uint16) >= drop


@one_call("kept")
def _draw(rng: np.random.Generator, drop: int, kept: Array) -> None:
    low, high = rng.integers(1 << 32, size=2).tolist()
    blocks = -(-kept.size // (4 * THREADS))
    dropout_mask(blocks, THREADS, FLOAT32, kept.size, low, high, drop << 16, kept)


# ---------------------------------------------------------------------- layer normalisation


def composed_layer_norm(
    x: Any, weight: Any, bias: Any, normalized_shape: tuple[int, ...], eps: float
) -> Any:
    """Layer normalisation composed of plain ops: the twin of the fused one."""
    axes = tuple(range(-len(normalized_shape), 0))
    given = np.result_type(*[a.dtype for a in (x, weight, bias) if a is not None])
    x = in_dtype(x, wide(x.dtype))
    centred = x - mean(x, axes, keepdims=True)
    y = centred / (var(x, axes, keepdims=True) + eps) ** 0.5
    if weight is not None:
        y = y * weight
    return in_dtype(y if bias is None else y + bias, given)


def _layer_norm_backward(
    g: Any, kept: tuple[Array, Array], weight: Any, normalized_shape: tuple[int, ...]
) -> list[Any]:
    """dx = (dy - mean(dy) - y mean(dy y)) / std, with y the normalised values and dy = g weight."""
    y, inverse_std = kept
    axes, given = tuple(range(-len(normalized_shape), 0)), g.dtype
    g, batch = g.astype(y.dtype, "C", copy=False), y.ndim - len(normalized_shape)
    lead = 0 if batch == 1 else tuple(range(batch))
    dy = g if weight is None else g * weight
    dx = dy - dy.mean(axes, keepdims=True)
    dx -= y * (dy * y).mean(axes, keepdims=True)
    dx *= inverse_std
    of_parameters = [None if weight is None else total(g * y, lead), total(g, lead)]
    return [None if d is None else d.astype(given, copy=False) for d in (dx, *of_parameters)]


@fused(twin=composed_layer_norm, backward=_layer_norm_backward, inputs=["x", "weight", "bias"])
def _layer_norm(
    x: Any, weight: Any, bias: Any, normalized_shape: tuple[int, ...], eps: float
) -> tuple[Any, Any]:
    xp, axes = array_module(x), tuple(range(-len(normalized_shape), 0))
    given = [a.dtype for a in (x, weight, bias) if a is not None]
    x = x.astype(wide(x.dtype), "C", copy=False)  # so sums along the last axes are exact
    y = x - x.mean(axes, keepdims=True)
    inverse_std = 1 / xp.sqrt((y * y).mean(axes, keepdims=True) + eps)
    y *= inverse_std
    out = y if weight is None else y * weight
    out = (out.copy() if out is y else out) if bias is None else out + bias
    if given[0] != x.dtype:
        out = out.astype(np.result_type(*given))
    return out, (y, inverse_std)


def layer_norm(
    x: ArrayLike,
    normalized_shape: int | Sequence[int],
    weight: ArrayLike = None,
    bias: ArrayLike = None,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / sqrt(variance + eps) over the last axes, times `weight`, plus `bias`.

    Ba, Kiros and Hinton (2016), Layer normalization.

    Parameters
    ----------
    x
        floats of shape (...) + normalized_shape.
    normalized_shape
        the shape of those last axes; a number if there is one.
    weight, bias
        shape `normalized_shape`, or None.
    eps
        keeps the root away from 0.

    Raises
    ------
    ValueError
        if the shapes do not fit.
    """
    x = operand(x)
    if x.dtype.kind != "f":
        raise TypeError(f"layer_norm: x must be floats, not {x.dtype} {x.shape}")
    sizes = normalized_shape if np.iterable(normalized_shape) else (normalized_shape,)
    shape = tuple([operator.index(n) for n in sizes])
    if not shape or x.shape[-len(shape) :] != shape or math.prod(shape) == 0:
        raise ValueError(f"layer_norm: x has shape {x.shape}, expected (..., *{shape}), not empty")
    for name, value in (("weight", weight), ("bias", bias)):
        if value is not None and value.shape != shape:
            raise ValueError(f"layer_norm: {name} has shape {value.shape}, expected {shape}")
    return _layer_norm(x, weight, bias, shape, float(eps))
