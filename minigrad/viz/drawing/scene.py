"""The picture put together: bodies with what is written on them, edges, layers, times, a legend."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

from minigrad.viz.colours import FAINT, TEXT
from minigrad.viz.drawing.facts import number, shape, title
from minigrad.viz.drawing.folding import Body, Folded
from minigrad.viz.drawing.frames import Frame, frames
from minigrad.viz.drawing.notes import (
    CHIP,
    CHIP_HEIGHT,
    DETAIL,
    LETTERS,
    LINE,
    NAME,
    PAD,
    Note,
    Notes,
    chip_rows,
    node_name,
)
from minigrad.viz.drawing.placement import Placement
from minigrad.viz.drawing.routes import MARGIN, Command, Geometry, Route
from minigrad.viz.drawing.shapes import (
    Box,
    Group,
    Label,
    Path,
    Scene,
    shortened,
    text_width,
)

BAR = 3.5
"""The height of the bar of a gradient."""

WRONG = "#d55e00"

EDGE, CARRIED = "#8a8a8a", "#0072b2"
"""The colours of an edge within a time step, and of one that goes on to the next."""

SCALE = ("#e1cc55", "#b1a570", "#7d7c78", "#5b6373", "#2f4a6d", "#00224e")
"""From the smallest gradient to the largest: cividis, which any colour vision and grey print keep
in order, from light to dark."""

HEAD, RIM = 15.0, 5.0
"""The height of a frame's name, and what a frame is larger than one within it."""


def draw_scene(folded: Folded, heading: str) -> Scene:
    """The whole picture."""
    return _Painter(folded, heading).scene


class _Painter:
    def __init__(self, folded: Folded, heading: str) -> None:
        self.folded, self.notes = folded, Notes(folded)
        sizes = [self.notes.size(body) for body in folded.bodies]
        self.placement = Placement(folded, sizes)
        framed = frames(folded, self.placement, self.notes.layers)
        above, below = defaultdict[int, float](float), defaultdict[int, float](float)
        for frame in framed:
            above[frame.high] = max(above[frame.high], HEAD * (frame.over + 1))
            below[frame.low] = max(below[frame.low], RIM * frame.under)
        self.geometry = Geometry(self.placement, sizes, above, below)
        legend, width, height = self._legend(max(self.geometry.width, 420.0))
        self.shift = (width - self.geometry.width) / 2
        self.scene = Scene(width, self.geometry.height + self._times_height() + height, heading)
        parts = self.scene.parts
        for frame in framed:
            parts.extend(self._frame(frame))
        parts.extend(self._times())
        routes = self.geometry.routes
        for route in sorted(routes, key=lambda route: route.recurrent):
            parts.append(self._edge(route))
        for frame in framed:
            parts.extend(self._frame_name(frame))
        parts.extend(self._node(body) for body in folded.bodies)
        top = self.geometry.height + self._times_height()
        parts.extend(moved(part, 0, top) for part in legend)

    # ------------------------------------------------------------------ behind the nodes

    def _frame(self, frame: Frame) -> list[Box | Label]:
        """A band behind the nodes of a layer, and in a recurrent one a white cell for each step."""
        geometry, half = self.geometry, self.placement.half
        top = geometry.row_at[frame.high] - geometry.row_heights[frame.high] / 2 - 9
        top -= HEAD * frame.over
        bottom = geometry.row_at[frame.low] + geometry.row_heights[frame.low] / 2 + 9
        bottom += RIM * frame.under
        boxes = [geometry.boxes[body.index] for body in frame.bodies]
        left, right = min(x for x, *_ in boxes), max(x + width for x, _, width, _ in boxes)
        if frame.columns:
            ends = frame.columns[0], frame.columns[-1]
            left, right = (
                geometry.centres[ends[0]] - half[ends[0]],
                geometry.centres[ends[1]] + half[ends[1]],
            )
        rim = 9 + RIM * frame.beside
        left, right = left - rim + self.shift, right + rim + self.shift
        fill = "#eef3f8" if frame.columns else "#f7f7f4"
        line = "#c9d6e2" if frame.columns else "#dcdccf"
        parts: list[Box | Label] = [
            Box(left, top - HEAD, right - left, bottom - top + HEAD, 8, fill, line)
        ]
        for k in frame.columns:
            x = self.shift + geometry.centres[k] - half[k] - 5
            parts.append(
                Box(x, top + 2, 2 * half[k] + 10, bottom - top - 6, 6, "#ffffff", "#d9e2ea")
            )
        return parts

    def _frame_name(self, frame: Frame) -> list[Box | Label]:
        """Above all lines, with the frame's own colour behind it."""
        box = self._frame(frame)[0]
        assert isinstance(box, Box)
        most = max(int((box.width - 16) / 6), 4)
        name = shortened(frame.name, most)
        wide = text_width(name, DETAIL, bold=True)
        colour = "#3d5a73" if frame.columns else "#6b6a52"
        return [
            Box(box.x + 5, box.y + 2, wide + 4, 12, 3, box.fill),
            Label(box.x + 7, box.y + 8, name, DETAIL, colour, True, "start"),
        ]

    def _times_height(self) -> float:
        return 14.0 if len(self.folded.columns) > 1 else 0.0

    def _times(self) -> list[Label]:
        """The time step below each column."""
        if not self._times_height():
            return []
        y = self.geometry.height - 4
        labels = []
        for at, column in zip(self.geometry.centres, self.folded.columns, strict=True):
            if not column.steps:
                continue
            first, last = column.steps[0] + 1, column.steps[-1] + 1
            text = f"t = {first}" if first == last else f"t = {first} … {last}"
            labels.append(Label(self.shift + at, y, text, NAME, FAINT, bold=True))
        return labels

    def _edge(self, route: Route) -> Group:
        colour, line = (CARRIED, 1.8) if route.recurrent else (EDGE, 1.1)
        path = [
            (c, tuple(p + self.shift * (1 - i % 2) for i, p in enumerate(points)))
            for c, points in route.path
        ]
        name = f"{node_name(route.source)}-{node_name(route.target)}"
        kind = "edge carried" if route.recurrent else "edge"
        return Group(name, kind, "", [Path(path, colour, line), arrow(path, colour)])

    # ------------------------------------------------------------------ a node

    def _node(self, body: Body) -> Group:
        note = self.notes.notes[body.index]
        x, y, width, height = self.geometry.boxes[body.index]
        x += self.shift
        parts: list[Box | Label | Path] = _outline(note.kind, x, y, width, height)
        name = shortened(note.name, LETTERS)
        colour = FAINT if note.kind == "freed" else TEXT
        if self.notes.flat(body):
            parts += self._flat(note, name, x, y, width, height)
        else:
            middle, at = x + width / 2, y + PAD + LINE / 2 - 1
            parts.append(Label(middle, at, name, NAME, colour, bold=note.kind != "constant"))
            for line in note.details:
                at += LINE
                wrong = line == "value not finite"
                parts.append(Label(middle, at, line, DETAIL, WRONG if wrong else FAINT, bold=wrong))
            at += LINE / 2 + 1
            widths, texts = self.notes.chip_widths(note), iter(self.notes.chip_texts(note))
            chips = iter([*note.chips, -1])
            for row in chip_rows(widths):
                left = middle - (sum(row) + 3 * (len(row) - 1)) / 2
                for chip in row:
                    parts += self._chip(next(chips), next(texts), left, at, chip)
                    left += chip + 3
                at += CHIP_HEIGHT + 2
        parts += self._bar(note, x, y + height - BAR - 1.5, width)
        kind = f"node {note.kind}"
        return Group(node_name(body), kind, self.notes.tooltip(body), parts)

    def _flat(
        self, note: Note, name: str, x: float, y: float, width: float, height: float
    ) -> list[Box | Label | Path]:
        """All in one line, in the middle."""
        texts = [(name, NAME, TEXT, True), *((d, DETAIL, FAINT, False) for d in note.details)]
        widths = [text_width(text, large, bold) for text, large, _, bold in texts]
        chips = self.notes.chip_widths(note)
        total = sum(widths) + 10 * (len(widths) - 1) + sum(chips) + 3 * len(chips) + 7 * bool(chips)
        left, middle = x + (width - total) / 2, y + height / 2 - 1
        parts: list[Box | Label | Path] = []
        for (text, large, colour, bold), wide in zip(texts, widths, strict=True):
            parts.append(Label(left + wide / 2, middle, text, large, colour, bold))
            left += wide + 10
        for i, text, chip in zip(
            [*note.chips, -1], self.notes.chip_texts(note), chips, strict=False
        ):
            parts += self._chip(i, text, left, middle - CHIP_HEIGHT / 2, chip)
            left += chip + 3
        return parts

    def _chip(
        self, index: int, text: str, x: float, y: float, width: float
    ) -> list[Box | Label | Path]:
        colour = self.notes.colour.get(index, FAINT)
        box = Box(x, y, width, CHIP_HEIGHT, 3, tint(colour), colour)
        return [box, Label(x + width / 2, y + CHIP_HEIGHT / 2, text, CHIP, TEXT)]

    def _bar(self, note: Note, x: float, y: float, width: float) -> list[Box | Label | Path]:
        """The norm of the gradient: a bar as long and as dark as it is large, on a log scale."""
        if note.wrong:
            text = "gradient not finite"
            wide = text_width(text, 8, bold=True) + 8
            middle = x + width / 2
            box = Box(middle - wide / 2, y + BAR - 1, wide, 12, 3, WRONG)
            return [box, Label(middle, y + BAR + 5, text, 8, "#ffffff", bold=True)]
        if note.high is None or note.low is None:
            return []
        left, span = x + 6, width - 12
        share = self.notes.share(note.high)
        parts: list[Box | Label | Path] = [Box(left, y, span, BAR, 1.5, "#e6e6e6")]
        if note.high > 0:
            parts.append(Box(left, y, max(span * share, 2), BAR, 1.5, scaled(share)))
        return parts

    # ------------------------------------------------------------------ the legend

    def _legend(self, width: float) -> tuple[list[Box | Label | Path], float, float]:
        """What colours mean, and the parameters; at the place (0, 0)."""
        notes, graph = self.notes, self.folded.graph
        parts: list[Box | Label | Path] = []
        x, y = MARGIN, 14.0
        low, high = notes.decades
        parts.append(Label(x, y, "norm of the gradient", DETAIL, TEXT, anchor="start"))
        x += text_width("norm of the gradient", DETAIL) + 8
        steps = 24
        for k in range(steps):
            parts.append(Box(x + 5 * k, y - 4, 5.2, 8, 0, scaled(k / (steps - 1))))
        for at, power, anchor in ((x, low, "start"), (x + 5 * steps, high, "end")):
            parts.append(Label(at, y + 12, power_of_ten(power), 8, FAINT, anchor=anchor))
        x += 5 * steps + 24
        for kind, text in self._kinds():
            wide = text_width(text, DETAIL)
            if x + wide + 40 > width - MARGIN:
                x, y = MARGIN, y + 26
            parts += _outline(kind, x, y - 7, 22, 14)
            parts.append(Label(x + 28, y, text, DETAIL, TEXT, anchor="start"))
            x += wide + 44
        if any(route.recurrent for route in self.geometry.routes):
            text = "to the next time step"
            if x + text_width(text, DETAIL) + 40 > width - MARGIN:
                x, y = MARGIN, y + 26
            line: list[Command] = [("M", (x, y)), ("L", (x + 22, y))]
            parts += [Path(line, CARRIED, 1.8), arrow(line, CARRIED)]
            parts.append(Label(x + 28, y, text, DETAIL, TEXT, anchor="start"))
        y += 26
        items = []
        for i in graph.chips:
            entry, n = graph.entries[i], notes.norm[i]
            told = f"{shortened(title(entry), 40)} {shape(entry)}"
            gradient = "" if n is None else f", gradient {number(n)}"
            items.append((i, told + gradient))
        chip_width = {
            i: text_width(shortened(notes.short[i], LETTERS), CHIP) + 8 for i in graph.chips
        }
        cell = max((chip_width[i] + text_width(t, DETAIL) + 22 for i, t in items), default=1.0)
        width = max(width, cell + 2 * MARGIN)
        across = max(int((width - 2 * MARGIN) // cell), 1)
        for k, (i, told) in enumerate(items):
            x, at = MARGIN + cell * (k % across), y + 18 * (k // across)
            text = shortened(notes.short[i], LETTERS)
            parts += self._chip(i, text, x, at - CHIP_HEIGHT / 2, chip_width[i])
            parts.append(Label(x + chip_width[i] + 6, at, told, DETAIL, TEXT, anchor="start"))
        rows = -(-len(items) // across)
        return parts, width, y + 18 * rows + MARGIN / 2 - (0 if items else 10)

    def _kinds(self) -> list[tuple[str, str]]:
        found = {note.kind for note in self.notes.notes}
        words = {
            "root": "what is differentiated",
            "op": "op",
            "fold": "several ops",
            "input": "input with a gradient",
            "constant": "constant",
            "freed": "freed",
        }
        return [(kind, word) for kind, word in words.items() if kind in found]


# ---------------------------------------------------------------------- forms and colours


def _outline(
    kind: str, x: float, y: float, width: float, height: float
) -> list[Box | Label | Path]:
    if kind == "root":
        return [
            Box(x, y, width, height, 9, "#ffffff", "#d55e00", 2.2),
            Box(x + 3, y + 3, width - 6, height - 6, 6, "#fdeee3", "#d55e00"),
        ]
    if kind == "input":
        return [Box(x, y, width, height, height / 2, "#e3f3ed", "#009e73", 1.6)]
    if kind == "constant":
        return [Box(x, y, width, height, height / 2, "#f4f4f4", "#777777", 1, dashed=True)]
    if kind == "freed":
        return [Box(x, y, width, height, 4, "#f4f4f4", "#777777", 1, dashed=True)]
    if kind == "fold":
        return [
            Box(x + 3, y - 3, width, height, 4, "#ffffff", "#777777"),
            Box(x, y, width, height, 4, "#fbfbfb", "#444444", 1.2),
        ]
    return [Box(x, y, width, height, 4, "#ffffff", "#444444", 1.1)]


def arrow(path: Sequence[Command], colour: str) -> Path:
    """The head of an arrow at the end of a path."""
    end = path[-1][1][-2:]
    before = path[-1][1][-4:-2] or path[-2][1][-2:]
    dx, dy = end[0] - before[0], end[1] - before[1]
    length = math.hypot(dx, dy) or 1.0
    dx, dy = dx / length, dy / length
    long, half = 6.0, 2.7
    back = end[0] - long * dx, end[1] - long * dy
    return Path(
        [
            ("M", end),
            ("L", (back[0] - half * dy, back[1] + half * dx)),
            ("L", (back[0] + half * dy, back[1] - half * dx)),
            ("Z", ()),
        ],
        fill=colour,
    )


def moved(part: Box | Label | Path, dx: float, dy: float) -> Box | Label | Path:
    """The part, elsewhere."""
    if isinstance(part, Path):
        commands = [
            (c, tuple(p + (dy if i % 2 else dx) for i, p in enumerate(points)))
            for c, points in part.commands
        ]
        return Path(commands, part.stroke, part.line, part.fill)
    part.x += dx
    part.y += dy
    return part


def tint(colour: str) -> str:
    """A colour mixed with white."""
    return _mixed(colour, "#ffffff", 0.8)


def scaled(share: float) -> str:
    """The colour at a place of `SCALE`, from 0 to 1."""
    at = min(max(share, 0.0), 1.0) * (len(SCALE) - 1)
    k = min(int(at), len(SCALE) - 2)
    return _mixed(SCALE[k], SCALE[k + 1], at - k)


def _mixed(a: str, b: str, share: float) -> str:
    pairs = ((int(a[i : i + 2], 16), int(b[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(p + (q - p) * share):02x}" for p, q in pairs)


def power_of_ten(power: int) -> str:
    """10 to a power, in letters."""
    return f"10{str(power).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"
