"""Finite differences beside the gradients: they show a wrong rule, and a wrong gradient.

Two things are compared with central differences, (f(x + h d) - f(x - h d)) / 2h along a random
direction d, in float64 (`again.py`):

the rule
    of each argument of each op. f is the op alone, times the gradient that comes in. It takes a few
    runs of that op, so for all rules together a few forward passes.
the whole gradient
    at each value. f is the root, and all ops between are run again. For N values this takes N
    forward passes, so it is done for leaves first, then from the root on as long as there is time.

An error is |claimed - measured| over the larger of |measured| and the norm of the claimed gradient
(which is what a random direction shows of it). Where the slopes to the two sides differ, however
small the step is, there is a kink or a jump, which no derivative agrees with.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from minigrad.viz.explorer.again import Again, alone
from minigrad.viz.explorer.step_order import Key
from minigrad.viz.reading import Edge, Entry, Numbers

EPS = float(np.finfo(np.float64).eps)
STEP = EPS ** (1 / 3)
"""As in `minigrad.testing.differences`, which says why."""

SMALLER = (1.0, 0.1, 1e-2, 1e-4)
"""Where a function bends or turns within the step, smaller ones are tried."""

LARGER = (10.0, 1e3)
"""And where rounding hides the slope, larger ones."""

BLUR = 100
"""How much larger than the rounding of the results that within a function may be."""

TOLERANCE = 1e-5
"""The error up to which a gradient agrees."""

SECONDS_FOR_RULES, SECONDS_FOR_ALL = 2.0, 1.0
"""How long the comparisons may take; an op that would take longer is left out."""

RUNS = 5
"""Of an op for one comparison, at the usual worst."""


class Difference(NamedTuple):
    """A gradient along a direction, beside its finite difference.

    Attributes
    ----------
    verdict
        ``"agrees"``, ``"differs"``, ``"kink"`` (at a kink or jump of the function, or across one),
        or ``"none"``: it was not measured.
    why
        if not measured, the reason.
    """

    verdict: str
    claimed: float = np.nan
    measured: float = np.nan
    error: float = np.nan
    why: str = ""


class Slopes:
    """The finite differences for a tape.

    Attributes
    ----------
    rules
        for each argument of an op that a gradient goes to: whether its rule is right.
    whole
        for each result that a gradient comes to: whether this is the derivative of the root.
    hooked
        the entries whose gradient a hook may have changed on the way.
    """

    def __init__(self, again: Again) -> None:
        self.again = again
        self.rules: dict[Edge, Difference] = {}
        self.whole: dict[Key, Difference] = {}
        self.hooked: set[Entry] = set()
        if again.trouble:
            return
        self.rng = np.random.default_rng(0)
        for entry in reversed(again.tape.entries):
            if entry.hooked or entry in self.hooked:
                self.hooked.update((entry, *(edge.source for edge in entry.edges)))
        with alone():
            self._rules()
            self._whole()

    def of_rule(self, edge: Edge) -> Difference:
        """Whether the rule for `edge` is right."""
        return self.rules.get(edge) or Difference("none", why=self.again.trouble)

    def of_whole(self, key: Key) -> Difference:
        """Whether the gradient at `key` is the derivative of the root."""
        return self.whole.get(key) or Difference("none", why=self.again.trouble)

    # ------------------------------------------------------------------ one op

    def _rules(self) -> None:
        again, end = self.again, time.perf_counter() + SECONDS_FOR_RULES
        for entry in again.tape:
            g = [again.gradients.get((entry.index, i)) for i in range(len(entry.results))]
            if entry.kind != "op" or all(x is None for x in g):
                continue
            for edge in entry.edges:
                if not edge.has_rule:
                    continue
                if entry in again.draws:
                    why = f"{entry.op} draws random numbers: a second run gives another result"
                    self.rules[edge] = Difference("none", why=why)
                elif time.perf_counter() + RUNS * again.seconds[entry] > end:
                    self.rules[edge] = Difference("none", why="it would take too long")
                else:
                    self.rules[edge] = self._rule(entry, edge, g)

    def _rule(self, entry: Entry, edge: Edge, g: Sequence[Numbers | None]) -> Difference:
        again = self.again
        x = again.values[edge.source.index, edge.number]
        claim = again.passed.get(edge, np.zeros_like(x))

        def at(point: Numbers) -> list[Numbers]:
            return again.results(entry, again.values, (edge.argument, point))

        base = [again.values[entry.index, i] for i in range(len(g))]
        return compare(at, x, claim, base, g, self.rng)

    # ------------------------------------------------------------------ all that is behind a value

    def _whole(self) -> None:
        again, end = self.again, time.perf_counter() + SECONDS_FOR_ALL
        users = again.tape.consumers()
        got = {index for index, _ in again.gradients}
        entries = [entry for entry in again.tape if entry.index in got]
        leaves = [entry for entry in entries if entry.kind != "op"]
        ops = [entry for entry in reversed(entries) if entry.kind == "op"]  # near the root first
        for entry in leaves + ops:
            in_time = time.perf_counter() < end
            behind = _behind(entry, users) if in_time else []
            cost = 2 * len(entry.results) * sum(again.seconds[user] for user in behind)
            in_time = in_time and time.perf_counter() + cost < end
            draws = next((user.op for user in behind if user in again.draws), "")
            rounds = next((user.op for user in behind if user in again.rounds), "")
            for i in range(len(entry.results)):
                key = entry.index, i
                if not in_time:
                    why = "it would take too long to run all ops behind it"
                    self.whole[key] = Difference("none", why=why)
                elif entry in self.hooked:
                    why = "a hook may have changed the gradient on the way"
                    self.whole[key] = Difference("none", why=why)
                elif draws:
                    why = f"{draws}, behind it, draws random numbers"
                    self.whole[key] = Difference("none", why=why)
                elif rounds:
                    why = f"{rounds}, behind it, does not compute in float64"
                    self.whole[key] = Difference("none", why=why)
                elif key in again.gradients:
                    self.whole[key] = self._derivative(key, behind)

    def _derivative(self, key: Key, behind: Sequence[Entry]) -> Difference:
        again = self.again
        root = again.tape.root.index, again.tape.number

        def at(point: Numbers) -> list[Numbers]:
            values = again.values | {key: point}
            for entry in behind:
                for i, y in enumerate(again.results(entry, values)):
                    values[entry.index, i] = y
            return [values[root]]

        x = again.values[key]
        return compare(at, x, again.gradients[key], [again.values[root]], [again.start], self.rng)


def _behind(entry: Entry, users: Sequence[Sequence[Entry]]) -> list[Entry]:
    """The ops that depend on `entry`, oldest first."""
    found, stack = {entry}, [entry]
    while stack:
        for user in users[stack.pop().index]:
            if user not in found:
                found.add(user)
                stack.append(user)
    return sorted(found - {entry}, key=lambda one: one.index)


def compare(
    at: Callable[[Numbers], Sequence[Numbers]],
    x: Numbers,
    claim: Numbers,
    base: Sequence[Numbers],
    g: Sequence[Numbers | None],
    rng: np.random.Generator,
) -> Difference:
    """The derivative of sum(g * at(x)) that is claimed, beside the measured one.

    Parameters
    ----------
    base
        ``at(x)``.
    g
        a weight for each result, or None.
    """
    if x.dtype.kind != "f" or x.dtype != np.float64 or any(y.dtype != np.float64 for y in base):
        return Difference("none", why="it is not computed in float64 all the way")
    if not np.isfinite(x).all():
        return Difference("none", why="a value is not finite")
    try:
        return _compared(at, x, claim, base, g, rng)
    except Exception as error:  # an op of the user's, which may refuse what is beside its input
        return Difference("none", why=f"it cannot run beside this value: {error}")


def _compared(
    at: Callable[[Numbers], Sequence[Numbers]],
    x: Numbers,
    claim: Numbers,
    base: Sequence[Numbers],
    g: Sequence[Numbers | None],
    rng: np.random.Generator,
) -> Difference:
    direction = rng.standard_normal(x.shape)
    h = STEP * max(1.0, float(np.sqrt(np.mean(x * x))) if x.size else 0.0)
    claimed, size = float(np.sum(claim * direction)), float(np.sqrt(np.sum(claim * claim)))
    used = [(w, y) for w, y in zip(g, base, strict=True) if w is not None]
    weight = sum(float(np.sum(np.abs(_times(w, y)))) for w, y in used)

    def change(above: Sequence[Numbers], below: Sequence[Numbers]) -> float:
        """How much sum(g * y) rises."""
        return sum(
            float(np.sum(_times(w, p - m)))
            for w, p, m in zip(g, above, below, strict=True)
            if w is not None
        )

    best, blurred = Difference("differs", claimed), False
    for factor in (*SMALLER, *LARGER):
        if factor > 1 and not blurred:
            break
        if factor < 1 and blurred:  # a smaller step would only show more rounding
            continue
        step = factor * h
        slope = change(at(x + step * direction), at(x - step * direction)) / (2 * step)
        if not np.isfinite(slope + claimed):
            continue
        scale = max(abs(slope), size)
        error = abs(slope - claimed) / scale if scale else 0.0
        if error <= TOLERANCE:
            return Difference("agrees", claimed, slope, error)
        if not error >= best.error:
            best = Difference("differs", claimed, slope, error)
        blurred = EPS * weight / step > TOLERANCE * scale
    if np.isnan(best.error):
        return Difference("none", claimed, why="it is not finite")
    if blurred and abs(best.measured - claimed) <= BLUR * EPS * weight / h:
        return Difference("none", claimed, why="it is too small beside the values to be measured")
    bends = [
        abs(change(at(x + s * direction), base) - change(base, at(x - s * direction))) / s
        for s in (h, h / 2)
    ]
    scale = max(abs(best.measured), size)
    kink = bends[1] > 0.75 * bends[0] and bends[1] > TOLERANCE * scale + 10 * EPS * weight / h
    return best._replace(verdict="kink") if kink else best


def _times(w: Numbers, y: Numbers) -> Numbers:
    """Their product, 0 where `w` is 0 whatever `y` is."""
    return np.where(w == 0, 0.0, w * y)
