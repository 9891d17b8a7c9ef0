"""Ops that move elements to other places: their derivatives move the gradient back."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from minigrad.arrays.axes import one_axis
from minigrad.arrays.devices import device_of
from minigrad.arrays.devices import to_device as array_to_device
from minigrad.arrays.library import (
    Array,
    ArrayLike,
    Axis,
    Device,
    DType,
    array_module,
    bare,
    on_gpu,
)
from minigrad.autograd.fused import joint
from minigrad.autograd.operands import operand
from minigrad.autograd.record import differentiable
from minigrad.tensor import Tensor

Shape = int | Sequence[int]
"""One length, or several."""


# ------------------------------------------------------------------------------------- a new shape


@differentiable(a=lambda g, a_shape: g.reshape(a_shape))
def reshape(a: ArrayLike, shape: Shape) -> Array:
    """The elements of `a`, in order, in a new shape; one length may be -1."""
    return a.reshape(shape)


@differentiable(a=lambda g, a_shape: g.reshape(a_shape))
def ravel(a: ArrayLike) -> Array:
    """The elements of `a`, in order, as a vector."""
    return a.reshape(-1)


@differentiable(a=lambda g, a_shape: g.reshape(a_shape))
def expand_dims(a: ArrayLike, axis: Axis) -> Array:
    """`a` with axes of length 1 put in at `axis`."""
    return array_module(a).expand_dims(a, axis)


@differentiable(a=lambda g, a_shape: g.reshape(a_shape))
def squeeze(a: ArrayLike, axis: Axis = None) -> Array:
    """`a` without the axes of length 1 (or without those at `axis`)."""
    return a.squeeze(axis)


# ------------------------------------------------------------------------------------- a new order


def _transpose_gradient(g: Any, axes: Any) -> Any:
    return transpose(g, None if axes is None else _inverse(axes))


@differentiable(
    a=_transpose_gradient,
)
def transpose(a: ArrayLike, axes: Sequence[int] | None = None) -> Array:
    """`a` with its axes in the order `axes` (None: reversed)."""
    return a.transpose(axes)


def _inverse(axes: Sequence[int]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argsort([axis % len(axes) for axis in axes]))


def _swapaxes_gradient(g: Any, axis1: Any, axis2: Any) -> Any:
    return swapaxes(g, axis1, axis2)


@differentiable(a=_swapaxes_gradient)
def swapaxes(a: ArrayLike, axis1: int, axis2: int) -> Array:
    """`a` with two axes exchanged."""
    return a.swapaxes(axis1, axis2)


def _moveaxis_gradient(g: Any, source: Any, destination: Any) -> Any:
    return moveaxis(g, destination, source)


@differentiable(a=_moveaxis_gradient)
def moveaxis(a: ArrayLike, source: Axis, destination: Axis) -> Array:
    """`a` with the axes at `source` moved to `destination`, the others in their order."""
    return array_module(a).moveaxis(a, source, destination)


def _flip_gradient(g: Any, axis: Any) -> Any:
    return flip(g, axis)


@differentiable(m=_flip_gradient)
def flip(m: ArrayLike, axis: Axis = None) -> Array:
    """`m` with the order of its elements along `axis` reversed."""
    return array_module(m).flip(m, axis)


def _roll_gradient(g: Any, shift: Any, axis: Any) -> Any:
    return roll(g, tuple(-s for s in shift) if isinstance(shift, tuple | list) else -shift, axis)


@differentiable(
    a=_roll_gradient,
)
def roll(a: ArrayLike, shift: Shape, axis: Axis = None) -> Array:
    """`a` with its elements moved by `shift` places along `axis`; the last come to the front."""
    return array_module(a).roll(a, shift, axis)


# ------------------------------------------------------------------------------------------ copies


@differentiable(a=lambda g: g)
def copy(a: ArrayLike) -> Array:
    """A copy of `a` in memory of its own, on the tape."""
    return a.copy()


@differentiable(x=lambda g: g)
def _astype(x: Array, dtype: DType) -> Array:
    return x.astype(dtype)


def astype(x: ArrayLike, dtype: DType) -> Tensor:
    """A copy of `x` in another dtype. The gradient comes back in the dtype of `x`.

    A result of integers or bools is a constant.
    """
    return _astype(operand(x), dtype)


def _to_device_gradient(g: Any, x: Any) -> Any:
    return to_device(g, device_of(bare(x)))


@differentiable(x=_to_device_gradient)
def to_device(x: ArrayLike, device: Device) -> Array:
    """`x` on another device; the gradient comes back to the device of `x`."""
    return array_to_device(x, device)


@differentiable(array=lambda g: g)
def broadcast_to(array: ArrayLike, shape: Shape) -> Array:
    """`array` repeated to `shape` by NumPy's rules of broadcasting; a view, not a copy."""
    return array_module(array).broadcast_to(array, shape)


def tile(A: ArrayLike, reps: Shape) -> Tensor:
    """`A` repeated `reps` times along each axis."""
    A = operand(A)
    counts = (reps,) if isinstance(reps, int | np.integer) else tuple(reps)
    shape = (1,) * (len(counts) - A.ndim) + A.shape
    counts = (1,) * (len(shape) - len(counts)) + counts
    pairs = [n for pair in zip(counts, shape, strict=True) for n in pair]
    single = [n for length in shape for n in (1, length)]
    blocks = broadcast_to(reshape(A, single), pairs)
    return reshape(blocks, [n * length for n, length in zip(counts, shape, strict=True)])


# ----------------------------------------------------------------------------- joining and cutting


def _concatenate_backward(g: Any, kept: list[int], axis: int) -> Any:
    return split(g, kept, axis)


@joint(backward=_concatenate_backward, inputs=["arrays"])
def _concatenate(arrays: Sequence[Array], axis: int) -> tuple[Any, Any]:
    xp = array_module(*arrays)
    axis = one_axis(arrays[0].ndim, axis)
    ends = np.cumsum([a.shape[axis] for a in arrays[:-1]]).tolist()
    return _in_eights(xp, list(arrays), axis), ends


def concatenate(arrays: Sequence[ArrayLike], axis: int | None = 0) -> Tensor:
    """Arrays joined along `axis`; all other axes must be equal. None: all elements, as a vector."""
    if axis is None:
        return _concatenate([ravel(a) for a in arrays], 0)
    return _concatenate(arrays, axis)


def _in_eights(xp: Any, arrays: list[Array], axis: int) -> Any:
    """Concatenate; on a GPU eight at a time, since CuPy would copy more through the host."""
    if not on_gpu(arrays[0]):
        return np.concatenate(arrays, axis)
    while len(arrays) > 8:
        arrays = [xp.concatenate(arrays[i : i + 8], axis) for i in range(0, len(arrays), 8)]
    return xp.concatenate(arrays, axis)


def _stack_backward(g: Any, axis: int) -> list[Any]:
    return list(unstack(g, axis))


@joint(backward=_stack_backward, inputs=["arrays"])
def stack(arrays: Sequence[ArrayLike], axis: int = 0) -> tuple[Array, Any]:
    """Arrays of one shape, side by side along a new axis."""
    xp = array_module(*arrays)
    if not arrays:
        raise ValueError("need at least one array")
    axis %= xp.expand_dims(arrays[0], axis).ndim
    with_axis = (slice(None),) * axis + (None,)
    return _in_eights(xp, [a[with_axis] for a in arrays], axis), None


@joint(backward=lambda g, axis: [stack(g, axis)], inputs=["x"], several=True)
def unstack(x: ArrayLike, axis: int = 0) -> tuple[tuple[Array, ...], Any]:
    """The parts of `x` along `axis`, without that axis, as views: the reverse of `stack`."""
    axis = one_axis(x.ndim, axis)
    if x.shape[axis] == 0:
        raise ValueError(f"there is nothing to unstack along axis {axis} of shape {x.shape}")
    return tuple(array_module(x).moveaxis(x, axis, 0)), None


def _split_backward(g: list[Any], axis: int) -> list[Any]:
    return [_concatenate(g, axis)]


@joint(backward=_split_backward, inputs=["ary"], several=True)
def split(
    ary: ArrayLike, indices_or_sections: int | Sequence[int], axis: int = 0
) -> tuple[tuple[Array, ...], Any]:
    """`ary` cut along `axis`, into a number of equal parts, or before each of the given indices.

    The parts are views of `ary`.
    """
    axis = one_axis(ary.ndim, axis)
    length = ary.shape[axis]
    if isinstance(indices_or_sections, int | np.integer):
        part, rest = divmod(length, indices_or_sections) if indices_or_sections > 0 else (0, 1)
        if rest:
            raise ValueError(f"cannot cut axis {axis} of length {length} into equal parts")
        edges = [part * i for i in range(indices_or_sections + 1)]
    else:
        inner = [min(i + length if i < 0 else i, length) for i in indices_or_sections]
        edges = [0, *inner, length]
        if sorted(edges) != edges:
            raise ValueError(f"indices {indices_or_sections} do not rise within axis {axis}")
    before = (slice(None),) * axis
    return tuple([ary[(*before, slice(i, k))] for i, k in pairwise(edges)]), None
