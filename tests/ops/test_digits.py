"""Sums that keep their digits, in losses, layers and gradients: float16, and many rows of float32.

Expected values are NumPy's in float64.
"""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.arrays.sums import LONG


def leaf(x):
    return mg.tensor(x, requires_grad=True)


def rows_of(shape, dtype, low=0.5, high=1.5):
    return np.random.default_rng(0).uniform(low, high, shape).astype(dtype)


FLOAT16 = ("float16", 20_000, 2e-3)
FLOAT32 = pytest.param(
    *("float32", 400_000, 4e-7),
    marks=pytest.mark.host(reason="a GPU adds in pairs itself, and the double of CuPy does not"),
)
each_dtype = pytest.mark.parametrize(("dtype", "many", "rtol"), [FLOAT16, FLOAT32])
half = pytest.mark.parametrize(("dtype", "many", "rtol"), [FLOAT16])


@each_dtype
class TestLosses:
    def losses(self, dtype, many):
        z, y = rows_of((many, 4), dtype, -2, 2), np.random.default_rng(1).integers(4, size=many)
        exact = z.astype("float64")
        log_probs = exact - np.log(np.exp(exact).sum(1, keepdims=True))
        return z, y, log_probs, -log_probs[np.arange(many), y]

    def test_cross_entropy(self, dtype, many, rtol):
        z, y, log_probs, losses = self.losses(dtype, many)
        for targets in (y, np.eye(4, dtype=dtype)[y]):
            x = leaf(z)
            loss = mg.cross_entropy(x, targets)
            loss.backward()
            assert loss.dtype == dtype
            np.testing.assert_allclose(loss.item(), losses.mean(), rtol=rtol)
            of_z = (np.exp(log_probs) - np.eye(4)[y]) / many
            np.testing.assert_allclose(x.grad.numpy(), of_z, rtol=1e-2, atol=6e-8)
        total = mg.cross_entropy(leaf(z), y, reduction="sum").item()
        np.testing.assert_allclose(total, losses.sum(), rtol=rtol)

    def test_as_the_twin_gives_it(self, dtype, many, rtol):
        z, y, _, _ = self.losses(dtype, many)
        x = leaf(z)
        loss = mg.cross_entropy(x, y)
        (g,) = mg.grad(loss, [x], create_graph=True)
        (plain,) = mg.grad(mg.cross_entropy(x, y), [x])
        assert g.dtype == dtype
        np.testing.assert_allclose(g.numpy(), plain.numpy(), rtol=1e-2, atol=6e-8)

    def test_log_likelihood(self, dtype, many, rtol):
        _, y, log_probs, losses = self.losses(dtype, many)
        loss = mg.nll_loss(leaf(log_probs.astype(dtype)), y)
        np.testing.assert_allclose(loss.item(), losses.mean(), rtol=rtol)

    def test_linear_cross_entropy(self, dtype, many, rtol):
        z, y, log_probs, losses = self.losses(dtype, many)
        h, W, b = leaf(z), leaf(np.eye(4, dtype=dtype)), leaf(np.zeros(4, dtype))
        loss = mg.linear_cross_entropy(h, W, b, y)
        loss.backward()
        np.testing.assert_allclose(loss.item(), losses.mean(), rtol=rtol)
        exact = np.exp(log_probs).mean(0) - np.bincount(y, minlength=4) / many
        np.testing.assert_allclose(b.grad.numpy(), exact, rtol=0, atol=rtol)

    def test_others(self, dtype, many, rtol):
        x, y = rows_of((many, 2), dtype), np.zeros((many, 2), dtype)
        loss = mg.mse_loss(leaf(x), y)
        np.testing.assert_allclose(loss.item(), np.square(x, dtype="float64").mean(), rtol=rtol)
        loss = mg.binary_cross_entropy_with_logits(leaf(x), y)
        exact = np.log1p(np.exp(x.astype("float64"))).mean()
        np.testing.assert_allclose(loss.item(), exact, rtol=rtol)


def test_squares_that_float16_does_not_have():
    x = leaf(np.array([300, 0, 0, 0], "float16"))
    loss = mg.mse_loss(x, np.zeros(4, "float16"))
    loss.backward()
    assert (loss.item(), x.grad.tolist()) == (22496, [150, 0, 0, 0])


@each_dtype
@pytest.mark.parametrize("axis", [0, -1])
def test_softmax_over_many(dtype, many, rtol, axis):
    x = np.moveaxis(rows_of((many, 2), dtype), 0, axis)
    exact = np.exp(x.astype("float64"))
    exact /= exact.sum(axis, keepdims=True)
    np.testing.assert_allclose(mg.softmax(leaf(x), axis).numpy(), exact, rtol=rtol * 4, atol=6e-8)
    found = mg.log_softmax(leaf(x), axis).numpy()
    np.testing.assert_allclose(found, np.log(exact), rtol=rtol)
    z = leaf(x)
    mg.softmax(z, axis).backward(x)
    of_z = exact * (x - (x * exact).sum(axis, keepdims=True))
    np.testing.assert_allclose(z.grad.numpy(), of_z, rtol=rtol, atol=1e-7)


@each_dtype
def test_layer_norm(dtype, many, rtol):
    x, g = rows_of((many, 3), dtype), rows_of((many, 3), dtype)
    w, b = leaf(np.ones(3, dtype)), leaf(np.zeros(3, dtype))
    y = mg.layer_norm(leaf(x), 3, w, b)
    y.backward(g)
    exact = x.astype("float64")
    exact -= exact.mean(1, keepdims=True)
    exact /= np.sqrt((exact**2).mean(1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(y.numpy(), exact, rtol=0, atol=100 * rtol)  # of nearly equal numbers
    np.testing.assert_allclose(b.grad.numpy(), g.astype("float64").sum(0), rtol=rtol)
    largest = np.abs(exact * g).sum(0).max()
    np.testing.assert_allclose(w.grad.numpy(), (exact * g).sum(0), rtol=0, atol=rtol * largest)


@half
def test_layer_norm_over_many_features(dtype, many, rtol):
    x = rows_of((2, many), dtype, 0, 300)
    exact = x.astype("float64")
    exact = (exact - exact.mean(1, keepdims=True)) / exact.std(1, keepdims=True)
    for eps in (1e-5, 1e-12):
        found = mg.layer_norm(leaf(x), many, eps=eps).numpy()
        np.testing.assert_allclose(found, exact, rtol=rtol, atol=1e-3)


@each_dtype
@pytest.mark.parametrize("width", [3, LONG + 6])
@pytest.mark.parametrize("sparse", [False, True])
def test_one_id_many_times(dtype, many, rtol, width, sparse):
    many //= 8
    ids = np.zeros(many, int)
    ids[::10] = 1
    weight, g = leaf(np.zeros((3, width), dtype)), rows_of((many, width), dtype)
    mg.embedding(ids, weight, sparse=sparse).backward(g)
    exact = [g[ids == i].astype("float64").sum(0) for i in range(3)]
    np.testing.assert_allclose(weight.grad.numpy(), exact, rtol=rtol)


@each_dtype
def test_columns_of_a_one_hot_network(dtype, many, rtol):
    many //= 8
    layer = nn.RNN(2, 1, one_hot=True, dtype=dtype, nonlinearity="relu")
    for p, value in zip(layer.parameters(), (1, 0, 1, 0), strict=True):
        p.data = np.full(p.shape, value, dtype)
    g = rows_of((1, many, 1), dtype)
    output, _ = layer(np.zeros((1, many), int))
    output.backward(g)
    exact = g.astype("float64").sum()
    np.testing.assert_allclose(layer.weight_ih_l0.grad.numpy(), [[exact, 0]], rtol=rtol)


@each_dtype
@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_weights_and_biases_of_recurrent_layers(dtype, many, rtol, kind):
    """Of one step of many sequences. Those of the weights are matrix products of the BLAS."""
    many //= 8
    layer, exact = (kind(1, 1, rng=np.random.default_rng(0), dtype=d) for d in (dtype, "float64"))
    for p, q in zip(layer.parameters(), exact.parameters(), strict=True):
        q.data = p.numpy().astype("float64")
    x, g = rows_of((1, many, 1), dtype), rows_of((1, many, 1), dtype)
    for net, kept in ((layer, dtype), (exact, "float64")):
        net(mg.tensor(x.astype(kept)))[0].backward(g.astype(kept))
    for name, p in layer.named_parameters():
        expected = getattr(exact, name).grad.numpy()
        precise = {"rtol": 4 * rtol if "bias" in name else 30 * rtol, "atol": rtol}
        np.testing.assert_allclose(p.grad.numpy(), expected, err_msg=name, **precise)


def test_two_halves_of_a_float16_gradient():
    """Row-sparse gradients that meet are added in float32, too."""
    weight = leaf(np.zeros((2, 1), "float16"))
    for _ in range(2):
        mg.embedding(np.zeros(3000, int), weight, sparse=True).sum().backward()
    assert weight.grad.numpy().tolist() == [[6000], [0]]
    assert math.isfinite(mg.optim.clip_grad_norm_([weight], 1.0).item())


@pytest.mark.host(reason="a GPU adds in an order of its own")
def test_what_is_not_contiguous_keeps_its_digits():
    rows = (100 + 3 * np.random.default_rng(0).random((400_000, 3))).astype(np.float32)
    x = mg.tensor(rows).T
    wide = rows.T.astype(np.float64)
    expected = (wide - wide.mean(1, keepdims=True)) / np.sqrt(wide.var(1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(mg.layer_norm(x, 400_000).numpy(), expected, atol=2e-5)
    ids = np.zeros(3, int)
    expected = np.log(np.exp(wide - 103).sum(1)) + 103 - wide[:, 0]
    loss = mg.cross_entropy(mg.tensor(rows), ids, axis=0)
    assert loss.item() == pytest.approx(expected.mean(), rel=3e-7)


def test_an_einsum_of_three_is_summed_in_float32():
    a = mg.tensor(np.full((100_000, 2), 0.3, np.float16))
    y = mg.einsum("ij,ik,il->jkl", a, a, a)
    assert y.dtype == np.float16
    np.testing.assert_allclose(y.numpy().astype(float), 2700, rtol=2e-3)


def test_layer_norm_of_float16_under_create_graph():
    rng = np.random.default_rng(0)
    x = mg.tensor((rng.normal(size=(5, 20)) * 300).astype(np.float16), requires_grad=True)
    w = mg.tensor(np.ones(20, np.float16), requires_grad=True)
    y, seed = mg.layer_norm(x, 20, w), mg.tensor(rng.random((5, 20)).astype(np.float16))
    plain = mg.grad(y, [x, w], seed, retain_graph=True)
    through_the_twin = mg.grad(y, [x, w], seed, create_graph=True)
    for a, b in zip(plain, through_the_twin, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=5e-3, atol=1e-5)
