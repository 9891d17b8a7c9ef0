"""Faults planted into ops, one at a time: the checker finds each, says what it is, and only then.

`op(faulty)` gives the right op for False, which must pass, and the one with the fault for True.
"""
# ruff: noqa: E501 (tables, a line each)

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.arrays.library import array_module
from minigrad.testing import GradientError, check_gradients

X = np.array([[0.3, -1.2, 0.8], [0.7, 2.1, -0.4], [-0.9, 1.6, 0.25]])
Y = np.array([[1.1, 0.4, -0.7], [-2.2, 0.6, 1.3], [0.2, -0.5, 1.9]])
CAUGHT = (GradientError, mg.TapeError)

state = {"calls": 0, "buffer": None, "rng": np.random.default_rng(0)}


def counted():
    state["calls"] += 1
    return state["calls"]


def in_one_buffer(y):
    """`y` in memory that is used again for the next result of its shape."""
    if state["buffer"] is None or state["buffer"].shape != y.shape:
        state["buffer"] = y.copy()
    state["buffer"][...] = y
    return state["buffer"]


def changed(x, by):
    """`x` after adding to it in place."""
    x += by
    return x


def as_if_contiguous(x):
    """What a kernel reads that takes the memory of `x` to be in C's order, without gaps."""
    if array_module(x) is not np:
        return x if x.flags.c_contiguous else x + 1
    base = x if x.base is None or x.flags.c_contiguous else x.base
    return np.resize(base.ravel("K"), x.shape)


def cube_with(rule):
    @mg.differentiable(x=rule)
    def cube(x):
        return x * x * x

    return cube


# Rules for x^3 in the place of g * 3 * x * x.
RULES = {
    "sign": (lambda g, x: -g * 3 * x * x, "the sign is flipped"),
    "factor": (lambda g, x: g * x * x, "constant factor: it should be 3 times"),
    "small factor": (lambda g, x: g * 3.0003 * x * x, "constant factor: it should be 0.9999 times"),
    "zero": (lambda g, x: g * 0.0, "the derivative is zero"),
    "NaN": (lambda g, x: g * np.nan, "the derivative is NaN"),
    "transposed": (lambda g, x: mg.transpose(g * 3 * x * x), "it is transposed"),
    "flipped": (lambda g, x: (g * 3 * x * x)[::-1], "the wrong way round along axis 0"),
    "flipped along the last axis": (lambda g, x: (g * 3 * x * x)[:, ::-1], "round along axis 1"),
    "offset": (lambda g, x: g * 3 * x * x + 0.01, "not linear in g"),
    "|g|": (lambda g, x: mg.abs(g) * 3 * x * x, "not linear in g"),
    "relu(g)": (lambda g, x: mg.relu(g) * 3 * x * x, "not linear in g"),
    "g squared": (lambda g, x: g * g * 3 * x * x, "not linear in g"),
    "g clipped": (lambda g, x: mg.clip(g, -1, 1) * 3 * x * x, "not linear in g"),
    "g clipped at 10": (lambda g, x: mg.clip(g, -10, 10) * 3 * x * x, "1000 times as large"),
    "NaN where g is 0": (
        lambda g, x: mg.where(g == 0, np.nan, g) * 3 * x * x,
        "must select, not multiply",
    ),
    "g without its mean": (lambda g, x: (g - g.mean()) * 3 * x * x, "derivative"),
    "g in float32": (lambda g, x: g.astype("f").astype("d") * 3 * x * x, "rounds to a smaller"),
    "wrong power": (lambda g, x: g * 3 * x, "derivative"),
    "out in the place of x": (lambda g, out: g * 3 * out * out, "derivative"),
    "only where negative": (
        lambda g, x: mg.where(x < 0, 0.9 * g, g) * 3 * x * x,
        "only where the argument is negative",
    ),
    "only one element": (
        lambda g, x: g * 3 * x * x * (1 + 1e-4 * mg.tensor(np.eye(9)[8].reshape(3, 3)).data),
        r"at \(2, 2\)",
    ),
    "g changed in place": (lambda g, x: changed(g, g * 2) * x * x, "changes g in place"),
    "saved value changed in place": (
        lambda g, x: g * 3 * (changed(x, 0.1) - 0.1) ** 2,
        "second walk|changed in place",
    ),
    "state": (lambda g, x: g * 3 * x * x * (1 + 1e-3 * counted()), "second walk"),
    "state from the third call on": (
        lambda g, x: g * 3 * x * x * (1 if counted() < 3 else 1.001),
        "keeps a state|draws at random",
    ),
    "random": (lambda g, x: g * 3 * x * x + 1e-3 * state["rng"].random(), "second walk"),
    "memory used again": (lambda g, x: in_one_buffer(g * 3 * x * x), "memory that it uses again"),
    "not contiguous": (lambda g, x: g * 3 * as_if_contiguous(x) ** 2, "not contiguous"),
    "g not contiguous": (lambda g, x: as_if_contiguous(g) * 3 * x * x, "not contiguous"),
    "float32 out of the rule": (lambda g, x: (g * 3 * x * x).astype("f"), "float32 gradient"),
    "wrong shape": (lambda g, x: (g * 3 * x * x)[:2], "gradient of shape"),
}


@pytest.mark.parametrize("name", RULES)
def test_a_wrong_rule(name):
    state.update(calls=0, buffer=None)
    wrong, cause = RULES[name]
    check_gradients(cube_with(lambda g, x: g * 3 * x * x), X, order=2)
    with pytest.raises(CAUGHT, match=cause):
        check_gradients(cube_with(wrong), X)


def product(faulty):
    @mg.differentiable(a=lambda g, b: g * b, b=lambda g, a, b: g * (b if faulty else a))
    def multiply(a, b):
        return a * b

    return multiply


def swapped(faulty):
    def to_a(g, b):
        return g @ mg.transpose(b)

    def to_b(g, a):
        return mg.transpose(a) @ g

    @mg.differentiable(
        a=(lambda g, a: to_b(g, a)) if faulty else to_a,
        b=(lambda g, b: to_a(g, b)) if faulty else to_b,
    )
    def matmul(a, b):
        return a @ b

    return matmul


def matmul_transposed(faulty):
    @mg.differentiable(
        a=lambda g, b: (g @ mg.transpose(b)).T if faulty else g @ mg.transpose(b),
        b=lambda g, a: mg.transpose(a) @ g,
    )
    def matmul(a, b):
        return a @ b

    return matmul


def bias_with(rule):
    def op(faulty):
        @mg.differentiable(x=lambda g: g, b=rule if faulty else lambda g: g)
        def add_bias(x, b):
            return x + b

        return add_bias

    return op


def sum_over(faulty):
    def rule(g, x_shape):
        return mg.broadcast_to(g[None, :] if faulty else g[:, None], x_shape)

    @mg.differentiable(x=rule)
    def row_sums(x):
        return x.sum(1)

    return row_sums


def spoils_g(faulty):
    @mg.differentiable(
        a=lambda g, b: changed(g, g * (b - 1)) if faulty else g * b, b=lambda g, a: g * a
    )
    def multiply(a, b):
        return a * b

    return lambda a, b: multiply(a, b) * 2 + b


def constant(faulty):
    @mg.joint(
        backward=lambda g, a, b, needs: [g * b * (2 - all(needs) if faulty else 1), g * a],
        inputs=["a", "b"],
    )
    def multiply(a, b):
        return a * b, None

    return multiply


def size_one(faulty):
    @mg.differentiable(
        a=lambda g, b: g * b,
        b=lambda g, a, b: (g * a)[:1] if faulty and b.shape[0] == 1 else g * a,
    )
    def multiply(a, b):
        return a * b

    return multiply


def split_with(backward):
    def op(faulty):
        def right(g, x):
            return [g[0] * 2 + g[1] * 2 * x + g[2] * 3 * x * x]

        @mg.fused(
            twin=lambda x: (x * 2, x * x, x * x * x),
            backward=backward if faulty else lambda g, x: right(zeros_for(g, x), x),
            inputs=["x"],
        )
        def powers(x):
            return (x * 2, x * x, x * x * x), None

        return powers

    return op


def zeros_for(g, x):
    return [x * 0 if d is None else d for d in g]


def unused(k):
    """A rule that is wrong when output `k` has no gradient."""

    def backward(g, x):
        wrong = 1.01 if g[k] is None else 1
        g = zeros_for(g, x)
        return [(g[0] * 2 + g[1] * 2 * x + g[2] * 3 * x * x) * wrong]

    return backward


def zero(k):
    """A rule that is wrong when the gradient of output `k` is zero."""

    def backward(g, x):
        g = zeros_for(g, x)
        wrong = 1 if g[k].any() else 1.01
        return [(g[0] * 2 + g[1] * 2 * x + g[2] * 3 * x * x) * wrong]

    return backward


def outputs_swapped(g, x):
    g = zeros_for(g, x)
    return [g[1] * 2 + g[0] * 2 * x + g[2] * 3 * x * x]


def one_left_out(g, x):
    g = zeros_for(g, x)
    return [g[0] * 2 + g[1] * 2 * x]


def fused_with(twin=None, backward=None):
    """x * w, with another twin or backward if it is to be faulty."""

    def op(faulty):
        @mg.fused(
            twin=twin if faulty and twin else lambda x, w: x * w,
            backward=backward if faulty and backward else lambda g, x, w, kept: [g * w, g * x],
            inputs=["x", "w"],
        )
        def scale(x, w):
            return x * w, x * w

        return scale

    return op


def inside(op):
    """The op in the midst of a function."""

    def build(faulty):
        inner = op(faulty)
        return lambda x, w: mg.tanh(inner(mg.exp(x), w) * 0.1)

    return build


def hidden(rule):
    """Rules of x^3 that are right to first order."""
    return lambda faulty: cube_with(rule if faulty else lambda g, x: g * 3 * x * x)


def bare(x):
    return getattr(x, "_array", x)


def forward(f, wrong):
    return lambda faulty: wrong if faulty else f


def makes_state(x):
    return mg.tanh(x) * (1 + 1e-3 * counted())


def changes_its_input(x):
    x.data += 1e-3
    return mg.tanh(x)


def gives_the_same_memory(x):
    y = mg.tanh(x)
    y.data = in_one_buffer(y.data)
    return y


def of_one_output(x):
    return mg.tanh(x), mg.exp(x.detach()) + x * 0


OPS = {
    "another input's rule": (product, (X, Y), 1, "argument 'b'"),
    "rules swapped": (swapped, (X, Y), 1, "argument 'a'"),
    "matmul transposed": (matmul_transposed, (X, Y), 1, "'a'.*it is transposed"),
    "only the first row": (bias_with(lambda g: g[0]), (X, Y[0]), 1, "argument 'b'"),
    "mean, not sum": (bias_with(lambda g: g.mean(0)), (X, Y[0]), 1, "sum over a broadcast axis of length 3"),
    "sum over the wrong axis": (bias_with(lambda g: g.sum(1)), (X, Y[0]), 1, "argument 'b'"),
    "broadcast along the wrong axis": (sum_over, (X,), 1, "it is transposed"),
    "g spoilt for the other input": (spoils_g, (X, Y), 1, "in place|argument"),
    "only beside a constant": (constant, (X, Y), 1, "another derivative when it alone"),
    "only for size 1": (size_one, (X, Y[:1]), 1, "argument 'b'"),
    "first output unused": (split_with(unused(0)), (X,), 1, "of output 1 alone, the others unused"),
    "second output unused": (split_with(unused(1)), (X,), 1, "of output 0 alone, the others unused"),
    "last output unused": (split_with(unused(2)), (X,), 1, "of output 0 alone, the others unused"),
    "gradient of an output zero": (split_with(zero(1)), (X,), 1, "of output 0 alone.*constant factor"),
    "gradients of outputs swapped": (split_with(outputs_swapped), (X,), 1, "argument 'x'"),
    "an output left out": (split_with(one_left_out), (X,), 1, "argument 'x'"),
    "factor in a fused backward": (
        fused_with(backward=lambda g, x, w: [g * w * 1.0005, g * x]), (X, Y), 1, "'x'.*constant factor",
    ),
    "fused inputs swapped": (fused_with(backward=lambda g, x, w: [g * x, g * w]), (X, Y), 1, "argument 'x'"),
    "what was kept changed in place": (
        fused_with(backward=lambda g, x, w, kept: [changed(kept, 1.0) / x - 1.0 / x - w + g * w, g * x]),
        (X, Y), 1, "second walk|linear",
    ),
    "twin of another function": (fused_with(twin=lambda x, w: x * w * 2), (X, Y), 1, "its twin gives another value"),
    "twin of another sign": (fused_with(twin=lambda x, w: -(x * w)), (X, Y), 2, "its twin gives another value"),
    "twin with another constant": (fused_with(twin=lambda x, w: x * w + 1), (X, Y), 2, "its twin gives another value"),
    "twin cut off from an input": (
        fused_with(twin=lambda x, w: x * w.detach()), (X, Y), 1, "its twin gives another derivative",
    ),
    "twin with a wrong derivative": (
        fused_with(twin=lambda x, w: cube_with(lambda g, x: g * x * x)(x) * w / (x * x).detach()),
        (X, Y), 2, "the derivative of scale: argument 'x'",
    ),
    "twin within a function": (inside(fused_with(twin=lambda x, w: x * w * 1.001)), (X, Y), 1, "another value"),
    "second order: cut off": (hidden(lambda g, x: g * 3 * bare(x) ** 2), (X,), 2, "derivative of cube.*zero"),
    "second order: g cut off": (
        hidden(lambda g, x: x * x * 3 * bare(g)), (X,), 2, "derivative of cube.*incoming gradient.*zero",
    ),
    "second order: a factor": (
        hidden(lambda g, x: g * 1.5 * (x * x + bare(x) ** 2)), (X,), 2, "derivative of cube.*should be 2 times",
    ),
    "second order: another first one": (
        hidden(lambda g, x: g * 3 * x * x * (1.01 if isinstance(g, mg.Tensor) else 1)), (X,), 2, "create_graph",
    ),
    "state in the forward": (forward(mg.tanh, makes_state), (X,), 1, "not deterministic"),
    "its input changed": (forward(mg.tanh, changes_its_input), (X,), 1, "changed in place"),
    "its result in memory used again": (forward(mg.tanh, gives_the_same_memory), (X,), 1, "memory that it uses again|changed in place"),
    "float32 inside": (forward(mg.tanh, lambda x: mg.tanh(x.astype("f")).astype("d")), (X,), 1, "rounds to a smaller dtype"),
    "float32 out": (forward(mg.tanh, lambda x: mg.tanh(x.astype("f"))), (X,), 1, "float64 in, float32 out"),
    "float16 out": (forward(mg.tanh, lambda x: mg.tanh(x.astype("e"))), (X,), 1, "float64 in, float16 out"),
    "cut off": (forward(mg.tanh, lambda x: mg.tanh(x.detach())), (X,), 1, "the derivative is zero"),
    "one output cut off": (forward(lambda x: (mg.tanh(x), mg.exp(x)), of_one_output), (X,), 1, "output 1 alone.*the derivative is zero"),
    "random": (forward(mg.tanh, lambda x: mg.dropout(mg.tanh(x), 0.5)), (X,), 1, "not deterministic"),
}  # fmt: skip


@pytest.mark.parametrize("name", OPS)
def test_a_wrong_op(name):
    state.update(calls=0, buffer=None)
    op, inputs, order, cause = OPS[name]
    check_gradients(op(False), *inputs, order=2)
    with pytest.raises(CAUGHT, match=cause):
        check_gradients(op(True), *inputs, order=order)
