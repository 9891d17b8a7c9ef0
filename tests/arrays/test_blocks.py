"""Products in blocks against sums in float64."""

from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.arrays import blocks, threads

LENGTHS = st.integers(1, 96)


@pytest.fixture(autouse=True)
def cut_into_blocks(monkeypatch):
    """Whatever the BLAS, and for products that tests can afford."""
    monkeypatch.setattr(blocks, "small_kernels", lambda: True)
    monkeypatch.setattr(blocks, "on_one_thread", lambda: True)
    monkeypatch.setattr(blocks, "SMALL", 2_000)
    monkeypatch.setattr(blocks, "NARROWEST", 4)


@given(st.integers(1, 12), LENGTHS, LENGTHS, st.data())
def test_dot_is_the_product_and_writes_nothing_else(rows, inner, columns, data):
    rng = np.random.default_rng(rows * inner * columns)
    W = rng.standard_normal((inner, columns), np.float32)
    dot, in_blocks = blocks.in_blocks(W, rows)
    room = np.full((rows + 2, columns), np.nan, np.float32)
    for n in data.draw(st.lists(st.integers(1, rows), min_size=1, max_size=3)):
        x = rng.standard_normal((n, inner), np.float32)
        dot(x, in_blocks, room[1 : n + 1])
        exact = x.astype(np.float64) @ W.astype(np.float64)
        np.testing.assert_allclose(room[1 : n + 1], exact, atol=1e-4)
        assert np.isnan(room[0]).all()
        assert np.isnan(room[-1]).all()


@given(st.integers(1, 64), LENGTHS, LENGTHS)
def test_blocks_are_equal_small_and_not_narrow(rows, inner, columns):
    parts, count = blocks.sizes(rows, inner, columns)
    assert inner % parts == columns % count == 0
    if (parts, count) != (1, 1):
        assert rows * (inner // parts) * (columns // count) <= blocks.SMALL
        assert columns // count >= blocks.NARROWEST


def test_matrices_are_cut_along_both_axes():
    assert blocks.sizes(5, 16, 64) == (1, 4)
    assert blocks.sizes(5, 192, 24) == (2, 6)


@pytest.mark.parametrize("W", [np.ones((64, 64)), np.ones((64, 64), np.float32).T])
def test_other_matrices_stay_whole(W):
    x = np.ones((5, 64), W.dtype)
    out = np.empty_like(x)
    dot, whole = blocks.in_blocks(W, 5)
    assert whole is W
    dot(x, whole, out)
    assert (out == 64).all()


@given(st.integers(1, 200), LENGTHS, st.integers(1, 200), st.integers(1, 5), st.booleans())
def test_a_shared_product_is_the_product(rows, inner, columns, count, given_out):
    rng = np.random.default_rng(rows * inner * columns)
    a = rng.standard_normal((inner, rows), np.float32).T
    b = rng.standard_normal((inner, columns), np.float32)
    out = np.full((rows, columns), np.nan, np.float32) if given_out else None
    with (
        mock.patch.multiple(blocks, LARGE=10_000, STEP=16, on_one_thread=lambda: True),
        mock.patch.object(threads, "count", return_value=count),
    ):
        found = blocks.product(a, b, out)
    assert out is None or found is out
    np.testing.assert_allclose(found, a.astype(np.float64) @ b.astype(np.float64), atol=1e-4)
