import io
import json
import math
import re

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from minigrad.training import MetricsLog, save_checkpoint
from models.commands import compare as module
from models.commands.compare import compare, differences, summary
from models.showing.output import Terminal

pytestmark = pytest.mark.host(reason="nothing is computed")

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(compare)


def call(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def fails(result, message):
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.strip().splitlines()
    assert re.fullmatch(f"Error: .*{message}.*", line), line


def make(directory, *, loss=1.0, steps=30, config="", test=None):
    """A run directory with records of training every step, and validations every ten."""
    directory.mkdir(parents=True)
    (directory / "config.toml").write_text(f'level = "char"\nseed = 0\n{config}', encoding="utf-8")
    log = MetricsLog(directory / "metrics.jsonl")
    for step in range(steps + 1):
        now, nats = {"step": step, "epoch": step / 10, "seconds": 2.0 * step}, loss + 5 / (step + 1)
        if step:
            log.write({
                **now, "split": "train", "loss": nats, "tokens": 64 * step,
                "tokens_per_second": 100 + step,
            })  # fmt: skip
        if step % 10 == 0:
            log.write({**now, "split": "valid", "loss": nats + 0.1 * (step == 30)})
    if test is not None:
        log.write({**now, "split": "test", "loss": test})
    return directory


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Two runs, in the current directory."""
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "runs" / "lstm", config='cell = "lstm"\nlr = 0.002\n', test=1.25)
    make(tmp_path / "runs" / "gru", loss=1.5, config='cell = "gru"\nlr = 0.002\ntied = true\n')
    return tmp_path / "runs"


def table(output):
    """The rows of the table, as dicts by its headings."""
    headings, *rows = [re.split(r"  +", line.strip()) for line in output.splitlines()[:-1]]
    assert all(len(row) == len(headings) for row in rows)
    return [dict(zip(headings, row, strict=True)) for row in rows]


class TestTable:
    def test_one_line_each(self, runs):
        result = call("runs/lstm", "runs/gru")
        assert result.exit_code == 0, result.output
        lstm, gru = table(result.stdout)
        assert lstm == {
            "run": "lstm", "cell": "lstm", "tied": "–", "parameters": "–", "steps": "30",
            "epochs": "3.00", "time": "0:01:00", "tokens/s": "116", "train bpc": "1.675",
            "best valid bpc": "1.786", "at step": "20", "test bpc": "1.803",
        }  # fmt: skip
        assert (gru["run"], gru["cell"], gru["tied"], gru["test bpc"]) == ("gru", "gru", "yes", "–")
        assert result.stdout.splitlines()[-1] == "--out FILE.png draws the losses"
        assert sorted(path.name for path in runs.parent.iterdir()) == ["runs"]

    def test_a_setting_and_a_result_of_one_name(self, runs):
        make(runs / "long", config='cell = "lstm"\nlr = 0.002\nsteps = 40\n')
        assert [
            (row["--steps"], row["steps"]) for row in table(call("runs/lstm", "runs/long").stdout)
        ] == [("–", "30"), ("40", "30")]

    def test_a_picture_on_demand(self, runs):
        result = call("runs/lstm", "runs/gru", "--out", "both.png")
        assert result.stdout.splitlines()[-1] == "picture: both.png"
        with Image.open("both.png") as image:
            assert image.size == (1500, 900)

    def test_words_that_are_mostly_unknown_are_told(self, runs):
        for name, unknown in (("lstm", 0.21), ("gru", 0.2)):
            MetricsLog(runs / name / "metrics.jsonl").write(
                {"step": 31, "split": "valid", "loss": 1.0, "unk": unknown}
            )
        notes = call("runs/lstm", "runs/gru").stdout.splitlines()[-2:]
        assert notes[0].startswith("lstm: 21% of the tokens to predict are <unk>")
        assert not notes[1].startswith("gru")

    def test_without_a_terminal_nothing_is_cut_off_or_coloured(self, runs):
        for number in range(8):
            names = "\n".join(f"option_{i} = {i * number}" for i in range(40))
            make(runs / f"run-{number}-{'x' * 60}", config=names)
        result = call(*sorted(runs.iterdir()))
        rows = table(result.stdout)
        assert len(rows) == 10
        assert rows[-1]["run"] == f"run-7-{'x' * 60}"
        assert rows[-1]["option 39"] == "273"
        assert "\x1b" not in result.stdout
        assert "…" not in result.stdout

    def test_only_settings_that_differ(self):
        settings = [{"a": 1, "b": 2, "c": [1]}, {"a": 1, "b": 3, "c": [1]}, {"a": 1, "d": None}]
        assert differences(settings) == ["b", "c"]
        assert differences(settings[:1]) == []

    def test_different_tokens_are_told_in_their_own_units(self, runs):
        make(runs / "words")
        (runs / "words" / "config.toml").write_text('level = "word"\n')
        rows = table(call("runs/lstm", "runs/words").stdout)
        assert [row["best valid"] for row in rows] == ["1.786 bpc", "perplexity 3.4"]

    @pytest.mark.parametrize(("width", "turned"), [(60, True), (200, False)])
    def test_on_a_terminal(self, runs, monkeypatch, width, turned):
        file = io.StringIO()
        console = Terminal(force_terminal=True, width=width, file=file, _environ={})
        monkeypatch.setattr(module, "Terminal", lambda: console)
        assert call("runs/lstm", "runs/gru").exit_code == 0
        lines = re.sub(r"\x1b\[[0-9;]*m", "", file.getvalue()).splitlines()
        assert all(len(line) <= width for line in lines)
        words = [line.split() for line in lines]
        if turned:
            assert ["run", "lstm", "gru"] in words
            assert ["best", "valid", "bpc", "1.786", "2.508"] in words
        else:
            assert ["lstm", "lstm", "–"] in [line[:3] for line in words]

    def test_names_that_are_the_same_are_told_with_their_paths(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        make(tmp_path / "a" / "run")
        make(tmp_path / "b" / "run")
        rows = table(call("a/run", "b/run").stdout)
        assert [row["run"] for row in rows] == ["a/run", "b/run"]

    def test_one_directory_twice_is_one_run(self, runs):
        assert len(table(call("runs/lstm", "runs/gru", "runs/../runs/lstm").stdout)) == 2

    def test_control_characters_in_names_are_spelled_out(self, tmp_path):
        directory = make(tmp_path / "a\x1b[31m\nb")
        told = call(directory, "--out", tmp_path / "c\x1b.png").stdout
        assert "\x1b" not in told
        assert r"a\x1b[31m\nb" in told
        assert r"c\x1b.png" in told

    def test_parameters_come_from_the_weights(self, runs):
        weights = {"embedding.weight": np.zeros((100, 7)), "bias": np.zeros(3)}
        save_checkpoint(runs / "gru" / "model.safetensors", {"weights": weights, "step": 3})
        rows = table(call("runs/lstm", "runs/gru").stdout)
        assert [row["parameters"] for row in rows] == ["–", "703"]


class TestJson:
    def test_everything(self, runs):
        result = call("runs/lstm", "runs/gru", "--json")
        lstm, gru = json.loads(result.stdout)
        assert lstm["directory"] == "runs/lstm"
        assert lstm["settings"] == {"level": "char", "seed": 0, "cell": "lstm", "lr": 0.002}
        assert lstm["unit"] == "bits per character"
        assert lstm["best_valid_loss"] == pytest.approx(1 + 5 / 21)
        assert (lstm["best_valid_step"], lstm["test_loss"], lstm["steps"]) == (20, 1.25, 30)
        assert gru["test_loss"] is None

    def test_dates_in_a_configuration(self, tmp_path):
        directory = make(tmp_path / "a", config="begun = 2024-05-01\n")
        (run,) = json.loads(call(directory, "--json").stdout)
        assert run["settings"]["begun"] == "2024-05-01"


class TestRunsThatGoOn:
    def test_an_unfinished_last_line_is_passed_over(self, runs):
        with (runs / "gru" / "metrics.jsonl").open("a") as file:
            file.write('{"step": 31, "sp')
        assert table(call("runs/lstm", "runs/gru").stdout)[1]["steps"] == "30"

    def test_no_records_yet(self, runs):
        new = make(runs / "new")
        for content in (None, b"", b'{"step": 1'):
            (new / "metrics.jsonl").unlink(missing_ok=True)
            if content is not None:
                (new / "metrics.jsonl").write_bytes(content)
            row = table(call("runs/lstm", "runs/new").stdout)[1]
            assert (row["steps"], row["time"], row["best valid bpc"]) == ("0", "–", "–")

    def test_a_loss_that_blew_up_is_not_the_best(self, runs):
        with (runs / "gru" / "metrics.jsonl").open("a") as file:
            file.write('{"step": 31, "split": "valid", "loss": NaN}\n')
            file.write('{"step": 32, "split": "valid", "loss": -Infinity}\n')
        run = summary(runs / "gru", "gru")
        assert math.isfinite(run.best_valid_loss)
        assert call("runs/gru").exit_code == 0


class TestErrors:
    @pytest.fixture(autouse=True)
    def _nothing_is_drawn(self, runs):
        self.runs = runs
        yield
        assert not list(runs.parent.glob("*.png"))

    def test_a_missing_directory(self):
        fails(call("runs/lstm", "runs/nowhere", "runs/gru"), "no directory 'runs/nowhere'")

    def test_a_file(self):
        fails(call("runs/lstm", "runs/gru/config.toml"), "no directory 'runs/gru/config.toml'")

    def test_a_foreign_directory(self):
        fails(call("runs/lstm", "runs"), "'runs' holds no run: it has no config.toml")

    @pytest.mark.parametrize(
        ("config", "message"),
        [
            ("level = ", "'runs/gru/config.toml' is not TOML"),
            ("seed = 1", "'runs/gru/config.toml' is not of a run: its level is None"),
            ("level = ['char']", "is not of a run: its level is"),
            ("level = 'letters'", "its level is 'letters'"),
        ],
    )
    def test_a_foreign_configuration(self, config, message):
        (self.runs / "gru" / "config.toml").write_text(config)
        fails(call("runs/lstm", "runs/gru"), message)

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("no json", "line 35 of 'runs/gru/metrics.jsonl' is no record"),
            ("[1]", "line 35 of 'runs/gru/metrics.jsonl' is no record"),
            ('{"step": 1}', "line 35 of .* is no record: its split is None"),
            ('{"step": 1.5, "split": "valid", "loss": 1}', "its step is 1.5"),
            ('{"step": 1, "split": "valid", "loss": "low"}', "its loss is 'low'"),
        ],
    )
    def test_foreign_metrics(self, line, message):
        with (self.runs / "gru" / "metrics.jsonl").open("a") as file:
            file.write(line + "\n")
        fails(call("runs/lstm", "runs/gru"), message)

    def test_damaged_weights(self):
        (self.runs / "gru" / "model.safetensors").write_bytes(b"nothing of the kind")
        fails(call("runs/lstm", "runs/gru"), "'runs/gru/model.safetensors' is damaged")

    def test_nothing_but_a_picture_is_replaced(self):
        metrics = self.runs / "lstm" / "metrics.jsonl"
        before = metrics.read_bytes()
        fails(call("runs/lstm", "--out", metrics), r"--out must end in \.png")
        (self.runs / "notes.png").write_text("not a picture")
        fails(call("runs/lstm", "--out", "runs/notes.png"), "is no picture, and is left as it is")
        fails(call("runs/lstm", "--out", "nowhere/a.png"), "no directory 'nowhere' for the picture")
        assert (self.runs / "notes.png").read_text() == "not a picture"
        assert metrics.read_bytes() == before

    def test_an_axis_that_no_record_has(self):
        records = '{"step": 1, "split": "valid", "loss": 1.0}\n'
        (self.runs / "gru" / "metrics.jsonl").write_text(records)
        arguments = ["runs/lstm", "runs/gru", "--x", "tokens"]
        fails(call(*arguments, "--out", "a.png"), "no record of run 'gru' has 'tokens'")
        fails(call(*arguments), "--x tokens is for the picture, which needs --out")

    def test_no_directory_at_all(self):
        assert call().exit_code == 2


@pytest.mark.parametrize("x", ["step", "epoch", "seconds", "tokens"])
def test_a_picture_is_replaced_by_the_next(runs, x):
    first = call("runs/lstm", "--out", "both.png")
    assert first.exit_code == 0
    content = (runs.parent / "both.png").read_bytes()
    assert call("runs/lstm", "runs/gru", "--out", "both.png", "--x", x).exit_code == 0
    assert (runs.parent / "both.png").read_bytes() != content
