"""Why an op passes on a gradient that is zero, small, large or not finite: said in words.

Each function looks at one op and one of its arguments, with the numbers that went through it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minigrad.viz.reading import Edge, Entry, Numbers

SATURATED = 0.99
"""A tanh is called saturated where its absolute value is larger; a sigmoid, where it is within half
of the rest of 0 or 1: below 0.005 or above 0.995, the same places of the curve."""

Reason = Callable[[Entry, Edge], str]


def share(mask: Numbers) -> str:
    """``"37 % of its 64 elements"``."""
    percent = 100 * float(np.mean(mask)) if mask.size else 0.0
    return f"{percent:.3g} % of its {mask.size} elements"


def _argument(entry: Entry, name: str) -> Numbers | None:
    """The value of an argument, if it is known."""
    for edge in entry.edges:
        if edge.argument == name:
            return edge.source.results[edge.number].value
    return None


def _tanh(entry: Entry, edge: Edge) -> str:
    out = entry.result.value
    if out is None or not (np.abs(out) > SATURATED).any():
        return ""
    return f"it is saturated: |tanh| is above {SATURATED} in {share(np.abs(out) > SATURATED)}"


def _sigmoid(entry: Entry, edge: Edge) -> str:
    out = entry.result.value
    if out is None:
        return ""
    edges = (out < (1 - SATURATED) / 2) | (out > (1 + SATURATED) / 2)
    return f"it is saturated: near 0 or 1 in {share(edges)}" if edges.any() else ""


def _relu(entry: Entry, edge: Edge) -> str:
    out = entry.result.value
    if out is None or (out > 0).all():
        return ""
    return f"its argument is not positive in {share(out <= 0)}, which are dead there"


def _multiply(entry: Entry, edge: Edge) -> str:
    name = "x2" if edge.argument == "x1" else "x1"
    other = _argument(entry, name)
    if entry.options.get(name) in ("0", "0.0"):
        return "the other factor is 0"
    if other is None or other.size == 0 or not (other == 0).any():
        return ""
    return f"the other factor is 0 in {share(other == 0)}"


def _selection(entry: Entry, edge: Edge) -> str:
    if edge.gradient is None:
        return ""
    return f"it takes other elements: {share(edge.gradient == 0)} of this argument get none"


def _embedding(entry: Entry, edge: Edge) -> str:
    if edge.gradient is None or edge.gradient.ndim != 2:
        return ""
    unused = ~edge.gradient.any(axis=1)
    if not unused.any():
        return ""
    return f"{int(unused.sum())} of its {unused.size} rows were not looked up"


def _recurrent(entry: Entry, edge: Edge) -> str:
    out = entry.result.value
    if out is None or not (np.abs(out) > SATURATED).any():
        return "" if entry.op == "rnn" else "a layer with unroll=True would show its gates"
    large = share(np.abs(out) > SATURATED)
    return f"its outputs are saturated: |h| is above {SATURATED} in {large}"


def _joined(entry: Entry, edge: Edge) -> str:
    g, d = entry.result.gradient, edge.gradient
    if g is None or d is None or np.sum(d * d) * g.size >= np.sum(g * g) * d.size / 4:
        return ""
    return "it passes on this part as it came: less comes to it here than at its other parts"


ZERO: dict[str, Reason] = {
    "concatenate": _joined,
    "stack": _joined,
    "tanh": _tanh,
    "sigmoid": _sigmoid,
    "relu": _relu,
    "multiply": _multiply,
    "where": _selection,
    "maximum": _selection,
    "minimum": _selection,
    "max": _selection,
    "min": _selection,
    "clip": _selection,
    "getitem": _selection,
    "take": _selection,
    "embedding": _embedding,
    "rnn": _recurrent,
    "lstm": _recurrent,
    "gru": _recurrent,
}
"""For some ops why what they pass on is zero or small."""


def why_less(entry: Entry, edge: Edge) -> str:
    """Why `entry` passes on less than what comes in, or nothing; empty if it is not known."""
    return ZERO[entry.op](entry, edge) if entry.op in ZERO else ""


# ------------------------------------------------------------------------------- not finite


def _count(mask: Numbers) -> str:
    return f"{int(mask.sum())} of {mask.size}"


def _domain(entry: Entry) -> str:
    """Where an argument is outside the domain of a function."""
    bad: dict[str, tuple[str, Callable[[Numbers], Numbers], str]] = {
        "log": ("x", lambda x: x <= 0, "0 or negative"),
        "log2": ("x", lambda x: x <= 0, "0 or negative"),
        "log10": ("x", lambda x: x <= 0, "0 or negative"),
        "log1p": ("x", lambda x: x <= -1, "-1 or less"),
        "sqrt": ("x", lambda x: x < 0, "negative"),
        "divide": ("x2", lambda x: x == 0, "0"),
        "arctanh": ("x", lambda x: np.abs(x) >= 1, "-1, 1 or beyond"),
        "arcsin": ("x", lambda x: np.abs(x) > 1, "beyond -1 or 1"),
        "arccos": ("x", lambda x: np.abs(x) > 1, "beyond -1 or 1"),
    }
    if entry.op not in bad:
        return ""
    name, is_bad, words = bad[entry.op]
    x = _argument(entry, name)
    if x is None or not is_bad(x).any():
        return ""
    return f"{name} is {words} in {_count(is_bad(x))} elements"


def why_not_finite(entry: Entry) -> str:
    """Why the result of `entry` is not finite though its arguments are; empty if not known."""
    if domain := _domain(entry):
        return domain
    out = entry.result.value
    if out is not None and np.isinf(out).any():
        return f"it overflows: {out.dtype} ends at {np.finfo(out.dtype).max:.3g}"
    return ""


def why_not_finite_back(entry: Entry, edge: Edge) -> str:
    """Why a gradient that `entry` passes on is not finite though what came in is."""
    g, d = entry.result.gradient, edge.gradient
    if g is None or d is None:
        return ""
    x = edge.source.results[edge.number].value
    if g.shape == d.shape and np.isnan(d[g == 0]).any():
        at = ""
        if x is not None and x.shape == d.shape:
            at = f" at {edge.argument} = {x[(g == 0) & np.isnan(d)].flat[0]:.4g}"
        return (
            "0 times infinity: the gradient that comes in is 0 where the derivative is "
            f"infinite{at}"
        )
    if x is not None and x.shape == d.shape:
        values = x[~np.isfinite(d)]
        return f"its derivative is infinite at {edge.argument} = {values.flat[0]:.4g}"
    return ""
