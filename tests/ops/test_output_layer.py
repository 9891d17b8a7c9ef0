"""linear_cross_entropy, held against cross_entropy(linear()), which holds all logits.

Value and all gradients, over shapes, options, and which inputs require a gradient, with the work
cut into many blocks and pieces and shared among threads; finite differences to second order; huge
numbers and NaN; how much memory it takes; and that the number of threads changes no bit.
"""

from __future__ import annotations

import tracemalloc
from contextlib import contextmanager
from functools import partial
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.arrays import buffers, threads
from minigrad.ops import output_layer as output
from minigrad.testing import check_gradients


@contextmanager
def cut_up(block, piece, count):
    """Blocks and pieces of so few logits, and so many threads."""
    threads._pool.cache_clear()
    with (
        mock.patch.multiple(output, BLOCK=block, PIECE=piece),
        mock.patch.object(threads, "count", return_value=count),
    ):
        try:
            yield
        finally:
            threads._pool().shutdown()
            threads._pool.cache_clear()


def composed(hidden, weight, bias, targets, ignore_index=-100, smoothing=0.0, reduction="mean"):
    logits = mg.linear(hidden, weight, bias)
    return mg.cross_entropy(logits, targets, None, ignore_index, smoothing, reduction)


def draw_inputs(rng, lead, classes, features, bias, ignored, dtype=np.float64):
    """Arrays hidden, weight, bias; and targets, of which a part is ignored."""
    hidden, weight = rng.normal(size=(*lead, features)), rng.normal(size=(classes, features))
    targets = np.where(rng.random(lead) < ignored, -100, rng.integers(0, classes, lead))
    arrays = [hidden, weight, rng.normal(size=classes) if bias else None]
    return [None if a is None else a.astype(dtype) for a in arrays], targets


def value_and_gradients(f, arrays, targets, *options, scale=1.0, wanted=(True, True, True)):
    inputs = [
        None if a is None else mg.tensor(a, requires_grad=want)
        for a, want in zip(arrays, wanted, strict=True)
    ]
    loss = f(*inputs, targets, *options)
    leaves = [x for x in inputs if x is not None and x.requires_grad]
    assert loss.requires_grad == bool(leaves)
    gs = mg.grad(loss * scale, leaves) if leaves else []
    return [loss.numpy(), *(g.numpy() for g in gs)]


ALL = {"lead": (7, 5), "classes": 6, "features": 3, "bias": True, "ignored": 0.2}


@settings(max_examples=200)
@given(
    seed=st.integers(0, 2**32 - 1),
    lead=st.lists(st.integers(0, 7), max_size=3),
    sizes=st.tuples(st.integers(1, 6), st.integers(1, 4)),
    bias=st.booleans(),
    ignored=st.sampled_from([0.0, 0.3, 0.9, 1.0]),
    smoothing=st.just(0.0) | st.floats(0, 1),
    reduction=st.sampled_from(["mean", "sum"]),
    scale=st.sampled_from([1.0, -2.5, 0.0]),
    wanted=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    cut=st.sampled_from([(1 << 22, 160_000, 1), (1, 1, 1), (20, 7, 3), (60, 12, 2), (9, 100, 4)]),
    in_bits=st.booleans(),
)
def test_it_is_cross_entropy_of_linear(
    seed, lead, sizes, bias, ignored, smoothing, reduction, scale, wanted, cut, in_bits
):
    rng = np.random.default_rng(seed)
    arrays, targets = draw_inputs(rng, lead, *sizes, bias, ignored)
    options = (-100, smoothing, reduction)
    how = {"scale": scale, "wanted": wanted}
    expected = value_and_gradients(composed, arrays, targets, *options, **how)
    with cut_up(*cut), mock.patch.object(output, "_fast_powers_of_2", return_value=in_bits):
        found = value_and_gradients(mg.linear_cross_entropy, arrays, targets, *options, **how)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype == np.float64
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("smoothing", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_derivatives_to_second_order(smoothing, reduction):
    rng = np.random.default_rng(0)
    arrays, targets = draw_inputs(rng, (2, 3), 4, 2, True, 0.3)
    with cut_up(8, 4, 2):
        check_gradients(
            lambda h, W, b: mg.linear_cross_entropy(
                mg.tanh(h), W, b, targets, -100, smoothing, reduction
            ),
            *arrays,
            order=2,
        )


@pytest.mark.parametrize("ignore_index", [-1, 2, 99])
def test_ignore_index_may_be_any_number(ignore_index):
    arrays, targets = draw_inputs(np.random.default_rng(0), (9,), 4, 3, True, 0)
    targets[::2] = ignore_index
    found = value_and_gradients(mg.linear_cross_entropy, arrays, targets, ignore_index)
    expected = value_and_gradients(composed, arrays, targets, ignore_index)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("counting", [1, 2])
def test_the_mean_is_over_the_targets_that_count(counting):
    arrays, targets = draw_inputs(np.random.default_rng(0), (6,), 4, 3, True, 0)
    targets[counting:] = -100
    rows = [composed(arrays[0][i], *arrays[1:], targets[i]) for i in range(counting)]
    found = mg.linear_cross_entropy(*arrays, targets)
    np.testing.assert_allclose(found, np.mean(rows), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "u8", list, mg.Tensor])
def test_targets_may_be_any_integers(dtype):
    arrays, targets = draw_inputs(np.random.default_rng(0), (3, 4), 5, 3, True, 0)
    on_cpu = partial(mg.Tensor, device="cpu")
    given_as = {list: np.ndarray.tolist, mg.Tensor: on_cpu}.get(dtype, lambda a: a.astype(dtype))
    found = mg.linear_cross_entropy(*arrays, given_as(targets))
    np.testing.assert_allclose(found, composed(*arrays, targets), rtol=1e-12)


def test_float32_stays_float32_and_is_as_exact_as_composed():
    rng = np.random.default_rng(0)
    arrays, targets = draw_inputs(rng, (40, 25), 500, 16, True, 0.1)
    exact = value_and_gradients(composed, arrays, targets)
    single = [a.astype(np.float32) for a in arrays]
    with cut_up(50_000, 4_000, 2):
        found = value_and_gradients(mg.linear_cross_entropy, single, targets)
    usual = value_and_gradients(composed, single, targets)
    for one, other, right in zip(found, usual, exact, strict=True):
        assert one.dtype == np.float32
        size = np.abs(right).max()
        error, allowed = (np.abs(a - right).max() / size for a in (one, other))
        assert error < min(4 * allowed + 2e-7, 1e-4)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_dtypes_promote_as_in_numpy(which):
    arrays, targets = draw_inputs(np.random.default_rng(0), (4,), 5, 3, True, 0, np.float32)
    arrays[which] = arrays[which].astype(np.float64)
    inputs = [mg.tensor(a, requires_grad=True) for a in arrays]
    loss, expected = mg.linear_cross_entropy(*inputs, targets), composed(*inputs, targets)
    loss.backward()
    assert [x.grad.dtype for x in inputs] == [x.dtype for x in inputs]
    assert loss.dtype == expected.dtype


# ------------------------------------------------------------------------- hard numbers


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_huge_logits_stay_finite(dtype, smoothing):
    arrays, targets = draw_inputs(np.random.default_rng(0), (20,), 6, 3, True, 0.1, dtype)
    arrays[0] *= dtype(1e4)
    options = (-100, smoothing)
    found = value_and_gradients(mg.linear_cross_entropy, arrays, targets, *options)
    expected = value_and_gradients(composed, arrays, targets, *options)
    assert expected[0] > 1000
    for one, other in zip(found, expected, strict=True):
        assert np.isfinite(one).all()
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-4 * np.abs(other).max())


def test_nan_in_hidden_shows():
    arrays, targets = draw_inputs(np.random.default_rng(0), (6,), 4, 3, True, 0)
    arrays[0][2, 1] = np.nan
    loss, dh, dW, db = value_and_gradients(mg.linear_cross_entropy, arrays, targets)
    assert np.isnan(loss)
    assert np.isnan(dW).any()
    assert np.isnan(db).any()
    assert (np.isnan(dh).any(1) == (np.arange(6) == 2)).all()


@pytest.mark.parametrize("huge", [1e30, -1e30])
def test_ignored_rows_do_not_matter_however_large(huge):
    arrays, targets = draw_inputs(np.random.default_rng(0), (9,), 5, 3, True, 0, np.float32)
    targets[::2] = -100
    expected = value_and_gradients(mg.linear_cross_entropy, arrays, targets)
    arrays[0][::2] *= np.float32(huge)
    found = value_and_gradients(mg.linear_cross_entropy, arrays, targets)
    assert not found[1][::2].any()
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_nan_in_ignored_rows_is_not_in_the_loss(reduction):
    arrays, targets = draw_inputs(np.random.default_rng(0), (9,), 5, 3, True, 0)
    targets[::2] = -100
    expected = composed(*arrays, targets, -100, 0.1, reduction)
    arrays[0][::2] = np.nan
    found = mg.linear_cross_entropy(*arrays, targets, -100, 0.1, reduction)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("lead", [(), (4,)])
def test_nothing_to_learn_from_is_zero(lead, reduction):
    arrays, targets = draw_inputs(np.random.default_rng(0), lead, 5, 3, True, 1.0)
    for found in value_and_gradients(
        mg.linear_cross_entropy, arrays, targets, -100, 0.1, reduction
    ):
        assert not np.any(found)
        assert not np.isnan(found).any()


@pytest.mark.parametrize("lead", [(0,), (3, 0)])
def test_the_mean_of_no_targets_is_nan_and_their_sum_is_zero(lead):
    arrays, targets = draw_inputs(np.random.default_rng(0), lead, 5, 3, True, 0)
    for reduction, expected in [("mean", np.nan), ("sum", 0)]:
        loss, *gradients = value_and_gradients(
            mg.linear_cross_entropy, arrays, targets, -100, 0.1, reduction
        )
        np.testing.assert_array_equal(loss, expected)
        assert not any(np.any(g) for g in gradients)


def test_no_features():
    arrays, targets = draw_inputs(np.random.default_rng(0), (4,), 5, 0, True, 0)
    found = value_and_gradients(mg.linear_cross_entropy, arrays, targets)
    for one, other in zip(found, value_and_gradients(composed, arrays, targets), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-13)


def test_no_classes():
    with pytest.raises(ValueError, match="linear_cross_entropy"):
        mg.linear_cross_entropy(np.ones((2, 3)), np.ones((0, 3)), None, np.array([-100, -100]))


# ------------------------------------------------------------------------- walks and memory


def test_several_walks_with_different_gradients():
    """The gradients are made on the way forward: nobody may spoil them for the next walk."""
    arrays, targets = draw_inputs(np.random.default_rng(0), **ALL)
    inputs = [mg.tensor(a, requires_grad=True) for a in arrays]
    _, *expected = value_and_gradients(composed, arrays, targets)
    loss = mg.linear_cross_entropy(*inputs, targets)
    for scale in (1.0, 1.0, -3.0, 1.0):
        gs = mg.grad(loss, inputs, mg.tensor(np.float64(scale)), retain_graph=True)
        for g, e in zip(gs, expected, strict=True):
            np.testing.assert_allclose(g.numpy(), scale * e, rtol=1e-10, atol=1e-13)
            g.data[...] = np.nan
    for _ in range(2):
        loss.backward(retain_graph=True)
        for x in inputs:
            x.grad.data[...] *= 10  # as clipping would
    for x, e in zip(inputs, expected, strict=True):
        np.testing.assert_allclose(x.grad.numpy(), 110 * e, rtol=1e-10, atol=1e-12)


def test_tied_weights():
    """As embedding and output layer at once: the two gradients of one tensor are added."""
    (_, weight, _), targets = draw_inputs(np.random.default_rng(0), (7,), 6, 3, False, 0.2)
    ids = np.array([0, 5, 5, 1, 2, 0, 0])
    results = []
    for f in (mg.linear_cross_entropy, composed):
        W = mg.tensor(weight, requires_grad=True)
        f(mg.tanh(mg.embedding(ids, W)), W, None, targets).backward()
        results.append(W.grad.numpy())
    np.testing.assert_allclose(*results, rtol=1e-10)


def test_nothing_is_differentiated_in_vain():
    arrays, targets = draw_inputs(np.random.default_rng(0), **ALL)
    hidden, weight, bias = (mg.tensor(a, requires_grad=True) for a in arrays)
    seen = []
    forward = output._linear_cross_entropy.op.forward

    def spy(*args):
        seen.append(forward(*args))
        return seen[-1]

    with mock.patch.object(output._linear_cross_entropy.op, "forward", spy):
        mg.linear_cross_entropy(hidden.detach(), weight, bias.detach(), targets)
        with mg.no_grad():
            mg.linear_cross_entropy(hidden, weight, bias, targets)
    made = [[d is not None for d in kept] for _, kept in seen]
    assert made == [[False, True, False], [False, False, False]]


def large(seed=0):
    """float32 arrays of which the gradient of hidden and a block of logits have over 64 KB."""
    arrays, targets = draw_inputs(
        np.random.default_rng(seed), (64, 10), 300, 40, True, 0.1, np.float32
    )
    return arrays, targets


def test_gradients_that_are_kept_do_not_change_with_later_calls():
    arrays, targets = large()
    inputs = [mg.tensor(a, requires_grad=True) for a in arrays]
    loss = mg.linear_cross_entropy(*inputs, targets)
    value_and_gradients(mg.linear_cross_entropy, *large(1))  # before the walk back
    _, *expected = value_and_gradients(composed, arrays, targets)
    gs = mg.grad(loss, inputs)
    before = [g.numpy() for g in gs]
    kept = [g.data[1:] for g in gs]
    del gs, loss
    for seed in (2, 3):
        value_and_gradients(mg.linear_cross_entropy, *large(seed))
    for view, copy, e in zip(kept, before, expected, strict=True):
        np.testing.assert_array_equal(mg.Tensor(view).numpy(), copy[1:])
        np.testing.assert_allclose(copy, e, rtol=1e-3, atol=1e-7)


@pytest.mark.host(reason="it measures the blocks and buffers of the CPU")
def test_memory_grows_with_tokens_and_classes_but_not_with_their_product(monkeypatch):
    pool = buffers._Buffers()
    monkeypatch.setattr(buffers, "_buffers", pool)
    M, V, H = 20_000, 10_000, 8
    rng = np.random.default_rng(0)
    hidden = mg.tensor(rng.normal(size=(M, H)), dtype=np.float32, requires_grad=True)
    weight = mg.tensor(rng.normal(size=(V, H)), dtype=np.float32, requires_grad=True)
    targets = rng.integers(0, V, M)
    tracemalloc.start()
    try:
        mg.linear_cross_entropy(hidden, weight, None, targets).backward()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    block = 4 * output.BLOCK
    assert block < peak < 3 * block  # bytes; all logits are 800 MB
    assert pool.total < 2 * block


def test_the_same_bits_for_any_number_of_threads():
    arrays, targets = large()
    results = []
    for count in (1, 4, 2, 4):
        with cut_up(40_000, 2_000, count):
            results.append(value_and_gradients(mg.linear_cross_entropy, arrays, targets, -100, 0.1))
    for one, *others in zip(*results, strict=True):
        assert all(np.array_equal(one, other) for other in others)


# ------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"hidden": np.ones((2, 4))}, ValueError, r"hidden has shape \(2, 4\), weight \(5, 3\)"),
        ({"hidden": np.ones(())}, ValueError, r"hidden has shape \(\), weight \(5, 3\)"),
        ({"weight": np.ones(3)}, ValueError, r".* weight \(3,\); expected \(..., features\) and"),
        ({"bias": np.ones(3)}, ValueError, r"bias has shape \(3,\), expected \(5,\)"),
        ({"bias": np.ones((5, 1))}, ValueError, r"bias has shape \(5, 1\), expected \(5,\)"),
        ({"hidden": np.ones((2, 3), int)}, TypeError, "hidden must be a floating-point"),
        ({"weight": np.ones((5, 3), int)}, TypeError, "weight must be a floating-point"),
        ({"bias": np.ones(5, int)}, TypeError, "bias must be a floating-point"),
        ({"targets": [0.0, 1.0]}, TypeError, "targets has dtype float64; expected integer"),
        ({"targets": [[0, 1]]}, ValueError, r"targets has shape \(1, 2\), expected \(2,\)"),
        ({"targets": [0, 5]}, IndexError, r"target 5 at \(1,\) is outside the 5 classes"),
        ({"targets": [-1, 0]}, IndexError, r"target -1 at \(0,\) is outside the 5 classes"),
        ({"label_smoothing": 1.5}, ValueError, r"label_smoothing must be in \[0, 1\], not 1.5"),
        ({"reduction": "none"}, ValueError, 'reduction must be "mean" or "sum", not \'none\''),
    ],
    ids=str,
)
def test_wrong_arguments(change, error, message):
    right = {"hidden": np.ones((2, 3)), "weight": np.ones((5, 3)), "bias": None, "targets": [0, 1]}
    with pytest.raises(error, match=f"linear_cross_entropy: {message}"):
        mg.linear_cross_entropy(**(right | change))


def test_targets_may_change_after_the_call():
    arrays, targets = draw_inputs(np.random.default_rng(0), (6,), 4, 3, True, 0)
    expected = value_and_gradients(mg.linear_cross_entropy, arrays, targets)
    weight = mg.tensor(arrays[1], requires_grad=True)
    loss = mg.linear_cross_entropy(arrays[0], weight, arrays[2], targets)
    targets[...] = 0
    (found,) = mg.grad(loss, weight, create_graph=True)
    np.testing.assert_allclose(found.numpy(), expected[2], rtol=1e-10)


@pytest.mark.parametrize("M", [700, 70_000])
def test_float16_sums_in_float32(M):
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=shape) / 2 for shape in ((M, 4), (300, 4), (300,))]
    targets = rng.integers(0, 300, M)
    half = [a.astype(np.float16) for a in arrays]
    found = value_and_gradients(mg.linear_cross_entropy, half, targets)
    exact = [a.astype(np.float64) for a in half]
    expected = value_and_gradients(mg.linear_cross_entropy, exact, targets)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == np.float16
        np.testing.assert_allclose(one, other, rtol=2e-3, atol=2e-7)


def test_a_hook_that_changes_its_gradient_in_place_changes_no_other_walk():
    arrays, targets = draw_inputs(np.random.default_rng(0), (6,), 4, 3, True, 0)
    h = mg.tensor(arrays[0], requires_grad=True)
    hidden = h * 1
    loss = mg.linear_cross_entropy(hidden, *arrays[1:], targets)
    (expected,) = mg.grad(loss, h, retain_graph=True)
    remove = hidden.register_hook(lambda g: g.data.fill(0))
    loss.backward(retain_graph=True)
    assert not h.grad.numpy().any()
    remove()
    h.grad = None
    loss.backward()
    np.testing.assert_array_equal(h.grad.numpy(), expected.numpy())
