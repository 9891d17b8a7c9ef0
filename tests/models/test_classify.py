"""``python -m models classify``: trained, stopped at any moment, resumed, measured and used."""

import json
import random
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import minigrad as mg
from minigrad.testing import check_layer
from models.commands.cli import app
from models.commands.problem_commands import _lines
from models.runs.directory import RunDirectory
from models.tasks.classifying import Classifying
from models.tasks.example_trainer import batches
from models.tasks.saved_problem import load_problem
from models.text_classifier import TextClassifier

sys.path.insert(0, str(Path(__file__).parent))
from kills import same

pytestmark = pytest.mark.host(reason="the commands compute on the CPU")

SMALL = ["--hidden-size", 8, "--embedding-size", 6, "--batch-size", 8, "--min-count", 1]
SMALL += ["--samples", 1, "--dropout", 0.2]


def call(*arguments, input=None):
    return CliRunner().invoke(app, ["classify", *map(str, arguments)], input=input)


def lines(count=120):
    """Texts of different lengths, of one letter; 'up' or 'down' says which comes first."""
    rng = random.Random(1)
    for _ in range(count):
        letters = "".join(rng.choice("abc") for _ in range(rng.randint(1, 9)))
        yield f"{letters}\t{'up' if letters[0] <= letters[-1] else 'down'}"


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "letters.tsv"
    path.write_text("\n".join(lines()), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    (folder / "letters.tsv").write_text("\n".join(lines()), encoding="utf-8")
    about = ["--data", folder / "letters.tsv", "--out", folder / "out", *SMALL, "--epochs", 3]
    result = call("train", *about)
    assert result.exit_code == 0, result.output
    return folder / "out", result.output


class TestModel:
    @pytest.mark.parametrize("pooling", ["last", "mean", "attention"])
    @pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
    def test_padding_changes_nothing(self, pooling, cell):
        rng = np.random.default_rng(0)
        model = TextClassifier(5, 3, 4, 6, 2, cell, pooling=pooling, rng=rng).eval()
        short, long = rng.integers(5, size=3), rng.integers(5, size=7)
        padded = np.zeros((7, 2), int)
        padded[:3, 0], padded[:, 1] = short, long
        together = model(padded, [3, 7]).numpy()
        alone = [model(ids[:, None], [len(ids)]).numpy()[0] for ids in (short, long)]
        np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("pooling", ["last", "mean", "attention"])
    def test_its_derivatives(self, pooling):
        model = TextClassifier(5, 3, 3, 2, pooling=pooling, rng=np.random.default_rng(0))
        check_layer(model, np.array([[1, 2], [3, 4], [0, 1], [0, 4]]), np.array([2, 4]))


class TestBatches:
    def test_each_example_once_and_lengths_alike(self):
        lengths = np.random.default_rng(0).integers(1, 100, 500)
        first, second = (batches(lengths, 16, 7, epoch) for epoch in (0, 1))
        for cut in (first, second):
            assert sorted(np.concatenate(cut).tolist()) == list(range(500))
        assert any(a.tolist() != b.tolist() for a, b in zip(first, second, strict=True))
        spread = np.mean([np.ptp(lengths[batch]) for batch in first])
        assert spread < 10  # of 99
        again = batches(lengths, 16, 7, 1)
        assert all((a == b).all() for a, b in zip(second, again, strict=True))


class TestTraining:
    def test_it_learns_and_tells_of_simpler_methods(self, trained):
        out, output = trained
        assert "classes     " in output
        assert re.search(r"the network +\d+\.\d+%", output)
        assert re.search(r"the most frequent class +\d+\.\d+%", output)
        assert re.search(r"Naive Bayes, characters +\d+\.\d+%", output)
        assert (out / "result.png").read_bytes()[:4] == b"\x89PNG"
        assert (out / "curves.png").exists()
        records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        assert [r["split"] for r in records][-1] == "test"
        assert all(0 <= r["accuracy"] <= 1 for r in records if r["split"] != "train")

    def test_the_best_weights_are_those_with_the_best_accuracy(self, trained):
        out, _ = trained
        records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        valid = [r for r in records if r["split"] == "valid"]
        best = max(valid, key=lambda record: record["accuracy"])
        assert mg.load(out / "model.safetensors")["step"] == best["step"]

    @pytest.mark.parametrize(("stop", "more"), [(1, []), (17, ["--subwords", 3])])
    def test_a_run_that_is_resumed_is_the_same_run(self, data, tmp_path, stop, more):
        options = ["--data", data, *SMALL, "--schedule", "constant", "--eval-every", 5]
        options += ["--cell", "gru", "--embedding-dropout", 0.1, *more]  # 12 steps are an epoch
        assert call("train", "--out", tmp_path / "a", *options, "--steps", 30).exit_code == 0
        assert call("train", "--out", tmp_path / "b", *options, "--steps", stop).exit_code == 0
        result = call("train", "--resume", tmp_path / "b", "--steps", 30)
        assert result.exit_code == 0, result.output
        ends = [mg.load(tmp_path / name / "checkpoint.safetensors") for name in "ab"]
        assert same(*(end["model"]["weights"] for end in ends))
        assert same(*(end["trainer"] for end in ends))
        told = [call("predict", tmp_path / name, "abc").stdout for name in "ab"]
        assert told[0] == told[1]
        assert told[0].endswith("abc\n")

    def test_trouble_is_told(self, data, tmp_path):
        result = call(
            *("train", "--data", data, "--out", tmp_path / "a", *SMALL, "--lr", 1e30),
            *("--optimizer", "sgd", "--schedule", "constant", "--clip", 0, "--steps", 50),
        )
        assert result.exit_code == 1, result.output
        assert re.search(r"Stopped: the .* became (nan|inf)", result.output)
        assert "classify train --resume" in result.output

    def test_what_is_refused(self, data, tmp_path, trained):
        new = ["--data", data, "--out", tmp_path / "a"]
        for arguments, message in (
            (["--out", tmp_path / "a"], "--data FILE must say"),
            (["--data", tmp_path / "none", "--out", tmp_path / "a"], "No such file"),
            (["--data", data, "--out", trained[0]], "already holds a run"),
            (["--resume", trained[0], "--hidden-size", 9], "--hidden-size: a run that goes on"),
            (["--data", data, "--out", tmp_path / "a", "--split", "0.9,0.2"], "sum to 1"),
            ([*new, "--subwords", 2, "--level", "word"], "--subwords of words must be at least 3"),
            ([*new, "--subwords", 4, "--weight-decay", 0.1], "without --weight-decay"),
        ):
            result = call("train", *arguments)
            assert result.exit_code == 2
            (line,) = result.stderr.strip().splitlines()
            assert message in line
            assert not (tmp_path / "a").exists()

    def test_runs_of_other_tasks_are_refused(self, trained):
        result = CliRunner().invoke(app, ["train", "--resume", str(trained[0])])
        assert result.exit_code == 2
        assert "holds a run of `classify`, not of a language model" in result.stderr

    @pytest.mark.parametrize("name", ["checkpoint", "model", "config"])
    def test_damaged_files_are_refused(self, trained, tmp_path, name):
        out = shutil.copytree(trained[0], tmp_path / "out")
        (file,) = out.glob(f"{name}.[tjs]*")
        content = bytearray(file.read_bytes())
        middle = len(content) // 2
        content[middle : middle + 8] = bytes(255 - byte for byte in content[middle : middle + 8])
        file.write_bytes(content)
        (out / "checkpoint.previous.safetensors").unlink(missing_ok=True)
        result = call("train", "--resume", out, "--epochs", 4)
        assert result.exit_code == 2, result.output
        (line,) = result.stderr.strip().splitlines()
        assert file.name in line

    def test_other_data_are_refused(self, trained, tmp_path):
        (tmp_path / "other.tsv").write_text("\n".join(lines(90)), encoding="utf-8")
        result = call(*("train", "--resume", trained[0], "--data", tmp_path / "other.tsv"))
        assert result.exit_code == 2
        assert "is not the data that the run" in result.stderr

    def test_lines_that_are_left_out_and_texts_in_two_parts(self, tmp_path):
        path = tmp_path / "a.tsv"
        path.write_text("\n".join([*lines(60), "no label\t", *lines(60)]), encoding="utf-8")
        result = call("train", "--data", path, "--out", tmp_path / "out", *SMALL, "--steps", 1)
        assert "1 line is left out: line 61 of a.tsv: no label" in result.output
        assert re.search(r"of the \d+ texts to test are also among those", result.output)


@pytest.mark.device
def test_it_learns_on_a_device_as_on_the_cpu(data, tmp_path):
    ends = []
    for device in ("cpu", "cuda"):
        options = ["--data", data, "--out", tmp_path / device, *SMALL, "--dropout", 0]
        options += ["--subwords", 3]
        result = call("train", *options, "--steps", 6, "--device", device)
        assert result.exit_code == 0, result.output
        run = load_problem(Classifying, RunDirectory(tmp_path / device), "last", "cpu")
        ends.append(run.model)
    for ours, theirs in zip(*(end.state_dict().values() for end in ends), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)


class TestUse:
    def test_evaluate(self, trained):
        result = call("evaluate", trained[0], "--json")
        methods = json.loads(result.stdout)["methods"]
        test = [
            json.loads(line) for line in (trained[0] / "metrics.jsonl").read_text().splitlines()
        ][-1]
        assert methods["the network"]["accuracy"] == pytest.approx(test["accuracy"])
        assert methods["the network"]["f1"].keys() == {"up", "down"}
        assert len(methods) == 4
        assert "Naive Bayes, words" in call("evaluate", trained[0]).stdout

    def test_evaluate_on_a_file(self, trained, tmp_path):
        (tmp_path / "new.tsv").write_text("abc\tup\ncba\tdown\naaa\tup\n", encoding="utf-8")
        result = call("evaluate", trained[0], "--data", tmp_path / "new.tsv", "--json")
        assert json.loads(result.stdout)["texts"] == 3
        (tmp_path / "new.tsv").write_text("abc\tup\ncba\tsideways\naa\tup\n", encoding="utf-8")
        result = call("evaluate", trained[0], "--data", tmp_path / "new.tsv")
        assert result.exit_code == 2
        assert "'sideways'" in result.stderr

    def test_predict_from_a_line_a_file_and_the_standard_input(self, trained, tmp_path):
        texts = ["abc", "cba", "never seen \x1b[2J"]
        (tmp_path / "texts.txt").write_text("\n\n".join(texts), encoding="utf-8")
        run = load_problem(Classifying, RunDirectory(trained[0]))
        chances = run.problem.probabilities(run.model, texts)
        expected = [run.problem.classes[int(row.argmax())] for row in chances]
        one = call("predict", trained[0], "abc").stdout
        assert one == f"{expected[0]}\t{chances[0].max():.3f}\tabc\n"
        of_file = call("predict", trained[0], "--file", tmp_path / "texts.txt", "--json").stdout
        found = [json.loads(line) for line in of_file.splitlines()]
        assert [each["label"] for each in found] == expected
        assert [each["text"] for each in found] == texts
        assert [each["line"] for each in found] == [1, 3, 5]
        for each, row in zip(found, chances, strict=True):
            assert list(each["probabilities"].values()) == pytest.approx(row, abs=1e-5)
        piped = call("predict", trained[0], input="\n".join(texts)).stdout
        assert [line.split("\t")[0] for line in piped.splitlines()] == expected
        assert "\x1b" not in piped

    def test_what_predict_refuses(self, trained, tmp_path):
        assert "the input is empty" in call("predict", trained[0], " ").stderr
        assert "no run" in call("predict", tmp_path, "abc").stderr
        both = call("predict", trained[0], "abc", "--file", tmp_path)
        assert "give one of them" in both.stderr
        assert "not UTF-8, in line 2" in call("predict", trained[0], input=b"a\n\xff\n").stderr

    def test_weights_that_give_nan_are_refused(self, trained, tmp_path):
        shutil.copytree(trained[0], tmp_path / "run")
        saved = mg.load(tmp_path / "run" / "model.safetensors")
        for weight in saved["weights"].values():
            weight.fill(3e38)
        mg.save(tmp_path / "run" / "model.safetensors", saved)
        for asked in (
            ["predict", tmp_path / "run", "abc", "--json"],
            ["evaluate", tmp_path / "run"],
        ):
            result = call(*asked)
            assert result.exit_code == 2
            assert "the weights of the model are unusable" in result.output

    def test_a_standard_input_that_is_closed(self, monkeypatch):
        monkeypatch.setattr(sys, "stdin", None)
        with pytest.raises(ValueError, match="the standard input is closed"):
            next(_lines(None))

    def test_evaluate_on_a_file_when_the_first_data_can_not_be_used(self, data, tmp_path):
        about = ["--data", data, "--out", tmp_path / "out", *SMALL, "--steps", 1]
        assert call("train", *about).exit_code == 0
        other = tmp_path / "other.tsv"
        data.rename(other)
        data.write_bytes(b"\xff\xfe")
        result = call("evaluate", tmp_path / "out", "--data", other)
        assert result.exit_code == 0, result.output
        assert "the network" in result.output
