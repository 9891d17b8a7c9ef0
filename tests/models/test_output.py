"""All that the commands print goes through one place, and can be seen."""

import ast
from pathlib import Path

import pytest
from typer.testing import CliRunner

from models.commands.cli import app

pytestmark = pytest.mark.host(reason="nothing is computed")

EVIL = "\x1b[2J\x9b1m\u202e"
MODELS = Path(__file__).parents[2] / "models"


def call(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture
def evil(tmp_path):
    """A directory with such a name, whose settings have such names and values."""
    directory = tmp_path / f"a{EVIL}"
    directory.mkdir()
    (directory / "config.toml").write_text('level = "\\u001b[2J"\n"b\\u001b" = 1\n')
    return directory


@pytest.mark.parametrize(
    "arguments",
    [
        ["evaluate", "DIR"],
        ["sample", "DIR"],
        ["compare", "DIR"],
        ["train", "--resume", "DIR"],
        ["train", "--config", "DIR/config.toml", "--out", "DIR/out"],
        ["train", "--text", "DIR/none", "--out", "DIR/out"],
        ["train", "--recipe", EVIL, "--out", "DIR/out"],
        ["train", "--device", EVIL, "--out", "DIR/out"],
        ["recipes", EVIL],
        [EVIL],
        [f"--{EVIL}"],
        ["evaluate", f"--{EVIL}"],
        ["evaluate", "DIR", "--weights", EVIL],
        ["evaluate", "DIR", EVIL],
    ],
)
def test_what_is_wrong_is_told_in_what_can_be_seen(evil, arguments):
    result = call(*(a.replace("DIR", str(evil)) for a in arguments))
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.replace("\n", "").isprintable()
    assert r"\x1b" in result.stderr


@pytest.mark.parametrize("empty", ["", "  "])
@pytest.mark.parametrize(
    "arguments",
    [
        *[["train", "--out", "out", f"--{name}", ""] for name in ("text", "valid", "test", "glob")],
        ["train", "--out", ""],
        ["train", "--resume", ""],
        ["train", "--config", "", "--out", "out"],
        ["evaluate", ""],
        ["sample", ""],
        ["compare", ""],
        ["compare", "here", "--out", ""],
    ],
)
def test_an_empty_path_is_not_the_current_directory(tmp_path, monkeypatch, arguments, empty):
    monkeypatch.chdir(tmp_path)
    result = call(*(a or empty for a in arguments))
    assert result.exit_code == 2
    assert "must not be empty" in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("setting", ['text = ""', 'text = ["a", " "]', 'valid = ""', 'out = ""'])
def test_nor_is_it_in_a_file(tmp_path, monkeypatch, setting):
    monkeypatch.chdir(tmp_path)
    Path("config.toml").write_text(setting)
    out = [] if "out" in setting else ["--out", "out"]
    result = call("train", "--config", "config.toml", *out)
    assert result.exit_code == 2
    assert "must not be empty" in result.stderr or "--out DIR must say" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["config.toml"]


def test_nothing_else_prints():
    """In `models`, but for what the package is without; `Reporter` has a console handed to it."""
    for path in MODELS.rglob("*.py"):
        if path.name == "output.py":
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in {
                    *("print", "typer.echo", "typer.secho", "Console", "rich.print"),
                    *("sys.stdout.write", "sys.stderr.write"),
                }, f"{path}:{node.lineno}"
