"""The one order in which what the shards have is summed, whatever rank has them.

Sums of floating-point numbers depend on their order. So the order is that of a tree over the
numbers of the shards: node (l, i) is the sum of the shards from i 2^l to (i + 1) 2^l - 1, and it is
node (l - 1, 2i) plus node (l - 1, 2i + 1). Where there is no second one, it is the first one as it
is. Of six shards this is ((0 + 1) + (2 + 3)) + (4 + 5). A rank with neighbouring shards can compute
the nodes that lie in its part alone, and whoever has the nodes of all ranks can do the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias, TypeVar

T = TypeVar("T")
Node: TypeAlias = tuple[int, int]  # level and number


def part(total: int, size: int, rank: int) -> range:
    """The part of `total` things that `rank` of `size` has: neighbouring ones."""
    return range(total * rank // size, total * (rank + 1) // size)


class PartialSums:
    """Which nodes a rank has while it adds its shards, one after the other: at most log2 of them.

    It only keeps the books: `added` says what is to be summed.
    """

    def __init__(self, shards: int, first: int) -> None:
        self.nodes: list[Node] = []
        self._shards, self._next = shards, first
        self._root = (shards - 1).bit_length(), 0

    def added(self) -> int:
        """Add the next shard, as the last node; return how many times the last two are summed."""
        level, i = 0, self._next
        self._next += 1
        sums = 0
        while True:
            if i % 2 and self.nodes and self.nodes[-1] == (level, i - 1):
                self.nodes.pop()
                sums += 1
            elif i % 2 or (i + 1) << level < self._shards or (level, i) == self._root:
                break
            level, i = level + 1, i // 2
        self.nodes.append((level, i))
        return sums


def nodes_of(shards: int, own: range) -> list[Node]:
    """The nodes that a rank with the shards `own` has in the end."""
    sums = PartialSums(shards, own.start)
    for _ in own:
        sums.added()
    return sums.nodes


def summed(values: Mapping[Node, T], shards: int, plus: Callable[[T, T], T]) -> T:
    """The root of the tree, from nodes that cover all shards, each once."""

    def value(level: int, i: int) -> T:
        if (level, i) in values:
            return values[level, i]
        left = value(level - 1, 2 * i)
        if (2 * i + 1) << (level - 1) >= shards:
            return left
        return plus(left, value(level - 1, 2 * i + 1))

    return value((shards - 1).bit_length(), 0)
