"""The time steps and the recurrent layers of a tape, found in the tape itself.

What is used again and again, each time by an op that depends on the op before, is shared by the
steps of a recurrence: a *chain*. W_hh is one: W_hh h_2 depends on W_hh h_1. W_xh is none: W_xh x_2
depends on nothing before it. Chains that depend on each other belong to one *layer*, as W_hh and
b_hh do; a layer that depends on another one, but not the other way round, is above it.

The time of a node is how many steps of its *home* are behind it, the uppermost layer that it
depends on. Whatever only feeds a step belongs to the time of that step, and what joins or parts
several steps spans their columns.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from minigrad.viz.drawing.graph import Graph
from minigrad.viz.reading import Edge, Entry, Tape

EFFORT = 30
"""How many nodes the search for chains visits at most, for each node of the tape."""

CHAINS = 200
"""How many chains are looked at, the longest ones."""

COMMUTATIVE = ("add", "multiply")
"""Ops for which it does not matter in which place an argument stands."""

REARRANGING = (
    *("transpose", "swapaxes", "moveaxis", "reshape", "expand_dims", "squeeze", "getitem"),
    *("split", "unstack", "astype", "broadcast_to"),
)
"""Ops that only rearrange their argument."""

LEAVES = ("parameter", "input", "constant")


@dataclass(eq=False)
class RecurrentLayer:
    """A layer that was found.

    Attributes
    ----------
    chains
        the consumers of each thing that its steps share, in the order of the steps; the first chain
        says where a step begins.
    shared
        what the steps share, by the indices of the entries.
    late
        chains whose first step is missing, since it has no state yet.
    columns
        the column of each step.
    """

    chains: list[tuple[int, ...]]
    shared: list[int]
    late: list[tuple[int, ...]]
    columns: list[int]

    @property
    def steps(self) -> int:
        """The number of time steps."""
        return len(self.chains[0])


class Recurrence:
    """Where in time each node of a graph is.

    Attributes
    ----------
    layers
        the recurrent layers from the lowest to the uppermost; empty if there is no recurrence.
    columns
        the number of time steps side by side; 1 if there is no recurrence.
    home
        for each entry the index of the uppermost layer that it depends on; -1: on none.
    first, last
        for each node the columns that it spans; if they are the same, it belongs to one time step.
    inside
        for each entry whether a later step of its home depends on it.
    owner
        for each node the layer that it is drawn with: its home, or that of what it feeds.
    starts
        the leaves and constants that are the state before the first step of a layer: -1 if it is
        the leftmost step, 1 if it is the rightmost one.
    visits
        how many nodes were looked at to find the chains.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph, self.visits = graph, 0
        n = len(graph.entries)
        self.layers = self._layers(self._chains())
        self.home, self.step = [-1] * n, [0] * n
        self.inside = [False] * n
        self.first, self.last = [-1] * n, [-1] * n
        self._steps()
        self._lead()
        self._slice_of = self._slices()
        homes: list[list[int]] = [[] for _ in self.layers]
        for v in graph.nodes:
            if self.home[v] >= 0:
                homes[self.home[v]].append(v)
        for k, nodes in enumerate(homes):
            self.layers[k].columns = self._columns(k, nodes)
            self._spans(k, nodes)
        self.columns = max((max(layer.columns) for layer in self.layers), default=0) + 1
        self.owner = list(self.home)
        self._feeders()
        self.starts = self._starts()

    # ------------------------------------------------------------------ the layers

    def _chains(self) -> dict[tuple[int, ...], list[int]]:
        """The chains, and what is shared along each."""
        uses: dict[tuple[int, int, str, str], list[int]] = defaultdict(list)
        origins: dict[int, tuple[int, int]] = {}
        for entry in self.graph.entries:
            if (edge := _only_rearranges(entry)) is not None:
                source = edge.source
                if source.index in origins or source.kind in LEAVES:
                    origins[entry.index] = origins.get(source.index, (source.index, edge.number))
                    continue
            for edge in entry.edges:
                origin, number = origins.get(edge.source.index, (edge.source.index, edge.number))
                place = "" if entry.op in COMMUTATIVE else edge.argument
                users = uses[origin, number, entry.op, place]
                if not users or users[-1] != entry.index:
                    users.append(entry.index)
        together: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for (origin, *_), users in uses.items():
            if len(users) > 1 and origin not in together[tuple(users)]:
                together[tuple(users)].append(origin)
        found: dict[tuple[int, ...], list[int]] = {}
        for consumers, shared in together.items():
            for chain in self._links(consumers) if shared else ():
                found.setdefault(chain, []).extend(shared)
        return found

    def _links(self, consumers: tuple[int, ...]) -> list[tuple[int, ...]]:
        """The runs of consumers that each depend on the one before."""
        runs, good, bad = [[consumers[0]]], 0, 0
        for before, after in pairwise(consumers):
            if self._depends(after, before):
                runs[-1].append(after)
                good += 1
            else:
                runs.append([after])
                bad += 1
                if bad > good + 1:
                    break
        return [tuple(run) for run in runs if len(run) > 1]

    def _depends(self, node: int, on: int) -> bool:
        """Whether `node` depends on an older one; False too if the search has become too long."""
        limit = EFFORT * len(self.graph.entries)
        stack, seen = [node], {node}
        while stack and self.visits <= limit:
            self.visits += 1
            for source in self.graph.sources[stack.pop()]:
                if source == on:
                    return True
                if source > on and source not in seen:
                    seen.add(source)
                    stack.append(source)
        return False

    def _layers(self, chains: dict[tuple[int, ...], list[int]]) -> list[RecurrentLayer]:
        """The layers, each above those that it depends on."""
        every = sorted(chains, key=lambda chain: (-len(chain), chain[0]))[:CHAINS]
        behind = self._behind([chain[0] for chain in every])
        depends = [behind[chain[-1]] for chain in every]  # a bit for each chain behind its end
        for k in range(len(every)):  # and behind those (Warshall's algorithm)
            depends = [mask | depends[k] if mask >> k & 1 else mask for mask in depends]
        groups: dict[int, list[int]] = defaultdict(list)
        for a, mask in enumerate(depends):
            groups[next(b for b in range(a + 1) if mask >> b & depends[b] >> a & 1)].append(a)
        found = []
        for group in groups.values():
            main, *others = (every[a] for a in group)  # the longest is the first
            bit = 1 << group[0]
            late = [c for c in others if len(c) < len(main) and behind[c[0]] & bit]
            shared = list(dict.fromkeys(i for a in group for i in chains[every[a]]))
            below = depends[group[0]].bit_count()
            found.append((below, main[0], RecurrentLayer([main, *others], shared, late, [])))
        return [layer for *_, layer in sorted(found, key=lambda item: item[:2])]

    def _behind(self, marked: Sequence[int]) -> list[int]:
        """For each entry, as bits: which of the marked ones it depends on (or is)."""
        bits: dict[int, int] = defaultdict(int)
        for k, v in enumerate(marked):
            bits[v] |= 1 << k
        behind = [0] * len(self.graph.entries)
        for v in self.graph.nodes if marked else ():
            mask = bits.get(v, 0)
            for source in self.graph.sources[v]:
                mask |= behind[source]
            behind[v] = mask
        return behind

    # ------------------------------------------------------------------ the steps

    def _steps(self) -> None:
        """The home of each node, and the step of its home."""
        begins: dict[int, tuple[int, int]] = {}
        late: dict[int, int] = {}
        for k, layer in enumerate(self.layers):
            for chain in reversed(layer.chains):
                same = len(chain) == layer.steps
                begins |= {v: (k, step if same else 0) for step, v in enumerate(chain)}
            late |= {v: k for chain in layer.late for v in chain}
        for v in self.graph.nodes if self.layers else ():
            home, step = -1, 0
            for source in self.graph.sources[v]:
                if self.home[source] > home:
                    home, step = self.home[source], self.step[source]
                elif self.home[source] == home:
                    step = max(step, self.step[source])
            if v in late:
                home, step = late[v], step + 1
            elif v in begins:
                k, at = begins[v]
                home, step = (k, max(step, at)) if k == home else (k, at)
            self.home[v] = home
            self.step[v] = min(step, self.layers[home].steps - 1) if home >= 0 else 0

    def _lead(self) -> None:
        """Which nodes are inside their home: a later step of it depends on them."""
        starts: dict[int, int] = defaultdict(int)
        for k, layer in enumerate(self.layers):
            for chain in layer.chains:
                for v in chain:
                    starts[v] |= 1 << k
        leads = [0] * len(self.graph.entries)
        for v in reversed(self.graph.nodes if self.layers else ()):
            mask = leads[v] | starts[v]
            self.inside[v] = self.home[v] >= 0 and bool(mask >> self.home[v] & 1)
            for source in self.graph.sources[v]:
                leads[source] |= mask

    def _columns(self, k: int, nodes: Sequence[int]) -> list[int]:
        """The column of each step of a layer, from the steps of the layers below that feed it."""
        layer = self.layers[k]
        starts = {v for chain in layer.chains for v in chain}
        fed: dict[int, int] = {}  # by step: the column of what comes from the layers below
        taken: dict[int, dict[int, int]] = defaultdict(dict)
        # by what feeds it with slices of a sequence, by step: the number of the slice
        given: dict[int, int] = {}  # by step: where its result stands in a sequence
        known, behind = set(), -1
        for v in nodes:
            entry, step = self.graph.entries[v], self.step[v]
            for position, edge in enumerate(entry.edges):
                source = edge.source.index
                if self.graph.is_chip[source]:
                    continue
                if self.home[source] == k and not self.inside[v]:
                    if _joins(entry):
                        given.setdefault(self.step[source], position)
                    continue
                like = (
                    entry.op,
                    edge.argument,
                    source if self.first[source] < self.last[source] else -1,
                )
                if self.inside[v] or v in starts:
                    known.add(like)
                elif (
                    like not in known
                ):  # else it is in the last step, on which no later one depends
                    continue
                if self.home[source] < 0:
                    for origin, number in (
                        (source, edge.number),
                        self._slice_of.get(source, (-1, 0)),
                    ):
                        if origin >= 0 and len(self.graph.entries[origin].results) == layer.steps:
                            taken[origin].setdefault(step, number)
                elif self.home[source] != k:
                    first, last = self._slice(entry, edge)
                    behind = max(behind, last)
                    if first == last:
                        fed[step] = max(first, fed.get(step, -1))
        if len(fed) > 1 and len(set(fed.values())) == len(fed):
            (step, at), *_, (_, until) = sorted(fed.items())
            way = 1 if until > at else -1
            columns = [at + way * (s - step) for s in range(layer.steps)]
            if all(columns[s] == column for s, column in fed.items()) and min(columns) >= 0:
                return columns
        order = max([*taken.values(), given], key=len)
        order = order if len(order) > 1 else {}
        mirrored = all(number == layer.steps - 1 - step for step, number in order.items())
        columns = list(range(behind + 1, behind + 1 + layer.steps))
        return columns[::-1] if order and mirrored else columns

    def _slices(self) -> dict[int, tuple[int, int]]:
        """For what feeds the layers: of which sequence it is made of a slice, and of which one."""
        found: dict[int, tuple[int, int]] = {}
        for v in self.graph.nodes:
            if self.home[v] >= 0:
                continue
            for edge in self.graph.entries[v].edges:
                source = edge.source
                if self.graph.is_chip[source.index]:
                    continue
                if source.index in found:
                    found[v] = found[source.index]
                elif len(source.results) > 1:
                    found[v] = source.index, edge.number
        return found

    def _slice(self, entry: Entry, edge: Edge) -> tuple[int, int]:
        """The columns of an argument: of one slice, if it is one of those of a sequence."""
        first, last = self.first[edge.source.index], self.last[edge.source.index]
        count = last - first + 1
        if count > 1 and len(edge.source.results) == count:
            return first + edge.number, first + edge.number
        if count > 1 and (number := _index(entry, count)) is not None:
            return first + number, first + number
        return first, last

    def _spans(self, k: int, nodes: Sequence[int]) -> None:
        """The columns of the nodes whose home is a layer."""
        columns = self.layers[k].columns
        for v in nodes:
            self.first[v] = self.last[v] = columns[self.step[v]]
            if self.inside[v]:
                continue
            entry = self.graph.entries[v]
            spans = {self._slice(entry, e) for e in entry.edges if self.home[e.source.index] >= 0}
            first, last = min(a for a, _ in spans), max(b for _, b in spans)
            whole = any(a < b for a, b in spans)
            if whole or len(spans) > (1 if _joins(entry) else 2):
                self.first[v], self.last[v] = first, last
            elif all(a != self.first[v] for a, _ in spans):  # of steps picked by their numbers
                self.first[v] = self.last[v] = last

    def _feeders(self) -> None:
        """The columns and owners of what depends on no recurrence: those of what it feeds."""
        for v in reversed(self.graph.nodes):
            if self.home[v] >= 0:
                continue
            if not self.layers:
                self.first[v] = self.last[v] = self.owner[v] = 0
                continue
            consumers = self.graph.consumers[v]
            self.first[v] = min(self.first[c] for c in consumers)
            self.last[v] = max(self.last[c] for c in consumers)
            self.owner[v] = min(self.owner[c] for c in consumers)

    def _starts(self) -> dict[int, int]:
        """States before the first step: leaves, where the second step takes what the first gave."""
        found: dict[int, int] = {}
        steps: dict[tuple[int, int], list[int]] = defaultdict(list)
        for v in self.graph.nodes:
            if self.home[v] >= 0 and self.step[v] < 2 and self.first[v] == self.last[v]:
                steps[self.home[v], self.step[v]].append(v)
        entries = self.graph.entries
        for k, layer in enumerate(self.layers):
            begin, rest = steps[k, 0], steps[k, 1]
            if layer.columns[0] not in (0, self.columns - 1):
                continue
            if [entries[v].op for v in begin] != [entries[v].op for v in rest]:
                continue
            for v, like in zip(begin, rest, strict=True):
                carried = {
                    edge.argument
                    for edge in entries[like].edges
                    if self.home[edge.source.index] == k and self.step[edge.source.index] == 0
                }
                for edge in entries[v].edges:
                    source = edge.source
                    if edge.argument in carried and source.kind in LEAVES[1:]:
                        used = self.graph.consumers[source.index]
                        if all(self.first[c] == self.last[c] == self.first[v] for c in used):
                            found[source.index] = -1 if layer.columns[0] == 0 else 1
        return {v: side for v, side in found.items() if not self.graph.is_chip[v]}

    def constants_of_several_steps(self) -> list[int]:
        """Constants that several time steps use together: token ids, targets."""
        return [
            v
            for v in self.graph.nodes
            if self.graph.entries[v].kind == "constant" and self.first[v] < self.last[v]
        ]


def steps_of(tape: Tape) -> tuple[Graph, Recurrence]:
    """The graph of a tape and its time steps; what several steps share is no node, but a chip."""
    graph = Graph(tape)
    recurrence = Recurrence(graph)
    graph.make_chips(recurrence.constants_of_several_steps())
    return graph, recurrence


def _joins(entry: Entry) -> bool:
    """Whether it takes a list of arrays: `stack`, `concatenate`."""
    return any("[" in edge.argument for edge in entry.edges)


def _only_rearranges(entry: Entry) -> Edge | None:
    """The argument of an op that only rearranges it: ``W.T``, which each step may do anew."""
    return entry.edges[0] if entry.op in REARRANGING and entry.edges else None


def _index(entry: Entry, count: int) -> int | None:
    """Which of `count` slices along an axis an op takes, as ``y[t]`` and ``y[:, t]`` do."""
    index = next((saved.value for saved in entry.saved if saved.name == "index"), None)
    if entry.op != "getitem":
        return None
    shape = entry.edges[0].source.result.shape
    parts = index if isinstance(index, tuple) else (index,)
    for axis, part in zip(range(len(shape)), parts, strict=False):
        if isinstance(part, int | np.integer):
            return int(part) % count if shape[axis] == count else None
        if part != slice(None):
            return None
    return None
