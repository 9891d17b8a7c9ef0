"""Batches of sequences of different lengths: `lengths` of RNN, LSTM and GRU.

Every sequence must come out as if it had been run alone, without padding: outputs, final states,
and the gradients of parameters, inputs and initial states, whatever part of the result is used. The
padding is NaN throughout, so that any use of it shows.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad import nn
from minigrad.nn.recurrent import stack as sequences
from minigrad.testing import check_layer

KINDS = {
    "RNN": (nn.RNN, {}),
    "relu": (nn.RNN, {"nonlinearity": "relu"}),
    "LSTM": (nn.LSTM, {}),
    "GRU": (nn.GRU, {}),
}
every_kind = pytest.mark.parametrize("kind", KINDS)
every_layer = pytest.mark.parametrize("make", [nn.RNN, nn.LSTM, nn.GRU])


def layer_of(kind, *args, **options):
    make, more = KINDS[kind]
    return make(*args, dtype="float64", **more, **options)


def as_list(state):
    return list(state) if isinstance(state, tuple) else [state]


def as_state(parts):
    return None if not parts else tuple(parts) if len(parts) > 1 else parts[0]


def padded(array, lengths, filler=np.nan):
    """`array` (T, N, ...) with `filler` from where each sequence ends."""
    array = array.copy()
    for n, length in enumerate(lengths):
        array[length:, n] = filler
    return array


def one_by_one(layer, x, parts, lengths):
    """The sequences of x (T, N, input) each run alone, and put together again."""
    outputs, finals = [], []
    rows = layer.num_layers * (1 + layer.bidirectional)
    D, T = layer.hidden_size * (1 + layer.bidirectional), x.shape[0]
    for n, length in enumerate(lengths):
        state = [part[:, n : n + 1] for part in parts]
        if length:
            one = x[:length, n : n + 1]
            output, final = layer(one.swapaxes(0, 1) if layer.batch_first else one, as_state(state))
            output, final = output.swapaxes(0, 1) if layer.batch_first else output, as_list(final)
        else:
            output, final = mg.zeros((0, 1, D), "float64"), state
        if not final:
            zeros = mg.zeros((rows, 1, layer.hidden_size), "float64")
            final = [zeros] * (1 + isinstance(layer, nn.LSTM))
        outputs.append(mg.concatenate([output, mg.zeros((T - length, 1, D), "float64")]))
        finals.append(final)
    output = mg.concatenate(outputs, axis=1)
    finals = [mg.concatenate(list(column), axis=1) for column in zip(*finals, strict=True)]
    return output.swapaxes(0, 1) if layer.batch_first else output, as_state(finals)


def used(which, layer, output, state):
    """Some of what a layer returns: everything, or one part alone."""
    parts = as_list(state)
    if which == "first step":
        return [output[:, 0] if layer.batch_first else output[0]]
    return {"all": [output, *parts], "output": [output], "h_n": parts[:1], "last": parts[-1:]}[
        which
    ]


def gradients(results, inputs):
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=y.shape) for y in results]
    needed = [(y, w) for y, w in zip(results, weights, strict=True) if y.requires_grad]
    if not needed:
        return [np.zeros(x.shape) for x in inputs]
    ys, ws = zip(*needed, strict=True)
    found = mg.grad(ys, inputs, ws, allow_unused=True)
    return [
        np.zeros(x.shape) if g is None else g.numpy() for g, x in zip(found, inputs, strict=True)
    ]


@every_kind
@settings(max_examples=settings.default.max_examples // 2)
@given(
    seed=st.integers(0, 2**32 - 1),
    T=st.integers(1, 5),
    shares=st.lists(st.floats(0, 1), min_size=1, max_size=4),
    num_layers=st.integers(1, 3),
    bidirectional=st.booleans(),
    batch_first=st.booleans(),
    bias=st.booleans(),
    unroll=st.booleans(),
    stateful=st.booleans(),
    which=st.sampled_from(["all", "output", "h_n", "last", "first step"]),
)
def test_every_sequence_as_if_alone(kind, seed, T, shares, stateful, which, num_layers, **options):
    rng, lengths = np.random.default_rng(seed), [round(share * T) for share in shares]
    layer = layer_of(kind, 2, 3, num_layers, dropout=0.5, rng=rng, **options).eval()
    rows, N = num_layers * (1 + layer.bidirectional), len(lengths)
    numbers = rng.normal(size=(T, N, 2))
    parts = [rng.normal(size=(rows, N, 3)) for _ in range(1 + (kind == "LSTM")) if stateful]
    results = []
    for alone in (False, True):
        x = mg.tensor(padded(numbers, lengths), requires_grad=True)
        start = [mg.tensor(part, requires_grad=True) for part in parts]
        if alone:
            output, state = one_by_one(layer, x, start, lengths)
        else:
            given_x = x.swapaxes(0, 1) if layer.batch_first else x
            output, state = layer(given_x, as_state(start), lengths)
        found = used(which, layer, output, state)
        inputs = [x, *start, *layer.parameters()]
        results.append([y.numpy() for y in found] + gradients(found, inputs))
    for together, apart in zip(*results, strict=True):
        np.testing.assert_allclose(together, apart, rtol=1e-9, atol=1e-12)


@every_kind
@pytest.mark.parametrize("unroll", [False, True])
def test_padding_of_nan_gives_zeros_and_no_gradient(kind, unroll):
    layer, lengths = layer_of(kind, 2, 3, 2, bidirectional=True, unroll=unroll), [3, 0, 4, 1]
    numbers = np.random.default_rng(0).normal(size=(4, 4, 2))
    results = []
    for filler in (np.nan, 0.0, 1e300):
        layer.zero_grad()
        x = mg.tensor(padded(numbers, lengths, filler), requires_grad=True)
        output, state = layer(x, None, lengths)
        sum((y * y).sum() for y in (output, *as_list(state))).backward()
        for n, length in enumerate(lengths):
            assert not output.data[length:, n].any()
            assert output.data[:length, n].all() or kind == "relu"
            assert not x.grad.data[length:, n].any()
            assert x.grad.data[:length, n].any() == (length > 0)
        gs = [x.grad.numpy(), *(p.grad.numpy() for p in layer.parameters())]
        results.append([output.numpy(), *(part.numpy() for part in as_list(state)), *gs])
    for one, *others in zip(*results, strict=True):
        assert np.isfinite(one).all()
        assert all(np.array_equal(one, other) for other in others)


@every_layer
def test_nothing_is_computed_for_padding(make, monkeypatch):
    seen = []

    def spy(self, name, x, *args):
        seen.append(x.shape)
        return original(self, name, x, *args)

    original = make._over_sequence
    monkeypatch.setattr(make, "_over_sequence", spy)
    make(2, 3, 2)(np.ones((7, 3, 2), np.float32), lengths=[2, 5, 0])
    assert seen == [(7, 2), (7, 3)]


@every_layer
@pytest.mark.parametrize("unroll", [False, True])
def test_lengths_of_all_time_steps_are_the_path_without_lengths(make, unroll, monkeypatch):
    monkeypatch.delattr(sequences, "Packing")
    layer, results = make(2, 3, 2, bidirectional=True, unroll=unroll), []
    x = mg.tensor(np.random.default_rng(0).normal(size=(4, 3, 2)), dtype="float32")
    for lengths in (None, [4, 4, 4]):
        layer.zero_grad()
        output, state = layer(x, lengths=lengths)
        (output.sum() + as_list(state)[0].sum()).backward()
        gs = [p.grad.numpy() for p in layer.parameters()]
        results.append([output.numpy(), *(part.numpy() for part in as_list(state)), *gs])
    assert all(np.array_equal(a, b) for a, b in zip(*results, strict=True))
    with pytest.raises(NameError):  # what was taken away above would have been missed
        layer(x, lengths=[4, 4, 3])


@every_layer
@pytest.mark.parametrize(
    "lengths",
    [
        [1, 3, 2],
        (1, 3, 2),
        *[
            np.array([1, 3, 2], dtype)
            for dtype in ("i1", "u1", "i2", "i4", "u4", "i8", "u8", ">i4")
        ],
        np.array([1, 9, 3, 9, 2])[::2],
        mg.Tensor(np.array([1, 3, 2])),
        [np.int64(1), np.uint8(3), 2],
    ],
    ids=str,
)
def test_lengths_may_be_any_integers(make, lengths):
    layer, x = make(2, 3), np.random.default_rng(0).normal(size=(4, 3, 2)).astype(np.float32)
    expected, final = layer(x, lengths=np.array([1, 3, 2]))
    output, state = layer(x, None, lengths)
    assert np.array_equal(output.numpy(), expected.numpy())
    assert np.array_equal(as_list(state)[0].numpy(), as_list(final)[0].numpy())
    assert [int(np.abs(output.numpy()[:, n]).sum(-1).astype(bool).sum()) for n in range(3)] == [
        1,
        3,
        2,
    ]


@every_layer
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize(
    ("lengths", "steps"),
    [(0, 0), (3, 3), (np.int32(3), 3), (np.array(3), 3), (mg.Tensor(np.array(3)), 3), (5, 5)],
    ids=str,
)
def test_one_sequence_without_a_batch(make, batch_first, lengths, steps):
    layer = make(2, 3, 2, bidirectional=True, batch_first=batch_first, dtype="float64")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5, 2))
    x[steps:] = np.nan
    parts = [rng.normal(size=(4, 3)) for _ in range(1 + (make is nn.LSTM))]
    output, state = layer(x, as_state(parts), lengths)
    if steps:
        wanted, finals = layer(x[:steps], as_state(parts))
        np.testing.assert_allclose(output.numpy()[:steps], wanted.numpy(), rtol=1e-12)
    else:
        finals = as_state(list(map(mg.tensor, parts)))
    assert output.shape == (5, 6)
    assert not output.numpy()[steps:].any()
    for part, final in zip(as_list(state), as_list(finals), strict=True):
        assert part.shape == (4, 3)
        np.testing.assert_allclose(part.numpy(), final.numpy(), rtol=1e-12)


@every_layer
def test_sequences_in_two_windows(make):
    """Some end in the first; their states wait through the second."""
    layer, lengths = make(2, 3, 2, dtype="float64"), np.array([7, 2, 0, 4, 3])
    x = padded(np.random.default_rng(0).normal(size=(7, 5, 2)), lengths)
    whole, final = layer(x, lengths=lengths)
    first, state = layer(x[:3], lengths=lengths.clip(max=3))
    second, end = layer(x[3:], state, (lengths - 3).clip(min=0))
    np.testing.assert_allclose(mg.concatenate([first, second]).numpy(), whole.numpy(), rtol=1e-12)
    for one, other in zip(as_list(end), as_list(final), strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-12)


@every_layer
def test_no_sequences_and_sequences_of_nothing(make):
    layer = make(2, 3, 2, bidirectional=True, dropout=0.5)
    x = mg.tensor(np.full((4, 2, 2), np.nan, np.float32), requires_grad=True)
    output, state = layer(x, lengths=[0, 0])
    assert output.shape == (4, 2, 6)
    assert not output.numpy().any()
    assert not any(part.numpy().any() for part in as_list(state))
    output.sum().backward()
    assert not x.grad.numpy().any()
    assert not any(p.grad.numpy().any() for p in layer.parameters())
    output, state = layer(np.ones((4, 0, 2), np.float32), lengths=[])
    assert output.shape == (4, 0, 6)
    assert as_list(state)[0].shape == (4, 0, 3)


@every_layer
def test_dropout_in_training(make):
    rng, lengths = np.random.default_rng(0), [4, 1, 0]
    layer = make(2, 3, 2, dropout=0.5, rng=rng, dtype="float64")
    x = mg.tensor(padded(rng.normal(size=(4, 3, 2)), lengths), requires_grad=True)
    output = layer(x, lengths=lengths)[0]
    assert not np.array_equal(output.numpy(), layer(x, lengths=lengths)[0].numpy())
    assert not any(output.numpy()[length:, n].any() for n, length in enumerate(lengths))
    output.sum().backward()
    assert np.isfinite(x.grad.numpy()).all()


@pytest.mark.host(reason="each op and layer is differentiated on the device by its own tests")
@every_kind
@pytest.mark.parametrize("unroll", [False, True])
def test_check_layer(kind, unroll):
    rng, lengths = np.random.default_rng(0), np.array([1, 3, 0, 2])
    layer = layer_of(kind, 2, 2, bidirectional=True, unroll=unroll)
    state = as_state([rng.normal(size=(2, 4, 2)) for _ in range(1 + (kind == "LSTM"))])
    check_layer(layer, rng.normal(size=(3, 4, 2)), state, lengths)
    if not unroll:
        small = layer_of(kind, 2, 2, batch_first=True)
        check_layer(small, rng.normal(size=(2, 3, 2)), None, np.array([1, 3]), order=2)


@every_layer
@pytest.mark.parametrize(
    ("shape", "lengths", "error", "message"),
    [
        ((4, 2, 3), [1, 2, 3], ValueError, r"lengths has shape \(3,\), expected \(2,\)"),
        ((4, 2, 3), [[1, 2]], ValueError, r"lengths has shape \(1, 2\), expected \(2,\)"),
        ((4, 2, 3), 3, ValueError, r"lengths has shape \(\), expected \(2,\)"),
        ((4, 2, 3), [], ValueError, r"lengths has shape \(0,\), expected \(2,\)"),
        ((4, 0, 3), [1], ValueError, r"lengths has shape \(1,\), expected \(0,\)"),
        ((4, 3), [3], ValueError, r"lengths has shape \(1,\), expected \(\)"),
        ((4, 2, 3), [1.0, 2.0], TypeError, r"lengths must be integers, not float64 \(2,\)"),
        ((4, 2, 3), [True, False], TypeError, r"lengths must be integers, not bool \(2,\)"),
        ((4, 2, 3), ["1", "2"], TypeError, "lengths must be integers, not <U1"),
        ((4, 2, 3), [None, 2], TypeError, "lengths must be integers, not object"),
        ((4, 3), 2.0, TypeError, r"lengths must be integers, not float64 \(\)"),
        ((4, 2, 3), [2, -1], ValueError, "length -1 is not from 0 to 4, the time steps of x"),
        ((4, 2, 3), [5, 2], ValueError, "length 5 is not from 0 to 4"),
        ((4, 3), 5, ValueError, "length 5 is not from 0 to 4"),
        ((4, 2, 3), np.array([255, 2], "u1"), ValueError, "length 255 is not from 0 to 4"),
        ((4, 2, 3), np.array([2**64 - 2, 2], "u8"), ValueError, f"length {2**64 - 2} is not from"),
        ((4, 2, 3), [[1], [2, 3]], TypeError, r"lengths must be integers in .*, not \[\[1\]"),
    ],
    ids=str,
)
def test_wrong_lengths(make, shape, lengths, error, message):
    with pytest.raises(error, match=f"{make.__name__}: {message}"):
        make(3, 5)(np.ones(shape, np.float32), None, lengths)
    if shape == (4, 2, 3):  # the same with the batch first, where T is not the first axis
        with pytest.raises(error, match=f"{make.__name__}: {message}"):
            make(3, 5, batch_first=True)(np.ones((2, 4, 3), np.float32), None, lengths)
