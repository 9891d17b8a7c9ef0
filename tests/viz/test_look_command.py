"""``python -m models look``, on tiny models."""

import json
import re

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from minigrad.data import Vocabulary
from models.commands.look import look as command
from models.corpus import load_corpus
from models.rnnlm import RNNLM
from models.runs.directory import RunDirectory
from models.runs.saved_model import describe
from models.runs.settings import Settings
from models.showing.looking import PARTS

app = typer.Typer()
app.command()(command)

pytestmark = pytest.mark.host(reason="pages are made on the CPU")

TEXT = "경마장에 있는 말이 뛰고 있다\n<script>alert(1)</script> the fat cat sat\n" * 30


def call(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture(scope="module", params=["rnn", "lstm"])
def run(request, tmp_path_factory):
    """The directory of a run that was not trained."""
    path = tmp_path_factory.mktemp("runs") / "run"
    text = path.with_name("own.txt")
    text.write_text(TEXT, encoding="utf-8")
    tokenizer = Vocabulary.from_text(TEXT)
    model = RNNLM(len(tokenizer), 6, 5, request.param, 2, dropout=0.2, rng=np.random.default_rng(0))
    directory = RunDirectory(path)
    directory.path.mkdir()
    directory.begin(Settings(text=(str(text),), cell=request.param), tokenizer)
    corpus = load_corpus(str(text), tokenizer=tokenizer).fingerprint
    directory.save_model(describe(model, tokenizer, 1234, 1.0, saw_unknown=False, corpus=corpus))
    return path


def shown(path):
    """The views in the page."""
    html = path.read_text("utf-8")
    (data,) = re.findall(r'<script type="application/json" id="views">(.*?)</script>', html)
    return json.loads(data)


def test_the_page_has_all_parts(run, open_page):
    result = call(run, "--tokens", 64, "--steps", 12)
    assert result.exit_code == 0, result.output
    assert [view["title"] for view in shown(run / "look.html") if view["title"] in PARTS] == [
        *PARTS
    ]
    page = open_page(run / "look.html")
    assert page.locator(".failed").count() == 0
    assert "1,234" in page.locator("body > header").inner_text()


def test_a_text_and_a_place_of_ones_own(run, tmp_path):
    text, out = tmp_path / "other.txt", tmp_path / "page.html"
    text.write_text("있다 " * 10, encoding="utf-8")
    result = call(run, "--text", text, "--out", out, "--steps", 5)
    assert result.exit_code == 0, result.output
    assert out.exists()


def test_what_cannot_be_looked_at_is_told_in_a_line(run, tmp_path):
    short = tmp_path / "short.txt"
    short.write_text("the", encoding="utf-8")
    for arguments, message in (
        ([tmp_path], "holds no run"),
        ([run, "--text", short], "needs 16 or more"),
        ([run, "--out", tmp_path], "."),
    ):
        result = call(*arguments)
        assert result.exit_code == 2, result.output
        (line,) = result.stderr.splitlines()
        assert line.startswith("Error: ")
        assert re.search(message, line)
