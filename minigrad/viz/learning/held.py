"""How many bytes the arrays of a step hold, as they come and go.

Next: `timeline.py`.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np

from minigrad.arrays.library import StandIn, is_array
from minigrad.tensor import Tensor


class Held:
    """Counts the memory of arrays while one of them is alive: views of it count once.

    Memory that an array of elsewhere lies in (a parameter, a batch) is not counted.
    """

    def __init__(self) -> None:
        self.total = 0
        self._alive: dict[int, int] = {}  # by memory, how many of its arrays are alive
        self._seen: dict[int, Any] = {}  # by the id of an array a weak reference to it

    def add(self, made: Any, given: Any) -> None:
        """Count the arrays in `made`, unless they lie in the memory of those in `given`."""
        foreign = {_memory(a)[0] for a in _arrays(given)} - self._alive.keys()
        for array in _arrays(made):
            key, size = _memory(array)
            if key in foreign or id(array) in self._seen:
                continue
            self._seen[id(array)] = weakref.ref(array, self._gone(id(array), key, size))
            if key not in self._alive:
                self.total += size
            self._alive[key] = self._alive.get(key, 0) + 1

    def _gone(self, array: int, key: int, size: int) -> Any:
        def gone(_: Any) -> None:
            del self._seen[array]
            self._alive[key] -= 1
            if not self._alive[key]:
                del self._alive[key]
                self.total -= size

        return gone


def _arrays(x: Any) -> Iterator[Any]:
    """The arrays in Tensors, tuples and lists."""
    if isinstance(x, Tensor):
        yield x._array
    elif isinstance(x, tuple | list):
        for item in x:
            yield from _arrays(item)
    elif is_array(x) and not isinstance(x, np.generic | StandIn):
        yield x


def _memory(array: Any) -> tuple[int, int]:
    """The memory in which an array lies, and its bytes."""
    base: Any = getattr(array, "base", None)
    owner = base if is_array(base) else array
    return id(owner), owner.nbytes
