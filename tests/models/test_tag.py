"""``python -m models tag``: spaces and words, trained, resumed, measured and used."""

import json
import random
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import minigrad as mg
from minigrad.testing import check_layer
from models.commands.cli import app
from models.runs.directory import RunDirectory
from models.tagger import Spelling, Tagger
from models.tasks.saved_problem import load_problem
from models.tasks.tagging import Tagging

sys.path.insert(0, str(Path(__file__).parent))
from kills import same

host = pytest.mark.host(reason="the commands compute on the CPU")

SMALL = ["--hidden-size", 16, "--embedding-size", 8, "--batch-size", 8, "--samples", 1]
SMALL += ["--lr", 0.02, "--dropout", 0.1]
WORDS = ["the cat", "a dog", "sat on", "ran to", "big", "red", "mat", "hat"]


def call(*arguments, input=None):
    return CliRunner().invoke(app, ["tag", *map(str, arguments)], input=input)


def text(count=160):
    rng = random.Random(1)
    return "\n".join(" ".join(rng.choices(WORDS, k=rng.randint(2, 4))) for _ in range(count))


def conll(count=160):
    """Words of one letter and an ending that says the label; after "to" another one."""
    rng, lines = random.Random(1), []
    for _ in range(count):
        before = ""
        for _ in range(rng.randint(2, 6)):
            word = rng.choice(["to", rng.choice("bcdfghkl") * rng.randint(1, 3) + rng.choice("ao")])
            label = "TO" if word == "to" else "AFTER" if before == "to" else word[-1].upper()
            lines.append(f"{word}\t{label}")
            before = word
        lines.append("")
    return "\n".join(lines)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Directories of two runs, and what they said."""
    folder, found = tmp_path_factory.mktemp("tagging"), {}
    for name, content, options in (
        ("spaces", text(), ["--spaces", "--epochs", 6]),
        ("words", conll(), ["--character-size", 8, "--epochs", 6]),
    ):
        (folder / f"{name}.txt").write_text(content, encoding="utf-8")
        about = ["--data", folder / f"{name}.txt", "--out", folder / name, *SMALL, *options]
        result = call("train", *about)
        assert result.exit_code == 0, result.output
        found[name] = folder / name, result.output
    return found


def spelling():
    """Three words of one to three characters, for a sentence of two and one of three words."""
    return Spelling(
        np.array([[1, 2, 3], [0, 3, 1], [0, 2, 0]]), [1, 3, 2], np.array([[0, 1], [2, 0], [0, 1]])
    )


@host
class TestModel:
    @pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
    def test_padding_changes_nothing(self, cell):
        rng = np.random.default_rng(0)
        model = Tagger(5, 3, 4, 6, 2, 4, 6, cell, rng=rng).eval()
        ids, spelled = np.array([[1, 2], [3, 4], [0, 1]]), spelling()
        together = model(ids, [2, 3], spelled).numpy()
        for n, length in enumerate([2, 3]):
            of_one = spelled._replace(which=spelled.which[:length, n : n + 1])
            alone = model(ids[:length, n : n + 1], [length], of_one).numpy()
            np.testing.assert_allclose(together[:length, n], alone[:, 0], rtol=1e-5, atol=1e-6)

    def test_its_derivatives(self):
        model = Tagger(5, 2, 2, 2, 1, 4, 2, rng=np.random.default_rng(0))

        class Spelled(mg.nn.Module):
            def __init__(self):
                self.model = model

            def forward(self, ids, lengths):
                return self.model(ids, lengths, spelling())

        check_layer(Spelled(), np.array([[1, 2], [3, 4], [0, 1]]), np.array([2, 3]))

    def test_it_must_be_told_how_words_are_written(self):
        model = Tagger(5, 3, num_characters=4, character_size=4)
        with pytest.raises(ValueError, match="spelling must be given"):
            model(np.zeros((2, 1), int), [2])


@host
class TestTraining:
    def test_spaces(self, trained):
        _, output = trained["spaces"]
        assert re.search(r"labels +joined \d", output)
        found = {
            name: float(re.search(rf"{name} +(\d\.\d+)", output)[1])
            for name in ("the network", "5 characters around", "each character alone", "no spaces")
        }
        assert found["the network"] > found["each character alone"] > found["no spaces"] == 0

    def test_words(self, trained):
        out, output = trained["words"]
        assert "8 from the characters of a word" in output
        test = json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])
        assert test["split"] == "test"
        assert test["accuracy"] > 0.9
        for name in ("each word and its ending", "each word alone", "the most frequent label"):
            accuracy = float(re.search(rf"{name} +(\d+\.\d+)%", output)[1]) / 100
            assert accuracy < test["accuracy"]  # none of them sees the word before
        assert (out / "result.png").read_bytes()[:4] == b"\x89PNG"

    def test_a_run_that_is_resumed_is_the_same_run(self, trained, tmp_path):
        data = trained["words"][0].with_suffix(".txt")
        options = ["--data", data, *SMALL, "--schedule", "constant", "--eval-every", 5]
        options += ["--cell", "gru", "--max-length", 4, "--embedding-dropout", 0.1]
        assert call("train", "--out", tmp_path / "a", *options, "--steps", 14).exit_code == 0
        assert call("train", "--out", tmp_path / "b", *options, "--steps", 3).exit_code == 0
        result = call("train", "--resume", tmp_path / "b", "--steps", 14)
        assert result.exit_code == 0, result.output
        ends = [mg.load(tmp_path / name / "checkpoint.safetensors") for name in "ab"]
        assert same(*(end["model"]["weights"] for end in ends))
        assert same(*(end["trainer"] for end in ends))

    def test_what_is_refused(self, trained, tmp_path):
        data = ["--data", trained["spaces"][0].with_suffix(".txt"), "--out", tmp_path / "a"]
        for options, message in (
            (["--spaces", "--tag-column", 2], "with --spaces --data is a text"),
            (["--spaces", "--character-size", 4], "with --spaces tokens are characters"),
            (["--character-size", 5], "--character-size must be even, got 5"),
            ([], "has no sentence of words with labels"),
        ):
            result = call("train", *data, *options)
            assert result.exit_code == 2
            (line,) = result.stderr.strip().splitlines()
            assert message in line

    def test_labels_that_are_not_among_those_to_train_on(self, trained, tmp_path):
        """None of them can be right; if all are like this, the file is refused."""
        path, out = tmp_path / "new.txt", trained["words"][0]
        path.write_text("ba\tA\nto\tNEW\n", encoding="utf-8")
        result = call("evaluate", out, "--data", path, "--json")
        network = json.loads(result.stdout)["methods"]["the network"]
        assert network["accuracy"] <= 0.5
        assert np.isfinite(network["loss"])
        path.write_text("ba\tNEW\n", encoding="utf-8")
        result = call("evaluate", out, "--data", path)
        assert result.exit_code == 2
        assert "none of its labels, such as 'NEW', is known" in result.stderr

    def test_sentences_in_two_parts_are_told(self, trained, tmp_path):
        data = trained["words"][0].with_suffix(".txt")
        about = ["--data", data, "--test", data, "--out", tmp_path / "a", *SMALL, "--steps", 1]
        assert re.search(
            r"of the 160 sentences to test are also among", call("train", *about).output
        )


@host
class TestUse:
    def test_evaluate(self, trained):
        for out, _ in trained.values():
            result = call("evaluate", out, "--json")
            methods = json.loads(result.stdout)["methods"]
            test = json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])
            assert methods["the network"]["accuracy"] == pytest.approx(test["accuracy"])
            assert len(methods) == 4

    def test_spaces_are_put_back(self, trained):
        out, _ = trained["spaces"]
        line = "a dog ran to the cat"
        assert call("predict", out, line.replace(" ", "")).stdout == f"{line}\n"
        (found,) = map(json.loads, call("predict", out, "ad ogranto", "--json").stdout.splitlines())
        assert found == {"line": 1, "text": "ad ogranto", "spaced": "a dog ran to"}
        piped = call("predict", out, input=f"{line}\n\nbig\x1bred\n").stdout.splitlines()
        assert piped[0] == line
        assert len(piped) == 2
        assert "\x1b" not in piped[1]

    def test_words_get_labels(self, trained):
        out, _ = trained["words"]
        run = load_problem(Tagging, RunDirectory(out))
        words = ["to", "bbbbbbo", ",", "to"]
        (labels,) = run.problem.predicted(run.model, [words])
        assert labels[:2] == ["TO", "AFTER"]  # the second one is a word that it never saw
        told = " ".join(f"{w}/{t}" for w, t in zip(words, labels, strict=True))
        assert call("predict", out, "to bbbbbbo, to").stdout == f"{told}\n"
        (found,) = map(json.loads, call("predict", out, "to ba", "--json").stdout.splitlines())
        assert found == {
            "line": 1,
            "text": "to ba",
            "words": ["to", "ba"],
            "labels": ["TO", "AFTER"],
        }


@pytest.mark.device
@pytest.mark.parametrize("kind", ["spaces", "words"])
def test_it_learns_on_a_device_as_on_the_cpu(tmp_path, kind):
    ends, data = [], tmp_path / "data.txt"
    data.write_text(text(40) if kind == "spaces" else conll(40), encoding="utf-8")
    for device in ("cpu", "cuda"):
        options = ["--data", data, "--out", tmp_path / device, *SMALL, "--dropout", 0]
        options += ["--spaces"] if kind == "spaces" else ["--character-size", 4]
        result = call("train", *options, "--steps", 3, "--device", device)
        assert result.exit_code == 0, result.output
        ends.append(load_problem(Tagging, RunDirectory(tmp_path / device), "last", "cpu").model)
    for ours, theirs in zip(*(end.state_dict().values() for end in ends), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)
