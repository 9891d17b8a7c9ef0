"""The commands with ``--device``: as on the CPU, and what they say where there is no GPU."""

import json
import math
import re
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import minigrad as mg
from models import load_run
from models.commands.cli import app
from models.devices import check_available
from models.runs.directory import RunDirectory
from models.runs.machine import machine, machine_differences
from models.runs.settings import Settings
from models.runs.trainer import Trainer

TINY = ["--hidden-size", 8, "--batch-size", 4, "--bptt", 8, "--embedding-size", 4, "--samples", 0]


def call(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def train(out, text, *arguments):
    return call("train", "--text", text, "--out", out, *TINY, "--steps", 12, *arguments)


def succeeds(result):
    assert result.exit_code == 0, result.output
    return result.stdout


def fails(result, *words):
    """With one line, which has all of `words`."""
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("Error: ")
    assert all(word in line for word in words), line


def records_of(out, split="train"):
    return [r for r in RunDirectory(out).log().read() if r["split"] == split]


def checkpoint_weights(out):
    loaded = load_run(out, "last", "cpu").model.state_dict()
    return {name: value.tobytes() for name, value in loaded.items()}


@pytest.mark.device
class TestCommands:
    def test_train_sample_evaluate(self, tmp_path, text_file):
        options = ["--dropout", 0, "--eval-every", 6]
        for device in ("cpu", "cuda"):
            succeeds(train(tmp_path / device, text_file, *options, "--device", device))
        ours, theirs = (records_of(tmp_path / device) for device in ("cuda", "cpu"))
        assert [r["step"] for r in ours] == [r["step"] for r in theirs] == [*range(1, 13)]
        for name in ("loss", "grad_norm", "grad_norm_clipped", "lr", "tokens", "epoch"):
            assert [r[name] for r in ours] == pytest.approx([r[name] for r in theirs], rel=1e-3)
        of_process = min(r["memory"] for r in theirs)
        assert all(0 < r["memory"] < of_process for r in ours)  # the GPU's alone
        assert RunDirectory(tmp_path / "cuda").read_settings(Settings).device == "cuda"
        for split in ("valid", "test"):
            ours, theirs = (records_of(tmp_path / d, split) for d in ("cuda", "cpu"))
            assert [r["step"] for r in ours] == [r["step"] for r in theirs]
            assert [r["loss"] for r in ours] == pytest.approx([r["loss"] for r in theirs], rel=1e-4)

        # a cell of one's own
        cell = ["--cell", f"{Path(__file__).parent / 'drawing_cell.py'}:DrawingCell"]
        succeeds(train(tmp_path / "own", text_file, *cell, "--device", "cuda", "--samples", 1))
        succeeds(call("train", "--resume", tmp_path / "own", *cell, "--steps", 14))
        for device in ("cpu", "cuda"):
            succeeds(call("sample", tmp_path / "own", *cell, "--device", device))

        out = tmp_path / "cuda"  # what was trained on one runs on the other
        for options in (["--greedy"], ["--beam", 3], ["--seed", 5, "--samples", 3]):
            arguments = ["sample", out, "--prompt", "the ", "--length", 20, *options]
            texts = [succeeds(call(*arguments, "--device", device)) for device in ("cpu", "cuda")]
            assert texts[0] == texts[1]
        for options in ([], ["--streams", 4], ["--dynamic", 0.1, "--rms"], ["--cache", 9]):
            arguments = ["evaluate", out, *options]
            told = [succeeds(call(*arguments, "--device", device)) for device in ("cpu", "cuda")]
            losses = [[w for w in each.split("\n") if "nats" in w] for each in told]
            assert losses[0] == losses[1]
            assert len(losses[0]) == 2

    def test_baselines(self, tmp_path, text_file):
        runs = [tmp_path / cell for cell in ("gru", "nnlm")]
        for run in runs:
            succeeds(train(run, text_file, "--cell", run.name, "--device", "cuda"))
        told = [
            json.loads(succeeds(call("baselines", *runs, "--json", "--device", device)))["models"]
            for device in ("cpu", "cuda")
        ]
        ours, theirs = ([m["texts"][0]["nats_per_token"] for m in each] for each in told)
        assert ours == pytest.approx(theirs, rel=1e-5)
        assert len(ours) == 8

    @pytest.mark.parametrize(
        "network",
        [["--vary-bptt", "--cell", "lstm", "--layers", 2], ["--cell", "nnlm", "--context", 3]],
    )
    def test_stopped_and_gone_on_with_it_is_the_same_bit_for_bit(
        self, tmp_path, text_file, network
    ):
        options = ["--dropout", 0.3, "--device", "cuda", "--schedule", "constant", *network]
        succeeds(train(tmp_path / "whole", text_file, *options, "--steps", 24))
        output = succeeds(train(tmp_path / "parts", text_file, *options, "--steps", 7))
        output = succeeds(call("train", "--resume", tmp_path / "parts", "--steps", 24))
        assert "Warning" not in output
        assert checkpoint_weights(tmp_path / "whole") == checkpoint_weights(tmp_path / "parts")
        ours, theirs = (records_of(tmp_path / out) for out in ("whole", "parts"))
        assert [r["loss"] for r in ours] == [r["loss"] for r in theirs]

    @pytest.mark.parametrize(("first", "second"), [("cpu", "cuda"), ("cuda", "cpu")])
    def test_going_on_elsewhere_is_told(self, tmp_path, text_file, first, second):
        out, name = tmp_path / "a", mg.cuda.device_name()
        succeeds(train(out, text_file, "--device", first, "--optimizer", "adam"))
        output = succeeds(call("train", "--resume", out, "--steps", 20, "--device", second))
        names = {"cpu": "cpu", "cuda": name}
        told = f"(device {names[first]}, now {names[second]}): it goes on, but not bit for bit"
        assert told in " ".join(output.split())
        assert RunDirectory(out).read_settings(Settings).device == second
        assert records_of(out)[-1]["step"] == 20

    def test_divergence(self, tmp_path, text_file):
        explode = ["--optimizer", "sgd", "--lr", 1e38, "--clip", 0, "--schedule", "constant"]
        out = tmp_path / "out"
        result = train(out, text_file, *explode, "--eval-every", 100, "--device", "cuda")
        assert result.exit_code == 1, result.output
        told = " ".join(result.stdout.split())
        assert re.search(r"Stopped: the .* became (nan|inf) in step \d+\. .* lower --lr", told)
        assert "The last checkpoint is of step 0" in told
        assert load_run(out, "last").step == 0
        succeeds(call("train", "--resume", out, "--lr", 0.1, "--clip", 1))

    def test_steps_may_be_skipped_but_not_for_ever(self, tmp_path, text_file):
        options = ["--optimizer", "sgd", "--lr", 1e38, "--clip", 0, "--schedule", "constant"]
        options += ["--steps", 1000, "--on-nonfinite", "skip", "--device", "cuda"]
        result = train(tmp_path / "out", text_file, *options, "--eval-every", 10_000)
        assert result.exit_code == 1, result.output
        assert "the last 50 steps had to be skipped" in " ".join(result.stdout.split())

    def test_steps_are_fetched_only_when_they_are_needed(self, tmp_path, text_file, monkeypatch):
        counts, fetch = [], Trainer.fetch

        def counted(trainer):
            counts.append(trainer.waiting)
            return fetch(trainer)

        monkeypatch.setattr(Trainer, "fetch", counted)
        monkeypatch.setattr("models.runs.run.TELL_EVERY", math.inf)
        monkeypatch.setattr("models.runs.schedule.RECORDS", 2)
        options = ["--device", "cuda", "--steps", 240, "--eval-every", 170]
        succeeds(train(tmp_path / "out", text_file, *options))
        # a record every 120 steps, a validation after 170
        assert counts == [50, 50, 20, 50, 50, 20]

    def test_a_gpu_that_is_not_there(self, tmp_path, text_file):
        for arguments in (
            ["train", "--text", text_file, "--out", tmp_path / "out"],
            ["sample", tmp_path],
            ["evaluate", tmp_path],
        ):
            fails(call(*arguments, "--device", "cuda:9"), "there is no 'cuda:9' here")
        assert not (tmp_path / "out").exists()

    def test_the_machine_has_the_name_of_the_gpu(self):
        assert machine("cuda")["device"] == mg.cuda.device_name()
        assert machine()["device"] == "cpu"
        assert not machine_differences(machine("cuda"), "cuda")


class TestWithout:
    """What is told where there is no GPU."""

    def test_without_cupy_it_says_what_to_install(self, tmp_path, text_file, monkeypatch):
        monkeypatch.setitem(sys.modules, "cupy", None)
        for arguments in (
            ["train", "--text", text_file, "--out", tmp_path / "out"],
            ["sample", tmp_path],
            ["evaluate", tmp_path],
        ):
            fails(call(*arguments, "--device", "cuda"), "needs CuPy", "minigrad-rnn[gpu]")
        assert not (tmp_path / "out").exists()

    def test_a_run_from_before_there_were_devices(self):
        saved = machine()
        del saved["device"]
        assert not machine_differences(saved)

    @pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "cpu:0", "", "CUDA"])
    def test_names_of_no_device(self, tmp_path, text_file, name):
        with pytest.raises(ValueError, match="--device must be cpu or cuda"):
            Settings(device=name)
        with pytest.raises(ValueError, match='expected "cpu" or "cuda"'):
            check_available(name)
        fails(call("sample", tmp_path, "--device", name), 'expected "cpu" or "cuda"')
