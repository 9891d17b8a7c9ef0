"""Activations from one end of each dtype to the other, against Python's own functions of floats."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minigrad as mg

DTYPES = [np.float16, np.float32, np.float64]


def logistic(x):
    return 1 / (1 + math.exp(-x)) if x > -700 else math.exp(x) if x > -1e6 else 0.0


def normal(x):
    return math.erfc(-x * math.sqrt(0.5)) / 2


def density(x):
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi) if abs(x) < 1e100 else 0.0


def angle(x):  # of gelu's approximation, doubled, and its slope
    return 2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)


def angle_slope(x):
    return 2 * math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x**2)


def within(x, f):
    """`f`, which is a function of x without overflow, where it is not constant yet."""
    return f(max(-1e3, min(x, 1e3)))


def bent(p):
    """p (1 - p), where 1 - p is known only as well as p is: to half a unit of float64."""
    return p * (1 - p)


EXACT = {  # the function, and its derivative
    "sigmoid": (logistic, lambda x: bent(logistic(x))),
    "softplus": (lambda x: max(x, 0.0) + math.log1p(math.exp(-abs(x))), logistic),
    "silu": (
        lambda x: x * logistic(x) if x > -1e6 else 0.0,
        lambda x: logistic(x) + within(x, lambda x: x * bent(logistic(x))),
    ),
    "gelu": (
        lambda x: x * normal(x) if x > -1e6 else 0.0,
        lambda x: normal(x) + within(x, lambda x: x * density(x)),
    ),
    "gelu_tanh": (
        lambda x: x * logistic(within(x, angle)) if x > -1e6 else 0.0,
        lambda x: (
            logistic(within(x, angle))
            + within(x, lambda x: x * bent(logistic(angle(x))) * angle_slope(x))
        ),
    ),
    "erf": (math.erf, lambda x: 2 * math.sqrt(2) * density(x * math.sqrt(2))),
    "expm1": (math.expm1, math.exp),
    "arctan": (math.atan, lambda x: 1 / (1 + x * x)),
}
OPS = {name: getattr(mg, name, None) for name in EXACT}
OPS["gelu_tanh"] = lambda x: mg.gelu(x, "tanh")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", EXACT)
def test_values_and_slopes(name, dtype, device):
    f, slope = EXACT[name]
    limits = np.finfo(dtype)
    far = [30.0, 89.0, 95.0, 103.0, 300.0, 1e3, 1e4, float(limits.max) / 4, float(limits.max)]
    values = [0.0, 1e-3, 0.5, 1.0, 3.0, 6.0, 8.5, 12.0, 16.0, *far]
    values += [-x for x in values]
    if name == "expm1":
        values = [x for x in values if x < math.log(float(limits.max))]
    x = mg.tensor(np.array(values, dtype), requires_grad=True)
    y = OPS[name](x)
    (g,) = mg.grad(y, x, mg.ones_like(y), create_graph=True)
    (bare,) = mg.grad(y, x, mg.ones_like(y))
    assert y.dtype == g.dtype == dtype
    flushed = device != "cpu" and dtype == np.float32  # CuPy has its kernels make subnormals 0
    smallest = float(limits.smallest_normal if flushed else limits.smallest_subnormal)
    eps = float(limits.eps)
    for i, at in enumerate(x.tolist()):
        tiny = smallest * max(2.0, abs(at))
        rounding = 4 * eps * max(1.0, min(at * at, 2e3))  # what x loses, as exp(x^2) feels it
        assert y.tolist()[i] == pytest.approx(f(at), rel=rounding, abs=tiny), at
        absolute = tiny if at < 3 or name in ("softplus", "arctan") else 40 * eps
        expected = pytest.approx(slope(at), rel=4 * rounding, abs=absolute)
        assert g.tolist()[i] == expected, at
        assert bare.tolist()[i] == expected, at


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("sigmoid", 0.0, 1.0),
        ("softplus", 0.0, np.inf),
        ("silu", 0.0, np.inf),
        ("gelu", 0.0, np.inf),
        ("gelu_tanh", 0.0, np.inf),
        ("erf", -1.0, 1.0),
        ("arctan", -math.pi / 2, math.pi / 2),
    ],
)
def test_infinities_have_their_limits(name, low, high, dtype):
    x = mg.tensor(np.array([-np.inf, np.inf], dtype), requires_grad=True)
    y = OPS[name](x)
    np.testing.assert_allclose(y.numpy(), np.array([low, high], dtype))
    (g,) = mg.grad(y, x, mg.ones_like(y))
    assert g.tolist() == [0.0, float(high == np.inf)]


@pytest.mark.parametrize("op", OPS.values())
def test_integers_give_float32(op):
    assert op(mg.tensor([0, 1], dtype=int)).dtype == np.float32
