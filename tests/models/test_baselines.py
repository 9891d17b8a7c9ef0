"""``python -m models baselines``, on tiny models."""

import json
import math
import re
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from models.commands.baselines import baselines
from models.corpus import load_corpus
from models.measuring.evaluation import evaluate
from models.rnnlm import RNNLM
from models.runs.directory import RunDirectory
from models.runs.saved_model import describe
from models.runs.settings import Settings
from models.simpler.kneser_ney import KneserNey

sys.path.insert(0, str(Path(__file__).parent))
from drawing_cell import DrawingCell

app = typer.Typer()
app.command()(baselines)

pytestmark = pytest.mark.host(reason="an n-gram model computes on the CPU alone")

TEXT = "나는 봄바람\nthe quick brown fox\n" * 40


def call(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def succeeds(*arguments):
    result = call(*arguments)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return result.stdout


def models(*arguments):
    return json.loads(succeeds(*arguments, "--json"))["models"]


def fails(message, *arguments):
    result = call(*arguments)
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.splitlines()
    assert re.search(message, line), line


OWN_CELL = f"{Path(__file__).parent / 'drawing_cell.py'}:DrawingCell"


def leave_run(path, text, level="char", cell="gru", records=()):
    """A run directory with a model that was not trained."""
    own = path.with_name("own.txt")
    own.write_text(text, encoding="utf-8")
    corpus = load_corpus(str(own), level=level)
    make = DrawingCell if cell == OWN_CELL else cell
    model = RNNLM(len(corpus.tokenizer), 8, 16, make, rng=np.random.default_rng(0))
    directory = RunDirectory(path)
    path.mkdir()
    directory.begin(Settings(text=(str(own),), level=level, cell=cell), corpus.tokenizer)
    described = describe(model, corpus.tokenizer, 9, 1.0, False, corpus=corpus.fingerprint)
    directory.save_model(described)
    for record in records:
        directory.log().write(record)
    return model, corpus


@pytest.fixture
def left(tmp_path):
    record = {"step": 9, "split": "valid", "loss": 1.0, "seconds": 12.5}
    return tmp_path / "run", *leave_run(tmp_path / "run", TEXT, records=[record])


def test_each_row_is_what_that_model_reaches(left):
    path, model, corpus = left
    found, V = models(path, "--order", 3), len(corpus.tokenizer)
    assert [each["model"] for each in found] == [
        *("uniform", "1-gram", "2-gram", "3-gram"), "run: GRU",
    ]  # fmt: skip
    for part, ids in enumerate((corpus.valid, corpus.test)):
        nats = [each["texts"][part]["nats_per_token"] for each in found]
        ngrams = [KneserNey(corpus.train, V, k).log_probabilities(ids)[1:] for k in (1, 2, 3)]
        expected = [math.log(V), *(-each.mean() for each in ngrams), evaluate(model, ids).nats]
        assert nats == pytest.approx(expected)
        assert {each["texts"][part]["tokens"] for each in found} == {len(ids) - 1}
    assert (found[0]["learned_in"], found[-1]["learned_in"]) == (0.0, 12.5)


def test_single_tokens_are_as_unsure_as_their_frequencies(left):
    path, _, corpus = left
    frequencies = Counter(corpus.train.tolist()).values()
    entropy = -sum(n / len(corpus.train) * math.log(n / len(corpus.train)) for n in frequencies)
    (found,) = [
        each for each in models(path, "--text", path / "../own.txt") if each["model"] == "1-gram"
    ]
    assert found["texts"][0]["nats_per_token"] == pytest.approx(entropy, rel=0.01)


def test_the_table(left):
    path, model, corpus = left
    lines = succeeds(path, "--order", 1).splitlines()
    train = f"{len(corpus.train):,}"
    assert lines[:2] == [f"bits per character; all have learned from {train} characters", ""]
    rows = [re.split(r"\s{2,}", line.strip()) for line in lines[2:]]
    assert rows[0] == ["model", "valid", "test", "learned in", "measured in"]
    losses = [evaluate(model, ids).nats / math.log(2) for ids in (corpus.valid, corpus.test)]
    assert rows[-1][:4] == ["run: GRU", *(f"{loss:.3f}" for loss in losses), "12.5 s"]


def test_several_runs_on_one_text(left, tmp_path):
    path, _, _ = left
    leave_run(tmp_path / "other", TEXT, cell="rnn")
    found = models(path, tmp_path / "other")
    assert [each["model"] for each in found[-3:]] == ["5-gram", "run: GRU", "other: RNN"]
    assert found[-1]["learned_in"] is None
    leave_run(tmp_path / "third", TEXT + "the fox\n" * 9)
    fails("'.*third' was trained on another text than '.*run'", path, tmp_path / "third")


def test_a_run_with_a_cell_of_its_own(left, tmp_path):
    path, _, _ = left
    leave_run(tmp_path / "own", TEXT, cell=OWN_CELL)
    found = models(path, tmp_path / "own", "--cell", OWN_CELL)
    assert [each["model"] for each in found[-2:]] == ["run: GRU", "own: DrawingCell"]
    fails("a Python file is run only if the command names it", path, tmp_path / "own")
    fails("the cell of the run is GRU", path, "--cell", OWN_CELL)


def test_words(tmp_path):
    leave_run(tmp_path / "run", TEXT, "word")
    assert "perplexity; all have learned from" in succeeds(tmp_path / "run")


def test_words_that_are_unknown(left, tmp_path):
    leave_run(tmp_path / "words", TEXT, "word")
    (tmp_path / "text").write_text("the slow white fox\n" * 4)
    result = call(tmp_path / "words", "--text", tmp_path / "text", "--order", 1)
    assert "40% of the tokens to predict are <unk>" in result.stderr


def test_what_can_not_be(left, tmp_path):
    path, _, _ = left
    (tmp_path / "short").write_text("t")
    fails("at least two tokens are needed", path, "--text", tmp_path / "short")
    fails("there is no directory", tmp_path / "no")
    (tmp_path / "own.txt").unlink()
    fails("own.txt", path)


def test_nothing_is_fetched_for_the_settings_of_a_run(left):
    path, _, _ = left
    config = path / "config.toml"
    text = re.sub(
        "(?m)^text = .*(\n *.*\n\\])?$", 'text = ["http://127.0.0.1:1/x"]', config.read_text()
    )
    config.write_text(text)
    fails("the text of the run, 'http://127.0.0.1:1/x', is not here", path)
