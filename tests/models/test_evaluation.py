import math
from collections import Counter, deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad import nn
from minigrad.autograd.modes import modes
from models.measuring.dynamic_evaluation import dynamic_evaluate, gradient_mean_squares
from models.measuring.evaluation import Evaluation, evaluate
from models.measuring.neural_cache import cache_evaluate
from models.rnnlm import RNNLM

V = 11


def model(seed=0, **options):
    options = {"cell": "lstm", "num_layers": 2, "dropout": 0.5, **options}
    return RNNLM(V, 6, 6, rng=np.random.default_rng(seed), **options)


def text(length, seed=1):
    return np.random.default_rng(seed).integers(0, V, length)


def exact(lm, ids):
    """The loss by one run over the whole text."""
    lm.eval()
    losses = mg.cross_entropy(lm(ids[:-1])[0], ids[1:], reduction="none").numpy()
    lm.train()
    return losses.astype(np.float64)


def so_far(evaluator, lm, ids, **options):
    """The sums of the losses after each window."""
    seen = []
    evaluator(lm, ids, progress=lambda e: seen.append(e.nats * e.tokens), **options)
    return seen


class Witness(nn.Module):
    """Reads a text in which id and position are one, and notes what it was asked."""

    def __init__(self):
        self.counted = deque()  # (target, how many tokens it was predicted from)
        self.windows = deque()

    def loss(self, ids, targets, state):
        read, last = (0, None) if state is None else state
        assert not modes.recording
        assert not self.training
        self.windows.append(ids.shape)
        for t, n in zip(*np.nonzero(targets != -100), strict=True):
            assert targets[t, n] == ids[t, n] + 1
            self.counted.append((targets[t, n], read + t + 1))
        if last is not None:  # each stream goes on where it stood, or has ended
            assert all((ids[0] == last + 1) | (targets == -100).all(0))
        value = np.mean(targets[targets != -100]) if (targets != -100).any() else 0.0
        return mg.tensor(value, dtype=np.float64), (read + len(ids), ids[-1])


class TestEvaluate:
    def test_one_stream_is_exact(self):
        lm, ids = model(), text(100)
        result = evaluate(lm, ids, bptt=7)
        assert result.tokens == 99
        assert result.nats == pytest.approx(exact(lm, ids).mean(), rel=1e-6)

    @given(
        length=st.integers(2, 60),
        streams=st.integers(1, 12),
        bptt=st.integers(1, 20),
        warm_up=st.integers(0, 30),
        dtype=st.sampled_from([np.uint8, np.uint16, np.int64]),
    )
    def test_each_token_is_counted_once_and_in_context(self, length, streams, bptt, warm_up, dtype):
        witness, ids = Witness(), np.arange(length, dtype=dtype)
        result = evaluate(witness, ids, streams=streams, bptt=bptt, warm_up=warm_up)
        counts = Counter(target for target, _ in witness.counted)
        assert counts == Counter(range(1, length))
        assert all(context >= min(target, warm_up) for target, context in witness.counted)
        if streams == 1:
            assert all(context == target for target, context in witness.counted)
        assert result.tokens == length - 1
        assert result.nats == pytest.approx(np.arange(1, length).mean())
        assert all(steps <= bptt and n <= streams for steps, n in witness.windows)

    @given(bptt=st.integers(1, 40), streams=st.sampled_from([1, 3]))
    def test_bptt_changes_nothing(self, bptt, streams):
        lm, ids = model(num_layers=1), text(50)
        options = {"streams": streams, "warm_up": 5}
        whole = evaluate(lm, ids, bptt=1000, **options)
        assert evaluate(lm, ids, bptt=bptt, **options).nats == pytest.approx(whole.nats, rel=1e-6)

    def test_with_a_long_warm_up_many_streams_are_exact_too(self):
        lm, ids = model(), text(70)
        one, many = evaluate(lm, ids), evaluate(lm, ids, streams=4, warm_up=1000)
        assert many.nats == pytest.approx(one.nats, rel=1e-6)

    def test_sums_are_in_float64(self):
        class Constant(Witness):
            def loss(self, ids, targets, state):
                return mg.tensor(np.float32(0.1)), None

        result = evaluate(Constant(), np.zeros(10_001, np.uint8), bptt=1)
        assert result.nats == pytest.approx(float(np.float32(0.1)), rel=1e-11)

    def test_a_text_mapped_from_a_file(self, tmp_path):
        ids = text(300).astype(np.uint16)
        ids.tofile(tmp_path / "ids")
        mapped = np.memmap(tmp_path / "ids", np.uint16, "r")
        lm = model()
        assert evaluate(lm, mapped, streams=2) == evaluate(lm, ids.astype(np.int64), streams=2)

    def test_the_model_is_left_as_it_was(self):
        lm = model()
        lm.output.eval()
        evaluate(lm, text(30))
        assert lm.training
        assert not lm.output.training
        assert all(p.grad is None for p in lm.parameters())

    def test_stopped(self):
        asked = iter([False, False, True])
        witness = Witness()
        assert evaluate(witness, np.arange(100), bptt=10, stop=lambda: next(asked)) is None
        assert len(witness.windows) == 2
        assert witness.training

    def test_progress(self):
        lm, ids, seen = model(), text(25), []
        result = evaluate(lm, ids, bptt=10, progress=seen.append)
        assert [e.tokens for e in seen] == [10, 20, 24]
        assert seen[-1] == result
        assert isinstance(result, Evaluation)

    @pytest.mark.parametrize("evaluator", [
        evaluate,
        lambda lm, ids: dynamic_evaluate(lm, ids, lr=0.1),
        lambda lm, ids: cache_evaluate(lm, ids, size=5, theta=1, weight=0.1),
    ])  # fmt: skip
    def test_a_model_that_is_broken(self, evaluator):
        lm = model()
        lm.output.bias.data[3] = np.nan
        assert math.isnan(evaluator(lm, text(30)).nats)
        lm.output.bias.data[3] = -np.inf
        lm.output.weight.data[:] = 0
        assert math.isinf(evaluator(lm, np.array([1, 2, 1, 3])).nats)

    @pytest.mark.parametrize("evaluator", [
        evaluate,
        lambda lm, ids: dynamic_evaluate(lm, ids, lr=0.1),
        lambda lm, ids: gradient_mean_squares(lm, ids),
        lambda lm, ids: cache_evaluate(lm, ids, size=5, theta=1, weight=0.1),
    ])  # fmt: skip
    @pytest.mark.parametrize(("ids", "error", "message"), [
        (np.zeros(1, int), ValueError, "at least two tokens are needed.*has 1"),
        (np.zeros(0, int), ValueError, "has 0"),
        (np.zeros((4, 2), int), ValueError, r"one axis, got shape \(4, 2\)"),
        (np.zeros(5), TypeError, "must be integers, got dtype float64"),
        (np.array([0, 1, V, 2]), IndexError, str(V)),
        (np.array([0, 1, 2, -100]), IndexError, "must not be negative, got -100"),
    ])  # fmt: skip
    def test_texts_that_are_none(self, evaluator, ids, error, message):
        with pytest.raises(error, match=message):
            evaluator(model(), ids)

    def test_two_tokens_are_enough(self):
        lm, ids = model(), text(2)
        for result in (
            evaluate(lm, ids, streams=9),
            dynamic_evaluate(lm, ids, lr=1.0),
            cache_evaluate(lm, ids, size=5, theta=1, weight=0.9),
        ):
            assert result.tokens == 1
            assert result.nats == pytest.approx(exact(lm, ids)[0], rel=1e-6)

    @pytest.mark.parametrize("name", ["streams", "bptt"])
    def test_numbers_out_of_range(self, name):
        with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
            evaluate(model(), text(9), **{name: 0})
        with pytest.raises(ValueError, match="warm_up must be at least 0"):
            evaluate(model(), text(9), warm_up=-1)


class TestDynamicEvaluate:
    @staticmethod
    def weights(lm):
        return [p.numpy() for p in lm.parameters()]

    def literal(self, lm, ids, segment, lr, decay, rms=None, epsilon=1e-3):
        """Krause et al. (2018), element by element where it helps to be plain."""
        trained, now = self.weights(lm), self.weights(lm)
        roots = None if rms is None else [np.sqrt(r) for r in rms]
        if rms is not None:
            mean = np.mean(np.concatenate([r.ravel() for r in roots]))
        copy = RNNLM(**{**lm.settings(), "dropout": 0.0})
        total, state = 0.0, None
        for start in range(0, len(ids) - 1, segment):
            piece = ids[start : start + segment + 1]
            for p, value in zip(copy.parameters(), now, strict=True):
                p.data = value
            loss, state = copy.loss(piece[:-1, None], piece[1:, None], state)
            state = mg.training.detach_state(state)
            total += float(loss.item()) * (len(piece) - 1)
            gradients = mg.grad(loss, copy.parameters())
            for i, g in enumerate(gradients):
                g, rate, pull = g.numpy(), lr, decay
                if rms is not None:
                    rate = lr / (roots[i] + epsilon)
                    pull = np.minimum(decay * roots[i] / mean, 1)
                now[i] = now[i] - rate * g + pull * (trained[i] - now[i])
        return total / (len(ids) - 1)

    @pytest.mark.parametrize("decay", [0.0, 0.3])
    @pytest.mark.parametrize("tied", [False, True])
    def test_against_the_equations(self, decay, tied):
        lm, ids = model(tied=tied, num_layers=1), text(50)
        expected = self.literal(lm, ids, 8, 0.5, decay)
        result = dynamic_evaluate(lm, ids, lr=0.5, decay=decay, segment=8)
        assert result.tokens == 49
        assert result.nats == pytest.approx(expected, rel=1e-5)
        rms = gradient_mean_squares(lm, text(100, seed=5), segment=8, batches=5)
        expected = self.literal(lm, ids, 8, 0.01, decay, rms)
        result = dynamic_evaluate(lm, ids, lr=0.01, decay=decay, segment=8, rms=rms)
        assert result.nats == pytest.approx(expected, rel=1e-4)

    def test_the_mean_squares(self):
        lm, ids = model(num_layers=1), text(40)
        lm.eval()
        squares, state = [np.zeros(p.shape) for p in lm.parameters()], None
        for start in (0, 10, 20):
            piece = ids[start : start + 11]
            loss, state = lm.loss(piece[:-1, None], piece[1:, None], state)
            state = mg.training.detach_state(state)
            for total, g in zip(squares, mg.grad(loss, lm.parameters()), strict=True):
                total += g.numpy() ** 2 / 3
        for found, expected in zip(
            gradient_mean_squares(lm, ids, segment=10, batches=3), squares, strict=True
        ):
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-10)

    def test_mean_squares_of_a_text_that_is_shorter(self):
        lm, ids = model(), text(25)
        few = gradient_mean_squares(lm, ids, segment=10, batches=3)
        for a, b in zip(gradient_mean_squares(lm, ids, segment=10), few, strict=True):
            assert np.array_equal(a, b)

    def test_without_learning_it_is_the_plain_loss(self):
        lm, ids = model(), text(100)
        expected = exact(lm, ids).mean()
        assert dynamic_evaluate(lm, ids, lr=0).nats == pytest.approx(expected, rel=1e-6)
        # what was learned is forgotten at once
        segments = {"segment": 10}
        learned = dynamic_evaluate(lm, ids, lr=1.0, **segments).nats
        decayed = dynamic_evaluate(lm, ids, lr=1.0, decay=1.0, **segments).nats
        assert len({expected, learned, decayed}) == 3

    def test_it_learns_a_text_that_repeats_itself(self):
        lm, ids = model(), np.tile(text(12), 30)
        plain = evaluate(lm, ids).nats
        assert dynamic_evaluate(lm, ids, lr=2.0, segment=12).nats < 0.8 * plain
        rms = gradient_mean_squares(lm, text(500), segment=12)
        scaled = dynamic_evaluate(lm, ids, lr=0.1, segment=12, rms=rms, epsilon=1e-5)
        assert scaled.nats < 0.85 * plain

    @settings(max_examples=settings.default.max_examples // 3)
    @given(changed=st.integers(1, 39), segment=st.integers(1, 9))
    def test_only_the_past_is_used(self, changed, segment):
        lm, ids = model(num_layers=1), text(40)
        other = ids.copy()
        other[changed] = (other[changed] + 1) % V
        options = {"lr": 1.0, "segment": segment}
        one, two = (so_far(dynamic_evaluate, lm, each, **options) for each in (ids, other))
        known = (changed - 1) // segment  # whole segments of targets before that token
        assert one[:known] == two[:known]
        assert one[known] != two[known]

    @pytest.mark.parametrize("sparse", [False, True])
    def test_the_model_is_left_as_it_was(self, sparse):
        lm = model()
        lm.embedding.sparse = sparse
        lm.output.bias.requires_grad_(False)
        lm.recurrent.eval()
        before, identity = self.weights(lm), [id(p.data) for p in lm.parameters()]
        gradient = mg.tensor(np.ones(lm.output.weight.shape, np.float32))
        lm.output.weight.grad = gradient
        dynamic_evaluate(lm, text(60), lr=1.0, decay=0.1)
        rms = gradient_mean_squares(lm, text(60))
        dynamic_evaluate(lm, text(60), lr=1.0, decay=0.1, rms=rms)
        for error in (KeyboardInterrupt, MemoryError):
            with pytest.raises(error):
                dynamic_evaluate(lm, text(60), lr=1.0, segment=5, progress=raiser(error))
        assert dynamic_evaluate(lm, text(60), lr=1.0, stop=lambda: True) is None
        assert [id(p.data) for p in lm.parameters()] == identity
        assert all(map(np.array_equal, before, self.weights(lm)))
        assert lm.output.weight.grad is gradient
        assert not lm.output.bias.requires_grad
        assert lm.training
        assert not lm.recurrent.training
        assert modes.recording

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"lr": -1.0}, "lr must be a number of at least 0, got -1"),
            ({"lr": math.nan}, "lr"),
            ({"lr": math.inf}, "lr"),
            ({"lr": 1.0, "decay": 1.1}, "decay must be from 0 to 1, got 1.1"),
            ({"lr": 1.0, "segment": 0}, "segment must be at least 1, got 0"),
            ({"lr": 1.0, "epsilon": 0.0}, "epsilon"),
            ({"lr": 1.0, "rms": [np.zeros(3)]}, r"shapes of the model's parameters.*\[\(3,\)\]"),
        ],
    )
    def test_options_out_of_range(self, options, message):
        with pytest.raises(ValueError, match=message):
            dynamic_evaluate(model(), text(20), **options)

    def test_a_rate_that_is_too_large_gives_a_bad_figure_and_no_error(self):
        assert not dynamic_evaluate(model(), text(300), lr=1e30, segment=5).nats < 100


def raiser(error):
    def progress(evaluation):
        if evaluation.tokens > 20:
            raise error

    return progress


class TestCacheEvaluate:
    def literal(self, lm, ids, size, theta, weight):
        """Grave, Joulin and Usunier (2017), as it is written."""
        lm.eval()
        hidden = lm.hidden(ids[:-1])[0].numpy().astype(np.float64)
        logits = lm(ids[:-1])[0].numpy().astype(np.float64)
        lm.train()
        losses = []
        for t in range(len(ids) - 1):
            p_model = np.exp(logits[t] - logits[t].max())
            p_model /= p_model.sum()
            p_cache = np.zeros(V)
            for i in range(max(0, t - size), t):
                p_cache[ids[i + 1]] += np.exp(theta * hidden[t] @ hidden[i])
            p = p_model
            if t:
                p = (1 - weight) * p_model + weight * p_cache / p_cache.sum()
            with np.errstate(divide="ignore"):
                losses.append(-np.log(p[ids[t + 1]]))
        return np.array(losses)

    @settings(max_examples=settings.default.max_examples // 2)
    @given(
        length=st.integers(2, 60),
        size=st.integers(1, 70),
        theta=st.sampled_from([-1.0, 0.0, 0.5, 3.0]),
        weight=st.sampled_from([0.0, 0.1, 0.9]),
        block=st.integers(1, 70),
    )
    def test_against_the_equations(self, length, size, theta, weight, block):
        lm, ids = model(num_layers=1), text(length)
        expected = self.literal(lm, ids, size, theta, weight).mean()
        options = {"size": size, "theta": theta, "weight": weight, "block": block}
        result = cache_evaluate(lm, ids, **options)
        assert result.tokens == length - 1
        assert result.nats == pytest.approx(expected, rel=1e-5)

    def test_without_weight_it_is_the_plain_loss(self):
        lm, ids = model(), text(200)
        plain = evaluate(lm, ids).nats
        result = cache_evaluate(lm, ids, size=50, theta=1.0, weight=0)
        assert result.nats == pytest.approx(plain, rel=1e-6)

    def test_the_cache_alone(self):
        lm, ids = model(), np.array([1, 2, 1, 2, 1, 2, 1, 2])
        # the first comes from the model; the second has not been there yet
        assert cache_evaluate(lm, ids, size=9, theta=0, weight=1).nats == math.inf
        again = np.array([1, 2, 2, 2])
        first = exact(lm, again)[0]
        alone = cache_evaluate(lm, again, size=9, theta=0, weight=1)
        assert alone.nats == pytest.approx(first / 3, rel=1e-6)

    def test_it_helps_where_a_text_repeats_itself(self):
        lm, ids = model(num_layers=1), np.tile(text(12), 30)
        cached = cache_evaluate(lm, ids, size=100, theta=100.0, weight=0.5).nats
        assert cached < 0.8 * evaluate(lm, ids).nats

    def test_large_scores(self):
        lm, ids = model(), text(60)
        assert math.isfinite(cache_evaluate(lm, ids, size=20, theta=1e6, weight=0.3).nats)

    @settings(max_examples=settings.default.max_examples // 3)
    @given(changed=st.integers(1, 39), block=st.integers(1, 9))
    def test_only_the_past_is_used(self, changed, block):
        lm, ids = model(num_layers=1), text(40)
        other = ids.copy()
        other[changed] = (other[changed] + 1) % V
        options = {"size": 15, "theta": 1.0, "weight": 0.5, "block": block}
        one, two = (so_far(cache_evaluate, lm, each, **options) for each in (ids, other))
        known = (changed - 1) // block
        assert one[:known] == two[:known]
        assert one[known] != two[known]

    def test_stopped_and_left_as_it_was(self):
        lm = model()
        options = {"size": 5, "theta": 1.0, "weight": 0.5}
        assert cache_evaluate(lm, text(30), stop=lambda: True, **options) is None
        with pytest.raises(KeyboardInterrupt):
            cache_evaluate(lm, text(60), block=7, progress=raiser(KeyboardInterrupt), **options)
        assert lm.training
        assert modes.recording

    @pytest.mark.parametrize(
        ("name", "value", "message"),
        [
            ("size", 0, "size must be at least 1, got 0"),
            ("block", 0, "block must be at least 1, got 0"),
            ("weight", 1.5, "weight must be from 0 to 1, got 1.5"),
            ("weight", math.nan, "weight must be from 0 to 1, got nan"),
            ("theta", math.inf, "theta must be a finite number, got inf"),
        ],
    )
    def test_options_out_of_range(self, name, value, message):
        options = {"size": 5, "theta": 1.0, "weight": 0.5, name: value}
        with pytest.raises(ValueError, match=message):
            cache_evaluate(model(), text(9), **options)
