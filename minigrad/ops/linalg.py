"""Products of vectors, matrices and batches of them, and what is built on those."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.arrays.axes import kept_shape, one_axis
from minigrad.arrays.library import Array, ArrayLike, Axis, array_module
from minigrad.arrays.sums import total, wide
from minigrad.autograd.fused import joint
from minigrad.autograd.operands import operand
from minigrad.autograd.record import differentiable
from minigrad.ops.arithmetic import abs, multiply, power, selected, where
from minigrad.ops.reduction import max, min, sum
from minigrad.ops.shape import broadcast_to, expand_dims, ravel, reshape, squeeze, transpose
from minigrad.tensor import Tensor


def _rows(x: Any) -> Any:
    """`x` as a matrix: all axes but the last in one."""
    return x if x.ndim == 2 else x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def _times(a: Any, b: Any) -> Any:
    """a b. Of two matrices NumPy's `dot` is faster, most of all where one of them is thin."""
    return a @ b if isinstance(a, Tensor) or not a.ndim == b.ndim == 2 else a.dot(b)


def _left_gradient(g: Any, x1: Any, x2: Any) -> Any:
    """g x2^T, for vectors too."""
    if x2.ndim == 1:
        return expand_dims(g, -1) * x2
    if x1.ndim == 1:
        return squeeze(expand_dims(g, -2) @ x2.swapaxes(-1, -2), -2)
    return _times(g, x2.swapaxes(-1, -2))


def _right_gradient(g: Any, x1: Any, x2: Any) -> Any:
    """x1^T g, for vectors too."""
    if x1.ndim == 1:
        return x1 * g if x2.ndim == 1 else expand_dims(x1, -1) * expand_dims(g, -2)
    if x2.ndim == 1:
        return _rows(x1).T @ g.reshape(-1)
    if x2.ndim == 2:  # one product for the whole batch, already summed over it
        return _times(_rows(x1).T, _rows(g))
    return x1.swapaxes(-1, -2) @ g


@differentiable(x1=_left_gradient, x2=_right_gradient)
def matmul(x1: ArrayLike, x2: ArrayLike) -> Array:
    """Matrix product by NumPy's rules.

    A vector on the left is a row, a vector on the right a column. With more than two axes, the last
    two are matrices, and the axes before them are batches, broadcast together.
    """
    return _times(x1, x2)


@differentiable(
    x=lambda g, weight: _times(g, weight),
    weight=lambda g, x: _times(_rows(g).T, _rows(x)),
    bias=lambda g: g,
)
def linear(x: ArrayLike, weight: ArrayLike, bias: ArrayLike = None) -> Array:
    """x W^T + b: an affine map of the last axis.

    Parameters
    ----------
    x
        shape (..., in_features).
    weight
        shape (out_features, in_features), as in PyTorch.
    bias
        shape (out_features,), or None.

    Returns
    -------
    Tensor of shape (..., out_features).

    Raises
    ------
    ValueError
        if the last axis of `x` has another length than `in_features`.
    """
    if x.ndim == 0 or weight.ndim != 2 or x.shape[-1] != weight.shape[1]:
        raise ValueError(f"x needs the shape (..., {weight.shape[-1]}) to go with weight")
    y = _times(_rows(x), weight.T)
    if x.ndim != 2:
        y = y.reshape(*x.shape[:-1], weight.shape[0])
    if bias is None:
        return y
    if bias.dtype != y.dtype:
        return y + bias
    y += bias
    return y


def dot(a: ArrayLike, b: ArrayLike) -> Tensor:
    """NumPy's dot: a product with a number, or a sum of products over one axis of each.

    This is the last axis of `a`, and the last but one of `b` (of a vector, its only one).
    """
    a, b = operand(a), operand(b)
    if a.ndim == 0 or b.ndim == 0:
        return multiply(a, b)
    if a.ndim <= 2 and b.ndim <= 2:
        return matmul(a, b)
    return tensordot(a, b, ([a.ndim - 1], [np.maximum(b.ndim - 2, 0).item()]))


def outer(a: ArrayLike, b: ArrayLike) -> Tensor:
    """The product of each element of `a` with each element of `b`: shape (a.size, b.size)."""
    return multiply(reshape(a, (-1, 1)), ravel(b))


# ------------------------------------------------------------------------- diagonals and triangles


def _diagonal_gradient(g: Any, a_shape: Any, offset: Any, axis1: Any, axis2: Any) -> Any:
    return _on_diagonal(g, a_shape, offset, axis1, axis2)


@differentiable(a=_diagonal_gradient)
def diagonal(a: ArrayLike, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
    """The elements a[i, i + offset] of the matrices in two axes, along a new last axis."""
    return a.diagonal(offset, axis1, axis2)


@differentiable(values=lambda g, offset, axis1, axis2: diagonal(g, offset, axis1, axis2))
def _on_diagonal(
    values: Array, shape: tuple[int, ...], offset: int, axis1: int, axis2: int
) -> Array:
    xp = array_module(values)
    result = xp.zeros(shape, values.dtype)
    i = xp.arange(values.shape[-1])
    rows, columns = (i - offset, i) if offset < 0 else (i, i + offset)
    xp.moveaxis(result, (axis1, axis2), (-2, -1))[..., rows, columns] = values
    return result


def trace(a: ArrayLike, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """Sum of the elements on a diagonal."""
    return sum(diagonal(a, offset, axis1, axis2), -1)


def _tril_gradient(g: Any, k: Any) -> Any:
    return tril(g, k)


@differentiable(m=_tril_gradient)
def tril(m: ArrayLike, k: int = 0) -> Array:
    """The lower triangle of the matrices in the last two axes; 0 above the diagonal `k`."""
    return array_module(m).tril(m, k)


def _triu_gradient(g: Any, k: Any) -> Any:
    return triu(g, k)


@differentiable(m=_triu_gradient)
def triu(m: ArrayLike, k: int = 0) -> Array:
    """The upper triangle of the matrices in the last two axes; 0 below the diagonal `k`."""
    return array_module(m).triu(m, k)


# ------------------------------------------------------------------------------------------- norms


def _norm_gradient(g: Any, x: Any, out: Any, axis: Axis) -> Any:
    slope = g / where(out == 0, 1.0, out)
    return selected(slope.reshape(kept_shape(x.shape, axis)), x)


@differentiable(x=_norm_gradient)
def _norm(x: Array, axis: Axis, keepdims: bool) -> Array:
    wider = x.astype(wide(x.dtype), copy=False)
    return array_module(x).sqrt(total(wider * wider, axis, keepdims)).astype(x.dtype, copy=False)


def norm(
    x: ArrayLike, ord: float | str | None = None, axis: Axis = None, keepdims: bool = False
) -> Tensor:
    """Norm over `axis`; at zeros, where it has a kink or an infinite slope, the derivative is 0.

    Parameters
    ----------
    x
        any shape.
    ord
        None or ``"fro"``: the root of the sum of squares, over any axes. Over one axis (or of a
        vector) also 1, 2, another number p, ``inf`` or ``-inf``.
    axis, keepdims
        as in the reductions.

    Raises
    ------
    ValueError
        for another norm of matrices than Frobenius's: it would need singular values.
    """
    x = operand(x)
    if ord is None or ord == "fro":
        return _norm(x, axis, keepdims)
    if (
        not isinstance(ord, int | float | np.number)
        or (axis is None and x.ndim != 1)
        or isinstance(axis, tuple)
    ):
        raise ValueError(
            f"norm: ord={ord!r} over {x.ndim if axis is None else axis!r} axes is not supported; "
            'use ord=None or "fro" there, or a number over one axis'
        )
    if ord == 2:
        return _norm(x, axis, keepdims)
    if ord in (np.inf, -np.inf):
        return (max if ord > 0 else min)(abs(x), axis, keepdims=keepdims)
    if ord == 0:
        raise ValueError("norm: ord=0 counts elements, which has no derivative")
    if ord == 1:
        return sum(abs(x), axis, keepdims=keepdims)
    if x.dtype == np.float16:  # where powers soon overflow
        return norm(x.astype(np.float32), ord, axis, keepdims).astype(x.dtype)
    powers = _power_beside_zero(abs(x), ord)
    length: Tensor = _power_beside_zero(sum(powers, axis, keepdims=keepdims), 1 / ord)
    return length


def _power_beside_zero(x: Any, p: float) -> Any:
    """`x`, at least 0, to the power `p`; the derivative at 0 is 0, though it may be infinite."""
    return where(x == 0, 0.0 if p > 0 else np.inf, power(where(x == 0, 1.0, x), p))


# --------------------------------------------------------------- sums of products over chosen axes


def tensordot(a: ArrayLike, b: ArrayLike, axes: Any = 2) -> Tensor:
    """Sum of products over pairs of axes.

    `axes` is a number n: the last n axes of `a` go with the first n of `b`. Or it is a pair of
    lists: axes of `a`, and the axes of `b` that go with them.
    """
    a, b = operand(a), operand(b)
    if isinstance(axes, int | np.integer):
        if not 0 <= axes <= np.minimum(a.ndim, b.ndim):
            raise ValueError(f"tensordot: axes={axes} of shapes {a.shape} and {b.shape}")
        axes = (range(a.ndim - axes, a.ndim), range(axes))
    over_a, over_b = (
        [one_axis(x.ndim, n, "tensordot") for n in (over if np.iterable(over) else [over])]
        for x, over in zip((a, b), axes, strict=True)
    )
    shared = [a.shape[n] for n in over_a]
    twice = len(set(over_a)) < len(over_a) or len(set(over_b)) < len(over_b)
    if twice or shared != [b.shape[n] for n in over_b]:
        raise ValueError(
            f"tensordot: axes {over_a} of a shape {a.shape} do not match axes {over_b} of {b.shape}"
        )
    free_a = [n for n in range(a.ndim) if n not in over_a]
    free_b = [n for n in range(b.ndim) if n not in over_b]
    count = int(np.prod(shared))
    kept_a, kept_b = [a.shape[n] for n in free_a], [b.shape[n] for n in free_b]
    left = reshape(transpose(a, free_a + over_a), (int(np.prod(kept_a)), count))
    right = reshape(transpose(b, over_b + free_b), (count, int(np.prod(kept_b))))
    return reshape(matmul(left, right), kept_a + kept_b)


def einsum(subscripts: str, *operands: ArrayLike) -> Tensor:
    """Einstein's sum of products over labelled axes, as in NumPy: ``einsum("ij,jk->ik", a, b)``.

    A label that repeats within an operand means its diagonal; ``...`` stands for further axes,
    broadcast together. Without ``->`` the result has the labels that occur once, in alphabetical
    order.

    Raises
    ------
    ValueError
        if subscripts and operands do not fit each other.
    """
    operands = tuple([operand(operand(x, operands)) for x in operands])
    terms, arrow, result = subscripts.replace(" ", "").partition("->")
    labels = terms.split(",")
    if len(labels) != len(operands):
        raise ValueError(f"einsum: {len(labels)} terms in {subscripts!r}, {len(operands)} operands")
    try:
        dots = [x.ndim - len(s.replace("...", "")) if "..." in s else 0
                for s, x in zip(labels, operands, strict=True)]  # fmt: skip
        letters = [c for c in map(chr, range(65, 123)) if c.isalpha() and c not in subscripts]
        spare = "".join(letters[: np.max([0, *dots]).item()])
        labels = [
            s.replace("...", spare[len(spare) - n :] if n else "", 1)
            for s, n in zip(labels, dots, strict=True)
        ]
        if not arrow:
            joined = "".join(labels)
            result = "..." + "".join(
                c for c in sorted(set(joined)) if joined.count(c) == 1 and c not in spare
            )
        elif spare and "..." not in result:
            raise ValueError("the result leaves out the axes that ... stands for")
        result = result.replace("...", spare, 1)
        reduced = list(operands)
        for k in range(len(labels)):
            if "." in labels[k] + result:
                raise ValueError("a . that is no part of the one ... of a term")
            if len(labels[k]) != reduced[k].ndim:
                raise ValueError(
                    f"term {k} has {len(labels[k])} labels, operand {k} {reduced[k].ndim} axes"
                )
            labels[k], reduced[k] = _without_repeats(labels[k], reduced[k])
            alone = [i for i, c in enumerate(labels[k]) if _sole(c, k, labels, result)]
            if alone:
                reduced[k] = sum(reduced[k], tuple(alone))
                labels[k] = "".join(c for i, c in enumerate(labels[k]) if i not in alone)
    except ValueError as error:
        raise ValueError(f"einsum: {error} in {subscripts!r}") from None
    return _einsum(labels, reduced, result)


def _sole(label: str, at: int, labels: list[str], result: str) -> bool:
    """Whether `label`, of the operand number `at`, occurs nowhere else."""
    return label not in result and all(label not in s for k, s in enumerate(labels) if k != at)


def _without_repeats(labels: str, x: Any) -> tuple[str, Any]:
    """The diagonal of `x` over each pair of axes that have the same label, and the labels left."""
    for c in labels:
        while labels.count(c) > 1:
            i, k = labels.index(c), labels.rindex(c)
            if x.shape[i] != x.shape[k]:
                raise ValueError(
                    f"label {c!r} stands for the lengths {x.shape[i]} and {x.shape[k]}"
                )
            x = diagonal(x, 0, i, k)
            labels = labels[:i] + labels[i + 1 : k] + labels[k + 1 :] + c
    return labels, x


def _einsum_backward(g: Any, operands: list[Any], labels: list[str], result: str) -> list[Any]:
    """The gradient of each operand: the same sum of products, with g in its place."""
    gradients = []
    for i, x in enumerate(operands):
        d = _einsum(
            [result, *labels[:i], *labels[i + 1 :]],
            [g, *operands[:i], *operands[i + 1 :]],
            labels[i],
        )
        # where the others had length 1 along an axis of x, they were broadcast
        gradients.append(broadcast_to(d, np.broadcast_shapes(d.shape, x.shape)))
    return gradients


@joint(backward=_einsum_backward, inputs=["operands"])
def _einsum(labels: list[str], operands: Sequence[Array], result: str) -> tuple[Any, Any]:
    """An einsum in which each label occurs once in an operand, and also somewhere else."""
    if len(operands) == 2:
        return _product_of_two(labels, operands, result), None
    spec, dtype = ",".join(labels) + "->" + result, np.result_type(*[x.dtype for x in operands])
    operands = [x.astype(wide(x.dtype), copy=False) for x in operands]
    product = array_module(*operands).einsum(spec, *operands, optimize=len(operands) > 2)
    return product.astype(dtype, copy=False), None


def _product_of_two(labels: list[str], operands: Sequence[Array], result: str) -> Array:
    """The same for two operands, as a product of matrices: NumPy's loops are slow and inexact."""
    a, b = labels
    batch = [c for c in a if c in b and c in result]
    summed = [c for c in a if c in b and c not in result]
    left, right = [c for c in a if c not in b], [c for c in b if c not in a]
    lengths = dict.fromkeys(a + b, 1)
    for label, x in zip(labels, operands, strict=True):
        lengths |= {c: n for c, n in zip(label, x.shape, strict=True) if n != 1}

    def matrices(x: Array, label: str, rows: list[str], columns: list[str]) -> Array:
        x = x.transpose([label.index(c) for c in (*batch, *rows, *columns)])
        kept, shape = x.shape[: len(batch)], [lengths[c] for c in (*rows, *columns)]
        x = array_module(x).broadcast_to(x, (*kept, *shape))  # a 1 among those summed over
        return x.reshape(*kept, math.prod(shape[: len(rows)]), math.prod(shape[len(rows) :]))

    product = matrices(operands[0], a, left, summed) @ matrices(operands[1], b, summed, right)
    made = [*batch, *left, *right]
    product = product.reshape([lengths[c] for c in made])
    return product.transpose([made.index(c) for c in result])
