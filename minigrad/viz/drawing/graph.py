"""What is drawn: which entries of the tape are nodes, and which are chips on the nodes."""

from __future__ import annotations

from collections.abc import Iterable

from minigrad.viz.reading import Entry, Tape

MANY = 2
"""A leaf that more ops use than these is a chip on each, not a node with edges to all of them."""


class Graph:
    """The ops of a tape and what feeds them, by their indices in the tape.

    Attributes
    ----------
    nodes
        the entries that are nodes, oldest first: ops, and leaves and constants that few ops use.
    chips
        the other entries: parameters, and leaves and constants that many ops use, or one that spans
        several time steps.
    sources
        for each entry the nodes that it takes its arguments from, each once.
    consumers
        for each entry the ops that use it, oldest first, each once.
    """

    def __init__(self, tape: Tape) -> None:
        self.tape, self.entries = tape, tape.entries
        self.consumers = [[entry.index for entry in found] for found in tape.consumers()]
        self._divide([self._is_chip(entry) for entry in self.entries])

    def _divide(self, is_chip: list[bool]) -> None:
        self.is_chip = is_chip
        self.nodes = [e.index for e in self.entries if not self.is_chip[e.index]]
        self.chips = [e.index for e in self.entries if self.is_chip[e.index]]
        self.sources = [
            list(
                dict.fromkeys(
                    edge.source.index for edge in e.edges if not self.is_chip[edge.source.index]
                )
            )
            for e in self.entries
        ]

    def _is_chip(self, entry: Entry) -> bool:
        if entry is self.tape.root or entry.kind in ("op", "freed"):
            return False
        return entry.kind == "parameter" or len(self.consumers[entry.index]) > MANY

    def make_chips(self, indices: Iterable[int]) -> None:
        """Let further leaves and constants be chips."""
        more = set(indices)
        self._divide([is_chip or i in more for i, is_chip in enumerate(self.is_chip)])

    def chips_of(self, index: int) -> list[int]:
        """The chips of a node, in the order of its arguments, each once."""
        found = (edge.source.index for edge in self.entries[index].edges)
        return list(dict.fromkeys(i for i in found if self.is_chip[i]))
