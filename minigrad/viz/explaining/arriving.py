"""What there is to say of the numbers of a gradient that arrives."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace
from typing import Any

import numpy as np

from minigrad.viz.explaining.case import Case
from minigrad.viz.explaining.findings import MOST, Finding, shortened
from minigrad.viz.explaining.lost import cut_on_the_way
from minigrad.viz.explaining.reasons import why_less, why_not_finite, why_not_finite_back
from minigrad.viz.explaining.ways import behind, came, norm, share_of_zeros, to, typical, uses
from minigrad.viz.observing import Line
from minigrad.viz.reading import Edge, Entry, Tape

SMALL, LARGE = 1e-4, 1e4
"""A gradient is called small or huge if its typical element is less or more than so many times that
of the gradient which it comes from."""


def look_at(case: Case, entry: Entry, number: int, g: Any, tape: Tape) -> str:
    """What there is to say of a gradient that arrives."""
    _not_finite(case, tape)
    if not np.isfinite(g).all():
        kind = "NaN" if np.isnan(g).any() else "infinite"
        return f"is {kind} in {int((~np.isfinite(g)).sum())} of {g.size} elements"
    if not g.any():
        _zero(case, entry, number, tape)
        return "is zero"
    ratio = typical(g) / (typical(tape.root.results[tape.number].gradient) or 1.0)
    if not SMALL <= ratio <= LARGE:
        _on_the_way(case, entry, number, tape, ratio < 1)
        return f"is {'small' if ratio < 1 else 'huge'}: its norm is {norm(g):.3g}"
    dead = share_of_zeros(g)
    rest = f"; {dead:.3g} % of its elements are 0" if dead >= 1 else ""
    if dead >= 1:
        case.findings += _dead(case, entry, number, g, tape)
    cut_on_the_way(case)
    case.findings[:] = shortened(case.findings)
    if not case.findings and not rest:
        case.tell("nothing on its way is unusual")
    return f"has the norm {norm(g):.3g}{rest}"


def _dead(case: Case, entry: Entry, number: int, g: Any, tape: Tape) -> list[Finding]:
    """Why some elements of a gradient are 0: the ops that use the tensor, or those behind."""
    direct = [  # of several lookups, the rows that none of them took
        (op, replace(edge, gradient=g) if op.op == "embedding" else edge)
        for op, edge in to(entry, tape)
    ]
    others = [
        (op, edge)
        for op, edge in behind(entry, number, tape)
        if any(share_of_zeros(g) < share_of_zeros(edge.gradient) for g in came(op))
    ]
    for edges in (direct, others):
        told = [
            Finding(f"{op.op}: {reason}", op.line)
            for op, edge in edges
            if (reason := why_less(op, edge))
        ]
        if told:
            return told
    return []


def _not_finite(case: Case, tape: Tape) -> None:
    """The first value, or else the first gradient, that is not finite."""
    for entry in tape:
        values = [r.value for r in entry.results if r.value is not None]
        if all(np.isfinite(v).all() for v in values):
            continue
        sources = [e.source.results[e.number].value for e in entry.edges]
        if entry.kind != "op":
            case.tell(f"{entry.name or 'an input'} is not finite itself")
            return
        if all(v is None or np.isfinite(v).all() for v in sources):
            reason = why_not_finite(entry)
            case.tell(
                f"the first value that is not finite is made by {entry.op}"
                + (f": {reason}" if reason else ""),
                entry.line,
            )
            return
    start = tape.root.results[tape.number].gradient
    if start is not None and not np.isfinite(start).all():
        case.tell("the gradient at the start of the walk is not finite itself")
        return
    for entry in reversed(tape.entries):
        came = [r.gradient for r in entry.results if r.gradient is not None]
        if not came or not all(np.isfinite(g).all() for g in came):
            continue
        for edge in entry.edges:
            if edge.gradient is not None and not np.isfinite(edge.gradient).all():
                reason = why_not_finite_back(entry, edge)
                case.tell(
                    f"all values are finite; on the way back {entry.op} is the first that "
                    f"passes on what is not, to its {edge.argument}"
                    + (f": {reason}" if reason else ""),
                    entry.line,
                )
                return


def _zero(case: Case, entry: Entry, number: int, tape: Tape) -> None:
    """Where on the way from the loss a gradient that is not zero becomes zero."""
    stops = []
    for op, edge in behind(entry, number, tape):
        if any(g.any() for g in came(op)) and (edge.gradient is None or not edge.gradient.any()):
            reason = why_less(op, edge)
            stops.append(
                Finding(f"{op.op} passes on zero" + (f": {reason}" if reason else ""), op.line)
            )
    for e in (entry, *(op for op, _ in behind(entry, number, tape))):
        stops += _cancelled(case, e, tape)
    root = tape.root.results[tape.number].gradient
    if root is not None and not root.any():
        case.tell("the gradient at the start of the walk is zero itself")
    case.findings += shortened(stops)


def _cancelled(case: Case, entry: Entry, tape: Tape) -> list[Finding]:
    """Whether gradients come to `entry` that are not zero, but their sum is."""
    came = [edge.gradient for _, edge in to(entry, tape) if edge.gradient is not None]
    gradients = [r.gradient for r in entry.results if r.gradient is not None]
    if not any(g.any() for g in came) or any(g.any() for g in gradients) or not gradients:
        return []
    what = f"of {entry.op}" if entry.kind == "op" else f"of {entry.name or 'the input'}"
    if entry.hooked:
        return [Finding(f"a hook makes the gradient {what} zero", entry.line)]
    return [Finding(f"the gradients {what} are not zero, but their sum is", entry.line)]


def _on_the_way(case: Case, entry: Entry, number: int, tape: Tape, falls: bool) -> None:
    """Which ops make the gradient small or large, on the way on which most of it comes."""
    factors: dict[tuple[str, Line | None], list[tuple[float, Entry, Edge]]] = defaultdict(list)
    consumers = uses(tape)
    at, n = entry, number
    while (users := consumers[at.index, n]) and at is not tape.root:
        op, edge = max(users, key=lambda use: typical(use[1].gradient))
        came = max((typical(r.gradient) for r in op.results), default=0.0)
        if came > 0 and edge.gradient is not None:
            factors[op.op, op.line].append((typical(edge.gradient) / came, op, edge))
        at = op
        n = max(range(len(op.results)), key=lambda i: typical(op.results[i].gradient))
    totals = {
        key: math.exp(math.fsum(math.log(max(f, 1e-300)) for f, _, _ in items))
        for key, items in factors.items()
    }
    for key in sorted(totals, key=totals.__getitem__, reverse=not falls)[:MOST]:
        total, items = totals[key], factors[key]
        if (total > 0.5) if falls else (total < 2):
            break
        times = f", {len(items)} times" if len(items) > 1 else ""
        worst = (min if falls else max)(items, key=lambda item: item[0])
        reason = why_less(worst[1], worst[2]) if falls else ""
        case.tell(
            f"{key[0]}{times}: a factor of {total:.2g} in all" + (f"; {reason}" if reason else ""),
            key[1],
        )
