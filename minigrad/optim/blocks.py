"""Going through large arrays piece by piece, so that the pieces stay in the processor's cache.

An update like Adam's is a dozen NumPy calls, each of which reads and writes whole arrays. On
arrays of many megabytes each call would fetch everything from memory again; on pieces that fit
into the cache only the first one does. On a GPU an array is one piece, since there each call costs
a launch and the caches are small.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import EllipsisType
from typing import Any

import numpy as np

from minigrad.arrays.devices import device_of
from minigrad.arrays.library import Array, array_module
from minigrad.arrays.sums import wide

BLOCK = 1 << 15
"""Elements in a piece: the six arrays of an Adam step, in float32, then take 800 KB of cache."""

SMALL = 1 << 12
"""Elements: memory for fewer is had from NumPy as fast as from anywhere."""


def zeros_for(parameter: Array) -> Array:
    """What is remembered of `parameter` to begin with: zeros, in its order of memory.

    Of a float16 parameter they are float32, in which its steps are computed too: in float16 an eps
    of 1e-8 is 0, the square of 1e-4 as well, and 1000 + 0.1 is 1000.
    """
    zeros: Array = array_module(parameter).zeros_like(parameter, dtype=wide(parameter.dtype))
    return zeros


def is_one_piece(array: Array) -> bool:
    """Whether `pieces` would not cut `array`."""
    return array.size <= BLOCK or array_module(array) is not np


def pieces(array: Array) -> Iterator[slice | EllipsisType]:
    """The indices that cut `array` along its first axis; one index for all of it if it is small."""
    if is_one_piece(array):
        yield ...
        return
    rows = len(array)
    step = max(1, BLOCK * rows // array.size)
    for start in range(0, rows, step):
        yield slice(start, start + step)


class Scratch:
    """Memory for intermediate results, kept from one step to the next and never handed out."""

    def __init__(self) -> None:
        self._buffers: dict[tuple[Any, str, int], Array] = {}

    def like(self, array: Array, count: int) -> list[Array]:
        """`count` arrays of the shape, dtype and device of `array`, with whatever is in them."""
        if array.size < SMALL:
            return [array.copy() for _ in range(count)]  # as fast as empty memory
        return [self._one(array, i) for i in range(count)]

    def _one(self, array: Array, i: int) -> Array:
        key = (array.dtype, device_of(array), i)
        buffer = self._buffers.get(key)
        if buffer is None or buffer.size < array.size:
            buffer = self._buffers[key] = array_module(array).empty(array.size, array.dtype)
        return buffer[: array.size].reshape(array.shape)
