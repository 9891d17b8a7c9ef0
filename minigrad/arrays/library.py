"""The array library to which an array belongs, and what minigrad takes as an array.

An op calls ``array_module(x)`` and gets NumPy for an array in the computer's memory, and CuPy for
an array on a GPU. CuPy is imported only when a program asks for a GPU, or uses an array that is on
one. Devices, and moving arrays, are in `minigrad.arrays.devices`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NoReturn, TypeAlias

import numpy as np

from minigrad.arrays.recording import Number, constant, given

Array: TypeAlias = Any  # numpy.ndarray or cupy.ndarray
ArrayLike: TypeAlias = Any  # a Tensor, an array, a Python number, or nested lists of numbers
DType: TypeAlias = Any  # what NumPy takes as a dtype: np.float32, "float64", float ...
Axis: TypeAlias = int | Sequence[int] | None  # one axis, several, or None for all
Device: TypeAlias = str  # "cpu", or "cuda": the current GPU

FLOAT32 = np.dtype(np.float32)


def array_module(*arrays: Any) -> Any:
    """The array library (the module ``numpy`` or ``cupy``) that the given arrays belong to.

    Of a Tensor it is the library of its array. Python numbers and None belong to any library. If
    there is no array among the arguments, it is NumPy.
    """
    for x in arrays:
        if type(x) is np.ndarray:
            return np
        if _is_cupys(type(x)) or _is_cupys(type(x := bare(x))):
            return sys.modules["cupy"]
        if isinstance(x, StandIn):
            return x.library
    return np


class StandIn:
    """An array that stands for another, whose calls are written down: see `minigrad.replay`."""

    __slots__ = ()
    library: Any
    """What `array_module` gives for it."""
    on_gpu: bool
    tolist: Any

    def known_to_be(self, value: float) -> bool:
        """Whether it is a single number that is always `value`."""
        raise NotImplementedError


def on_gpu(x: Any) -> bool:
    """Whether `x`, an array or a Tensor, is on a GPU; numbers and None are not."""
    if type(x) is np.ndarray:
        return False
    if _is_cupys(type(x)) or _is_cupys(type(x := bare(x))):
        return True
    return isinstance(x, StandIn) and x.on_gpu


def _of_cupy(kind: Any) -> bool:
    """Whether a class is one of CuPy's."""
    return bool(kind.__module__.partition(".")[0] == "cupy")


_is_cupys: Callable[[type], bool] = cache(_of_cupy)  # a training step asks hundreds of times


def bare(x: Any) -> Any:
    """The array of a Tensor; all else as it is.

    A Tensor is known by its `_node`: other classes may have an `_array`, too.
    """
    return x._array if hasattr(x, "_node") else x


def may_look(x: Any) -> bool:
    """Whether the values of `x` are at hand: it is not on a GPU, and no recording runs."""
    return not isinstance(bare(x), StandIn) and not on_gpu(x)


def is_array(x: Any) -> bool:
    """Whether `x` is an array of NumPy or CuPy (a NumPy scalar counts as one)."""
    if isinstance(x, np.ndarray | np.generic | StandIn):
        return True
    return _is_cupys(type(x))


def zeros(shape: Sequence[int], like: Array, dtype: DType = None) -> Array:
    """Zeros on the device of `like`; `dtype` None: in its dtype."""
    return array_module(like).zeros(shape, like.dtype if dtype is None else dtype)


def as_array(value: Any, dtype: DType = None) -> Array:
    """`value` as an array, on the device where it is, copied only if needed.

    Python numbers and lists of them become float32 (lists of bools stay bool). Arrays, and what has
    ``__array__`` (of pandas, PyTorch ...), keep their dtype, unless a `dtype` is given.

    Raises
    ------
    TypeError
        if `value` is not numeric: strings, objects, dates, ragged lists, complex numbers; or if it
        has a mask, which would be lost.
    """
    if is_array(value):
        value = given(value)
    elif getattr(value, "is_sparse", False):  # a RowSparse
        value = value.to_dense()
    else:
        value = constant(_from_python(value, dtype))
    xp = array_module(value)
    if type(value) is not xp.ndarray:
        refuse_mask(value)
        value = xp.asarray(value)
    if value.dtype.kind not in "biuf":
        _refuse_dtype(value.dtype)
    if dtype is not None and value.dtype != dtype:
        if np.dtype(dtype).kind not in "biuf":
            _refuse_dtype(np.dtype(dtype))
        value = value.astype(dtype)
    # big-endian numbers are slow, and big-endian float16 is not equal to the dtype float16
    return value if value.dtype.isnative else value.astype(value.dtype.newbyteorder("="))


def refuse_mask(value: Any) -> None:
    """Raise a TypeError if `value` is a masked array, or another that has a mask."""
    if isinstance(value, np.ndarray) and hasattr(value, "mask"):
        raise TypeError(
            f"tensor: a {type(value).__name__} would lose its mask; fill it (a.filled(0)), and "
            "pass the mask on as an array of its own (a.mask), to mg.where say"
        )


def _refuse_dtype(dtype: Any) -> NoReturn:
    raise TypeError(
        f"tensor: expected real numbers, got an array of dtype {dtype}; minigrad "
        "differentiates real functions (floats) and counts with integers and bools"
    )


def _from_python(value: Any, dtype: DType) -> Array:
    for item in value if isinstance(value, list | tuple) else ():
        refuse_mask(item)
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:  # the last two from other libraries
        raise TypeError(
            f"tensor: cannot make an array of a {type(value).__name__}: {error}"
        ) from None
    if array.dtype == object and any(type(x) is Number for x in array.flat):
        array = array.astype(np.float64)  # a recording is asked for the values
    if dtype is None and array.dtype.kind in "iuf" and not hasattr(value, "__array__"):
        dtype = FLOAT32
    return array if dtype is None or array.dtype.kind not in "biuf" else array.astype(dtype)
