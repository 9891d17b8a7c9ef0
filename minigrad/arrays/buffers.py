"""Memory that is used again from one training step to the next.

The system hands out the memory of large new arrays page by page, when each page is first touched,
which costs a good part of the time that it takes to fill them; and NumPy gives freed ones back. The
large arrays that the fused ops need inside are therefore taken from here. An array is used again
only when nobody can still see the one before: its reference count says so, and every view of it
counts.
"""

from __future__ import annotations

import math
import os
import sys
import threading
from typing import Any

import numpy as np

from minigrad.arrays.library import Array

SMALLEST = 1 << 16
"""Bytes: below this NumPy's own memory is as good."""

LARGEST_TOTAL = 1 << 29
"""Bytes: what nobody uses is given back when there would be more than this in all."""

KEPT_FOR = 200
"""Takes: what none of so many, which are some training steps, wanted goes when more is made."""

_ALIGNMENT = 64  # bytes: a line of the processor's cache, and the widest vector it computes with


class _Buffers:
    """Blocks of bytes by their size."""

    def __init__(self) -> None:
        # of each block: itself, and when it was taken last, counted in takes
        self._by_size: dict[int, list[tuple[Array, int]]] = {}
        self._takes = 0
        self.total = 0  # bytes of all blocks, in use or not
        self.unlock()

    def unlock(self) -> None:
        """Begin with a new lock: the old one may have been held when the process was forked."""
        self._lock = threading.Lock()

    def take(self, size: int) -> Array:
        """A block of at least `size` bytes that nobody else has."""
        unit = 1 << max(size.bit_length() - 4, 0)
        size = -(-size // unit) * unit  # of 8 sizes between a power of two and the next
        if not self._lock.acquire(blocking=False):  # by another thread, or below a signal handler
            return np.empty(size, np.uint8)
        try:
            self._takes += 1
            block = self._free(size)
            if block is None:
                oldest = self._takes - KEPT_FOR if self.total + size <= LARGEST_TOTAL else math.inf
                self._give_back(oldest)
                block = np.empty(size, np.uint8)
                self._by_size.setdefault(size, []).append((block, self._takes))
                self.total += size
            if self.total > LARGEST_TOTAL:
                self._give_back(math.inf)
            return block
        finally:
            self._lock.release()

    def _free(self, size: int) -> Array | None:
        """A block that nobody has, of at least `size` bytes and less than twice as many."""
        for fitting in sorted(s for s in self._by_size if size <= s < 2 * size):
            blocks = self._by_size[fitting]
            for i in reversed(range(len(blocks))):  # the last is the likeliest to be in the cache
                block = blocks[i][0]
                if _references(block) == _ALONE:
                    del blocks[i]
                    blocks.append((block, self._takes))
                    return block
        return None

    def _give_back(self, oldest: float) -> None:
        """Let go of the blocks that nobody has, and nobody has taken since the take `oldest`."""
        for size, blocks in self._by_size.items():
            for i in reversed(range(len(blocks))):
                block, taken = blocks[i]
                if taken < oldest and _references(block) == _ALONE:
                    del blocks[i]
                    self.total -= size


def _references(block: Array) -> int:
    return sys.getrefcount(block)


def _references_if_free() -> int:
    """What `_references` gives, for a name as above, of a block that only a tuple holds."""
    blocks = [(np.empty(1, np.uint8), 0)]
    block = blocks[0][0]
    return _references(block)


_ALONE = _references_if_free()
_buffers = _Buffers()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _buffers.unlock())


def empty(xp: Any, shape: tuple[int, ...], dtype: Any) -> Array:
    """``xp.empty(shape, dtype)``, for large arrays in memory that was used before.

    It is a view (its `base` is not None). CuPy keeps freed memory by itself.
    """
    dtype = np.dtype(dtype)
    count = math.prod(shape)
    size = count * dtype.itemsize
    if xp is not np or size < SMALLEST:
        return xp.empty(shape, dtype)
    block = _buffers.take(size + _ALIGNMENT)
    skipped = -block.ctypes.data % _ALIGNMENT
    return block[skipped : skipped + size].view(dtype).reshape(shape)
