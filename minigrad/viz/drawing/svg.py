"""A scene as SVG, written without any library."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from minigrad.files import printable
from minigrad.viz.drawing.routes import Command
from minigrad.viz.drawing.shapes import Box, Group, Label, Path, Scene

FONTS = "system-ui, 'Helvetica Neue', Arial, 'Noto Sans CJK KR', 'Malgun Gothic', sans-serif"


def svg(scene: Scene) -> str:
    """The scene as an SVG document; what a reader points at tells its facts."""
    width, height = _number(scene.width), _number(scene.height)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" role="img" font-family="{FONTS}">',
            f"<title>{_text(scene.title)}</title>",
            f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
            *(line for part in scene.parts for line in _part(part)),
            "</svg>\n",
        ]
    )


def _part(part: Box | Label | Path | Group) -> Iterator[str]:
    if isinstance(part, Group):
        yield f'<g id="{escape(part.name)}" class="{escape(part.kind)}">'
        if part.title:
            yield f"<title>{_text(part.title)}</title>"
        for inner in part.parts:
            yield from _part(inner)
        yield "</g>"
    elif isinstance(part, Box):
        dash = ' stroke-dasharray="4 2"' if part.dashed else ""
        stroke = f' stroke="{part.stroke}" stroke-width="{_number(part.line)}"'
        yield (
            f'<rect x="{_number(part.x)}" y="{_number(part.y)}" width="{_number(part.width)}" '
            f'height="{_number(part.height)}" rx="{_number(part.radius)}" fill="{part.fill}"'
            f"{stroke if part.stroke != 'none' else ''}{dash}/>"
        )
    elif isinstance(part, Label):
        bold = ' font-weight="bold"' if part.bold else ""
        yield (
            f'<text x="{_number(part.x)}" y="{_number(part.y + part.size * 0.35)}" '
            f'font-size="{_number(part.size)}" text-anchor="{part.anchor}" fill="{part.colour}"'
            f"{bold}>{_text(part.text)}</text>"
        )
    else:
        stroke = f' stroke="{part.stroke}" stroke-width="{_number(part.line)}"'
        yield (
            f'<path d="{path_data(part.commands)}" fill="{part.fill}"'
            f"{stroke if part.stroke != 'none' else ''}/>"
        )


def path_data(commands: list[Command]) -> str:
    """A path as the attribute ``d`` of SVG."""
    return " ".join(f"{name}{' '.join(map(_number, points))}" for name, points in commands)


def _number(x: float) -> str:
    text = f"{x:.1f}"
    return text.removesuffix(".0") if text != "-0.0" else "0"


def _text(text: str) -> str:
    return escape("\n".join(map(printable, text.split("\n"))), quote=False)
