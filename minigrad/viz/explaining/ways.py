"""The ways of a gradient along a tape, and how large gradients are."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from minigrad.viz.reading import Edge, Entry, Tape


def uses(tape: Tape) -> dict[tuple[int, int], list[tuple[Entry, Edge]]]:
    """By entry and number of the result: the ops that use it."""
    found: dict[tuple[int, int], list[tuple[Entry, Edge]]] = defaultdict(list)
    for op in tape:
        for edge in op.edges:
            found[edge.source.index, edge.number].append((op, edge))
    return found


def to(entry: Entry, tape: Tape) -> list[tuple[Entry, Edge]]:
    """The ops that use `entry`, and as what."""
    return [(op, edge) for op in tape for edge in op.edges if edge.source is entry]


def behind(entry: Entry, number: int, tape: Tape) -> list[tuple[Entry, Edge]]:
    """All edges on the ways from the root to `entry`."""
    users, seen, stack, found = uses(tape), set(), [(entry.index, number)], []
    while stack:
        for op, edge in users[stack.pop()]:
            found.append((op, edge))
            if op.index not in seen:
                seen.add(op.index)
                stack += [(op.index, i) for i in range(len(op.results))]
    return sorted(found, key=lambda pair: -pair[0].index)


def came(op: Entry) -> list[Any]:
    """The gradients that came to the results of an op."""
    return [result.gradient for result in op.results if result.gradient is not None]


def typical(g: Any) -> float:
    """The root mean square of a gradient; 0 if there is none."""
    if g is None or g.size == 0:
        return 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.sqrt(np.mean(np.square(g.astype(np.float64)))))


def norm(g: Any) -> float:
    return float(np.linalg.norm(g.astype(np.float64)))


def share_of_zeros(g: Any) -> float:
    return 100 * float(np.mean(g == 0)) if g.size else 0.0
