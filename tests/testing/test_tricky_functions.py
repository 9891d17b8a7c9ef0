"""Right functions at numbers where one step does not suit all: the checker must not complain.

And it must still see a derivative that is off by one part in ten thousand there.
"""
# ruff: noqa: E501 (tables, a line each)

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.testing import GradientError, check_gradients

pytestmark = pytest.mark.host(reason="on a device the numbers are the same")

rng = np.random.default_rng(0)
MIXED = np.logspace(-6, 6, 200)
SIGNED = MIXED * rng.choice([-1.0, 1.0], 200)
A_FEW = np.array([1e-6, 1e-3, 1.0, 1e3, 1e6])

TRICKY = {
    "log at 1e-3": (mg.log, 1e-3),
    "log at 1e-9": (mg.log, 1e-9),
    "log near 1": (mg.log, 1 + 1e-9),
    "sqrt at 1e-3": (mg.sqrt, 1e-3),
    "sqrt at 1e-8": (mg.sqrt, 1e-8),
    "1/x at 1e-3": (lambda x: 1 / x, 1e-3),
    "1/x at -1e-6": (lambda x: 1 / x, -1e-6),
    "x^-3 at 1e-2": (lambda x: x**-3, 1e-2),
    "x^-3 at 1e-4": (lambda x: x**-3, 1e-4),
    "x^0.1 at 1e-4": (lambda x: x**0.1, 1e-4),
    "x^40": (lambda x: x**40, 3.0),
    "arcsin at 0.9999": (mg.arcsin, 0.9999),
    "arccos at -0.99999": (mg.arccos, -0.99999),
    "arctanh at 0.9999": (mg.arctanh, 0.9999),
    "log1p at -0.9999": (mg.log1p, -0.9999),
    "tan near pi/2": (mg.tan, 1.5707),
    "exp(1000 x)": (lambda x: mg.exp(1000 * x), 0.3),
    "exp at 700": (mg.exp, 700.0),
    "exp at -30": (mg.exp, -30.0),
    "sin at 1e4": (mg.sin, 1e4),
    "cos at -1e6": (mg.cos, -1e6),
    "sin(1e4 x)": (lambda x: mg.sin(1e4 * x), 0.7),
    "sin(1/x)": (lambda x: mg.sin(1 / x), 0.003),
    "steep sigmoid": (lambda x: mg.sigmoid(5000 * x), np.array([-1e-3, 1e-4, 1.1e-3])),
    "steep tanh": (lambda x: mg.tanh(1e5 * x), np.array([-1e-5, 3e-6, 1.1e-5])),
    "tails of sigmoid": (mg.sigmoid, np.array([-30.0, -12.0, 12.0, 30.0])),
    "tails of tanh": (mg.tanh, np.array([-19.0, -8.0, 8.0])),
    "tails of gelu": (mg.gelu, np.array([-12.0, -6.0, -4.0, 4.0, 12.0])),
    "tails of silu": (mg.silu, np.array([-40.0, -10.0, 10.0, 40.0])),
    "tails of softplus": (mg.softplus, np.array([-40.0, -10.0, 10.0, 40.0])),
    "relu at 1e-7": (mg.relu, np.array([1e-7, -1e-7])),
    "abs at 1e-9": (mg.abs, np.array([1e-9, -1e-9])),
    "abs at -3e-11": (mg.abs, np.array([-3e-11, 1.0])),
    "maximum, near a tie": (lambda x: mg.maximum(x, 0.5), np.array([0.5 + 1e-8, 0.5 - 1e-8])),
    "max, near a tie": (lambda x: x.max(), np.array([1.0, 1.0 + 1e-8, 0.3])),
    "clip, near its bounds": (lambda x: mg.clip(x, -1, 1), np.array([1 - 1e-8, -1 - 1e-8, 0.2])),
    "norm near 0": (lambda x: mg.sqrt((x * x).sum()), np.array([3e-8, -4e-8])),
    "norm of mixed scale": (lambda x: mg.sqrt((x * x).sum()), A_FEW),
    "softmax of huge logits": (mg.softmax, np.array([1000.0, 1001.0, 990.0, -500.0])),
    "log_softmax of huge logits": (mg.log_softmax, np.array([1e4, 1e4 + 1, 9e3])),
    "logsumexp": (mg.logsumexp, np.array([3000.0, 3001.0, 2999.0, -2000.0])),
    "division by small numbers": (lambda a, b: a / b, np.array([3.0, -2.0]), np.array([1e-5, -1e-4])),
    "product of mixed scale": (lambda a, b: a * b, A_FEW, A_FEW[::-1] * 1.5),
    "sum of mixed scale": (lambda x: (x * x).sum(), A_FEW),
    "log of mixed scale": (mg.log, A_FEW),
    "power of mixed scale": (lambda x: x**1.5, A_FEW),
    "x log x of mixed scale": (lambda x: x * mg.log(x), A_FEW),
    "layer norm of small numbers": (
        lambda x: mg.layer_norm(x, (4,), eps=1e-12), np.array([1e-4, 3e-4, -2e-4, 2e-4]),
    ),
    "mean of a large offset": (lambda x: ((x - x.mean()) ** 2).sum(), 1e4 + np.arange(5.0)),
    "a large constant": (lambda x: 1e5 + mg.sin(x), np.array([0.3, 1.2])),
    "1e6 x": (lambda x: mg.tanh(1e6 * x), np.array([1e-7, -2e-6])),
    "1e-6 x": (lambda x: mg.tanh(1e-6 * x), np.array([3e5, -2e6])),
    "log of 200": (mg.log, MIXED),
    "x log x of 200": (lambda x: x * mg.log(x), MIXED),
    "sqrt of 200": (mg.sqrt, MIXED),
    "squares of 200": (lambda x: (x * x).sum(), SIGNED),
    "cubes of 200": (lambda x: x**3, SIGNED),
    "1/x of 200": (lambda x: 1 / x, SIGNED),
    "abs of 200": (mg.abs, SIGNED),
    "sin of 200": (mg.sin, SIGNED / 100),
    "exp of 200": (mg.exp, np.linspace(-50, 50, 200)),
    "softmax of 200": (mg.softmax, rng.normal(size=200) * 30),
    "relu of 200 near 0": (mg.relu, SIGNED * 1e-4),
}  # fmt: skip

FIRST_ONLY = {
    "cos at -1e6", "sin(1/x)", "norm near 0", "layer norm of small numbers", "log at 1e-9",
}  # fmt: skip
"""Of these the second derivatives are beyond what differences of numbers can measure."""

ATOL = {"exp at -30": 0.0, "tails of sigmoid": 1e-12, "tails of tanh": 1e-12, "1e-6 x": 1e-12}
"""Derivatives so small that the usual one would let anything pass."""


@pytest.mark.parametrize("name", TRICKY)
def test_a_right_function_passes(name):
    f, *inputs = TRICKY[name]
    check_gradients(f, *inputs, order=1 if name in FIRST_ONLY else 2)


def off_by(part):
    """A function that changes nothing, but whose derivative is off by `part`."""

    @mg.differentiable(x=lambda g: g * (1 + part))
    def off(x):
        return x[...]

    return off


@pytest.mark.parametrize("name", TRICKY)
def test_one_part_in_ten_thousand_is_seen_there(name):
    f, *inputs = TRICKY[name]
    right, wrong = off_by(0), off_by(1e-4)
    atol = ATOL.get(name, 1e-9)
    check_gradients(lambda *xs: f(*map(right, xs)), *inputs, atol=atol)
    with pytest.raises(GradientError, match="by finite differences") as error:
        check_gradients(lambda *xs: f(*map(wrong, xs)), *inputs, atol=atol)
    assert " 1 times as large" not in str(error.value)


@pytest.mark.parametrize(
    ("f", "x", "text"),
    [
        (mg.relu, 0.0, "has a kink at this number: its slope is -?0 below it and"),
        (mg.relu, np.array([1.0, 0.0]), "kink"),
        (lambda x: mg.relu(1e3 * (x - 300)).sum(), np.array([300.0, 5.0]), r"at \(0,\).*kink"),
        (
            lambda x: mg.abs(x) + mg.relu(x),
            np.array([-0.0]),
            "kink at this number: its slope is -1.13.* below it and 2.27.* above",
        ),
        (lambda x: x * mg.where(x.detach() > 1, 3.0, 2.0), 1.0, "jumps at this number"),
        (mg.log, -1.0, "not finite, with any step; choose numbers inside the function's domain"),
    ],
)
def test_what_cannot_be_checked_is_told(f, x, text):
    with np.errstate(all="ignore"), pytest.raises(GradientError, match=text):
        check_gradients(f, x)


def test_step_and_tolerances():
    f = mg.sin
    check_gradients(f, 1e4, step=1e-5)
    with pytest.raises(GradientError, match="by finite differences"):
        check_gradients(f, 1e4, step=0.1)
    check_gradients(f, 1e4, step=0.1, rtol=0.01)
    check_gradients(mg.exp, np.linspace(-1, 1, 200), step=1e-5)
    wrong = off_by(1e-3)
    check_gradients(lambda x: mg.tanh(wrong(x)), 0.5, rtol=2e-3)
    check_gradients(lambda x: mg.tanh(wrong(x)), 0.5, atol=2e-3)
    for option in ({"step": 0.0}, {"step": -1.0}, {"rtol": -1.0}, {"atol": np.nan}):
        with pytest.raises(ValueError, match=f"check_gradients: {next(iter(option))} must be"):
            check_gradients(f, 1.0, **option)
    layer = mg.nn.Linear(2, 3)
    mg.testing.check_layer(layer, np.ones((2, 2)), step=1e-4, rtol=1e-5, atol=1e-8)
