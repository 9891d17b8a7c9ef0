"""Numbers of NumPy, and of classes of their own, mean what Python's numbers mean."""

from __future__ import annotations

import enum

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn


class Count(enum.IntEnum):
    TWO = 2


class Length(float):
    """A float of a class of its own."""


X = np.array([[0.5, -1.5, 2.0], [3.5, 1.0, -0.25]], np.float32)

WITH_INTEGERS = [
    lambda x, n: x.sum(n(1)),
    lambda x, n: x.sum((n(0), n(1))),
    lambda x, n: x.max(n(-1), keepdims=True),
    lambda x, n: x.std(n(0), ddof=n(1)),
    lambda x, n: mg.cumsum(x, n(1)),
    lambda x, n: mg.cumprod(x, n(1)),
    lambda x, n: mg.sort(x, n(0)),
    lambda x, n: mg.topk(x, n(2), n(1))[0],
    lambda x, n: mg.softmax(x, n(0)),
    lambda x, n: mg.logsumexp(x, n(0)),
    lambda x, n: mg.norm(x, n(2), n(1)),
    lambda x, n: mg.concatenate([x, x], n(1)),
    lambda x, n: mg.stack([x, x], n(1)),
    lambda x, n: mg.split(x, n(3), n(1))[n(2)],
    lambda x, n: mg.unstack(x, n(1))[0],
    lambda x, n: mg.expand_dims(x, n(1)),
    lambda x, n: mg.swapaxes(x, n(0), n(1)),
    lambda x, n: mg.moveaxis(x, n(0), n(1)),
    lambda x, n: x.transpose(n(1), n(0)),
    lambda x, n: x.reshape(n(3), n(2)),
    lambda x, n: x.view(n(3), n(2)),
    lambda x, n: mg.broadcast_to(x, (n(2), n(2), n(3))),
    lambda x, n: mg.flip(x, n(1)),
    lambda x, n: mg.roll(x, n(1), n(1)),
    lambda x, n: mg.tile(x, n(2)),
    lambda x, n: mg.repeat(x, n(2), n(1)),
    lambda x, n: mg.pad(x, n(1)),
    lambda x, n: mg.take(x, n(1), n(1)),
    lambda x, n: mg.take_along_axis(x, np.array([[0], [1]]), n(1)),
    lambda x, n: mg.tensordot(x, x, n(2)),
    lambda x, n: mg.tensordot(x, x, (n(1), n(1))),
    lambda x, n: mg.diagonal(x, n(1)),
    lambda x, n: mg.tril(x, n(1)),
    lambda x, n: mg.trace(x, n(1)),
    lambda x, n: mg.round(x, n(1)),
    lambda x, n: x[n(1)],
    lambda x, n: x[n(0), n(1) :],
    lambda x, n: x.at[n(1)].set(n(7)),
    lambda x, n: x.argmax(n(1)) * x[:, 0],
    lambda x, n: mg.any(x, n(1)) * x[:, 0],
    lambda x, n: mg.argsort(x, n(1)) * x,
    lambda x, n: mg.one_hot(np.array([0, 1]), n(3)) * x,
    lambda x, n: mg.zeros(n(2), n(3)) + x,
    lambda x, n: mg.ones((n(2), n(3))) + x,
    lambda x, n: mg.full((n(2), n(3)), n(4)) + x,
    lambda x, n: mg.arange(n(3)) * x,
    lambda x, n: mg.linspace(n(0), n(1), n(3)) * x,
    lambda x, n: mg.eye(n(2), n(3)) * x,
    lambda x, n: mg.layer_norm(x, n(3)),
    lambda x, n: mg.cross_entropy(x, np.array([0, 1]), axis=n(1)),
    lambda x, n: mg.embedding(n(1), x),
    lambda x, n: mg.dropout(x, n(0)),
    lambda x, n: x ** n(2),
    lambda x, n: n(2) ** x,
    lambda x, n: x * n(2) + n(1) - x / n(3),
    lambda x, n: mg.where(x > n(0), x, n(0)),
    lambda x, n: mg.clip(x, n(0), n(1)),
    lambda x, n: mg.maximum(n(1), x),
]

WITH_FLOATS = [
    lambda x, f: x * f(0.1),
    lambda x, f: f(0.1) * x,
    lambda x, f: f(0.1) / x,
    lambda x, f: x - f(0.1),
    lambda x, f: f(0.1) - x,
    lambda x, f: abs(x) ** f(0.5),
    lambda x, f: f(0.5) ** x,
    lambda x, f: x // f(0.5),
    lambda x, f: mg.maximum(x, f(0.1)),
    lambda x, f: mg.where(x > f(0.5), x, f(0.1)),
    lambda x, f: mg.clip(x, f(-0.1), f(0.1)),
    lambda x, f: mg.leaky_relu(x, f(0.1)),
    lambda x, f: mg.elu(x, f(0.1)),
    lambda x, f: mg.pad(x, 1, constant_values=f(0.1)),
    lambda x, f: x.at[0].set(f(0.1)),
    lambda x, f: x.at[0].add(f(0.1)),
    lambda x, f: x.masked_fill(x > 0, f(0.1)),
    lambda x, f: mg.norm(x, f(3.0), 1),
    lambda x, f: mg.layer_norm(x, 3, eps=f(0.1)),
    lambda x, f: mg.full((3,), f(0.1)) * x,
    lambda x, f: mg.tensor(f(0.1), dtype="float32") * x,
    lambda x, f: mg.linspace(f(0.0), f(1.0), 3) * x,
    lambda x, f: mg.arange(f(0.0), f(3.0), f(1.0)) * x,
]


def compare(call, number):
    x = mg.tensor(X, requires_grad=True)
    y, expected = call(x, number), call(mg.tensor(X), lambda value: value)
    assert y.dtype == expected.dtype == np.float32
    np.testing.assert_array_equal(y.numpy(), expected.numpy())


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8])
@pytest.mark.parametrize("call", WITH_INTEGERS)
def test_integers(call, kind):
    compare(call, lambda value: np.int64(value) if value < 0 else kind(value))


@pytest.mark.parametrize("kind", [np.float64, np.float32])
@pytest.mark.parametrize("call", WITH_FLOATS)
def test_floats(call, kind):
    def number(value):
        return kind(value) if kind(value) == value else value

    compare(call, number)


@pytest.mark.parametrize("kind", [np.array, Length, lambda value: np.full((), value)])
@pytest.mark.parametrize("call", WITH_FLOATS[:10])
def test_floats_of_other_kinds_as_operands(call, kind):
    compare(call, kind)


def test_numbers_of_classes_of_their_own():
    x = mg.tensor(X)
    for y in (x * Count.TWO, Count.TWO * x, x / Count.TWO, mg.maximum(x, Count.TWO)):
        assert y.dtype == np.float32
    assert x[Count.TWO - 1].tolist() == X[1].tolist()
    assert nn.Linear(Count.TWO, Count.TWO)(mg.ones(1, 2)).shape == (1, 2)
