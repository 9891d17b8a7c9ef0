"""Memory that is used again from one training step to the next.

The system gives the memory of a large new array page by page, when a page is first touched. This
takes a good part of the time that it takes to fill the array. And NumPy gives the memory back when
an array is freed. So the fused ops take the large arrays that they need inside from here. Memory is
used again only when nobody can see the old array any more. Its reference count shows that, and
every view of it counts.
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
"""Bytes; for smaller arrays NumPy's own memory is as good."""

LARGEST_TOTAL = 1 << 29
"""Bytes; if there is more than this in all, memory that nobody uses is given back."""

KEPT_FOR = 200
"""A number of takes, which are some training steps; when a block is made, those that none of these
took are given back."""

_ALIGNMENT = 64  # bytes: a line of the processor's cache, and its widest vector


class _Buffers:
    """Blocks of bytes by their size."""

    def __init__(self) -> None:
        # each block, and when it was last taken, counted in takes
        self._by_size: dict[int, list[tuple[Array, int]]] = {}
        self._takes = 0
        self.total = 0  # bytes of all blocks, in use or not
        self.unlock()

    def unlock(self) -> None:
        """Begin with a new lock; the old one may have been held when the process was forked."""
        self._lock = threading.Lock()

    def take(self, size: int) -> Array:
        """A block of at least `size` bytes that nobody else has."""
        unit = 1 << max(size.bit_length() - 4, 0)
        size = -(-size // unit) * unit  # 8 sizes from one power of two to the next
        if not self._lock.acquire(blocking=False):  # another thread has it, or a signal came
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
            for i in reversed(range(len(blocks))):  # the last one is most likely in the cache
                block = blocks[i][0]
                if _references(block) == _ALONE:
                    del blocks[i]
                    blocks.append((block, self._takes))
                    return block
        return None

    def _give_back(self, oldest: float) -> None:
        """Free the blocks that nobody has, and that were last taken before the take `oldest`."""
        for size, blocks in self._by_size.items():
            for i in reversed(range(len(blocks))):
                block, taken = blocks[i]
                if taken < oldest and _references(block) == _ALONE:
                    del blocks[i]
                    self.total -= size


def _references(block: Array) -> int:
    return sys.getrefcount(block)


def _references_if_free() -> int:
    """What `_references` gives for a block that only a tuple holds, with a name as above."""
    blocks = [(np.empty(1, np.uint8), 0)]
    block = blocks[0][0]
    return _references(block)


_ALONE = _references_if_free()
_buffers = _Buffers()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _buffers.unlock())


def empty(xp: Any, shape: tuple[int, ...], dtype: Any) -> Array:
    """``xp.empty(shape, dtype)``; a large array lies in memory that was used before.

    Such an array is a view (its `base` is not None). CuPy keeps freed memory by itself.
    """
    dtype = np.dtype(dtype)
    count = math.prod(shape)
    size = count * dtype.itemsize
    if xp is not np or size < SMALLEST:
        return xp.empty(shape, dtype)
    block = _buffers.take(size + _ALIGNMENT)
    skipped = -block.ctypes.data % _ALIGNMENT
    return block[skipped : skipped + size].view(dtype).reshape(shape)
