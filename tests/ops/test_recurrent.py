"""The fused recurrent ops against their twins, which run the equations step by step on the tape."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.ops.recurrent import gru, lstm, rnn
from minigrad.testing import check_gradients

OPS = {"rnn": (rnn, 1, 1), "lstm": (lstm, 4, 2), "gru": (gru, 3, 1)}  # op, gates, states
every_op = pytest.mark.parametrize("name", sorted(OPS))


@st.composite
def calls(draw, name):
    """A call of the op with its inputs, and which of its outputs to use."""
    op, gates, states = OPS[name]
    T, N, H = draw(st.integers(1, 5)), draw(st.integers(0, 3)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    shapes = [(T, N, gates * H), *[(N, H)] * states, (gates * H, H), (gates * H,)]
    inputs = [rng.normal(size=shape) for shape in shapes]
    options = (draw(st.sampled_from(["tanh", "relu"])),) if name == "rnn" else ()
    options += (draw(st.booleans()),)
    bias = draw(st.booleans())
    used = draw(st.sets(st.sampled_from(range(states + 1)), min_size=1))
    step = draw(st.sampled_from([None, 0, -1]))  # all of the output, or one time step alone

    def run(*inputs, op=op):
        outputs = op(*inputs[:-1], inputs[-1] if bias else None, *options)
        if step is not None:
            outputs = (outputs[0][step], *outputs[1:])
        return [outputs[i] for i in sorted(used)]

    return run, inputs


@every_op
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_values_and_gradients_are_the_twins(name, data):
    run, values = data.draw(calls(name))
    results = []
    for op in (OPS[name][0], OPS[name][0].twin):
        inputs = [mg.tensor(v, requires_grad=True) for v in values]
        ys = run(*inputs, op=op)
        gs = mg.grad(ys, inputs, [mg.sin(y.detach() + 1) for y in ys], allow_unused=True)
        gs = [
            np.zeros(v.shape) if g is None else g.numpy() for g, v in zip(gs, values, strict=True)
        ]
        results.append([*[y.numpy() for y in ys], *gs])
    for fused, unrolled in zip(*results, strict=True):
        np.testing.assert_allclose(fused, unrolled, rtol=1e-9, atol=1e-11)


@every_op
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_derivatives_to_second_order(name, data):
    run, values = data.draw(calls(name))
    check_gradients(run, *values, order=2)


@every_op
def test_float32_stays_float32_and_is_as_exact_as_unrolled(name):
    op, gates, states = OPS[name]
    rng = np.random.default_rng(0)
    shapes = [(20, 3, gates * 8), *[(3, 8)] * states, (gates * 8, 8), (gates * 8,)]
    values = [rng.normal(size=shape) / 2 for shape in shapes]
    options = ("tanh", False) if name == "rnn" else (False,)
    found = []
    for dtype in (np.float32, np.float64):
        inputs = [mg.tensor(v, dtype=dtype, requires_grad=True) for v in values]
        outputs = op(*inputs, *options)
        outputs[0].sum().backward()
        assert all(y.dtype == dtype for y in outputs)
        assert all(x.grad.dtype == dtype for x in inputs)
        found.append([x.grad.numpy() for x in inputs])
    for single, double in zip(*found, strict=True):
        np.testing.assert_allclose(single, double, rtol=1e-4, atol=1e-5)


@every_op
def test_a_kept_output_does_not_change_with_the_next_call(name):
    layer = getattr(mg.nn, name.upper())(2, 3)
    x = mg.tensor(np.random.default_rng(0).normal(size=(4, 2, 2)))
    first, _ = layer(x)
    before = first.numpy()
    layer(x * 2)
    np.testing.assert_array_equal(first.numpy(), before)


@every_op
def test_two_walks_through_one_call_agree(name):
    layer = getattr(mg.nn, name.upper())(2, 3)
    y = layer(mg.ones((4, 2, 2)))[0].sum()
    (a,) = mg.grad(y, layer.weight_hh_l0, retain_graph=True)
    (b,) = mg.grad(y, layer.weight_hh_l0)
    np.testing.assert_array_equal(a.numpy(), b.numpy())


@every_op
@pytest.mark.parametrize("bidirectional", [False, True])
def test_unroll_gives_the_same_layer(name, bidirectional):
    kind = getattr(mg.nn, name.upper())
    options = {"num_layers": 2, "bidirectional": bidirectional, "dtype": "float64"}
    fused = kind(2, 3, **options)
    unrolled = kind(2, 3, **options, unroll=True)
    unrolled.load_state_dict(fused.state_dict())
    x = np.random.default_rng(0).normal(size=(5, 2, 2))
    np.testing.assert_allclose(fused(x)[0].numpy(), unrolled(x)[0].numpy(), rtol=1e-12)
    assert "unroll=True" in repr(unrolled)
