"""What the tape keeps of a plain array is a copy of its own: the caller may fill it anew.

`tests/ops/test_every_op.py` holds that for each op of the library; here are ops of one's own,
layers, and what goes on under ``create_graph``.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn


@mg.differentiable(x=lambda g, scale, where: g * scale[0] * where)
def masked(x, scale, where):
    """Options that hold arrays: a tuple of them, and one."""
    return x * scale[0] * where


def _weighted_backward(g, xs, weights):
    return [g * w for w in weights]


@mg.joint(backward=_weighted_backward, inputs=["xs"])
def weighted(xs: Sequence, weights: list):
    return sum(x * w for x, w in zip(xs, weights, strict=True)), None


def _scaled_backward(g, kept):
    return [g * kept]


@mg.fused(twin=lambda x, scale: x * scale, backward=_scaled_backward, inputs=["x"])
def scaled(x, scale):
    return x * scale, scale[:]  # a view of the option


CALLS = {
    "tuple": (lambda x, a: masked(x, (a,), 1), 1),
    "mask": (lambda x, a: masked(x, (2.0,), a), 0),
    "list": (lambda x, a: weighted([x, x], [a, 1.0]), 1),
    "operand in a list": (lambda x, a: mg.einsum("i,i,i->i", x, a, x), 1),
    "kept view": (scaled, 1),
}


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("name", CALLS)
def test_ops_of_ones_own(name, create_graph, device):
    call, fill = CALLS[name]
    gradients = []
    for filled in (False, True):
        a = np.array([1.0, 0.0, 3.0]) if name != "mask" else np.array([True, False, True])
        a = mg.tensor(a).data  # on the device
        x = mg.tensor(np.array([2.0, 3.0, 5.0]), requires_grad=True)
        y = call(x, a)
        if filled:
            a[...] = fill
        (g,) = mg.grad(y.sum(), x, create_graph=create_graph)
        gradients.append(g.numpy())
    np.testing.assert_array_equal(*gradients)


@pytest.mark.host(reason="the layers get NumPy's arrays")
@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.RNNCell(3, 2),
        lambda: nn.GRUCell(3, 2),
        lambda: nn.Linear(3, 2),
        lambda: nn.LayerNorm(3),
        lambda: nn.LSTM(3, 2),
        lambda: nn.GRU(3, 2, unroll=True),
        lambda: nn.Embedding(4, 2),
        lambda: nn.Embedding(4, 2, sparse=True),
        lambda: nn.RNN(4, 2, one_hot=True),
    ],
)
def test_the_usual_buffer_of_a_loop_over_time(make):
    """One array, filled with each time step's input in turn."""

    def gradients(fresh):
        mg.manual_seed(0)
        layer = make()
        of_ids = isinstance(layer, nn.Embedding) or getattr(layer, "one_hot", False)
        row = np.zeros((2, 1), int) if of_ids else np.zeros((2, 3), np.float32)
        total = 0
        for t in range(3):
            row[...] = t
            row[0] += 1
            y = layer(row.copy() if fresh else row)
            total = total + (y[0] if isinstance(y, tuple) else y).sum() * (t + 1)
        total.backward()
        return [p.grad.numpy() for p in layer.parameters()]

    for found, expected in zip(gradients(False), gradients(True), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_gradient_that_is_passed_in_under_create_graph():
    x = mg.tensor(np.array([1.0, 2.0]), requires_grad=True)
    weight = np.array([1.0, 10.0])
    (g,) = mg.grad(x**3, x, weight, create_graph=True)
    weight[...] = 0
    (second,) = mg.grad(g.sum(), x)
    np.testing.assert_array_equal(second.numpy(), [6.0, 120.0])


class Foreign:
    """What another library's array is to minigrad."""

    def __init__(self, values):
        self.array = np.array(values)

    def __array__(self, dtype=None, copy=None):
        return self.array

    def __setitem__(self, place, value):
        self.array[place] = value


@pytest.mark.host(reason="what is on the host is copied to a device anyway")
@pytest.mark.parametrize(
    "kind", [Foreign, lambda v: array("l", v), lambda v: memoryview(np.array(v))]
)
@pytest.mark.parametrize(
    "pick", [lambda x, i: x[i], lambda x, i: mg.stack([x, x])[0, i], lambda x, i: mg.take(x, i)]
)
def test_an_index_of_another_library(kind, pick):
    x, index = mg.tensor(np.array([1.0, 2.0, 3.0]), requires_grad=True), kind([0, 1, 1])
    y = pick(x, index)
    for i in range(3):
        index[i] = 2
    y.backward(np.array([1.0, 2.0, 3.0]))
    assert x.grad.tolist() == [1.0, 5.0, 0.0]
