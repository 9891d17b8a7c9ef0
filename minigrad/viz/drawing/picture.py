"""A scene as a figure of matplotlib, for PNG and PDF."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minigrad.viz.drawing.routes import Command
from minigrad.viz.drawing.shapes import Box, Group, Label, Path, Scene
from minigrad.viz.extra import extra

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure
    from matplotlib.path import Path as Line

PIXELS, POINTS = 96, 72
"""To the inch: of the scene, and of matplotlib's lengths."""

LARGEST = 100.0
"""In inches: a larger scene is made smaller."""


def figure(scene: Scene) -> Figure:
    """The scene as a figure, as large as in a browser."""
    with extra():
        from matplotlib.collections import PathCollection
    from minigrad.viz.figures import new_figure, write

    width, height = scene.width / PIXELS, scene.height / PIXELS
    shrink = min(1.0, LARGEST / max(width, height))
    drawn = new_figure(width * shrink, height * shrink)
    axes = drawn.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    axes.set_xlim(0, scene.width)
    axes.set_ylim(scene.height, 0)
    points = POINTS / PIXELS * shrink
    for order, part in enumerate(_flat(scene)):
        if isinstance(part, Label):
            write(
                drawn,
                part.x / scene.width,
                1 - part.y / scene.height,
                part.text,
                fontsize=part.size * points,
                color=part.colour,
                weight="bold" if part.bold else "normal",
                ha={"start": "left", "middle": "center", "end": "right"}[part.anchor],
                zorder=order,
            )
        else:
            line = _box(part) if isinstance(part, Box) else _line(part.commands)
            axes.add_collection(
                PathCollection(
                    [line],
                    facecolors=part.fill,
                    edgecolors=part.stroke,
                    linewidths=part.line * points if part.stroke != "none" else 0,
                    linestyles=(0, (3, 2)) if isinstance(part, Box) and part.dashed else "-",
                    zorder=order,
                ),
                autolim=False,
            )
    return drawn


def _flat(scene: Scene) -> Iterator[Box | Label | Path]:
    for part in scene.parts:
        if isinstance(part, Group):
            yield from part.parts
        else:
            yield part


def _box(box: Box) -> Line:
    x, y, width, height = box.x, box.y, box.width, box.height
    r = min(box.radius, width / 2, height / 2)
    right, bottom = x + width, y + height
    commands: list[Command] = [
        ("M", (x + r, y)),
        ("L", (right - r, y)),
        ("Q", (right, y, right, y + r)),
        ("L", (right, bottom - r)),
        ("Q", (right, bottom, right - r, bottom)),
        ("L", (x + r, bottom)),
        ("Q", (x, bottom, x, bottom - r)),
        ("L", (x, y + r)),
        ("Q", (x, y, x + r, y)),
        ("Z", ()),
    ]
    return _line(commands)


def _line(commands: list[Command]) -> Line:
    from matplotlib.path import Path as Line

    codes = {"M": [1], "L": [2], "Q": [3, 3], "C": [4, 4, 4], "Z": [79]}
    vertices, kinds = [], []
    for name, numbers in commands:
        kinds += codes[name]
        vertices += list(zip(numbers[::2], numbers[1::2], strict=True)) or [(0.0, 0.0)]
    return Line(vertices, kinds)
