import math

import numpy as np
import pytest

from minigrad.data import Vocabulary, batchify
from minigrad.optim import Adam, LambdaLR
from models import RNNLM
from models.sampling import generate
from models.settings import Settings
from models.training import Diverged, Trainer, evaluate


def trainer(streams, bptt=5, lr=0.01, vocab_size=6, **options):
    model = RNNLM(vocab_size, 5, 8, "gru", rng=np.random.default_rng(0), **options)
    optimizer = Adam(model.parameters(), lr=lr)
    return Trainer(model, optimizer, LambdaLR(optimizer, lambda step: 1.0), streams, bptt, 1.0)


def streams(length=12, batch_size=2):
    return np.random.default_rng(0).integers(0, 6, (length, batch_size))


def first_parts(state):
    return (state if isinstance(state, tuple) else (state,))[0]


class TestTrainer:
    def test_a_step(self):
        run = trainer(streams())
        before = run.model.state_dict()
        inputs, targets = run.windows[0]
        expected = run.model.loss(inputs, targets)[0].item()
        assert run.advance() == pytest.approx(expected)
        assert (run.step, run.tokens) == (1, 10)
        assert all(not np.array_equal(v, before[k]) for k, v in run.model.state_dict().items())
        assert 0 < run.tokens_per_second < math.inf

    def test_the_state_goes_along_off_the_tape_and_starts_anew_with_each_epoch(self):
        run = trainer(streams(length=12))  # windows of 5, 5 and 1
        given = []
        loss = run.model.loss

        def watched(inputs, targets, state):
            given.append((len(inputs), state))
            return loss(inputs, targets, state)

        run.model.loss = watched
        for _ in range(4):
            run.advance()
        assert run.steps_per_epoch == 3
        assert [length for length, _ in given] == [5, 5, 1, 5]
        assert [state is None for _, state in given] == [True, False, False, True]
        assert not given[1][1].requires_grad
        assert run.tokens == 2 * (11 + 5)

    def test_it_learns_a_text_by_heart_and_writes_it_greedily(self, rhyme):
        vocabulary = Vocabulary.from_text(rhyme, unk=None)
        ids = vocabulary.encode(rhyme)
        model = RNNLM(len(vocabulary), 24, 64, "gru", rng=np.random.default_rng(0))
        optimizer = Adam(model.parameters(), lr=0.01)
        run = Trainer(
            model, optimizer, LambdaLR(optimizer, lambda k: 1 - k / 400), batchify(ids, 1), 40, 1.0
        )
        losses = [run.advance() for _ in range(300)]
        assert losses[0] > 3
        assert losses[-1] < 0.02
        pieces = generate(
            model, vocabulary, rhyme[:10], len(rhyme) - 10, top_k=1, rng=np.random.default_rng(0)
        )
        assert "".join(pieces) == rhyme

    @pytest.mark.parametrize("dropout", [0.0, 0.5])
    def test_the_same_seed_the_same_losses(self, dropout):
        runs = [trainer(streams(), dropout=dropout) for _ in range(2)]
        assert [runs[0].advance() for _ in range(5)] == [runs[1].advance() for _ in range(5)]

    def test_a_bad_loss_changes_nothing(self):
        run = trainer(streams())
        run.advance()
        run.model.output.bias.data[0] = np.nan
        before = run.model.state_dict()
        with pytest.raises(Diverged, match="the loss became nan in step 2"):
            run.advance()
        assert run.step == 1
        for name, value in run.model.state_dict().items():
            np.testing.assert_array_equal(value, before[name])

    def test_a_bad_gradient_changes_nothing(self):
        run = trainer(streams())
        run.model.output.weight.register_hook(lambda g: g * np.inf)
        before = run.model.state_dict()
        with pytest.raises(Diverged, match=r"gradient's norm became (nan|inf) in step 1"):
            run.advance()
        for name, value in run.model.state_dict().items():
            np.testing.assert_array_equal(value, before[name])


class TestEvaluate:
    def test_is_the_mean_over_all_tokens_however_it_is_cut(self):
        model, text = trainer(streams()).model, streams(length=14)
        whole = model.loss(text[:-1], text[1:])[0].item()
        for bptt in (1, 4, 13, 50):
            assert evaluate(model, text, bptt) == pytest.approx(whole, rel=1e-5)

    def test_is_out_of_training_mode(self):
        model = trainer(streams(), dropout=0.9).model
        assert evaluate(model, streams(), 5) == evaluate(model, streams(), 5)
        assert model.training
        assert model.dropout.training

    def test_can_be_stopped(self):
        model = trainer(streams()).model
        answers = iter([False, True])
        assert evaluate(model, streams(), 5, stop=lambda: next(answers)) is None
        assert next(answers, "asked twice") == "asked twice"


class TestSettings:
    def rates(self, total, **options):
        settings = Settings(text="", lr=0.1, **options)
        optimizer = settings.make_optimizer(RNNLM(3, 2, 2))
        schedule = settings.make_schedule(optimizer, total)
        rates = []
        for _ in range(total):
            rates.append(optimizer.param_groups[0]["lr"])
            schedule.step()
        return rates

    def test_cosine(self):
        rates = self.rates(1000)
        assert rates[:2] == pytest.approx([0.1 / 50, 0.2 / 50])
        assert max(rates) == rates[50] == pytest.approx(0.1)
        assert rates[50:] == sorted(rates[50:], reverse=True)
        assert rates[525] == pytest.approx(0.051)
        assert rates[-1] == pytest.approx(0.002, rel=1e-2)

    @pytest.mark.parametrize("total", [1, 2, 9, 10, 11])
    def test_short_runs(self, total):
        rates = self.rates(total)
        assert all(0.002 < rate <= 0.1 for rate in rates)

    def test_constant(self):
        assert self.rates(5, schedule="constant") == [0.1] * 5

    def test_total_steps(self):
        assert Settings(text="", steps=7, bptt=5).total_steps(100) == 7
        assert Settings(text="", steps=None, epochs=2, bptt=5).total_steps(12) == 6
