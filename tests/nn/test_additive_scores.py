"""The fused scores of additive attention, held against their twin."""

from __future__ import annotations

import tracemalloc
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.nn import additive_scores as module
from minigrad.nn.additive_scores import additive_scores
from minigrad.testing import check_gradients

sizes = st.integers(0, 3)


def with_gradients(op, arrays, dtype="float64"):
    inputs = [mg.tensor(a, dtype=dtype, requires_grad=True) for a in arrays]
    scores = op(*inputs)
    weights = np.random.default_rng(0).normal(size=scores.shape).astype(dtype)
    return [scores, *mg.grad((scores * weights).sum(), inputs)]


@settings(max_examples=80)
@given(st.none() | sizes, sizes, sizes, st.integers(1, 3), st.integers(1, 40), st.booleans())
def test_values_and_gradients_are_those_of_the_twin(N, T, S, hidden, block, swapped):
    rng, lead = np.random.default_rng(0), () if N is None else (N,)
    arrays = [rng.normal(size=size) for size in ((*lead, T, hidden), (*lead, S, hidden), hidden)]
    if swapped and lead:  # in another order in memory
        arrays[:2] = [np.ascontiguousarray(a.swapaxes(0, 1)).swapaxes(0, 1) for a in arrays[:2]]
    with mock.patch.object(module, "BLOCK", block):
        found = with_gradients(additive_scores, arrays)
    expected = with_gradients(additive_scores.twin, arrays)
    assert found[0].shape == (*lead, T, S)
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("block", [1, 1000])
def test_derivatives(block):
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=size) for size in ((2, 3, 2), (2, 4, 2), 2)]
    with mock.patch.object(module, "BLOCK", block):
        check_gradients(additive_scores, *arrays, order=2)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_it_is_as_exact_as_its_dtype(dtype):
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=size).astype(dtype) for size in ((2, 20, 64), (2, 300, 64), 64)]
    found = with_gradients(additive_scores, arrays, dtype)
    expected = with_gradients(additive_scores.twin, arrays, "float64")
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == np.dtype(dtype)
        error = np.abs(one.numpy().astype("float64") - other.numpy()).max()
        assert error < 16 * np.finfo(dtype).eps * np.abs(other.numpy()).max()


def test_it_keeps_none_of_the_many_tanhs():
    arrays = [np.ones(size, np.float32) for size in ((8, 40, 64), (8, 40, 64), 64)]
    inputs = [mg.tensor(a, requires_grad=True) for a in arrays]
    held = []
    for op in (additive_scores, additive_scores.twin):
        tracemalloc.start()
        scores = op(*inputs)
        held.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        assert scores.requires_grad
    tanhs = 4 * 8 * 40 * 40 * 64
    assert held[1] > tanhs > 2 * held[0]
