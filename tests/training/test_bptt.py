import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad import nn
from minigrad.training import Window, full_bptt, truncated_bptt


def leaf(array):
    return mg.tensor(array, dtype="float64", requires_grad=True)


class TanhRNN:
    """h = tanh(x W + h U), the output is h."""

    def __init__(self, rng, inputs=3, hidden=4):
        self.W = leaf(rng.normal(0, 1, (inputs, hidden)))
        self.U = leaf(rng.normal(0, 0.8, (hidden, hidden)))
        self.h_0 = leaf(rng.normal(0, 1, (2, hidden)))
        self.calls = []

    def __call__(self, x, h):
        self.calls.append(len(x))
        outputs = []
        for x_t in x:
            h = mg.tanh(x_t @ self.W + h @ self.U)
            outputs.append(h)
        return mg.stack(outputs), h

    def gradients(self):
        """The gradients so far, which are forgotten then."""
        gradients = [p.grad.numpy() for p in (self.W, self.U, self.h_0) if p.grad is not None]
        self.W.grad = self.U.grad = self.h_0.grad = None
        return gradients


def weighted_sum(outputs, targets):
    return (outputs * targets).sum()


def sequence(rng, steps, batch=2, inputs=3, hidden=4):
    return rng.normal(size=(steps, batch, inputs)), rng.normal(size=(steps, batch, hidden))


def assert_close(actual, expected, rtol=1e-12):
    assert len(actual) == len(expected)
    for a, e in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, e, rtol=0, atol=rtol * max(1, np.abs(e).max()))


def spans(steps, k1, k2):
    """The windows by their definition: (first step, first new step, end)."""
    for new in range(0, steps, k1):
        end = min(new + k1, steps)
        yield (new if k1 == k2 else max(0, end - k2)), new, end


SIZES = st.tuples(st.integers(1, 9), st.integers(1, 10), st.integers(0, 10)).map(
    lambda sizes: (sizes[0], sizes[1], sizes[1] + sizes[2])  # (T, k1, k2)
)


class TestAgainstTheFullGradient:
    @given(st.integers(1, 9), st.integers(1, 10), st.integers(0, 5), st.integers(0, 99))
    @settings(max_examples=40)
    def test_k2_of_the_length_or_more_gives_the_full_gradient(self, steps, k1, more, seed):
        rng = np.random.default_rng(seed)
        model, (x, weights) = TanhRNN(rng), sequence(rng, steps)
        outputs, last = model(x, model.h_0)
        loss = weighted_sum(outputs, weights)
        loss.backward()
        expected = model.gradients()

        k2 = max(k1, steps) + more
        windows = list(truncated_bptt(model, weighted_sum, x, weights, model.h_0, k1=k1, k2=k2))
        assert_close(model.gradients(), expected)
        np.testing.assert_allclose(sum(w.loss.item() for w in windows), loss.item(), rtol=1e-12)
        np.testing.assert_array_equal(windows[-1].state.numpy(), last.numpy())

    @given(SIZES, st.integers(0, 99))
    @settings(max_examples=20)
    def test_of_several_losses_the_first_is_gone_down_and_all_are_told(self, sizes, seed):
        steps, k1, k2 = sizes
        rng = np.random.default_rng(seed)
        model, (x, weights) = TanhRNN(rng), sequence(rng, steps)
        alone = list(truncated_bptt(model, weighted_sum, x, weights, model.h_0, k1=k1, k2=k2))
        expected = model.gradients()

        def both(outputs, targets):
            return weighted_sum(outputs, targets), (outputs * outputs).sum()

        windows = list(truncated_bptt(model, both, x, weights, model.h_0, k1=k1, k2=k2))
        assert_close(model.gradients(), expected, rtol=0)
        for window, one in zip(windows, alone, strict=True):
            first, squares = window.loss
            assert first.item() == one.loss.item()
            assert squares.item() > 0
            assert not squares.requires_grad

    def test_full_bptt_is_one_window_of_one_call(self):
        rng = np.random.default_rng(0)
        model, (x, weights) = TanhRNN(rng), sequence(rng, 7)
        window = full_bptt(model, weighted_sum, x, weights, mg.zeros((2, 4), "float64"))
        assert (window.start, window.end, model.calls) == (0, 7, [7])
        truncated = TanhRNN(np.random.default_rng(0))
        list(truncated_bptt(truncated, weighted_sum, x, weights, window.state * 0, k1=3))
        difference = [a - b for a, b in zip(model.gradients(), truncated.gradients(), strict=True)]
        assert all(np.abs(d).max() > 1e-3 for d in difference), "truncation should be visible"


class TestAgainstGradientsByHand:
    """For h_t = w h_{t-1} + x_t the derivative of h_s by w is the sum of w^{s-j} h_{j-1} over j."""

    @staticmethod
    def recurrence(w):
        def model(x, h):
            outputs = []
            for x_t in x:
                h = w * h + x_t
                outputs.append(h)
            return mg.stack(outputs), h

        return model

    @staticmethod
    def states(w, x, h):
        states = [h]
        for x_t in x:
            states.append(w * states[-1] + x_t)
        return states

    def total(self, outputs, targets):
        return outputs.sum()

    def test_k1_and_k2_of_1_sum_the_states_before(self):
        x, w = np.array([0.5, -1.0, 2.0, 0.25, 1.5]), leaf(0.7)
        windows = truncated_bptt(self.recurrence(w), self.total, x, x, mg.tensor(3.0), k1=1)
        losses = [window.loss.item() for window in windows]
        h = self.states(0.7, x, 3.0)
        np.testing.assert_allclose(losses, h[1:], rtol=1e-6)
        # With one step back, d h_s / d w is h_{s-1} alone.
        np.testing.assert_allclose(w.grad.item(), sum(h[:-1]), rtol=1e-6)

    def test_k1_of_1_and_k2_of_2_by_hand(self):
        x, w = np.array([1.0, 10.0, 100.0]), leaf(2.0)
        h_0 = mg.tensor(5.0, dtype="float64")
        list(truncated_bptt(self.recurrence(w), self.total, x, x, h_0, k1=1, k2=2))
        # h = 5, 11, 32, 164. Step 1: 5. Step 2: 11 + 2 5. Step 3: 32 + 2 11, but not 4 5.
        assert w.grad.item() == 5 + (11 + 2 * 5) + (32 + 2 * 11)

    @given(SIZES, st.floats(-1.2, 1.2), st.integers(0, 99))
    @settings(max_examples=60)
    def test_any_k1_and_k2_by_the_double_sum(self, sizes, w, seed):
        steps, k1, k2 = sizes
        rng = np.random.default_rng(seed)
        x, first = rng.normal(size=steps), rng.normal()
        weight, h_0 = leaf(w), mg.tensor(first, dtype="float64")
        list(truncated_bptt(self.recurrence(weight), self.total, x, x, h_0, k1=k1, k2=k2))
        h = self.states(w, x, first)
        expected = sum(
            w ** (s - j) * h[j]
            for begin, new, end in spans(steps, k1, k2)
            for s in range(new, end)
            for j in range(begin, s + 1)
        )
        np.testing.assert_allclose(weight.grad.item(), expected, rtol=1e-10, atol=1e-10)

    @given(SIZES, st.integers(0, 99))
    @settings(max_examples=40)
    def test_tanh_by_a_sum_over_pairs_of_steps(self, sizes, seed):
        steps, k1, k2 = sizes
        rng = np.random.default_rng(seed)
        model, (x, weights) = TanhRNN(rng), sequence(rng, steps)
        W, U = model.W.numpy(), model.U.numpy()
        h_0 = rng.normal(size=(2, 4))
        list(truncated_bptt(model, weighted_sum, x, weights, mg.tensor(h_0), k1=k1, k2=k2))
        h = [h_0]
        for x_t in x:
            h.append(np.tanh(x_t @ W + h[-1] @ U))
        dW, dU = np.zeros_like(W), np.zeros_like(U)
        for begin, new, end in spans(steps, k1, k2):
            for s in range(new, end):
                delta = weights[s]  # d loss_s / d h, walked back from step s
                for j in range(s, begin - 1, -1):
                    delta = delta * (1 - h[j + 1] ** 2)  # now d loss_s / d (x_j W + h_{j-1} U)
                    dW += x[j].T @ delta
                    dU += h[j].T @ delta
                    delta = delta @ U.T
        assert_close(model.gradients(), [dW, dU])


class TestWindows:
    @given(SIZES)
    def test_new_steps_are_counted_once_and_states_go_on(self, sizes):
        steps, k1, k2 = sizes

        def count(x, h):
            return mg.tensor(x) * unit, h + len(x)

        unit = leaf(1.0)
        x = np.arange(steps, dtype=float)
        start = mg.tensor(0.0)
        seen = []
        for window in truncated_bptt(count, lambda o, t: (o * t).sum(), x, x, start, k1=k1, k2=k2):
            seen += range(window.start, window.end)
            new = np.arange(window.start, window.end)
            assert window.loss.item() == np.sum(new * new)
            assert window.state.item() == window.end
            after = [b for b, new, _ in spans(steps, k1, k2) if new == window.end]
            assert window.context.item() == (after[0] if after else steps)
        assert seen == list(range(steps))

    @pytest.mark.parametrize(
        ("k1", "k2", "calls"),
        [
            (3, 3, [3, 3, 2]),  # chunking runs each step once, in one call for each window
            (8, 8, [8]),
            (2, 4, [2, 2, 2, 2, 2, 2, 2]),
            (1, 3, [1] + [1, 1] + [1, 1, 1] * 5 + [2, 1]),
        ],
    )
    def test_how_often_the_model_runs(self, k1, k2, calls):
        rng = np.random.default_rng(0)
        model, (x, weights) = TanhRNN(rng), sequence(rng, 8)
        state = mg.zeros((2, 4), "float64")
        list(truncated_bptt(model, weighted_sum, x, weights, state, k1=k1, k2=k2))
        assert sum(model.calls) == sum(end - begin for begin, _, end in spans(8, k1, k2))
        assert model.calls == calls

    @pytest.mark.parametrize(("k1", "k2"), [(3, 3), (2, 5), (2, 3), (4, 5), (1, 9)])
    def test_going_on_in_another_run_is_the_same(self, k1, k2):
        x, weights = sequence(np.random.default_rng(1), 11)

        def steps(model, windows):
            for window in windows:
                for p in (model.W, model.U):
                    p.data = p.numpy() - 0.1 * p.grad.numpy()
                    p.grad = None
                yield window

        def run(model, state, start=0):
            windows = truncated_bptt(
                model, weighted_sum, x, weights, state, k1=k1, k2=k2, start=start
            )
            return steps(model, windows)

        whole, parts = (TanhRNN(np.random.default_rng(0)) for _ in range(2))
        first = mg.zeros((2, 4), "float64")
        losses = [w.loss.item() for w in run(whole, first)]
        resumed, state, start = [], first, 0
        while start < 11:
            window = next(run(parts, state, start))
            resumed.append(window.loss.item())
            state, start = window.context, window.end
        assert resumed == losses
        np.testing.assert_array_equal(whole.W.numpy(), parts.W.numpy())

    def test_a_window_is_computed_with_the_weights_as_they_are(self):
        rng = np.random.default_rng(0)
        model, (x, weights) = TanhRNN(rng), sequence(rng, 6)
        state = mg.zeros((2, 4), "float64")
        contexts = [state]
        for i, window in enumerate(
            truncated_bptt(model, weighted_sum, x, weights, state, k1=2, k2=4)
        ):
            actual = model.gradients()
            begin = max(0, window.end - 4)
            outputs, _ = model(x[begin : window.end], contexts[-1])
            weighted_sum(
                outputs[window.start - begin :], weights[window.start : window.end]
            ).backward()
            assert_close(actual, model.gradients())
            contexts.append(window.context)
            model.W.data = model.W.numpy() * 1.5
            model.U.data = model.U.numpy() - 0.1 * i

    def test_nothing_is_left_on_the_tape(self):
        rng = np.random.default_rng(0)
        model, (x, weights) = TanhRNN(rng), sequence(rng, 6)
        state = mg.zeros((2, 4), "float64")
        for window in truncated_bptt(model, weighted_sum, x, weights, state, k1=2, k2=3):
            assert isinstance(window, Window)
            assert not window.loss.requires_grad
            assert not window.state.requires_grad
            assert not window.context.requires_grad

    def test_an_initial_state_that_requires_a_gradient(self):
        rng = np.random.default_rng(0)
        model, (x, weights) = TanhRNN(rng), sequence(rng, 6)
        state = leaf(rng.normal(size=(2, 4)))
        windows = truncated_bptt(model, weighted_sum, x, weights, state, k1=2)
        next(windows)
        expected = state.grad.numpy()
        assert np.abs(expected).max() > 0
        list(windows)
        np.testing.assert_array_equal(state.grad.numpy(), expected)

    def test_an_initial_state_computed_on_the_tape_serves_one_window(self):
        rng = np.random.default_rng(0)
        model, (x, weights) = TanhRNN(rng), sequence(rng, 6)
        first = leaf(rng.normal(size=(2, 4)))
        list(truncated_bptt(model, weighted_sum, x, weights, mg.tanh(first), k1=3))
        assert np.abs(first.grad.numpy()).max() > 0
        windows = truncated_bptt(model, weighted_sum, x, weights, mg.tanh(first), k1=2, k2=4)
        next(windows)
        with pytest.raises(mg.TapeError, match=r"detach\(\)"):
            next(windows)


class TestStatesAndOutputs:
    @pytest.mark.parametrize(("k1", "k2"), [(2, 2), (2, 3), (2, 5), (1, 7)])
    @pytest.mark.parametrize("kind", [tuple, list])
    def test_a_pair_as_of_an_lstm_and_a_pair_of_outputs(self, k1, k2, kind):
        rng = np.random.default_rng(0)
        _, weights = sequence(rng, 7)
        ids = np.arange(14).reshape(7, 2) % 5
        table = leaf(rng.normal(size=(5, 4)))
        U, V = leaf(rng.normal(size=(4, 4))), leaf(rng.normal(size=(4, 4)))

        def model(ids, state):
            h, c = state
            hs, cs = [], []
            for row in ids:
                c = c * mg.sigmoid(h @ V) + table[row]
                h = mg.tanh(c @ U)
                hs.append(h)
                cs.append(c)
            return (mg.stack(hs), mg.stack(cs)), kind((h, c))

        def loss(outputs, targets):
            hs, cs = outputs
            assert hs.shape == cs.shape == targets.shape
            return (hs * targets).sum() + (cs * cs * targets).sum()

        def gradients():
            result = [p.grad.numpy() for p in (table, U, V)]
            table.grad = U.grad = V.grad = None
            return result

        first = kind((mg.zeros((2, 4), "float64"), mg.zeros((2, 4), "float64")))
        for window in truncated_bptt(model, loss, ids, weights, first, k1=k1, k2=k2):
            assert type(window.state) is type(window.context) is kind
        actual = gradients()
        for begin, new, end in spans(7, k1, k2):
            with mg.no_grad():
                _, state = model(ids[:begin], first) if begin else (None, first)
            (hs, cs), _ = model(ids[begin:end], state)
            loss((hs[new - begin :], cs[new - begin :]), weights[new:end]).backward()
        assert_close(actual, gradients())

    def test_no_state_to_begin_with(self):
        w = leaf(0.5)
        begun = []

        def model(x, state):
            begun.append(state is None)
            state = x.sum() * w if state is None else state * w
            return mg.stack([state] * len(x)), state

        x = np.arange(1.0, 7.0)
        list(truncated_bptt(model, lambda o, t: o.sum(), x, x, k1=2))
        assert begun == [True, False, False]


@pytest.mark.parametrize("option", ["k1", "k2", "start"])
def test_steps_are_integers_also_numpys(option):
    model = nn.RNN(1, 1)
    x = mg.ones((6, 1, 1))
    given = {"k1": 2, "k2": 2, "start": 2}
    ends = []
    for number in (2, np.int64(2), np.uint8(2), np.array(2)):
        run = truncated_bptt(model, mg.mse_loss, x, x, **{**given, option: number})
        ends.append([(window.start, window.end) for window in run])
    assert ends == [[(2, 4), (4, 6)]] * 4
    for wrong in (2.0, "2", True, [2]):
        with pytest.raises(TypeError, match=f"truncated_bptt: {option} must be an int"):
            truncated_bptt(model, mg.mse_loss, x, x, **{**given, option: wrong})
