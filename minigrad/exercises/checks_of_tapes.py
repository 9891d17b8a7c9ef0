"""Exercises about the backward pass: the tape, and the derivatives of ops."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.exercises.exercise import Exercise, Program, expect, given, pair, shown


def differences(function: Any, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The gradient of a function of an array, with a number as its value, by finite differences."""
    gradient = np.zeros_like(x)
    for place in np.ndindex(*x.shape):
        step = np.zeros_like(x)
        step[place] = 1e-6
        gradient[place] = (function(x + step) - function(x - step)) / 2e-6
    return gradient


def _accumulation(program: Program) -> None:
    for number in (3.0, -2.0, 0.5):
        expect(f"dy/dx at {number:g}", program.slope(number), 2 * number + 1)
    x = program.Value(3.0)
    y = (x + x) * x * x
    y.backward()
    expect("dy/dx of y = (x + x) * x * x at 3", x.grad, 54)


def _order(program: Program) -> None:
    for number in (1.0, -0.5, 2.0):
        right = (2 * number**2 + 1) * 2 * number
        expect(f"dz/da at {number:g}", program.slope(number), right)
    a = program.Value(2.0)  # here the paths from z back to y have several lengths
    y = a * a
    z = y + y * y * y
    program.backward(z)
    expect("dz/da of z = y + y * y * y, with y = a * a, at 2", a.grad, 196)


def _broadcasting(program: Program) -> None:
    x, b = given(np.arange(12.0).reshape(4, 3)), given(np.arange(3.0))
    g = given(x**2)
    expect("y", program.forward(x, b), x + b)
    dx, db = pair("backward", program.backward(g))
    case = f"with g = {shown(g)}"
    expect("the gradient of x", dx, g, case=case)
    expect("the gradient of b", db, g.sum(0), case=case)


def _transpose(program: Program) -> None:
    rng = np.random.default_rng(1)
    for N, D, H in ((3, 3, 3), (5, 2, 4)):
        x, W, g = (given(rng.standard_normal(shape)) for shape in ((N, D), (H, D), (N, H)))
        case = f"with x of shape {x.shape}, W of shape {W.shape} and g of shape {g.shape}"
        expect("y", program.forward(x, W), x @ W.T, case=case)
        right = differences(lambda W, x=x, g=g: float((x @ W.T * g).sum()), W)
        expect("the gradient of W", program.gradient_of_W(x, g), right, case=case)


def _in_place(program: Program) -> None:
    op, x, g = program.ThreeTanh(), given([0.5, -1.0, 2.0]), given([1.0, 1.0, 4.0])
    case = f"with x = {shown(x)} and g = {shown(g)}"
    expect("y", op.forward(x), 3 * np.tanh(x), case=case)
    expect("the gradient of x", op.backward(g), 3 * g / np.cosh(x) ** 2, case=case)


def _repeated_ids(program: Program) -> None:
    ids, g = given([0, 1, 0, 2, 0]), given(np.arange(10.0).reshape(5, 2))
    right = [g[ids == token].sum(0) for token in range(4)]
    found = program.gradient_of_embedding(ids, g, 4)
    case = f"with the ids {shown(ids)}, 4 words and g = {shown(g)}"
    expect("the gradient of E", found, right, case=case)


EXERCISES = (
    Exercise(
        "accumulation",
        _accumulation,
        (
            "x is used three times: twice in x * x, once in + x. Each use sends a gradient to x.",
            "Print parent.grad at each turn of the last loop. What becomes of the first ones?",
            "The chain rule adds the paths from x to y. The last line of backward sets; it should "
            "add.",
        ),
        ("parent.grad = slope * value.grad", "parent.grad += slope * value.grad"),
        "The chain rule multiplies along each path from x to y, and adds the paths. In minigrad: "
        "`walk` in `minigrad/autograd/tape.py`.",
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
        "A gradient goes on when it is complete: the backward pass goes from the youngest value to "
        "the oldest. In minigrad: `walk` in `minigrad/autograd/tape.py`.",
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
        "What forward repeats, backward sums. In minigrad: `fitted` in "
        "`minigrad/autograd/tape.py`.",
    ),
    Exercise(
        "transpose",
        _transpose,
        (
            "Try x of shape (5, 2), W of shape (4, 2) and so g of shape (5, 4). Which shape comes "
            "out, and which one should?",
            "W[h, d] meets x[n, d], and the result goes to y[n, h]. So its gradient is the sum "
            "over n of g[n, h] * x[n, d].",
            "The first index of the result is that of g: the transpose belongs to g.",
        ),
        ("return x.T @ g", "return g.T @ x"),
        "Square arrays hide a wrong transpose: test with three different lengths. In minigrad: "
        "`linear` in `minigrad/ops/linalg.py`.",
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
        "is an error: `changed_error` in `minigrad/autograd/node.py`.",
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
        "A word's gradient is the sum over all its places. In minigrad: `summed_rows` in "
        "`minigrad/arrays/sums.py`.",
    ),
)
