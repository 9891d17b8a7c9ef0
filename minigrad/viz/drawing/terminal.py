"""The tape as plain text for terminals: a table, from the last op down to the leaves."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Iterator, Sequence

from minigrad.files import printable
from minigrad.viz.drawing.facts import (
    gradient_norm,
    held_bytes,
    kept_bytes,
    number,
    shape,
    short_names,
    size,
    title,
)
from minigrad.viz.drawing.folding import LIMIT
from minigrad.viz.drawing.graph import Graph
from minigrad.viz.drawing.recurrence import Recurrence
from minigrad.viz.drawing.shapes import shortened
from minigrad.viz.reading import Edge, Entry

HEADS = ("node", "t", "op", "arguments", "shape", "gradient", "keeps", "line")
LEAVES = ("", "name", "kind", "shape", "gradient")

STEPS, ROWS = 3, 20
"""Of a large tape: how many time steps at each end are shown; without any, how many ops."""

MOST = 44
"""How wide a cell is at most."""

CUT = ("op", "arguments", "line")
"""What is cut at its end where there is no room for it; all else in its middle."""


def table(graph: Graph, recurrence: Recurrence, width: int | None = None) -> str:
    """Each op in a line, then each leaf.

    Parameters
    ----------
    width
        in columns; None: that of the terminal.
    """
    if width is None:
        width = shutil.get_terminal_size().columns
    names = short_names(e for e in graph.entries if e.kind in ("parameter", "input"))
    rows = list(_ops(graph, recurrence, names))
    lines = _aligned(HEADS, rows, width, right=("node", "t", "gradient", "keeps"))
    leaves = [
        (names[e.index], printable(e.name), e.kind, shape(e), _norm(e))
        for e in graph.entries
        if e.kind in ("parameter", "input")
    ]
    if leaves:
        lines += ["", *_aligned(LEAVES, leaves, width, right=("gradient",))]
    tape = graph.tape
    ops = sum(entry.kind in ("op", "freed") for entry in tape)
    keeps = size(held_bytes(tape.entries))
    lines += ["", f"{ops} op{'s' * (ops != 1)}; {keeps} kept for the way back besides parameters"]
    if tape.trouble:
        lines.append(f"no gradients: {printable(tape.trouble)}")
    return "\n".join(lines)


def _ops(graph: Graph, recurrence: Recurrence, names: dict[int, str]) -> Iterator[tuple[str, ...]]:
    """The rows of the ops and constants, newest first, without the middle of a long tape."""
    shown = [e for e in reversed(graph.entries) if e.kind not in ("parameter", "input")]
    hidden = 0
    for k, entry in enumerate(shown):
        if len(shown) <= LIMIT:
            is_hidden = False
        elif recurrence.layers:
            first, last = recurrence.first[entry.index], recurrence.last[entry.index]
            is_hidden = STEPS <= first == last < recurrence.columns - STEPS
        else:
            is_hidden = ROWS <= k < len(shown) - ROWS
        if is_hidden:
            hidden += 1
            continue
        if hidden:
            yield ("", "", f"… {hidden} more …", "", "", "", "", "")
            hidden = 0
        yield _row(entry, recurrence, names)


def _row(entry: Entry, recurrence: Recurrence, names: dict[int, str]) -> tuple[str, ...]:
    arguments: dict[str, list[str]] = {}
    for edge in entry.edges:  # arrays[0], arrays[1] ... are one argument
        name = edge.argument.partition("[")[0]
        arguments.setdefault(name, []).append(_argument(edge, names))
    told = [_listed(sources) for sources in arguments.values()]
    told += [f"{name}={value}" for name, value in entry.options.items()]
    first, last = recurrence.first[entry.index], recurrence.last[entry.index]
    step = str(first + 1) if first == last else f"{first + 1}…{last + 1}"
    return (
        f"#{entry.index}",
        step if recurrence.layers and first >= 0 else "",
        title(entry) if entry.op else f"{entry.kind} {title(entry)}",
        printable(", ".join(told)),
        shape(entry),
        _norm(entry),
        size(kept_bytes([entry])) if any(saved.memory for saved in entry.saved) else "",
        "" if entry.line is None else printable(f"{entry.line} {entry.line.text}".rstrip()),
    )


def _norm(entry: Entry) -> str:
    n = gradient_norm(entry)
    return "" if n is None else number(n)


def _argument(edge: Edge, names: dict[int, str]) -> str:
    name = names.get(edge.source.index, f"#{edge.source.index}")
    return f"{name}[{edge.number}]" if len(edge.source.results) > 1 else name


def _listed(sources: Sequence[str]) -> str:
    if len(sources) > 4:
        return f"[{sources[0]}, {sources[1]}, … {sources[-1]}]"
    return sources[0] if len(sources) == 1 else f"[{', '.join(sources)}]"


# ---------------------------------------------------------------------- columns of text


def columns_of(text: str) -> int:
    """How many columns of a terminal a text takes: Korean letters take two."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def _aligned(
    heads: Sequence[str], rows: Sequence[Sequence[str]], width: int, right: Sequence[str]
) -> list[str]:
    """Rows below their heads; without what is empty in all, and not wider than `width`."""
    used = [k for k in range(len(heads)) if any(row[k] for row in rows)]
    cells = [[heads[k] for k in used], *([row[k] for k in used] for row in rows)]
    widths = [min(max(map(columns_of, column)), MOST) for column in zip(*cells, strict=True)]
    while sum(widths) + 2 * (len(widths) - 1) > width and max(widths) > 4:
        widths[max(range(len(widths)), key=lambda k: (widths[k], k))] -= 1
    lines = []
    for row in cells:
        made = []
        for k, cell, wide in zip(used, row, widths, strict=True):
            cell = _fitted(cell, wide, at_end=heads[k] in CUT)
            space = " " * (wide - columns_of(cell))
            made.append(space + cell if heads[k] in right else cell + space)
        lines.append("  ".join(made).rstrip())
    return lines


def _fitted(text: str, width: int, *, at_end: bool) -> str:
    letters = min(len(text), width)
    while True:
        if at_end and letters < len(text):
            fitted = f"{text[: letters - 1].rstrip(', ')}…"
        else:
            fitted = shortened(text, letters)
        if columns_of(fitted) <= width:
            return fitted
        letters -= 1
