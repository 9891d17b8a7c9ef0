"""The axes that an argument means: checked, and counted from the front."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from minigrad.arrays.library import Axis
from minigrad.errors.values import told


def one_axis(ndim: int, axis: Any, op: str | None = None) -> int:
    """`axis` of an array with `ndim` axes, as a number from 0 to `ndim` - 1; errors name `op`.

    Raises
    ------
    AxisError
        (a ValueError and an IndexError) if the array has no such axis.
    TypeError
        if it is not an integer; True and False are not.
    """
    try:
        number = None if isinstance(axis, bool | np.bool_) else operator.index(axis)
    except TypeError:
        number = None
    if number is None:
        raise TypeError(f"{op + ': ' if op else ''}axis must be an integer, not {told(axis)}")
    if not -ndim <= number < ndim:
        raise np.exceptions.AxisError(number, ndim, op)
    return number + ndim if number < 0 else number


def reduced_axes(ndim: int, axis: Axis) -> tuple[int, ...]:
    """`axis` (one, a tuple, or None for all axes) as a tuple of numbers from 0 to `ndim` - 1.

    Raises
    ------
    ValueError
        if an axis is there twice; also all that `one_axis` raises.
    """
    if axis is None:
        return tuple(range(ndim))
    if not isinstance(axis, tuple):
        return (one_axis(ndim, axis),)
    axes = tuple([one_axis(ndim, i) for i in axis])
    if len(set(axes)) < len(axes):
        raise ValueError(f"axis {axis} names one of {ndim} axes twice")
    return axes


def kept_shape(shape: tuple[int, ...], axis: Axis) -> tuple[int, ...]:
    """`shape` with a 1 at each reduced axis, as ``keepdims=True`` gives it."""
    axes = reduced_axes(len(shape), axis)
    return tuple([1 if i in axes else n for i, n in enumerate(shape)])


def reduced_count(shape: tuple[int, ...], axis: Axis) -> int:
    """The number of elements that each element of a reduction is made of."""
    return math.prod([shape[i] for i in reduced_axes(len(shape), axis)])
