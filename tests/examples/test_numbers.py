"""What the scripts compute that have a picture: against formulas, finite differences and NumPy."""

import importlib
import math
from itertools import pairwise

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn


class TestUnrolled:
    @pytest.fixture
    def unrolled(self):
        return importlib.import_module("unrolled_rnn")

    def test_the_shares_add_up_to_the_gradient(self, unrolled):
        shares, shared = unrolled.shares(unrolled.CharRNN())
        np.testing.assert_allclose(np.sum(shares, axis=0), shared, rtol=1e-12)
        assert (shares[0] == 0).all()  # h_0 is 0
        assert all(abs(share).max() > 0.01 for share in shares[1:])

    def test_the_gradient_is_that_of_finite_differences(self, unrolled):
        model = unrolled.CharRNN()
        _, shared = unrolled.shares(model)
        W = model.cell.weight_hh.numpy()
        for i, j in np.ndindex(W.shape):
            losses = []
            for step in (1e-6, -1e-6):
                moved = W.copy()
                moved[i, j] += step
                losses.append(unrolled.unroll(model, [mg.tensor(moved)] * 4)[1].item())
            assert shared[i, j] == pytest.approx((losses[0] - losses[1]) / 2e-6, abs=1e-8)


class TestPaths:
    @pytest.fixture
    def paths(self):
        return importlib.import_module("bptt_paths")

    def test_each_term_is_the_product_of_its_factors(self, paths):
        at_loss, along, at_weight = paths.factors()
        terms = paths.terms()
        for t, k in np.ndindex(terms.shape):
            if k > t:
                assert np.isnan(terms[t, k])
            else:
                product = at_loss[t] * along[k + 1 : t + 1].prod() * at_weight[k]
                assert terms[t, k] == pytest.approx(product, rel=1e-12)

    def test_their_sum_is_the_gradient(self, paths):
        def loss(W):
            h, total = paths.H_0, 0.0
            for x, y in zip(paths.X, paths.Y, strict=True):
                h = math.tanh(W * h + paths.U * x)
                total += (h - y) ** 2 / 2
            return total

        difference = (loss(paths.W + 1e-6) - loss(paths.W - 1e-6)) / 2e-6
        assert np.nansum(paths.terms()) == pytest.approx(difference, rel=1e-8)
        assert paths.gradient() == pytest.approx(np.nansum(paths.terms()), rel=1e-12)


def test_singular_values_are_those_of_the_powers():
    vanishing = importlib.import_module("vanishing_exploding")
    W = vanishing.gaussian(1.1, np.random.default_rng(3), size=4)
    values = vanishing.singular_values(W, T=6)
    for k, found in enumerate(values):
        power = np.linalg.matrix_power(W, k)
        np.testing.assert_allclose(found, np.linalg.svd(power, compute_uv=False), rtol=1e-8)
    assert vanishing.in_powers_of_ten(5.2e47) == r"5.2 \times 10^{47}"
    assert vanishing.in_powers_of_ten(1.0) == "1"


class TestTruncation:
    @pytest.fixture
    def truncation(self):
        return importlib.import_module("truncation")

    def test_the_tape_grows_with_the_window(self, truncation):
        """By the same number of bytes with each step."""
        model = truncation.CharRNN()
        kept = {k: truncation.bytes_kept(model, k) for k in (4, 8, 12, 100)}
        step = (kept[8] - kept[4]) / 4
        assert step >= 2 * 64 * 4  # at least h_t, and h_t as the input of the next layer
        assert kept[12] - kept[8] == 4 * step
        assert kept[100] - kept[4] == 96 * step

    def test_truncated_gradients_come_near_to_the_full_one(self, truncation):
        model = truncation.CharRNN()
        costs = [truncation.cost(model, k, repeats=1) for k in (8, 64, len(truncation.TEXT_READ))]
        assert costs[0].cosine < costs[1].cosine < 1 - 1e-6
        assert costs[2].cosine == pytest.approx(1, abs=1e-6)
        assert all(cost.seconds > 0 for cost in costs)

    def test_a_window_cuts_the_paths_that_cross_its_edge(self, truncation):
        """The gradient is the sum of those of the windows, each from a state that is given."""
        model, k = truncation.CharRNN(), 50
        inputs, targets = truncation.inputs_and_targets()
        expected, state = 0.0, None
        for start in range(0, len(inputs), k):
            model.zero_grad()
            logits, after = model(inputs[start : start + k], state)
            truncation.total(logits, targets[start : start + k]).backward()
            expected += np.concatenate([p.grad.numpy().ravel() for p in model.parameters()])
            state = mg.tensor(after.numpy())
        np.testing.assert_allclose(truncation.gradient(model, k), expected, rtol=1e-3, atol=1e-4)

    def test_the_carried_state_knows_what_came_before(self, truncation):
        model = truncation.CharRNN()
        history = truncation.train(model)
        assert history[-1] < 0.05 < history[0]
        carried, reset = (truncation.loss_by_place(model, 8, carry) for carry in (True, False))
        assert carried.max() < 0.05
        assert reset[0] > 0.3
        inputs, targets = truncation.inputs_and_targets()
        with mg.no_grad():
            whole = mg.cross_entropy(model(inputs)[0], targets, reduction="none").numpy()
        expected = whole[: len(whole) // 8 * 8].reshape(-1, 8).mean(0)
        np.testing.assert_allclose(carried, expected, atol=1e-4)


class TestClipping:
    @pytest.fixture
    def clipping(self):
        return importlib.import_module("clipping")

    @pytest.mark.parametrize("w", [0.6, 0.2, -0.8])
    def test_gradients_are_those_of_finite_differences(self, clipping, w):
        def loss(w, u):
            h = 0.0
            for x in clipping.X:
                h = w * h + u * x
            return (h - 1) ** 2 / 2

        u, step = 0.7, 1e-6
        expected = [
            (loss(w + step, u) - loss(w - step, u)) / (2 * step),
            (loss(w, u + step) - loss(w, u - step)) / (2 * step),
        ]
        np.testing.assert_allclose(clipping.gradient(w, u), expected, rtol=1e-6, atol=1e-8)

    def test_by_norm_it_keeps_its_direction_by_value_it_does_not(self, clipping):
        for weights in clipping.WEIGHTS:
            g = clipping.gradient(*weights)
            by_norm, by_value = (clipping.gradient(*weights, clip) for clip in ("norm", "value"))
            size = np.linalg.norm(g)
            np.testing.assert_allclose(by_norm, g * min(1, 1 / size), rtol=1e-5)
            np.testing.assert_array_equal(by_value, np.clip(g, -1, 1))
            assert clipping.cosine(by_norm, g) == pytest.approx(1, abs=1e-9)
            if abs(g).max() > 1:
                assert clipping.cosine(by_value, g) < 0.995


class TestFourShapes:
    @pytest.fixture
    def four(self):
        return importlib.import_module("four_shapes")

    def test_the_tables_have_the_shapes_of_the_tasks(self, four):
        found = {name: (table > 0).tolist() for name, table in four.tables().items()}
        one, every = [[True]], np.ones((four.T, four.T), dtype=bool)
        column, row = every[:, :1].tolist(), every[:1].tolist()
        assert found == {
            "one-to-one": one,
            "one-to-many": column,
            "many-to-one": row,
            "many-to-many": np.tri(four.T, dtype=bool).tolist(),
            "later": every.tolist(),
        }

    @pytest.mark.parametrize("name", ["one-to-many", "later"])
    def test_norms_are_those_of_finite_differences(self, four, name):
        rng = np.random.default_rng(0)
        network = four.Network(rng)
        x = [rng.normal(size=four.FEATURES) for _ in range(four.T)]
        step, columns = 1e-6, []

        def last_output():
            return four.shapes(network, [mg.tensor(x_t) for x_t in x])[name][1][-1].numpy()

        for i in range(four.FEATURES):
            kept = x[0][i]
            x[0][i] = kept + step
            up = last_output()
            x[0][i] = kept - step
            columns.append((up - last_output()) / (2 * step))
            x[0][i] = kept
        assert four.tables()[name][-1, 0] == pytest.approx(np.linalg.norm(columns), rel=1e-6)


class TestDeepAndBidirectional:
    @pytest.fixture
    def deep(self):
        return importlib.import_module("deep_and_bidirectional")

    def test_layers_see_the_past_and_directions_all(self, deep):
        networks = deep.networks()
        past = deep.dependence(networks["layers"])
        assert ((past > 0) == np.tri(deep.T, dtype=bool)).all()
        assert (deep.dependence(networks["directions"]) > 0).all()

    @pytest.mark.parametrize("name", ["layers", "directions"])
    def test_norms_are_those_of_finite_differences(self, deep, name):
        rnn = deep.networks()[name]
        found = deep.dependence(rnn)
        x = np.random.default_rng(1).normal(size=(deep.T, 1, deep.FEATURES)).astype(np.float32)
        rnn.to(dtype="float64")
        step = 1e-6
        for s in (0, 2):
            columns = []
            for i in range(deep.FEATURES):
                up, down = (x.astype(np.float64) for _ in range(2))
                up[s, 0, i] += step
                down[s, 0, i] -= step
                columns.append((rnn(up)[0].numpy() - rnn(down)[0].numpy())[:, 0] / (2 * step))
            norms = np.sqrt(np.square(columns).sum((0, 2)))
            np.testing.assert_allclose(found[:, s], norms, rtol=1e-3, atol=1e-6)


class TestGates:
    @pytest.fixture
    def gates(self):
        return importlib.import_module("gates")

    def test_the_gates_are_those_of_the_equations(self, gates):
        """And the gradient of c is that of finite differences: an LSTM in NumPy."""
        run = gates.follow(nn.LSTMCell, 3.0)
        rng = np.random.default_rng(0)
        cell = nn.LSTMCell(gates.FEATURES, gates.HIDDEN, rng=rng, dtype="float64")
        W_ih, W_hh = cell.weight_ih.numpy(), cell.weight_hh.numpy()
        bias = cell.bias_ih.numpy() + cell.bias_hh.numpy()
        bias[gates.HIDDEN : 2 * gates.HIDDEN] += 3.0
        x = rng.normal(size=(gates.T, gates.FEATURES))
        direction = rng.normal(size=gates.HIDDEN)
        start = direction / np.linalg.norm(direction)

        def step(x_t, h, c):
            i, f, g, o = np.split(W_ih @ x_t + W_hh @ h + bias, 4)
            i, f, o = (1 / (1 + np.exp(-a)) for a in (i, f, o))
            c = f * c + i * np.tanh(g)
            return f, o, o * np.tanh(c), c

        h, c = np.zeros((2, gates.HIDDEN))
        states = [(np.zeros(gates.HIDDEN), c)]
        for t, x_t in enumerate(x):
            f, o, h, c = step(x_t, h, c)
            np.testing.assert_allclose(run.gates[t], f, rtol=1e-10)
            states.append((o, c))
        for k in (1, 3, 10):
            o, c_0 = states[gates.T - k]
            gradient = []
            for i in range(gates.HIDDEN):
                ends = []
                for e in (1e-6, -1e-6):
                    c = c_0.copy()
                    c[i] += e
                    h = o * np.tanh(c)  # the state h is made of c
                    for x_t in x[gates.T - k :]:
                        _, _, h, c = step(x_t, h, c)
                    ends.append(start @ c)
                gradient.append((ends[0] - ends[1]) / 2e-6)
            assert run.norms[k] == pytest.approx(np.linalg.norm(gradient), rel=1e-6)

    def test_gates_near_one_keep_the_gradient(self, gates):
        runs = gates.runs()
        for name, run in runs.items():
            assert run.norms[0] == pytest.approx(1, rel=1e-12)
            assert run.direct[0] == pytest.approx(1, rel=1e-12)
            assert (run.norms[100] > 1e-2) == ("+3" in name)
            assert len(run.norms) == gates.T + 1
        for kind in ("LSTM", "GRU"):
            assert runs[kind].gates.mean() == pytest.approx(0.5, abs=0.02)
            assert runs[f"{kind} +3"].gates.mean() == pytest.approx(
                1 / (1 + math.exp(-3)), abs=0.02
            )
            nearly = runs[f"{kind} +3"]
            assert 0.8 < nearly.direct[10] / nearly.norms[10] < 1.2

    def test_the_direct_way_is_the_product_of_the_gates(self, gates):
        """Bounded by the largest and the smallest gate of each step."""
        run = gates.follow(nn.GRUCell)
        for k, (before, after) in enumerate(pairwise(run.direct)):
            gate = run.gates[gates.T - 1 - k]
            assert gate.min() <= after / before <= gate.max()
