"""What a run goes on from, and what it refuses: runs that went wrong, were damaged, or made up."""

import os
import random
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from minigrad.training import load_checkpoint, save_checkpoint
from models import load_run
from models.commands.cli import app
from models.commands.ending import BAD_INPUT
from models.measuring.units import UNITS
from models.runs.directory import RunDirectory
from models.runs.resuming import resume
from models.runs.settings import Settings
from models.runs.trainer import Trainer
from models.showing.output import in_one_line
from models.showing.reporter import Reporter

sys.path.insert(0, str(Path(__file__).parent))
from kills import final, same

pytestmark = pytest.mark.host(reason="on a GPU the commands run in test_device_commands.py")

OPTIONS = ["--hidden-size", 6, "--batch-size", 4, "--bptt", 8, "--embedding-size", 4]
OPTIONS += ["--steps", 12, "--eval-every", 6, "--samples", 0, "--save-every", 0]
TEXT = "the quick brown fox jumps over the lazy dog\n" * 40


def call(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def train(out, *arguments):
    text = out.parent / "text.txt"
    text.write_text(TEXT, encoding="utf-8")
    return call("train", "--text", text, "--out", out, *OPTIONS, *arguments)


def succeeds(result):
    assert result.exit_code == 0, result.output
    return " ".join(result.stdout.split())


def refused(result, message):
    """In one line, without a traceback."""
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    (line,) = result.stderr.strip().splitlines()
    assert re.search(message, line), line


@pytest.fixture(scope="module")
def peace(tmp_path_factory):
    """A run that nothing went wrong with, not to be changed."""
    out = tmp_path_factory.mktemp("peace") / "out"
    succeeds(train(out))
    return out


@pytest.fixture
def run(peace, tmp_path):
    """A copy of it."""
    return Path(shutil.copytree(peace, tmp_path / "out"))


def change(path, function):
    """Change the tree in a file, under a right checksum."""
    tree = load_checkpoint(path)
    function(tree)
    save_checkpoint(path, tree)


# ---------------------------------------------------------------- what is not finite


def of_weights(trainer):
    trainer.model.output.bias.data[0] = np.nan


def of_an_embedding_that_is_not_used(trainer):
    trainer.model.embedding.weight.data[0] = np.inf  # <unk>


def of_the_optimiser(trainer):
    next(iter(trainer.optimizer.state.values()))["exp_avg"][0] = np.nan


class TestNotFinite:
    @pytest.mark.parametrize(
        ("poison", "at"),
        [(of_weights, 12), (of_an_embedding_that_is_not_used, 5), (of_the_optimiser, 9)],
    )
    def test_an_update_that_loss_and_gradient_do_not_tell(
        self, peace, tmp_path, monkeypatch, poison, at
    ):
        launch = Trainer.launch

        def poisoned(trainer, lr):
            launch(trainer, lr)
            if trainer.step == at:
                poison(trainer)

        monkeypatch.setattr(Trainer, "launch", poisoned)
        out = peace.parent / f"poisoned{at}"
        result = train(out)
        monkeypatch.setattr(Trainer, "launch", launch)
        assert result.exit_code == 1, result.output
        told = " ".join(result.stdout.split())
        assert re.search(rf"Stopped: NaN or infinity came up in \S+ by step {at}\.", told)
        assert f"The last checkpoint is of step {at - 1}" in told
        assert "--resume" in told
        assert "Traceback" not in result.output
        for which in ("best", "last"):
            assert load_run(out, which).step <= at - 1
        assert load_checkpoint(RunDirectory(out).previous)["trainer"]["step"] == at - 2
        succeeds(call("train", "--resume", out))
        assert same(final(out), final(peace))

    @pytest.mark.parametrize("skip", ["stop", "skip"])
    def test_an_eps_of_nothing(self, tmp_path, skip):
        out = tmp_path / "out"
        result = train(out, "--eps", 1e-300, "--on-nonfinite", skip)
        if result.exit_code == 0:  # the optimiser keeps it in float64
            return
        assert result.exit_code == 1, result.output
        assert "Stopped: " in result.stdout
        assert "--eps 1e-300 is 0 in float32" in " ".join(result.stdout.split())
        assert load_run(out, "last").step < 12

    def test_from_the_beginning(self, tmp_path):
        result = train(tmp_path / "out", "--init", "normal", "--init-scale", 1e39)
        assert result.exit_code == 1, result.output
        assert "There is nothing to go on from" in " ".join(result.stdout.split())
        assert not RunDirectory(tmp_path / "out").checkpoint.exists()


# ---------------------------------------------------------------- falling back


def flipped(path):
    content = bytearray(path.read_bytes())
    content[-9] ^= 4
    path.write_bytes(content)


def with_nan(path):
    change(path, lambda tree: tree["trainer"]["optimizer"]["state"][0]["exp_avg"].fill(np.nan))


def of_wrong_types(path):
    change(path, lambda tree: tree["history"].update(records="abc"))


class TestFallingBack:
    @pytest.mark.parametrize(
        "damage",
        [
            *(flipped, with_nan, of_wrong_types, Path.unlink),
            lambda path: path.write_bytes(path.read_bytes()[:-70]),
            lambda path: path.write_bytes(b""),
            lambda path: change(path, lambda tree: tree.pop("trainer")),
        ],
    )
    def test_to_the_checkpoint_before(self, run, peace, damage):
        directory = RunDirectory(run)
        damage(directory.checkpoint)
        there = directory.checkpoint.exists()
        told = succeeds(call("train", "--resume", run))
        assert "The run goes on from the checkpoint before it, of step 11" in told
        assert "checkpoint.safetensors" in told
        assert same(final(run), final(peace))
        assert directory.unusable.exists() == there
        succeeds(call("train", "--resume", run, "--steps", 14))

    def test_the_last_is_told_of_if_both_are_damaged(self, run):
        directory = RunDirectory(run)
        with_nan(directory.checkpoint)
        flipped(directory.previous)
        before = {file: file.read_bytes() for file in run.iterdir()}
        refused(call("train", "--resume", run), "checkpoint.safetensors' holds NaN or infinity, in")
        assert {file: file.read_bytes() for file in run.iterdir()} == before

    def test_it_is_of_an_earlier_step(self, run):
        assert load_checkpoint(RunDirectory(run).previous)["trainer"]["step"] == 11


# ---------------------------------------------------------------- files of another run


class TestOtherRuns:
    @pytest.fixture
    def other(self, tmp_path):
        (tmp_path / "other").mkdir()
        succeeds(train(tmp_path / "other" / "out", "--seed", 1))
        return tmp_path / "other" / "out"

    def test_its_files_are_refused(self, run, other):
        own = {file: file.read_bytes() for file in run.iterdir() if file.is_file()}
        for name in ("model.safetensors", "checkpoint.safetensors"):
            shutil.copy(other / name, run)
            refused(call("train", "--resume", run, "--steps", 14), f"{name}.*not of the same run")
            which = "best" if name.startswith("model") else "last"
            refused(call("sample", run, "--weights", which), f"{name}.*not of the same run")
            refused(call("evaluate", run, "--weights", which), f"{name}.*not of the same run")
            (run / name).write_bytes(own[run / name])
        assert {file: file.read_bytes() for file in run.iterdir()} == own

    def test_without_an_id_too(self, run, peace):
        change(run / "model.safetensors", lambda tree: tree.pop("run_id"))
        refused(call("sample", run), "not of the same run")

    def test_the_same_run_has_the_same_id(self, peace, tmp_path):
        settings = RunDirectory(peace).read_settings(Settings)
        again = tmp_path / "again"
        config = str(peace / "config.toml")
        succeeds(call("train", "--config", config, "--out", again))
        assert RunDirectory(again).read_settings(Settings) == settings
        assert same(final(again), final(peace))

    def test_runs_from_before_there_were_ids(self, run, peace):
        """They have none in any file."""
        config = run / "config.toml"
        config.write_text(re.sub("run_id.*\n", "", config.read_text("utf-8")), encoding="utf-8")
        directory = RunDirectory(run)
        directory.previous.unlink()
        change(directory.checkpoint, lambda tree: tree["model"].pop("run_id"))
        change(directory.model, lambda tree: tree.pop("run_id"))
        succeeds(call("sample", run, "--length", 3))
        succeeds(call("evaluate", run))
        succeeds(call("train", "--resume", run, "--steps", 14))
        assert load_run(run, "last").step == 14
        assert directory.previous.exists()


# ---------------------------------------------------------------- what is no file


def link(path, victim):
    path.symlink_to(victim)


def dangling(path, victim):
    path.symlink_to(victim.with_name("nothing"))


def pipe(path, victim):
    os.mkfifo(path)


def folder(path, victim):
    path.mkdir()


NAMES = [
    *("config.toml", "tokenizer.json", "model.safetensors", "checkpoint.safetensors"),
    *("checkpoint.previous.safetensors", "metrics.jsonl", "curves.png", ".lock", "tensorboard"),
]


class TestNoFiles:
    @pytest.mark.parametrize("name", NAMES)
    @pytest.mark.parametrize("kind", [link, dangling, pipe, folder])
    def test_they_are_refused(self, run, tmp_path, name, kind):
        if (kind, name) == (folder, "tensorboard"):
            return
        victim = tmp_path / "victim"
        victim.mkdir() if name == "tensorboard" else victim.write_text("mine")
        (run / name).unlink(missing_ok=True)
        kind(run / name, victim)
        for command in (
            *(["train", "--resume", run, "--steps", 14, "--tensorboard"], ["sample", run]),
            *(["evaluate", run], ["compare", run, run, "--out", tmp_path / "picture.png"]),
        ):
            refused(call(*command), re.escape(name))
        refused(call("train", "--out", run, "--overwrite"), re.escape(name))
        assert victim.is_dir() or victim.read_text() == "mine"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "victim"]

    def test_a_lock_with_a_second_name(self, run, tmp_path):
        (tmp_path / "victim").write_text("mine")
        (run / ".lock").unlink()
        (run / ".lock").hardlink_to(tmp_path / "victim")
        refused(call("train", "--resume", run), r"\.lock")
        assert (tmp_path / "victim").read_text() == "mine"

    def test_other_names_of_what_is_written_anew(self, run, tmp_path):
        """A hard link looks like a file; nothing is written through it."""
        victims = {}
        for name in NAMES[:-2]:
            victims[name] = tmp_path / f"victim {name}"
            victims[name].hardlink_to(run / name)
        before = {name: victim.read_bytes() for name, victim in victims.items()}
        succeeds(call("train", "--resume", run, "--steps", 14))
        assert {name: victim.read_bytes() for name, victim in victims.items()} == before


# ---------------------------------------------------------------- made up


def places(tree, at=()):
    """The ways to all that is in a tree."""
    items = []
    if isinstance(tree, dict):
        items = list(tree.items())
    elif isinstance(tree, list | tuple):
        items = list(enumerate(tree))[:2]
    for key, value in items:
        yield (*at, key)
        yield from places(value, (*at, key))


def put(tree, at, value):
    """The tree with something else in one place; with `put` itself: without it."""
    if not at:
        return value
    key, *rest = at
    if isinstance(tree, tuple):
        return tuple(put(list(tree), at, value))
    tree = dict(tree) if isinstance(tree, dict) else list(tree)
    if value is put and not rest:
        del tree[key]
    else:
        tree[key] = put(tree[key], rest, value)
    return tree


WRONG = [put, None, "x", -1, 10**30, 1.5, float("nan"), True, [], {}, ["x"], {"x": "x"}, (1, 2)]
WRONG += [np.zeros(3, np.float32), np.zeros((2, 2), np.int8)]


def made_up(run, seed, count):
    """Run directories with one wrong thing in a file, under a right checksum."""
    chance, directory = random.Random(seed), RunDirectory(run)
    directory.previous.unlink(missing_ok=True)
    for file in (directory.checkpoint, directory.model):
        tree = load_checkpoint(file)
        wrongs = [(at, wrong) for at in places(tree) for wrong in WRONG]
        for at, wrong in chance.sample(wrongs, min(count, len(wrongs))):
            save_checkpoint(file, put(tree, at, wrong))
            yield at, wrong
        save_checkpoint(file, tree)


def test_trees_of_wrong_types(run):
    """Each is gone on with, or refused in a line; none ends in a traceback."""
    told = []
    for at, wrong in made_up(run, 0, 150):
        directory = RunDirectory(run)
        settings = directory.read_settings(Settings).changed({"steps": 13})
        try:
            with directory.locked():
                resume(settings, directory, Reporter(Console(quiet=True), UNITS["char"]))
            load_run(run, "last")
        except BAD_INPUT as error:
            told.append((at, wrong, in_one_line(error)))
    assert len(told) > 150
    for at, wrong, line in told:
        assert re.search(r"\.safetensors'|config\.toml'", line), (at, wrong, line)
        assert len(line) < 500, line


@pytest.mark.parametrize(
    "settings",
    [
        {"hidden_size": 10**6},
        {"num_layers": 10**9},
        {"embedding_size": 10**30},
        {"vocab_size": 10**9},
        {"hidden_size": -3},
        {"hidden_size": "6"},
        {"hidden_size": 6.0},
        {"cell": ["gru"]},
        {"tied": "yes"},
        {"dropout": float("nan")},
        {"rnn": 1},
    ],
)
def test_settings_are_compared_before_anything_is_made(run, monkeypatch, settings):
    for name in ("model.safetensors", "checkpoint.safetensors"):
        change(run / name, lambda tree: tree.get("model", tree)["settings"].update(settings))
    (run / "checkpoint.previous.safetensors").unlink()

    def made(*arguments, **options):
        raise AssertionError("a model is made")

    monkeypatch.setattr("models.rnnlm.nn.Linear", made)
    for which in ("best", "last"):
        refused(call("sample", run, "--weights", which), "do not fit together")
    refused(call("train", "--resume", run, "--steps", 14), "do not fit together")
