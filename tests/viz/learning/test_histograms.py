"""Histograms over training, and dead and saturated units."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim, viz
from minigrad.viz.learning.series import LOG_EDGES, SATURATED, Series


@pytest.fixture
def rng():
    return np.random.default_rng(5)


class Own(nn.Module):
    """tanh and relu as functions, on lines of their own."""

    def __init__(self, rng):
        self.first, self.second = nn.Linear(3, 4, rng=rng), nn.Linear(4, 6, rng=rng)

    def forward(self, x):
        h = mg.tanh(self.first(x))
        return mg.relu(self.second(h))


def one_step(model, x, histograms):
    with histograms.step():
        model.zero_grad()
        y = model(x)
        y = y[0] if isinstance(y, tuple) else y
        (y**2).mean().backward()
    return y


def counted(values, series):
    x = values.numpy().astype(float)
    if series.edges is not LOG_EDGES:
        return np.histogram(x, series.edges)[0]
    powers = series.edges[len(LOG_EDGES) // 2 :]
    left, right = (np.histogram(side, powers)[0] for side in (-x, x))
    return np.concatenate([left[::-1], [(abs(x) < powers[0]).sum()], right])


# ---------------------------------------------------------------------- counts


def test_counts_are_those_of_numpy(rng):
    model, x = Own(rng), rng.normal(size=(5, 2, 3)).astype(np.float32)
    histograms = viz.Histograms(model)
    y = one_step(model, x, histograms)
    for name, p in model.named_parameters():
        for kind, values in ((histograms.weights, p), (histograms.gradients, p.grad)):
            np.testing.assert_array_equal(kind[name].counts, [counted(values, kind[name])])
            rms = np.sqrt((values.numpy().astype(float) ** 2).mean())
            assert kind[name].rms == pytest.approx([rms])
    names = list(histograms.activations)
    assert [n.partition(" (line")[0] for n in names] == [
        "first: linear", "Own: tanh", "second: linear", "Own: relu",
    ]  # fmt: skip
    relu = histograms.activations[names[-1]]
    np.testing.assert_array_equal(relu.counts, [counted(y, relu)])
    h = mg.tanh(model.first(x))
    tanh = histograms.activations[names[1]]
    np.testing.assert_array_equal(tanh.counts, [counted(h, tanh)])
    y = model.second(h)
    (y_g, h_g) = mg.grad((mg.relu(y) ** 2).mean(), [y, h])
    gradients = histograms.activation_gradients
    for name, g in ((names[2], y_g), (names[1], h_g)):
        np.testing.assert_array_equal(gradients[name].counts, [counted(g, gradients[name])])


def test_every_finite_number_has_a_bin_and_the_others_are_counted(rng):
    values = [0.0, -0.0, 1e-30, -1e-12, 1e30, -np.inf, np.inf, np.nan, 3.0, -3.0]
    model = nn.Linear(10, 1, bias=False, rng=rng)
    model.weight.data = np.array([values], np.float32)
    histograms = viz.Histograms(model)
    with histograms.step():
        pass
    series = histograms.weights["weight"]
    assert series.counts.sum() == 7
    assert series.not_finite.tolist() == [3]
    middle = len(LOG_EDGES) // 2 - 1
    assert series.counts[0, middle] == 4  # what is too small
    np.testing.assert_array_equal(
        series.counts[0], counted(model.weight[:, [0, 1, 2, 3, 4, 8, 9]], series)
    )
    assert not histograms.gradients  # there was no backward pass
    assert histograms.figure()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_bins_are_those_of_the_exponents(rng, dtype):
    """Also for what is hardest: powers of 2, their neighbours, the smallest and largest floats."""
    powers = np.ldexp(1.0, np.arange(-40, 16)).astype(dtype)
    near = np.concatenate([np.nextafter(powers, powers.dtype.type(to)) for to in (0, 1e4)])
    info = np.finfo(dtype)
    edge = np.array([0, info.tiny, info.smallest_subnormal, info.max], dtype)
    x = np.concatenate([powers, near, edge, rng.normal(size=500).astype(dtype)])
    x = np.concatenate([x, -x])
    lost = np.array([np.nan, np.inf, -np.inf, -np.nan], dtype)
    series = Series()
    series.add(np.concatenate([x, lost]))
    series.close(0)
    finite = x[np.isfinite(x)]
    np.testing.assert_array_equal(series.counts[0], counted(mg.tensor(finite), series))
    assert series.not_finite == [len(x) - len(finite) + 4]


def test_a_sparse_gradient_counts_its_zeros(rng):
    model = nn.Embedding(5, 2, sparse=True, rng=rng)
    histograms = viz.Histograms(model)
    one_step(model, np.array([1, 1, 3]), histograms)
    series = histograms.gradients["weight"]
    assert series.counts.sum() == 10
    assert series.counts[0, len(LOG_EDGES) // 2 - 1] == 6


def test_training_is_not_changed(rng):
    x = rng.normal(size=(20, 4, 3)).astype(np.float32)
    found = []
    for looks in (False, True):
        model = nn.LSTM(3, 5, rng=np.random.default_rng(0))
        optimizer = optim.Adam(model.parameters(), lr=0.01)
        histograms = viz.Histograms(model, every=3)
        for t in range(10):
            if looks:
                one_step(model, x[t : t + 5], histograms)
            else:
                optimizer.zero_grad()
                (model(x[t : t + 5])[0] ** 2).mean().backward()
            optimizer.step()
        found.append([p.numpy().tobytes() for p in model.parameters()])
    assert found[0] == found[1]
    assert histograms.weights["weight_hh_l0"].steps.tolist() == [0, 3, 6, 9]


# ---------------------------------------------------------------------- memory


def test_memory_is_bounded(rng):
    model = nn.Linear(2, 2, rng=rng)
    histograms = viz.Histograms(model, keep=10)
    for _ in range(1000):
        with histograms.step():
            pass
    steps = histograms.weights["weight"].steps
    assert 5 <= len(steps) <= 10
    assert set(np.diff(steps)) == {histograms.every}  # they are evenly spaced
    assert steps[-1] > 1000 - 2 * histograms.every
    assert histograms.steps_seen == steps.tolist()


def test_an_error_leaves_nothing_of_its_step(rng):
    model = Own(rng)
    histograms = viz.Histograms(model)
    x = np.ones((2, 3), np.float32)

    def fails(y):
        raise ZeroDivisionError

    failing = nn.Sequential(model, nn.ReLU())
    failing[1].forward = fails
    with pytest.raises(ZeroDivisionError), histograms.step():
        failing(x)
    assert mg.autograd.modes.modes.observer is None
    assert not mg.autograd.modes.watchers
    one_step(model, x, histograms)
    assert all(s.steps.tolist() == [1] for s in histograms.activations.values())
    assert next(iter(histograms.activations.values())).counts.sum() == 8


# ---------------------------------------------------------------------- dead and saturated units


def test_dead_relu_units_are_found(rng):
    model = nn.Sequential(nn.Linear(3, 6, rng=rng), nn.ReLU())
    model[0].weight.data = abs(model[0].weight.data)
    model[0].bias.data = np.array([1, -1e3, 1, 1, -1e3, 1], np.float32)
    x = abs(rng.normal(size=(7, 2, 3))).astype(np.float32)
    x[0, 0] = -1e4  # there all units are 0
    histograms = viz.Histograms(model)
    one_step(model, x, histograms)
    series = histograms.activations["1: relu"]
    assert series.flat_units == [2 / 6]
    assert series.flat_values == pytest.approx([(2 + 4 / 14) / 6])
    np.testing.assert_allclose(series.flat, [1 / 14, 1, 1 / 14, 1 / 14, 1, 1 / 14])
    told = histograms.flat_units()["1: relu"]
    assert "2 of 6 units are dead at all positions (units 1, 4)" in told
    assert told in repr(histograms)


@pytest.mark.parametrize(("layer", "edge"), [(nn.Tanh(), 1.0), (nn.Sigmoid(), 0.0)])
def test_saturated_units_are_found(rng, layer, edge):
    model = nn.Sequential(nn.Linear(2, 4, rng=rng), layer)
    model[0].weight.data = np.zeros((4, 2), np.float32)
    model[0].weight.data[3, 0] = 1
    model[0].bias.data = np.array([50, -50, 0.5, 0], np.float32)
    x = np.array([[0, 0], [50, 0], [-50, 0], [50, 1]], np.float32)
    histograms = viz.Histograms(model)
    y = one_step(model, x, histograms).numpy()
    (series,) = [s for name, s in histograms.activations.items() if name.startswith("1:")]
    np.testing.assert_array_equal(series.flat, [1, 1, 0, 0.75])
    assert series.flat_units == [0.5]
    far = abs(y) > SATURATED if edge else (y > SATURATED) | (y < 1 - SATURATED)
    assert series.flat_values == far.mean()
    assert "2 of 4 units are saturated" in series.told()


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_gates_are_those_of_the_equations(rng, kind):
    """Of two layers, fused; `unroll` has them as ops of their own."""
    names = {"LSTM": ("input gate", "forget gate", "candidate", "output gate"),
             "GRU": ("reset gate", "update gate", "candidate")}[kind]  # fmt: skip
    x = rng.normal(size=(6, 2, 3)).astype(np.float32)
    seen = {}
    for unroll in (False, True):
        model = getattr(nn, kind)(3, 4, 2, unroll=unroll, rng=np.random.default_rng(0))
        model.bias_ih_l1.data[: 2 * 4] = 100  # gates that are always open
        histograms = viz.Histograms(model)
        one_step(model, x, histograms)
        seen[unroll] = histograms.activations
    fused, unrolled = seen[False], seen[True]
    assert list(fused) == [
        f"{kind} {layer}: {name}" for layer in ("l0", "l1") for name in (*names, "h")
    ]
    sigmoid = sum(s.counts for name, s in fused.items() if "gate" in name)
    (whole,) = [s.counts for name, s in unrolled.items() if "sigmoid" in name]
    assert abs(sigmoid - whole).sum() <= 4  # fused, the last bits may differ
    first, second = (fused[f"{kind} l1: {name}"] for name in names[:2])
    assert (first.flat_units.item(), second.flat_units.item()) == (1, 1)
    assert fused[f"{kind} l0: {names[0]}"].flat_units == [0]


def test_an_rnn_of_either_kind_is_seen(rng):
    x = rng.normal(size=(6, 2, 3)).astype(np.float32)
    for nonlinearity, bias in (("tanh", 100), ("relu", -100)):
        model = nn.RNN(3, 4, nonlinearity=nonlinearity, rng=rng)
        model.bias_ih_l0.data[1] = bias
        histograms = viz.Histograms(model)
        one_step(model, x, histograms)
        series = histograms.activations["RNN l0: h"]
        assert series.function == nonlinearity
        assert series.flat[1] == 1 > series.flat.min()


def test_several_windows_of_a_step_are_put_together(rng):
    model = nn.RNN(3, 4, rng=rng)
    x = rng.normal(size=(8, 2, 3)).astype(np.float32)
    histograms = viz.Histograms(model)
    with histograms.step():
        _, state = model(x[:4])
        model(x[4:], state)
    assert list(histograms.activations) == ["RNN l0: h"]
    assert histograms.activations["RNN l0: h"].counts.sum() == 8 * 2 * 4


# ---------------------------------------------------------------------- what is refused


def test_what_is_no_model_is_refused(rng):
    with pytest.raises(TypeError, match=r"Histograms: expected an nn\.Module, not a function"):
        viz.Histograms(lambda x: x)
    with pytest.raises(ValueError, match="no parameters"):
        viz.Histograms(nn.Tanh())
    for options in ({"every": 0}, {"keep": 0}):
        with pytest.raises(ValueError, match="must be at least 1"):
            viz.Histograms(nn.Linear(1, 1, rng=rng), **options)
