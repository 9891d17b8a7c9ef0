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
    "copy": np.copy,
    "cos": np.cos,
    "cosh": np.cosh,
    "erf": np_erf,
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
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
    return Case([d(draw.arrays())], lambda x: mg.to_device(x, "cpu"), lambda x: x)


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


# ---------------------------------------------------------------------------- shapes


@case("reshape")
def reshape(d):
    x = d(draw.arrays())
    shape = d(
        st.sampled_from(
            [x.shape, x.shape[::-1], (x.size,), (1, *x.shape), *([-1] if x.size else [])]
        )
    )
    return Case([x], lambda x: mg.reshape(x, shape), lambda x: np.reshape(x, shape))


@case("expand_dims")
def expand_dims(d):
    x = d(draw.arrays())
    axis = d(st.sampled_from([0, -1, (0, -1), (0, 1)]))
    return Case([x], lambda x: mg.expand_dims(x, axis), lambda x: np.expand_dims(x, axis))


@case("squeeze")
def squeeze(d):
    x = d(draw.arrays(st.sampled_from([(), (1,), (1, 3, 1), (2, 1), (1, 0)])))
    ones = [i for i, n in enumerate(x.shape) if n == 1]
    axis = d(st.sampled_from([None, *ones, tuple(ones)]))
    return Case([x], lambda x: mg.squeeze(x, axis), lambda x: np.squeeze(x, axis))


@case("transpose")
def transpose(d):
    x = d(draw.arrays())
    axes = d(st.none() | st.permutations([i - x.ndim * d(st.booleans()) for i in range(x.ndim)]))
    return Case([x], lambda x: mg.transpose(x, axes), lambda x: np.transpose(x, axes))


@case("swapaxes")
def swapaxes(d):
    x = d(draw.arrays(draw.shapes(min_dims=1)))
    i, k = (d(st.integers(-x.ndim, x.ndim - 1)) for _ in range(2))
    return Case([x], lambda x: mg.swapaxes(x, i, k), lambda x: np.swapaxes(x, i, k))


@case("moveaxis")
def moveaxis(d):
    x = d(draw.arrays(draw.shapes(min_dims=2)))
    i, k = (d(st.permutations(range(x.ndim)))[:2] for _ in range(2))
    i, k = d(st.sampled_from([(i, k), (i[0], k[0] - x.ndim)]))
    return Case([x], lambda x: mg.moveaxis(x, i, k), lambda x: np.moveaxis(x, i, k))


@case("broadcast_to")
def broadcast_to(d):
    drawn = d(hnp.mutually_broadcastable_shapes(num_shapes=1, base_shape=(2, 1, 3), max_dims=3))
    x = d(draw.arrays(drawn.input_shapes[0]))
    shape = drawn.result_shape
    return Case([x], lambda x: mg.broadcast_to(x, shape), lambda x: np.broadcast_to(x, shape))


@case("concatenate")
def concatenate(d):
    x = d(draw.arrays(draw.shapes(min_dims=1)))
    axis = d(st.integers(-x.ndim, x.ndim - 1))
    shape = list(x.shape)
    shape[axis] = d(st.integers(0, 3))
    y = d(draw.arrays(tuple(shape)))
    return Case(
        [x, y],
        lambda x, y: mg.concatenate([x, y, x], axis),
        lambda x, y: np.concatenate([x, y, x], axis),
    )


@case("stack")
def stack(d):
    x = d(draw.arrays())
    y = d(draw.arrays(x.shape))
    axis = d(st.integers(-x.ndim - 1, x.ndim))
    return Case(
        [x, y], lambda x, y: mg.stack([x, y, x], axis), lambda x, y: np.stack([x, y, x], axis)
    )


@case("split")
def split(d):
    x = d(draw.arrays(draw.shapes(min_dims=1)))
    axis = d(st.integers(-x.ndim, x.ndim - 1))
    n = x.shape[axis]
    where = d(st.sampled_from([[n // 2], [1, 2], 1, *([n] if n else [])]))
    use = d(st.sampled_from([slice(None), slice(0, 1), slice(-1, None)]))  # some, all outputs
    return Case(
        [x], lambda x: list(mg.split(x, where, axis))[use], lambda x: np.split(x, where, axis)[use]
    )


@case("flip")
def flip(d):
    x = d(draw.arrays())
    axis = d(draw.axes(x.ndim))
    return Case([x], lambda x: mg.flip(x, axis), lambda x: np.flip(x, axis))


@case("roll")
def roll(d):
    x = d(draw.arrays())
    axis = d(draw.axes(x.ndim, several=False))
    shift = d(st.integers(-4, 4))
    if x.ndim >= 2 and d(st.booleans()):
        shift, axis = (shift, 1), (0, -1)
    return Case([x], lambda x: mg.roll(x, shift, axis), lambda x: np.roll(x, shift, axis))


@case("pad")
def pad(d):
    x = d(draw.arrays(draw.shapes(min_side=1)))
    mode = d(st.sampled_from(["constant", "edge", "reflect", "symmetric", "wrap"]))
    sides = st.tuples(*[st.integers(0, 2)] * 2)
    width = d(st.integers(0, 2) | sides | st.tuples(*[sides] * x.ndim)) if x.ndim else 0
    options = {"constant_values": 0.5} if mode == "constant" else {}
    return Case(
        [x],
        lambda x: mg.pad(x, width, mode, **options),
        lambda x: np.pad(x, width, mode, **options),
    )


@case("tile")
def tile(d):
    reps = d(st.integers(0, 3) | st.lists(st.integers(0, 3), max_size=4).map(tuple))
    return Case([d(draw.arrays())], lambda x: mg.tile(x, reps), lambda x: np.tile(x, reps))


@case("repeat")
def repeat(d):
    x = d(draw.arrays(draw.shapes(min_dims=1)))
    axis = d(draw.axes(x.ndim, several=False))
    length = x.size if axis is None else x.shape[axis]
    repeats = d(st.integers(0, 3) | st.lists(st.integers(0, 2), min_size=length, max_size=length))
    return Case([x], lambda x: mg.repeat(x, repeats, axis), lambda x: np.repeat(x, repeats, axis))


# ---------------------------------------------------------------------------- indexing


@case("getitem")
def getitem(d):
    x = d(draw.arrays())
    index = d(draw.indices(x.shape))
    return Case([x], lambda x: mg.getitem(x, index), lambda x: x[index])


@case("take")
def take(d):
    x = d(draw.arrays(draw.shapes(min_dims=1, min_side=1)))
    axis = d(draw.axes(x.ndim, several=False))
    n = x.size if axis is None else x.shape[axis]
    mode, beyond = d(st.sampled_from([("raise", 0), ("wrap", 5), ("clip", 5)]))
    low = -n - beyond if mode != "clip" else -beyond
    indices = d(hnp.arrays(np.int64, draw.shapes(0, 2), elements=st.integers(low, n - 1 + beyond)))
    return Case(
        [x],
        lambda x: mg.take(x, indices, axis, mode=mode),
        lambda x: np.take(x, indices, axis, mode=mode),
    )


@case("take_along_axis")
def take_along_axis(d):
    x = d(draw.arrays(draw.shapes(min_dims=1, min_side=1)))
    axis = d(draw.axes(x.ndim, several=False))
    shape = [x.size] if axis is None else list(x.shape)
    n = shape[-1 if axis is None else axis]
    shape[-1 if axis is None else axis] = d(st.integers(0, 3))
    indices = d(hnp.arrays(np.int64, tuple(shape), elements=st.integers(-n, n - 1)))
    return Case(
        [x],
        lambda x: mg.take_along_axis(x, indices, axis),
        lambda x: np.take_along_axis(x, indices, axis),
    )


def _changed(d):
    x = d(draw.arrays())
    index = d(draw.indices(x.shape))
    target = x[index].shape
    shape = d(hnp.broadcastable_shapes(target, max_dims=len(target), max_side=1) | st.just(target))
    if np.broadcast_shapes(shape, target) != target:
        shape = ()
    return x, index, d(draw.arrays(shape))


@case("scatter_add")
def scatter_add(d):
    x, index, values = _changed(d)

    def expected(x, values):
        result = x.copy()
        np.add.at(result, index, values)
        return result

    return Case([x, values], lambda x, v: mg.scatter_add(x, index, v), expected)


@case("scatter_set")
def scatter_set(d):
    x, index, values = _changed(d)

    def expected(x, values):
        result = x.copy()
        result[index] = values
        return result

    return Case([x, values], lambda x, v: mg.scatter_set(x, index, v), expected)


# ---------------------------------------------------------------------------- linear algebra


@case("matmul")
def matmul(d):
    drawn = d(
        hnp.mutually_broadcastable_shapes(
            signature=np.matmul.signature, max_dims=2, min_side=0, max_side=3
        )
    )
    return Case([d(draw.arrays(s)) for s in drawn.input_shapes], mg.matmul, np.matmul)


@case("linear")
def linear(d):
    batch, n_in, n_out = d(draw.shapes(0, 2)), d(st.integers(1, 3)), d(st.integers(1, 3))
    inputs = [d(draw.arrays(s)) for s in ((*batch, n_in), (n_out, n_in), (n_out,))]
    if d(st.booleans()):
        return Case(inputs[:2], mg.linear, lambda x, w: x @ w.T)
    return Case(inputs, mg.linear, lambda x, w, b: x @ w.T + b)


@case("dot")
def dot(d):
    k = d(st.integers(0, 3))
    one, two = d(
        st.sampled_from(
            [((), (2, 3)), ((k,), (k,)), ((2, k), (k, 3)), ((2, k), (k,)), ((k,), (k, 2)),
             ((2, 3, k), (2, k, 3)), ((2, 2, k), (k,)), ((k,), (2, k, 3))]
        )
    )  # fmt: skip
    return Case([d(draw.arrays(one)), d(draw.arrays(two))], mg.dot, np.dot)


@case("outer")
def outer(d):
    return Case([d(draw.arrays()), d(draw.arrays(draw.shapes(0, 2)))], mg.outer, np.outer)


@case("tensordot")
def tensordot(d):
    one, two, axes = d(
        st.sampled_from(
            [((2, 3), (3, 2), 1), ((2, 3), (2, 3), 2), ((2,), (3,), 0), ((2, 3, 1), (1, 3), ([1, 2], [1, 0])),
             ((2, 3, 2), (3, 2, 2), ([-2, 0], [0, 1])), ((0, 2), (2, 3), 1), ((2, 3), (3,), (1, 0))]
        )
    )  # fmt: skip
    return Case(
        [d(draw.arrays(one)), d(draw.arrays(two))],
        lambda a, b: mg.tensordot(a, b, axes),
        lambda a, b: np.tensordot(a, b, axes),
    )


@case("einsum")
def einsum(d):
    subscripts, *shapes = d(
        st.sampled_from(
            [("ij,jk->ik", (2, 3), (3, 2)), ("ij,jk", (2, 3), (3, 2)), ("ii", (3, 3)), ("ii->i", (3, 3)),
             ("ij->", (2, 3)), ("ij->ji", (2, 3)), ("i,i,i->", (3,), (3,), (3,)), ("ij,kj->k", (2, 3), (2, 3)),
             ("...i,...i->...", (2, 3), (2, 3)), ("...ij,jk->...ik", (2, 2, 3), (3, 2)), ("iij->j", (2, 2, 3)),
             ("b...,b", (2, 3, 2), (2,)), ("i,j->ij", (2,), (3,)), ("ij,j,k->ik", (2, 3), (3,), (2,)),
             ("...,...", (2, 1), (3,)), ("iji->j", (2, 3, 2)), ("ij,jk->ik", (0, 3), (3, 2)), ("i->", (0,))]
        )
    )  # fmt: skip
    return Case(
        [d(draw.arrays(shape)) for shape in shapes],
        lambda *xs: mg.einsum(subscripts, *xs),
        lambda *xs: np.einsum(subscripts, *xs),
    )


def _matrices(d):
    return d(draw.arrays(draw.shapes(min_dims=2))), d(st.integers(-3, 3))


@case("diagonal")
def diagonal(d):
    x, offset = _matrices(d)
    i, k = d(st.permutations(range(x.ndim)))[:2]
    return Case([x], lambda x: mg.diagonal(x, offset, i, k), lambda x: np.diagonal(x, offset, i, k))


@case("trace")
def trace(d):
    x, offset = _matrices(d)
    return Case([x], lambda x: mg.trace(x, offset), lambda x: np.trace(x, offset))


@case("tril")
def tril(d):
    x, k = _matrices(d)
    return Case([x], lambda x: mg.tril(x, k), lambda x: np.tril(x, k))


@case("triu")
def triu(d):
    x, k = _matrices(d)
    return Case([x], lambda x: mg.triu(x, k), lambda x: np.triu(x, k))


# ---------------------------------------------------------------------------- softmax, losses


@case("softmax")
def softmax(d):
    x = d(draw.arrays(draw.shapes(min_dims=1, min_side=1)))
    axis = d(st.integers(-x.ndim, x.ndim - 1))
    return Case([x], lambda x: mg.softmax(x, axis), lambda x: np_softmax(x, axis))


@case("log_softmax")
def log_softmax(d):
    x = d(draw.arrays(draw.shapes(min_dims=1, min_side=1)))
    axis = d(st.integers(-x.ndim, x.ndim - 1))
    return Case([x], lambda x: mg.log_softmax(x, axis), lambda x: np.log(np_softmax(x, axis)))


def np_cross_entropy(logits, targets, weight, ignore_index, smoothing, reduction):
    """The definition, one target after another."""
    classes = logits.shape[-1]
    weight = np.ones(classes) if weight is None else weight
    log_probs = np.log(np_softmax(logits))
    losses, counts = np.zeros(logits.shape[:-1]), 0.0
    for i in np.ndindex(losses.shape):
        if targets.ndim == logits.ndim:
            wanted, counts = targets[i], counts + 1
        elif targets[i] == ignore_index:
            continue
        else:
            wanted, counts = np.eye(classes)[targets[i]], counts + weight[targets[i]]
        wanted = (1 - smoothing) * wanted + smoothing / classes
        losses[i] = -np.sum(wanted * weight * log_probs[i])
    if reduction == "none":
        return losses
    return losses.sum() / (max(counts, 1e-300) if reduction == "mean" else 1)


@case("cross_entropy")
def cross_entropy(d):
    classes, batch = d(st.integers(1, 4)), d(draw.shapes(0, 2))
    logits = d(draw.arrays((*batch, classes)))
    weight = d(st.none() | draw.arrays((classes,), 0.2, 2))
    ignore_index = d(st.sampled_from([-100, 0]))
    smoothing = d(st.sampled_from([0.0, 0.3]))
    reduction = d(st.sampled_from(["mean", "sum", "none"]))
    options = (weight, ignore_index, smoothing, reduction)
    if d(st.booleans()):
        targets = d(draw.arrays(logits.shape, 0.1, 1))
        return Case(
            [logits, targets],
            lambda z, t: mg.cross_entropy(z, t, *options),
            lambda z, t: np_cross_entropy(z, t, *options),
        )
    targets = d(hnp.arrays(np.int64, batch, elements=st.integers(0, classes - 1)))
    targets = np.where(d(hnp.arrays(np.bool_, batch)), ignore_index, targets)
    return Case(
        [logits],
        lambda z: mg.cross_entropy(z, targets, *options),
        lambda z: np_cross_entropy(z, targets, *options),
    )


@case("nll_loss")
def nll_loss(d):
    classes, batch = d(st.integers(1, 4)), d(draw.shapes(0, 2))
    x = d(draw.arrays((*batch, classes)))
    targets = d(hnp.arrays(np.int64, batch, elements=st.integers(0, classes - 1)))
    ignore_index = d(st.sampled_from([-100, 0]))
    reduction = d(st.sampled_from(["mean", "sum", "none"]))

    def expected(x):
        losses = -np.take_along_axis(x, targets[..., None], -1)[..., 0]
        losses = losses * (targets != ignore_index)
        if reduction == "none":
            return losses
        count = max((targets != ignore_index).sum(), 1)
        return losses.sum() / (count if reduction == "mean" else 1)

    return Case(
        [x],
        lambda x: mg.nll_loss(x, targets, None, ignore_index, reduction),
        expected,
    )


def _reduced(losses, reduction):
    return {"none": losses, "sum": losses.sum(), "mean": losses.mean() if losses.size else 0}[
        reduction
    ]


@case("mse_loss")
def mse_loss(d):
    x = d(draw.arrays(draw.shapes(min_side=1)))
    reduction = d(st.sampled_from(["mean", "sum", "none"]))
    return Case(
        [x, d(draw.arrays(x.shape))],
        lambda x, y: mg.mse_loss(x, y, reduction),
        lambda x, y: _reduced((x - y) ** 2, reduction),
    )


@case("binary_cross_entropy_with_logits")
def binary_cross_entropy_with_logits(d):
    x = d(draw.arrays(draw.shapes(min_side=1)))
    reduction = d(st.sampled_from(["mean", "sum", "none"]))
    weight = d(st.none() | draw.arrays(x.shape, 0.2, 2))
    positive = d(st.none() | draw.arrays((), 0.2, 2))

    def expected(x, y):
        p = 1 / (1 + np.exp(-x))
        scale = 1 if positive is None else positive
        losses = -(scale * y * np.log(p) + (1 - y) * np.log(1 - p))
        return _reduced(losses * (1 if weight is None else weight), reduction)

    return Case(
        [x, d(draw.arrays(x.shape, 0, 1))],
        lambda x, y: mg.binary_cross_entropy_with_logits(x, y, weight, reduction, positive),
        expected,
    )


# ---------------------------------------------------------------------------- neural


@case("embedding")
def embedding(d):
    weight = d(draw.arrays(st.tuples(st.integers(1, 4), st.integers(0, 3))))
    ids = d(hnp.arrays(np.int64, draw.shapes(0, 2), elements=st.integers(0, len(weight) - 1)))
    return Case(
        [weight],
        lambda w: mg.embedding(ids, w),
        lambda w: np.eye(len(w), dtype=w.dtype)[ids] @ w,
    )


@case("dropout")
def dropout(d):
    x, seed = d(draw.arrays()), d(st.integers(0, 99))
    p = d(st.sampled_from([0.0, 0.3, 1.0]))

    def expected(x):
        if p == 0:
            return x
        keep = np.random.default_rng(seed).random(x.shape, dtype=np.float32) >= p
        return np.where(keep, x / (1 - p if p < 1 else 1), 0)

    return Case([x], lambda x: mg.dropout(x, p, rng=np.random.default_rng(seed)), expected)


@case("layer_norm")
def layer_norm(d):
    shape = d(st.sampled_from([(3,), (2, 3), (4,), (1, 2)]))
    x = d(draw.arrays(draw.shapes(0, 2).map(lambda batch: batch + shape)))
    weight, bias = d(st.sampled_from([(True, True), (True, False), (False, False), (False, True)]))
    inputs = [x] + [d(draw.arrays(shape)) for wanted in (weight, bias) if wanted]

    def arguments(rest):
        rest = list(rest)
        return rest.pop(0) if weight else None, rest.pop(0) if bias else None

    def expected(x, *rest):
        w, b = arguments(rest)
        axes = tuple(range(-len(shape), 0))
        y = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 0.5)
        y = y if w is None else y * w
        return y if b is None else y + b

    return Case(
        inputs, lambda x, *rest: mg.layer_norm(x, shape, *arguments(rest), eps=0.5), expected
    )
