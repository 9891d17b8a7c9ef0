"""The steps of the walk: the ops as they ran, then back from the youngest node to the oldest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from minigrad.autograd.node import Node
from minigrad.autograd.tape import fitted
from minigrad.viz.reading import Edge, Entry, Numbers, Tape

Key = tuple[int, int]
"""The index of an entry, and the number of one of its results."""


class Step(NamedTuple):
    """A step of the walk: an op that runs (`forward`), or a node that the walk back visits."""

    entry: Entry
    forward: bool


class Summand(NamedTuple):
    """A gradient that arrives somewhere: from which op, for which of its arguments."""

    user: Entry
    edge: Edge
    gradient: Numbers  # summed to the shape of the value


def steps_of(tape: Tape) -> list[Step]:
    """All steps, in the order of the engine (`minigrad.autograd.tape.walk`)."""
    forward = [Step(entry, True) for entry in tape if entry.kind in ("op", "freed")]
    back = [
        Step(entry, False)
        for entry in reversed(tape.entries)
        if any(result.gradient is not None for result in entry.results)
    ]
    return forward + back


def summands_of(tape: Tape) -> dict[Key, list[Summand]]:
    """For each result what its gradient is the sum of, in the order in which they arrive."""
    found: dict[Key, list[Summand]] = {}
    for entry in reversed(tape.entries):
        for edge in entry.edges:
            if edge.gradient is not None:
                to = edge.source.results[edge.number]
                summand = Summand(entry, edge, summed_to(edge.gradient, to, entry.node))
                found.setdefault((edge.source.index, edge.number), []).append(summand)
    return found


def summed_to(gradient: Any, to: Any, node: Any) -> Any:
    """`gradient` with the shape and dtype of the value `to`, as the engine makes it."""
    if gradient.shape == to.shape and gradient.dtype == to.dtype:
        return gradient
    return fitted(gradient, Node(None, (), to.shape, to.dtype), node)


def axes_summed(shape: Sequence[int], to: Sequence[int]) -> list[int]:
    """The axes of a gradient of this `shape` over which it is summed to the shape `to`."""
    lead = len(shape) - len(to)
    stretched = [i for i in range(max(lead, 0), len(shape)) if to[i - lead] == 1 != shape[i]]
    return [*range(lead), *stretched]
