"""Ops that pick elements by index, and ops that put elements at an index.

The derivative of picking elements is to add at the places where they were, and the other way round.
Where an index occurs several times, all its gradients are summed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.arrays.axes import one_axis
from minigrad.arrays.devices import beside
from minigrad.arrays.library import Array, ArrayLike, array_module, bare, is_array, on_gpu
from minigrad.arrays.sums import wide
from minigrad.autograd.operands import operand
from minigrad.autograd.record import differentiable
from minigrad.ops.arithmetic import where
from minigrad.ops.shape import Shape, ravel
from minigrad.tensor import Tensor, wrap

Index = Any
"""What NumPy takes between brackets: integers, slices, None, ..., integer and boolean arrays."""


FEW = 256
"""Up to this number, values are summed in their own dtype."""


def all_below(ids: Array, limit: int) -> bool:
    """Whether all `ids`, a NumPy array, are from 0 to `limit` - 1."""
    if not ids.size:
        return True
    if ids.dtype.kind == "i" and limit <= np.iinfo(ids.dtype).max:
        unsigned = ids.view(f"u{ids.itemsize}")  # negative numbers are larger there than all others
        return bool(np.maximum.reduce(unsigned, None) < limit)
    return bool(np.maximum.reduce(ids, None) < limit and np.minimum.reduce(ids, None) >= 0)


def as_index(index: Any, a: Any) -> Index:
    """The `index` for `a`, with arrays in place of Tensors and lists."""
    if isinstance(index, tuple):
        return tuple([as_index(i, a) for i in index])
    if isinstance(index, list):
        items = [i._array.tolist() if isinstance(i, Tensor) else i for i in index]
        return beside(np.asarray(items, None if items else np.intp), a)
    if isinstance(index, Tensor):
        return index._array
    if isinstance(index, int | slice | str | np.generic | None) or index is ...:
        return index  # a str is refused where it is used
    return operand(index if is_array(index) else np.array(index), [a])


def _is_basic(index: Index) -> bool:
    """Whether the index has only integers, slices, None and ...: it picks no element twice."""
    parts = index if type(index) is tuple else (index,)
    return all(type(part) in (int, slice, type(None), type(...)) for part in parts)


def _add_at(target: Array, index: Index, values: ArrayLike) -> None:
    """``target[index] += values`` in place; where an index repeats, all its values are added.

    `values` is a number, or has the shape of ``target[index]``: NumPy's add.at reads past the end
    of a smaller array.
    """
    if _is_basic(index):
        target[index] += values
        return
    xp, sums = array_module(target), target
    if not on_gpu(target) and target.dtype.kind == "f" and np.size(values) > FEW:
        sums = target.astype(np.float64, copy=False)  # add.at adds one after the other
    elif target.dtype.kind == "f":
        sums = target.astype(wide(target.dtype), copy=False)
    elif on_gpu(target):  # CuPy's add.at knows integers of 32 and 64 bits alone
        sums = target.astype(np.int64)
        values = getattr(values, "astype", lambda _: values)(np.int64)
    xp.add.at(sums, index, values)
    if sums is not target:
        target[...] = sums.astype(target.dtype)


def _getitem_gradient(g: Any, a_shape: Any, index: Any) -> Any:
    return _put(g, index, a_shape)


@differentiable(a=_getitem_gradient)
def _getitem(a: Array, index: Index) -> Array:
    return a[index]


@differentiable(values=lambda g, index: _getitem(g, index))
def _put(values: Array, index: Index, shape: tuple[int, ...]) -> Array:
    result = array_module(values).zeros(shape, values.dtype)
    if _is_basic(index):
        result[index] = values
    else:
        _add_at(result, index, values)
    return result


def getitem(a: ArrayLike, index: Index) -> Tensor:
    """``a[index]`` by NumPy's rules: slices, None, ..., integer and boolean arrays, mixtures.

    Beside index arrays, an integer counts as an array. If a slice stands between them, their common
    axes come first: for `a` of shape (2, 3, 4), ``a[1, :, [0, 2]]`` has the shape (2, 3), and
    ``a[1][:, [0, 2]]`` has (3, 2).
    """
    return _getitem(a, as_index(index, a))


def _changeable(a: ArrayLike, values: ArrayLike) -> Any:
    """`a` as an array or Tensor; a Tensor where `values` is one."""
    a = operand(a)
    if isinstance(values, Tensor) and is_array(a):
        return wrap(operand(a, [values]).copy())
    return a


@differentiable(
    a=lambda g: g,
    values=lambda g, index: _getitem(g, index),
)
def _scatter_add(a: Array, index: Index, values: ArrayLike) -> Array:
    result = a.copy()
    if hasattr(values, "shape"):
        values = array_module(a).broadcast_to(values, a[index].shape)
    _add_at(result, index, values)
    return result


def scatter_add(a: ArrayLike, index: Index, values: ArrayLike) -> Tensor:
    """A copy of `a` with `values` added at `index`; also ``a.at[index].add(values)``.

    Parameters
    ----------
    a
        any shape.
    index
        as in ``a[index]``; where an element occurs several times, all its values are added.
    values
        a number, or an array that broadcasts to the shape of ``a[index]``.
    """
    return _scatter_add(_changeable(a, values), as_index(index, a), values)


def _last_writers(like: Any, a_shape: tuple[int, ...], index: Index) -> Array:
    """For each element of ``a[index]``, whether an assignment leaves its value in `a`."""
    xp = array_module(like)
    writer = xp.full(a_shape, -1)
    number = xp.arange(writer[index].size).reshape(writer[index].shape)
    if not on_gpu(like) or _is_basic(index):
        writer[index] = number
    else:
        xp.maximum.at(writer, index, number)
    return writer[index] == number


def _scatter_set_gradient_of_a(g: Any, index: Any) -> Any:
    return _scatter_set(g, index, 0.0)


@differentiable(
    a=_scatter_set_gradient_of_a,
    values=lambda g, index, a_shape: where(
        _last_writers(g, a_shape, index), _getitem(g, index), 0.0
    ),
)
def _scatter_set(a: Array, index: Index, values: ArrayLike) -> Array:
    xp = array_module(a)
    result = xp.array(a)  # of a scalar too
    if not on_gpu(a) or _is_basic(index):
        result[index] = values
    else:  # a GPU writes in any order: so set 0, and add the value that stays
        result[index] = 0
        last = _last_writers(a, a.shape, index)
        _add_at(result, index, xp.where(last, values, 0).astype(a.dtype, copy=False))
    return result


def scatter_set(a: ArrayLike, index: Index, values: ArrayLike) -> Tensor:
    """A copy of `a` with `values` at `index`; also ``a.at[index].set(values)``.

    Where an element occurs several times in the index, the last value stays, and only this value
    gets a gradient.
    """
    return _scatter_set(_changeable(a, values), as_index(index, a), values)


def take(
    a: ArrayLike, indices: ArrayLike, axis: int | None = None, out: None = None, mode: str = "raise"
) -> Tensor:
    """The elements (with `axis`: the slices along it) at integer `indices`, of any shape.

    `mode` says what happens to an index outside the axis: ``"raise"`` an IndexError (on a GPU,
    where indices are not checked, it wraps around), ``"wrap"`` around, or ``"clip"`` to the
    nearest.
    """
    a = operand(a)
    if out is not None:
        raise TypeError("take: out must be None; minigrad's ops make new tensors")
    if axis is None:
        a, axis = ravel(a), 0
    axis = one_axis(a.ndim, axis, "take")
    indices = as_index(indices if isinstance(indices, list) else (indices,), a)
    indices = indices[0] if isinstance(indices, tuple) else indices
    if getattr(indices, "dtype", None) == np.bool_:
        indices = bare(indices).astype(np.intp)
    if mode not in ("raise", "wrap", "clip"):
        raise ValueError(f'take: mode must be "raise", "wrap" or "clip", not {mode!r}')
    if mode == "wrap":
        indices = indices % a.shape[axis]
    elif mode == "clip":
        indices = array_module(indices).clip(indices, 0, a.shape[axis] - 1)
    return _getitem(a, (slice(None),) * axis + (indices,))


def take_along_axis(arr: ArrayLike, indices: ArrayLike, axis: int | None = -1) -> Tensor:
    """For each position, the element of `arr` at the index along `axis` that `indices` gives.

    `indices` is an integer array with as many axes as `arr`; the axes other than `axis` broadcast
    together.
    """
    arr = operand(arr)
    indices = as_index(indices, arr)
    if axis is None:
        arr, axis = ravel(arr), 0
    axis = one_axis(arr.ndim, axis, "take_along_axis")
    if indices.ndim != arr.ndim:
        raise ValueError(
            f"take_along_axis: indices has {indices.ndim} axes, expected {arr.ndim} like arr"
        )
    xp = array_module(indices)
    index = [
        xp.arange(n).reshape([-1 if i == k else 1 for k in range(arr.ndim)])
        for i, n in enumerate(arr.shape)
    ]
    index[axis] = indices
    return _getitem(arr, tuple(index))


def repeat(a: ArrayLike, repeats: Shape, axis: int | None = None) -> Tensor:
    """Each element of `a` repeated along `axis`; `repeats` is a number, or one for each element."""
    a = operand(a)
    if axis is None:
        a, axis = ravel(a), 0
    axis = one_axis(a.ndim, axis, "repeat")
    return take(a, beside(np.repeat(np.arange(a.shape[axis]), repeats), a), axis)


def _pad_gradient(g: Any, a_shape: tuple[int, ...], pad_width: Any) -> Any:
    """`g` without the elements that were put around."""
    before = np.broadcast_to(pad_width, (len(a_shape), 2))[:, 0].tolist()
    return g[tuple(slice(b, b + n) for b, n in zip(before, a_shape, strict=True))]


@differentiable(a=_pad_gradient)
def _pad(a: Array, pad_width: Any, constant_values: float) -> Array:
    return array_module(a).pad(a, pad_width, constant_values=constant_values)


def pad(
    array: ArrayLike, pad_width: Any, mode: str = "constant", constant_values: float = 0.0
) -> Tensor:
    """`array` with elements put around it: `pad_width`, or a pair (before, after) for each axis.

    Parameters
    ----------
    array, pad_width
        as in NumPy.
    mode
        ``"constant"``, or one of NumPy's modes that repeat elements: ``"edge"``, ``"reflect"``,
        ``"symmetric"``, ``"wrap"``.
    constant_values
        the number to put there in mode ``"constant"``.

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
        array = take(array, beside(indices, array), axis)
    padded: Tensor = array
    return padded


class At:
    """``x.at[index]``: a changed copy instead of a change in place, as in JAX."""

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
