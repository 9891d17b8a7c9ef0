"""Functions whose results are bools or indices: constants, which are not on the tape.

They have their NumPy names. Like the ops, they give a Tensor for Tensors and lists, and an array
for arrays; lists and NumPy's numbers beside a Tensor mean what they mean to an op.
"""

from __future__ import annotations

import builtins
import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

import numpy as np

from minigrad.arrays.axes import one_axis
from minigrad.arrays.devices import beside, check_together, gpus, place
from minigrad.arrays.library import (
    FLOAT32,
    Array,
    ArrayLike,
    Axis,
    DType,
    array_module,
    as_array,
    bare,
    is_array,
    on_gpu,
)
from minigrad.autograd.modes import modes, watchers
from minigrad.autograd.operands import number, operand
from minigrad.errors.words import refuse_keywords
from minigrad.tensor import Tensor, wrap

P = ParamSpec("P")

__all__ = [
    "all",
    "allclose",
    "any",
    "argmax",
    "argmin",
    "argsort",
    "array_equal",
    "isclose",
    "isfinite",
    "isinf",
    "isnan",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "one_hot",
]


def constant(*names: str) -> Callable[[Callable[P, Array]], Callable[P, Tensor]]:
    """Let a function on arrays take Tensors and lists, too, for its first parameters, `names`."""
    count = len(names)

    def decorate(function: Callable[P, Array]) -> Callable[P, Tensor]:
        name = function.__name__.strip("_")

        @wraps(function)
        def apply(*args: Any, **kwargs: Any) -> Any:
            if kwargs:
                refuse_keywords(name, kwargs)
            given = list(args[:count])
            tensors = True in [isinstance(a, Tensor) for a in given]
            if not tensors and not builtins.any(map(is_array, given)):
                given[:1], tensors = map(operand, given[:1]), True
            if tensors:
                given = [a._array if isinstance(a, Tensor) else _beside(a, given) for a in given]
            if gpus:
                check_together(name, names, given)
            result = function(*given, *args[count:], **kwargs)
            result = wrap(as_array(result)) if tensors and hasattr(result, "dtype") else result
            if watchers and modes.observer is not None:
                modes.observer.cut(name, [a for a in args if isinstance(a, Tensor)], result)
            return result

        if getattr(function, "__annotations__", {}).get("return") == "Array":
            signature = inspect.signature(function).replace(return_annotation="Tensor")
            apply.__signature__ = signature  # type: ignore[attr-defined]
        return apply

    return decorate


def _beside(a: Any, inputs: list[Any]) -> Any:
    """`a` as an array or a number to compare with the Tensors in `inputs`; all else as it is."""
    if isinstance(a, list | tuple):
        others = [x for x in inputs if isinstance(x, Tensor)]
        floats = [x._array.dtype for x in others if x._array.dtype.kind == "f"]
        return beside(as_array(np.array(a), floats[0] if floats else None), others[0])
    return operand(number(a), inputs) if hasattr(a, "__array__") else number(a)


# ------------------------------------------------------------------------------ of each element


@constant("x")
def isnan(x: ArrayLike) -> Array:
    """Whether each element is NaN."""
    return array_module(x).isnan(x)


@constant("x")
def isinf(x: ArrayLike) -> Array:
    """Whether each element is infinite."""
    return array_module(x).isinf(x)


@constant("x")
def isfinite(x: ArrayLike) -> Array:
    """Whether each element is a number, neither NaN nor infinite."""
    return array_module(x).isfinite(x)


@constant("x")
def logical_not(x: ArrayLike) -> Array:
    """Whether each element is 0 (or False)."""
    return array_module(x).logical_not(x)


@constant("x1", "x2")
def logical_and(x1: ArrayLike, x2: ArrayLike) -> Array:
    """Whether both of each pair of elements are not 0."""
    return array_module(x1, x2).logical_and(x1, x2)


@constant("x1", "x2")
def logical_or(x1: ArrayLike, x2: ArrayLike) -> Array:
    """Whether at least one of each pair of elements is not 0."""
    return array_module(x1, x2).logical_or(x1, x2)


@constant("x1", "x2")
def logical_xor(x1: ArrayLike, x2: ArrayLike) -> Array:
    """Whether exactly one of each pair of elements is not 0."""
    return array_module(x1, x2).logical_xor(x1, x2)


@constant("a", "b")
def isclose(
    a: ArrayLike, b: ArrayLike, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Array:
    """Whether each pair of elements is almost equal: abs(a - b) <= atol + rtol abs(b)."""
    xp = array_module(a, b)
    return xp.isclose(*_both(xp, a, b), rtol, atol, equal_nan)


def _both(xp: Any, a: ArrayLike, b: ArrayLike) -> list[Array]:
    """Two arrays; a number is of the other one's precision, as NumPy has it and CuPy has not."""
    dtype = xp.result_type(a, b)
    return [x if is_array(x) else xp.asarray(x, dtype) for x in (a, b)]


# ----------------------------------------------------------------------------------- of them all


def allclose(
    a: ArrayLike, b: ArrayLike, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> bool:
    """Whether all pairs of elements are almost equal; see `isclose`."""
    return bool(_allclose(a, b, rtol, atol, equal_nan))


@constant("a", "b")
def _allclose(a: ArrayLike, b: ArrayLike, rtol: float, atol: float, equal_nan: bool) -> Array:
    xp = array_module(a, b)
    return xp.asarray(xp.allclose(*_both(xp, a, b), rtol, atol, equal_nan))


def array_equal(a1: ArrayLike, a2: ArrayLike) -> bool:
    """Whether two tensors have the same shape and equal elements."""
    return bool(_array_equal(a1, a2))


@constant("a1", "a2")
def _array_equal(a1: ArrayLike, a2: ArrayLike) -> Array:
    xp = array_module(a1, a2)
    return xp.asarray(xp.array_equal(*_both(xp, a1, a2)))


@constant("a")
def any(a: ArrayLike, axis: Axis = None, keepdims: bool = False) -> Array:
    """Whether at least one element over `axis` is not 0."""
    return array_module(a).any(a, axis, keepdims=keepdims)


@constant("a")
def all(a: ArrayLike, axis: Axis = None, keepdims: bool = False) -> Array:
    """Whether no element over `axis` is 0."""
    return array_module(a).all(a, axis, keepdims=keepdims)


# ---------------------------------------------------------------------------------------- indices


@constant("a")
def argmax(a: ArrayLike, axis: int | None = None, keepdims: bool = False) -> Array:
    """The index of the largest element along `axis`, or of all; the first if there are several."""
    axis = None if axis is None else one_axis(a.ndim, axis, "argmax")
    return array_module(a).argmax(a, axis, keepdims=keepdims)


@constant("a")
def argmin(a: ArrayLike, axis: int | None = None, keepdims: bool = False) -> Array:
    """The index of the smallest element along `axis`, or of all; the first if there are several."""
    axis = None if axis is None else one_axis(a.ndim, axis, "argmin")
    return array_module(a).argmin(a, axis, keepdims=keepdims)


@constant("a")
def argsort(a: ArrayLike, axis: int | None = -1, descending: bool = False) -> Array:
    """The indices of the elements along `axis` in rising (or falling) order; None: of all.

    Equal elements keep their order, and NaN counts as the largest.
    """
    xp = array_module(a)
    a, axis = (a.reshape(-1), 0) if axis is None else (a, one_axis(a.ndim, axis, "argsort"))
    if not descending:
        return xp.argsort(a, axis, kind="stable")
    backwards = xp.argsort(xp.flip(a, axis), axis, kind="stable")
    return a.shape[axis] - 1 - xp.flip(backwards, axis)


def one_hot(ids: ArrayLike, num_classes: int, dtype: DType = FLOAT32) -> Tensor:
    """For each id a vector with 1 at that index and 0 elsewhere; by default float32.

    Parameters
    ----------
    ids
        integers from 0 to `num_classes` - 1, any shape.
    num_classes
        the length of the vectors.
    dtype
        of the result.

    Returns
    -------
    Tensor of shape ids.shape + (num_classes,).

    Raises
    ------
    TypeError, IndexError
        if ids are not integers, or one is outside the classes. On a GPU ids are not checked: the
        vector of such an id is 0.
    """
    if isinstance(ids, list | tuple | int):
        ids = np.array(ids, None if np.size(ids) else np.int64)
    ids = place(bare(ids))
    xp = array_module(ids)
    if ids.dtype.kind not in "iu":
        raise TypeError(
            f"one_hot: ids must be integers, not {ids.dtype} {ids.shape}; Python numbers become "
            "float32 in mg.tensor unless it is given dtype=int"
        )
    if not on_gpu(ids) and ids.size and not 0 <= ids.min() <= ids.max() < num_classes:
        worst = ids.max() if ids.max() >= num_classes else ids.min()
        raise IndexError(f"one_hot: id {worst} is outside the {num_classes} classes")
    return wrap((ids[..., None] == xp.arange(num_classes)).astype(dtype))
