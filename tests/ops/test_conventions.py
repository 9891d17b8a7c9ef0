"""What the docstrings promise at kinks, ties, zeros, NaN and in the far tails."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg


def gradient(f, *values, dtype=np.float64):
    xs = [mg.tensor(np.array(v, dtype), requires_grad=True) for v in values]
    gs = mg.grad(f(*xs).sum(), xs)
    return gs[0].numpy().tolist() if len(gs) == 1 else [g.numpy().tolist() for g in gs]


@pytest.mark.parametrize(
    ("f", "at", "expected"),
    [
        (mg.abs, 0.0, 0.0),
        (mg.relu, 0.0, 0.0),
        (mg.sign, 0.0, 0.0),
        (mg.leaky_relu, 0.0, 0.01),
        (lambda x: mg.elu(x, 0.5), 0.0, 0.5),
        (lambda x: mg.clip(x, 0, 1), [0.0, 1.0, -0.1, 1.1], [1.0, 1.0, 0.0, 0.0]),
        (lambda x: x**0, 0.0, 0.0),
        (lambda x: x**1, 0.0, 1.0),
        (lambda x: x**2, 0.0, 0.0),
        (lambda x: 0.0**x, 1.5, 0.0),
        (mg.norm, [0.0, 0.0], [0.0, 0.0]),
        (mg.std, [2.0, 2.0], [0.0, 0.0]),
        (mg.max, [1.0, 3.0, 3.0], [0.0, 0.5, 0.5]),
        (mg.min, [1.0, 1.0, 3.0], [0.5, 0.5, 0.0]),
        (lambda x: x // 1.0, 2.0, 0.0),
    ],
)
def test_at_kinks_ties_and_zeros(f, at, expected):
    assert gradient(f, at) == expected


@pytest.mark.parametrize("op", [mg.maximum, mg.minimum])
def test_equal_operands_share(op):
    assert gradient(op, 2.0, 2.0) == [0.5, 0.5]


@pytest.mark.parametrize(
    "f",
    [
        mg.relu,
        mg.leaky_relu,
        mg.elu,
        mg.abs,
        mg.sign,
        mg.sigmoid,
        mg.softplus,
        mg.tanh,
        mg.silu,
        mg.gelu,
        lambda x: mg.clip(x, -1, 1),
        lambda x: mg.maximum(x, 0),
        lambda x: mg.minimum(0, x),
        lambda x: mg.max(x, -1),
        lambda x: mg.min(x, -1),
        lambda x: mg.softmax(x),
        lambda x: mg.logsumexp(x, -1),
    ],
)
def test_nan_goes_through(f):
    assert np.isnan(f(mg.tensor([np.nan])).numpy()).all()


def test_nan_takes_the_gradient_of_max():
    assert gradient(mg.max, [1.0, np.nan]) == [0.0, 1.0]


FAR = [1e4, -1e4, 88.0, -88.0, 0.0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("f", "value", "slope"),
    [
        (mg.sigmoid, lambda x: float(x > 0), lambda x: 0.0),
        (mg.softplus, lambda x: max(x, 0.0), lambda x: float(x > 0)),
        (mg.silu, lambda x: max(x, 0.0), lambda x: float(x > 0)),
    ],
)
def test_far_tails(f, value, slope, dtype):
    with np.errstate(all="raise", under="ignore"):
        for x in (1e4, -1e4):
            assert f(mg.tensor(x, dtype=dtype)).item() == pytest.approx(value(x), abs=1e-30)
            assert gradient(f, x, dtype=dtype) == pytest.approx(slope(x), abs=1e-30)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmaxes_of_far_numbers(dtype):
    z = np.array([[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4]], dtype)
    with np.errstate(all="raise", under="ignore"):
        t = mg.tensor(z, requires_grad=True)
        np.testing.assert_allclose(mg.softmax(t).numpy(), [[1, 0, 0], [1 / 3] * 3], rtol=1e-6)
        np.testing.assert_allclose(mg.log_softmax(t).numpy()[1], -np.log(3) * np.ones(3), rtol=1e-3)
        np.testing.assert_allclose(mg.logsumexp(t, 1).numpy(), [1e4, -1e4 + np.log(3)], rtol=1e-6)
        for f in (mg.softmax, mg.log_softmax, lambda t: mg.logsumexp(t, 1)):
            (g,) = mg.grad(f(t)[..., 0].sum(), t)
            assert np.isfinite(g.numpy()).all()
        loss = mg.cross_entropy(t, np.array([1, 0]))
        np.testing.assert_allclose(loss.item(), (2e4 + np.log(3)) / 2, rtol=1e-6)
        (g,) = mg.grad(loss, t)
        np.testing.assert_allclose(g.numpy(), [[0.5, -0.5, 0], [-1 / 3, 1 / 6, 1 / 6]], atol=1e-6)


def test_sigmoid_is_exact_in_the_left_tail():
    x = np.array([-20.0, -50.0, -80.0], np.float32)
    np.testing.assert_allclose(
        mg.sigmoid(mg.tensor(x)).numpy(), np.exp(x.astype(np.float64)), rtol=1e-5
    )


def test_logsumexp_of_nothing_but_minus_infinity():
    x = mg.tensor([[-np.inf, -np.inf], [0.0, 0.0]], requires_grad=True)
    with np.errstate(divide="ignore"):
        y = mg.logsumexp(x, 1)
    assert y.tolist() == [-np.inf, pytest.approx(np.log(2))]
    (g,) = mg.grad(y.sum(), x)
    np.testing.assert_allclose(g.numpy(), [[0, 0], [0.5, 0.5]])


def test_infinite_slope_of_sqrt():
    with np.errstate(divide="ignore"):
        assert gradient(mg.sqrt, 0.0) == np.inf


def test_scatter_set_lets_the_last_value_win():
    x = mg.tensor([0.0, 0.0], requires_grad=True)
    v = mg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = x.at[[0, 0, 1]].set(v)
    assert y.tolist() == [2.0, 3.0]
    y.sum().backward()
    assert (x.grad.tolist(), v.grad.tolist()) == ([0.0, 0.0], [0.0, 1.0, 1.0])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64])
def test_an_update_broadcasts_over_an_index_of_more_axes(dtype):
    x, index = mg.zeros(4, dtype=dtype), np.array([[0, 1, 2]] * 700)
    y = x.at[index].add(mg.tensor([1, 2, 3], dtype=dtype))
    assert y.tolist() == [700, 1400, 2100, 0]
    assert x.at[index].set(mg.tensor([1, 2, 3], dtype=dtype)).tolist() == [1, 2, 3, 0]


def test_an_element_that_is_picked_very_often_has_all_of_its_gradient():
    x = mg.ones(2, dtype=np.float16, requires_grad=True)
    x[np.zeros(5000, int)].sum().backward()
    assert x.grad.tolist() == [5000, 0]  # float16 alone ends at 2048


def test_embedding_padding_has_no_gradient():
    w = mg.ones((3, 2), requires_grad=True)
    mg.embedding([0, 1, 0], w, padding_idx=0).sum().backward()
    assert w.grad.tolist() == [[0, 0], [1, 1], [0, 0]]


def test_dropout_keeps_the_mean_and_is_repeatable():
    x = mg.ones(10_000)
    y = mg.dropout(x, 0.25, rng=np.random.default_rng(0))
    kept = (y != 0).numpy()
    assert abs(kept.mean() - 0.75) < 0.02
    np.testing.assert_allclose(y.numpy()[kept], 1 / 0.75, rtol=1e-6)
    mg.manual_seed(3)
    a = mg.dropout(x).numpy()
    mg.manual_seed(3)
    np.testing.assert_array_equal(a, mg.dropout(x).numpy())
    assert mg.dropout(x, training=False) is x


def test_lists_alone_become_tensors():
    for y in (mg.tanh([0.0, 1.0]), mg.sum([1, 2]), mg.concatenate([[1.0], [2.0]]), mg.exp(1)):
        assert isinstance(y, mg.Tensor)
        assert y.dtype == np.float32
    assert mg.outer([1, 2], [3, 4]).tolist() == [[3, 4], [6, 8]]
    assert mg.tile([1.0, 2.0], 2).tolist() == [1, 2, 1, 2]
    assert mg.mse_loss([1.0], [3.0]).item() == 4.0
    assert mg.layer_norm([1.0, 3.0], 2, eps=0.0).tolist() == [-1.0, 1.0]
    assert mg.embedding([], mg.ones((2, 3))).shape == (0, 3)
    assert mg.binary_cross_entropy_with_logits([0.0], [1]).item() == pytest.approx(np.log(2))


def test_astype_is_differentiable_and_integers_are_constants():
    x = mg.tensor([1.5], requires_grad=True)
    y = x.astype(np.float64)
    y.sum().backward()
    assert (y.dtype, x.grad.dtype) == (np.float64, np.float32)
    assert not x.astype(np.int64).requires_grad


def test_an_integer_beside_index_arrays_is_one_of_them():
    """NumPy's rule, which parts with PyTorch's: the shapes that the docstring tells."""
    x = mg.zeros((2, 3, 4))
    assert x[1, :, [0, 2]].shape == (2, 3)
    assert x[1][:, [0, 2]].shape == (3, 2)
