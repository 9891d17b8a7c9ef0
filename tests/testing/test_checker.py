"""The checker itself: rules that are wrong in each usual way are caught and explained."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.testing import GradientError, check_gradients, check_layer

X = np.array([[0.3, -1.2], [0.7, 2.1]])


def op_with_rule(rule):
    @mg.differentiable(x=rule)
    def wrong(x):
        return x * x * x

    return wrong


@pytest.mark.parametrize(
    ("rule", "cause"),
    [
        (lambda g, x: -g * 3 * x * x, "the sign is flipped"),
        (lambda g, x: g * x * x, r"constant factor: it should be 3 times"),
        (lambda g, x: g * 3.0003 * x * x, "constant factor: it should be 0.9999"),
        (lambda g, x: g * 2.9997 * x * x, "constant factor: it should be 1.0001"),
        (lambda g, x: g * 0.0, "the derivative is zero"),
        (lambda g, x: mg.transpose(g * 3 * x * x), ""),
        (lambda g, x: g * np.nan, "NaN"),
        (lambda g, x: g * 3 * x, ""),
    ],
)
def test_wrong_rules_are_caught(rule, cause):
    check_gradients(op_with_rule(lambda g, x: g * 3 * x * x), X, order=2)
    with pytest.raises(GradientError, match=r"wrong: argument 'x'.*finite differences.*" + cause):
        check_gradients(op_with_rule(rule), X)


def test_one_wrong_element_is_named():
    slip = mg.tensor(np.array([[0, 0], [1e-3, 0]])).data
    wrong = op_with_rule(lambda g, x: g * (3 * x * x + slip))
    with pytest.raises(GradientError, match=r"at \(1, 0\)"):
        check_gradients(wrong, X)


def test_a_transposed_derivative_is_recognised():
    @mg.differentiable(a=lambda g, b: (g @ mg.transpose(b)).T, b=lambda g, a: a.T @ g)
    def product(a, b):
        return a @ b

    with pytest.raises(GradientError, match=r"'a'.*it is transposed"):
        check_gradients(product, X, X.T + 0.5)


def test_a_missing_sum_over_a_broadcast_axis_is_recognised():
    @mg.differentiable(x=lambda g: g, b=lambda g: g[0])
    def add_bias(x, b):
        return x + b

    with pytest.raises(GradientError, match="derivative"):
        check_gradients(add_bias, np.ones((5, 3)), np.ones(3))

    @mg.differentiable(x=lambda g: g, b=lambda g: g.mean(0))
    def mean_bias(x, b):
        return x + b

    with pytest.raises(GradientError, match=r"'b'.*sum over a broadcast axis of length 5"):
        check_gradients(mean_bias, np.ones((5, 3)), np.ones(3))


def test_a_wrong_rule_is_caught_in_a_large_argument_too():
    with pytest.raises(GradientError, match="random direction"):
        check_gradients(op_with_rule(lambda g, x: g * 3.0003 * x * x), np.linspace(-1, 1, 200))
    check_gradients(op_with_rule(lambda g, x: g * 3 * x * x), np.linspace(-1, 1, 200), order=2)


def test_a_wrong_second_derivative_is_caught():
    """The first derivative is right, but hides a factor from the tape."""
    hidden = op_with_rule(lambda g, x: g * (3 * getattr(x, "_array", x) ** 2))
    check_gradients(hidden, X)
    with pytest.raises(GradientError, match=r"the derivative of wrong: argument 'x'.*zero"):
        check_gradients(hidden, X, order=2)


def test_a_wrong_fused_backward_is_caught():
    def backward(g, kept, x):
        return [g * kept * 2.001]

    @mg.fused(twin=lambda x: mg.square(x), backward=backward, inputs=["x"])
    def fused_square(x):
        return x * x, x

    with pytest.raises(GradientError, match=r"fused_square.*constant factor"):
        check_gradients(fused_square, X)


def test_a_wrong_multi_input_rule_names_the_argument():
    @mg.differentiable(a=lambda g, b: g * b, b=lambda g, b: g * b)
    def product(a, b):
        return a * b

    with pytest.raises(GradientError, match="argument 'b'"):
        check_gradients(product, X, X + 1)


def test_other_faults():
    with pytest.raises(GradientError, match="float32 out; precision"):
        check_gradients(lambda x: x.astype(np.float32), X)
    rng = np.random.default_rng(0)
    with pytest.raises(GradientError, match="not deterministic"):
        check_gradients(lambda x: mg.dropout(x, rng=rng), np.ones(50))

    def mutates(x):
        x.data += 1e-3
        return x * 2

    with pytest.raises((GradientError, mg.TapeError)):
        check_gradients(mutates, X)
    with pytest.raises(GradientError, match="the derivative is zero"):
        check_gradients(lambda x: x.detach() * 2, X)
    with pytest.raises(ValueError, match="order must be 1 or 2"):
        check_gradients(mg.tanh, X, order=3)


def test_what_is_not_floating_is_passed_on():
    check_gradients(lambda x, ids, n, flag: x[ids] * n if flag else x, X, np.array([0, 0]), 3, True)
    check_gradients(lambda pair: [pair, None, (pair * 2, pair > 0)], X)


# ------------------------------------------------------------------------------- layers


class Affine(mg.nn.Module):
    def __init__(self):
        self.scale = mg.nn.Parameter(np.array([1.0, 2.0], np.float32))

    def forward(self, x, state):
        h = mg.tanh(x * self.scale + state)
        return h, h


def test_check_layer_passes_what_is_right():
    check_layer(Affine(), X, X)
    check_layer(mg.nn.Linear(2, 3), X, order=2)
    check_layer(mg.nn.LSTMCell(2, 2), X, (X, X + 1))
    check_layer(mg.nn.GRU(2, 3), X.reshape(2, 1, 2))
    check_layer(mg.nn.Embedding(5, 2), np.array([[0, 3], [3, 1]]))
    check_layer(mg.nn.Dropout(0.5), np.ones((4, 4)))


def test_check_layer_leaves_the_layer_alone():
    layer = mg.nn.Linear(2, 3)
    before = layer.state_dict()
    check_layer(layer, X)
    assert all(np.array_equal(before[k], v) for k, v in layer.state_dict().items())
    assert layer.weight.dtype == np.float32
    assert layer.weight.grad is None


@pytest.mark.parametrize(
    ("forward", "text"),
    [
        (lambda self, x: x * self.scale.detach() + self.scale * 0, "argument 'scale'"),
        (lambda self, x: x * self.scale * np.ones(2), "float32 in, float64 out"),
        (lambda self, x: self.count(x), "two runs|not deterministic"),
        (lambda self, x: self.spoil(x), "changed"),
    ],
)
def test_check_layer_catches_what_is_wrong(forward, text):
    class Wrong(Affine):
        calls = 0

        def count(self, x):
            self.calls += 1
            return x * self.scale * self.calls

        def spoil(self, x):
            x.data[...] = 0.5 if x.dtype == np.float32 else x.data
            return x * self.scale

    Wrong.forward = forward
    with pytest.raises(GradientError, match=text):
        check_layer(Wrong(), X)
