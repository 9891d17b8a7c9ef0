"""What the page of an exploration holds; ``static/views/explorer.js`` draws it.

Tables are lists, and what occurs often is in a table of its own and told by its number; -1 is none.
So the page of a tape of some thousand nodes stays small.
"""

from __future__ import annotations

import linecache
import os
from collections.abc import Hashable
from typing import Any

import numpy as np

from minigrad.errors.values import told
from minigrad.viz.explorer.explorer_map import map_of
from minigrad.viz.explorer.slopes import Difference
from minigrad.viz.explorer.sources import Rules, rules_of
from minigrad.viz.explorer.step_order import axes_summed
from minigrad.viz.explorer.summaries import Summaries, norm, rounded
from minigrad.viz.explorer.walk import Walk
from minigrad.viz.observing import Line
from minigrad.viz.page import View
from minigrad.viz.reading import Edge, Entry, Saved

AROUND = 3
"""How many lines of the program are shown before a line, and after it."""

UNKNOWN = "the tape does not keep it; within viz.watch() all values are noted"
CHANGED = "it was changed in place since"
"""Why a value is not known: without a watch, and with one."""


def view(walk: Walk) -> View:
    """The view of a walk."""
    return View("explorer", _Writer(walk).data())


class _Writer:
    def __init__(self, walk: Walk) -> None:
        self.walk, self.tape = walk, walk.tape
        self.summaries = Summaries()
        self.summed = {
            summand.edge: summand.gradient for found in walk.summands.values() for summand in found
        }
        self.files: dict[str, dict[str, str]] = {}
        self.lines = _Table()
        self.layers = _Table()
        self.rules = _Table()
        self.reasons = _Table()
        self.known_rules: dict[Any, Rules] = {}

    def data(self) -> dict[str, Any]:
        walk = self.walk
        entries = [self._entry(entry) for entry in self.tape]
        names = list(self.files)
        return {
            "forward": [step.entry.index for step in walk.steps if step.forward],
            "back": [step.entry.index for step in walk.steps if not step.forward],
            "entries": entries,
            "summaries": self.summaries.plain(),
            "files": [
                {"name": os.path.basename(name), "lines": self.files[name]} for name in names
            ],
            "lines": [[names.index(line.file), *line[1:]] for line in self.lines.rows],
            "layers": self.layers.rows,
            "rules": [_plain_rules(rules) for rules in self.rules.rows],
            "reasons": self.reasons.rows,
            "saved": walk.memory.saved,
            "gradients": walk.memory.gradients,
            "leaves": walk.memory.leaves,
            "trouble": self.tape.trouble,
            "unknown": CHANGED if self.tape.watched else UNKNOWN,
            "map": map_of(self.tape),
        }

    def _entry(self, entry: Entry) -> dict[str, Any]:
        layers = [f"{layer.name} ({layer.kind}, call {layer.number + 1})" for layer in entry.layers]
        found: dict[str, Any] = {
            "kind": entry.kind,
            "op": entry.op,
            "name": entry.name,
            "results": [self._result(entry, i) for i in range(len(entry.results))],
            "edges": [self._edge(edge) for edge in entry.edges],
            "options": ", ".join(f"{name}={value}" for name, value in entry.options.items()),
            "saved": [[saved.name, _told(saved), saved.nbytes] for saved in entry.saved],
            "line": -1 if entry.line is None else self._line(entry.line),
            "layers": self.layers.place(" › ".join(layers)) if layers else -1,
            "rules": self._rules(entry),
            "sums": self._sums(entry),
        }
        return {name: value for name, value in found.items() if value not in ("", [], -1)}

    def _result(self, entry: Entry, i: int) -> list[Any]:
        """Its shape, dtype, value and gradient; its finite difference; what was rounded away."""
        result, key = entry.results[i], (entry.index, i)
        found: list[Any] = [
            str(result.shape),
            str(result.dtype),
            self.summaries.add(result.value),
            self.summaries.add(result.gradient),
        ]
        if result.gradient is not None:
            found.append(self._difference(self.walk.slopes.of_whole(key)))
            exact = self.walk.again.gradients.get(key)
            if exact is None or entry in self.walk.slopes.hooked:
                return found
            if result.dtype != exact.dtype and norm(exact) > 0:
                off = norm(result.gradient - exact) / norm(exact)
                found += [rounded(off)] if np.isfinite(off) else []
        return found

    def _edge(self, edge: Edge) -> list[Any]:
        """Its source and the number of the result, the argument, and whether it has a rule.

        Then what the rule gave; its finite difference; and if that was summed, the shape before,
        the axes, and what it was summed to.
        """
        found: list[Any] = [edge.source.index, edge.number, edge.argument, int(edge.has_rule)]
        if not edge.has_rule:
            return found
        found.append(self.summaries.add(edge.gradient))
        found.append(self._difference(self.walk.slopes.of_rule(edge)))
        if edge.gradient is not None and self.summed[edge] is not edge.gradient:
            shape = edge.gradient.shape
            axes = axes_summed(shape, edge.source.results[edge.number].shape)
            found += [str(shape), axes, self.summaries.add(self.summed[edge])]
        return found

    def _difference(self, difference: Difference) -> list[Any]:
        if difference.verdict == "none":
            return ["none", self.reasons.place(difference.why)]
        numbers = (difference.claimed, difference.measured, difference.error)
        return [difference.verdict, *map(rounded, numbers)]

    def _sums(self, entry: Entry) -> list[Any]:
        """Where gradients meet: the result, from where, its norm, the norm of the sum so far."""
        found: list[Any] = []
        for i in range(len(entry.results)):
            summands = self.walk.summands.get((entry.index, i), [])
            if len(summands) < 2:
                continue
            total = None
            for user, edge, gradient in summands:
                total = gradient if total is None else total + gradient
                sizes = rounded(norm(gradient)), rounded(norm(total))
                found.append([i, user.index, edge.argument, *sizes])
        return found

    def _line(self, line: Line) -> int:
        lines = self.files.setdefault(line.file, {})
        for number in range(max(line.number - AROUND, 1), line.number + AROUND + 1):
            text = linecache.getline(line.file, number).rstrip("\n")
            if text:
                lines[str(number)] = text
        return self.lines.place(line)

    def _rules(self, entry: Entry) -> int:
        if entry.node is None or entry.node.plan is None:
            return -1
        plan = entry.node.plan
        if plan not in self.known_rules:
            self.known_rules[plan] = rules_of(plan)
        return self.rules.place(self.known_rules[plan])


class _Table:
    """Rows, each once."""

    def __init__(self) -> None:
        self.rows: list[Any] = []
        self._places: dict[Hashable, int] = {}

    def place(self, row: Hashable) -> int:
        if row not in self._places:
            self._places[row] = len(self.rows)
            self.rows.append(row)
        return self._places[row]


def _plain_rules(rules: Rules) -> dict[str, Any]:
    return {"kind": rules.kind, "rules": list(map(list, rules.rules)), "twin": rules.twin}


def _told(saved: Saved) -> str:
    """What is kept, in words."""
    whose = "" if saved.source is None or saved.name == "out" else f" (#{saved.source.index})"
    return told(saved.value) + whose
