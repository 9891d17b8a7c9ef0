"""What an argument of an op means: a Tensor, an array or a number."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from minigrad.arrays.devices import beside, check_current, gpus, place
from minigrad.arrays.library import FLOAT32, array_module, as_array, bare, is_array
from minigrad.tensor import Tensor, wrap


def operand(a: Any, others: Iterable[Any] = ()) -> Any:
    """What `a` is to an op: a Tensor, an array or, beside `others`, a Python number.

    Tensors and arrays stay what they are. A number or a list alone becomes a float32 Tensor. Beside
    others, Tensors and arrays, a number stays one, and a list goes where they are; a NumPy array
    beside a Tensor on the GPU goes to the default device. Raises as `as_array`.
    """
    if isinstance(a, Tensor | None):
        return a
    others = [x for x in others if isinstance(x, Tensor) or is_array(x)]
    if not others:
        return a if is_array(a) else wrap(place(a))
    if type(a) in (int, float, bool):
        return a
    if not is_array(a):
        return beside(as_array(a), others[0])
    if gpus and array_module(a) is not np:
        check_current(a.device.id)
    elif gpus:
        for x in others:
            if isinstance(x, Tensor):
                return as_array(a) if type(x._array) is np.ndarray else place(a)
    return as_array(a)


def number(a: Any) -> Any:
    """The Python number that a NumPy scalar or an array without axes is; all else as it is.

    Beside a Tensor it does not decide on the dtype, just as a Python number does not.
    """
    if (type(a) is np.ndarray or isinstance(a, np.generic)) and a.ndim == 0:
        return a.item() if a.dtype.kind in "fiub" else as_array(a)
    if isinstance(a, int | float) and type(a) is not bool:  # perhaps of a class of its own
        return float(a) if isinstance(a, float) else int(a)
    return a


def float_dtype(dtypes: Iterable[Any]) -> Any:
    """The dtype that the floats among `dtypes` make together; float32 if there are none."""
    return np.result_type(*[dtype for dtype in dtypes if dtype.kind == "f"] or [FLOAT32])


def with_floats(a: Any, dtype: Any) -> Any:
    """A Tensor or array of integers as a constant in another dtype; all else as it is."""
    if hasattr(a, "dtype") and a.dtype.kind in "iub":
        return wrap(bare(a).astype(dtype))
    return a


def own(value: Any) -> Any:
    """A copy of a plain array, or of those in a list or tuple; whatever else is not copied.

    Who hands in an array may fill it anew before the walk back, and it has no clock that would
    tell. So what the tape keeps of it is a copy of its own.
    """
    if isinstance(value, Tensor):
        return value
    if type(value) in (list, tuple):
        return type(value)([own(item) for item in value])
    if is_array(value):
        return value.copy()
    return np.array(value) if hasattr(value, "__array__") else value
