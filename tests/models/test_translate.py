"""``python -m models translate``: trained, stopped, resumed, measured and used."""

import json
import random
import re
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import minigrad as mg
from models.commands.cli import app

sys.path.insert(0, str(Path(__file__).parent))
from kills import same

pytestmark = pytest.mark.host(reason="the commands compute on the CPU")

SMALL = ["--hidden-size", 16, "--embedding-size", 8, "--batch-size", 8, "--min-count", 1]
SMALL += ["--samples", 1, "--dropout", 0]


def call(*arguments, input=None):
    return CliRunner().invoke(app, ["translate", *map(str, arguments)], input=input)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Words of ab, and in capitals; a third column; a bad line."""
    rng, path = random.Random(0), tmp_path_factory.mktemp("data") / "words.tsv"
    words = {"".join(rng.choice("ab") for _ in range(rng.randint(1, 6))) for _ in range(200)}
    lines = [f"{word}\t{word.upper()}\tby me" for word in sorted(words)]
    path.write_text("\n".join([*lines, "nothing"]), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("trained") / "out"
    options = ["--lr", 0.02, "--steps", 100, "--eval-every", 50, "--best-by", "cer"]
    result = call("train", "--data", data, "--out", out, *SMALL, *options)
    assert result.exit_code == 0, result.output
    return out, result.output


class TestTraining:
    def test_it_learns_and_tells_of_simpler_methods(self, trained):
        out, output = trained
        assert "1 line is left out: line " in output
        methods = ("network", "nearest source", "most frequent target", "source itself")
        errors = [
            float(re.search(rf"the {method} .* (\d+\.\d)% +\d+\.\d%\n", output)[1])
            for method in methods
        ]
        assert errors[0] < 0.8 * min(errors[2:])
        assert (out / "result.png").read_bytes()[:4] == b"\x89PNG"
        records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        valid = [record for record in records if record["split"] == "valid"]
        best = min(valid, key=lambda record: record["cer"])
        assert mg.load(out / "model.safetensors")["step"] == best["step"]

    def test_a_run_that_is_resumed_is_the_same_run(self, data, tmp_path):
        """With draws of every kind: dropout, left out tokens, scheduled sampling."""
        options = ["--data", data, *SMALL, "--schedule", "constant", "--eval-every", 10]
        options += ["--scheduled-sampling", 3, "--embedding-dropout", 0.1, "--dropout", 0.2]
        options += ["--attention", "multiplicative", "--cell", "gru", "--target-level", "jamo"]
        assert call("train", "--out", tmp_path / "a", *options, "--steps", 20).exit_code == 0
        assert call("train", "--out", tmp_path / "b", *options, "--steps", 11).exit_code == 0
        result = call("train", "--resume", tmp_path / "b", "--steps", 20)
        assert result.exit_code == 0, result.output
        ends = [mg.load(tmp_path / name / "checkpoint.safetensors") for name in "ab"]
        assert same(*(end["model"]["weights"] for end in ends))
        assert same(*(end["trainer"] for end in ends))

    def test_what_is_refused(self, data, tmp_path, monkeypatch):
        out = ["--data", data, "--out", tmp_path / "a"]
        assert "--hidden-size must be even" in call("train", *out, "--hidden-size", 7).output
        assert "no column 'en'" in call("train", *out, "--source-column", "en").output
        monkeypatch.setitem(sys.modules, "sacrebleu", None)
        result = call("train", *out, "--best-by", "chrf")
        assert result.exit_code == 2
        assert "--best-by chrf" in result.output
        assert "[translate]" in result.output
        assert not (tmp_path / "a").exists()


class TestEvaluate:
    def test_on_a_file_and_without_sacrebleu(self, trained, tmp_path, monkeypatch):
        file = tmp_path / "more.tsv"
        file.write_text("ab\tAB\nba\tBA\n", encoding="utf-8")
        monkeypatch.setitem(sys.modules, "sacrebleu", None)
        result = call("evaluate", trained[0], "--data", file, "--beam", 2, "--json")
        assert result.exit_code == 0, result.output
        found = json.loads(result.output)
        assert found["pairs"] == 2
        assert set(found["methods"]["the network"]) == {"loss", "cer", "exact"}
        assert "the nearest source" in found["methods"]


class TestPredict:
    def test_a_line_a_file_and_the_standard_input(self, trained, tmp_path):
        (tmp_path / "in.txt").write_text("abab\n\nba\n", encoding="utf-8")
        from_file = call("predict", trained[0], "--file", tmp_path / "in.txt")
        assert from_file.exit_code == 0, from_file.output
        assert len(from_file.output.splitlines()) == 2
        piped = call("predict", trained[0], input="abab\n\nba\n")
        assert piped.output == from_file.output
        assert call("predict", trained[0], " abab ").output == piped.output.splitlines(True)[0]

    def test_score_alignment_and_picture(self, trained, tmp_path):
        options = ["--json", "--beam", 3, "--picture", tmp_path / "map.png"]
        result = call("predict", trained[0], "ab?", *options)
        assert result.exit_code == 0, result.output
        found = json.loads(result.output)
        assert found["source_tokens"] == ["a", "b", "<unk>"]
        assert "".join(found["target_tokens"]).removesuffix("<eos>") == found["target"]
        assert len(found["attention"]) == len(found["target_tokens"])
        assert all(sum(row) == pytest.approx(1, abs=1e-3) for row in found["attention"])
        assert found["log_probability"] <= found["score"] < 0
        assert (tmp_path / "map.png").read_bytes()[:4] == b"\x89PNG"

    def test_without_attention_there_is_no_map(self, data, tmp_path):
        options = [*SMALL, "--attention", "none", "--steps", 2]
        assert call("train", "--data", data, "--out", tmp_path / "a", *options).exit_code == 0
        assert not (tmp_path / "a" / "result.png").exists()
        assert "attention" not in json.loads(call("predict", tmp_path / "a", "ab", "--json").output)
        result = call("predict", tmp_path / "a", "ab", "--picture", tmp_path / "map.png")
        assert "this model has none" in result.output
