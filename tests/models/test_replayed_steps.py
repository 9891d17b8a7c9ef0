"""A run whose steps are replayed is the run that computes them, bit for bit."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import minigrad as mg
from minigrad.training import evaluating, load_checkpoint, save_checkpoint
from models.commands.cli import app
from models.runs.new_model import make_model
from models.runs.replaying import replays
from models.runs.settings import Settings
from models.runs.trainer import Trainer
from models.runs.trouble import Diverged

sys.path.insert(0, str(Path(__file__).parent))
from drawing_cell import DrawingCell, GivenCell
from kills import final, same

pytestmark = pytest.mark.host(reason="steps are replayed on the CPU alone")

SMALL = {"hidden_size": 6, "embedding_size": 6, "bptt": 5, "batch_size": 3, "layers": 1}
FEW = settings(max_examples=10, suppress_health_check=list(HealthCheck))


def failed(error):
    raise AssertionError("a step could not be recorded") from error


def trainer(replayed, time_steps=18, vocab_size=9, unable=failed, make=None, **options):
    """By default on windows of 5, 5, 5 and 2."""
    s = Settings(**{**SMALL, **options})
    make = DrawingCell if s.own_cell and make is None else make
    rng = np.random.default_rng(s.seed)
    ids = np.random.default_rng(1).integers(0, vocab_size, (time_steps, s.batch_size))
    run = Trainer(make_model(s, vocab_size, rng, make), s, ids, rng)
    if replayed:
        run.replay(unable)
    return run


def state(run):
    """All that a checkpoint holds of it."""
    return plain({"model": run.model.state_dict(), "trainer": run.state_dict()})


def plain(tree):
    """Arrays in place of Tensors."""
    if isinstance(tree, dict):
        return {name: plain(item) for name, item in tree.items()}
    if isinstance(tree, tuple | list):
        return type(tree)(map(plain, tree))
    return tree.numpy() if isinstance(tree, mg.Tensor) else tree


def saved(run, path):
    save_checkpoint(path, state(run))
    return load_checkpoint(path)


def going_on(tree, *arguments, **options):
    run = trainer(*arguments, **options)
    run.model.load_state_dict(tree["model"])
    run.load_state_dict(tree["trainer"])
    return run


part = st.sampled_from([0.0, 0.3])
OPTIONS = st.fixed_dictionaries(
    {
        "cell": st.sampled_from(["rnn", "lstm", "gru", "cell.py:own"]),
        "layers": st.integers(1, 2),
        "embedding_size": st.sampled_from([0, 6]),
        "tied": st.booleans(),
        "optimizer": st.sampled_from(["sgd", "nt-asgd", "adam", "adamw", "rmsprop", "adagrad"]),
        "weight_decay": st.sampled_from([0.0, 0.01]),
        "clip": st.sampled_from([0.0, 0.2]),
        "clip_value": st.sampled_from([0.0, 0.01]),
        "on_nonfinite": st.sampled_from(["stop", "skip"]),
        "variational": st.booleans(),
        "vary_bptt": st.booleans(),
        **dict.fromkeys(["input_dropout", "hidden_dropout", "output_dropout"], part),
        **dict.fromkeys(["embedding_dropout", "weight_drop"], part),
        **dict.fromkeys(["activation_penalty", "temporal_penalty"], st.sampled_from([0.0, 1.0])),
    }
)


def fitting(options):
    """`options` that go with each other."""
    if not options["embedding_size"]:
        options |= {"tied": False, "embedding_dropout": 0.0, "input_dropout": 0.0}
    if options["cell"] == "cell.py:own":
        options["weight_drop"] = 0.0
    return options


@pytest.mark.filterwarnings("ignore:capture.*was recorded:UserWarning")  # lengths vary
@FEW
@given(
    options=OPTIONS.map(fitting), vocab_size=st.sampled_from([9, 1100]), steps=st.integers(6, 14)
)
def test_a_run_is_the_same_and_goes_on_either_way(tmp_path_factory, options, vocab_size, steps):
    runs = [trainer(replayed, vocab_size=vocab_size, **options) for replayed in (False, True)]
    path = tmp_path_factory.mktemp("run") / "checkpoint"
    for _ in range(2):
        for k in range(steps):
            a, b = (run.advance(0.1 / (1 + k)) for run in runs)
            assert a == b
            if k % 4 == 1:  # a validation
                for run in runs:
                    with run.averaged(), evaluating(run.model):
                        run.model(np.zeros((3, 2), int))
            if k == 2 and options["optimizer"] == "nt-asgd" and not runs[0].averaging:
                for run in runs:
                    run.start_averaging()
        trees = [saved(run, path) for run in runs]
        assert same(*trees)
        others = zip(trees, (True, False), strict=True)  # each goes on in the other way
        runs = [going_on(tree, way, vocab_size=vocab_size, **options) for tree, way in others]


class Looking(DrawingCell):
    """Goes another way if the mean is above 0."""

    looks = True

    def forward(self, x, state):
        y, (h, c) = super().forward(x, state)
        return (2 * y if self.looks and y.mean().item() > 0 else y), (h, c)


class Late(Looking):
    """Does so only when it is told to."""

    looks = False

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.register_buffer("mean", mg.zeros(hidden_size))

    def forward(self, x, state):
        y, (h, c) = super().forward(x, state)
        with mg.no_grad():
            self.mean *= 0.9
            self.mean += 0.1 * h.detach().mean(axis=0)
        return y + self.mean, (h, c)


class Counting(DrawingCell):
    """Counts in Python, which a replay would not do."""

    calls = 0

    def forward(self, x, state):
        self.calls += 1
        y, (h, c) = super().forward(x, state)
        return y * (1 + self.calls / 100), (h, c)


class Keeping(DrawingCell):
    def forward(self, x, state):
        self.last, state = super().forward(x, state)
        return self.last, state


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (GivenCell, "draws from rng past minigrad"),
        (Looking, "a Python number"),
        (Late, "a Python number"),
        (Counting, "sets .*calls"),
        (Keeping, "a Tensor .* that a replay would not make"),
    ],
)
def test_a_cell_that_cannot_be_recorded(cell, reason):
    told = []
    options = {"cell": "cell.py:own", "make": cell, "layers": 2, "optimizer": "adam"}
    runs = [trainer(replayed, unable=told.append, **options) for replayed in (False, True)]
    for k in range(10):
        if k == 6 and cell is Late:
            assert not told
            for run in runs:
                for layer in run.model.recurrent:
                    layer.cell_l0.looks = True
        a, b = (run.advance(0.1) for run in runs)
        assert a == b
        assert same(*map(state, runs))
    (error,) = told
    assert re.search(reason, str(error))


def test_an_error_of_a_cell_is_its_own():
    class Wrong(DrawingCell):
        def forward(self, x, state):
            raise ZeroDivisionError("in the cell")

    with pytest.raises(ZeroDivisionError, match="in the cell"):
        trainer(True, cell="cell.py:own", make=Wrong).advance(0.1)


@pytest.mark.parametrize("bad", ["stop", "skip"])
def test_what_is_not_finite_is_seen(bad):
    runs = [trainer(replayed, on_nonfinite=bad, time_steps=40) for replayed in (False, True)]
    for run in runs:
        for _ in range(3):
            run.advance(0.1)
        before = run.model.state_dict()
        run.model.output.bias.data[0] = np.nan
        if bad == "skip":
            assert run.advance(0.1).skipped
            assert run.state is None
            run.model.load_state_dict(before)
            run.advance(0.1)
        else:
            with pytest.raises(Diverged, match="the loss became nan in step 4"):
                run.advance(0.1)
    assert same(*map(state, runs))


def test_where_it_pays():
    assert replays(Settings())
    assert replays(Settings.combined({"recipe": "min-char-rnn"}))
    assert replays(Settings(cell="cell.py:Mine"))
    assert replays(Settings(vary_bptt=True, capture=True))
    assert not replays(Settings(capture=False))
    assert not replays(Settings(vary_bptt=True))
    assert not replays(Settings.combined({"recipe": "zaremba-large"}))
    assert not replays(Settings(device="cuda", capture=True))


def test_the_command(tmp_path, monkeypatch):
    text, replays, replay = tmp_path / "text.txt", [], Trainer.replay
    text.write_text("the quick brown fox jumps over the lazy dog\n" * 40, encoding="utf-8")
    monkeypatch.setattr(Trainer, "replay", lambda *given: (replays.append(1), replay(*given)))

    def train(*arguments):
        result = CliRunner().invoke(app, ["train", *map(str, arguments)])
        assert result.exit_code == 0, result.output
        assert "Warning" not in result.output
        return len(replays)

    small = ["--hidden-size", 6, "--batch-size", 4, "--bptt", 8, "--samples", 0, "--text", text]
    assert train(*small, "--steps", 12, "--out", tmp_path / "a") == 1
    assert train(*small, "--steps", 12, "--out", tmp_path / "b", "--no-capture") == 1
    assert same(*(without_names(tmp_path / name) for name in "ab"))
    # a run keeps no such setting: each goes on in the other way
    assert train("--resume", tmp_path / "a", "--steps", 20, "--no-capture") == 1
    assert train("--resume", tmp_path / "b", "--steps", 20, "--capture") == 2
    assert same(*(without_names(tmp_path / name) for name in "ab"))


def without_names(path):
    """All that a run has come to, without its settings, and its id that depends on them."""
    told = final(path)
    del told["checkpoint"]["settings"]
    del told["checkpoint"]["model"]["run_id"], told["best"]["run_id"]
    return told
