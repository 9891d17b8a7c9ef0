"""Sums, and all that is made of them, keep their digits: float32 over many rows, and float16."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.arrays.sums import total

ROWS = 100 + np.random.default_rng(0).random((200_000, 3), np.float32)
EXACT = ROWS.astype(np.float64)


def rel(result, expected):
    return float(np.max(np.abs(np.asarray(result, np.float64) / expected - 1)))


@settings(deadline=None)
@given(st.data())
def test_any_axes_of_any_layout(data):
    """Against Python's own exact sum, element by element."""
    shape = data.draw(
        st.lists(st.sampled_from([1, 2, 5, 40, 70, 300, 700]), min_size=1, max_size=3)
    )
    while math.prod(shape) > 30_000:
        shape[int(np.argmax(shape))] //= 3
    axes = data.draw(st.lists(st.sampled_from(range(len(shape))), unique=True))
    rng = np.random.default_rng(data.draw(st.integers(0, 9)))
    x = (rng.random(shape) + 100).astype(data.draw(st.sampled_from([np.float32, np.float64])))
    x = x.transpose(data.draw(st.permutations(range(x.ndim))))
    layout = data.draw(st.sampled_from(["as it is", "every second", "repeated", "backwards"]))
    if layout == "every second":
        x = np.repeat(x, 2, -1)[..., ::2]
    elif layout == "repeated":
        x = np.broadcast_to(x[:, :1] if x.ndim > 1 else x[:1], x.shape)
    elif layout == "backwards":
        x = x[::-1]
    keepdims = data.draw(st.booleans())
    result = total(x, tuple(axes), keepdims)
    kept = [i for i in range(x.ndim) if i not in axes]
    assert result.dtype == x.dtype
    assert result.shape == tuple(
        n if i in kept else 1 for i, n in enumerate(x.shape) if keepdims or i in kept
    )
    moved = x.transpose(kept + axes).reshape(*[x.shape[i] for i in kept], -1)
    result = np.reshape(result, [x.shape[i] for i in kept])
    for place in itertools.islice(np.ndindex(result.shape), 5):
        expected = math.fsum(moved[place].tolist())
        assert result[place] == pytest.approx(expected, rel=4 * float(np.finfo(x.dtype).eps))


rounding = pytest.mark.host(reason="the double says nothing about the rounding of a GPU")


@rounding
@pytest.mark.parametrize(
    ("op", "expected", "tolerance"),
    [
        (mg.sum, EXACT.sum(0), 3e-7),
        (mg.mean, EXACT.mean(0), 3e-7),
        (mg.var, EXACT.var(0), 2e-6),  # the mean, in float32, is off by 4e-6 at best
        (mg.std, EXACT.std(0), 2e-6),
        (lambda x, axis: mg.norm(x, None, axis), np.sqrt((EXACT**2).sum(0)), 3e-7),
        (lambda x, axis: mg.norm(x, 3, axis), (EXACT**3).sum(0) ** (1 / 3), 3e-7),
        (lambda x, axis: mg.norm(x, 1, axis), EXACT.sum(0), 3e-7),
        (lambda x, axis: mg.cumsum(x, axis)[-1], EXACT.sum(0), 3e-7),
        (lambda x, axis: mg.exp(mg.logsumexp(mg.log(x), axis)), EXACT.sum(0), 3e-6),
        (lambda x, axis: mg.einsum("ij->j", x), EXACT.sum(0), 3e-7),
    ],
)
def test_over_many_rows_of_float32(op, expected, tolerance):
    assert rel(op(mg.tensor(ROWS), 0).numpy(), expected) < tolerance


@rounding
def test_gradients_of_what_was_broadcast_over_many_rows():
    x, b = mg.tensor(ROWS), mg.zeros(3, requires_grad=True)
    (x * (b + 1)).sum().backward()
    assert rel(b.grad.numpy(), EXACT.sum(0)) < 3e-7
    (g,) = mg.grad((x * (b + 1)).sum(), b, create_graph=True)
    assert rel(g.numpy(), EXACT.sum(0)) < 3e-7


ONES = np.zeros(400_000, int)


@pytest.mark.host(reason="a GPU adds in an order, and a precision, of its own")
@pytest.mark.parametrize(
    "gather",
    [
        lambda x: x[ONES],
        lambda x: mg.take(x, ONES),
        lambda x: mg.take_along_axis(x, ONES),
        lambda x: mg.repeat(x[:1], len(ONES)),
        lambda x: mg.pad(x[:1], (len(ONES) - 1, 0), mode="edge"),
        lambda x: mg.embedding(ONES, x[:, None])[:, 0],
    ],
)
def test_gradients_of_what_was_picked_many_times(gather):
    x, g = mg.zeros(3, requires_grad=True), np.resize(ROWS, len(ONES))
    gather(x).backward(g)
    assert rel(x.grad.numpy()[:1], [g.astype(np.float64).sum()]) < 3e-7


LARGE = np.full((5000, 2), 40.0, np.float16) + np.arange(2, dtype=np.float16)
LARGE64 = LARGE.astype(np.float64)


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        (lambda x: mg.sum(x * (1 / 16), 0), LARGE64.sum(0) / 16),
        (lambda x: mg.mean(x, 0), LARGE64.mean(0)),
        (lambda x: mg.mean(x), LARGE64.mean()),
        (lambda x: mg.var(x * 100), (LARGE64 * 100).var()),
        (lambda x: mg.std(x * 1024), (LARGE64 * 1024).std()),
        (lambda x: mg.norm(x, None, 0), np.sqrt((LARGE64**2).sum(0))),
        (lambda x: mg.norm(x, 3, 0), (LARGE64**3).sum(0) ** (1 / 3)),
        (lambda x: mg.logsumexp(x, 0), LARGE64[0] + np.log(5000)),
        (lambda x: mg.cumsum(x * (1 / 16), 0)[-1], LARGE64.sum(0) / 16),
        (lambda x: mg.trace(x[:2]), 81.0),
    ],
)
def test_sums_of_float16_are_kept_in_float32(op, expected):
    y = op(mg.tensor(LARGE))
    assert y.dtype == np.float16
    np.testing.assert_allclose(y.numpy().astype(np.float64), expected, rtol=2e-3)


def test_gradients_of_float16_are_summed_in_float32():
    b = mg.zeros(2, dtype=np.float16, requires_grad=True)
    (mg.tensor(np.full((5000, 2), 2.0, np.float16)) * (b + 1)).mean(1).sum().backward()
    assert b.grad.tolist() == [5000.0, 5000.0]


@pytest.mark.parametrize(
    "loss",
    [
        lambda x: x.mean(),
        lambda x: mg.mse_loss(x, mg.ones(x.shape, dtype=np.float16)) * 0.5,
        lambda x: mg.abs(x - 1).mean(),
        lambda x: mg.binary_cross_entropy_with_logits(x, mg.ones(x.shape, dtype=np.float16)) * 2,
    ],
)
@pytest.mark.parametrize("create_graph", [False, True])
def test_a_mean_of_more_than_float16_can_count(loss, create_graph):
    n = 70_000
    x = mg.zeros(n, dtype=np.float16, requires_grad=True)
    (g,) = mg.grad(loss(x), x, create_graph=create_graph)
    np.testing.assert_allclose(np.abs(g.numpy()[:3].astype(float)) * n, 1, rtol=0.05)
