"""What an op stops it stops: its gradient is 0, and not infinity times 0. And NaN goes on."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg

INF, NAN = np.inf, np.nan


def gradients(f, *values, g=INF, dtype=np.float64):
    """Of `f` at `values`, where the gradient that comes in is `g` everywhere."""
    xs = [mg.tensor(np.array(v, dtype), requires_grad=True) for v in values]
    y = f(*xs)
    return [d.numpy().tolist() for d in mg.grad(y, xs, mg.full(y.shape, g, dtype=dtype))]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(
    ("f", "values", "expected"),
    [
        (mg.relu, [[-1.0, 0.0, 1.0]], [[0, 0, INF]]),
        (lambda x: mg.leaky_relu(x, 0.0), [[-1.0, 0.0, 1.0]], [[0, 0, INF]]),
        (mg.abs, [[-1.0, 0.0, 1.0]], [[-INF, 0, INF]]),
        (mg.sign, [[-1.0, 0.0]], [[0, 0]]),
        (lambda x: mg.clip(x, -1, 1), [[-2.0, 0.0, 2.0]], [[0, INF, 0]]),
        (lambda x: x**0, [[0.0, 2.0]], [[0, 0]]),
        (lambda x, p: x**p, [[2.0, 2.0, 0.0], [0.0, 1.0, 2.0]], [[0, INF, NAN], [INF, INF, 0]]),
        (mg.maximum, [[1.0, 2.0], [2.0, 1.0]], [[0, INF], [INF, 0]]),
        (mg.minimum, [[1.0, 2.0], [2.0, 1.0]], [[INF, 0], [0, INF]]),
        (
            lambda x, y: mg.where([True, False], x, y),
            [[1.0, 1.0], [1.0, 1.0]],
            [[INF, 0], [0, INF]],
        ),
        (mg.floor_divide, [[3.0], [2.0]], [[0], [0]]),
        (mg.remainder, [[1.0], [2.0]], [[INF], [0]]),
        (mg.max, [[1.0, 3.0, 2.0]], [[0, INF, 0]]),
        (mg.min, [[1.0, 3.0, 2.0]], [[INF, 0, 0]]),
        (mg.prod, [[0.0, 2.0, 3.0]], [[INF, 0, 0]]),
        (mg.norm, [[0.0, 0.0]], [[0, 0]]),
        (mg.norm, [[0.0, 2.0]], [[0, INF]]),
        (mg.std, [[2.0, 2.0]], [[0, 0]]),
        (mg.var, [[2.0, 2.0]], [[0, 0]]),
        (lambda x, v: x.at[[0, 0]].set(v), [[1.0, 2.0], [3.0, 4.0]], [[0, INF], [0, INF]]),
        (lambda x, v: x.at[:1].set(v), [[1.0, 2.0], [3.0]], [[0, INF], [INF]]),
        (mg.tril, [[[1.0, 2.0], [3.0, 4.0]]], [[[INF, 0], [INF, INF]]]),
        (mg.triu, [[[1.0, 2.0], [3.0, 4.0]]], [[[INF, INF], [0, INF]]]),
    ],
)
def test_an_infinite_gradient_is_stopped(f, values, expected, dtype):
    with np.errstate(invalid="ignore"):  # the one NaN among what is expected
        found = gradients(f, *values, dtype=dtype)
    for d, e in zip(found, expected, strict=True):
        np.testing.assert_array_equal(d, e)


@pytest.mark.parametrize("outer", [mg.sqrt, mg.log, lambda y: 1 / y])
@pytest.mark.parametrize(
    ("inner", "at"),
    [
        (mg.relu, [-1.0, 0.0]),
        (mg.abs, [0.0]),
        (mg.var, [1.0, 1.0]),
        (mg.norm, [0.0, 0.0]),
        (lambda x: mg.norm(x, 3), [0.0, 0.0]),
        (lambda x: mg.norm(x, 0.5), [0.0, 0.0]),
        (lambda x: mg.clip(x, 0, 1), [-1.0]),
        (lambda x: mg.maximum(x, 0.0), [-1.0]),
        (lambda x: x.at[0].set(0.0), [1.0]),
    ],
)
def test_behind_a_slope_that_is_infinite_at_0(outer, inner, at):
    x = mg.tensor(at, requires_grad=True)
    with np.errstate(divide="ignore"):
        for create_graph in (False, True):
            (g,) = mg.grad(outer(inner(x)).sum(), x, create_graph=create_graph)
            assert g.tolist() == [0.0] * len(at)


@pytest.mark.parametrize(
    "f",
    [
        mg.relu,
        mg.leaky_relu,
        mg.elu,
        mg.abs,
        mg.silu,
        mg.gelu,
        mg.softplus,
        lambda x: mg.gelu(x, "tanh"),
        lambda x: mg.clip(x, -1, 1),
        lambda x: mg.maximum(x, 0),
        lambda x: mg.minimum(0, x),
        lambda x: mg.max(x, -1),
        lambda x: mg.min(x, -1),
        mg.norm,
        mg.std,
    ],
)
def test_at_nan_the_gradient_goes_on(f):
    (g,) = gradients(f, [NAN], g=1.0)
    assert g != [0.0]
    (g,) = gradients(f, [NAN], g=NAN)
    assert np.isnan(g)


@pytest.mark.parametrize("p", [-1, 0.5, 1.5, 3])
def test_p_norms_beside_a_zero(p):
    def exact(a, b):
        total = a**p + b**p
        return [total ** (1 / p - 1) * a ** (p - 1), total ** (1 / p - 1) * b ** (p - 1)]

    values, slopes = [0.0, 1.0, 4.0], [0.0, *(exact(1.0, 4.0) if p > 0 else [0.0, 0.0])]
    x = mg.tensor(values, dtype=np.float64, requires_grad=True)
    y = mg.norm(x, p)
    assert y.item() == pytest.approx(np.sum([1.0, 4.0**p]) ** (1 / p) if p > 0 else 0)
    (g,) = mg.grad(y, x, create_graph=True)
    np.testing.assert_allclose(g.numpy(), slopes)
    (gg,) = mg.grad((g * g).sum(), x)
    assert np.isfinite(gg.numpy()).all()


def test_p_norm_to_second_order_beside_a_zero():
    mg.testing.check_gradients(lambda x: mg.norm(x, 4), np.array([0.0, 1.0, 2.0]), order=2)


def test_the_exponent_of_0_has_no_gradient():
    for p in (-1.0, -0.5, 0.0, 2.0):
        with np.errstate(divide="ignore"):
            assert gradients(mg.power, [0.0], [p], g=1.0)[1] == [0.0]
            assert gradients(lambda p: 0.0**p, [p], g=1.0) == [[0.0]]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(
    ("op", "value"),
    [
        (mg.sum, 0.0),
        (mg.prod, 1.0),
        (mg.mean, NAN),
        (mg.var, NAN),
        (mg.std, NAN),
        (mg.logsumexp, -INF),
        (lambda x, axis: mg.norm(x, None, axis), 0.0),
        (lambda x, axis: mg.norm(x, 3, axis), 0.0),
        (lambda x, axis: mg.norm(x, 1, axis), 0.0),
    ],
)
def test_over_nothing(op, value, dtype):
    """What NumPy and PyTorch give, without a warning, and a gradient of nothing."""
    x = mg.zeros((2, 0), dtype=dtype, requires_grad=True)
    y = op(x, 1)
    np.testing.assert_equal(y.numpy(), np.full(2, value, dtype))
    (g,) = mg.grad(y.sum(), x)
    assert g.shape == (2, 0)
    assert op(x, 0).shape == (0,)


@pytest.mark.parametrize("op", [mg.max, mg.min])
def test_the_largest_of_nothing_is_an_error(op):
    with pytest.raises(ValueError, match=r"max|min"):
        op(mg.zeros((2, 0)), 1)


@pytest.mark.parametrize("op", [mg.var, mg.std])
def test_a_variance_with_nothing_to_divide_by(op):
    x = mg.ones(1, requires_grad=True)
    y = op(x, ddof=1)
    assert np.isnan(y.item())
    assert np.isnan(mg.grad(y, x)[0].item())
    assert op(mg.tensor([1.0, 3.0]), ddof=2).item() == INF
