"""Which axes of an array are meant: checked, and counted from the front."""

from __future__ import annotations

import math
import operator

import numpy as np

from minigrad.backend import Axis


def one_axis(ndim: int, axis: int) -> int:
    """`axis` of an array of `ndim` axes as a number from 0 to `ndim` - 1.

    Raises
    ------
    AxisError
        (a ValueError and an IndexError) if the array has no such axis.
    TypeError
        if it is no integer; True and False are none.
    """
    if isinstance(axis, bool | np.bool_):
        raise TypeError(f"axis: expected an integer, got {axis!r}")
    try:
        number = operator.index(axis)
    except TypeError:
        raise TypeError(f"axis: expected an integer, got {axis!r}") from None
    if not -ndim <= number < ndim:
        raise np.exceptions.AxisError(number, ndim)
    return number + ndim if number < 0 else number


def reduced_axes(ndim: int, axis: Axis) -> tuple[int, ...]:
    """`axis` (one, a tuple of several, or None for all) as a tuple of axes from 0 to `ndim` - 1.

    Raises
    ------
    ValueError
        if an axis is named twice; else as `one_axis`.
    """
    if axis is None:
        return tuple(range(ndim))
    if not isinstance(axis, tuple):
        return (one_axis(ndim, axis),)  # type: ignore[arg-type]
    axes = tuple([one_axis(ndim, i) for i in axis])
    if len(set(axes)) < len(axes):
        raise ValueError(f"axis: {axis} names an axis of {ndim} twice")
    return axes


def kept_shape(shape: tuple[int, ...], axis: Axis) -> tuple[int, ...]:
    """`shape` with a 1 at each reduced axis, as ``keepdims=True`` gives it."""
    axes = reduced_axes(len(shape), axis)
    return tuple([1 if i in axes else n for i, n in enumerate(shape)])


def reduced_count(shape: tuple[int, ...], axis: Axis) -> int:
    """How many elements go into each element of a reduction."""
    return math.prod([shape[i] for i in reduced_axes(len(shape), axis)])
