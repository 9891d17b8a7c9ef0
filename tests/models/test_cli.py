"""The command line, on tiny models."""

import errno
import itertools
import math
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
import tomllib
import unicodedata
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from minigrad.data import load_tokenizer
from models import load_run
from models.commands.cli import app
from models.corpus import load_corpus
from models.measuring.evaluation import evaluate
from models.runs.directory import RunDirectory
from models.runs.recipes import RECIPES
from models.runs.settings import Settings

pytestmark = pytest.mark.host(reason="on a GPU the commands run in test_device_commands.py")

ROOT = Path(__file__).parents[2]
TINY = ["--hidden-size", "8", "--batch-size", "4", "--bptt", "8", "--embedding-size", "4"]
TINY += ["--samples", "0"]  # which take longer than the steps
FILES = [
    ".lock", "checkpoint.previous.safetensors", "checkpoint.safetensors", "config.toml",
    "curves.png", "metrics.jsonl", "model.safetensors", "tokenizer.json",
]  # fmt: skip
PREVIOUS = "checkpoint.previous.safetensors"


def call(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def train(out, text, *arguments):
    return call("train", "--text", text, "--out", out, *TINY, "--steps", 12, *arguments)


def records_of(out, split=None):
    return [r for r in RunDirectory(out).log().read() if split in (None, r["split"])]


def weights_of(out, which="last"):
    model = load_run(out, which).model
    return {name: value.tobytes() for name, value in model.state_dict().items()}


def succeeds(result):
    assert result.exit_code == 0, result.output
    return result.stdout


def fails(result, message, code=2):
    """It ended with `code`, and one line that matches `message`; without a traceback."""
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit)
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert re.search(message, lines[0]), lines[0]
    assert lines[0].startswith("Error: ")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run directory, not to be changed."""
    directory = tmp_path_factory.mktemp("run")
    text = directory / "text.txt"
    text.write_text("the quick brown fox jumps over the lazy dog\n" * 50)
    succeeds(train(directory / "out", text))
    return directory / "out"


class TestTrain:
    @pytest.mark.usefixtures("pictures")
    def test_leaves_everything(self, tmp_path, text_file):
        output = succeeds(train(tmp_path / "a" / "out", text_file, "--samples", 2))
        out = tmp_path / "a" / "out"
        assert sorted(file.name for file in out.iterdir()) == FILES

        records = records_of(out)
        assert all({"step", "epoch", "split", "loss", "seconds"} <= r.keys() for r in records)
        losses = {
            split: {r["step"]: r["loss"] for r in records if r["split"] == split}
            for split in ("train", "valid", "test")
        }
        assert list(losses["train"]) == list(range(1, 13))
        assert next(iter(losses["valid"])) == 0
        assert list(losses["valid"])[-1] == list(losses["test"])[-1] == 12
        assert sum(map(len, losses.values())) == len(records)
        assert all(0 < loss < 5 for each in losses.values() for loss in each.values())
        assert losses["valid"][12] < losses["valid"][0]
        for record in records:
            if record["split"] == "train":
                assert record["grad_norm"] >= record["grad_norm_clipped"] > 0
                assert record["tokens"] == 4 * 8 * record["step"]
                assert 0 < record["lr"] <= 0.006
                assert record["memory"] > 1e7

        picture = (out / "curves.png").read_bytes()
        assert picture.startswith(b"\x89PNG\r\n\x1a\n")
        config = tomllib.loads((out / "config.toml").read_text("utf-8"))
        assert config["text"] == [str(text_file)]
        assert (config["steps"], config["hidden_size"], config["tied"]) == (12, 8, False)
        assert len(load_tokenizer(out / "tokenizer.json")) == 28
        assert load_run(out, "last").step == 12

        assert "\x1b" not in output
        assert "\r" not in output
        best = min(losses["valid"].values())
        assert f"validation loss {best:.3f} · {best / math.log(2):.3f} bpc" in output
        for when in ("before training", "after training"):
            assert f"a sample {when}" in output
        assert "test loss" in output
        assert str(out / "curves.png") in output
        assert "models sample" in output

    @pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
    def test_words(self, tmp_path, text_file, cell):
        options = ["--level", "word", "--cell", cell, "--layers", 2, "--dropout", 0.2]
        options += ["--batch-size", 2, "--embedding-size", 8, "--tied", "--min-count", 1]
        output = succeeds(train(tmp_path / "out", text_file, *options))
        assert "perplexity" in output
        assert "bpc" not in output
        text = succeeds(call("sample", tmp_path / "out", "--length", 5, "--prompt", "the sun"))
        assert text.startswith("the sun")
        settings = load_run(tmp_path / "out").model.settings()
        assert settings["cell"] == cell
        assert (settings["tied"], settings["num_layers"], settings["dropout"]) == (True, 2, 0.2)

    @pytest.mark.parametrize("level", ["byte", "bpe"])
    def test_bytes_and_pairs(self, tmp_path, level):
        text = tmp_path / "동시.txt"
        text.write_text("나는 나는 봄바람\n산골 집의 봄바람\n" * 60, encoding="utf-8")
        more = ["--max-vocab", 270] if level == "bpe" else []
        output = succeeds(train(tmp_path / "out", text, "--level", level, *more))
        assert "validation" in output
        written = succeeds(call("sample", tmp_path / "out", "--prompt", "봄바", "--length", 20))
        assert written.startswith("봄바")
        assert call("evaluate", tmp_path / "out", "--text", text).exit_code == 0

    def test_letters_in_parts_and_unknown_words_are_told(self, tmp_path):
        text = tmp_path / "text.txt"
        rare = "".join(f"말{n} " for n in range(100))
        text.write_text(unicodedata.normalize("NFD", f"{'같은 말 ' * 300}{rare}"), "utf-8")
        options = ["--level", "word", "--split", "0.6,0.2,0.2"]
        output = succeeds(train(tmp_path / "out", text, *options))
        assert "Warning: the text has letters in parts" in output
        (note,) = re.findall(r"(\d+)% of the tokens to predict are <unk>", output)
        assert int(note) > 20
        records = [*records_of(tmp_path / "out", "valid"), *records_of(tmp_path / "out", "test")]
        assert max(round(100 * record["unk"]) for record in records) == int(note)
        output = succeeds(train(tmp_path / "b", text, *options, "--normalize", "nfc"))
        assert "letters in parts" not in output

    def test_all_that_papers_used(self, tmp_path, text_file):
        options = ["--recipe", "awd-lstm", "--level", "char", "--hidden-size", 12, "--epochs", 4]
        options += ["--embedding-size", 8, "--batch-size", 4, "--bptt", 12, "--nonmono", 1]
        options += ["--samples", 0, "--lr", 1]
        succeeds(call("train", "--text", text_file, "--out", tmp_path / "out", *options))
        settings = load_run(tmp_path / "out").model.settings()
        assert settings["weight_drop"] == 0.5
        assert settings["num_layers"] == 3
        valid = records_of(tmp_path / "out", "valid")
        assert [r["epoch"] for r in valid] == [0, 1, 2, 3, 4]
        assert valid[-1]["loss"] < valid[0]["loss"]

    @pytest.mark.parametrize("recipe", RECIPES)
    def test_recipes(self, tmp_path, text_file, recipe):
        options = ["--recipe", recipe, "--steps", 2, "--hidden-size", 8, "--batch-size", 2]
        options += ["--bptt", 8, "--samples", 0]
        size = RECIPES[recipe].settings.get("embedding_size", 8)
        options += ["--embedding-size", min(size, 8)]
        output = succeeds(call("train", "--text", text_file, "--out", tmp_path / "out", *options))
        told = " ".join(output.split())
        for words in (RECIPES[recipe].source, RECIPES[recipe].expected, RECIPES[recipe].conversion):
            assert words in told
        config = tomllib.loads((tmp_path / "out" / "config.toml").read_text("utf-8"))
        assert (config["recipe"], config["steps"]) == (recipe, 2)

    def test_tied_embeddings_are_as_long_as_the_hidden_state(self, tmp_path, text_file):
        arguments = ["--text", text_file, "--out", tmp_path / "out", "--steps", 1]
        succeeds(call("train", *arguments, "--tied", "--hidden-size", 8, "--batch-size", 2))

    def test_the_same_seed_the_same_run(self, tmp_path, text_file):
        for out in ("a", "b"):
            succeeds(train(tmp_path / out, text_file, "--dropout", 0.5, "--seed", 3))
        succeeds(train(tmp_path / "c", text_file, "--dropout", 0.5, "--seed", 4))
        weights = [weights_of(tmp_path / out) for out in "abc"]
        assert weights[0] == weights[1] != weights[2]

    def test_epochs_sgd_and_a_constant_rate(self, tmp_path, text_file):
        options = ["--epochs", 2, "--optimizer", "sgd", "--schedule", "constant", "--clip", 0]
        options += ["--lr", 0.1, "--eval-every", 50]
        succeeds(call("train", "--text", text_file, "--out", tmp_path / "out", *TINY, *options))
        length = len(load_corpus(str(text_file)).train)
        assert records_of(tmp_path / "out", "valid")[-1]["step"] == 2 * math.ceil(
            (length // 4 - 1) / 8
        )
        assert {r["lr"] for r in records_of(tmp_path / "out", "train")} == {0.1}

    def test_minutes(self, tmp_path, text_file, monkeypatch):
        """By a clock that goes on by a millisecond each time that it is looked at."""
        ticks = itertools.count()
        clock = SimpleNamespace(monotonic=lambda: next(ticks) / 1000)
        monkeypatch.setattr("models.runs.run.time", clock)
        options = ["--text", text_file, "--out", tmp_path / "out", *TINY, "--minutes", 0.02]
        succeeds(call("train", *options))
        assert 1200 < next(ticks) < 1500
        rates = [r["lr"] for r in records_of(tmp_path / "out", "train")]
        assert rates[-1] < 0.5 * max(rates)

    def test_early_stopping(self, tmp_path, text_file):
        options = ["--steps", 1000, "--eval-every", 2, "--patience", 3, "--optimizer", "sgd"]
        options += ["--lr", 1e-9, "--schedule", "constant"]
        succeeds(call("train", "--text", text_file, "--out", tmp_path / "out", *TINY, *options))
        valid = records_of(tmp_path / "out", "valid")
        losses = [r["loss"] for r in valid]
        assert len(valid) == losses.index(min(losses)) + 4
        assert load_run(tmp_path / "out", "best").step == valid[-4]["step"]

    def test_the_best_weights_are_kept_beside_the_last(self, tmp_path, text_file):
        options = ["--steps", 12, "--eval-every", 1, "--lr", 0.5, "--schedule", "constant"]
        succeeds(call("train", "--text", text_file, "--out", tmp_path / "out", *TINY, *options))
        valid = records_of(tmp_path / "out", "valid")
        best = min(valid, key=lambda r: r["loss"])
        assert best["step"] < 12
        assert load_run(tmp_path / "out", "best").step == best["step"]
        (test,) = records_of(tmp_path / "out", "test")
        assert test["best_step"] == best["step"]
        corpus = load_corpus(str(text_file))
        model = load_run(tmp_path / "out", "best").model
        assert evaluate(model, corpus.valid, streams=16).nats == best["loss"]
        assert evaluate(model, corpus.test, streams=16).nats == test["loss"]

    def test_parts_of_ones_own(self, tmp_path, text_file, rhyme):
        (tmp_path / "v.txt").write_text(rhyme, encoding="utf-8")
        output = succeeds(train(tmp_path / "out", text_file, "--valid", tmp_path / "v.txt"))
        assert f"{len(rhyme) * 10:,} to train on, {len(rhyme):,} to validate\n" in output
        assert not records_of(tmp_path / "out", "test")

    def test_korean(self, tmp_path):
        text = tmp_path / "동시.txt"
        text.write_text("나는 나는 봄바람\n산골 집의 봄바람\n" * 60, encoding="utf-8")
        succeeds(train(tmp_path / "봄", text))
        written = succeeds(call("sample", tmp_path / "봄", "--prompt", "봄바", "--length", 20))
        assert written.startswith("봄바")
        assert len(written.removesuffix("\n")) == 22
        fails(call("sample", tmp_path / "봄", "--prompt", "겨울"), "'겨'.*'울'")

    def test_a_run_is_not_overwritten_unless_asked(self, tmp_path, text_file):
        out = tmp_path / "out"
        succeeds(train(out, text_file))
        before = weights_of(out)
        fails(train(out, text_file, "--seed", 1), "already holds a run.*--overwrite")
        fails(train(out, tmp_path / "typo.txt", "--overwrite"), "typo.txt")
        assert weights_of(out) == before
        succeeds(train(out, text_file, "--seed", 1, "--overwrite"))
        assert weights_of(out) != before
        assert len(records_of(out, "train")) == 12


class TestConfig:
    def test_every_option_may_stand_in_a_file(self, tmp_path, text_file):
        succeeds(train(tmp_path / "a", text_file, "--dropout", 0.3, "--clip-value", 0.5))
        succeeds(call("train", "--config", tmp_path / "a" / "config.toml", "--out", tmp_path / "b"))
        assert weights_of(tmp_path / "a") == weights_of(tmp_path / "b")
        configs = [(tmp_path / out / "config.toml").read_text("utf-8") for out in "ab"]
        assert configs[0] == configs[1]

    def test_the_command_line_wins(self, tmp_path, text_file):
        file = tmp_path / "my.toml"
        file.write_text(f"text = {str(text_file)!r}\nepochs = 3\nhidden-size = 6\nsamples = 0\n")
        options = ["--steps", 2, "--batch-size", 4]
        succeeds(call("train", "--config", file, "--out", tmp_path / "out", *options))
        settings = RunDirectory(tmp_path / "out").read_settings(Settings)
        assert (settings.steps, settings.epochs, settings.hidden_size) == (2, None, 6)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("hidden_sise = 3", "no option 'hidden_sise'; is hidden_size meant"),
            ("hidden_size = 'many'", "--hidden-size must be a whole number, got 'many'"),
            ("cell = 'lst'", "--cell must be one of rnn, lstm, gru"),
            ("hidden_size: 3", "is not TOML"),
            ("text = 1979-05-27", "--text must be a text"),
            ("recipe = ['a']", "--recipe must be a text"),
            ("lr = 1" + 400 * "0", "--lr must be a number"),
            ("max_vocab = 5\nmax-vocab = 6", "has an option twice"),
            ("[text]\nfoo = 1", "--text must be a text"),
            ("overwrite = 'yes'", "overwrite true or false"),
        ],
    )
    def test_bad_files(self, tmp_path, content, message):
        (tmp_path / "my.toml").write_text(content)
        arguments = ["--config", tmp_path / "my.toml", "--out", tmp_path / "out"]
        fails(call("train", *arguments), message)
        fails(call("train", "--config", tmp_path / "no.toml", "--out", tmp_path / "out"), "No such")
        assert not (tmp_path / "out").exists()

    def test_out_may_stand_there_too(self, tmp_path, text_file):
        file = tmp_path / "my.toml"
        file.write_text(f"text = {str(text_file)!r}\nout = {str(tmp_path / 'o')!r}\nsteps = 1\n")
        for overwrite in ([], ["--overwrite"]):
            succeeds(call("train", "--config", file, *overwrite))
        fails(call("train", "--config", file), "already holds a run")

    def test_a_recipe_beside_a_file_lies_below_it(self, tmp_path, text_file):
        file = tmp_path / "my.toml"
        file.write_text(f"text = {str(text_file)!r}\nhidden_size = 6\nsteps = 1\nsamples = 0\n")
        options = ["--recipe", "min-char-rnn", "--out", tmp_path / "a"]
        succeeds(call("train", "--config", file, *options))
        settings = RunDirectory(tmp_path / "a").read_settings(Settings)
        assert (settings.cell, settings.optimizer, settings.hidden_size) == ("rnn", "adagrad", 6)
        succeeds(train(tmp_path / "b", text_file))
        options = ["--recipe", "min-char-rnn", "--out", tmp_path / "c"]
        complete = tmp_path / "b" / "config.toml"
        fails(
            call("train", "--config", complete, *options),
            "min-char-rnn would lie below .*config.toml",
        )

    def test_recipes_can_be_shown_and_changed(self, tmp_path):
        shown = succeeds(call("recipes", "zaremba-small"))
        assert tomllib.loads(shown)["hidden_size"] == 200
        assert all(name in succeeds(call("recipes")) for name in RECIPES)
        fails(call("recipes", "zaremba"), "no recipe 'zaremba'")


TIMED = ("seconds", "tokens_per_second", "memory")


def timeless(records):
    return [{k: v for k, v in r.items() if k not in TIMED} for r in records]


class TestResume:
    @pytest.mark.parametrize("text", [[], ["--valid-tokens", 40, "--normalize", "nfd"]])
    def test_longer(self, tmp_path, text_file, text):
        """With a schedule that doesn't depend on the length, in two parts as in one."""
        options = ["--schedule", "constant", "--dropout", 0.3, "--eval-every", 4, *text]
        succeeds(train(tmp_path / "a", text_file, *options))
        succeeds(call("train", "--resume", tmp_path / "a", "--steps", 24))
        succeeds(train(tmp_path / "b", text_file, *options, "--steps", 24))
        assert weights_of(tmp_path / "a") == weights_of(tmp_path / "b")
        for split in ("train", "valid"):
            assert timeless(records_of(tmp_path / "a", split)) == timeless(
                records_of(tmp_path / "b", split)
            )

    def test_a_finished_run_is_left_as_it_is(self, tmp_path, text_file):
        succeeds(train(tmp_path / "a", text_file))
        before = weights_of(tmp_path / "a"), records_of(tmp_path / "a")
        output = succeeds(call("train", "--resume", tmp_path / "a"))
        assert output == "The run has ended, after step 12; more --steps make it go on.\n"
        output = succeeds(call("train", "--resume", tmp_path / "a", "--lr", 1, "--steps", 3))
        assert "has ended" in output
        assert RunDirectory(tmp_path / "a").read_settings(Settings).lr is None
        assert (weights_of(tmp_path / "a"), records_of(tmp_path / "a")) == before

    def test_before_the_first_checkpoint(self, tmp_path, text_file):
        for out in ("a", "b"):
            succeeds(train(tmp_path / out, text_file))
        (tmp_path / "a" / "checkpoint.safetensors").unlink()
        (tmp_path / "a" / PREVIOUS).unlink()
        fails(call("train", "--resume", tmp_path / "a"), "No such file.*checkpoint.safetensors")
        (tmp_path / "a" / "model.safetensors").unlink()  # it is written after the first checkpoint
        succeeds(call("train", "--resume", tmp_path / "a"))
        assert weights_of(tmp_path / "a") == weights_of(tmp_path / "b")

    def test_a_longer_run_validates_and_samples_on_the_way(self, tmp_path, text_file):
        succeeds(train(tmp_path / "a", text_file, "--patience", 50, "--samples", 4))
        output = succeeds(call("train", "--resume", tmp_path / "a", "--steps", 120))
        valid = [r["step"] for r in records_of(tmp_path / "a", "valid")]
        assert 12 in valid
        assert {24, 36, 48, 60, 72, 84, 96, 108, 120} <= set(valid)
        assert "a sample at step" in output
        assert len(records_of(tmp_path / "a", "test")) >= 1

    def test_more_patience(self, tmp_path, text_file):
        options = ["--steps", 100, "--eval-every", 1, "--patience", 2, "--lr", 1e-12]
        succeeds(train(tmp_path / "a", text_file, *options, "--optimizer", "sgd"))
        before = records_of(tmp_path / "a", "valid")
        assert len(before) < 50
        succeeds(call("train", "--resume", tmp_path / "a", "--patience", 5))
        assert len(records_of(tmp_path / "a", "valid")) > len(before)

    def test_shorter_than_it_is(self, tmp_path, text_file):
        options = ["--steps", 100, "--eval-every", 5, "--patience", 1, "--lr", 1e-12]
        succeeds(train(tmp_path / "a", text_file, *options, "--optimizer", "sgd"))
        step = load_run(tmp_path / "a", "last").step
        succeeds(call("train", "--resume", tmp_path / "a", "--steps", 3))
        assert load_run(tmp_path / "a", "last").step == step

    def test_a_lower_learning_rate_after_an_explosion(self, tmp_path, text_file):
        explode = ["--optimizer", "sgd", "--lr", 1e38, "--clip", 0, "--schedule", "constant"]
        out = tmp_path / "a"
        assert train(out, text_file, *explode, "--eval-every", 100).exit_code == 1
        succeeds(call("train", "--resume", out, "--lr", 0.1, "--clip", 1))
        assert records_of(out, "train")[-1]["lr"] == 0.1

    def test_a_text_that_was_moved(self, tmp_path, text_file):
        succeeds(train(tmp_path / "a", text_file))
        moved = text_file.rename(tmp_path / "elsewhere.txt")
        fails(call("train", "--resume", tmp_path / "a"), "fable.txt")
        succeeds(call("train", "--resume", tmp_path / "a", "--text", moved, "--steps", 14))
        succeeds(call("train", "--resume", tmp_path / "a", "--steps", 16))
        assert RunDirectory(tmp_path / "a").read_settings(Settings).text == (str(moved),)

    def test_a_file_of_settings_that_was_changed(self, tmp_path, text_file):
        succeeds(train(tmp_path / "a", text_file))
        config = tmp_path / "a" / "config.toml"
        config.write_text(config.read_text("utf-8").replace("hidden_size = 8", "hidden_size = 9"))
        fails(call("train", "--resume", tmp_path / "a"), "--hidden-size from 8 to 9")

    def test_stopped_before_the_best_weights_were_written(self, tmp_path, text_file, monkeypatch):
        save, calls = RunDirectory.save_model, []

        def full(self, described):
            calls.append(described["step"])
            if len(calls) > 3:
                raise OSError(errno.ENOSPC, "No space left on device")
            save(self, described)

        monkeypatch.setattr(RunDirectory, "save_model", full)
        out, options = tmp_path / "a", ["--steps", 40, "--eval-every", 5]
        assert train(out, text_file, *options).exit_code == 2
        monkeypatch.undo()
        assert load_run(out, "best").step == calls[2]
        succeeds(call("train", "--resume", out, "--eval-every", 40))
        valid = records_of(out, "valid")
        assert [r["step"] for r in valid] == [0, 5, 10, 15, 40]
        best = min(valid, key=lambda r: r["loss"])
        loaded = load_run(out, "best")
        assert loaded.step == best["step"]
        assert (
            evaluate(loaded.model, load_corpus(str(text_file)).valid, streams=16).nats
            == best["loss"]
        )

    def test_records_that_were_lost_or_too_many(self, tmp_path, text_file):
        succeeds(train(tmp_path / "a", text_file))
        before = records_of(tmp_path / "a")
        metrics = tmp_path / "a" / "metrics.jsonl"
        for content in (b"", metrics.read_bytes() + b'{"step": 99}\n{"st'):
            metrics.write_bytes(content)
            succeeds(call("train", "--resume", tmp_path / "a"))
            assert records_of(tmp_path / "a") == before
        metrics.unlink()
        succeeds(call("train", "--resume", tmp_path / "a"))
        assert records_of(tmp_path / "a") == before

    def test_what_it_refuses(self, tmp_path, text_file, rhyme):
        out = tmp_path / "a"
        fails(call("train", "--resume", out), "there is no directory")
        fails(call("train", "--resume", tmp_path), "holds no run")
        assert not (tmp_path / ".lock").exists()
        succeeds(train(out, text_file))
        (out / PREVIOUS).unlink()
        files = {file: file.read_bytes() for file in out.iterdir()}
        fails(call("train", "--resume", out, "--out", out), "--out does not go with --resume")
        fails(call("train", "--resume", out, "--dropout", 1), "--dropout: a run that goes on keeps")
        with RunDirectory(out).locked():
            fails(call("train", "--resume", out), "in use by another run")
        text_file.write_text(rhyme * 11, encoding="utf-8")
        fails(call("train", "--resume", out), "is not the text that the run")
        text_file.write_text(rhyme * 10, encoding="utf-8")
        checkpoint = out / "checkpoint.safetensors"
        damaged = bytearray(checkpoint.read_bytes())
        damaged[-100] ^= 4
        checkpoint.write_bytes(damaged)
        fails(call("train", "--resume", out), "checkpoint.safetensors' is damaged")
        checkpoint.write_bytes(files[checkpoint][:-50])
        fails(call("train", "--resume", out), "checkpoint.safetensors' is damaged")
        checkpoint.write_bytes((out / "model.safetensors").read_bytes())
        fails(call("train", "--resume", out), "is no checkpoint of a training run")
        checkpoint.write_bytes(files[checkpoint])
        assert {file: file.read_bytes() for file in out.iterdir()} == files


class TestTrouble:
    EXPLODE = ("--optimizer", "sgd", "--lr", 1e38, "--clip", 0, "--schedule", "constant")

    @pytest.mark.parametrize("every", [1, 100])
    def test_a_loss_that_becomes_nan(self, tmp_path, text_file, every):
        out = tmp_path / "out"
        result = train(out, text_file, *self.EXPLODE, "--eval-every", every)
        assert result.exit_code == 1, result.output
        assert isinstance(result.exception, SystemExit)
        told = " ".join(result.stdout.split())
        assert re.search(r"Stopped: the .* became (nan|inf)", told)
        assert re.search(r"lower --lr \(it is 1e\+38\)", told)
        assert "The last checkpoint is of step" in told
        assert load_run(out, "last").step < 12
        assert load_run(out, "best").step == 0
        assert {*FILES, PREVIOUS} == {PREVIOUS, *(file.name for file in out.iterdir())}

    def test_steps_may_be_skipped_but_not_for_ever(self, tmp_path, text_file):
        options = ["--steps", 1000, "--on-nonfinite", "skip", "--eval-every", 10_000]
        result = train(tmp_path / "out", text_file, *self.EXPLODE, *options)
        assert result.exit_code == 1, result.output
        assert re.search(r"step \d was skipped", result.stdout)
        assert "the last 50 steps had to be skipped" in " ".join(result.stdout.split())

    def test_an_eps_that_is_lost_is_not_resumed_with_another_rate(self, tmp_path, text_file):
        options = ["--optimizer", "adam", "--eps", "1e-300"]
        result = train(tmp_path / "out", text_file, *options)
        assert "begin anew with a larger one" in result.output
        assert "--lr LOWER" not in result.output

    def test_a_loss_that_rises_is_told(self, tmp_path, text_file):
        options = ["--steps", 300, "--optimizer", "sgd", "--lr", 30, "--clip", 5, "--warmup", 250]
        output = succeeds(train(tmp_path / "out", text_file, *options))
        assert "Warning: the training loss rises" in output

    def test_a_full_disk(self, tmp_path, text_file, monkeypatch):
        out = tmp_path / "out"
        succeeds(train(out, text_file))
        good = weights_of(out)
        fsync, calls = os.fsync, []

        def full(descriptor):
            calls.append(descriptor)
            if len(calls) > 4:
                raise OSError(errno.ENOSPC, "No space left on device")
            fsync(descriptor)

        monkeypatch.setattr(os, "fsync", full)
        result = call("train", "--resume", out, "--steps", 40)
        monkeypatch.undo()
        assert result.exit_code == 2, result.output
        assert "Error: No space left on device" in result.stderr
        assert "The last checkpoint is whole. Go on with it by:" in result.stderr
        assert load_run(out, "last").step >= 12
        assert not [file for file in out.iterdir() if file.suffix == ".tmp"]
        succeeds(call("train", "--resume", out, "--steps", 40))
        assert weights_of(out) != good

    def test_a_directory_that_can_not_be_made(self, text_file):
        if not Path("/sys/kernel").is_dir():
            pytest.skip("there is no place here that not even root may write to")
        refused = "Permission denied|Read-only|not permitted"
        fails(train(Path("/sys/kernel/minigrad"), text_file), refused)

    @pytest.mark.parametrize("arguments", [["--steps", 24], []])
    def test_a_directory_that_can_not_be_written_to(
        self, tmp_path, text_file, monkeypatch, arguments
    ):
        out = tmp_path / "out"
        succeeds(train(out, text_file))
        before = {file: file.read_bytes() for file in out.iterdir()}

        def refused(path, mode="r", *rest, **more):
            if "x" in mode and Path(path).parent == out:  # root's files are writable for root
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return opened(path, mode, *rest, **more)

        opened = Path.open
        monkeypatch.setattr(Path, "open", refused)
        result = call("train", "--resume", out, *arguments)
        monkeypatch.undo()
        assert result.exit_code == 2, result.output
        assert "Error: Permission denied" in result.stderr
        assert {file: file.read_bytes() for file in out.iterdir()} == before


class TestBadInput:
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (None, "there is no file"),
            (b"", "is empty"),
            (b" \n\t ", "only whitespace"),
            (b"a", "too short"),
            (b"a" * 50, "too short: .* there are 3 to|too short: .* batch size of 24"),
            (b"caf\xe9 " * 100, "is not UTF-8: byte 0xe9 at offset 3"),
            ("utf-16".encode("utf-16") * 9, "UTF-16"),
            (b"\x00\x01" * 100, "binary file"),
        ],
    )
    def test_text(self, tmp_path, content, message):
        if content is not None:
            (tmp_path / "a.txt").write_bytes(content)
        result = call("train", "--text", tmp_path / "a.txt", "--out", tmp_path / "out")
        fails(result, message)
        assert not (tmp_path / "out").exists()

    def test_a_directory_as_text(self, tmp_path):
        fails(call("train", "--text", tmp_path, "--out", tmp_path / "out"), "directory")

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--lr", "inf"], "lr must be"),
            (["--tied", "--embedding-size", "9"], "embedding_size"),
            (["--init", "normal"], "needs --init-scale"),
            (["--recipe", "mine"], "--recipe must be one of"),
            (["--batch-size", "100000"], "too short.*batch size of 100000"),
        ],
    )
    def test_settings(self, tmp_path, text_file, options, message):
        fails(train(tmp_path / "out", text_file, *options), message)
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize(
        "options",
        [
            ["--cell", "transformer"],
            ["--level", "sentence"],
            ["--hidden-size", "0"],
            ["--dropout", "1.5"],
            ["--steps", "0"],
            ["--lr", "nan"],
            ["--surprise"],
        ],
    )
    def test_settings_that_typer_knows_to_be_wrong(self, tmp_path, text_file, options):
        result = train(tmp_path / "out", text_file, *options)
        assert result.exit_code == 2
        assert options[0] in result.stderr
        assert "Traceback" not in result.output

    def test_out_is_a_file(self, tmp_path, text_file):
        fails(train(text_file, text_file), "is a file, not a directory")
        fails(train(text_file / "out", text_file), "Not a directory")

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--prompt", "Zebra #1"], "'Z', '#', '1'"),
            (["--temperature", "-1"], "temperature"),
            (["--temperature", "nan"], "temperature"),
            (["--top-p", "0"], "top-p must be above 0"),
            (["--top-p", "1.5"], "top-p"),
            (["--top-k", "0"], "top-k must be at least 1"),
        ],
    )
    def test_sampling(self, run, options, message):
        fails(call("sample", run, *options), message)

    def test_no_model(self, tmp_path, run):
        fails(call("sample", tmp_path / "no"), "there is no directory")
        fails(call("sample", tmp_path), "holds no run")
        fails(call("sample", run / "curves.png"), "there is no directory")

    def test_damaged_weights(self, tmp_path, run):
        for file in run.iterdir():
            (tmp_path / file.name).write_bytes(file.read_bytes())
        weights = tmp_path / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-10])
        fails(call("sample", tmp_path), "model.safetensors' is damaged")


class TestSample:
    def test_repeatable_by_seed(self, run):
        def text(seed):
            return succeeds(call("sample", run, "--length", 60, "--seed", seed))

        assert text(1) == text(1)
        assert text(1) != text(2)
        assert len(text(1)) == 61

    def test_without_a_seed_it_differs(self, run):
        texts = {succeeds(call("sample", run, "--length", 60)) for _ in range(3)}
        assert len(texts) > 1

    def test_greedy(self, run):
        arguments = ["sample", run, "--prompt", "the quick", "--top-k", 1]
        assert succeeds(call(*arguments)) == succeeds(call(*arguments, "--top-p", 0.5))

    def test_nothing_but_the_prompt(self, run):
        assert succeeds(call("sample", run, "--prompt", "fox ", "--length", 0)) == "fox \n"


@pytest.mark.parametrize("arguments", [[], ["--help"], ["train", "--help"], ["sample", "--help"]])
def test_help(arguments):
    result = call(*arguments)
    assert result.exit_code in (0, 2)
    assert "Usage:" in result.output


def start(*arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "models", *map(str, arguments)],
        cwd=ROOT,
        # a shell may have started us with Ctrl-C ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        env={**os.environ, "PYTHONIOENCODING": "utf-8", "COLUMNS": "120", "TERM": "xterm"},
        **options,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_by_a_signal_it_keeps_the_model(tmp_path, text_file, number):
    out = tmp_path / "out"
    process = start(
        "train", "--text", text_file, "--out", out, *TINY, "--steps", 200_000,
        "--eval-every", 200_000,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8",
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 300
        while not (out / "model.safetensors").exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        while not records_of(out, "train"):  # of its first steps
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(number)
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 128 + number, output
    assert f"Stopped by {number.name} after step" in output
    assert "Traceback" not in output
    assert f"models train --resume {out}" in output
    step = load_run(out, "last").step
    assert step > 0
    assert sorted(file.name for file in out.iterdir()) == FILES
    again = call("train", "--resume", out, "--steps", step + 1)
    assert f"goes on     after step {step:,}" in succeeds(again)


def test_a_terminal_gets_a_bar(tmp_path, text_file):
    ours, theirs = pty.openpty()
    process = start(
        "train", "--text", text_file, "--out", tmp_path / "out", *TINY, "--steps", 400,
        stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    output = b""
    while select.select([ours], [], [], 60)[0]:
        try:
            output += os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
    os.close(ours)
    assert process.wait(60) == 0
    text = output.decode()
    assert "400" in text
    assert "tokens/s" in text
    assert "\x1b[?25h" in text  # the cursor is shown again


def test_without_the_extra_it_says_what_to_install(tmp_path):
    (tmp_path / "hide.py").write_text(
        "import importlib.util, runpy, sys\n"
        "find = importlib.util.find_spec\n"
        "def hide(name, *a):\n"
        "    return None if name in ('typer', 'rich') else find(name, *a)\n"
        "importlib.util.find_spec = hide\n"
        "runpy.run_module('models', run_name='__main__')\n"
    )
    result = subprocess.run(
        [sys.executable, tmp_path / "hide.py"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert "needs rich, typer" in result.stderr
    assert '".[models]"' in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(("count", "shown"), [(0, []), (1, [12]), (2, [0, 12]), (3, [0, 6, 12])])
def test_samples_are_spread_over_the_run(tmp_path, text_file, count, shown):
    options = ["--samples", count, "--eval-every", 1]
    output = succeeds(train(tmp_path / "out", text_file, *options))
    names = {0: "before training", 12: "after training"}
    expected = [f"a sample {names.get(step, f'at step {step}')}" for step in shown]
    assert re.findall(r"a sample (?:at step \d+|\w+ training)", output) == expected
