"""``python -m models sample``, on tiny models."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from minigrad.data import ByteVocabulary, Vocabulary
from models import load_run
from models.commands.sample import sample
from models.rnnlm import RNNLM
from models.runs.directory import RunDirectory
from models.runs.saved_model import describe
from models.runs.settings import Settings
from models.writing.beam import beam_search
from models.writing.sampling import generate_many

app = typer.Typer()
app.command()(sample)

pytestmark = pytest.mark.host(reason="on a GPU the commands run in test_device_commands.py")

CHARACTERS = Vocabulary([*"abcd ", "\n"], unk=None)
WORDS = Vocabulary(["<unk>", "<eos>", "a", "b"], level="word", unk="<unk>", eos="<eos>")


def leave_run(path, tokenizer, saw_unknown=False, **settings):
    """A run directory with a model that was not trained."""
    model = RNNLM(len(tokenizer), 8, 16, "gru", rng=np.random.default_rng(0))
    directory = RunDirectory(path)
    directory.path.mkdir()
    directory.begin(Settings(level=tokenizer.level, **settings), tokenizer)
    directory.save_model(describe(model, tokenizer, 5, 1.0, saw_unknown))
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return leave_run(tmp_path_factory.mktemp("runs") / "run", CHARACTERS)


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    return leave_run(tmp_path_factory.mktemp("runs") / "run", WORDS, saw_unknown=True)


def call(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def text(*arguments):
    result = call(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def fails(message, *arguments):
    result = call(*arguments)
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert re.search(message, line), line
    assert line.startswith("Error: ")


def of_library(path, prompt, length, number, seed, **options):
    model, tokenizer, *_ = load_run(path)
    texts = [""] * (number + 1)
    rngs = [np.random.default_rng([seed, i]) for i in range(number + 1)]
    for n, piece in generate_many(model, tokenizer, prompt, length, rngs=rngs, **options):
        texts[n] += piece
    return texts[number]


class TestDrawing:
    def test_the_text_of_the_seed(self, run):
        expected = of_library(run, "ab", 60, 0, 3, temperature=0.8)
        assert text(run, "--prompt", "ab", "--length", 60, "--seed", 3) == expected + "\n"
        assert text(run, "--prompt", "ab", "--length", 60, "--seed", 4) != expected + "\n"

    def test_without_a_seed_it_differs(self, run):
        assert len({text(run, "--length", 60) for _ in range(3)}) > 1

    def test_all_options(self, run):
        options = [
            "--temperature",
            1.5,
            "--top-k",
            3,
            "--top-p",
            0.9,
            "--stop",
            "a ",
            "--stop",
            "dd",
        ]
        expected = of_library(
            run, "b", 60, 0, 3, temperature=1.5, top_k=3, top_p=0.9, stop=["a ", "dd"]
        )
        written = text(run, "--prompt", "b", "--length", 60, "--seed", 3, *options)
        assert written == expected + "\n"

    def test_greedy(self, run):
        one = text(run, "--greedy", "--length", 30)
        assert one == text(run, "--temperature", 0, "--length", 30)
        assert one == text(run, "--top-k", 1, "--length", 30)
        assert one == text(run, "--beam", 1, "--length", 30)

    def test_nothing_but_the_prompt(self, run):
        assert text(run, "--prompt", "ab ", "--length", 0) == "ab \n"

    def test_several(self, run):
        options = ["--length", 30, "--seed", 3, "--prompt", "a"]
        many = text(run, *options, "--samples", 11)
        parts = re.split(r"^── sample (\d+) ──\n", many, flags=re.MULTILINE)[1:]
        assert parts[::2] == [str(n) for n in range(1, 12)]
        for number, part in enumerate(parts[1::2]):
            assert part == of_library(run, "a", 30, number, 3, temperature=0.8) + "\n"
        assert parts[1] == text(run, *options)

    def test_json(self, run):
        options = ["--length", 30, "--seed", 3, "--prompt", "a", "--json"]
        lines = [json.loads(line) for line in text(run, *options, "--samples", 10).splitlines()]
        assert [line["sample"] for line in lines] == list(range(1, 11))
        assert {line["seed"] for line in lines} == {3}
        assert lines[7]["text"] == of_library(run, "a", 30, 7, 3, temperature=0.8)
        (line,) = text(run, "--json").splitlines()  # the seed that was drawn
        again = text(run, "--seed", json.loads(line)["seed"], "--json")
        assert again.strip() == line


class TestBeam:
    def test_the_best(self, run):
        model, tokenizer, *_ = load_run(run)
        found = beam_search(model, tokenizer, "ab", 9, width=4, alpha=0.6, stop=["c"])
        options = ["--prompt", "ab", "--length", 9, "--beam", 4, "--length-penalty", 0.6]
        options += ["--stop", "c"]
        assert text(run, *options) == found[0].text + "\n"
        lines = text(run, *options, "--samples", 3, "--json").splitlines()
        assert [json.loads(line) for line in lines] == [
            {"sample": n + 1, **each._asdict()} for n, each in enumerate(found[:3])
        ]
        several = text(run, *options, "--samples", 2)
        first, second = (each.text for each in found[:2])
        assert several == f"── sample 1 ──\n{first}\n── sample 2 ──\n{second}\n"


class TestPrompt:
    def test_symbols_that_the_vocabulary_lacks(self, run, words, tmp_path):
        fails("lacks: 'x', '한'", run, "--prompt", "axb한")
        result = call(words, "--prompt", "a xy", "--length", 3, "--seed", 1)
        assert result.exit_code == 0
        assert result.stdout.startswith("a <unk>")
        assert result.stderr == (
            "Note: the model has no token for these words, and reads <unk>: 'xy'\n"
        )
        assert call(words, "--prompt", "a b").stderr == ""
        unaware = leave_run(tmp_path / "run", WORDS)
        fails("lacks: 'xy'; write it with words", unaware, "--prompt", "xy")

    def test_line_ends_of_words(self, words):
        for stop in ("<eos>", "\n", r"\n"):
            written = text(words, "--prompt", "a", "--length", 50, "--seed", 1, "--stop", stop)
            assert written.count("\n") == 1

    def test_bytes(self, tmp_path):
        run = leave_run(tmp_path / "run", ByteVocabulary())
        written = text(run, "--prompt", "한", "--length", 20, "--seed", 1)
        assert written.startswith("한")
        assert written.endswith("\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--temperature", -1], "temperature must be a number of at least 0, got -1"),
        (["--top-k", 0], "top-k must be at least 1, got 0"),
        (["--top-p", 2], "top-p must be above 0 and at most 1, got 2"),
        (["--stop", ""], "a stop text must not be empty"),
        (["--greedy", "--temperature", 1], "--greedy and --temperature: .* only one"),
        (["--greedy", "--samples", 2], "--samples 2: without chance .* the same"),
        (["--temperature", 0, "--samples", 2], "--samples 2: without chance"),
        (["--beam", 2, "--temperature", 1], "--beam and --temperature: beam search draws nothing"),
        (["--beam", 2, "--top-k", 1], "--beam and --top-k"),
        (["--beam", 2, "--top-p", 1], "--beam and --top-p"),
        (["--beam", 2, "--greedy"], "--beam and --greedy"),
        (["--beam", 2, "--seed", 1], "--beam and --seed"),
        (["--beam", 2, "--samples", 3], "--samples 3 needs a --beam of at least as many, got 2"),
        (["--beam", 2, "--length-penalty", -1], "alpha must be a number of at least 0, got -1"),
        (["--length-penalty", 1], "--length-penalty needs --beam"),
        (["--weights", "last"], "has no checkpoint.safetensors"),
    ],
)
def test_options_that_can_not_be(run, options, message):
    fails(message, run, *options)


HANGUL = Vocabulary([*"말이 a"], unk="a")
IN_PARTS = Vocabulary([*unicodedata.normalize("NFD", "말이 "), "a"], unk="a")


@pytest.mark.parametrize(
    ("tokenizer", "normalize", "given", "read", "note"),
    [
        (HANGUL, None, "NFC", "NFC", ""),
        (HANGUL, None, "NFD", "NFC", "put together"),
        (HANGUL, "nfc", "NFD", "NFC", "put together"),
        (IN_PARTS, None, "NFC", "NFD", "in parts"),
        (IN_PARTS, None, "NFD", "NFD", ""),
        (IN_PARTS, "nfd", "NFC", "NFD", "in parts"),
        (ByteVocabulary(), None, "NFC", "NFC", ""),
        (ByteVocabulary(), None, "NFD", "NFD", "to bytes, they are others"),
        (ByteVocabulary(), "nfc", "NFD", "NFC", "put together"),
    ],
)
def test_a_prompt_is_read_in_the_form_of_the_text(
    tmp_path, tokenizer, normalize, given, read, note
):
    run = leave_run(tmp_path / "run", tokenizer, normalize=normalize)
    prompt = unicodedata.normalize(given, "말이")
    result = call(run, "--prompt", prompt, "--length", 0, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["text"] == unicodedata.normalize(read, prompt)
    assert "<unk>" not in result.stderr
    assert note in result.stderr
    assert bool(note) == bool(result.stderr)


def test_samples_can_be_seen_and_json_has_them_as_they_are(tmp_path):
    run = leave_run(tmp_path / "run", Vocabulary([*"a\n\x1b\x9b\u202e"], unk=None))
    arguments = [run, "--length", 50, "--seed", 0]
    told, exact = call(*arguments).stdout, json.loads(call(*arguments, "--json").stdout)["text"]
    assert {"\x1b", "\x9b", "\u202e", "\n"} <= {*exact}
    for character in "\x1b\x9b\u202e":
        exact = exact.replace(character, repr(character)[1:-1])
    assert told == exact + "\n"


def test_no_run(tmp_path):
    fails("there is no directory", tmp_path / "no")
    fails("holds no run", tmp_path)


ROOT = Path(__file__).parents[2]


def start(path, *arguments, **options):
    program = "import typer; from models.commands.sample import sample; typer.run(sample)"
    return subprocess.Popen(
        [sys.executable, "-c", program, str(path), *map(str, arguments)],
        cwd=ROOT,
        # a shell may have started us with Ctrl-C ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
        **options,
    )


def test_on_a_terminal_it_streams_and_ctrl_c_ends_it(run):
    terminal, its_end = pty.openpty()
    process = start(run, "--length", 10**9, stdout=its_end, stderr=subprocess.PIPE)
    os.close(its_end)
    assert os.read(terminal, 5)  # long before the end
    process.send_signal(signal.SIGINT)
    rest = b""
    while True:
        try:
            piece = os.read(terminal, 1 << 16)
        except OSError:  # nobody holds the other end any more
            break
        if not piece:
            break
        rest += piece
    os.close(terminal)
    assert process.wait(30) == 130
    assert process.stderr.read() == b""
    process.stderr.close()
    assert rest.endswith(b"\n")


def test_who_reads_may_have_enough(run):
    process = start(run, "--length", 10**9, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.read(5)
    process.stdout.close()
    assert process.wait(30) != 0
    assert process.stderr.read() == b""
    process.stderr.close()
