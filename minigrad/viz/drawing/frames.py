"""The boxes around the nodes of a layer: of recurrent ones, and of those that a watch saw."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from minigrad.files import printable
from minigrad.viz.drawing.folding import Body, Folded
from minigrad.viz.drawing.placement import Placement

MOST = 60
"""Of the layers that a watch saw, how many are boxed at most; else only the recurrent ones are."""


@dataclass(eq=False)
class Frame:
    """A box with a name.

    Attributes
    ----------
    bodies
        what is in it.
    columns
        of a recurrent layer: its columns, each of which has a cell.
    low, high, first, last
        the rows and columns that it spans.
    over, under, beside
        how many frames within it end in the same upper row, in the same lower row, and at the side.
    """

    name: str
    bodies: list[Body]
    columns: list[int]
    low: int
    high: int
    first: int
    last: int
    over: int = 0
    under: int = 0
    beside: int = 0


def frames(folded: Folded, placement: Placement, names: list[str]) -> list[Frame]:
    """The frames of a drawing, the outer before the inner.

    Parameters
    ----------
    names
        of the recurrent layers.
    """
    found = [*_watched(folded, placement), *_recurrent(folded, placement, names)]
    found = [frame for frame in found if not _mixed(frame, folded, placement)]
    found.sort(key=lambda frame: -len(frame.bodies))
    for i, outer in reversed(list(enumerate(found))):  # the inner ones first
        for inner in found[i + 1 :]:
            if set(inner.bodies) <= set(outer.bodies):
                outer.over = max(outer.over, (inner.high == outer.high) * (inner.over + 1))
                outer.under = max(outer.under, (inner.low == outer.low) * (inner.under + 1))
                outer.beside = max(outer.beside, inner.beside + 1)
    return found


def _recurrent(folded: Folded, placement: Placement, names: list[str]) -> list[Frame]:
    """A frame around the steps of each recurrent layer."""
    recurrence, found = folded.recurrence, []
    if folded.fold == "layer":
        return []
    inside: dict[int, list[Body]] = defaultdict(list)
    narrow: dict[int, list[Body]] = defaultdict(list)
    for body in folded.bodies:
        if not body.wide:
            narrow[body.layer].append(body)
            if any(recurrence.inside[v] for v in body.members):
                inside[body.layer].append(body)
    for k, name in enumerate(names):
        if not inside[k]:
            continue
        rows = [placement.row[body.index] for body in inside[k]]
        low, high = min(rows), max(rows)
        place = set(recurrence.layers[k].columns)
        columns = [i for i, column in enumerate(folded.columns) if place & set(column.steps)]
        bodies = [
            body
            for body in narrow[k]
            if low <= placement.row[body.index] <= high and columns[0] <= body.first <= columns[-1]
        ]
        found.append(Frame(name, bodies, columns, low, high, columns[0], columns[-1]))
    return found


def _watched(folded: Folded, placement: Placement) -> list[Frame]:
    """A frame around each call of a layer; but not in a recurrence, where each step calls it."""
    within: dict[tuple[str, int], dict[Body, None]] = defaultdict(dict)
    for v in folded.graph.nodes:
        layers = folded.graph.entries[v].layers
        for layer in layers[1:] if len(layers) > 1 else layers:
            within[layer.name, layer.number][folded.body_of[v]] = None
    found = []
    for key, members in within.items():
        name, bodies = key[0], list(members)
        if any(key not in _scopes(folded, v) for body in bodies for v in body.members):
            continue
        if folded.recurrence.layers and not any(body.wide for body in bodies):
            continue
        if len(bodies) == len(folded.bodies) or all(body.within == name for body in bodies):
            continue
        rows = [placement.row[body.index] for body in bodies]
        first, last = min(b.first for b in bodies), max(b.last for b in bodies)
        found.append(Frame(printable(name), bodies, [], min(rows), max(rows), first, last))
    return found if len(found) <= MOST else []


def _scopes(folded: Folded, v: int) -> list[tuple[str, int]]:
    return [(layer.name, layer.number) for layer in folded.graph.entries[v].layers]


def _mixed(frame: Frame, folded: Folded, placement: Placement) -> bool:
    """Whether something else would be in the frame."""
    own = set(frame.bodies)
    return any(
        body not in own
        and frame.low <= placement.row[body.index] <= frame.high
        and body.first <= frame.last
        and frame.first <= body.last
        and _near(body, frame, placement)
        for body in folded.bodies
    )


def _near(body: Body, frame: Frame, placement: Placement) -> bool:
    """In one column: whether it is between those of the frame, or under or above them."""
    if body.wide or frame.first < frame.last:
        return True
    half = placement.sizes[body.index][0] / 2
    left = min(placement.offset[b.index] - placement.sizes[b.index][0] / 2 for b in frame.bodies)
    right = max(placement.offset[b.index] + placement.sizes[b.index][0] / 2 for b in frame.bodies)
    at = placement.offset[body.index]
    return left - 12 < at + half and at - half < right + 12
