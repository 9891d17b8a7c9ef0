"""The coordinates of a drawing: columns, rows, and the edges led around the bodies.

An edge within a column goes up, past the bodies between. One to another column, above all that of a
recurrence, goes along the gap between two columns, each in a lane of its own; so does one that
would pass too many rows. y grows downwards, as in SVG.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from minigrad.viz.drawing.folding import Body
from minigrad.viz.drawing.placement import BETWEEN_ROWS, LONGEST, Placement, crosses

MARGIN = 16.0
GUTTER, LANE = 26.0, 7.0
"""The gap between two columns, and what each lane in it takes."""

RADIUS = 6.0

Command = tuple[str, tuple[float, ...]]
"""A step of a path as SVG has it: M, L, Q or C, and the points."""


@dataclass(eq=False)
class Route:
    """How an edge is drawn."""

    source: Body
    target: Body
    path: list[Command]
    recurrent: bool


class Geometry:
    """Where everything is.

    Attributes
    ----------
    boxes
        for each body: x and y of the upper left corner, width, height.
    centres
        the middle of each column.
    routes
        the edges.
    width, height
        of it all.
    """

    def __init__(
        self,
        placement: Placement,
        sizes: Sequence[tuple[float, float]],
        above: Mapping[int, float],
        below: Mapping[int, float],
    ) -> None:
        self.placement, self.sizes = placement, sizes
        self.bodies = placement.folded.bodies
        self._taken = {
            (placement.row[body.index], column)
            for body in self.bodies
            for column in ((body.first,) if not body.wide else range(body.first, body.last + 1))
        }
        self._around = self._led_around()
        self._lanes()
        self._across(above, below)
        self.routes = [*self._within(), *map(self._lead, self._around)]

    # ------------------------------------------------------------------ places

    def _led_around(self) -> list[tuple[Body, Body]]:
        threaded = {(t.source.index, t.target.index) for t in self.placement.threads}
        return [
            (source, target)
            for source, target in self.placement.folded.edges
            if (source.index, target.index) not in threaded
            and not (source.wide and target.wide and self._beside(source, target))
        ]

    def _beside(self, source: Body, target: Body) -> bool:
        """Whether nothing is between two bodies that span columns."""
        rows = range(self.placement.row[source.index] + 1, self.placement.row[target.index])
        columns = range(max(source.first, target.first), min(source.last, target.last) + 1)
        if not columns or len(rows) > LONGEST:
            return False
        return not any((row, column) in self._taken for row in rows for column in columns)

    def _gutter(self, source: Body, target: Body) -> int:
        """The gap along which an edge goes up or down: gap k is to the left of column k."""
        if source.wide or target.wide:
            return max(source.first, target.first)
        return source.first + (target.first >= source.first)

    def _lanes(self) -> None:
        """A lane for each source of the edges in a gap."""
        lanes: dict[int, dict[int, int]] = defaultdict(dict)
        for source, target in self._around:
            taken = lanes[self._gutter(source, target)]
            taken.setdefault(source.index, len(taken))
        self.lanes = lanes
        columns = len(self.placement.half)
        self.gutters = [
            max(GUTTER, 12 + LANE * (len(lanes[k]) + 1)) if k in lanes else GUTTER
            for k in range(columns + 1)
        ]
        self.centres: list[float] = []
        self.gutter_at: list[float] = []
        at = MARGIN
        for half, gutter in zip(self.placement.half, self.gutters, strict=False):
            self.gutter_at.append(at)
            at += gutter + half
            self.centres.append(at)
            at += half
        self.gutter_at.append(at)
        self.width = at + self.gutters[-1] + MARGIN

    def _across(self, above: Mapping[int, float], below: Mapping[int, float]) -> None:
        """The rows from the bottom up; `above` and `below` some there is further space."""
        heights = [0.0] * self.placement.rows
        for body in self.bodies:
            row = self.placement.row[body.index]
            heights[row] = max(heights[row], self.sizes[body.index][1])
        at, middles = BETWEEN_ROWS / 2, []
        for row, height in enumerate(heights):
            at += below.get(row, 0.0)
            middles.append(at + height / 2)
            at += height + BETWEEN_ROWS + above.get(row, 0.0)
        self.height = at - BETWEEN_ROWS + 2 * MARGIN
        self.row_at = [self.height - MARGIN - middle for middle in middles]
        self.row_heights = heights
        self.boxes = [self._box(body) for body in self.bodies]

    def _box(self, body: Body) -> tuple[float, float, float, float]:
        width, height = self.sizes[body.index]
        y = self.row_at[self.placement.row[body.index]]
        if body.wide:
            half = self.placement.half
            left = self.centres[body.first] - half[body.first]
            right = self.centres[body.last] + half[body.last]
            if len(self.placement.folded.graph.entries[body.members[-1]].result.shape) == 0:
                middle = (left + right) / 2
                left, right = middle - width / 2, middle + width / 2
            elif right - left < width:
                left, right = (left + right - width) / 2, (left + right + width) / 2
            return left, y - height / 2, right - left, height
        x = self.centres[body.first] + self.placement.offset[body.index]
        return x - width / 2, y - height / 2, width, height

    # ------------------------------------------------------------------ edges

    def _within(self) -> list[Route]:
        routes = []
        for thread in self.placement.threads:
            source, target = thread.source, thread.target
            column = target.first if source.wide else source.first
            centre = self.centres[column]
            points = [(centre + x, self.row_at[row]) for x, row in thread.points]
            start = self._port(source, points[0][0] if points else self._middle(target), top=True)
            end = self._port(target, points[-1][0] if points else self._middle(source), top=False)
            rows = [row for _, row in thread.points]
            routes.append(Route(source, target, self._curve(start, points, rows, end), False))
        for source, target in self.placement.folded.edges:
            if source.wide and target.wide and self._beside(source, target):
                (a, _, w, _), (b, _, v, _) = self.boxes[source.index], self.boxes[target.index]
                middle = (max(a, b) + min(a + w, b + v)) / 2
                start = self._port(source, middle, top=True)
                end = self._port(target, middle, top=False)
                routes.append(Route(source, target, self._curve(start, [], [], end), False))
        return routes

    def _middle(self, body: Body) -> float:
        x, _, width, _ = self.boxes[body.index]
        return x + width / 2

    def _port(self, body: Body, x: float, top: bool) -> tuple[float, float]:
        """Where an edge touches a body: above or below its middle; a wide one wherever it comes."""
        left, y, width, height = self.boxes[body.index]
        x = min(max(x, left + 4), left + width - 4) if body.wide else left + width / 2
        return x, y if top else y + height

    def _curve(
        self,
        start: tuple[float, float],
        points: Sequence[tuple[float, float]],
        rows: Sequence[int],
        end: tuple[float, float],
    ) -> list[Command]:
        """From the bottom up: straight past each row, bent between two rows."""
        path: list[Command] = [("M", start)]
        at = start
        for (x, y), row in zip(points, rows, strict=True):
            half = self.row_heights[row] / 2
            path.append(_bend(at, (x, y + half)))
            path.append(("L", (x, y - half)))
            at = (x, y - half)
        return [*path, _bend(at, end)]

    def _lead(self, edge: tuple[Body, Body]) -> Route:
        """Along the gap between two columns."""
        source, target = edge
        number = self._gutter(source, target)
        lane = self.lanes[number][source.index]
        x = self.gutter_at[number] + 10 + LANE * lane
        rightwards = not source.wide and number > source.first
        shift = 3.0 * (lane % 3)
        points = []
        left, y, width, height = self.boxes[source.index]
        if not source.wide and self._outermost(source, right=rightwards):
            points += [(left + width if rightwards else left, y + height / 2)]
        else:
            up = self._above(source) - 7 - shift
            at = min(max(x, left + 4), left + width - 4) if source.wide else left + width / 2
            points += [(at, y), (at, up)]
        left, y, width, height = self.boxes[target.index]
        near = not target.wide and number == target.first + (not rightwards)
        if near and self._outermost(target, right=not rightwards):
            end = (left if rightwards else left + width, y + height / 2)
            points += [(x, points[-1][1]), (x, end[1]), end]
        else:
            low = self._below(target) + 7 + shift
            at = min(max(x, left + 4), left + width - 4) if target.wide else left + width / 2
            points += [(x, points[-1][1]), (x, low), (at, low), (at, y + height)]
        return Route(source, target, rounded(points), crosses(source, target))

    def _outermost(self, body: Body, right: bool) -> bool:
        order = self.placement.order[body.first, self.placement.row[body.index]]
        return order[-1 if right else 0] is body

    def _above(self, body: Body) -> float:
        row = self.placement.row[body.index]
        return self.row_at[row] - self.row_heights[row] / 2

    def _below(self, body: Body) -> float:
        row = self.placement.row[body.index]
        return self.row_at[row] + self.row_heights[row] / 2


def _bend(start: tuple[float, float], end: tuple[float, float]) -> Command:
    """From one point up to another one: vertical at both ends."""
    if abs(start[0] - end[0]) < 0.5:
        return "L", end
    middle = (start[1] + end[1]) / 2
    return "C", (start[0], middle, end[0], middle, *end)


def rounded(points: Sequence[tuple[float, float]]) -> list[Command]:
    """A path along `points` by straight lines, with its corners rounded."""
    points = [p for i, p in enumerate(points) if not i or _apart(p, points[i - 1]) > 0.5]
    path: list[Command] = [("M", points[0])]
    for i, corner in enumerate(points[1:-1], 1):
        before, after = points[i - 1], points[i + 1]
        radius = min(RADIUS, _apart(before, corner) / 2, _apart(corner, after) / 2)
        path.append(("L", _towards(corner, before, radius)))
        path.append(("Q", (*corner, *_towards(corner, after, radius))))
    return [*path, ("L", points[-1])]


def _apart(a: tuple[float, float], b: tuple[float, float]) -> float:
    return abs(a[0] - b[0]) + abs(a[1] - b[1])


def _towards(
    start: tuple[float, float], to: tuple[float, float], way: float
) -> tuple[float, float]:
    share = way / (_apart(start, to) or 1.0)
    return start[0] + (to[0] - start[0]) * share, start[1] + (to[1] - start[1]) * share
