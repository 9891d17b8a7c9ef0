"""Where arrays lie in memory, and memory for arrays of a given shape, dtype and layout."""

from __future__ import annotations

from typing import Any

import numpy as np

_ALIGNMENT = 64  # bytes: a line of the processor's cache, and its widest vector


def root_of(array: Any) -> Any:
    """The array that owns the memory of `array`."""
    while getattr(array, "base", None) is not None and hasattr(array.base, "dtype"):
        array = array.base
    return array


def share_memory(a: Any, b: Any) -> bool:
    """Whether two arrays lie in the memory of the same one."""
    return root_of(a) is root_of(b)


def is_real(x: Any) -> bool:
    """Whether it is an array of NumPy or CuPy itself."""
    return isinstance(x, np.ndarray) or type(x).__module__.partition(".")[0] == "cupy"


def extent(x: Any) -> int:
    """The bytes from the first to the last element."""
    if 0 in x.shape:
        return 0
    steps = sum((n - 1) * abs(s) for n, s in zip(x.shape, x.strides, strict=True))
    return int(steps + x.dtype.itemsize)


def block(size: int, library: Any) -> Any:
    """New memory of an array library, which begins at a line of the cache."""
    if library is not np:
        return library.empty(size, np.uint8)
    room = np.empty(size + _ALIGNMENT, np.uint8)
    start = -room.ctypes.data % _ALIGNMENT
    return room[start : start + size]


def array_in(memory: Any, x: Any) -> Any:
    """An array like `x` at the beginning of a block."""
    lowest = sum((n - 1) * s for n, s in zip(x.shape, x.strides, strict=True) if s < 0)
    first = -lowest if memory.size else 0
    if type(memory) is not np.ndarray:  # CuPy has no buffer=
        return type(memory)(x.shape, x.dtype, memory.data + first, x.strides)
    return np.ndarray(x.shape, x.dtype, memory, first, x.strides)


def new_like(x: Any, library: Any) -> Any:
    """A new array like `x`, of an array library, with the same steps from element to element."""
    return array_in(block(extent(x), library), x)


class Pool:
    """Memory of several programs, of which one runs at a time."""

    def __init__(self) -> None:
        self._blocks: list[Any] = []

    def keep(self, used: list[list[Any]]) -> None:
        """Let go of the blocks that are not among those `used`."""
        known = {id(b) for blocks in used for b in blocks}
        self._blocks = [b for b in self._blocks if id(b) in known]

    def blocks(self, wanted: list[tuple[int, Any]], own: set[int]) -> list[Any]:
        """Blocks of at least the sizes that are `wanted`, from the array libraries beside them.

        Those whose numbers are in `own` are new, and nobody else gets them: what lies there must
        last until the next replay of the same program.
        """
        result, free = [], list(self._blocks)
        for i, (size, library) in enumerate(wanted):
            fits = [b for b in free if size <= b.size <= 2 * size + 1024 and i not in own]
            fits = [b for b in fits if (type(b) is np.ndarray) == (library is np)]
            if fits:
                chosen = min(fits, key=lambda b: b.size)
                free = [b for b in free if b is not chosen]
            else:
                chosen = block(size, library)
                if i not in own:
                    self._blocks.append(chosen)
            result.append(chosen)
        return result
