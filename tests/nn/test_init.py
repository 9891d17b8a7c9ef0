import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.nn import init

SHAPE = (300, 200)  # fan_out, fan_in


def filled(function, *args, shape=SHAPE, seed=0, **options):
    tensor = nn.Parameter(np.full(shape, np.nan))
    assert function(tensor, *args, rng=np.random.default_rng(seed), **options) is tensor
    return tensor.numpy()


def assert_uniform(values, low, high):
    """Within the bounds, up to them, and with the moments of an even distribution."""
    width, n = high - low, values.size
    assert low <= values.min() < low + 20 * width / n
    assert high - 20 * width / n < values.max() <= high
    assert values.mean() == pytest.approx((low + high) / 2, abs=5 * width / math.sqrt(12 * n))
    assert values.std() == pytest.approx(width / math.sqrt(12), rel=5 / math.sqrt(n))


def assert_normal(values, mean, std):
    """The moments, and the shares within one and two standard deviations."""
    n = values.size
    assert values.mean() == pytest.approx(mean, abs=5 * std / math.sqrt(n))
    assert values.std() == pytest.approx(std, rel=5 / math.sqrt(n))
    for k, share in ((1, 0.6827), (2, 0.9545)):
        inside = (np.abs(values - mean) < k * std).mean()
        assert inside == pytest.approx(share, abs=5 * math.sqrt(share * (1 - share) / n))


def test_uniform():
    assert_uniform(filled(init.uniform_), 0, 1)
    assert_uniform(filled(init.uniform_, -2.0, 3.0), -2, 3)


def test_normal():
    assert_normal(filled(init.normal_), 0, 1)
    assert_normal(filled(init.normal_, 2.0, 0.5), 2, 0.5)


def test_constants():
    tensor = nn.Parameter(np.full((2, 3), np.nan))
    for function, args, value in (
        (init.constant_, (2.5,), 2.5),
        (init.ones_, (), 1),
        (init.zeros_, (), 0),
    ):
        assert function(tensor, *args) is tensor
        assert (tensor.numpy() == value).all()


@pytest.mark.parametrize("gain", [1.0, 5 / 3])
def test_xavier(gain):
    std = gain * math.sqrt(2 / 500)
    assert_normal(filled(init.xavier_normal_, gain=gain), 0, std)
    assert_uniform(filled(init.xavier_uniform_, gain=gain), -std * 3**0.5, std * 3**0.5)


@pytest.mark.parametrize(("mode", "fan"), [("fan_in", 200), ("fan_out", 300)])
@pytest.mark.parametrize(
    ("a", "nonlinearity", "variance"),
    [(0.0, "relu", 2), (0.0, "leaky_relu", 2), (2.0, "leaky_relu", 0.4), (0.0, "linear", 1)],
)
def test_kaiming(mode, fan, a, nonlinearity, variance):
    std = math.sqrt(variance / fan)
    options = {"a": a, "mode": mode, "nonlinearity": nonlinearity}
    assert_normal(filled(init.kaiming_normal_, **options), 0, std)
    assert_uniform(filled(init.kaiming_uniform_, **options), -std * 3**0.5, std * 3**0.5)


def test_kaiming_keeps_the_variance_through_relus():
    x = np.random.default_rng(1).normal(size=(500, 200))
    for seed in range(10):
        x = np.maximum(x @ filled(init.kaiming_normal_, shape=(200, 200), seed=seed).T, 0)
    assert 0.5 < (x**2).mean() < 2


def test_more_axes_are_a_window():
    shape = (50, 40, 5)
    assert_normal(filled(init.xavier_normal_, shape=shape), 0, math.sqrt(2 / (5 * 90)))
    assert_normal(filled(init.kaiming_normal_, shape=shape, mode="fan_out"), 0, math.sqrt(2 / 250))


@pytest.mark.parametrize("shape", [(5, 5), (7, 3), (3, 7), (3, 2, 4), (1, 1)])
def test_orthogonal(shape):
    matrix = filled(init.orthogonal_, 2.0, shape=shape).reshape(shape[0], -1)
    rows, columns = matrix.shape
    product = matrix.T @ matrix if rows >= columns else matrix @ matrix.T
    np.testing.assert_allclose(product, 4 * np.eye(min(rows, columns)), atol=1e-12)


def test_orthogonal_matrices_are_drawn_evenly():
    traces = [np.trace(filled(init.orthogonal_, shape=(3, 3), seed=s)) for s in range(2000)]
    # Of an evenly drawn orthogonal matrix the trace has mean 0 and variance 1 (without the signs
    # of R the mean would be far off).
    assert np.mean(traces) == pytest.approx(0, abs=5 / math.sqrt(2000))
    assert np.var(traces) == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize(
    "function",
    [
        init.uniform_,
        init.normal_,
        init.xavier_uniform_,
        init.xavier_normal_,
        init.kaiming_uniform_,
        init.kaiming_normal_,
        init.orthogonal_,
    ],
)
class TestEvery:
    def test_draws_from_the_generator_given_or_the_library_s(self, function):
        one = filled(function, shape=(3, 4), seed=5)
        assert np.array_equal(one, filled(function, shape=(3, 4), seed=5))
        assert not np.array_equal(one, filled(function, shape=(3, 4), seed=6))
        mg.manual_seed(5)
        assert np.array_equal(one, function(nn.Parameter(np.zeros((3, 4)))).numpy())

    def test_keeps_the_dtype_and_marks_the_change(self, function):
        weight = nn.Parameter(np.ones((2, 3), np.float32))
        y = (weight * weight).sum()
        function(weight)
        assert weight.dtype == np.float32
        assert weight.requires_grad
        with pytest.raises(mg.TapeError, match="changed in place"):
            y.backward()

    def test_needs_two_axes_where_it_counts_connections(self, function):
        name = function.__name__
        if name in ("uniform_", "normal_"):
            assert filled(function, shape=(3,)).shape == (3,)
        else:
            with pytest.raises(ValueError, match=rf"{name}: needs a tensor of at least two axes"):
                filled(function, shape=(3,))


def test_gains():
    assert init.calculate_gain("linear") == init.calculate_gain("sigmoid") == 1
    assert init.calculate_gain("tanh") == pytest.approx(5 / 3)
    assert init.calculate_gain("relu") == pytest.approx(math.sqrt(2))
    assert init.calculate_gain("leaky_relu") == pytest.approx(math.sqrt(2 / 1.0001))
    assert init.calculate_gain("leaky_relu", 1) == pytest.approx(1)


def test_unknown_words():
    with pytest.raises(ValueError, match='mode must be "fan_in" or "fan_out", not \'fan\''):
        filled(init.kaiming_normal_, mode="fan")
    with pytest.raises(ValueError, match=r"nonlinearity must be one of linear, .*, not 'sine'"):
        init.calculate_gain("sine")
