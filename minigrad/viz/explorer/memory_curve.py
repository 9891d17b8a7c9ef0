"""How much memory a tape holds after each step of the walk.

The nodes keep values for the way back, and the walk drops those of each node after it has used
them. A gradient waits until the walk comes to its node; that of a leaf stays. Each piece of memory
is counted once, however many arrays look at it, and as a whole, however small the view is that is
kept: the rest of it cannot be freed either.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minigrad.autograd.node import Leaf
from minigrad.viz.explorer.step_order import Key, Step, Summand
from minigrad.viz.reading import Edge, Entry, Numbers, Result, Tape, whole


class MemoryCurve(NamedTuple):
    """Bytes after each step.

    Attributes
    ----------
    saved
        what the nodes keep for the way back, without the memory of leaves.
    gradients
        the gradients that wait for the walk, and those of the leaves that it has found.
    leaves
        the memory of leaves, such as parameters, that nodes keep: it would be there without a tape.
    """

    saved: Numbers
    gradients: Numbers
    leaves: int


def memory_curve(
    tape: Tape, steps: Sequence[Step], summands: dict[Key, list[Summand]]
) -> MemoryCurve:
    """The memory that `tape` holds after each of `steps`."""
    kept = {entry: _memories(entry) for entry in tape}
    own = {id(memory) for entry in tape for memory in _of_leaf(entry)}
    leaves = {
        place: size for pieces in kept.values() for place, size in pieces.items() if place in own
    }
    waiting = _Waiting(tape, summands)
    users: Counter[int] = Counter()
    saved, gradients, now = [], [], 0
    for entry, forward in steps:
        for place, size in kept[entry].items():
            if place in own:
                continue
            if forward:
                now += size if users[place] == 0 else 0
                users[place] += 1
            else:
                users[place] -= 1
                now -= size if users[place] == 0 else 0
        if not forward:
            waiting.visit(entry)
        saved.append(now)
        gradients.append(waiting.nbytes if not forward else 0)
    return MemoryCurve(np.array(saved), np.array(gradients), sum(leaves.values()))


def _memories(entry: Entry) -> dict[int, int]:
    """The pieces of memory that a node keeps: by their place, their bytes."""
    bases = [whole(saved.value) for saved in entry.saved if saved.memory]
    return {id(base): int(base.nbytes) for base in bases}


def _of_leaf(entry: Entry) -> list[Any]:
    tensor = entry.node.tensor() if isinstance(entry.node, Leaf) else None
    return [] if tensor is None else [whole(tensor._array)]


class _Waiting:
    """The gradients that wait, and their bytes."""

    def __init__(self, tape: Tape, summands: dict[Key, list[Summand]]) -> None:
        self.arrays = {s.edge: s.gradient for found in summands.values() for s in found}
        self.sizes: dict[int, int] = {}  # of the pieces of memory that are in use
        self.users: Counter[int] = Counter()
        self.at: dict[Key, int] = {}  # the piece of memory of each gradient
        self.of_few_rows: set[Key] = set()
        self.made = 0
        self.nbytes = 0
        self._put((tape.root.index, tape.number), None, _nbytes(tape.root.results[tape.number]))

    def visit(self, entry: Entry) -> None:
        """The walk comes to `entry`, and passes its gradients on."""
        if entry.kind != "op":  # a leaf: the walk has found it, and keeps its gradient
            return
        popped = [self.at.pop((entry.index, i), None) for i in range(len(entry.results))]
        for edge in entry.edges:
            if edge.gradient is not None:
                self._arrive(edge)
        for place in popped:
            if place is not None:
                self._drop(place)

    def _arrive(self, edge: Edge) -> None:
        key = (edge.source.index, edge.number)
        few_rows = edge.nbytes != edge.gradient.nbytes
        if key not in self.at:
            self._put(key, None if few_rows else self.arrays[edge], edge.nbytes)
            if few_rows:
                self.of_few_rows.add(key)
        else:  # the sum is a new array; one of few rows has at most the rows of both
            before = self.at.pop(key)
            both = few_rows and key in self.of_few_rows
            full = _nbytes(edge.source.results[edge.number])
            self._put(key, None, self.sizes[before] + edge.nbytes if both else full)
            self._drop(before)

    def _put(self, key: Key, array: Any, nbytes: int) -> None:
        """Note the memory of the gradient at `key`: of `array`, or so many bytes of its own."""
        if array is None:
            self.made -= 1
            place, size = self.made, nbytes
        else:
            base = whole(array)
            place, size = id(base), int(base.nbytes)
        self.at[key], self.sizes[place] = place, size
        self.nbytes += size if self.users[place] == 0 else 0
        self.users[place] += 1

    def _drop(self, place: int) -> None:
        self.users[place] -= 1
        if self.users[place] == 0:
            self.nbytes -= self.sizes[place]


def _nbytes(result: Result) -> int:
    return int(math.prod(result.shape)) * result.dtype.itemsize
