import math

import numpy as np
import pytest

import minigrad as mg
from minigrad.data import Vocabulary, batchify
from minigrad.training import load_checkpoint, save_checkpoint
from models.runs.new_model import make_model
from models.runs.settings import Settings
from models.runs.trainer import Trainer
from models.runs.trouble import Diverged
from models.writing.sampling import generate

SMALL = {"hidden_size": 8, "embedding_size": 5, "bptt": 5, "dropout": 0.0}


def trainer(ids=None, vocab_size=6, **options):
    """On 12 time steps of two streams, so on windows of 5, 5 and 1."""
    settings = Settings(**{"device": mg.get_default_device(), **SMALL, **options})
    rng = np.random.default_rng(settings.seed)
    if ids is None:
        ids = np.random.default_rng(0).integers(0, vocab_size, (12, 2))
    return Trainer(make_model(settings, vocab_size, rng), settings, ids, rng)


def weights(run):
    return {name: value.tobytes() for name, value in run.model.state_dict().items()}


class TestTrainer:
    def test_a_step(self):
        run = trainer()
        before = weights(run)
        expected = run.model.loss(*run.windows[0])[0].item()
        step = run.advance(0.01)
        assert step.loss == pytest.approx(expected)
        assert step.grad_norm >= step.grad_norm_clipped > 0
        assert not step.skipped
        assert (run.step, run.tokens, run.epoch, run.at) == (1, 10, 0, 5)
        assert all(value != before[name] for name, value in weights(run).items())
        assert run.optimizer.param_groups[0]["lr"] == 0.01

    def test_the_state_goes_along_off_the_tape_and_starts_anew_with_each_epoch(self):
        run, given = trainer(), []
        objective = run.model.objective

        def watched(inputs, targets, state):
            given.append((len(inputs), state))
            return objective(inputs, targets, state)

        run.model.objective = watched
        for _ in range(4):
            run.advance(0.01)
        assert run.steps_per_epoch == 3
        assert [length for length, _ in given] == [5, 5, 1, 5]
        assert [state is None for _, state in given] == [True, False, False, True]
        assert not given[1][1][0].requires_grad
        assert (run.tokens, run.epoch, run.at) == (2 * (11 + 5), 1, 5)
        assert run.epochs == pytest.approx(1 + 5 / 11)

    @pytest.mark.host(reason="the steps on a GPU are those of the CPU: test_devices.py")
    def test_it_learns_a_text_by_heart_and_writes_it_greedily(self, rhyme):
        vocabulary = Vocabulary.from_text(rhyme, unk=None)
        ids = batchify(vocabulary.encode(rhyme), 1)
        run = trainer(ids, len(vocabulary), hidden_size=64, embedding_size=24, bptt=40)
        losses = [run.advance(0.01 * (1 - k / 400)).loss for k in range(300)]
        assert losses[0] > 3
        assert losses[-1] < 0.02
        pieces = generate(
            run.model,
            vocabulary,
            rhyme[:10],
            len(rhyme) - 10,
            temperature=0.0,
            rng=np.random.default_rng(0),
        )
        assert "".join(pieces) == rhyme

    def test_windows_of_random_lengths(self):
        ids = np.random.default_rng(0).integers(0, 6, (4001, 1))
        run = trainer(ids, bptt=30, vary_bptt=True)
        lengths = []
        while run.epoch == 0:
            at = run.at
            run.advance(0.01)
            lengths.append((run.at or 4000) - at)
            assert run.optimizer.param_groups[0]["lr"] == pytest.approx(0.01 * lengths[-1] / 30)
        assert sum(lengths) == 4000 == run.tokens
        assert 24 < np.mean(lengths) < 34
        assert len(set(lengths)) > 8

    @pytest.mark.parametrize(
        ("limits", "norm"), [({"clip": 0.01}, 0.01), ({"clip": 0.0, "clip_value": 1e-4}, None)]
    )
    def test_clipping(self, limits, norm):
        run = trainer(**limits)
        step = run.advance(0.0)
        assert step.grad_norm > 0.01
        after = math.sqrt(sum(float((p.grad.numpy() ** 2).sum()) for p in run.parameters))
        assert step.grad_norm_clipped == pytest.approx(after, rel=1e-5)
        assert norm is None or after == pytest.approx(norm, rel=1e-3)

    def test_sums_and_means_take_the_same_steps(self):
        """A loss summed over T steps with lr, clip is one of its mean with lr T and clip / T."""
        mean = trainer(optimizer="sgd", clip=0.02)
        summed = trainer(optimizer="sgd", clip=0.02 * 5)
        summed.windows = mean.windows = mean.windows[:2]  # both of 5 time steps
        objective = summed.model.objective

        def total(inputs, targets, state):
            found = objective(inputs, targets, state)
            return found._replace(total=found.total * len(inputs))

        summed.model.objective = total
        for _ in range(2):
            mean.advance(0.5 * 5)
            summed.advance(0.5)
        for a, b in zip(mean.parameters, summed.parameters, strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-7)

    def test_a_large_vocabulary_has_a_sparse_gradient_that_changes_nothing(self):
        ids = np.random.default_rng(0).integers(0, 1200, (12, 2))
        runs = [trainer(ids, 1200, optimizer="sgd", clip=0.1) for _ in range(2)]
        assert runs[0].model.embedding.sparse == (mg.get_default_device() == "cpu")
        runs[1].model.embedding.sparse = False
        for run in runs:
            for _ in range(4):
                run.advance(0.5)
        for a, b in zip(runs[0].parameters, runs[1].parameters, strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-6)


OPTIMIZERS = ["adam", "adamw", "sgd", "rmsprop", "adagrad", "nt-asgd"]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_goes_on_bit_for_bit(tmp_path, optimizer, cell):
    options = {"optimizer": optimizer, "cell": cell, "dropout": 0.3, "layers": 2}
    options |= {"variational": True, "weight_drop": 0.2, "embedding_dropout": 0.2}
    options |= {"vary_bptt": True, "weight_decay": 0.01}
    run = trainer(**options)
    for k in range(7):
        run.advance(0.1)
        if k == 4 and optimizer == "nt-asgd":
            run.start_averaging()
    save_checkpoint(tmp_path / "c", {"m": run.model.state_dict(), "t": run.state_dict()})
    saved = load_checkpoint(tmp_path / "c")
    other = trainer(**options)
    other.model.load_state_dict(saved["m"])
    other.load_state_dict(saved["t"])
    for _ in range(7):
        assert other.advance(0.1) == run.advance(0.1)
    assert weights(other) == weights(run)
    assert (other.step, other.epoch, other.at) == (run.step, run.epoch, run.at)


class TestTrouble:
    def test_a_bad_loss_changes_nothing(self):
        run = trainer()
        run.advance(0.01)
        run.model.output.bias.data[0] = np.nan
        before = weights(run)
        with pytest.raises(Diverged, match="the loss became nan in step 2"):
            run.advance(0.01)
        assert run.step == 1
        assert weights(run) == before

    def test_a_bad_gradient_changes_nothing(self):
        run = trainer()
        run.model.output.weight.register_hook(lambda g: g * np.inf)
        before = weights(run)
        with pytest.raises(Diverged, match=r"gradient's norm became (nan|inf) in step 1"):
            run.advance(0.01)
        assert weights(run) == before

    def test_it_can_be_skipped(self):
        run = trainer(on_nonfinite="skip")
        objective, bad = run.model.objective, {1, 2}

        def sometimes(inputs, targets, state):
            found = objective(inputs, targets, state)
            return found._replace(total=found.total * np.nan) if run.step in bad else found

        run.model.objective = sometimes
        states = []
        for k in range(4):
            before = weights(run)
            step = run.advance(0.01)
            assert step.skipped == (k in bad) == (weights(run) == before)
            states.append(run.state)
        assert states[1] is None
        assert (run.step, run.skipped, run.skipped_in_a_row) == (4, 2, 0)
