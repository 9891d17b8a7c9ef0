"""A model on a GPU: what comes back from there, and when; and that all else is as on the CPU."""

import math

import numpy as np
import pytest
from double import budget

import minigrad as mg
from minigrad.data import Vocabulary
from models.devices import Readings, device_of, using
from models.measuring.dynamic_evaluation import dynamic_evaluate, gradient_mean_squares
from models.measuring.evaluation import FETCH_EVERY as LOSSES
from models.measuring.evaluation import evaluate
from models.measuring.neural_cache import cache_evaluate
from models.rnnlm import RNNLM
from models.runs.new_model import make_model
from models.runs.settings import Settings
from models.runs.stepper import FETCH_EVERY
from models.runs.trainer import Trainer
from models.runs.trouble import Diverged
from models.writing.beam import beam_search
from models.writing.sampling import Reader

V = 7
SMALL = {"hidden_size": 8, "embedding_size": 5, "bptt": 5, "dropout": 0.0, "clip": 0.5}
DROPPED = {"dropout": 0.3, "layers": 2}
AWD = {
    "cell": "lstm", "layers": 3, "tied": True, "dropout": 0.2, "variational": True,
    "embedding_dropout": 0.2, "weight_drop": 0.4, "forget_bias": 1.0, "vary_bptt": True,
    "activation_penalty": 2.0, "temporal_penalty": 1.0, "weight_decay": 1e-3,
}  # fmt: skip
OPTIMIZERS = ["adam", "adamw", "sgd", "rmsprop", "adagrad", "nt-asgd"]
CASES = {
    **{f"{cell}-{name}": {"cell": cell, "optimizer": name}
       for cell in ("rnn", "lstm", "gru") for name in OPTIMIZERS},
    "dropout": DROPPED,
    "variational": {**DROPPED, "cell": "lstm", "variational": True},
    "one-hot": {"embedding_size": 0},
    "tied": {"tied": True, "embedding_size": 8},
    "awd": {**AWD, "optimizer": "nt-asgd"},
    "decay": {"weight_decay": 0.01, "optimizer": "sgd", "clip": 0.0},
    "clip-value": {"clip": 0.0, "clip_value": 1e-3},
    "shards": {**DROPPED, "shards": 3, "cell": "lstm", "optimizer": "sgd"},
}  # fmt: skip
cases = pytest.mark.parametrize("options", CASES.values(), ids=CASES)


def trainer(device="cuda", **options):
    """On 32 time steps of three streams."""
    settings = Settings(**{**SMALL, **options, "device": device})
    rng = np.random.default_rng(settings.seed)
    ids = np.random.default_rng(0).integers(0, V, (32, 3)).astype(np.uint16)
    return Trainer(make_model(settings, V, rng), settings, ids, rng)


def weights(run):
    return {name: value.tobytes() for name, value in run.model.state_dict().items()}


def language_model(device="cuda", **options):
    options = {"cell": "lstm", "num_layers": 2, "dropout": 0.5, **options}
    return RNNLM(V, 6, 6, rng=np.random.default_rng(0), **options).to(device)


def text(length, seed=1):
    return np.random.default_rng(seed).integers(0, V, length)


@pytest.mark.device
class TestSteps:
    @cases
    def test_nothing_goes_over_or_comes_back_but_by_fetch(self, options):
        run = trainer(**options)
        if options.get("optimizer") == "nt-asgd":
            run.start_averaging()
        with budget(sync=0, h2d=0, d2h=0, float64=0):
            for _ in range(9):
                run.launch(0.01)
        assert run.waiting == 9
        with budget(sync=1, h2d=0, d2h=1, float64=0):
            steps = list(run.fetch())
        assert [step.number for step in steps] == [*range(1, 10)]
        assert run.waiting == 0
        assert not list(run.fetch())

    @cases
    def test_as_on_the_cpu(self, options):
        options = {**options, "dropout": 0.0, "embedding_dropout": 0.0, "weight_drop": 0.0}
        here, there = trainer("cpu", **options), trainer(**options)
        for lr in (0.01, 0.02, 0.005) * 3:
            there.launch(lr)
            with using("cpu"):
                expected = here.advance(lr)
            if there.waiting == 3:
                *_, found = there.fetch()
                assert found.number == expected.number
                assert found.loss == pytest.approx(expected.loss, rel=1e-4)
                assert found.grad_norm == pytest.approx(expected.grad_norm, rel=1e-3)
                assert found.grad_norm_clipped == pytest.approx(
                    expected.grad_norm_clipped, rel=1e-3
                )
        assert (there.step, there.epoch, there.at, there.tokens) == (
            here.step, here.epoch, here.at, here.tokens
        )  # fmt: skip
        assert there.norms == pytest.approx(here.norms, rel=1e-3)

    @pytest.mark.parametrize("on_nonfinite", ["stop", "skip"])
    def test_how_often_they_are_fetched_changes_nothing(self, on_nonfinite):
        one, many = (trainer(**DROPPED, on_nonfinite=on_nonfinite) for _ in range(2))
        each = [one.advance(0.01) for _ in range(12)]
        told = []
        for k in range(12):
            many.launch(0.01)
            if k % 5 == 4 or k == 11 or many.full:
                told += many.fetch()
        assert told == each
        assert weights(many) == weights(one)
        assert many.rng.bit_generator.state == one.rng.bit_generator.state

    def test_there_is_room_for_so_many(self):
        run = trainer()
        for k in range(FETCH_EVERY):
            assert run.full == (k == FETCH_EVERY)
            run.launch(0.01)
        assert run.full
        with pytest.raises(RuntimeError, match=f"all {FETCH_EVERY} are to be fetched first"):
            run.launch(0.01)
        with pytest.raises(RuntimeError, match=f"state_dict: {FETCH_EVERY} steps are to be"):
            run.state_dict()

    def test_shards_go_on(self):
        run, other = trainer(**CASES["shards"]), trainer(**CASES["shards"])
        run.advance(0.01)
        other.model.load_state_dict(run.model.state_dict())
        other.load_state_dict(run.state_dict())
        assert other.advance(0.01) == run.advance(0.01)
        assert weights(other) == weights(run)

    def test_the_text_goes_over_once_and_stays_narrow(self):
        model, rng = trainer().model, np.random.default_rng(0)
        ids = rng.integers(0, V, (32, 3)).astype(np.uint16)
        with budget(sync=0, h2d=1, d2h=0, float64=0):
            run = Trainer(model, Settings(**SMALL), ids, rng)
        assert run.windows.streams.dtype == np.uint16
        assert run.windows.at(0, 4)[0].dtype == np.int64


BAD = {
    "a loss that is nan": ({"loss": math.nan, "total": math.nan}, "the loss became nan"),
    "a loss that is inf": ({"loss": math.inf}, "the loss became inf"),
    "a gradient that is nan": ({"total": math.nan}, "the gradient's norm became nan"),
    "a gradient that is inf": ({"total": math.inf}, "the gradient's norm became (nan|inf)"),
}
bads = pytest.mark.parametrize(("bad", "message"), BAD.values(), ids=BAD)


@pytest.mark.device
class TestTrouble:
    def spoil(self, run, bad, when=2):
        """In step `when`, counted from 0, make something of the objective what it must not be."""
        objective = run.model.objective

        def spoiled(inputs, targets, state):
            found = objective(inputs, targets, state)
            if run.step != when:
                return found
            factors = {name: getattr(found, name) * value for name, value in bad.items()}
            return found._replace(**factors)

        run.model.objective = spoiled

    @pytest.mark.parametrize("optimizer", OPTIMIZERS)
    @bads
    def test_it_is_told_when_fetched_and_has_changed_nothing(self, optimizer, bad, message):
        options = {"optimizer": optimizer, "weight_decay": 0.01}
        run, good = trainer(**options), trainer(**options)
        expected = [good.advance(0.01) for _ in range(2)]
        self.spoil(run, bad)
        for _ in range(20):  # beyond the end of the text, where the state begins anew
            run.launch(0.01)
        steps = run.fetch()
        assert [next(steps) for _ in range(2)] == expected
        with pytest.raises(Diverged, match=f"{message} in step 3$"):
            next(steps)
        assert weights(run) == weights(good)
        assert (run.step, run.epoch, run.at, run.tokens, run.waiting) == (2, 0, 10, 30, 0)
        assert list(run.norms) == [step.grad_norm for step in expected]

    def test_the_steps_before_it_are_told(self):
        run = trainer()
        self.spoil(run, {"loss": math.nan}, when=4)
        for _ in range(7):
            run.launch(0.01)
        steps = run.fetch()
        assert [next(steps).number for _ in range(4)] == [1, 2, 3, 4]
        with pytest.raises(Diverged, match="step 5"):
            next(steps)

    @bads
    def test_the_cpu_tells_the_same(self, bad, message):
        run = trainer("cpu")
        self.spoil(run, bad)
        with using("cpu"):
            run.advance(0.01)
            run.advance(0.01)
            with pytest.raises(Diverged, match=f"{message} in step 3$"):
                run.advance(0.01)

    def test_skipped_steps_are_looked_at_one_by_one(self):
        runs = [trainer(device, on_nonfinite="skip") for device in ("cpu", "cuda")]
        told = []
        for run in runs:
            self.spoil(run, {"total": math.nan}, when=2)
            steps = []
            with using(str(run.device)):
                for _ in range(6):
                    run.launch(0.01)
                    assert run.full
                    steps += run.fetch()
            told.append(steps)
            assert (run.skipped, run.skipped_in_a_row) == (1, 0)
        for ours, theirs in zip(*told, strict=True):
            assert ours.skipped == theirs.skipped == (ours.number == 3)
            assert ours.loss == pytest.approx(theirs.loss, rel=1e-4)

    def test_readings(self):
        readings = Readings(3)
        assert readings.fetch().size == 0
        readings.note(mg.tensor(1.0), mg.tensor(2.0))
        assert readings.check().item() == 0
        readings.note(mg.tensor(math.inf), mg.tensor(3.0))
        readings.note(mg.tensor(4.0), mg.tensor(5.0))
        assert math.isnan(readings.check().item())
        np.testing.assert_array_equal(readings.fetch(), [[1, 2], [math.inf, 3], [4, 5]])
        readings.note(mg.tensor(6.0), mg.tensor(7.0))
        assert readings.check().item() == 0
        np.testing.assert_array_equal(readings.fetch(), [[6, 7]])


WAYS = {
    "plain": evaluate,
    "streams": lambda lm, ids: evaluate(lm, ids, streams=3, bptt=5, warm_up=4),
    "dynamic": lambda lm, ids: dynamic_evaluate(lm, ids, lr=0.3, decay=0.1, segment=6),
    "rms": lambda lm, ids: dynamic_evaluate(
        lm, ids, lr=0.01, decay=0.1, rms=gradient_mean_squares(lm, text(80, 5))
    ),
    "cache": lambda lm, ids: cache_evaluate(lm, ids, size=9, theta=0.5, weight=0.3, block=11),
}
ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


@pytest.mark.device
class TestEvaluation:
    @ways
    def test_as_on_the_cpu(self, way):
        with using("cpu"):
            here = way(language_model("cpu"), text(90))
        there = way(language_model(), text(90))
        assert there.tokens == here.tokens == 89
        assert there.nats == pytest.approx(here.nats, rel=1e-5)

    @ways
    @pytest.mark.parametrize("bad", [V, V + 300, -1, -100])
    def test_ids_are_checked_before_they_go_over(self, way, bad):
        ids = text(40)
        ids[33] = bad
        messages = []
        for device in ("cpu", "cuda"):
            with using(device), pytest.raises(IndexError, match=f"got {bad}") as error:
                way(language_model(device), ids)
            messages.append(str(error.value))
        assert messages[0] == messages[1]

    def test_losses_come_back_together(self):
        lm, ids, times = language_model(), text(2 * LOSSES * 4 + 2), 3
        with budget(sync=times, d2h=times, h2d=None):
            evaluate(lm, ids, bptt=4)
        with budget(sync=times, d2h=times, h2d=None):
            dynamic_evaluate(lm, ids, lr=0.1, segment=4)

    def test_progress_is_told_of_each_window(self):
        seen = []
        result = evaluate(language_model(), text(LOSSES * 2 + 8), bptt=2, progress=seen.append)
        assert [e.tokens for e in seen] == [*range(2, LOSSES * 2 + 7, 2), LOSSES * 2 + 7]
        assert seen[-1] == result

    def test_statistics_are_numpy_arrays(self):
        rms = gradient_mean_squares(language_model(), text(50))
        assert {type(each) for each in rms} == {np.ndarray}

    def test_a_token_costs_one_copy_each_way(self):
        ask = Reader(language_model())
        _, state = ask.read([1, 2, 3])
        with budget(sync=1, h2d=1, d2h=1, float64=0):
            logits, _ = ask(np.array([[2]]), state)
        assert type(logits) is np.ndarray
        with pytest.raises(IndexError, match=f"got {V}"):
            ask.read([1, V])

    def test_beams(self):
        letters = Vocabulary("abcdefg", unk=None)
        with using("cpu"):
            here = beam_search(language_model("cpu"), letters, "ab", 6, width=5)
        there = beam_search(language_model(), letters, "ab", 6, width=5)
        assert [each.text for each in there] == [each.text for each in here]
        for ours, theirs in zip(there, here, strict=True):
            assert ours.log_probability == pytest.approx(theirs.log_probability, abs=1e-4)


def test_where_a_model_is():
    assert device_of(language_model("cpu")) == "cpu"
    assert device_of(mg.nn.Dropout(0.5)) is None
