"""Large arrays, piece by piece, so that the pieces stay in the processor's cache.

An update like Adam's is a dozen NumPy calls, and each of them reads and writes whole arrays. If the
arrays have many megabytes, each call fetches everything from memory again. If they are cut into
pieces that fit into the cache, only the first call does. On a GPU an array is one piece: each call
costs a launch there, and the caches are small.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import EllipsisType
from typing import Any

from minigrad.arrays.devices import device_of
from minigrad.arrays.library import Array, StandIn, array_module, on_gpu
from minigrad.arrays.sums import wide
from minigrad.autograd.sparse import RowSparse

BLOCK = 1 << 15
"""The elements of a piece; the six arrays of an Adam step in float32 then take 800 KB of cache."""

SMALL = 1 << 12
"""For fewer elements than this, NumPy gives memory as fast as `Scratch` does."""


def is_one_piece(array: Array) -> bool:
    """Whether `pieces` would not cut `array`."""
    return array.size <= BLOCK or on_gpu(array)


def pieces(array: Array) -> Iterator[slice | EllipsisType]:
    """The indices that cut `array` along its first axis; one index for the whole if it is small."""
    if is_one_piece(array):
        yield ...
        return
    rows = len(array)
    step = max(1, BLOCK * rows // array.size)
    for start in range(0, rows, step):
        yield slice(start, start + step)


class Scratch:
    """Memory for intermediate results, kept from step to step and never handed out."""

    def __init__(self) -> None:
        self._buffers: dict[tuple[Any, str, int], Array] = {}

    def pieces(
        self, count: int, p: Array, g: Array | RowSparse, *others: Array | None
    ) -> Iterable[list[Any]]:
        """Pieces of `p`, of `g` and of `others` (None stays None), and `count` scratch arrays.

        An update changes the pieces of `p` and `others` in place, and so changes `p` and `others`.
        Most pieces are views. For the rows of a row-sparse `g`, and for float16, they are copies
        (float16 becomes float32), which are put back after the update.
        """
        if not isinstance(g, RowSparse) and is_one_piece(g) and g.dtype == wide(g.dtype):
            return ([p, g, *others, *self._like(g, count)],)
        return self._cut(count, p, g, *others)

    def _cut(
        self, count: int, p: Array, g: Array | RowSparse, *others: Array | None
    ) -> Iterator[list[Any]]:
        rows, g = (g.rows, g.values) if isinstance(g, RowSparse) else (None, g)
        buffers: list[Array] = []
        dtype = wide(p.dtype)
        for piece in pieces(g):
            here = piece if rows is None else rows[piece]
            arrays: list[Any] = [
                None if x is None else x[here].astype(dtype, copy=False) for x in (p, *others)
            ]
            if not buffers or buffers[0].shape != arrays[0].shape:
                buffers = self._like(arrays[0], count)
            yield [arrays[0], g[piece].astype(dtype, copy=False), *arrays[1:], *buffers]
            for x, changed in zip((p, *others), arrays, strict=True):
                if x is not None and (rows is not None or x.dtype != dtype):
                    x[here] = changed

    def _like(self, array: Array, count: int) -> list[Array]:
        """`count` arrays of the shape, dtype and device of `array`, with any content."""
        if isinstance(array, StandIn):  # a recording plans memory by itself
            return [array_module(array).empty_like(array) for _ in range(count)]
        if array.size < SMALL:
            return [array.copy() for _ in range(count)]  # as fast as empty memory
        return [self._one(array, i) for i in range(count)]

    def _one(self, array: Array, i: int) -> Array:
        key = (array.dtype, device_of(array), i)
        buffer = self._buffers.get(key)
        if buffer is None or buffer.size < array.size:
            buffer = self._buffers[key] = array_module(array).empty(array.size, array.dtype)
        return buffer[: array.size].reshape(array.shape)
