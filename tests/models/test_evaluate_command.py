"""``python -m models evaluate``, on tiny models."""

import json
import math
import re

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from minigrad.data import ByteVocabulary, Vocabulary, split
from models import load_run
from models.commands.evaluate import evaluate as command
from models.corpus import load_corpus
from models.measuring.dynamic_evaluation import dynamic_evaluate, gradient_mean_squares
from models.measuring.evaluation import evaluate
from models.measuring.neural_cache import cache_evaluate
from models.rnnlm import RNNLM
from models.runs.directory import RunDirectory
from models.runs.saved_model import describe
from models.runs.settings import Settings

app = typer.Typer()
app.command()(command)

pytestmark = pytest.mark.host(reason="on a GPU the commands run in test_device_commands.py")

TEXT = "나는 봄바람\nthe quick brown fox\n" * 40


def call(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def succeeds(*arguments):
    result = call(*arguments)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return result.stdout


def figures(*arguments):
    (line,) = succeeds(*arguments, "--json").splitlines()
    return json.loads(line)


def fails(message, *arguments):
    result = call(*arguments)
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    (line,) = result.stderr.splitlines()
    assert re.search(message, line), line
    assert line.startswith("Error: ")


def leave_run(path, tokenizer):
    """A run directory with a model that was not trained, and the model."""
    model = RNNLM(len(tokenizer), 8, 16, "gru", dropout=0.2, rng=np.random.default_rng(0))
    text = path.with_name("own.txt")
    text.write_text(TEXT, encoding="utf-8")
    directory = RunDirectory(path)
    directory.path.mkdir()
    directory.begin(Settings(text=(str(text),), level=tokenizer.level), tokenizer)
    corpus = load_corpus(str(text), tokenizer=tokenizer).fingerprint
    directory.save_model(describe(model, tokenizer, 1234, 1.0, saw_unknown=False, corpus=corpus))
    return model


CHARACTERS = Vocabulary.from_text(TEXT, unk=None)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    leave_run(path, CHARACTERS)
    return path


@pytest.fixture(scope="module")
def model(run):
    return load_run(run).model


@pytest.fixture
def other(tmp_path):
    path = tmp_path / "other.txt"
    path.write_text("the brown fox\n봄\n" * 10, encoding="utf-8")
    return path


class TestPlain:
    def test_the_parts_of_the_run(self, run, model):
        found = figures(run)
        assert found["step"] == 1234
        assert (found["method"], found["streams"], found["weights"]) == ("plain", 1, "best")
        parts = split(CHARACTERS.encode(TEXT))[1:]
        assert [each["text"] for each in found["texts"]] == ["valid", "test"]
        for each, ids in zip(found["texts"], parts, strict=True):
            assert each["tokens"] == len(ids) - 1
            assert each["nats_per_token"] == pytest.approx(evaluate(model, ids).nats)

    def test_a_text(self, run, model, other):
        (found,) = figures(run, "--text", other)["texts"]
        text = other.read_text(encoding="utf-8")
        nats = evaluate(model, CHARACTERS.encode(text)).nats
        assert found["nats_per_token"] == pytest.approx(nats)
        assert found["perplexity_per_token"] == pytest.approx(math.exp(nats))
        assert found["bits_per_token"] == pytest.approx(nats / math.log(2))
        assert found["bits_per_character"] == pytest.approx(nats / math.log(2))
        ratio = len(text) / len(text.encode())
        assert found["bits_per_byte"] == pytest.approx(nats / math.log(2) * ratio)
        assert found["unk"] is found["eos"] is None
        told = succeeds(run, "--text", other)
        assert "best weights, those of step 1,234\nin one pass, with one state\n" in told
        assert f"predicted    {len(text) - 1:,} tokens\n" in told
        assert f"loss         {nats:.4f} nats per token\n" in told
        assert f"bits         {nats / math.log(2):.4f} per character" in told

    def test_words_with_unknown_ones_and_line_ends(self, tmp_path):
        vocabulary = Vocabulary(["<unk>", "<eos>", "the", "fox"], level="word",
                                unk="<unk>", eos="<eos>")  # fmt: skip
        model = leave_run(tmp_path / "run", vocabulary)
        text = "xx the quick fox\nthe xx fox\n"
        (tmp_path / "text").write_text(text)
        result = call(tmp_path / "run", "--text", tmp_path / "text", "--json")
        (found,) = json.loads(result.stdout)["texts"]
        assert "text: 25% of the tokens to predict are <unk>" in result.stderr
        assert (found["tokens"], found["unk"], found["eos"]) == (8, 2, 2)  # the first xx is given
        nats = evaluate(model, vocabulary.encode(text)).nats
        assert found["nats_per_token"] == pytest.approx(nats)
        assert found["bits_per_character"] == pytest.approx(nats / math.log(2) * 9 / len(text))
        told = call(tmp_path / "run", "--text", tmp_path / "text").stdout
        assert "8 tokens, 2 <unk> and 2 <eos> among them counted as in the papers" in told

    def test_bytes(self, tmp_path, other):
        leave_run(tmp_path / "run", ByteVocabulary())
        (found,) = figures(tmp_path / "run", "--text", other)["texts"]
        assert found["bits_per_byte"] == pytest.approx(found["bits_per_token"])
        assert found["bits_per_character"] > found["bits_per_byte"]

    def test_streams(self, run, model):
        found = figures(run, "--streams", 3)
        assert found["streams"] == 3
        ids = split(CHARACTERS.encode(TEXT))[1]
        expected = evaluate(model, ids, streams=3).nats
        assert found["texts"][0]["nats_per_token"] == pytest.approx(expected)
        assert "in 3 pieces side by side" in succeeds(run, "--streams", 3)

    def test_a_loss_that_json_has_no_word_for(self, tmp_path, other):
        model = leave_run(tmp_path / "run", CHARACTERS)
        model.output.bias.data[0] = 3e38
        model.output.weight.data[:] = 3e38
        directory = RunDirectory(tmp_path / "run")
        directory.save_model(describe(model, CHARACTERS, 1, None, saw_unknown=False))
        (found,) = figures(directory.path, "--text", other)["texts"]
        assert found["nats_per_token"] is None
        assert "nan" in succeeds(directory.path, "--text", other)


class TestOptions:
    def test_dynamic(self, run, model, other):
        ids = CHARACTERS.encode(other.read_text(encoding="utf-8"))
        found = figures(run, "--text", other, "--dynamic", 0.5, "--dynamic-segment", 7)
        assert {name: found[name] for name in ("method", "lr", "decay", "segment", "rms")} == {
            "method": "dynamic", "lr": 0.5, "decay": 0.0, "segment": 7, "rms": False
        }  # fmt: skip
        expected = dynamic_evaluate(model, ids, lr=0.5, segment=7).nats
        assert found["texts"][0]["nats_per_token"] == pytest.approx(expected)
        arguments = ["--dynamic", 0.01, "--dynamic-decay", 0.1, "--rms"]
        found = figures(run, "--text", other, *arguments)
        rms = gradient_mean_squares(model, split(CHARACTERS.encode(TEXT))[0])
        expected = dynamic_evaluate(model, ids, lr=0.01, decay=0.1, rms=rms).nats
        assert found["texts"][0]["nats_per_token"] == pytest.approx(expected)
        told = succeeds(run, "--text", other, *arguments)
        assert "\ndynamic evaluation: lr 0.01, decay 0.1, segment 20, rms True\n" in told

    def test_cache(self, run, model, other):
        ids = CHARACTERS.encode(other.read_text(encoding="utf-8"))
        found = figures(run, "--text", other, "--cache", 50, "--cache-weight", 0.3)
        expected = cache_evaluate(model, ids, size=50, theta=0.3, weight=0.3).nats
        assert found["texts"][0]["nats_per_token"] == pytest.approx(expected)
        told = succeeds(run, "--text", other, "--cache", 50)
        assert "\nneural cache: size 50, theta 0.3, weight 0.1\n" in told

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--dynamic", 0.1, "--cache", 9], "--dynamic and --cache: give one of them"),
            (["--dynamic-decay", 0.1], "--dynamic-decay needs --dynamic"),
            (["--dynamic-segment", 5], "--dynamic-segment needs --dynamic"),
            (["--rms"], "--rms needs --dynamic"),
            (["--cache-theta", 1], "--cache-theta needs --cache"),
            (["--cache-weight", 1], "--cache-weight needs --cache"),
            (["--cache", 9, "--streams", 2], "--cache needs the text in one piece.*--streams 2"),
            (["--dynamic", 1, "--streams", 2], "--dynamic needs the text in one piece"),
            (["--cache", 9, "--cache-theta", "inf"], "theta must be a finite number"),
            (["--dynamic", "inf"], "lr must be a number"),
            (["--weights", "last"], "has no checkpoint.safetensors"),
            (["--text", "no/such/file"], "no/such/file"),
        ],
    )
    def test_options_that_can_not_be(self, run, options, message):
        fails(message, run, *options)


class TestBadInput:
    def test_no_run(self, tmp_path):
        fails("there is no directory", tmp_path / "no")

    @pytest.mark.parametrize(
        ("content", "message"),
        [(b"", "empty|two tokens"), (b"t", "two tokens"), (b"\xff\xfe", "UTF-8"), (b"tX", "'X'")],
    )
    def test_texts_that_can_not_be_used(self, run, tmp_path, content, message):
        (tmp_path / "text").write_bytes(content)
        fails(message, run, "--text", tmp_path / "text")

    def test_the_text_of_the_run_is_gone(self, tmp_path):
        leave_run(tmp_path / "run", CHARACTERS)
        (tmp_path / "own.txt").unlink()
        fails("own.txt", tmp_path / "run")


def test_ctrl_c(run, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("models.commands.evaluate.plain_evaluate", interrupted)
    result = call(run, "--json")
    assert result.exit_code == 130
    assert (result.stdout, result.stderr) == ("", "\n")
