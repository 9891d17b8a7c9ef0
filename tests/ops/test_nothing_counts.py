"""What counts for nothing may hold anything: ignored rows, classes of weight 0, padding, dropout.

Each is compared with the same where it is left out, or holds zeros. And losses of nothing at all.
"""

import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import nn

JUNK = [math.nan, math.inf, -math.inf]
reductions = pytest.mark.parametrize("reduction", ["mean", "sum", "none"])


def leaf(x):
    return mg.tensor(x, requires_grad=True)


def value_and_gradients(function, *arrays, twice=False):
    """Of the sum of what `function` gives; with `twice` also of the sum of its gradients."""
    leaves = [leaf(x) for x in arrays]
    loss = function(*leaves)
    first = mg.grad(loss.sum(), leaves, create_graph=twice)
    found = [loss, *first]
    if twice:
        found += mg.grad(sum((g * g).sum() for g in first), leaves)
    return [x.numpy() for x in found]


def assert_same(found, expected, rtol=1e-12):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=rtol, atol=1e-15)


def filled(x, where, rng):
    """`x` with infinities and NaN where the mask says so."""
    x = x.copy()
    x[where] = rng.choice(JUNK, x[where].shape)
    return x


@reductions
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_rows_of_ignored_targets(reduction, smoothing, weighted, dtype):
    rng = np.random.default_rng(0)
    z, y = rng.normal(size=(4, 3, 5)).astype(dtype), rng.integers(5, size=(4, 3))
    y[::2, 1] = y[0] = -100
    weight = rng.uniform(0.5, 2, 5) if weighted else None

    def loss(z):
        return mg.cross_entropy(z, y, weight, -100, smoothing, reduction)

    for twice in (False, True):
        expected = value_and_gradients(loss, np.where((y == -100)[..., None], 0, z), twice=twice)
        assert_same(value_and_gradients(loss, filled(z, y == -100, rng), twice=twice), expected)
        assert not np.any(expected[1][y == -100])


@reductions
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_classes_of_weight_zero(reduction, smoothing):
    """Such a target counts for nothing; such a class may be masked, even if labels are smoothed."""
    rng = np.random.default_rng(0)
    z, y = rng.normal(size=(6, 4)), np.array([0, 1, 2, 3, 0, 1])
    weight = np.array([0.0, 1, 2, 0.5])
    z[:, 0] = -math.inf

    def loss(z):
        return mg.cross_entropy(z, y, weight, -100, smoothing, reduction)

    found = value_and_gradients(loss, z)
    probabilities = np.eye(4)[y] * (1 - smoothing) + smoothing / 4
    with np.errstate(divide="ignore"):
        log_probs = z - np.log(np.exp(z).sum(1, keepdims=True))
    losses = -(probabilities * weight * np.where(weight == 0, 0, log_probs)).sum(1)
    expected = {"none": losses, "sum": losses.sum(), "mean": losses.sum() / weight[y].sum()}
    np.testing.assert_allclose(found[0], expected[reduction])
    assert np.isfinite(found[1]).all()
    if not smoothing:
        z[y == 0] = rng.choice(JUNK, (2, 4))
        assert_same(value_and_gradients(loss, z), found)


@given(st.integers(0, 2**32), st.booleans(), st.sampled_from(["mean", "sum", "none"]))
def test_a_masked_class_is_as_if_it_were_not_there(seed, by_index, reduction):
    rng = np.random.default_rng(seed)
    z, masked = rng.normal(size=(3, 5)), rng.random(5) < 0.5
    masked[rng.integers(5)] = False
    left = np.flatnonzero(~masked)
    if by_index:
        y = rng.integers(len(left), size=3)
        whole = left[y]
    else:
        y = rng.dirichlet(np.ones(len(left)), 3)
        whole = np.zeros((3, 5))
        whole[:, left] = y

    def loss(targets):
        return lambda z: mg.cross_entropy(z, targets, reduction=reduction)

    expected = value_and_gradients(loss(y), z[:, left])
    z[:, masked] = -math.inf
    for twice in (False, True):
        value, gradient, *second = value_and_gradients(loss(whole), z, twice=twice)
        assert_same([value, gradient[:, left]], expected)
        assert not np.any(gradient[:, masked])
        assert np.isfinite(second).all()


def test_the_gradient_of_a_probability_is_the_surprise_also_at_zero():
    z, p = np.array([1.0, 2.0, -1.0]), np.array([0.0, 1.0, 0.0])
    (_, of_p) = value_and_gradients(lambda p: mg.cross_entropy(z, p), p)
    np.testing.assert_allclose(of_p, np.log(np.exp(z).sum()) - z)


@reductions
def test_log_probabilities_of_ignored_targets_and_of_weight_zero(reduction):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(5, 3)), np.array([0, -100, 1, 2, -100])
    weight, nothing = np.array([0.0, 1, 2]), np.array([1, 1, 0, 0, 1], bool)

    def loss(x):
        return mg.nll_loss(x, y, weight, reduction=reduction)

    found = value_and_gradients(loss, filled(x, nothing, rng))
    assert_same(found, value_and_gradients(loss, x))
    assert not np.any(found[1][nothing])


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("features", [2, 9])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_hidden_rows_of_ignored_targets(smoothing, features, dtype):
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=s).astype(dtype) for s in [(6, features), (5, features), (5,)]]
    y = np.array([1, -100, 4, -100, 0, 2])
    kept = [arrays[0] * (y != -100)[:, None].astype(dtype), *arrays[1:]]
    arrays[0] = filled(arrays[0], y == -100, rng)
    for reduction in ("mean", "sum"):
        loss = partial(
            mg.linear_cross_entropy, targets=y, label_smoothing=smoothing, reduction=reduction
        )
        for twice in (False, True):
            found, expected = (value_and_gradients(loss, *a, twice=twice) for a in (arrays, kept))
            assert_same(found, expected)
            assert not np.any(found[1][y == -100])


def test_a_class_masked_by_its_bias():
    rng = np.random.default_rng(0)
    h, W, b = rng.normal(size=(6, 3)), rng.normal(size=(5, 3)), rng.normal(size=5)
    b[4] = -math.inf
    loss = partial(mg.linear_cross_entropy, targets=np.arange(6) % 4)
    found, expected = (value_and_gradients(loss, h, *a) for a in [(W, b), (W[:4], b[:4])])
    assert_same([found[0], found[1], found[2][:4], found[3][:4]], expected)
    assert not np.any(found[2][4])
    assert found[3][4] == 0


class TestBinary:
    def test_infinite_logits(self):
        z, t = np.array([math.inf, -math.inf, math.inf, -math.inf, math.inf]), [1, 0, 0, 1, 0.25]
        losses, gradient = value_and_gradients(
            lambda z: mg.binary_cross_entropy_with_logits(z, np.array(t), reduction="none"), z
        )
        np.testing.assert_array_equal(losses, [0, 0, math.inf, math.inf, math.inf])
        np.testing.assert_allclose(gradient, [0, 0, 1, -1, 0.75], atol=1e-300)

    @reductions
    def test_elements_of_weight_zero(self, reduction):
        rng = np.random.default_rng(0)
        z, t, w = rng.normal(size=(3, 4)), rng.random((3, 4)), np.ones((3, 4))
        w[0], w[2, 1] = 0, 0

        def loss(z):
            return mg.binary_cross_entropy_with_logits(z, t, w, reduction)

        found = value_and_gradients(loss, filled(z, w == 0, rng))
        assert_same(found, value_and_gradients(loss, z))
        assert not np.any(found[1][w == 0])

    def test_the_gradient_of_a_target(self):
        z, t = np.array([0.5, -2.0, 3.0]), np.array([0.0, 1.0, 0.3])
        _, gradient = value_and_gradients(
            lambda t: mg.binary_cross_entropy_with_logits(z, t, reduction="sum"), t
        )
        np.testing.assert_allclose(gradient, -z)


class TestDropout:
    @pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "longdouble"])
    @pytest.mark.parametrize("p", [0.3, np.float32(0.5), 1.0])
    @pytest.mark.parametrize("axis", [None, 0])
    def test_what_is_dropped_is_zero_and_so_is_its_gradient(self, dtype, p, axis, device):
        if device != "cpu" and dtype == "longdouble":
            pytest.skip("a GPU has none")
        ones = leaf(np.ones((4, 50), dtype))
        ones = mg.dropout(ones, p, True, np.random.default_rng(0), axis)
        dropped = ones.numpy() == 0
        assert dropped.any()
        for junk in JUNK:
            x, g = (np.where(dropped, junk, 2).astype(dtype) for _ in range(2))
            y = mg.dropout(leaf(x), p, True, np.random.default_rng(0), axis)
            np.testing.assert_array_equal(y.numpy(), ones.numpy() * 2)
            x = leaf(np.ones((4, 50), dtype))
            mg.dropout(x, p, True, np.random.default_rng(0), axis).backward(mg.tensor(g))
            np.testing.assert_array_equal(x.grad.numpy(), ones.numpy() * 2)

    def test_of_whole_vectors(self):
        layer, ids = nn.Embedding(30, 2, dropout=0.5), np.arange(30)
        layer.rng = np.random.default_rng(0)
        vectors = layer(ids).numpy()
        dropped = (vectors == 0).all(1)
        assert 0 < dropped.sum() < 30
        layer.weight.data = np.where(dropped[:, None], math.inf, layer.weight.numpy())
        layer.rng = np.random.default_rng(0)
        again = layer(ids)
        np.testing.assert_array_equal(again.numpy(), vectors)
        dropped = np.stack([dropped, dropped], 1)
        again.backward(np.where(dropped, math.inf, 1))
        np.testing.assert_array_equal(layer.weight.grad.numpy(), np.where(dropped, 0, 2))


@pytest.mark.parametrize("sparse", [False, True])
def test_the_gradient_of_padding_is_dropped_whatever_it_is(sparse):
    weight, ids = leaf(np.ones((4, 2))), np.array([1, 0, 3, 0])
    g = np.ones((4, 2))
    g[ids == 0] = math.inf
    mg.embedding(ids, weight, 0, sparse).backward(mg.tensor(g))
    np.testing.assert_array_equal(weight.grad.numpy(), [[0, 0], [1, 1], [0, 0], [1, 1]])


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("junk", JUNK)
def test_padding_reaches_neither_outputs_nor_gradients(kind, unroll, junk):
    rng, lengths = np.random.default_rng(0), [3, 0, 5, 1]
    padding = np.arange(5)[:, None] >= np.array(lengths)
    layer = kind(2, 3, bidirectional=True, unroll=unroll, rng=rng, dtype="float64")
    x, g = rng.normal(size=(5, 4, 2)), rng.normal(size=(5, 4, 6))

    def run(fill):
        layer.zero_grad()
        inputs = leaf(np.where(padding[..., None], fill, x))
        output, state = layer(inputs, lengths=lengths)
        output.backward(mg.tensor(np.where(padding[..., None], fill, g)))
        final = state[0] if isinstance(state, tuple) else state
        return [
            a.numpy() for a in (output, final, inputs.grad, *[p.grad for p in layer.parameters()])
        ]

    found = run(junk)
    assert_same(found, run(0))
    assert not np.any(found[0][padding])
    assert not np.any(found[2][padding])


def test_relu_in_a_network_stops_an_infinite_gradient():
    layer = nn.RNN(1, 1, nonlinearity="relu", dtype="float64")
    for p, value in zip(layer.parameters(), (1, 0, 0, 0), strict=True):
        p.data = np.full(p.shape, float(value))
    x = leaf(np.array([[[-1.0]], [[2.0]]]))
    output, _ = layer(x)
    output.backward(mg.tensor([[[math.inf]], [[1.0]]], dtype="float64"))
    np.testing.assert_array_equal(x.grad.numpy(), [[[0]], [[1]]])


class TestNothingAtAll:
    @pytest.mark.parametrize("shape", [(2, 0), (0, 3), (0,)])
    @pytest.mark.parametrize("op", [mg.softmax, mg.log_softmax])
    def test_softmax(self, op, shape):
        value, gradient = value_and_gradients(op, np.zeros(shape))
        assert value.shape == gradient.shape == shape

    @pytest.mark.parametrize(
        "loss",
        [
            lambda z, r: mg.cross_entropy(z, np.zeros(0, int), reduction=r),
            lambda z, r: mg.cross_entropy(z, np.zeros(0, int), np.ones(3), -100, 0.1, r),
            lambda z, r: mg.cross_entropy(z, np.zeros((0, 3)), reduction=r),
            lambda z, r: mg.nll_loss(z, np.zeros(0, int), reduction=r),
            lambda z, r: mg.mse_loss(z, np.zeros((0, 3)), r),
            lambda z, r: mg.binary_cross_entropy_with_logits(z, np.zeros((0, 3)), None, r),
        ],
    )
    def test_losses(self, loss):
        for reduction, expected in [("sum", 0), ("mean", math.nan)]:
            value, gradient = value_and_gradients(partial(loss, r=reduction), np.zeros((0, 3)))
            np.testing.assert_array_equal(value, expected)
            assert gradient.shape == (0, 3)
        assert loss(leaf(np.zeros((0, 3))), "none").size == 0

    @pytest.mark.parametrize("op", [mg.softmax, mg.log_softmax])
    def test_a_row_that_is_masked_altogether(self, op):
        z = np.array([[-math.inf, -math.inf], [0.0, -math.inf]])
        found = op(leaf(z)).numpy()
        assert np.isnan(found[0]).all()
        np.testing.assert_array_equal(found[1], [1, 0] if op is mg.softmax else [0, -math.inf])


def test_numbers_of_numpy_as_options():
    z, y = np.random.default_rng(0).normal(size=(4, 3)).astype("float32"), np.array([0, 1, 2, 1])
    for whole in (np.int64, np.array):
        for number in (np.float64, np.array):
            result = mg.cross_entropy(leaf(z), y, None, whole(1), number(0.25))
            assert result.dtype == np.float32
            assert result.item() == mg.cross_entropy(leaf(z), y, None, 1, 0.25).item()
            result = mg.linear_cross_entropy(leaf(z), z[:, :3], None, y, whole(1), number(0.25))
            assert result.dtype == np.float32
            assert mg.nll_loss(leaf(z), y, None, whole(1)).dtype == np.float32
            result = mg.layer_norm(leaf(z), whole(3), eps=number(1e-5))
            assert result.dtype == np.float32
            assert mg.dropout(leaf(z), number(0.5)).dtype == np.float32
            assert mg.embedding(y, leaf(z), whole(1)).dtype == np.float32
