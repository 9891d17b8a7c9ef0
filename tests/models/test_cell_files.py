"""A cell of one's own, ``--cell FILE.py:MyCell``, in all commands."""

import re
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from minigrad.training import load_checkpoint, save_checkpoint
from models import load_run
from models.commands.cli import app
from models.runs.cell_files import load_cell

sys.path.insert(0, str(Path(__file__).parent))
from drawing_cell import DrawingCell
from kills import final, same

pytestmark = pytest.mark.host(reason="on a GPU the commands run in test_device_commands.py")

FILE = Path(__file__).parent / "drawing_cell.py"
OWN = f"{FILE}:DrawingCell"
OPTIONS = ["--hidden-size", 6, "--batch-size", 4, "--bptt", 8, "--embedding-size", 4]
OPTIONS += ["--samples", 0, "--schedule", "constant", "--eval-every", 4, "--layers", 2]
TEXT = "the quick brown fox jumps over the lazy dog\n" * 40


def call(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def succeeds(result):
    assert result.exit_code == 0, result.output
    return result


def fails(result, *told):
    """In one line, that has all of `told`."""
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("Error: ")
    for words in told:
        assert words in line, line
    return line


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def begin(text, out, *more, cell=OWN, steps=9):
    named = ["--cell", cell] if cell else []
    return call("train", "--text", text, "--out", out, *OPTIONS, *named, "--steps", steps, *more)


@pytest.fixture(scope="module")
def peace(text, tmp_path_factory):
    """A run, not to be changed."""
    out = tmp_path_factory.mktemp("peace") / "out"
    succeeds(begin(text, out))
    return out


@pytest.fixture
def run(peace, tmp_path):
    return shutil.copytree(peace, tmp_path / "run")


class TestTheSeed:
    @pytest.mark.parametrize("name", ["DrawingCell", "GivenCell"])
    def test_decides_all(self, text, tmp_path, name):
        for out, seed in (("a", 3), ("b", 3), ("c", 4)):
            result = succeeds(begin(text, tmp_path / out, "--seed", seed, cell=f"{FILE}:{name}"))
            assert "Warning" not in result.stderr
        (one, again, other) = (final(tmp_path / out) for out in "abc")
        assert same(one["checkpoint"]["trainer"], again["checkpoint"]["trainer"])
        assert same(one["checkpoint"]["model"]["weights"], again["checkpoint"]["model"]["weights"])
        assert one["records"] == again["records"] != other["records"]

    @pytest.mark.parametrize("name", ["DrawingCell", "GivenCell"])
    def test_and_a_run_goes_on_bit_for_bit(self, text, tmp_path, name):
        cell = f"{FILE}:{name}"
        succeeds(begin(text, tmp_path / "whole", cell=cell))
        succeeds(begin(text, tmp_path / "parts", cell=cell, steps=4))
        for steps in (7, 9):
            again = ["--resume", tmp_path / "parts", "--cell", cell, "--steps", steps]
            succeeds(call("train", *again))
        whole, parts = (final(tmp_path / out)["checkpoint"] for out in ("whole", "parts"))
        assert same(whole["trainer"], parts["trainer"])
        assert same(whole["model"]["weights"], parts["model"]["weights"])

    def test_a_run_that_had_saved_nothing_begins_anew(self, run, peace):
        for file in (*run.glob("checkpoint*"), run / "model.safetensors"):
            file.unlink()
        fails(call("train", "--resume", run), "only if the command names it")
        succeeds(call("train", "--resume", run, "--cell", OWN))
        assert same(final(run), final(peace))

    def test_a_cell_that_draws_elsewhere_is_told_of(self, text, tmp_path):
        result = succeeds(begin(text, tmp_path / "out", cell=f"{FILE}:NumPyCell"))
        assert "NumPyCell draws from elsewhere than the run" in result.stderr


COMMANDS = {
    "sample": (["sample", "--length", 9, "--greedy"], "sample {}"),
    "evaluate": (["evaluate"], "evaluate {}"),
    "resume": (["train", "--steps", 11, "--resume"], "train --resume {}"),
}


class TestEveryCommand:
    @pytest.mark.parametrize("name", COMMANDS)
    def test_takes_the_cell_that_it_is_given(self, run, name):
        result = succeeds(call(*COMMANDS[name][0], run, "--cell", OWN))
        assert "Warning" not in result.stderr

    def test_compare_needs_no_cell(self, run, text, tmp_path):
        succeeds(begin(text, tmp_path / "gru", cell="gru"))
        table = succeeds(call("compare", run, tmp_path / "gru")).stdout
        assert "drawing_cell.py:DrawingCell" in table

    def test_in_python(self, run):
        model = load_run(run, cell=DrawingCell).model
        saved = load_checkpoint(run / "model.safetensors")["weights"]
        assert model.state_dict().keys() == saved.keys()
        assert all(np.array_equal(saved[name], w) for name, w in model.state_dict().items())
        assert model.settings()["cell"] is DrawingCell
        with pytest.raises(ValueError, match=r"load: .*import DrawingCell, and write load_run\("):
            load_run(run)

    def test_one_hot_inputs_and_a_tied_output(self, text, tmp_path):
        succeeds(begin(text, tmp_path / "a", "--embedding-size", 0))
        assert load_run(tmp_path / "a", cell=DrawingCell).model.embedding is None
        succeeds(begin(text, tmp_path / "b", "--tied", "--init", "uniform", "--init-scale", 0.1))
        model = load_run(tmp_path / "b", cell=DrawingCell).model
        assert model.embedding.weight is model.output.weight


class TestStrangers:
    """The settings of a run may name a file; only a command may have it run."""

    @pytest.fixture
    def trap(self, tmp_path):
        """A file that leaves a trace if it is run."""
        path = tmp_path / "trap.py"
        path.write_text(f"open({str(tmp_path / 'sprung')!r}, 'w').close()\n{FILE.read_text()}")
        yield path
        assert not (tmp_path / "sprung").exists()

    @pytest.mark.parametrize("name", COMMANDS)
    @pytest.mark.parametrize("began_with_it", [True, False])
    def test_no_file_is_run_because_a_run_names_it(self, run, text, tmp_path, trap, name,
                                                   began_with_it):  # fmt: skip
        if not began_with_it:
            run = tmp_path / "gru"
            succeeds(begin(text, run, cell="gru"))
        config = run / "config.toml"
        written, times = re.subn(
            r"(?m)^cell = .*$", f"cell = '{trap}:DrawingCell'", config.read_text("utf-8")
        )
        assert times == 1
        config.write_text(written, "utf-8")
        before = {file: file.read_bytes() for file in run.iterdir()}
        arguments, command = COMMANDS[name]
        where = f"-m models {command.format(run)} --cell {trap}:DrawingCell"
        fails(call(*arguments, run), str(trap), "only if the command names it", where)
        with pytest.raises(ValueError, match="no Python file is run because a run names it"):
            load_run(run)
        assert {file: file.read_bytes() for file in run.iterdir()} == before
        succeeds(call("compare", run))
        command = ["train", "--config", config, "--out", tmp_path / "new"]
        fails(call(*command), f"-m models train --config {config} --out {tmp_path / 'new'} --cell")
        assert not (tmp_path / "new").exists()

    def test_the_cell_that_is_named_is_taken_wherever_it_is(self, run, tmp_path):
        moved = shutil.copy(FILE, tmp_path / "moved.py")
        succeeds(call("train", "--resume", run, "--steps", 11, "--cell", f"{moved}:DrawingCell"))
        assert f"{moved}:DrawingCell" in (run / "config.toml").read_text("utf-8")
        succeeds(call("train", "--resume", run, "--steps", 12, "--cell", OWN))

    @pytest.mark.parametrize("name", COMMANDS)
    def test_a_file_that_has_changed_is_told_of(self, run, tmp_path, name):
        changed = tmp_path / "changed.py"
        changed.write_text(FILE.read_text("utf-8") + "\n", "utf-8")
        result = succeeds(call(*COMMANDS[name][0], run, "--cell", f"{changed}:DrawingCell"))
        assert "changed.py' has been changed since the run began" in " ".join(result.stderr.split())

    @pytest.mark.parametrize("name", COMMANDS)
    def test_another_cell_is_refused(self, run, name):
        arguments = COMMANDS[name][0]
        fails(call(*arguments, run, "--cell", f"{FILE}:GivenCell"), "--cell")
        fails(call(*arguments, run, "--cell", "gru"), "--cell")

    def test_and_one_for_a_run_that_has_none(self, text, tmp_path):
        succeeds(begin(text, tmp_path / "gru", cell="gru"))
        told = "--cell {}: the cell of the run is GRU"
        fails(call("sample", tmp_path / "gru", "--cell", OWN), told.format(OWN))
        fails(call("train", "--resume", tmp_path / "gru", "--cell", OWN), "--cell")
        with pytest.raises(ValueError, match="cell is given, but that of the run is GRU"):
            load_run(tmp_path / "gru", cell=DrawingCell)

    def test_a_model_that_says_otherwise_than_its_settings(self, run, text, tmp_path):
        succeeds(begin(text, tmp_path / "gru", cell="gru"))
        path = tmp_path / "gru" / "model.safetensors"
        tree = load_checkpoint(path)
        tree["settings"]["cell"] = "own"
        save_checkpoint(path, tree)
        fails(call("sample", tmp_path / "gru"), "do not fit together", "has to be given")


CELL = """
import numpy as np
import minigrad as mg
from minigrad import nn

class Cell(nn.Module):
    def __init__(self, input_size, hidden_size):
        self.W = nn.Linear(input_size + hidden_size, hidden_size)

    def forward(self, x, h):
        h = mg.tanh(self.W(mg.concatenate([x, h], axis=-1)))
        return h, h

number = 3
def nothing(input_size, hidden_size):
    return np.zeros(3)

class Thin(nn.Module):
    def __init__(self, input_size):
        self.W = nn.Linear(input_size, input_size)

class Alone(Cell):
    def forward(self, x, h):
        return super().forward(x, h)[0]

class Narrow(Cell):
    def forward(self, x, h):
        h, _ = super().forward(x, h)
        return h, h[:, 1:]

class Misspelt(Cell):
    def forward(self, x, h):
        return mg.tanh(self.V(x)), h

class Late(Cell):
    calls = 0
    def forward(self, x, h):
        Late.calls += 1
        if Late.calls > 300:
            raise RuntimeError("enough\\nof this")
        return super().forward(x, h)

class OffTheTape(Cell):
    def forward(self, x, h):
        h = mg.tensor(super().forward(x, h)[0].numpy())
        return h, h

class Wide(Cell):
    def forward(self, x, h):
        h = super().forward(x, h)[0] * mg.tensor(np.ones(1))
        return h, h
"""


class TestErrors:
    @pytest.mark.parametrize(
        ("name", "told"),
        [
            ("Cell", ""),
            ("OffTheTape", "no gradient reaches cell_l0.W.weight, cell_l0.W.bias"),
            ("Wide", "Wide makes float64 of float32"),
        ],
    )
    def test_what_a_cell_should_not_do_is_told_of(self, text, tmp_path, name, told):
        (tmp_path / "cell.py").write_text(CELL)
        result = succeeds(begin(text, tmp_path / "out", cell=f"{tmp_path / 'cell.py'}:{name}"))
        assert ("Warning" in result.stderr) == bool(told)
        assert told in " ".join(result.stderr.split())

    def test_the_commands_say_what_to_write(self, run, text, tmp_path):
        fails(call("sample", run, "--cell", "DrawingCell"), "is given as FILE.py:DrawingCell")
        fails(call("sample", run, "--cell", FILE), "is DrawingCell; write --cell FILE.py:Drawing")
        succeeds(begin(text, tmp_path / "gru", cell="gru"))
        fails(call("sample", tmp_path / "gru", "--cell", OWN), "is GRU; leave out --cell")

    @pytest.mark.parametrize(
        ("name", "told"),
        [
            ("Sell", ["there is no Sell in", "is Cell meant?"]),
            ("number", ["number must be a class or function that makes cells", "not a int"]),
            ("nothing", ["cell must make an nn.Module", "a ndarray: float64 (3,)"]),
            ("Thin", ["Thin.__init__() takes 2 positional arguments but 3 were given"]),
            ("Alone", ["cell_l0 (Alone) must return (output, state)"]),
            ("Narrow", ["cell_l0 (Narrow) returned a Tensor of shape (4, 5) as its state"]),
            ("Misspelt", ["AttributeError in line 33", "has no attribute 'V'"]),
        ],
    )
    def test_what_is_no_cell(self, text, tmp_path, name, told):
        file = tmp_path / "cell.py"
        file.write_text(CELL)
        line = fails(begin(text, tmp_path / "out", cell=f"{file}:{name}"), f"{file}:{name}", *told)
        assert len(line) < 400
        assert sorted(path.name for path in tmp_path.iterdir()) == ["cell.py"]

    @pytest.mark.parametrize(
        ("content", "told"),
        [
            ("class Cell\n", "cell.py, line 1)"),
            ("\n\nimport not_there\n", "ModuleNotFoundError in line 3"),
            ("import sys\nsys.exit('bye')\n", "SystemExit in line 2"),
            ("x = 1 / 0\n", "ZeroDivisionError in line 1"),
            ("\0", "null bytes"),
            ("", "there is no Cell in"),
            ("Cell = 'gru'", "Cell must be a class or function that makes cells"),
        ],
    )
    def test_files_that_do_not_run(self, text, tmp_path, content, told):
        file = tmp_path / "cell.py"
        file.write_text(content)
        fails(begin(text, tmp_path / "out", cell=f"{file}:Cell"), told)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["cell.py"]

    @pytest.mark.parametrize("cell", ["nowhere.py:Cell", "lst", "cell.py", "cell.py:", ":Cell", ""])
    def test_names_of_nothing(self, text, tmp_path, cell):
        result = call("train", "--text", text, "--out", tmp_path / "out", "--cell", cell)
        told = "there is no file" if cell.startswith("nowhere") else "one of rnn, lstm, gru"
        fails(result, "--cell", told)
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            (["--weight-drop", 0.1], "weight_drop needs a W_hh"),
            (["--forget-bias", 1], "forget_bias is for an LSTM"),
        ],
    )
    def test_options_that_are_for_other_cells(self, text, tmp_path, options, told):
        fails(begin(text, tmp_path / "out", *options), told)
        assert not (tmp_path / "out").exists()

    def test_a_cell_that_fails_later(self, text, tmp_path):
        (tmp_path / "cell.py").write_text(CELL)
        result = begin(text, tmp_path / "out", cell=f"{tmp_path / 'cell.py'}:Late", steps=500)
        assert result.exit_code == 2
        error, advice = result.stderr.strip().splitlines()
        assert "RuntimeError in line 40" in error
        assert "enough of this" in error
        assert f"--resume {tmp_path / 'out'} --cell {tmp_path / 'cell.py'}:Late" in advice
        arguments = ["--cell", f"{tmp_path / 'cell.py'}:Late", "--length", 1000]
        (line,) = call("sample", tmp_path / "out", *arguments).stderr.strip().splitlines()
        assert "RuntimeError in line 40" in line


def test_the_commands_of_the_documentation(tmp_path, monkeypatch):
    """With its first class in the file; smaller, so that it takes less time."""
    page = (Path(__file__).parents[2] / "docs" / "cells.md").read_text("utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.S | re.M)
    (tmp_path / "mgu.py").write_text(next(block for block in blocks if "class MGUCell" in block))
    (commands,) = re.findall(r"^```console\n(.*?)^```", page, re.S | re.M)
    monkeypatch.chdir(tmp_path)
    smaller = ["--hidden-size", 8, "--batch-size", 2, "--bptt", 8, "--max-tokens", 2000]
    smaller += ["--valid-tokens", 300, "--split", "0.98,0.02", "--samples", 0]
    for command, more in zip(
        commands.splitlines(),
        (["--steps", 3, *smaller], [], [], ["--steps", 5]),
        strict=True,
    ):
        program, arguments = command.split(" -m models ")
        assert program == "$ python"
        succeeds(call(*shlex.split(arguments), *more))
    assert load_run("runs/mgu", "last", cell=load_cell("mgu.py:MGUCell").make).step == 5


def test_a_file_is_run_as_a_script_is(tmp_path):
    """What lies beside it can be imported, and nothing is left of that."""
    (tmp_path / "beside_the_cell.py").write_text("size = 5\n")
    (tmp_path / "cell.py").write_text("from beside_the_cell import size\ndef Cell(): return size")
    before = list(sys.path)
    assert load_cell(f"{tmp_path / 'cell.py'}:Cell").make() == 5
    assert sys.path == before
    del sys.modules["beside_the_cell"]
