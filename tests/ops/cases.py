"""For every op a strategy that draws a way to call it: what `test_every_op.py` runs over.

A `Case` holds the floating inputs, a call of the op on them (as Tensors or arrays), and the same
call in NumPy, or written out in NumPy where NumPy has no such function.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigrad as mg
from minigrad.testing import strategies as draw


@dataclass
class Case:
    inputs: list[np.ndarray]
    call: Callable[..., Any]
    expected: Callable[..., Any]
    order: int = 2

    def __post_init__(self):
        self.inputs = [np.asarray(x) for x in self.inputs]


CASES: dict[str, st.SearchStrategy[Case]] = {}


def case(name):
    def register(function):
        CASES[name] = st.composite(function)()
        return function

    return register


def np_erf(x):
    return np.vectorize(math.erf, otypes=[x.dtype])(x)


def np_softmax(x, axis=-1):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def np_logsumexp(x, axis=None, keepdims=False):
    return np.log(np.sum(np.exp(x), axis, keepdims=keepdims))


# ---------------------------------------------------------------------------- one operand

ELEMENTWISE = {
    "abs": np.abs,
    "arccos": np.arccos,
    "arcsin": np.arcsin,
    "arctan": np.arctan,
    "arctanh": np.arctanh,
    "ceil": np.ceil,
    "copy": np.copy,
    "cos": np.cos,
    "cosh": np.cosh,
    "erf": np_erf,
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "floor": np.floor,
    "log": np.log,
    "log10": np.log10,
    "log2": np.log2,
    "log1p": np.log1p,
    "negative": np.negative,
    "ravel": np.ravel,
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "sign": np.sign,
    "silu": lambda x: x / (1 + np.exp(-x)),
    "sin": np.sin,
    "sinh": np.sinh,
    "softplus": lambda x: np.log(1 + np.exp(x)),
    "sqrt": np.sqrt,
    "square": np.square,
    "tan": np.tan,
    "tanh": np.tanh,
    "trunc": np.trunc,
}


def elementwise(name, reference):
    return st.builds(lambda x: Case([x], getattr(mg, name), reference), draw.inputs_of(name))


CASES |= {name: elementwise(name, reference) for name, reference in ELEMENTWISE.items()}


@case("leaky_relu")
def leaky_relu(d):
    slope = d(draw.numbers(0, 1))
    return Case(
        [d(draw.arrays())],
        lambda x: mg.leaky_relu(x, slope),
        lambda x: np.where(x > 0, x, slope * x),
    )


@case("elu")
def elu(d):
    alpha = d(draw.numbers(0.2, 2))
    return Case(
        [d(draw.arrays())],
        lambda x: mg.elu(x, alpha),
        lambda x: np.where(x > 0, x, alpha * (np.exp(x) - 1)),
    )


@case("gelu")
def gelu(d):
    approximate = d(st.sampled_from(["none", "tanh"]))
    inner = {
        "none": lambda x: np_erf(x / np.sqrt(2)),
        "tanh": lambda x: np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)),
    }[approximate]
    return Case(
        [d(draw.arrays())],
        lambda x: mg.gelu(x, approximate),
        lambda x: 0.5 * x * (1 + inner(x)),
    )


@case("round")
def round_to(d):
    decimals = d(st.integers(-1, 2))
    return Case(
        [d(draw.arrays())], lambda x: mg.round(x, decimals), lambda x: np.round(x, decimals)
    )


@case("clip")
def clip(d):
    low, high = d(st.sampled_from([(None, 1.0), (-1.0, None), (-1.0, 1.0), (-9.0, 9.0)]))
    return Case(
        [d(draw.arrays())], lambda x: mg.clip(x, low, high), lambda x: np.clip(x, low, high)
    )


@case("astype")
def astype(d):
    return Case([d(draw.arrays())], lambda x: mg.astype(x, x.dtype), lambda x: x.astype(x.dtype))


@case("to_device")
def to_device(d):
    return Case([d(draw.arrays())], lambda x: mg.to_device(x, x.device), lambda x: x)


# ---------------------------------------------------------------------------- two operands

for name in ("add", "subtract", "multiply", "maximum", "minimum"):
    CASES[name] = st.builds(
        lambda xs, name=name: Case(xs, getattr(mg, name), getattr(np, name)),
        draw.broadcastable_arrays(2),
    )


@case("maximum")
def maximum(d):
    return _without_ties(d, mg.maximum, np.maximum)


@case("minimum")
def minimum(d):
    return _without_ties(d, mg.minimum, np.minimum)


def _without_ties(d, op, reference):
    a, b = d(draw.broadcastable_arrays(2))
    return Case([a, b + 1 / 64], op, reference)  # half a step of the grid: never equal


@case("divide")
def divide(d):
    a, b = d(draw.broadcastable_arrays(2))
    return Case([a, b + np.sign(b) * 0.5], mg.divide, np.divide)


@case("floor_divide")
def floor_divide(d):
    (a,) = d(draw.broadcastable_arrays(1))
    b = d(st.sampled_from([0.75, 1.0, -2.0]))
    return Case([a, np.full((), b)], mg.floor_divide, np.floor_divide)


@case("remainder")
def remainder(d):
    (a,) = d(draw.broadcastable_arrays(1))
    b = d(st.sampled_from([1.0, -2.0]))
    return Case([a, np.full((), b)], mg.remainder, np.remainder)


@case("power")
def power(d):
    if d(st.booleans()):
        return Case(d(draw.broadcastable_arrays(2, 0.3, 2)), mg.power, np.power)
    exponent = d(st.sampled_from([0, 1, 2, 3, -1, 2.0]))
    base = d(draw.arrays(low=-2, high=2))
    base = base + np.sign(base) * 0.5
    return Case([base], lambda x: mg.power(x, exponent), lambda x: np.power(x, float(exponent)))


@case("where")
def where(d):
    shapes = d(draw.broadcastable_shapes(3))
    condition = d(hnp.arrays(np.bool_, shapes[0]))
    return Case(
        [d(draw.arrays(shape)) for shape in shapes[1:]],
        lambda x, y: mg.where(condition, x, y),
        lambda x, y: np.where(condition, x, y),
    )


# ---------------------------------------------------------------------------- reductions


def reduction(name, min_side=0, low=-3.0, high=3.0, unique=False, reference=None, **options):
    def build(d):
        x = d(draw.arrays(draw.shapes(min_side=min_side), low, high, unique))
        axis, keepdims = d(draw.axes(x.ndim)), d(st.booleans())
        numpy_function = reference or getattr(np, name)
        return Case(
            [x],
            lambda x: getattr(mg, name)(x, axis, keepdims=keepdims, **options),
            lambda x: numpy_function(x, axis, keepdims=keepdims, **options),
        )

    CASES[name] = st.composite(build)()


reduction("sum")
reduction("mean", min_side=1)
reduction("prod")
reduction("max", min_side=1, unique=True)
reduction("min", min_side=1, unique=True)
reduction("logsumexp", min_side=1, reference=np_logsumexp)


@case("var")
def var(d):
    return _spread(d, mg.var, np.var)


@case("std")
def std(d):
    return _spread(d, mg.std, np.std)


def _spread(d, op, reference):
    x = d(draw.arrays(draw.shapes(min_side=2, min_dims=1), unique=True))
    axis, keepdims = d(draw.axes(x.ndim).filter(lambda a: a != ())), d(st.booleans())
    ddof = d(st.sampled_from([0, 1]))
    return Case(
        [x],
        lambda x: op(x, axis, ddof=ddof, keepdims=keepdims),
        lambda x: reference(x, axis, ddof=ddof, keepdims=keepdims),
    )


@case("cumsum")
def cumsum(d):
    x = d(draw.arrays())
    axis = d(draw.axes(x.ndim, several=False))
    return Case([x], lambda x: mg.cumsum(x, axis), lambda x: np.cumsum(x, axis))


@case("cumprod")
def cumprod(d):
    x = d(draw.arrays())
    x = x * (np.abs(x) > d(draw.numbers(0, 1)))  # with zeros
    axis = d(draw.axes(x.ndim, several=False))
    return Case([x], lambda x: mg.cumprod(x, axis), lambda x: np.cumprod(x, axis))


@case("sort")
def sort(d):
    x = d(draw.arrays(draw.shapes(min_dims=1), unique=True))
    axis, descending = d(draw.axes(x.ndim, several=False)), d(st.booleans())
    sign = -1 if descending else 1
    return Case(
        [x],
        lambda x: mg.sort(x, axis, descending),
        lambda x: sign * np.sort(sign * x, axis),
    )


@case("topk")
def topk(d):
    x = d(draw.arrays(draw.shapes(min_dims=1), unique=True))
    axis, largest = d(st.integers(-x.ndim, x.ndim - 1)), d(st.booleans())
    k = d(st.integers(0, x.shape[axis]))
    sign = -1 if largest else 1
    first = (slice(None),) * (axis % x.ndim) + (slice(0, k),)
    return Case(
        [x],
        lambda x: [mg.topk(x, k, axis, largest)[0]],  # the places are no floats
        lambda x: [sign * np.sort(sign * x, axis)[first]],
    )


@case("norm")
def norm(d):
    x = d(draw.arrays(draw.shapes(min_dims=1, min_side=1), unique=True))
    x = np.sign(x) * (np.abs(x) + 1e-3 * np.arange(x.size).reshape(x.shape))  # no ties in |x|
    axis = d(st.integers(-x.ndim, x.ndim - 1))
    order = d(st.sampled_from([None, 1, 2, 3, np.inf, -np.inf]))
    if order is None:
        axis = d(draw.axes(x.ndim, several=False))
    keepdims = d(st.booleans())
    return Case(
        [x],
        lambda x: mg.norm(x, order, axis, keepdims),
        lambda x: (
            np.sqrt(np.sum(x * x, axis, keepdims=keepdims))
            if order is None
            else np.linalg.norm(x, order, axis, keepdims)
        ),
    )
