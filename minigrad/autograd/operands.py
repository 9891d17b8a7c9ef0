"""What an argument of an op means: a Tensor, an array or a number.

`minigrad.autograd.record` calls these functions where an op has something else than Tensors and
Python numbers as arguments.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from minigrad.arrays.devices import beside, check_current, gpus, place
from minigrad.arrays.library import FLOAT32, as_array, bare, is_array, on_gpu
from minigrad.arrays.recording import Number, given
from minigrad.tensor import Tensor, wrap


def operand(a: Any, others: Iterable[Any] = ()) -> Any:
    """The argument `a` as an op uses it, where `others` are the op's other arguments.

    Tensors and arrays stay what they are. If there is no Tensor or array among the `others`, a
    number or a list becomes a float32 Tensor. If there is one, a Python number stays a number, and
    a list becomes an array on the same device. A NumPy array beside a Tensor on the GPU goes to the
    default device. Raises what `as_array` raises.
    """
    if isinstance(a, Tensor | None):
        return a
    others = [x for x in others if isinstance(x, Tensor) or is_array(x)]
    if not others:
        return a if is_array(a) else wrap(place(a))
    if type(a) in (int, float, bool, Number):
        return a
    if not is_array(a):
        return beside(as_array(a), others[0])
    if gpus and on_gpu(a):
        check_current(a.device.id)
    elif gpus:
        for x in others:
            if isinstance(x, Tensor):
                return as_array(a) if type(x._array) is np.ndarray else place(a)
    return as_array(a)


def number(a: Any) -> Any:
    """A NumPy scalar, or an array without axes, as a Python number; all else as it is.

    So it does not decide the dtype beside a Tensor, as a Python number does not.
    """
    if (type(a) is np.ndarray or isinstance(a, np.generic)) and a.ndim == 0:
        if type(a) is np.ndarray:
            given(a)  # a recording must know it
        return a.item() if a.dtype.kind in "fiub" else as_array(a)
    if isinstance(a, int | float) and type(a) not in (bool, Number):  # perhaps of a subclass
        return float(a) if isinstance(a, float) else int(a)
    return a


def float_dtype(dtypes: Iterable[Any]) -> Any:
    """The dtype to which the floats among `dtypes` promote; float32 if there are none."""
    return np.result_type(*[dtype for dtype in dtypes if dtype.kind == "f"] or [FLOAT32])


def with_floats(a: Any, dtype: Any) -> Any:
    """A Tensor or array of integers or bools as a constant of `dtype`; all else as it is."""
    if hasattr(a, "dtype") and a.dtype.kind in "iub":
        return wrap(bare(a).astype(dtype))
    return a


def own_copy(value: Any) -> Any:
    """`value`, with a copy in place of a plain array, also in a list or tuple.

    The caller may fill an array with new numbers before the backward pass, and an array has no
    clock that would show it. So the tape keeps a copy of its own.
    """
    if isinstance(value, Tensor):
        return value
    if type(value) in (list, tuple):
        return type(value)([own_copy(item) for item in value])
    if is_array(value):
        return value.copy()
    return np.array(value) if hasattr(value, "__array__") else value
