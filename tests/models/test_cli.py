"""The command line, on tiny models."""

import json
import math
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

from minigrad.data import Vocabulary
from models.cli import app
from models.corpus import load_corpus
from models.run_directory import RunDirectory

ROOT = Path(__file__).parents[2]
TINY = ["--hidden-size", "8", "--batch-size", "4", "--bptt", "8", "--embedding-size", "4"]
FILES = ["loss.png", "metrics.jsonl", "model.safetensors", "settings.json", "vocabulary.json"]


def call(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def train(out, text, *arguments):
    return call("train", "--text", text, "--out", out, *TINY, "--steps", 12, *arguments)


def step_of(out):
    """After which step the weights were saved."""
    with safe_open(out / "model.safetensors", framework="numpy") as file:
        return json.loads(file.metadata()["minigrad-rnnlm"])["step"]


def length_of(path):
    """How many characters of a file there are to train on."""
    return len(load_corpus(str(path), "char").train)


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
    def test_leaves_everything(self, tmp_path, text_file):
        output = succeeds(train(tmp_path / "a" / "out", text_file))
        out = tmp_path / "a" / "out"
        assert sorted(file.name for file in out.iterdir()) == FILES

        records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        assert all({"step", "split", "loss", "seconds"} <= record.keys() for record in records)
        losses = {
            split: {r["step"]: r["loss"] for r in records if r["split"] == split}
            for split in ("train", "valid")
        }
        assert list(losses["train"]) == list(range(1, 13))
        assert list(losses["valid"]) == list(range(13))
        assert len(losses["train"]) + len(losses["valid"]) == len(records)
        assert all(0 < loss < 5 for losses_ in losses.values() for loss in losses_.values())
        assert losses["valid"][12] < losses["valid"][0]

        picture = (out / "loss.png").read_bytes()
        assert picture.startswith(b"\x89PNG\r\n\x1a\n")
        assert struct.unpack(">II", picture[16:24]) == (1200, 750)
        settings = json.loads((out / "settings.json").read_text(encoding="utf-8"))
        assert settings["training"]["text"] == str(text_file)
        assert settings["training"]["steps"] == 12
        assert len(Vocabulary.load(out / "vocabulary.json")) == settings["model"]["vocab_size"]
        assert step_of(out) == 12

        assert "\x1b" not in output
        assert "\r" not in output
        last = losses["valid"][12]
        assert f"step     12   validation loss {last:.3f} · {last / math.log(2):.3f} bpc" in output
        for when in ("before training", "at step 4", "at step 8", "after training"):
            assert f"a sample {when}" in output
        assert "test loss" in output
        assert str(out / "loss.png") in output
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
        assert RunDirectory(tmp_path / "out").load().model.settings() == {
            "vocab_size": 37,
            "embedding_size": 8,
            "hidden_size": 8,
            "cell": cell,
            "num_layers": 2,
            "dropout": 0.2,
            "tied": True,
        }

    def test_tied_embeddings_are_as_long_as_the_hidden_state(self, tmp_path, text_file):
        arguments = ["--text", text_file, "--out", tmp_path / "out", "--steps", 1]
        succeeds(call("train", *arguments, "--tied", "--hidden-size", 8, "--batch-size", 2))

    def test_the_same_seed_the_same_run(self, tmp_path, text_file):
        for out in ("a", "b"):
            succeeds(train(tmp_path / out, text_file, "--dropout", 0.5, "--seed", 3))
        succeeds(train(tmp_path / "c", text_file, "--dropout", 0.5, "--seed", 4))
        weights = [(tmp_path / out / "model.safetensors").read_bytes() for out in "abc"]
        assert weights[0] == weights[1] != weights[2]

    def test_epochs_sgd_and_a_constant_rate(self, tmp_path, text_file):
        options = ["--epochs", 2, "--optimizer", "sgd", "--schedule", "constant", "--clip", 0]
        succeeds(
            call("train", "--text", text_file, "--out", tmp_path / "out", *TINY, *options,
                 "--lr", 0.1, "--samples", 0, "--eval-every", 50)
        )  # fmt: skip
        records = RunDirectory(tmp_path / "out").log().read()
        assert records[-1]["step"] == 2 * math.ceil((length_of(text_file) // 4 - 1) / 8)
        assert {r["lr"] for r in records if r["split"] == "train"} == {0.1}

    def test_korean(self, tmp_path):
        text = tmp_path / "동시.txt"
        text.write_text("나는 나는 봄바람\n산골 집의 봄바람\n" * 60, encoding="utf-8")
        succeeds(train(tmp_path / "봄", text))
        written = succeeds(call("sample", tmp_path / "봄", "--prompt", "봄바", "--length", 20))
        assert written.startswith("봄바")
        assert len(written.removesuffix("\n")) == 22
        fails(call("sample", tmp_path / "봄", "--prompt", "겨울"), "lacks: '겨', '울'")

    def test_a_run_is_not_overwritten_unless_asked(self, tmp_path, text_file):
        out = tmp_path / "out"
        succeeds(train(out, text_file))
        before = (out / "model.safetensors").read_bytes()
        fails(train(out, text_file, "--seed", 1), "already holds a run.*--overwrite")
        fails(train(out, tmp_path / "typo.txt", "--overwrite"), "no file .*typo.txt")
        assert (out / "model.safetensors").read_bytes() == before
        succeeds(train(out, text_file, "--seed", 1, "--overwrite"))
        assert (out / "model.safetensors").read_bytes() != before
        assert len([r for r in RunDirectory(out).log().read() if r["split"] == "train"]) == 12

    def test_a_loss_that_becomes_nan(self, tmp_path, text_file):
        out = tmp_path / "out"
        result = train(out, text_file, "--optimizer", "sgd", "--lr", 1e30, "--clip", 0,
                       "--schedule", "constant", "--eval-every", 100)  # fmt: skip
        assert result.exit_code == 1, result.output
        assert isinstance(result.exception, SystemExit)
        assert re.search(
            r"Stopped: the (loss|gradient's norm|model's logits) became (nan|inf).* in step",
            result.stdout,
        )
        assert "those of step 0" in result.stdout
        RunDirectory(out).load()
        assert sorted(file.name for file in out.iterdir()) == FILES

    def test_a_validation_that_becomes_nan(self, tmp_path, text_file):
        result = train(tmp_path / "out", text_file, "--optimizer", "sgd", "--lr", 1e30,
                       "--clip", 0, "--schedule", "constant", "--eval-every", 1)  # fmt: skip
        assert result.exit_code == 1, result.output
        RunDirectory(tmp_path / "out").load()


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
            (["--tied", "--hidden-size", "9"], "tied weights need one size"),
            (["--epochs", "2"], "only one of them"),
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
            ["--level", "byte"],
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
            (["--prompt", "Zebra #1"], "lacks: 'Z', '#', '1'$"),
            (["--temperature", "0"], "temperature must be a number above 0"),
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
        fails(call("sample", tmp_path), "holds no trained model: it has no model.safetensors")
        fails(call("sample", run / "loss.png"), "there is no directory")

    def test_damaged_and_foreign_weights(self, tmp_path, run):
        for file in run.iterdir():
            (tmp_path / file.name).write_bytes(file.read_bytes())
        weights = tmp_path / "model.safetensors"
        content = weights.read_bytes()
        weights.write_bytes(content[: len(content) // 2])
        fails(call("sample", tmp_path), "model.safetensors' is damaged")
        arrays = load_file(run / "model.safetensors")
        save_file({name: array.T.copy() for name, array in arrays.items()}, weights)
        fails(call("sample", tmp_path), "does not fit .* misshapen: ")


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
        "train", "--text", text_file, "--out", out, *TINY, "--steps", 10_000_000,
        "--eval-every", 10_000_000, "--samples", 0,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8",
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while not (out / "model.safetensors").exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        time.sleep(0.5)
        process.send_signal(number)
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 128 + number, output
    assert f"Stopped by {number.name} after step" in output
    assert "Traceback" not in output
    RunDirectory(out).load()
    assert RunDirectory(out).log().read()[-1]["step"] == step_of(out) > 0
    assert sorted(file.name for file in out.iterdir()) == FILES


def test_a_terminal_gets_a_bar(tmp_path, text_file):
    ours, theirs = pty.openpty()
    process = start(
        "train", "--text", text_file, "--out", tmp_path / "out", *TINY, "--steps", 1500,
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
    assert "━" in text
    assert re.search(
        r"step [\d,]+/1,500.*loss \d\.\d+ · \d\.\d+ bpc · [\d,]+ tokens/s · \d:\d\d left", text
    )
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
    output = succeeds(train(tmp_path / "out", text_file, "--samples", count))
    names = {0: "before training", 12: "after training"}
    expected = [f"a sample {names.get(step, f'at step {step}')}" for step in shown]
    assert re.findall(r"a sample (?:at step \d+|\w+ training)", output) == expected
