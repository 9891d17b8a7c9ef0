"""What a scene is made of: boxes, letters and paths, painted by SVG and matplotlib alike.

Lengths are in pixels, y grows downwards, and the whole is painted in the order of the list.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field

from minigrad.viz.drawing.routes import Command

NARROW, WIDE = frozenset("iljtfrI.,:;'|!()[]{} /·-`"), frozenset("mwMW@%—…←→∇‖×")
"""Letters that are narrower or wider than the others."""


@dataclass
class Box:
    """A rectangle."""

    x: float
    y: float
    width: float
    height: float
    radius: float = 0.0
    fill: str = "none"
    stroke: str = "none"
    line: float = 1.0
    dashed: bool = False


@dataclass
class Label:
    """A line of text; `y` is its middle, and `anchor` is start, middle or end."""

    x: float
    y: float
    text: str
    size: float = 9.0
    colour: str = "#333333"
    bold: bool = False
    anchor: str = "middle"


@dataclass
class Path:
    """A line along commands of SVG, or with `fill` an area."""

    commands: list[Command]
    stroke: str = "none"
    line: float = 1.0
    fill: str = "none"


@dataclass
class Group:
    """What belongs together: a node with all that is on it, and a text for who points at it."""

    name: str
    kind: str
    title: str
    parts: list[Box | Label | Path] = field(default_factory=list)


@dataclass
class Scene:
    """A picture."""

    width: float
    height: float
    title: str
    parts: list[Box | Label | Path | Group] = field(default_factory=list)


def text_width(text: str, size: float, bold: bool = False) -> float:
    """About how wide a text is, rather too much; no font is asked."""
    total = 0.0
    for letter in text:
        if unicodedata.east_asian_width(letter) in "WF":
            total += 1.0
        elif letter in NARROW:
            total += 0.36
        elif letter in WIDE:
            total += 0.92
        else:
            total += 0.72 if letter.isupper() else 0.6
    return total * size * (1.07 if bold else 1.0)


def shortened(text: str, letters: int) -> str:
    """`text`, or its beginning and end if it is longer than so many letters."""
    if len(text) <= letters:
        return text
    half = (letters - 1) // 2
    return f"{text[: letters - 1 - half]}…{text[len(text) - half :]}"
