"""What is written on each body: its name, what it keeps, its parameters, its gradient's norm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from minigrad.files import printable
from minigrad.viz.colours import COLOURS, FAINT
from minigrad.viz.drawing.facts import (
    facts,
    gradient_norm,
    kept_bytes,
    layer_names,
    lines_of,
    norms,
    not_finite,
    number,
    shape,
    short_names,
    size,
    summary,
    title,
)
from minigrad.viz.drawing.folding import Body, Folded
from minigrad.viz.drawing.shapes import shortened, text_width
from minigrad.viz.reading import Entry

NAME, DETAIL, CHIP = 11.0, 9.0, 8.5
"""The sizes of letters: of a node's name, of what is below it, of a parameter on it."""

LINE, CHIP_HEIGHT, PAD = 13.0, 13.0, 7.0
"""The heights of a line of letters and of a parameter, and the room around them."""

LETTERS = 26
"""How many letters of a name are shown on a node."""

CHIPS = 6
"""How many parameters are shown on a folded node."""

DECADES = 12
"""How many powers of ten the colours of the gradients span at most."""


@dataclass(eq=False)
class Note:
    """What is written on a body."""

    kind: str  # "op", "root", "input", "constant", "freed" or "fold"
    name: str
    details: list[str]
    chips: list[int]
    more: int  # chips that are not shown
    low: float | None  # the smallest and the largest norm of the gradients
    high: float | None
    wrong: bool  # whether a gradient is not finite


class Notes:
    """What is written on all bodies of a drawing, and the names of what is shared."""

    def __init__(self, folded: Folded) -> None:
        self.folded, self.graph = folded, folded.graph
        entries = self.graph.entries
        self.short = short_names(entries[i] for i in self.graph.chips)
        self.colour = {
            i: FAINT if entries[i].kind == "constant" else COLOURS[k % len(COLOURS)]
            for k, i in enumerate(self.graph.chips)
        }
        self.layers = layer_names(self.graph, folded.recurrence)
        self.norm = {i: gradient_norm(entry) for i, entry in enumerate(entries)}
        self.notes = [self._note(body) for body in folded.bodies]
        known = [n for n in self.norm.values() if n is not None and 0 < n < math.inf]
        high = math.ceil(math.log10(max(known))) if known else 0
        low = math.floor(math.log10(min(known))) if known else -1
        self.decades = max(min(low, high - 1), high - DECADES), high

    def members(self, body: Body) -> list[Entry]:
        """The entries of a body."""
        return [self.graph.entries[v] for v in body.members]

    def _note(self, body: Body) -> Note:
        members = self.members(body)
        root = self.graph.tape.root
        ops = [e for e in members if e.kind in ("op", "freed")]
        found = [n for e in ops or members if (n := self.norm[e.index]) is not None]
        finite = [n for n in found if math.isfinite(n)]
        low, high = (min(finite), max(finite)) if finite else (None, None)
        wrong = len(finite) < len(found)
        chips = list(dict.fromkeys(i for v in body.members for i in self.graph.chips_of(v)))
        if len(members) == 1:
            entry = members[0]
            details = [shape(entry)]
            value = entry.result.value
            if entry is root and value is not None and value.size == 1:
                details.append(f"= {summary(value)}")
            elif any(not_finite(result.value) for result in entry.results):
                details.append("value not finite")
            kind = "root" if entry is root else entry.kind
            name = title(entry)
            if entry.index in self.folded.recurrence.starts and name == "constant":
                name = "initial state"
            return Note(kind, name, details, chips, 0, low, high, wrong)
        if not ops:
            return Note(
                "constant", "initial state", [f"{len(members)} parts"], [], 0, low, high, wrong
            )
        name, details = self._fold(body, members, ops)
        return Note("fold", name, details, chips[:CHIPS], len(chips[CHIPS:]), low, high, wrong)

    def _fold(
        self, body: Body, members: Sequence[Entry], ops: Sequence[Entry]
    ) -> tuple[str, list[str]]:
        keeps = size(kept_bytes(ops))
        details = [f"{len(ops)} op{'s' * (len(ops) != 1)}, keeps {keeps}"]
        recurrence, v = self.folded.recurrence, body.members[0]
        one = bool(recurrence.layers) and recurrence.first[v] == recurrence.last[v]
        if one and body.steps > 1 and self.folded.fold != "layer":
            return f"… {body.steps} more steps …", details
        if one:
            steps = [f"{body.steps} steps"] if body.steps > 1 else []
            around = list(dict.fromkeys(e.layers[-1].name for e in ops if e.layers))
            name = ", ".join(around) if len(around) > 1 else self.layers[body.layer]
            return printable(name), steps + details
        names = list(dict.fromkeys(e.op for e in ops)) or [title(members[0])]
        if body.within:
            return printable(body.within), details
        return (names[0] if len(names) == 1 else f"{names[0]} … {names[-1]}"), details

    def share(self, n: float) -> float:
        """Where a norm is on the scale of the colours, from 0 to 1."""
        low, high = self.decades
        if n <= 0:
            return 0.0
        return min(max((math.log10(n) - low) / (high - low), 0.0), 1.0)

    def size(self, body: Body) -> tuple[float, float]:
        """The width and height that a body needs."""
        note = self.notes[body.index]
        texts = [text_width(shortened(note.name, LETTERS), NAME, bold=True)]
        texts += [text_width(line, DETAIL) for line in note.details]
        chips = self.chip_widths(note)
        rows = chip_rows(chips)
        widest = max([*texts, *(sum(row) + 3 * (len(row) - 1) for row in rows)])
        height = LINE * (1 + len(note.details)) + (CHIP_HEIGHT + 2) * len(rows) + 2 * PAD - 2
        if self.flat(body):
            inner = sum(texts) + 10 * len(texts) + sum(chips) + 3 * len(chips)
            return inner + 2 * PAD + 8, LINE + 2 * PAD
        return math.ceil(widest + 2 * PAD + 4), height

    def flat(self, body: Body) -> bool:
        """Whether all is in one line, since the body is as wide as several columns."""
        return body.wide and bool(self.members(body)[-1].result.shape)

    def chip_widths(self, note: Note) -> list[float]:
        """The widths of the chips on a body."""
        return [text_width(text, CHIP) + 8 for text in self.chip_texts(note)]

    def chip_texts(self, note: Note) -> list[str]:
        """What is written on the chips."""
        texts = [shortened(self.short[i], LETTERS) for i in note.chips]
        return [*texts, f"+ {note.more}"] if note.more else texts

    def tooltip(self, body: Body) -> str:
        """All facts of a body, one a line."""
        members = self.members(body)
        if len(members) == 1:
            lines = [f"{label}: {text}" for label, text in facts(members[0])]
            used = ", ".join(
                printable(title(self.graph.entries[i])) for i in self.notes[body.index].chips
            )
            return "\n".join([*lines, f"parameters: {used}"] if used else lines)
        note = self.notes[body.index]
        lines = [note.name, *note.details]
        if found := norms(members):
            lines.append(f"gradient norms: from {number(min(found))} to {number(max(found))}")
        chips = dict.fromkeys(i for v in body.members for i in self.graph.chips_of(v))
        if chips:
            lines.append(f"parameters: {', '.join(title(self.graph.entries[i]) for i in chips)}")
        ops: dict[str, int] = {}
        for e in members:
            ops[e.op or e.kind] = ops.get(e.op or e.kind, 0) + 1
        lines.append(", ".join(f"{n} × {op}" if n > 1 else op for op, n in ops.items()))
        if where := lines_of(members):
            lines.append(f"lines: {where}")
        return "\n".join(lines)


def chip_rows(widths: Sequence[float], most: float = 120.0) -> list[list[float]]:
    """The widths of chips in rows, none much wider than `most`."""
    rows: list[list[float]] = []
    for width in widths:
        if rows and sum(rows[-1]) + width + 3 * len(rows[-1]) <= most:
            rows[-1].append(width)
        else:
            rows.append([width])
    return rows


def node_name(body: Body) -> str:
    """What a body is called in files: by the number of its last entry."""
    return f"n{body.members[-1]}"
