"""Ops that pick elements by index, and those that put them back.

The derivative of picking is adding to the places that were picked from, and the other way round.
An index that occurs several times adds up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from minigrad.backend import Array, ArrayLike, array_module
from minigrad.devices import beside, cast, near, on_device_of, own_copy
from minigrad.ops.shape import Shape, ravel
from minigrad.recording import differentiable, operand
from minigrad.tape import Variable

if TYPE_CHECKING:
    from minigrad.tensor import Tensor

Index = Any
"""What NumPy takes between brackets: integers, slices, None, ..., integer and boolean arrays."""


def all_below(ids: Array, limit: int) -> bool:
    """Whether all of NumPy's integers `ids` are from 0 to `limit` - 1."""
    if not ids.size:
        return True
    return bool(np.minimum.reduce(ids, None) >= 0 and np.maximum.reduce(ids, None) < limit)


def as_index(index: Any, a: Any) -> Index:
    """`index`, of `a`, with arrays as they are now in the place of Tensors and lists."""
    if isinstance(index, tuple):
        return tuple([as_index(i, a) for i in index])
    if isinstance(index, list):
        items = [i._data.tolist() if isinstance(i, Variable) else i for i in index]
        return near(np.asarray(items, None if items else np.intp), a)
    if isinstance(index, Variable):
        return own_copy(index._data)
    return beside(index, [a]) if isinstance(index, np.ndarray) else index


def _is_basic(index: Index) -> bool:
    """Whether no element can be picked twice: integers, slices, None and ... only."""
    parts = index if type(index) is tuple else (index,)
    return all(type(part) in (int, slice, type(None), type(...)) for part in parts)


def add_at(target: Array, index: Index, values: Array) -> None:
    """``target[index] += values`` in place, where an index that is repeated adds up."""
    if _is_basic(index):
        target[index] += values
    elif array_module(target) is np or target.dtype.kind == "f":
        array_module(target).add.at(target, index, values)
    else:  # CuPy adds up integers of 32 and 64 bits alone
        total = target.astype(np.int64)
        total_at = getattr(values, "astype", lambda _: values)(np.int64)
        array_module(target).add.at(total, index, total_at)
        target[...] = total.astype(target.dtype)


@differentiable(a=lambda g, a_shape, index: _put(g, index, a_shape))
def _getitem(a: Array, index: Index) -> Any:
    return a[index]


@differentiable(values=lambda g, index: _getitem(g, index))
def _put(values: Array, index: Index, shape: tuple[int, ...]) -> Any:
    result = array_module(values).zeros(shape, values.dtype)
    if _is_basic(index):
        result[index] = values
    else:
        add_at(result, index, values)
    return result


def getitem(a: ArrayLike, index: Index) -> Tensor:
    """``a[index]`` by NumPy's rules: slices, None, ..., integer and boolean arrays, mixtures.

    An integer counts as an array beside arrays. Where a slice parts them, their common axes come
    first: of shape (2, 3, 4), ``a[1, :, [0, 2]]`` has the shape (2, 3), ``a[1][:, [0, 2]]`` (3, 2).
    """
    return _getitem(a, as_index(index, a))


@differentiable(
    a=lambda g: g,
    values=lambda g, index: _getitem(g, index),
)
def _scatter_add(a: Array, index: Index, values: ArrayLike) -> Any:
    result = a.copy()
    add_at(result, index, values)
    return result


def scatter_add(a: ArrayLike, index: Index, values: ArrayLike) -> Tensor:
    """A copy of `a` with `values` added at `index`; also ``a.at[index].add(values)``.

    Parameters
    ----------
    a
        any shape.
    index
        as in ``a[index]``; an element that is named several times is added to several times.
    values
        a number or an array that broadcasts to the shape of ``a[index]``.
    """
    return _scatter_add(a, as_index(index, a), values)


def _last_writers(xp: Any, a_shape: tuple[int, ...], index: Index) -> Array:
    """For each element of ``a[index]``, whether it is the one that assignment leaves in `a`."""
    writer = xp.full(a_shape, -1)
    number = xp.arange(writer[index].size).reshape(writer[index].shape)
    if xp is np or _is_basic(index):
        writer[index] = number
    else:
        xp.maximum.at(writer, index, number)
    return writer[index] == number


def _erased(g: Any, index: Index) -> Any:
    keep = array_module(g).ones(g.shape, g.dtype)
    keep[index] = 0
    return g * keep


@differentiable(
    a=lambda g, index: _erased(g, index),
    values=lambda g, index, a_shape: (
        _getitem(g, index) * _last_writers(array_module(g), a_shape, index)
    ),
)
def _scatter_set(a: Array, index: Index, values: ArrayLike) -> Any:
    result, xp = a.copy(), array_module(a)
    if xp is np or _is_basic(index):
        result[index] = values
    else:  # a GPU writes in any order: erase, and add the value that is to stay
        result[index] = 0
        last = _last_writers(xp, a.shape, index)
        add_at(result, index, xp.where(last, values, 0).astype(a.dtype, copy=False))
    return result


def scatter_set(a: ArrayLike, index: Index, values: ArrayLike) -> Tensor:
    """A copy of `a` with `values` in the places at `index`; also ``a.at[index].set(values)``.

    Where an element is named several times, the last value stays, and only that one has a gradient.
    """
    return _scatter_set(a, as_index(index, a), values)


def take(
    a: ArrayLike, indices: ArrayLike, axis: int | None = None, out: None = None, mode: str = "raise"
) -> Tensor:
    """The elements (with `axis`: the slices along it) at integer `indices`, of any shape.

    `mode` says what an index outside the axis does: ``"raise"`` an IndexError (on a GPU, where
    nobody looks, it wraps around), ``"wrap"`` around, or ``"clip"`` to the nearest.
    """
    a = operand(a)
    if out is not None:
        raise TypeError("take: out must be None; minigrad's ops make new tensors")
    if axis is None:
        a, axis = ravel(a), 0
    indices = as_index(indices if isinstance(indices, list) else (indices,), a)
    indices = indices[0] if isinstance(indices, tuple) else indices
    if getattr(indices, "dtype", None) == np.bool_:
        indices = cast(indices, np.intp)
    if mode not in ("raise", "wrap", "clip"):
        raise ValueError(f'take: mode must be "raise", "wrap" or "clip", not {mode!r}')
    with on_device_of(indices):
        if mode == "wrap":
            indices = indices % a.shape[axis]
        elif mode == "clip":
            indices = array_module(indices).clip(indices, 0, a.shape[axis] - 1)
    return _getitem(a, (slice(None),) * (axis % a.ndim) + (indices,))


def take_along_axis(arr: ArrayLike, indices: ArrayLike, axis: int | None = -1) -> Tensor:
    """For each position the element of `arr` that `indices` names along `axis`.

    `indices` is an integer array with as many axes as `arr`; the others broadcast together.
    """
    arr = operand(arr)
    indices = as_index(indices, arr)
    if axis is None:
        arr, axis = ravel(arr), 0
    if indices.ndim != arr.ndim:
        raise ValueError(
            f"take_along_axis: indices has {indices.ndim} axes, expected {arr.ndim} like arr"
        )
    xp, axis = array_module(indices), axis % arr.ndim
    with on_device_of(indices):
        index = [
            xp.arange(n).reshape([-1 if i == k else 1 for k in range(arr.ndim)])
            for i, n in enumerate(arr.shape)
        ]
    index[axis] = indices
    return _getitem(arr, tuple(index))


def repeat(a: ArrayLike, repeats: Shape, axis: int | None = None) -> Tensor:
    """Each element of `a` repeated along `axis`, all the same number of times or each its own."""
    a = operand(a)
    if axis is None:
        a, axis = ravel(a), 0
    return take(a, near(np.repeat(np.arange(a.shape[axis]), repeats), a), axis)


def _unpadded(g: Any, a_shape: tuple[int, ...], pad_width: Any) -> Any:
    before = np.broadcast_to(pad_width, (len(a_shape), 2))[:, 0].tolist()
    return g[tuple(slice(b, b + n) for b, n in zip(before, a_shape, strict=True))]


@differentiable(a=_unpadded)
def _pad(a: Array, pad_width: Any, constant_values: float) -> Any:
    return array_module(a).pad(a, pad_width, constant_values=constant_values)


def pad(
    array: ArrayLike, pad_width: Any, mode: str = "constant", constant_values: float = 0.0
) -> Tensor:
    """`array` with `pad_width` elements (or one pair (before, after) an axis) put around it.

    Parameters
    ----------
    array, pad_width
        as in NumPy.
    mode
        ``"constant"``, or those modes of NumPy that repeat elements: ``"edge"``, ``"reflect"``,
        ``"symmetric"``, ``"wrap"``.
    constant_values
        the number to pad with in mode ``"constant"``.

    Raises
    ------
    ValueError
        for another mode.
    """
    array = operand(array)
    if mode == "constant":
        return _pad(array, np.asarray(pad_width).tolist(), constant_values)
    if mode not in ("edge", "reflect", "symmetric", "wrap"):
        raise ValueError(
            f"pad: mode {mode!r} is not supported; use constant, edge, reflect, symmetric or wrap"
        )
    widths = np.broadcast_to(pad_width, (array.ndim, 2)).tolist()
    for axis, width in enumerate(widths):
        indices = np.pad(np.arange(array.shape[axis]), width, mode=mode)  # type: ignore[call-overload]
        array = take(array, near(indices, array), axis)
    return array


class At:
    """``x.at[index]``: changing elements the functional way, as in JAX."""

    def __init__(self, a: ArrayLike, index: Index = None) -> None:
        self._a, self._index = a, index

    def __getitem__(self, index: Index) -> At:
        return At(self._a, index)

    def set(self, values: ArrayLike) -> Tensor:
        """A copy with `values` at the index; see `minigrad.scatter_set`."""
        return scatter_set(self._a, self._index, values)

    def add(self, values: ArrayLike) -> Tensor:
        """A copy with `values` added at the index; see `minigrad.scatter_add`."""
        return scatter_add(self._a, self._index, values)
