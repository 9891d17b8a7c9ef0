"""Why a derivative is wrong, as far as its numbers show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def likely_cause(
    a: Array, n: Array, wrong: Array, x: Array, output_shapes: Sequence[tuple[int, ...]]
) -> str:
    """Why the derivatives `a` with respect to `x` are not `n`; "" if no cause fits.

    Parameters
    ----------
    a, n
        the derivatives, and what finite differences give.
    wrong
        where they disagree.
    x
        the argument.
    output_shapes
        the shapes of the function's outputs.
    """

    def same(x: Array, y: Array) -> bool:
        return bool(np.allclose(x, y, rtol=1e-5, atol=1e-6 * np.abs(n).max(initial=1e-300)))

    if np.isnan(a).any():
        return "the derivative is NaN"
    if not np.isfinite(a).all():
        return "the derivative is infinite"
    if same(a, n):
        return ""
    if not a.any():
        return "the derivative is zero: is the argument cut off from the tape, or its rule wrong?"
    if same(-a, n):
        return "the sign is flipped"
    if a.ndim == 2 and a.shape[0] == a.shape[1] and same(a.T, n):
        return "it is transposed"
    for axis in range(a.ndim):
        if same(np.flip(a, axis), n):
            return f"it is the wrong way round along axis {axis}"
    if (x < 0).any() and (x > 0).any() and np.array_equal(wrong, x < 0):
        return "it is wrong only where the argument is negative"
    factor = float(np.vdot(a, n) / np.vdot(a, a))
    if not same(a * factor, n) or factor == 0:
        return ""
    lengths = {m for shape in output_shapes for m in (*shape, math.prod(shape)) if m > 1}
    stretched = any(math.prod(shape) > n.size for shape in output_shapes)
    if stretched and any(math.isclose(factor, m, rel_tol=1e-4) for m in lengths):
        return f"a sum over a broadcast axis of length {round(factor)} is missing"
    return f"it is off by a constant factor: it should be {factor:.6g} times as large"


def kink(slopes: Any, direction: Array, h: float, used: Array) -> str:
    """What to say if the function has a kink or a jump at this number; "" if it has none."""

    def sides(h: float) -> tuple[float, float]:
        points = (slopes.original + k * h * direction for k in (-1, 0, 1))
        below, here, above = (
            sum(u * float(np.sum(w * y)) for u, w, y in zip(used, slopes.weights, ys, strict=True))
            for ys in map(slopes.at, points)
        )
        return (here - below) / h, (above - here) / h

    (left, right), (nearer_left, nearer_right) = sides(h / 10), sides(h / 1000)
    apart, nearer = right - left, nearer_right - nearer_left
    if not math.isfinite(apart + nearer):
        return ""
    if abs(apart) > 1e-3 * max(abs(left), abs(right)) and math.isclose(apart, nearer, rel_tol=0.05):
        return (
            f"the function has a kink at this number: its slope is {left:.6g} below it and "
            f"{right:.6g} above, so no derivative can be checked there; choose another number"
        )
    if abs(nearer_left + nearer_right) > 30 * abs(left + right) > 0:
        return (
            "the function jumps at this number, so no derivative can be checked there; choose "
            "another number"
        )
    return ""


def not_linear(one: Array, other: Array, factor: float) -> str:
    """What to say of a derivative that is `one` for some g, but `other` for `factor` times g."""
    text = "the derivative is not linear in g, the gradient that came in"
    if np.allclose(other, factor * one, rtol=1e-5, atol=0):
        return f"{text}: a rule rounds to a smaller dtype on the way"
    if np.allclose(other, -factor * one):
        return f"{text}: it is the same for -g, as of |g|"
    if np.allclose(other, factor**2 * one):
        return f"{text}: it grows with its square"
    if np.all((one == 0) | (other == 0)):
        return f"{text}: it is zero for one sign of g, as of relu(g)"
    return f"{text}: for {factor} times g it is not {factor} times as large"
