"""``python -m models memory``: trained, resumed, measured and used; and `compare` of its runs."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import minigrad as mg
from models.commands.cli import app
from models.runs.directory import RunDirectory
from models.tasks.remembering import Remembering
from models.tasks.saved_problem import load_problem

sys.path.insert(0, str(Path(__file__).parent))
from kills import same

on_the_host = pytest.mark.host(reason="the commands compute on the CPU")

SMALL = ["--hidden-size", 12, "--batch-size", 16, "--samples", 1, "--lr", 0.01]


def call(*arguments, command="memory"):
    return CliRunner().invoke(app, [command, *map(str, arguments)])


def records(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Adding two numbers out of four: a GRU learns that in no time."""
    out = tmp_path_factory.mktemp("trained") / "gru"
    about = ["--cell", "gru", "--length", 4, *SMALL, "--steps", 400, "--eval-every", 200]
    result = call("train", *about, "--out", out)
    assert result.exit_code == 0, result.output
    return out, result.output


@on_the_host
class TestTraining:
    def test_it_learns_what_no_guess_reaches(self, trained):
        out, output = trained
        network, guess = (
            float(re.search(rf"{name} +(\S+) +\S+%", output)[1])
            for name in ("the network", "no memory")
        )
        assert network < 0.02 < 0.14 < guess < 0.19
        assert "whose gates keep 4 steps at first" in output
        assert re.search(r"validation loss \S+  \S+ MSE", output)
        assert [r["split"] for r in records(out)][-1] == "test"
        assert (out / "curves.png").exists()

    @pytest.mark.parametrize("problem", ["copying", "order"])
    def test_a_run_that_is_resumed_is_the_same_run(self, problem, tmp_path):
        options = ["--problem", problem, "--length", 10, *SMALL, "--schedule", "constant"]
        options += ["--eval-every", 4]
        assert call("train", "--out", tmp_path / "a", *options, "--steps", 8).exit_code == 0
        assert call("train", "--out", tmp_path / "b", *options, "--steps", 3).exit_code == 0
        result = call("train", "--resume", tmp_path / "b", "--steps", 8)
        assert result.exit_code == 0, result.output
        ends = [mg.load(tmp_path / name / "checkpoint.safetensors") for name in "ab"]
        assert same(*(end["model"]["weights"] for end in ends))
        assert same(*(end["trainer"] for end in ends))

    def test_each_step_has_new_examples_and_another_seed_others(self, tmp_path):
        losses = []
        for seed in (0, 1):
            out = tmp_path / str(seed)
            about = ["--length", 4, *SMALL, "--lr", 1e-30, "--steps", 6, "--seed", seed]
            assert call("train", *about, "--out", out).exit_code == 0
            losses.append([r["loss"] for r in records(out) if r["split"] == "train"])
        assert len(set(losses[0] + losses[1])) == 12

    def test_what_is_refused(self, tmp_path):
        for arguments, message in (
            (["--length", 1], "--length: adding needs a length of at least 2, got 1"),
            (["--problem", "sorting"], "'sorting' is not one of"),
        ):
            result = call("train", *arguments, "--out", tmp_path / "a")
            assert result.exit_code == 2
            assert message in result.stderr


@on_the_host
class TestUse:
    def test_evaluate_its_own_examples_and_those_of_a_file(self, trained, tmp_path):
        out, _ = trained
        methods = json.loads(call("evaluate", out, "--json").stdout)["methods"]
        assert methods["the network"]["loss"] == pytest.approx(records(out)[-1]["loss"])
        run = load_problem(Remembering, RunDirectory(out))
        file = tmp_path / "sums.tsv"
        some = ["0.5* 0.5 0.25* 0.1", "0.1* 0.9 0.3 0.2*"]
        answers = [each.facts["answer"] for each in run.problem.answers(run.model, some)]
        told = [f"{line}\t{answer + 0.5}" for line, answer in zip(some, answers, strict=True)]
        file.write_text("\n".join([*told, "0.1* 0.2*\t0.3", "0.1"]), encoding="utf-8")
        result = call("evaluate", out, "--data", file, "--json")
        found = json.loads(result.stdout)
        assert found["examples"] == 2
        assert found["methods"]["the network"]["loss"] == pytest.approx(0.25, abs=0.002)
        assert "line 3 of sums.tsv: 2 time steps; those before have 4; line 4" in result.stderr

    def test_predict(self, trained):
        out, _ = trained
        line = "0.2 0.4* 0.7 0.1*"
        told = call("predict", out, line).stdout
        answer, shown = told.rstrip("\n").split("\t")
        assert shown == line
        assert float(answer) == pytest.approx(0.5, abs=0.3)
        found = json.loads(call("predict", out, line, "--json").stdout)
        assert found == {"line": 1, "input": line, "answer": float(answer)}
        seed, other = (json.loads(call("predict", out, n, "--json").stdout) for n in (7, 8))
        marked = [word[:-1] for word in seed["input"].split() if word.endswith("*")]
        assert seed["right"] == pytest.approx(sum(map(float, marked)), abs=0.011)
        assert seed["answer"] == pytest.approx(seed["right"], abs=0.4)
        assert seed["input"] != other["input"]
        assert "expected a number, got 'x'" in call("predict", out, "0.1 x").stderr


@on_the_host
def test_compare_knows_what_their_losses_are(trained, tmp_path):
    """Also with a run of another task beside it."""
    out, _ = trained
    picture = tmp_path / "compared.png"
    result = call(out, "--out", picture, "--json", command="compare")
    assert result.exit_code == 0, result.output
    (run,) = json.loads(result.stdout)
    assert run["unit"] == "mean squared error"
    assert run["best_valid_loss"] < 0.02
    assert picture.read_bytes()[:4] == b"\x89PNG"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.toml").write_text('task = "cook"\nlevel = "char"\n')
    refused = call(tmp_path / "other", command="compare")
    assert refused.exit_code == 2
    assert "its task is 'cook'" in refused.stderr


@pytest.mark.device
@pytest.mark.parametrize("problem", ["adding", "copying"])
def test_it_learns_on_a_device_as_on_the_cpu(problem, tmp_path):
    ends = []
    for device in ("cpu", "cuda"):
        about = ["--problem", problem, "--length", 5, *SMALL, "--steps", 4, "--device", device]
        result = call("train", *about, "--out", tmp_path / device)
        assert result.exit_code == 0, result.output
        ends.append(load_problem(Remembering, RunDirectory(tmp_path / device), "last", "cpu").model)
    for ours, theirs in zip(*(end.state_dict().values() for end in ends), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)
