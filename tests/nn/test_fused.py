"""The fused recurrent ops, held against the same equations run step by step on the tape.

That their values and all their gradients are those of their twins, in both layouts, both
directions, for few tokens and for many, whichever outputs are used, and that no input is changed;
that first and second derivatives agree with finite differences; that float32 is as exact as
unrolled; and, for arrays so large that `minigrad.arrays.buffers` is at work, that nothing anybody
still sees changes, and that what nobody sees is used again.
"""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.arrays import blocks, buffers
from minigrad.nn.recurrent import steps
from minigrad.nn.recurrent.fused import gru, lstm, rnn
from minigrad.testing import check_gradients

OPS = {"rnn": (rnn, 1, 1), "lstm": (lstm, 4, 2), "gru": (gru, 3, 1)}  # op, gates, states
every_op = pytest.mark.parametrize("name", sorted(OPS))


def shapes_of(name, lead, N, features, H):
    """Of x, the states, W_ih, W_hh, b_ih and b_hh."""
    _, gates, states = OPS[name]
    weights = [(gates * H, features), (gates * H, H), (gates * H,), (gates * H,)]
    return [(*lead, features), *[(N, H)] * states, *weights]


@st.composite
def layouts(draw, N, longest):
    """`sizes`, and the shape of x without its features."""
    if draw(st.booleans()):
        return None, (draw(st.integers(1, longest)), N)
    sizes = sorted(draw(st.lists(st.integers(0, N), max_size=longest)), reverse=True)
    return tuple(sizes), (sum(sizes),)


@st.composite
def calls(draw, name, longest=5):
    """A call of the op that returns some of its outputs, and the arrays to call it with."""
    op, gates, states = OPS[name]
    N, H, features = draw(st.integers(0, 3)), draw(st.integers(1, 4)), draw(st.integers(0, 3))
    sizes, lead = draw(layouts(N, longest))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    shapes = shapes_of(name, lead, N, features or gates * H, H)
    values = [rng.normal(size=shape) for shape in shapes]
    if features == 0:  # x is the product with W_ih already
        values[-4] = None
    for bias in (-2, -1):
        values[bias] = values[bias] if draw(st.booleans()) else None
    options = (draw(st.sampled_from(["tanh", "relu"])),) if name == "rnn" else ()
    options += (sizes, draw(st.booleans()))
    if draw(st.booleans()):
        values = [v if v is None else np.asfortranarray(v) for v in values]
    used = draw(st.sets(st.sampled_from(range(states + 1)), min_size=1))
    step = draw(st.sampled_from([None, 0, -1])) if lead[0] else None  # or one time step alone
    few = draw(st.sampled_from([0, steps.FEW]))  # with copies of the weights, and without

    def run(*inputs, op=op):
        with mock.patch.object(steps, "FEW", few):
            outputs = op(*inputs, *options)
        if step is not None:
            outputs = (outputs[0][step], *outputs[1:])
        return [outputs[i] for i in sorted(used)]

    return run, values


def leaves(values, dtype=np.float64):
    """Tensors of copies that keep the order in memory, and that an error guards from changes."""
    arrays = [None if v is None else v.astype(dtype) for v in values]
    for a in arrays:
        if a is not None:
            a.flags.writeable = False
    return [None if a is None else mg.Tensor(a, requires_grad=True) for a in arrays]


def gradients(ys, inputs, **options):
    """Of all inputs that are not None, 0 for those that the outputs do not depend on."""
    inputs = [x for x in inputs if x is not None]
    weights = [mg.sin(y.detach() * 3 + 1) for y in ys]
    found = mg.grad(ys, inputs, weights, allow_unused=True, **options)
    return [
        mg.zeros(x.shape, x.dtype) if g is None else g for g, x in zip(found, inputs, strict=True)
    ]


@every_op
@settings(max_examples=settings.default.max_examples // 2)
@given(data=st.data())
def test_values_and_gradients_are_the_twins(name, data):
    run, values = data.draw(calls(name))
    results = []
    for op in (OPS[name][0], OPS[name][0].twin):
        inputs = leaves(values)
        ys = run(*inputs, op=op)
        results.append([*ys, *gradients(ys, inputs)])
    for fused, unrolled in zip(*results, strict=True):
        assert fused.dtype == unrolled.dtype == np.float64
        assert fused.shape == unrolled.shape
        np.testing.assert_allclose(fused.numpy(), unrolled.numpy(), rtol=1e-9, atol=1e-11)


@every_op
def test_few_tokens_and_many_agree_to_the_last_digits(name):
    """Also where the dtypes of weights and inputs differ."""
    op, _, _ = OPS[name]
    rng, H = np.random.default_rng(0), 40
    values = [rng.normal(size=s) for s in shapes_of(name, (3, 2), 2, 5, H)]
    options = ("tanh",) if name == "rnn" else ()
    for dtypes in ([np.float32] * 7, [np.float64] * 2 + [np.float32] * 5):
        inputs = [v.astype(d) for v, d in zip(values, dtypes, strict=False)]
        results = []
        for few in (0, steps.FEW):
            with mock.patch.object(steps, "FEW", few):
                results.append(op(*map(mg.Tensor, inputs), *options, None, False))
        for a, b in zip(*results, strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.host(reason="the second derivatives are those of the twins, which are made of ops")
@every_op
@settings(max_examples=5)
@given(data=st.data())
def test_derivatives_to_second_order(name, data):
    run, values = data.draw(calls(name, longest=2))
    check_gradients(run, *values, order=2)


@every_op
@pytest.mark.parametrize("layout", ["whole", "packed"])
def test_the_incoming_gradients_may_lie_in_memory_in_any_order(name, layout):
    """As after `h_n.T`, or where a model takes the batch first."""
    values, options = inputs_of(name, layout, np.random.default_rng(0), N=16, H=80, features=80)
    inputs = leaves(values)
    ys = OPS[name][0](*inputs, *options)
    seeds = [np.random.default_rng(1).normal(size=y.shape) for y in ys]
    expected = mg.grad(ys, inputs, seeds, retain_graph=True)
    for g, e in zip(
        mg.grad(ys, inputs, list(map(np.asfortranarray, seeds))), expected, strict=True
    ):
        np.testing.assert_array_equal(g.numpy(), e.numpy())


# ------------------------------------------------------------------------- large arrays

LAYOUTS = {"whole": None, "packed": (16,) * 12 + (15,) * 4 + (9,) * 3 + (1,)}


def inputs_of(name, layout, rng, N=16, H=80, features=80):
    """Arrays of which the outputs, and the gradients of x, have more than 64 KB in float32."""
    sizes = LAYOUTS[layout]
    lead = (20, N) if sizes is None else (sum(sizes),)
    values = [rng.normal(size=shape) / 8 for shape in shapes_of(name, lead, N, features, H)]
    options = (("tanh",) if name == "rnn" else ()) + (sizes, True)
    assert 4 * H * np.prod(lead) > buffers.SMALLEST
    return values, options


def run(op, name, layout, seed, dtype=np.float32):
    """The outputs and the inputs of a call with other numbers for every seed."""
    values, options = inputs_of(name, layout, np.random.default_rng(seed))
    inputs = leaves(values, dtype)
    return op(*inputs, *options), inputs


@every_op
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("in_blocks", [False, True])
def test_float32_stays_float32_and_is_as_exact_as_unrolled(name, layout, in_blocks, monkeypatch):
    monkeypatch.setattr(blocks, "small_kernels", lambda: in_blocks)
    monkeypatch.setattr(blocks, "on_one_thread", lambda: in_blocks)
    monkeypatch.setattr(blocks, "SMALL", 50_000)  # which cuts both axes
    op = OPS[name][0]
    results = []
    for f, dtype in ((op, np.float32), (op.twin, np.float32), (op.twin, np.float64)):
        ys, inputs = run(f, name, layout, seed=0, dtype=dtype)
        results.append([*ys, *mg.grad([y.sum() for y in ys], inputs)])
        assert all(a.dtype == dtype for a in results[-1])
    for fused, unrolled, exact in zip(*results, strict=True):
        size = np.abs(exact.numpy()).max()
        error, usual = (np.abs(a.numpy() - exact.numpy()).max() / size for a in (fused, unrolled))
        assert error < min(4 * usual + 2e-7, 1e-4)


@every_op
@pytest.mark.parametrize("which", range(6))
def test_dtypes_promote_as_the_twins(name, which):
    """A state of zeros from NumPy is float64, and may come to a layer of float32."""
    op = OPS[name][0]
    values = [np.ones(shape, np.float32) for shape in shapes_of(name, (2, 3), 3, 4, 5)]
    values[which] = values[which].astype(np.float64)
    options = (("tanh",) if name == "rnn" else ()) + (None, False)
    fused, unrolled = (f(*map(mg.Tensor, values), *options) for f in (op, op.twin))
    assert [y.dtype for y in fused] == [y.dtype for y in unrolled]


# ------------------------------------------------------------------------- memory


@pytest.fixture
def pool(monkeypatch):
    """Buffers that no other test has used."""
    monkeypatch.setattr(buffers, "_buffers", buffers._Buffers())
    return buffers._buffers


def address(x):
    return x.data.__array_interface__["data"][0]


def values(view):
    """What an array, or a memoryview of one, holds now."""
    return np.array(view) if isinstance(view, memoryview) else mg.Tensor(view).numpy().copy()


@every_op
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.usefixtures("pool")
def test_what_is_kept_does_not_change_with_later_calls(name, layout):
    """Outputs, states, gradients; and views, when they are all that is left of an array."""
    op = OPS[name][0]
    ys, inputs = run(op, name, layout, seed=1)
    gs = gradients(ys, inputs)
    seen = [*(y.data for y in ys), *(g.data for g in gs)]
    kept = [mg.Tensor(view).data for a in seen for view in (a[1:2], a.T, a.reshape(-1))]
    kept += [a.detach().data for a in (*ys, *gs)] + [ys[0][-1].data, ys[0].reshape(-1).data]
    kept += [memoryview(a) for a in seen if isinstance(a, np.ndarray)]
    before = [values(view) for view in kept]
    assert all(np.isfinite(a).all() and a.any() for a in before)
    del ys, inputs, gs, seen
    for seed in (2, 3, 4):
        ys, inputs = run(op, name, layout, seed)
        gradients(ys, inputs)
    for view, old in zip(kept, before, strict=True):
        np.testing.assert_array_equal(values(view), old)


@every_op
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.usefixtures("pool")
def test_calls_between_forward_and_backward_change_nothing(name, layout):
    op = OPS[name][0]
    ys, inputs = run(op, name, layout, seed=1)
    expected = [g.numpy() for g in gradients(ys, inputs)]
    ys, inputs = run(op, name, layout, seed=1)
    for seed in (2, 3):
        gradients(*run(op, name, layout, seed))
    for g, e in zip(gradients(ys, inputs), expected, strict=True):
        np.testing.assert_array_equal(g.numpy(), e)


@every_op
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.usefixtures("pool")
def test_two_walks_through_one_call_agree(name, layout):
    """Also if the gradients of the first are overwritten, as clipping does."""
    ys, inputs = run(OPS[name][0], name, layout, seed=1)
    first = gradients(ys, inputs, retain_graph=True)
    before = [g.numpy() for g in first]
    for g in first:
        g.data[...] = np.nan
    for g, e in zip(gradients(ys, inputs), before, strict=True):
        np.testing.assert_array_equal(g.numpy(), e)
    assert all(np.isnan(g.numpy()).all() for g in first)


@every_op
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.usefixtures("pool")
@pytest.mark.host(reason="NumPy tells whether arrays share memory")
def test_no_two_results_share_memory(name, layout):
    """The gradients of the two biases are equal, and an output begins where a state ends."""
    ys, inputs = run(OPS[name][0], name, layout, seed=1)
    arrays = [a.data for a in (*ys, *inputs, *gradients(ys, inputs))]
    for i, a in enumerate(arrays):
        assert not any(np.may_share_memory(a, b) for b in arrays[:i])


@every_op
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.host(reason="minigrad's buffers are for NumPy; CuPy has a pool of its own")
def test_memory_is_used_again(name, layout, pool):
    op, totals, addresses = OPS[name][0], [], []
    for seed in range(4):
        ys, inputs = run(op, name, layout, seed)
        gradients(ys, inputs)
        addresses.append(address(ys[0]))
        totals.append(pool.total)
        del ys, inputs
    assert totals[0] > 0
    assert len(set(totals)) == 1
    assert len(set(addresses)) < len(addresses)
    kept, _ = run(op, name, layout, seed=5)
    others = [address(run(op, name, layout, seed)[0][0]) for seed in (6, 7, 8)]
    assert address(kept[0]) not in others


# ------------------------------------------------------------------------- layers


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


@every_op
def test_the_final_state_may_be_changed_before_the_way_back(name):
    """To reset the state of sequences that have ended; the outputs may not."""
    layer = getattr(mg.nn, name.upper())(2, 3)
    output, state = layer(mg.ones((4, 2, 2)))
    for part in state if name == "lstm" else (state,):
        part.detach()[:, 0] = 0
    output.sum().backward(retain_graph=True)
    output.detach()[0] = 0
    with pytest.raises(mg.TapeError, match="its own result"):
        output.sum().backward()


@every_op
def test_detect_anomaly_names_the_line(name):
    with mg.detect_anomaly():
        output, _ = getattr(mg.nn, name.upper())(2, 3)(mg.ones((4, 2, 2)))
        with pytest.raises(mg.AnomalyError, match=rf"in {name} of .*test_fused\.py:\d+"):
            output.backward(np.full(output.shape, np.nan, np.float32))
