"""Exercises about the backward pass: the tape, and the derivatives of ops."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.exercises.exercise import Exercise, Program, WrongError, expect


def near(found: Any, right: Any) -> bool:
    """Whether two numbers or arrays are the same, but for rounding."""
    found, right = np.asarray(found, float), np.asarray(right, float)
    return found.shape == right.shape and bool(np.allclose(found, right, rtol=1e-5, atol=1e-7))


def differences(function: Any, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The gradient of a function of an array, with a number as its value, by finite differences."""
    gradient = np.zeros_like(x)
    for place in np.ndindex(*x.shape):
        step = np.zeros_like(x)
        step[place] = 1e-6
        gradient[place] = (function(x + step) - function(x - step)) / 2e-6
    return gradient


def _accumulation(program: Program) -> None:
    for x in (3.0, -2.0, 0.5):
        expect(f"dy/dx at {x:g}", program.slope(x), 2 * x + 1, near)


def _order(program: Program) -> None:
    for a in (1.0, -0.5, 2.0):
        expect(f"dz/da at {a:g}", program.slope(a), (2 * a * a + 1) * 2 * a, near)


def _broadcasting(program: Program) -> None:
    g = np.arange(12.0).reshape(4, 3)
    dx, db = program.backward(g)
    expect("the gradient of x", dx.tolist(), g.tolist(), near)
    expect("the shape of the gradient of b", np.shape(db), (3,), lambda a, b: a == b)
    expect("the gradient of b", db.tolist(), g.sum(0).tolist(), near)


def _transpose(program: Program) -> None:
    rng = np.random.default_rng(1)
    for N, D, H in ((3, 3, 3), (5, 2, 4)):
        x, W, g = (rng.standard_normal(shape) for shape in ((N, D), (H, D), (N, H)))
        right = differences(lambda W, x=x, g=g: float((program.forward(x, W) * g).sum()), W)
        found = program.gradient_of_W(x, g)
        if np.shape(found) != W.shape or not np.allclose(found, right, atol=1e-5):
            raise WrongError(
                f"with x of shape {x.shape} and W of shape {W.shape} the gradient of W is not the "
                "one of finite differences"
            )


def _in_place(program: Program) -> None:
    op, x = program.ThreeTanh(), np.array([0.5, -1.0])
    expect("y", op.forward(x).tolist(), (3 * np.tanh(x)).tolist(), near)
    found = op.backward(np.ones(2))
    expect("dy/dx", found.tolist(), (3 / np.cosh(x) ** 2).tolist(), near)


def _repeated_ids(program: Program) -> None:
    ids, g = np.array([0, 1, 0, 2, 0]), np.arange(10.0).reshape(5, 2)
    right = np.stack([g[ids == token].sum(0) for token in range(4)])
    expect("the gradient of E", program.gradient_of_embedding(ids, g, 4).tolist(), right, near)


EXERCISES = (
    Exercise(
        "accumulation",
        _accumulation,
        (
            "x is used three times: twice in x * x, once in + x. Each use sends a gradient to x.",
            "Print parent.grad at each turn of the last loop. What becomes of the first ones?",
            "The chain rule adds the ways from y to x. The last line sets; it should add.",
        ),
        ("parent.grad = slope * value.grad", "parent.grad += slope * value.grad"),
        "A gradient is the sum over all ways. In minigrad: `minigrad/autograd/tape.py`.",
    ),
    Exercise(
        "order",
        _order,
        (
            "y is used three times in z. When is y's gradient complete?",
            "The loop sends y's gradient on to a each time that y is taken from `waiting`: also "
            "when only a part of it has come, and that part again with the next one.",
            "Each value must wait until all that use it are done: go through sorted_from(value) "
            "from its end, once.",
        ),
        (
            "    waiting = [value]\n    while waiting:\n        each = waiting.pop()\n"
            "        for parent, slope in each.parents:\n"
            "            parent.grad += slope * each.grad\n            waiting.append(parent)\n",
            "    for each in reversed(sorted_from(value)):\n"
            "        for parent, slope in each.parents:\n"
            "            parent.grad += slope * each.grad\n",
        ),
        "The backward pass goes through the graph in the order in which it was made, backwards. In "
        "minigrad: `minigrad/autograd/tape.py`.",
    ),
    Exercise(
        "broadcasting",
        _broadcasting,
        (
            "How many numbers of y does b[0] change?",
            "b[0] is added in each of the N rows, so it gets a gradient from each of them.",
            "The gradient of b is the sum of g over the rows: over axis 0.",
        ),
        ("    return g, g\n", "    return g, g.sum(0)\n"),
        "What forward repeats, backward sums. In minigrad: `minigrad/autograd/record.py`.",
    ),
    Exercise(
        "transpose",
        _transpose,
        (
            "Try x of shape (5, 2) and W of shape (4, 2). Which shape comes out?",
            "W[h, d] meets x[n, d], and the result goes to y[n, h]. So its gradient is the sum "
            "over n of g[n, h] * x[n, d].",
            "The first index of the result is that of g: the transpose belongs to g.",
        ),
        ("return x.T @ g", "return g.T @ x"),
        "Square arrays hide a wrong transpose: test with three different lengths. In minigrad: "
        "`minigrad/ops/linalg.py`.",
    ),
    Exercise(
        "in_place",
        _in_place,
        (
            "Print self.tanh after forward. Is it tanh(0.5) = 0.462?",
            "`y = self.tanh` does not copy: y and self.tanh are one array with two names.",
            "`y *= 3` changes that array. `y = y * 3` makes a new one.",
        ),
        ("        y *= 3\n", "        y = y * 3\n"),
        "What backward needs must stay as it was. In minigrad a change in place of a saved value "
        "is an error: `minigrad/autograd/node.py`.",
    ),
    Exercise(
        "repeated_ids",
        _repeated_ids,
        (
            "Which rows does `dE[ids] += g` write to, and how often to row 0?",
            "NumPy reads dE[ids], adds g, and writes back: of several rows for one id the last "
            "stays.",
            "np.add.at(dE, ids, g) adds each of them.",
        ),
        ("    dE[ids] += g\n", "    np.add.at(dE, ids, g)\n"),
        "A word's gradient is the sum over all its places. In minigrad: `minigrad/ops/neural.py`.",
    ),
)
