"""Folding: which nodes are drawn as one body, and which time steps are left out.

Whatever is folded, no body depends on itself through another one. From an argument to its op
neither the layer that a node is drawn with nor its *stage* falls; the stage rises where the tape
goes from nodes of one time step to those that span several, or back. So the nodes of one layer,
stage and step may be one body, and of what lies in a row on the tape any run may.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Literal

from minigrad.viz.drawing.graph import Graph
from minigrad.viz.drawing.recurrence import Recurrence

Fold = Literal["none", "step", "layer"]

LIMIT, ENDS, RUNS = 300, 20, 40
"""With more bodies than `LIMIT`, a drawing folded by layers keeps those at its two ends, and of the
others it makes so many runs."""


@dataclass(eq=False)
class Body:
    """What is drawn as one node.

    Attributes
    ----------
    members
        its entries, oldest first.
    first, last
        the columns that it spans.
    layer
        the recurrent layer that it is drawn with, 0 if there is none.
    within
        for the nodes of one layer folded together by a watch: the name of that layer.
    """

    members: list[int]
    first: int
    last: int
    layer: int
    within: str = ""
    stage: int = 0
    steps: int = 1  # how many time steps are folded in it
    index: int = -1

    @property
    def wide(self) -> bool:
        """Whether it spans several columns."""
        return self.first < self.last


@dataclass(eq=False)
class Column:
    """A column of a drawing: a time step, those that are left out there, or an initial state."""

    steps: list[int] = field(default_factory=list)


class Folded:
    """The bodies of a drawing, and how they depend on each other.

    Attributes
    ----------
    bodies
        what is drawn, the oldest first.
    columns
        the columns from left to right.
    body_of
        for each entry that is a node its body.
    edges
        pairs of bodies, each once: which gives to which.
    """

    def __init__(
        self, graph: Graph, recurrence: Recurrence, fold: Fold, steps: int | None = None
    ) -> None:
        self.graph, self.recurrence, self.fold = graph, recurrence, fold
        self.columns = self._shown(steps)
        sides = set(recurrence.starts.values()) if fold != "layer" else set()
        if -1 in sides:
            self.columns.insert(0, Column())
        if 1 in sides:
            self.columns.append(Column())
        self._place = {s: k for k, column in enumerate(self.columns) for s in column.steps}
        found: dict[Hashable, Body] = {}
        self.body_of: dict[int, Body] = {}
        stages = self._stages()
        self._runs: dict[Hashable, tuple[Hashable, int]] = {}
        for v in graph.nodes:
            key, first, last = self._key(v, stages[v])
            body = found.get(key)
            if body is None:
                body = found[key] = Body([], first, last, max(recurrence.owner[v], 0))
                body.stage = stages[v]
                if fold != "none":
                    body.within = self._scope(v)[0]
            body.members.append(v)
            self.body_of[v] = body
        self.bodies = list(found.values())
        if fold == "layer" and len(self.bodies) > LIMIT:
            self._join_runs()
        for i, body in enumerate(self.bodies):
            body.index = i
            spans = {recurrence.first[v] for v in body.members} if recurrence.layers else {0}
            body.steps = len(spans)
        self.edges = self._edges()

    def _shown(self, steps: int | None) -> list[Column]:
        """The columns: at most `steps` time steps, and one for those in the middle."""
        count = self.recurrence.columns
        if self.fold == "layer":
            return [Column(list(range(count)))]
        if steps is None or count <= steps + 1:
            return [Column([s]) for s in range(count)]
        before = (steps + 1) // 2
        after = steps - before
        middle = Column(list(range(before, count - after)))
        ends = [Column([s]) for s in range(count)]
        return [*ends[:before], middle, *(ends[count - after :] if after else [])]

    def _stages(self) -> list[int]:
        """For each entry how often the way from it goes from one time step to several, or back.

        The root has 0, and what is before it less.
        """
        first, last = self.recurrence.first, self.recurrence.last
        stages = [0] * len(self.graph.entries)
        for v in reversed(self.graph.nodes):
            wide = first[v] < last[v]
            after = (stages[c] - (wide != (first[c] < last[c])) for c in self.graph.consumers[v])
            stages[v] = min(after, default=0)
        return stages

    def _key(self, v: int, stage: int) -> tuple[Hashable, int, int]:
        """Nodes of the same key are one body; and the columns of that body."""
        recurrence, layer = self.recurrence, self.recurrence.owner[v]
        if v in recurrence.starts and self.fold != "layer":
            column = 0 if recurrence.starts[v] < 0 else len(self.columns) - 1
            return (v if self.fold == "none" else ("start", layer)), column, column
        first, last = self._place[recurrence.first[v]], self._place[recurrence.last[v]]
        hidden = first == last and len(self.columns[first].steps) > 1
        if v == self.graph.tape.root.index and not (hidden and self.fold == "none"):
            return "root", first, last
        if self.fold == "none" and not hidden:
            return v, first, last
        one = recurrence.first[v] == recurrence.last[v] and bool(recurrence.layers)
        kind: Hashable = (layer, stage, one, first, last)
        if one or (hidden and self.fold != "layer"):
            return kind, first, last
        kind = (layer, stage)
        run: Hashable = (first, last, self._scope(v))
        before, number = self._runs.get(kind, (None, -1))
        if before != run or (self.fold == "layer" and not self._scope(v)[0]):
            number += 1
        self._runs[kind] = run, number
        return (kind, number), first, last

    def _scope(self, v: int) -> tuple[str, int]:
        """The innermost layer around an op, as a watch saw it, and which call of it."""
        layers = self.graph.entries[v].layers
        return (layers[-1].name, layers[-1].number) if layers else ("", 0)

    def _join_runs(self) -> None:
        """Fold what is between the ends, in an order in which all arguments come first."""
        bodies = sorted(self.bodies, key=lambda b: (b.stage, b.layer, b.members[0]))
        middle = bodies[ENDS:-ENDS]
        length = -(-len(middle) // RUNS)
        joined = []
        for at in range(0, len(middle), length):
            run = middle[at : at + length]
            body = run[0]
            body.members = sorted(v for part in run for v in part.members)
            body.within = body.within if len(run) == 1 else ""
            joined.append(body)
            self.body_of |= dict.fromkeys(body.members, body)
        self.bodies = [*bodies[:ENDS], *joined, *bodies[-ENDS:]]

    def _edges(self) -> list[tuple[Body, Body]]:
        found = {}
        for v in self.graph.nodes:
            to = self.body_of[v]
            for source in self.graph.sources[v]:
                if (body := self.body_of[source]) is not to:
                    found[body.index, to.index] = (body, to)
        return list(found.values())
