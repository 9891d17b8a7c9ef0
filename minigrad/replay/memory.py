"""Memory for arrays of a given shape, dtype and layout: an array's, or a `Place`'s."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.arrays.library import array_module

_ALIGNMENT = 64  # bytes: a line of the processor's cache, and its widest vector


def extent(x: Any) -> int:
    """The bytes from the first to the last element."""
    if 0 in x.shape:
        return 0
    steps = sum((n - 1) * abs(s) for n, s in zip(x.shape, x.strides, strict=True))
    return int(steps + x.dtype.itemsize)


def block(size: int, library: Any) -> Any:
    """New memory that begins at a line of the cache; on a GPU, what CuPy gives."""
    if library is not np:
        return library.empty(size, np.uint8)
    room = np.empty(size + _ALIGNMENT, np.uint8)
    start = -room.ctypes.data % _ALIGNMENT
    return room[start : start + size]


def array_in(memory: Any, x: Any) -> Any:
    """An array like `x` at the beginning of a block."""
    if _library(x) is not np:
        return _library(x).ndarray(x.shape, x.dtype, memory.data, x.strides)
    lowest = sum((n - 1) * s for n, s in zip(x.shape, x.strides, strict=True) if s < 0)
    return np.ndarray(x.shape, x.dtype, memory, -lowest if memory.size else 0, x.strides)


def new_like(x: Any) -> Any:
    """A new array like `x`, with the same steps from element to element."""
    return array_in(block(extent(x), _library(x)), x)


def _library(x: Any) -> Any:
    return x.library if hasattr(x, "library") else array_module(x)
