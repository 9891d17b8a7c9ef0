"""The numbers of `gradient_through_time` against finite differences and other computations."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim, training, viz
from models.rnnlm import RNNLM, LanguageModel

sys.path.insert(0, str(Path(__file__).parent))

from recurrent_models import LM, H, OwnLM, V, examples, losses

KINDS = list(examples(np.random.default_rng(0)))
T = 6
IDS = np.random.default_rng(1).integers(0, V, T + 1)


@pytest.fixture(params=KINDS)
def model(request):
    return examples(np.random.default_rng(2))[request.param]


def flows(model, ids=IDS):
    return list(viz.gradient_through_time(model, ids).flows.values())


def slopes(model, layer, part, s, size, eps=1e-5):
    """dL_t / d(part of the layer's state after step s) for each t, by central differences."""

    def at(step):
        def change(k, t, state):
            if (k, t) != (layer, s):
                return state
            return tuple(p + step if n == part else p for n, p in enumerate(state))

        with mg.no_grad():
            return np.array([loss.item() for loss in losses(model, IDS, change)])

    moves = np.eye(size) * eps
    return np.stack([(at(move) - at(-move)) / (2 * eps) for move in moves], axis=1)


def test_the_triangle_is_that_of_finite_differences(model):
    for layer, flow in enumerate(flows(model)):
        sizes = model.layers()[layer][2]
        squares = 0
        for part, (name, size) in enumerate(zip(flow.parts, sizes, strict=True)):
            expected = np.zeros((T, T))
            for s in range(T):
                expected[:, s] = np.linalg.norm(slopes(model, layer, part, s, size), axis=1)
            np.testing.assert_allclose(flow.parts[name], expected, rtol=1e-6, atol=1e-8)
            assert flow.parts[name][-1, 0] > 1e-6  # it has come from afar
            squares = squares + expected**2
        np.testing.assert_allclose(flow.norms, np.sqrt(squares), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_each_row_is_a_walk_of_its_own(kind):
    """Over 40 steps, down to gradients that finite differences cannot see."""
    rng = np.random.default_rng(3)
    model = LM(kind, rng).to(dtype="float64")
    ids = rng.integers(0, V, 41)
    states = []

    def note(layer, t, state):
        states.append(tuple(mg.copy(part) for part in state))  # apart from each other
        return states[-1]

    found = losses(model, ids, note)
    (flow,) = flows(model, ids)
    for t in range(40):
        parts = [part for state in states[: t + 1] for part in state]
        walk = mg.grad(found[t], parts, retain_graph=True, allow_unused=True)
        squares = np.array([0.0 if g is None else (g.numpy() ** 2).sum() for g in walk])
        expected = np.sqrt(squares.reshape(t + 1, -1).sum(1))
        np.testing.assert_allclose(flow.norms[t, : t + 1], expected, rtol=1e-9)
    assert 0 < flow.norms[39, 0] < 1e-5
    assert (flow.norms[np.triu_indices(40, 1)] == 0).all()


def truncated(model, ids, k):
    """The gradient of the mean loss by truncated BPTT, by name."""
    model.zero_grad()

    def loss(logits, targets):
        return mg.cross_entropy(logits, targets, reduction="sum") / (len(ids) - 1)

    list(training.truncated_bptt(model.eval(), loss, ids[:-1, None], ids[1:, None], k1=k))
    gradients = {name: p.grad.numpy() for name, p in model.named_parameters()}
    model.zero_grad()
    return gradients


def check_bias(bias, names, full, cut):
    """`cut` are the truncated gradients by the length of the window."""
    G = np.concatenate([full[name].ravel() for name in names])
    assert math.isclose(bias.full_norm, np.linalg.norm(G), rel_tol=1e-9)
    for k, gradients in cut.items():
        g = np.concatenate([gradients[name].ravel() for name in names])
        size = np.linalg.norm(g)
        error, cosine = np.linalg.norm(g - G) / np.linalg.norm(G), g @ G / size / np.linalg.norm(G)
        got = [bias.norms[k - 1], bias.errors[k - 1], bias.cosines[k - 1]]
        np.testing.assert_allclose(got, [size, error, cosine], rtol=1e-8, atol=1e-12)


def test_the_bias_is_that_of_truncated_bptt(model):
    full = truncated(model, IDS, T)
    cut = {k: truncated(model, IDS, k) for k in range(1, T + 1)}
    for flow in flows(model):
        check_bias(flow.bias, flow.weights, full, cut)
        check_bias(flow.bias_of_all, list(full), full, cut)
        assert flow.bias.errors[-1] == 0
        assert flow.bias.errors[0] > 1e-3


@pytest.mark.parametrize("tied", [False, True])
def test_the_language_models_of_the_house(tied):
    """Several layers, tied weights, dropout, one-hot vectors: what `models` has."""
    rng = np.random.default_rng(4)
    options = {"tied": True} if tied else {"dropout": 0.5, "weight_drop": 0.5}
    rnnlm = RNNLM(V, 4 if tied else None, 4, "gru", num_layers=2, rng=rng, **options)
    simple = LanguageModel(V, 3, 4, rng=rng)
    simple.embedding.sparse = True
    for model in (rnnlm, simple):
        model.to(dtype="float64")
        full = truncated(model, IDS, T)
        cut = {k: truncated(model, IDS, k) for k in (1, 2, 4)}
        found = flows(model)
        assert [flow.layer for flow in found] in ([["recurrent"], ["recurrent.0", "recurrent.1"]])
        for flow in found:
            (name,) = flow.weights
            assert name == f"{flow.layer}.weight_hh_l0"
            check_bias(flow.bias, [name], full, cut)
            check_bias(flow.bias_of_all, list(full), full, cut)


def test_layers_may_share_their_weights():
    rng = np.random.default_rng(15)
    model = OwnLM(rng)
    shared = model.recurrent.cell_l0
    model.recurrent = nn.Recurrent(lambda *sizes: shared, H, H, num_layers=2)
    model.to(dtype="float64")
    full = truncated(model, IDS, T)
    cut = {k: truncated(model, IDS, k) for k in (1, 3)}
    for flow in flows(model):
        assert {name.split(".")[1] for name in flow.weights} == {"cell_l0"}
        check_bias(flow.bias, flow.weights, full, cut)


def test_frozen_parameters_do_not_count():
    model = examples(np.random.default_rng(16))["GRU"]
    learnt = [name for name, _ in model.named_parameters()][1:]
    full, cut = truncated(model, IDS, T), {2: truncated(model, IDS, 2)}
    model.embedding.weight.requires_grad_(False)
    (flow,) = flows(model)
    check_bias(flow.bias_of_all, learnt, full, cut)
    model.requires_grad_(False)
    (flow,) = flows(model)  # it has nothing to learn, and can still be looked at
    check_bias(flow.bias_of_all, list(full), full, cut)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_what_each_step_gives_to_the_gradient(kind):
    """Each step gets a copy of W_hh: the sum over the copies is the gradient of W_hh."""
    rng = np.random.default_rng(5)
    model = examples(rng)[kind]
    ((update, output, sizes),) = model.layers()
    W = model.rnn.weight_hh_l0
    copies = [mg.tensor(W.numpy(), requires_grad=True) for _ in range(T)]
    state = tuple(mg.zeros((1, n), dtype="float64") for n in sizes)
    found = []
    for t in range(T):
        state = update(model.embedding(IDS[t : t + 1]), state, copies[t])
        found.append(mg.cross_entropy(model.decoder(output(state)), IDS[t + 1 : t + 2]) / T)
    C = np.zeros((T, T, *W.shape))
    for t in range(T):
        walk = mg.grad(found[t], copies, retain_graph=True, allow_unused=True)
        C[t] = [np.zeros(W.shape) if g is None else g.numpy() for g in walk]
    G = C.sum((0, 1))
    direction = G / np.linalg.norm(G)

    (flow,) = flows(model)
    np.testing.assert_allclose(flow.pairs, (C * direction).sum((2, 3)), rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(
        flow.step_norms, np.linalg.norm(C.sum(0).reshape(T, -1), axis=1), rtol=1e-8, atol=1e-12
    )
    np.testing.assert_allclose(G, truncated(model, IDS, T)["rnn.weight_hh_l0"], rtol=1e-8)
    assert math.isclose(flow.steps().sum(), np.linalg.norm(G), rel_tol=1e-9)
    for k in range(1, T + 1):
        t, s = np.indices((T, T)) // k
        kept = (C * (t == s)[..., None, None]).sum(0)
        np.testing.assert_allclose(
            flow.steps(k), (kept * direction).sum((1, 2)), rtol=1e-8, atol=1e-12
        )


def test_what_a_window_drops(model):
    for flow in flows(model):
        for k in range(1, T + 1):
            t, s = np.indices((T, T)) // k
            share = flow.norms[t != s].sum() / flow.norms.sum()
            assert math.isclose(flow.dropped[k - 1], share, rel_tol=1e-9, abs_tol=1e-12)
        assert np.array_equal(flow.steps(T + 5), flow.steps())


def test_clipping_is_that_of_clip_grad_norm():
    model = examples(np.random.default_rng(6))["LSTM"]
    (flow,) = flows(model)
    for window in (None, 2):
        for max_norm in (0.1, 1e3):
            gradients = truncated(model, IDS, window or T)
            for name, parameter in model.named_parameters():
                parameter.grad = mg.tensor(gradients[name])
            optim.clip_grad_norm_(model.parameters(), max_norm)
            W = model.rnn.weight_hh_l0
            factor = (W.grad.numpy() / gradients["rnn.weight_hh_l0"]).mean()
            assert math.isclose(flow.clipping(max_norm, window), factor, rel_tol=1e-4)
            model.zero_grad()


def test_an_orthogonal_matrix_decays_as_its_radius_says():
    """A ReLU network whose units are all active multiplies by W, and |W^k v| is rho^k |v|."""
    rho, rng = 0.8, np.random.default_rng(7)
    model = LM("RNN", rng, nonlinearity="relu").to(dtype="float64")
    model.rnn.weight_hh_l0.data = rho * np.eye(H)[[1, 2, 0]]
    model.rnn.bias_hh_l0.data = np.full(H, 10.0)
    (flow,) = flows(model)
    name, forecast = flow.forecast
    assert name == "W_hh"
    assert flow.radii == viz.spectral_radii(model)
    np.testing.assert_allclose(forecast, rho ** np.arange(T), rtol=1e-6)
    np.testing.assert_allclose(flow.decay, forecast, rtol=1e-6)


def test_an_lstm_whose_gates_are_open_keeps_its_cell():
    """With f = 1, i = 0 and o = 0.5 the way through c neither grows nor shrinks."""
    model = LM("LSTM", np.random.default_rng(8)).to(dtype="float64")
    model.rnn.weight_hh_l0.data = np.zeros((4 * H, H))
    model.rnn.weight_ih_l0.data = np.zeros((4 * H, H))
    model.rnn.bias_ih_l0.data = np.repeat([-50.0, 50.0, 0.0, 0.0], H)
    (flow,) = flows(model)
    below = np.tril_indices(T, -1)
    expected = np.broadcast_to(flow.parts["c"][:, :1], (T, T))[below]
    np.testing.assert_allclose(flow.parts["c"][below], expected, rtol=1e-9)
    assert (flow.parts["h"][below] == 0).all()
    assert (np.diagonal(flow.parts["h"]) > 0).all()
    assert flow.forecast[0] == "W_hg"


def test_layers_have_their_names():
    rng = np.random.default_rng(9)
    kinds = {
        "RNN": (["rnn"], ["RNN"], ["rnn.weight_hh_l0"]),
        "two layers": (["rnn l0", "rnn l1"], ["LSTM"] * 2, ["rnn.weight_hh_l0"]),
        "own cells": (["recurrent l0", "recurrent l1"], ["OwnCell"] * 2, None),
        "looped": (["lower", "upper"], ["LSTMCell", "GRUCell"], ["lower.weight_hh"]),
        "by hand": (["state"], ["ByHand"], ["W_xh", "W_hh", "W_hy"]),
    }
    for key, (layers, classes, weights) in kinds.items():
        seen = viz.gradient_through_time(examples(rng)[key], IDS)
        assert list(seen.flows) == layers
        assert [flow.kind for flow in seen.flows.values()] == classes
        assert weights is None or seen.flows[layers[0]].weights == weights
    several = {"A": examples(rng)["RNN"], "B": examples(rng)["two layers"]}
    seen = viz.gradient_through_time(several, IDS)
    assert list(seen.flows) == ["A", "B: rnn l0", "B: rnn l1"]


def test_a_cell_within_a_cell_is_a_part_of_it():
    class Wrapped(nn.Module):
        def __init__(self, input_size, hidden_size):
            self.inner = nn.GRUCell(input_size, hidden_size)

        def forward(self, x, state):
            state = self.inner(x, state)
            return state, state

    model = OwnLM(np.random.default_rng(0))
    model.recurrent = nn.Recurrent(Wrapped, H, H)
    seen = viz.gradient_through_time(model, IDS)
    assert list(seen.flows) == ["recurrent"]


def test_losses_are_those_of_one_call(model):
    model.eval()
    with mg.no_grad():
        logits, _ = model(IDS[:-1, None])
        expected = mg.cross_entropy(logits[:, 0], IDS[1:], reduction="none").numpy()
    for flow in flows(model):
        np.testing.assert_allclose(flow.losses, expected, rtol=1e-9)


def test_two_tokens_have_one_step():
    for model in examples(np.random.default_rng(10)).values():
        for flow in flows(model, IDS[:2]):
            assert flow.norms.shape == (1, 1)
            assert flow.dropped.tolist() == [0]


def test_float32_is_measured_in_float64():
    """What vanishes in float32 is still a number."""
    rng = np.random.default_rng(11)
    model = LM("RNN", rng)
    model.rnn.weight_hh_l0.data *= 0.01
    (flow,) = flows(model, rng.integers(0, V, 41))
    assert 1e-300 < flow.norms[39, 0] < 1e-60


@pytest.mark.parametrize("sparse", [False, True])
def test_nothing_of_the_model_changes(sparse):
    rng = np.random.default_rng(12)
    model = LM("GRU", rng, num_layers=2, dropout=0.5)
    model.embedding.sparse = sparse
    model.embedding.weight.grad = given = mg.ones((V, H))
    model.rnn.eval()
    model.decoder.bias.requires_grad_(False)
    model.drop = nn.Dropout(0.5, rng=rng)

    def facts():
        flags = {name: module.training for name, module in model.named_modules()}
        attributes = {name: list(vars(module)) for name, module in model.named_modules()}
        asks = {name: p.requires_grad for name, p in model.named_parameters()}
        return flags, attributes, asks, rng.bit_generator.state, model.rnn.unroll

    before, values = facts(), model.state_dict()
    mg.manual_seed(3)
    expected = mg.rand(4).numpy()
    mg.manual_seed(3)
    flows(model)
    assert np.array_equal(mg.rand(4).numpy(), expected)
    assert facts() == before
    assert all(np.array_equal(values[name], value) for name, value in model.state_dict().items())
    assert model.embedding.weight.grad is given
    assert all(p.grad is None for p in model.parameters() if p is not model.embedding.weight)
    assert (given.numpy() == 1).all()
    assert next(iter(model.parameters())).dtype == np.float32


def test_a_model_that_draws_in_evaluation_leaves_the_library_generator_alone():
    class Noisy(LM):
        def forward(self, ids, state=None):
            mg.rand(1)
            return super().forward(ids, state)

    model = Noisy("RNN", np.random.default_rng(13))
    mg.manual_seed(3)
    expected = mg.rand(4).numpy()
    mg.manual_seed(3)
    flows(model)
    assert np.array_equal(mg.rand(4).numpy(), expected)


@pytest.mark.device
def test_a_model_on_a_gpu_has_the_numbers_of_the_cpu():
    for name in ("RNN", "two layers", "own cells", "looped"):
        model = examples(np.random.default_rng(14))[name]
        expected, got = flows(model), flows(model.to("cuda"))
        assert next(iter(model.parameters())).device.startswith("cuda")
        for here, there in zip(expected, got, strict=True):
            np.testing.assert_allclose(there.norms, here.norms, rtol=1e-9)
            np.testing.assert_allclose(there.pairs, here.pairs, rtol=1e-9, atol=1e-12)
            for key in ("bias", "bias_of_all"):
                assert getattr(there, key).norms == pytest.approx(getattr(here, key).norms)


# ---------------------------------------------------------------------- errors


class NoState(LM):
    def forward(self, ids, state=None):
        return super().forward(ids, state)[0]


class NoneAsState(LM):
    def forward(self, ids, state=None):
        return super().forward(ids, state)[0], None


class LastLogits(LM):
    def forward(self, ids, state=None):
        logits, state = super().forward(ids, state)
        return logits[-1], state


class Forgets(LM):
    def forward(self, ids, state=None):
        return super().forward(ids, None)


class FlatState(LM):
    def forward(self, ids, state=None):
        logits, state = super().forward(ids, state)
        return logits, state[0, 0]


class Counts(LM):
    def forward(self, ids, state=None):
        logits, state = super().forward(ids, None if state is None else state[0])
        return logits, (state, mg.tensor(np.zeros((ids.shape[1], 1), np.int64)))


class TakesIds(LM):
    def forward(self, ids):
        return super().forward(ids)


class Bag(nn.Module):
    """No recurrent layer: the state is handed through."""

    def __init__(self, rng):
        self.embedding = nn.Embedding(V, V, rng=rng)

    def forward(self, ids, state=None):
        return self.embedding(ids), mg.zeros((1, ids.shape[1], 1))


def lm(cls=LM, kind="RNN", **options):
    return cls(kind, np.random.default_rng(0), **options)


def broken():
    model = lm()
    model.rnn.weight_hh_l0.data = np.full((H, H), np.nan)
    return model


WRONG = {
    "no module": (lambda: len, IDS, TypeError, "model must be an nn.Module"),
    "no tokens": (lm, [], ValueError, "tokens must be at least 2"),
    "one token": (lm, [1], ValueError, "tokens must be at least 2.*got 1"),
    "floats": (lm, [0.5, 1.0], TypeError, "ids must be integers"),
    "a matrix": (lm, [[0, 1], [1, 0]], ValueError, "one axis"),
    "too large": (lm, [0, 1, V], IndexError, r"in \[0, 5\), got 5 at position 2"),
    "negative": (lm, [0, -1, 1], IndexError, "got -1 at position 1"),
    "no state": (lambda: lm(NoState), IDS, TypeError, r"must give a pair \(logits, state\)"),
    "ids alone": (lambda: lm(TakesIds), IDS, TypeError, r"model\(ids, state\).*too many"),
    "None as state": (lambda: lm(NoneAsState), IDS, TypeError, "as its state"),
    "last logits": (lambda: lm(LastLogits), IDS, TypeError, "as the logits"),
    "forgets": (lambda: lm(Forgets), IDS, ValueError, "does not go on where it stopped"),
    "flat state": (lambda: lm(FlatState), IDS, ValueError, r"gave a state of shape \(3,\)"),
    "counts": (lambda: lm(Counts), IDS, TypeError, "a state of int64, which has no gradient"),
    "not recurrent": (lambda: Bag(np.random.default_rng(0)), IDS, ValueError, "no recurrent"),
    "both ways": (lambda: lm(bidirectional=True), IDS, ValueError, "rnn is bidirectional"),
    "NaN": (broken, IDS, ValueError, "rnn.weight_hh_l0 has values that are not finite"),
    "no models": (dict, IDS, ValueError, "no models"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_measured_is_told(case):
    make, tokens, error, message = WRONG[case]
    with pytest.raises(error, match=message) as raised:
        viz.gradient_through_time(make(), tokens)
    assert str(raised.value).startswith("gradient_through_time: ")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"window": 0}, ValueError, "window must be at least 1, got 0"),
        ({"window": 2.5}, TypeError, "window must be an int"),
        ({"max_norm": 0}, ValueError, "max_norm must be a number above 0, got 0"),
        ({"max_norm": "1"}, ValueError, "max_norm must be a number above 0"),
        ({"labels": "abc"}, ValueError, "labels must be 7, one for each token, got 3"),
    ],
)
def test_options_are_checked(options, error, message):
    with pytest.raises(error, match=message):
        viz.gradient_through_time(lm(), IDS, **options)
