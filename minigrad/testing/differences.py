"""Comparison of a derivative with finite differences.

Everything is in float64, with central differences: (f(x + h) - f(x - h)) / 2h is f'(x) with an
error of about h^2 f'''(x) / 6, and rounding adds about 1e-16 |f| / h. The step h = 6e-6 max(1,
|x|), the cube root of the rounding unit, is good for most functions (Press et al., Numerical
Recipes, section 5.7). A derivative `a` agrees with the difference `n` if

    |a - n| <= rtol max(|a|, |n|) + atol,    with rtol = 1e-6 and atol = 1e-9.

If it does not, the reason may be the step: log(x) at 0.001 bends too much within it, sin(x) at
10,000 turns within it, relu(x) at 1e-7 has its kink within it. So steps from ten times to a billion
times smaller are tried before an error is raised, and larger steps where rounding spoils the small
ones. Each step is taken once whole and once halved. This gives a better slope (Richardson's), and
shows how exact it is: only a slope that is exact to 10 rtol counts. So an error of one part in
10,000 fails with every step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from minigrad.tensor import Tensor
from minigrad.testing.causes import kink, likely_cause

Array = np.ndarray[Any, Any]

EPS = float(np.finfo(np.float64).eps)
STEP = EPS ** (1 / 3)
SMALLER = (1.0, *[10.0**-k for k in range(1, 10)])
LARGER = (10.0, 100.0, 1000.0)
OF_LARGEST = 1e-7
"""A slope below this part of the argument's largest slope may be too small to measure."""
SMALL = 100
"""Up to this many elements, each element is checked alone; in larger arguments, groups are."""
GROUPS = 10


class GradientError(AssertionError):
    """A derivative disagrees with finite differences; the text says where, and why if known."""


class Limits(NamedTuple):
    """How exact a derivative must be, and the only step to take (None: steps that fit)."""

    rtol: float = 1e-6
    atol: float = 1e-9
    step: float | None = None

    def allowed(self, a: Any, n: Any) -> Any:
        return self.rtol * np.maximum(np.abs(a), np.abs(n)) + self.atol


class Claim(NamedTuple):
    """A derivative of a sum of outputs, each times its weight."""

    derivative: Array
    used: Array  # 1.0 for an output in the sum, otherwise 0.0
    name: str  # for messages


class Slopes:
    """The slopes of a function's weighted outputs along directions of one argument."""

    def __init__(
        self, value: Callable[[], Sequence[Array]], x: Tensor, weights: Sequence[Array]
    ) -> None:
        self.value, self.x, self.weights, self.original = value, x, weights, x.numpy()

    def at(self, point: Array) -> Sequence[Array]:
        """The outputs with `point` as the argument."""
        self.x.data = point
        outputs = self.value()
        self.x.data = self.original
        return outputs

    def central(self, direction: Array, h: float) -> list[float]:
        """The slope of each output."""
        above = self.at(self.original + h * direction)
        below = self.at(self.original - h * direction)
        return [
            float(np.sum(w * (p - m))) / (2 * h)
            for w, p, m in zip(self.weights, above, below, strict=True)
        ]

    def gap(
        self, claim: Claim, direction: Array, h: float, moved: Sequence[Array]
    ) -> tuple[float, float, float]:
        """The slope minus the claim, the claim along the direction, and the error of rounding."""
        forward, back = self.original + h * direction, self.original - h * direction
        taken = (forward - back) / (2 * h)  # `direction`, except for rounding
        claimed = float(np.sum(claim.derivative * taken, where=taken != 0))
        slope = noise = 0.0
        pairs = zip(self.at(forward), self.at(back), strict=True)
        for (p, m), w, u, where in zip(pairs, self.weights, claim.used, moved, strict=True):
            slope += u * float(np.sum(w * (p - m))) / (2 * h)
            noise += u * float(np.sum(np.abs(w * p), where=where)) * EPS / (2 * h)
        return slope - claimed, claimed, noise

    def settle(
        self, direction: Array, h: float, claim: Claim, largest: float, limits: Limits
    ) -> tuple[bool, float]:
        """Whether a claim holds along `direction`, with the step `h` or another; the best slope."""
        far = LARGER[-1] * h * direction
        ends = zip(self.at(self.original + far), self.at(self.original - far), strict=True)
        moved = [p != m for p, m in ends]
        if not any(where.any() for where in moved):  # outputs may be too large to move
            moved = [where | True for where in moved]
        unseen = OF_LARGEST * largest
        holds = fair = trusted = False
        best, slope = math.inf, math.nan
        for factor in SMALLER + LARGER:
            if factor > 1 and (trusted or fair):
                break
            whole, _, _ = self.gap(claim, direction, factor * h, moved)
            half, claimed, noise = self.gap(claim, direction, factor * h / 2, moved)
            error = abs(half - whole) + noise
            gap = half + (half - whole) / 3  # the terms in h^2 cancel
            if not math.isfinite(gap + error):
                continue
            allowed = limits.allowed(claimed, claimed + gap)
            if error <= 10 * allowed + unseen:
                trusted = True
                holds = holds or abs(gap) <= allowed + error
            if error < best:
                best, slope, fair = error, claimed + gap, abs(gap) <= allowed + unseen
        return holds if trusted else fair, slope


def compare(
    slopes: Slopes, claims: Sequence[Claim], what: str, rng: np.random.Generator, limits: Limits
) -> None:
    """Raise a GradientError unless finite differences agree with each claim."""
    with np.errstate(all="ignore"):  # numbers that are not finite are handled below
        _compare(slopes, claims, what, rng, limits)


def _compare(
    slopes: Slopes, claims: Sequence[Claim], what: str, rng: np.random.Generator, limits: Limits
) -> None:
    x = slopes.original
    directions, steps = _directions(x, claims[0].derivative, rng, limits)
    measured = [slopes.central(d, h) for d, h in zip(directions, steps, strict=True)]
    for claim in claims if directions else ():
        n = np.array(measured) @ claim.used
        a = claim.derivative.ravel()
        if x.size > SMALL:
            a = np.array([np.sum(claim.derivative * d, where=d != 0) for d in directions])
        wrong = ~(np.abs(a - n) <= limits.allowed(a, n))
        if not wrong.any():
            continue
        largest = min(np.abs(y).max(initial=0.0, where=np.isfinite(y)) for y in (a, n))
        for i in np.flatnonzero(wrong & np.isfinite(a)):
            if limits.step is None:
                holds, n[i] = slopes.settle(directions[i], steps[i], claim, largest, limits)
            else:
                holds = abs(a[i] - n[i]) <= limits.allowed(a[i], n[i]) + OF_LARGEST * largest
            wrong[i] = not holds
        if wrong.any():
            _complain(slopes, claim, directions, steps, (a, n, wrong), what)


def _directions(
    x: Array, derivative: Array, rng: np.random.Generator, limits: Limits
) -> tuple[list[Array], list[float]]:
    """The directions to go from `x`, and the steps: one for each element, or for groups of them.

    In a group each element moves in proportion to its own size. Elements that contribute equally
    are in the same group, so that a small contribution is not lost beside a large one.
    """
    if x.size <= SMALL:
        directions = list(np.eye(x.size).reshape(-1, *x.shape)) if x.size else []
        sizes = np.maximum(np.abs(x), 1.0).ravel()
        return directions, [STEP * s if limits.step is None else limits.step for s in sizes]
    sizes = np.maximum(np.abs(x), 0.01) if limits.step is None else np.ones(x.shape)
    sizes = sizes * rng.choice([-1.0, 1.0], x.shape) * rng.uniform(0.5, 1, x.shape)
    order = np.argsort(np.abs(derivative * sizes).ravel(), kind="stable")
    directions = []
    for group in np.array_split(order, GROUPS):
        directions.append(np.zeros(x.shape))
        directions[-1].flat[group] = sizes.flat[group]
    return directions, [STEP if limits.step is None else limits.step] * GROUPS


def _complain(
    slopes: Slopes,
    claim: Claim,
    directions: Sequence[Array],
    steps: Sequence[float],
    found: tuple[Array, Array, Array],
    what: str,
) -> None:
    """Raise the GradientError for the worst of the `wrong` slopes."""
    a, n, wrong = found
    x = slopes.original
    finite = np.isfinite(a - n)
    worst = int(np.argmax(np.where(wrong, np.where(finite, np.abs(a - n), np.inf), -1.0)))
    at = ""
    if x.size > SMALL:
        what += ", along a random direction"
    elif x.ndim:
        at = f" at {tuple(int(i) for i in np.unravel_index(worst, x.shape))}"
    text = f"{what}{claim.name}: derivative {a[worst]:.10g}{at}"
    if not np.isfinite(n[worst]) and np.isfinite(a[worst]):
        raise GradientError(
            f"{text}, but finite differences are not finite, with any step; choose numbers inside "
            "the function's domain"
        )
    text += f", by finite differences {n[worst]:.10g}"
    cause = kink(slopes, directions[worst], steps[worst], claim.used)
    if not cause and x.size <= SMALL:
        shapes = [w.shape for w, u in zip(slopes.weights, claim.used, strict=True) if u]
        a, n, wrong = (y.reshape(x.shape) for y in (a, n, wrong))
        cause = likely_cause(a, n, wrong, x, shapes)
    elif not cause:
        cause = likely_cause(a, n, wrong, np.abs(n), [])
    raise GradientError(f"{text}; {cause}" if cause else text)
