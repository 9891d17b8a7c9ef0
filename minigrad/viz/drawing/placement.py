"""Where each body is: its row by the longest path, its place in the row by those it depends on.

A body of one time step stands in the column of that step. Those that span several columns have rows
of their own, between the others. A recurrent layer lies above all that its columns hold below it.
All this takes time linear in the number of bodies and edges.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from minigrad.viz.drawing.folding import Body, Folded

GAP = 14.0
"""Between two bodies side by side."""

BETWEEN_ROWS = 26.0

DUMMY = 7.0
"""The width of an edge that passes a row."""

LONGEST = 12
"""An edge that passes more rows than these goes around, through the gap between two columns."""

SWEEPS = 4


@dataclass(eq=False)
class Thread:
    """An edge within a column: the bodies it connects, and where it passes the rows between."""

    source: Body
    target: Body
    points: list[tuple[float, int]]  # x within the column, row


class Placement:
    """The rows, and the places within each column.

    Attributes
    ----------
    row
        for each body; row 0 is the lowest.
    offset
        for each body of one column: the middle of it, from the middle of the column.
    half
        for each column: half of its width.
    threads
        the edges within a column, with the places where they pass other rows.
    order
        for each column and row the bodies in it from left to right.
    """

    def __init__(self, folded: Folded, sizes: Sequence[tuple[float, float]]) -> None:
        self.folded, self.sizes = folded, sizes
        self.before: list[list[Body]] = [[] for _ in folded.bodies]
        self.after: list[list[Body]] = [[] for _ in folded.bodies]
        self.across: list[list[Body]] = [[] for _ in folded.bodies]
        self.beyond: list[list[Body]] = [[] for _ in folded.bodies]
        for source, target in folded.edges:
            if crosses(source, target):
                self.across[target.index].append(source)
                self.beyond[source.index].append(target)
            else:
                self.before[target.index].append(source)
                self.after[source.index].append(target)
        self.row = self._rows(self._levels())
        self.rows = max(self.row) + 1
        self.offset = [0.0] * len(folded.bodies)
        self.half = [0.0] * len(folded.columns)
        self.threads: list[Thread] = []
        self.order: dict[tuple[int, int], list[Body]] = {}
        self._begins = {  # the nodes with which a step begins, also the first, and their side
            v: 1 if layer.columns[0] > layer.columns[-1] else -1
            for layer in folded.recurrence.layers
            for v in layer.chains[0]
        }
        self._columns()

    # ------------------------------------------------------------------ rows

    def _levels(self) -> list[int]:
        """The longest path to each body; then as high as its consumers and its layer allow."""
        bodies = self.folded.bodies
        level, ceiling = [0] * len(bodies), [0] * len(bodies)
        top = [0] * len(self.folded.columns)
        layers: dict[int, list[Body]] = defaultdict(list)
        for body in self._ordered():
            layers[body.layer].append(body)
        for layer in sorted(layers):
            members = layers[layer]
            first, last = min(b.first for b in members), max(b.last for b in members)
            base = max(top[first : last + 1])
            for body in members:
                below = (level[source.index] + 1 for source in self.before[body.index])
                level[body.index] = max(below, default=base)
                level[body.index] = max(level[body.index], base)
            highest = max(level[b.index] for b in members)
            for column in range(first, last + 1):
                top[column] = highest + 1
            for body in members:
                ceiling[body.index] = highest
        for layer in sorted(layers, reverse=True):
            for body in reversed(layers[layer]):
                above = [level[target.index] for target in self.after[body.index]]
                if above:
                    level[body.index] = min(ceiling[body.index], min(above) - 1)
        for body in bodies:  # what stands before the first time step
            if (
                not self.before[body.index]
                and not self.after[body.index]
                and self.beyond[body.index]
            ):
                level[body.index] = min(level[t.index] for t in self.beyond[body.index])
        return level

    def _ordered(self) -> list[Body]:
        """The bodies, each after those that it depends on (but for those of other columns)."""
        waiting = [len(sources) for sources in self.before]
        ready = [body for body in reversed(self.folded.bodies) if not waiting[body.index]]
        found = []
        while ready:
            body = ready.pop()
            found.append(body)
            for target in reversed(self.after[body.index]):
                waiting[target.index] -= 1
                if not waiting[target.index]:
                    ready.append(target)
        assert len(found) == len(self.folded.bodies), "a body depends on itself"
        return found

    def _rows(self, level: Sequence[int]) -> list[int]:
        """The rows of the bodies: those that span columns have rows of their own in their level."""
        wide: dict[int, list[Body]] = defaultdict(list)
        narrow = set()
        for body in self.folded.bodies:
            if body.wide:
                wide[level[body.index]].append(body)
            else:
                narrow.add(level[body.index])
        row, rows = [0] * len(self.folded.bodies), 0
        narrow_row = {}
        for here in sorted(narrow | set(wide)):
            ends: list[int] = []  # where each row of this level is free again
            for body in sorted(wide.get(here, []), key=lambda body: (body.first, body.index)):
                at = next((k for k, end in enumerate(ends) if end < body.first), len(ends))
                ends[at : at + 1] = [body.last]
                row[body.index] = rows + at
            rows += len(ends)
            if here in narrow:
                narrow_row[here] = rows
                rows += 1
        for body in self.folded.bodies:
            if not body.wide:
                row[body.index] = narrow_row[level[body.index]]
        return row

    # ------------------------------------------------------------------ columns

    def _columns(self) -> None:
        """Each column by itself; columns that are alike are computed once."""
        own: list[list[Body]] = [[] for _ in self.folded.columns]
        for body in self.folded.bodies:
            if not body.wide:
                own[body.first].append(body)
        known: dict[object, tuple[list[float], list[list[float]], float, list[list[int]]]] = {}
        for k, bodies in enumerate(own):
            number = {body.index: i for i, body in enumerate(bodies)}
            edges = []
            threads = []
            for i, body in enumerate(bodies):
                for source in self.before[body.index]:
                    if source.wide or self._passes(source, body) <= LONGEST:
                        edges.append((number.get(source.index, -1), i, self.row[source.index]))
                        threads.append((source, body))
                for target in self.after[body.index]:
                    if target.wide:
                        edges.append((i, -1, self.row[target.index]))
                        threads.append((body, target))
            shape = tuple((self.row[b.index], self.sizes[b.index][0]) for b in bodies)
            sides = tuple(self._side(b) for b in bodies)
            key = shape, tuple(edges), sides
            if key not in known:
                known[key] = arrange(shape, edges, sides)
            places, passed, self.half[k], order = known[key]
            for i, body in enumerate(bodies):
                self.offset[body.index] = places[i]
            for (source, target), xs in zip(threads, passed, strict=True):
                low = self.row[source.index] + 1
                points = [(x, low + r) for r, x in enumerate(xs)]
                self.threads.append(Thread(source, target, points))
            for line in order:
                if line:
                    self.order[k, self.row[bodies[line[0]].index]] = [bodies[i] for i in line]

    def _side(self, body: Body) -> int:
        """Where in its row it stands: at the left, if an edge comes from there."""
        first = [source.first for source in self.across[body.index]]
        if not first:
            return next((self._begins[v] for v in body.members if v in self._begins), 0)
        return (max(first) > body.first) - (min(first) < body.first)

    def _passes(self, source: Body, target: Body) -> int:
        return self.row[target.index] - self.row[source.index] - 1


def crosses(source: Body, target: Body) -> bool:
    """Whether an edge goes from one column to another one."""
    return not source.wide and not target.wide and source.first != target.first


# ---------------------------------------------------------------------- one column


def arrange(
    bodies: Sequence[tuple[int, float]],
    edges: Sequence[tuple[int, int, int]],
    sides: Sequence[int],
) -> tuple[list[float], list[list[float]], float, list[list[int]]]:
    """The places in one column.

    Parameters
    ----------
    bodies
        the row and width of each.
    edges
        the source, the target, and the row of the one that is outside the column: -1 for that.
    sides
        of each body: -1 or 1 if it is to stand at the left or right of its row, else 0.

    Returns
    -------
    The middle of each body; for each edge its place in each row that it passes; half the width of
    the column; and the bodies of each row from left to right.
    """
    rows = [row for row, _ in bodies]
    widths = [width for _, width in bodies]
    neighbours: list[tuple[list[int], list[int]]] = [([], []) for _ in bodies]
    passed: list[list[int]] = []
    for source, target, row in edges:
        low = rows[source] if source >= 0 else row
        high = rows[target] if target >= 0 else row
        if max(high - low - 1, 0) > 4 * LONGEST:
            passed.append([])
            continue
        chain = list(range(len(rows), len(rows) + max(high - low - 1, 0)))
        rows.extend(range(low + 1, high))
        widths.extend([DUMMY] * len(chain))
        neighbours.extend(([], []) for _ in chain)
        passed.append(chain)
        whole = [*([source] if source >= 0 else []), *chain, *([target] if target >= 0 else [])]
        for a, b in pairwise(whole):
            neighbours[b][0].append(a)
            neighbours[a][1].append(b)
    lines: dict[int, list[int]] = defaultdict(list)
    for i, row in enumerate(rows):
        lines[row].append(i)
    upwards = sorted(lines)
    x = [0.0] * len(rows)
    for row in upwards:
        _spread(lines[row], widths, [0.0] * len(lines[row]), x)
    for sweep in range(SWEEPS):
        side = sweep % 2
        for row in reversed(upwards) if side else upwards:
            line = lines[row]
            wished = {i: _middle([x[j] for j in neighbours[i][side]], x[i]) for i in line}
            line.sort(key=lambda i: (sides[i] if i < len(sides) else 0, wished[i], x[i], i))
            _spread(line, widths, [wished[i] for i in line], x)
    for both in (True, False):  # at last in the order that they have
        for row in upwards:
            wishes = []
            for i in lines[row]:
                below, above = neighbours[i]
                near = below + above if both else below
                wishes.append(_middle([x[j] for j in near], x[i]))
            _spread(lines[row], widths, wishes, x)
    left = min((x[i] - widths[i] / 2 for i in range(len(rows))), default=0.0)
    right = max((x[i] + widths[i] / 2 for i in range(len(rows))), default=0.0)
    middle = (left + right) / 2
    x = [at - middle for at in x]
    count = len(bodies)
    order = [[i for i in lines[row] if i < count] for row in upwards]
    return x[:count], [[x[i] for i in chain] for chain in passed], (right - left) / 2, order


def _middle(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _spread(
    line: Sequence[int], widths: Sequence[float], wished: Sequence[float], x: list[float]
) -> None:
    """Put a row as near to where it should be as its widths allow (least squares)."""
    at, offsets = 0.0, []
    for before, i in zip([None, *line], line, strict=False):
        if before is not None:
            small = min(widths[before], widths[i]) <= DUMMY
            at += (widths[before] + widths[i]) / 2 + (GAP / 2 if small else GAP)
        offsets.append(at)
    blocks: list[tuple[float, int]] = []  # sum and number of what must stand together
    for place, offset in zip(wished, offsets, strict=True):
        total, count = place - offset, 1
        while blocks and blocks[-1][0] / blocks[-1][1] >= total / count:
            more, number = blocks.pop()
            total, count = total + more, count + number
        blocks.append((total, count))
    places = [total / count for total, count in blocks for _ in range(count)]
    for i, place, offset in zip(line, places, offsets, strict=True):
        x[i] = place + offset
