"""Mistakes that shipped in other libraries, one test each, by name."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import minigrad as mg


def leaf(values, dtype=np.float64):
    return mg.tensor(np.array(values, dtype), requires_grad=True)


def test_aliased_gradients_one_array_for_two_parents():
    a, b = leaf([1.0]), leaf([1.0])
    (((a + b) * 2).sum() + (a * 5).sum()).backward()
    assert (a.grad.item(), b.grad.item()) == (7.0, 2.0)


def test_aliased_gradients_of_two_leaves_share_no_buffer():
    b_ih, b_hh, x = leaf([1.0, 2.0]), leaf([3.0, 4.0]), leaf([1.0, 1.0])
    g = np.ones(2)
    (x + b_ih + b_hh).backward(g)
    arrays = [x.grad.data, b_ih.grad.data, b_hh.grad.data, g]
    for i, one in enumerate(arrays):
        others = [other for other in arrays[:i] if type(other) is type(one)]
        assert not any(np.shares_memory(one, other) for other in others)
    mg.optim.clip_grad_norm_([b_ih, b_hh], 1.0)
    np.testing.assert_allclose(b_ih.grad.numpy(), 0.5, rtol=1e-5)


@pytest.mark.parametrize("create_graph", [False, True])
def test_gradients_with_a_history_share_no_buffer_either(create_graph):
    x, y, z = leaf([1.0, 2.0]), leaf([3.0, 4.0]), leaf([5.0, 6.0])
    (((x + y) * 2).sum() + z.sum()).backward(create_graph=create_graph)
    assert not np.shares_memory(x.grad.data, y.grad.data)
    mg.optim.clip_grad_norm_([x, y, z], 1.0)
    for g in mg.grad((x + y).sum(), [x, y], create_graph=create_graph):
        g.data[...] = 7.0
    assert x.grad.tolist() == pytest.approx([2 / np.sqrt(18)] * 2)


def test_a_gradient_that_is_a_saved_or_kept_array_is_copied():
    store = mg.tensor(np.full(2, 3.0)).data

    @mg.differentiable(x=lambda g: store)
    def op(x):
        return x * 3

    x, y = leaf([1.0, 1.0]), leaf([1.0, 1.0])
    op(x).backward(np.ones(2))
    op(y).backward(np.ones(2))
    for t in (x, y):
        assert not np.shares_memory(t.grad.data, store)
    (op(x) + op(x) + op(x)).backward(np.ones(2))
    np.testing.assert_array_equal(mg.Tensor(store).numpy(), 3.0)


def test_the_incoming_gradient_is_never_changed():
    x, g = leaf([1.0, 1.0]), np.ones(2)
    y = x + x
    (y + y + y).backward(g)
    np.testing.assert_array_equal(g, 1.0)
    assert x.grad.tolist() == [6.0, 6.0]


def test_the_diamond():
    x = leaf(3.0)
    h = x * x
    (mg.sin(h) * h + h).backward()
    h = 9.0
    assert x.grad.item() == pytest.approx((np.cos(h) * h + np.sin(h) + 1) * 6)


def test_recursion_a_long_rnn():
    cell = mg.nn.RNNCell(1, 2)
    h, x = None, np.ones((1, 1), np.float32)
    limit = sys.getrecursionlimit()
    for _ in range(limit * 2):
        h = cell(x, h)
    h.sum().backward()
    assert np.isfinite(cell.weight_hh.grad.numpy()).all()


@pytest.mark.parametrize(
    "leak",
    [
        lambda x: x * np.sqrt(0.5),
        lambda x: np.sqrt(0.5) * x,
        lambda x: mg.where(x > 0, x, 0.0),
        lambda x: mg.where(x > 0, np.float64(1), x),
        lambda x: x - np.arange(3),
        lambda x: np.arange(3) - x,
        lambda x: x - mg.tensor(np.arange(3)),
        lambda x: x * np.array(0.5),
        lambda x: np.array(0.5) * x,
        lambda x: x**2,
        lambda x: x ** np.int64(2),
        lambda x: mg.clip(x, np.float64(0), None),
        lambda x: x.mean() * np.mean([1.0, 2.0]),
        lambda x: mg.maximum(x, np.float64(0)),
        lambda x: x / 3,
        lambda x: x + [1, 2, 3],  # noqa: RUF005
        lambda x: x * np.array([True, False, True]),
        lambda x: mg.concatenate([x, np.arange(2)]),
        lambda x: mg.std(x),
        lambda x: mg.gelu(x),
        lambda x: mg.binary_cross_entropy_with_logits(x, np.array([1, 0, 1])),
    ],
)
def test_float64_leaks(leak):
    x = leaf([1.0, 2.0, 3.0], np.float32)
    y = leak(x)
    assert y.dtype == np.float32
    y.sum().backward()
    assert x.grad.dtype == np.float32


def test_functions_of_integers_are_float32():
    ids = mg.tensor(np.arange(3))
    assert mg.exp(ids).dtype == ids.mean().dtype == (ids / 2).dtype == np.float32
    assert ids.sum().dtype == (ids * 2).dtype == np.int64


def test_mixed_floats_promote_and_each_input_gets_its_own_dtype_back():
    x, w = leaf([1.0], np.float32), leaf([2.0], np.float64)
    y = x * w
    assert y.dtype == np.float64
    y.sum().backward()
    assert (x.grad.dtype, w.grad.dtype) == (np.float32, np.float64)


def test_repeated_indices_add_up():
    w = leaf(np.zeros((3, 2)))
    mg.embedding(np.array([[0, 2], [2, 2]]), w).sum().backward()
    assert w.grad.tolist() == [[1.0, 1.0], [0.0, 0.0], [3.0, 3.0]]
    w.grad = None
    w[np.array([1, 1])].sum().backward()
    assert w.grad.tolist() == [[0.0, 0.0], [2.0, 2.0], [0.0, 0.0]]


@pytest.mark.parametrize("used", [0, 1, 2])
def test_an_unused_output(used):
    x = leaf([1.0, 2.0, 3.0])
    mg.split(x, 3)[used].sum().backward()
    assert x.grad.tolist() == [float(i == used) for i in range(3)]


@pytest.mark.parametrize("zeros", [0, 1, 2, 3])
def test_prod_with_zeros(zeros):
    values = np.array([2.0, 3.0, 5.0])
    values[:zeros] = 0.0
    mg.testing.check_gradients(mg.prod, values, order=2)


def test_ties_in_max_share_the_gradient():
    x = leaf([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]])
    x.max(1).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [[0, 0.5, 0.5], [1 / 3] * 3])


@pytest.mark.parametrize("size", [1e4, -1e4, 1e30])
def test_softmax_of_huge_logits(size):
    for dtype in (np.float32, np.float64):
        z = leaf([[size, 0.0, -size], [size, size, size]], dtype)
        loss = mg.cross_entropy(z, np.array([0, 1]))
        loss.backward()
        assert np.isfinite(mg.softmax(z).numpy()).all()
        assert np.isfinite(z.grad.numpy()).all()
        assert np.isfinite(loss.item())


def test_cross_entropy_with_all_targets_ignored():
    z = leaf(np.ones((2, 3)), np.float32)
    loss = mg.cross_entropy(z, np.array([-100, -100]))
    loss.backward()
    assert loss.item() == 0.0
    np.testing.assert_array_equal(z.grad.numpy(), 0.0)
    (g,) = mg.grad(mg.cross_entropy(z, np.array([-100, -100])), z, create_graph=True)
    np.testing.assert_array_equal(g.numpy(), 0.0)


def test_empty_batch():
    layer = mg.nn.Linear(3, 4)
    y = layer(mg.zeros((0, 3)))
    assert y.shape == (0, 4)
    mg.cross_entropy(y, np.zeros(0, np.int64)).backward()
    np.testing.assert_array_equal(layer.weight.grad.numpy(), 0.0)


def test_length_one_sequence():
    rnn = mg.nn.LSTM(2, 3)
    output, (h, _) = rnn(mg.ones((1, 4, 2)))
    np.testing.assert_array_equal(output.numpy()[-1], h.numpy()[0])


def test_the_order_of_parameters_does_not_depend_on_identity():
    names = [[n for n, _ in mg.nn.LSTM(2, 3).named_parameters()] for _ in range(3)]
    assert names[0] == names[1] == names[2]
    assert names[0] == ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]


def test_a_gru_does_not_load_into_an_lstm():
    with pytest.raises(ValueError, match="weight_ih"):
        mg.nn.LSTM(2, 3).load_state_dict(mg.nn.GRU(2, 3).state_dict())


def test_optimiser_state_is_not_dropped_without_a_word():
    w = leaf([1.0])
    adam = mg.optim.Adam([w])
    with pytest.raises((ValueError, KeyError)):
        adam.load_state_dict(mg.optim.SGD([w], lr=0.1).state_dict())
