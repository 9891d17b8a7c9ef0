"""A scene as data for ``static/views/drawing.js``, which says what a part is."""

from __future__ import annotations

from typing import Any

from minigrad.viz.drawing.shapes import Box, Group, Label, Path, Scene
from minigrad.viz.drawing.svg import path_data


def scene_data(scene: Scene, name: str, label: str) -> dict[str, Any]:
    """A scene, its name, and what the page calls it."""
    return {
        "name": name,
        "label": label,
        "width": round(scene.width, 1),
        "height": round(scene.height, 1),
        "parts": list(map(_part, scene.parts)),
    }


def _part(part: Box | Label | Path | Group) -> list[Any]:
    if isinstance(part, Group):
        return ["g", part.name, part.kind, part.title, list(map(_part, part.parts))]
    if isinstance(part, Box):
        place = [round(n, 1) for n in (part.x, part.y, part.width, part.height, part.radius)]
        return ["r", *place, part.fill, part.stroke, part.line, part.dashed]
    if isinstance(part, Label):
        place = [round(part.x, 1), round(part.y, 1)]
        return ["t", *place, part.text, part.size, part.colour, part.bold, part.anchor]
    return ["p", path_data(part.commands), part.stroke, part.line, part.fill]
