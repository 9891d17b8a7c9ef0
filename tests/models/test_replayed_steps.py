"""A run whose steps are replayed is the run that computes them, bit for bit."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad import nn
from minigrad.training import evaluating, load_checkpoint, save_checkpoint
from models.runs.gradients import replay_pays
from models.runs.new_model import make_model
from models.runs.settings import Settings
from models.runs.trainer import Trainer

sys.path.insert(0, str(Path(__file__).parent))
from drawing_cell import DrawingCell, GivenCell
from kills import same

pytestmark = pytest.mark.host(reason="steps are replayed on the CPU alone")

SMALL = {"hidden_size": 6, "embedding_size": 6, "bptt": 5, "batch_size": 3, "layers": 1}
OWN = {"own": DrawingCell, "given": GivenCell}
FEW = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))


def failed(error):
    raise AssertionError("a step could not be recorded") from error


def trainer(replayed, time_steps=18, vocab_size=9, unable=failed, make=None, **options):
    """By default on windows of 5, 5, 5 and 2."""
    s = Settings(**{**SMALL, **options})
    make = OWN.get(s.cell.rpartition(":")[2], make)
    rng = np.random.default_rng(s.seed)
    ids = np.random.default_rng(1).integers(0, vocab_size, (time_steps, s.batch_size))
    run = Trainer(make_model(s, vocab_size, rng, make), s, ids, rng)
    if replayed:
        run.replay(unable)
    return run


def state(run):
    """All that a checkpoint holds of it."""
    return {"model": run.model.state_dict(), "trainer": run.state_dict()}


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
@given(options=OPTIONS.map(fitting), vocab_size=st.sampled_from([9, 1100]), steps=st.integers(6, 14))
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
