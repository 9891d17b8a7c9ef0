"""The map of a tape: where each node is in its drawing, without what is written on it."""

from __future__ import annotations

from typing import Any

from minigrad.viz.drawing.facts import NAMELESS, short_names
from minigrad.viz.drawing.folding import Folded
from minigrad.viz.drawing.placement import Placement
from minigrad.viz.drawing.recurrence import steps_of
from minigrad.viz.drawing.routes import Geometry
from minigrad.viz.reading import Tape

SIZE = (68.0, 22.0)
"""The width and height of a node that does not span time steps: room for the name of an op."""

GAP = 12.0
"""Between the drawing and the parameters below it, and between these."""


def map_of(tape: Tape) -> dict[str, Any]:
    """Boxes and edges in pixels; y grows downwards.

    Returns
    -------
    dict
        ``boxes``: for each entry x and y of its upper left corner, width and height; ``edges``: the
        paths of all edges as SVG has it; ``carried``: those to the next time step; ``names``: by
        the number of an entry what is written on its box, where it is not its op or name;
        ``width`` and ``height`` of it all.
    """
    graph, recurrence = steps_of(tape)
    folded = Folded(graph, recurrence, "none")
    sizes = [SIZE] * len(folded.bodies)
    geometry = Geometry(Placement(folded, sizes), sizes, {}, {})
    boxes = [[0, 0, 0, 0]] * len(tape)
    for index, body in folded.body_of.items():
        boxes[index] = [round(x) for x in geometry.boxes[body.index]]
    width, height = max(geometry.width, SIZE[0] + 2 * GAP), geometry.height
    across = max(int((width - GAP) // (SIZE[0] + GAP)), 1)
    for k, index in enumerate(graph.chips):  # what many ops use has no edges; it is below them
        column, row = k % across, k // across
        x, y = GAP + column * (SIZE[0] + GAP), height + row * (SIZE[1] + GAP)
        boxes[index] = [round(x), round(y), *map(round, SIZE)]
    height += -(-len(graph.chips) // across) * (SIZE[1] + GAP)
    names = {
        index: "initial"
        for index in recurrence.starts
        if tape.entries[index].kind == "constant" and tape.entries[index].name in NAMELESS | {""}
    }
    names |= short_names(tape.entries[index] for index in graph.chips)
    paths: dict[bool, list[str]] = {False: [], True: []}
    for route in geometry.routes:
        commands = (c + " ".join(f"{p:.0f}" for p in points) for c, points in route.path)
        paths[route.recurrent].append("".join(commands))
    return {
        "boxes": boxes,
        "edges": "".join(paths[False]),
        "carried": "".join(paths[True]),
        "names": {str(index): name for index, name in names.items()},
        "width": round(width),
        "height": round(height),
    }
