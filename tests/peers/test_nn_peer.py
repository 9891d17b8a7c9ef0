"""Layers and losses against PyTorch's, with weights that went from there to here by state_dict."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad import nn

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.peer

some = settings(max_examples=25, derandomize=True)
small = st.integers(1, 5)
seeds = st.integers(0, 2**32 - 1)


def flat(value):
    return [t for v in value for t in flat(v)] if isinstance(value, tuple) else [value]


def assert_same(ours, theirs, inputs, seed, layers=None, rtol=1e-9, atol=1e-11):
    """Compare outputs, and the gradients of all inputs and parameters.

    `ours` and `theirs` are called with the arrays `inputs` as tensors of either library (None and
    integers as they are); `layers` is the pair of layers whose parameters they use.
    """
    rng = np.random.default_rng(seed)
    mine = [mg.tensor(x, requires_grad=True) if is_float(x) else x for x in inputs]
    torchs = [
        torch.tensor(x, requires_grad=is_float(x)) if isinstance(x, np.ndarray) else x
        for x in inputs
    ]
    results, expected = flat(ours(*mine)), flat(theirs(*torchs))
    assert len(results) == len(expected)
    totals = []
    for one, other in zip(results, expected, strict=True):
        assert one.shape == tuple(other.shape)
        np.testing.assert_allclose(one.numpy(), other.detach().numpy(), rtol=rtol, atol=atol)
        weights = rng.normal(size=one.shape)
        totals.append(((one * weights).sum(), (other * torch.tensor(weights)).sum()))
    sum(a for a, _ in totals).backward()
    sum(b for _, b in totals).backward()
    pairs = [(m, t) for m, t in zip(mine, torchs, strict=True) if isinstance(m, mg.Tensor)]
    if layers is not None:
        names, theirs_by_name = (
            dict(layers[0].named_parameters()),
            dict(layers[1].named_parameters()),
        )
        assert list(names) == list(theirs_by_name)
        pairs += [(names[name], theirs_by_name[name]) for name in names]
    assert pairs
    for one, other in pairs:
        np.testing.assert_allclose(one.grad.numpy(), other.grad.numpy(), rtol=rtol, atol=atol)


def is_float(x):
    return isinstance(x, np.ndarray) and x.dtype.kind == "f"


def pair(name, *args, seed=0, **options):
    """Our layer and PyTorch's in float64, with PyTorch's values in both."""
    torch.manual_seed(seed % 2**31)
    theirs = getattr(torch.nn, name)(*args, **options).double()
    with torch.no_grad():  # biases and scales that start at 0 and 1 would hide mistakes
        for parameter in theirs.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    ours = getattr(nn, name)(*args, dtype="float64", **options)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


# ------------------------------------------------------------------------------------ layers


@some
@given(seeds, small, small, st.booleans(), st.lists(small, max_size=3))
def test_linear(seed, features, out, bias, lead):
    layers = pair("Linear", features, out, bias, seed=seed)
    x = np.random.default_rng(seed).normal(size=(*lead, features))
    assert_same(*layers, [x], seed, layers)


@some
@given(seeds, small, small, st.booleans(), st.lists(small, max_size=3))
def test_embedding(seed, count, features, padded, shape):
    rng = np.random.default_rng(seed)
    padding_idx = int(rng.integers(-count, count)) if padded else None
    layers = pair("Embedding", count, features, padding_idx, seed=seed)
    assert layers[0].padding_idx == layers[1].padding_idx
    assert_same(*layers, [rng.integers(0, count, shape)], seed, layers)


@some
@given(seeds, st.lists(st.integers(2, 4), min_size=1, max_size=2), small, st.booleans())
def test_layer_norm(seed, shape, batch, bias):
    layers = pair("LayerNorm", shape, eps=1e-3, bias=bias, seed=seed)
    x = np.random.default_rng(seed).normal(size=(batch, *shape))
    assert_same(*layers, [x], seed, layers, rtol=1e-8)


def packed(call, kind):
    """`call` with the parts of an LSTM's state as one tuple."""
    if kind.startswith("LSTM"):
        return lambda x, *state: call(x, state or None)
    return lambda x, *state: call(x, *state)


def states(kind, rng, shape, given):
    return [rng.normal(size=shape) for _ in range((1 + kind.startswith("LSTM")) * given)]


@pytest.mark.parametrize("kind", ["RNNCell", "LSTMCell", "GRUCell"])
@some
@given(seeds, small, small, st.none() | small, st.booleans(), st.booleans())
def test_cells(kind, seed, features, hidden, batch, bias, given):
    rng = np.random.default_rng(seed)
    relu = {"nonlinearity": "relu"} if kind == "RNNCell" and seed % 2 else {}
    layers = pair(kind, features, hidden, bias, seed=seed, **relu)
    lead = () if batch is None else (batch,)
    inputs = [rng.normal(size=(*lead, features)), *states(kind, rng, (*lead, hidden), given)]
    assert_same(*[packed(layer, kind) for layer in layers], inputs, seed, layers)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
@some
@given(
    seed=seeds,
    sizes=st.tuples(small, small, small, st.none() | small),
    num_layers=st.integers(1, 3),
    bias=st.booleans(),
    batch_first=st.booleans(),
    bidirectional=st.booleans(),
    given=st.booleans(),
)
def test_sequences(kind, seed, sizes, given, **options):
    rng, (T, features, hidden, batch) = np.random.default_rng(seed), sizes
    relu = {"nonlinearity": "relu"} if kind == "RNN" and seed % 2 else {}
    layers = pair(kind, features, hidden, seed=seed, **options, **relu)
    rows = options["num_layers"] * (1 + options["bidirectional"])
    lead = (T,) if batch is None else (batch, T) if options["batch_first"] else (T, batch)
    state = (rows, hidden) if batch is None else (rows, batch, hidden)
    inputs = [rng.normal(size=(*lead, features)), *states(kind, rng, state, given)]
    assert_same(*[packed(layer, kind) for layer in layers], inputs, seed, layers)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
@some
@given(
    seed=seeds,
    sizes=st.tuples(small, small, small, small),
    num_layers=st.integers(1, 3),
    bias=st.booleans(),
    batch_first=st.booleans(),
    bidirectional=st.booleans(),
    given=st.booleans(),
    unroll=st.booleans(),
)
def test_sequences_of_different_lengths(kind, seed, sizes, given, unroll, **options):
    """As PyTorch's packed sequences; of length 0 it allows none."""
    rng, (T, features, hidden, batch) = np.random.default_rng(seed), sizes
    relu = {"nonlinearity": "relu"} if kind == "RNN" and seed % 2 else {}
    layers = pair(kind, features, hidden, seed=seed, **options, **relu)
    layers[0].unroll = unroll
    first, rows = options["batch_first"], options["num_layers"] * (1 + options["bidirectional"])
    lengths = rng.integers(1, T + 1, batch)

    def ours(x, state=None):
        return layers[0](x, state, lengths)

    def theirs(x, state=None):
        x = torch.nn.utils.rnn.pack_padded_sequence(
            x, torch.tensor(lengths), batch_first=first, enforce_sorted=False
        )
        output, state = layers[1](x, state)
        output, _ = torch.nn.utils.rnn.pad_packed_sequence(output, first, total_length=T)
        return output, state

    x = rng.normal(size=(batch, T, features) if first else (T, batch, features))
    inputs = [x, *states(kind, rng, (rows, batch, hidden), given)]
    assert_same(packed(ours, kind), packed(theirs, kind), inputs, seed, layers)


def test_dropout_leaves_as_many_and_scales_as_much():
    ours = nn.Dropout(0.3)(mg.tensor(np.ones(20000))).numpy()
    theirs = torch.nn.Dropout(0.3)(torch.ones(20000, dtype=torch.float64)).numpy()
    assert np.allclose(np.unique(ours), np.unique(theirs))
    assert abs((ours == 0).mean() - (theirs == 0).mean()) < 0.02


# ------------------------------------------------------------------------------------ losses

reductions = st.sampled_from(["mean", "sum", "none"])


def to_torch(value):
    return None if value is None else torch.tensor(value)


@some
@given(
    seeds,
    small,
    small,
    reductions,
    st.booleans(),
    st.sampled_from([-100, 0]),
    st.sampled_from([0.0, 0.2]),
)
def test_cross_entropy(seed, N, T, reduction, weighted, ignore_index, label_smoothing):
    rng, C = np.random.default_rng(seed), 4
    weight = rng.uniform(0.5, 2, C) if weighted else None
    options = {"reduction": reduction, "ignore_index": ignore_index}
    options["label_smoothing"] = label_smoothing
    ours = nn.CrossEntropyLoss(weight, **options)
    theirs = torch.nn.CrossEntropyLoss(to_torch(weight), **options)
    targets = rng.integers(0, C, (N, T))
    targets.flat[0] = 1  # PyTorch's mean over no target at all is NaN
    if ignore_index < 0 and targets.size > 1:
        targets.flat[-1] = ignore_index
    logits = rng.normal(size=(N, T, C))
    assert_same(ours, lambda x, y: theirs(x.movedim(-1, 1), y), [logits, targets], seed)


@some
@given(
    seeds,
    st.lists(small, max_size=2),
    st.tuples(small, small),
    st.booleans(),
    st.sampled_from(["mean", "sum"]),
    st.sampled_from([-100, 0]),
    st.sampled_from([0.0, 0.2, 1.0]),
)
def test_linear_cross_entropy(seed, lead, sizes, bias, reduction, ignore_index, label_smoothing):
    rng, (classes, features) = np.random.default_rng(seed), sizes
    options = {"reduction": reduction, "ignore_index": ignore_index}
    options["label_smoothing"] = label_smoothing
    targets = rng.integers(0, classes, lead)
    if ignore_index < 0 and targets.size > 1:
        targets.flat[-1] = ignore_index
    if not (targets != ignore_index).any():
        return  # PyTorch's mean over no target at all is NaN

    def ours(hidden, weight, bias=None):
        return mg.linear_cross_entropy(hidden, weight, bias, targets, **options)

    def theirs(hidden, weight, bias=None):
        logits = torch.nn.functional.linear(hidden, weight, bias).reshape(-1, classes)
        target = torch.tensor(targets).reshape(-1)
        return torch.nn.functional.cross_entropy(logits, target, **options)

    shapes = [(*lead, features), (classes, features), *[(classes,)] * bias]
    assert_same(ours, theirs, [rng.normal(size=shape) for shape in shapes], seed)


@some
@given(seeds, small, reductions)
def test_cross_entropy_of_probabilities(seed, N, reduction):
    rng = np.random.default_rng(seed)
    targets = rng.dirichlet(np.ones(4), N)
    ours, theirs = (m.CrossEntropyLoss(reduction=reduction) for m in (nn, torch.nn))
    assert_same(ours, theirs, [rng.normal(size=(N, 4)), targets], seed)


@some
@given(seeds, small, small, reductions, st.booleans(), st.booleans())
def test_nll(seed, N, T, reduction, weighted, ignoring):
    rng, C = np.random.default_rng(seed), 4
    weight = rng.uniform(0.5, 2, C) if weighted else None
    ours = nn.NLLLoss(weight, reduction=reduction)
    theirs = torch.nn.NLLLoss(to_torch(weight), reduction=reduction)
    targets = rng.integers(0, C, (N, T))
    if ignoring and targets.size > 1:
        targets.flat[-1] = -100
    log_probs = rng.normal(size=(N, T, C))
    assert_same(ours, lambda x, y: theirs(x.movedim(-1, 1), y), [log_probs, targets], seed)


@some
@given(seeds, st.lists(small, max_size=3), reductions)
def test_mse(seed, shape, reduction):
    rng = np.random.default_rng(seed)
    ours, theirs = (m.MSELoss(reduction=reduction) for m in (nn, torch.nn))
    inputs = [np.array(rng.normal(size=shape)) for _ in range(2)]
    assert_same(ours, theirs, inputs, seed)


@some
@given(seeds, small, reductions, st.booleans(), st.booleans())
def test_bce_with_logits(seed, N, reduction, weighted, positive):
    rng = np.random.default_rng(seed)
    weight = rng.uniform(0.5, 2, 3) if weighted else None
    pos_weight = rng.uniform(0.5, 2, 3) if positive else None
    ours = nn.BCEWithLogitsLoss(weight, reduction=reduction, pos_weight=pos_weight)
    theirs = torch.nn.BCEWithLogitsLoss(
        to_torch(weight), reduction=reduction, pos_weight=to_torch(pos_weight)
    )
    inputs = [3 * rng.normal(size=(N, 3)), rng.uniform(size=(N, 3))]
    assert_same(ours, theirs, inputs, seed)


# ----------------------------------------------------------- names, shapes, initial values

LAYERS = [
    ("Linear", (60, 50), {}),
    ("Embedding", (60, 50), {"padding_idx": 1}),
    ("LayerNorm", ((6, 5),), {}),
    ("RNNCell", (60, 50), {}),
    ("LSTMCell", (60, 50), {}),
    ("GRUCell", (60, 50), {}),
    ("RNN", (60, 50), {}),
    ("LSTM", (60, 50, 2), {"bidirectional": True}),
    ("GRU", (60, 50, 2), {"bias": False}),
]


@pytest.mark.parametrize(("name", "args", "options"), LAYERS)
class TestLayers:
    def test_initial_values_have_the_same_names_shapes_ranges_and_spread(self, name, args, options):
        mg.manual_seed(0)
        torch.manual_seed(0)
        ours = getattr(nn, name)(*args, **options).state_dict()
        theirs = getattr(torch.nn, name)(*args, **options).state_dict()
        assert list(ours) == list(theirs)
        for key, one in ours.items():
            other = theirs[key].numpy()
            assert one.shape == other.shape
            assert one.dtype == other.dtype
            assert one.std() == pytest.approx(other.std(), rel=0.25)
            assert np.abs(one).max() == pytest.approx(np.abs(other).max(), rel=0.25)
            assert one.mean() == pytest.approx(other.mean(), abs=0.6 * float(other.std()) + 1e-12)
            assert np.array_equal(one.any(-1), other.any(-1))

    def test_a_state_dict_goes_both_ways(self, name, args, options):
        ours, theirs = (
            getattr(nn, name)(*args, **options),
            getattr(torch.nn, name)(*args, **options),
        )
        theirs.load_state_dict({k: torch.tensor(v) for k, v in ours.state_dict().items()})
        again = getattr(nn, name)(*args, **options)
        again.load_state_dict(theirs.state_dict())
        for key, value in ours.state_dict().items():
            assert np.array_equal(again.state_dict()[key], value)


@pytest.mark.parametrize(
    ("function", "options"),
    [
        ("xavier_uniform_", {"gain": 1.5}),
        ("xavier_normal_", {}),
        ("kaiming_uniform_", {"a": 1.0, "mode": "fan_out"}),
        ("kaiming_normal_", {"nonlinearity": "relu"}),
        ("kaiming_normal_", {"nonlinearity": "tanh"}),
        ("orthogonal_", {"gain": 2.0}),
        ("uniform_", {"a": -1.0, "b": 3.0}),
        ("normal_", {"mean": 1.0, "std": 2.0}),
    ],
)
def test_initialisers(function, options):
    mg.manual_seed(0)
    torch.manual_seed(0)
    ours = getattr(nn.init, function)(nn.Parameter(np.zeros((80, 40, 2))), **options).numpy()
    theirs = getattr(torch.nn.init, function)(torch.zeros(80, 40, 2), **options).numpy()
    assert ours.std() == pytest.approx(theirs.std(), rel=0.05)
    assert ours.mean() == pytest.approx(theirs.mean(), abs=0.1 * float(theirs.std()))
    assert np.abs(ours).max() == pytest.approx(np.abs(theirs).max(), rel=0.35)


@pytest.mark.parametrize(
    "args", [("linear",), ("sigmoid",), ("tanh",), ("relu",), ("leaky_relu",), ("leaky_relu", 0.3)]
)
def test_gains(args):
    assert nn.init.calculate_gain(*args) == pytest.approx(torch.nn.init.calculate_gain(*args))


def test_a_whole_model_with_tied_weights_loads_from_pytorch():
    class Ours(nn.Module):
        def __init__(self):
            self.encoder = nn.Embedding(7, 4)
            self.rnn = nn.LSTM(4, 4, 2)
            self.decoder = nn.Linear(4, 7)
            self.decoder.weight = self.encoder.weight

        def forward(self, ids):
            return self.decoder(self.rnn(self.encoder(ids))[0])

    class Theirs(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = torch.nn.Embedding(7, 4)
            self.rnn = torch.nn.LSTM(4, 4, 2)
            self.decoder = torch.nn.Linear(4, 7)
            self.decoder.weight = self.encoder.weight

        forward = Ours.forward

    ours, theirs = Ours(), Theirs()
    ours.load_state_dict(theirs.state_dict())
    ids = np.array([[0, 1], [6, 6], [2, 3]])
    expected = theirs(torch.tensor(ids)).detach().numpy()
    np.testing.assert_allclose(ours(ids).numpy(), expected, rtol=1e-4, atol=1e-5)
    assert sum(p.numel() for p in theirs.parameters()) == ours.num_parameters()


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_a_file_from_pytorch_runs_on_sequences_of_different_lengths(kind, tmp_path):
    to_file = pytest.importorskip("safetensors.torch").save_file
    from_file = pytest.importorskip("safetensors.numpy").load_file
    theirs = getattr(torch.nn, kind)(5, 6, 2, batch_first=True, bidirectional=True)
    to_file(theirs.state_dict(), tmp_path / "weights.safetensors")
    ours = getattr(nn, kind)(5, 6, 2, batch_first=True, bidirectional=True)
    ours.load_state_dict(from_file(tmp_path / "weights.safetensors"))
    x, lengths = np.random.default_rng(0).normal(size=(4, 7, 5)).astype(np.float32), [3, 7, 1, 5]
    output, state = theirs(
        torch.nn.utils.rnn.pack_padded_sequence(torch.tensor(x), lengths, True, False)
    )
    output, _ = torch.nn.utils.rnn.pad_packed_sequence(output, True, total_length=7)
    results = flat(ours(x, lengths=lengths))
    for one, other in zip(results, flat((output, state)), strict=True):
        np.testing.assert_allclose(one.numpy(), other.detach().numpy(), rtol=1e-4, atol=1e-6)
