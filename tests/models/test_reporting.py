import io
import json
import math
import os
import pty
import re
import select
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from models.measuring.units import UNITS
from models.showing.output import Terminal, say_json
from models.showing.reporter import PLAIN_EVERY, Now, Reporter

pytestmark = pytest.mark.host(reason="nothing is computed")

ROOT = Path(__file__).parents[2]
NOW = Now(
    step=12_345,
    total=40_000,
    epoch=3.086,
    epochs=10.0,
    fraction=0.308,
    loss=1.2345,
    grad_norm=12.34,
    grad_norm_clipped=5.0,
    lr=0.0015,
    tokens_per_second=25_300.4,
    memory=312_000_000,
    seconds_left=3723.0,
)
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b.")


def terminal(width=80, level="char", **options):
    """A reporter that writes to a terminal in memory."""
    file = io.StringIO()
    console = Console(
        **{"force_terminal": True, "color_system": "truecolor", "_environ": {}, **options},
        width=width, height=30, file=file, legacy_windows=False,
    )  # fmt: skip
    return Reporter(console, UNITS[level]), file


def piped(level="char", **environment):
    file = io.StringIO()
    console = Console(width=80, file=file, _environ=environment)
    return Reporter(console, UNITS[level]), file


def drawn(reporter, now):
    """The lines of the display."""
    reporter.stepped(now)
    return reporter._frame().plain.split("\n")


class TestDisplay:
    def test_shows_everything_in_80_columns(self):
        reporter, _ = terminal(80)
        reporter.best = 1.5
        bar, *figures = drawn(reporter, NOW)
        assert bar.startswith("step 12,345/40,000  ━")
        assert bar.endswith(" 31 %  1:02:03 left")
        assert len(figures) == 2
        words = " ".join(" ".join(figures).split())
        assert "loss 1.2345 bpc 1.781 gradient 12.3 → 5.00 tokens/s 25,300" in words
        assert "epoch 3.09/10 best valid 2.164 lr 0.0015 memory 312 MB" in words

    @pytest.mark.parametrize("level", ["char", "word"])
    @pytest.mark.parametrize("width", [1, 5, 20, 36, 60, 79, 80, 81, 120, 400])
    @pytest.mark.parametrize(
        "now",
        [
            NOW,
            NOW._replace(total=None, epochs=None, seconds_left=math.inf),
            NOW._replace(
                step=10**9, total=10**10, loss=1e300, grad_norm=1e300, lr=1e-12, memory=10**13,
                tokens_per_second=1e12, seconds_left=1e300, fraction=7.0, epoch=1e9,
            ),
            NOW._replace(loss=math.nan, grad_norm=math.nan, seconds_left=math.nan, fraction=-1.0),
            NOW._replace(fraction=math.nan, loss=0.0, grad_norm=0.0, grad_norm_clipped=0.0, lr=0.0),
        ],
    )  # fmt: skip
    def test_no_line_is_ever_broken(self, width, level, now):
        reporter, _ = terminal(width, level)
        with reporter.progress(now.total, 20.0):
            reporter.stepped(now)
        console = reporter.console
        lines = console.render_lines(reporter._frame(), console.options, pad=False)
        for line in lines:
            assert sum(cell_len(segment.text) for segment in line) <= width
        figures = reporter._frame().plain.split("\n")
        assert len(lines) == len(figures)
        if width >= 60 and now is NOW:
            assert all(cell_len(line) < width for line in figures)

    @pytest.mark.parametrize(("width", "rows"), [(80, 2), (120, 2), (60, 3), (45, 4), (30, 8)])
    def test_takes_as_many_columns_as_fit(self, width, rows):
        reporter, _ = terminal(width)
        assert len(drawn(reporter, NOW)) == 1 + rows

    def test_stands_still_while_digits_change(self):
        reporter, _ = terminal(80)
        one = drawn(reporter, NOW._replace(step=7, loss=0.5, grad_norm=0.3, grad_norm_clipped=0.3))
        other = drawn(reporter, NOW._replace(loss=9.5, grad_norm=1e5, tokens_per_second=9.0))
        for label in ("loss", "bpc", "gradient", "tokens/s", "epoch", "lr", "memory"):
            places = [[line.find(label) for line in lines] for lines in (one, other)]
            assert places[0] == places[1]
        assert [len(line) for line in one] == [len(line) for line in other]

    def test_before_the_first_step(self):
        reporter, _ = terminal()
        with reporter.progress(40_000, 20):
            assert reporter._frame().plain == "starting   40,000 steps or 20 min"
        with reporter.progress(None, 0.5):
            reporter.doing("evaluating")
            assert reporter._frame().plain == "evaluating   0.5 min"

    def test_an_evaluation_has_a_bar_of_its_own(self):
        reporter, _ = terminal()
        reporter.doing("evaluating", 0.25, math.inf)
        assert re.fullmatch("evaluating  ━+╸?━*   25 %        – left", reporter._frame().plain)
        reporter.stepped(NOW)
        reporter.doing("evaluating", 0.5, 61.0)
        (bar, *figures) = reporter._frame().plain.split("\n")
        assert re.fullmatch("evaluating          ━+╸?━*   50 %     1:01 left", bar)
        assert len(figures) == 2
        assert drawn(reporter, NOW)[0].endswith(" 31 %  1:02:03 left")
        narrow, _ = terminal(40)
        narrow.doing("evaluating", 0.5, 61.0)
        assert narrow._frame().plain == "evaluating  50 %  1:01 left"

    def test_what_goes_on_between_steps_ends_with_the_next(self):
        reporter, _ = terminal()
        reporter.stepped(NOW)
        reporter.doing("evaluating")
        assert reporter._frame().plain.startswith("evaluating          ━")
        assert drawn(reporter, NOW)[0].startswith("step 12,345")

    def test_a_norm_that_was_not_clipped_is_told_once(self):
        reporter, _ = terminal()
        lines = drawn(reporter, NOW._replace(grad_norm=0.25, grad_norm_clipped=0.25))
        assert re.search(r"gradient +0\.25 ", lines[1])

    def test_without_colours_the_bar_still_tells(self):
        reporter, _ = terminal(no_color=True)
        bar = drawn(reporter, NOW._replace(fraction=0.5))[0]
        assert re.search(r"━{10,}╸? {10,} ", bar)
        reporter, file = terminal(color_system="truecolor", _environ={"NO_COLOR": "1"})
        with reporter.progress(10, None):
            reporter.evaluated(1, 0.1, 1.0, 0.0, True)
            reporter.stepped(NOW)
        assert not re.search(r"\x1b\[[0-9;]*(3[0-7]|38|9[0-7])[0-9;]*m", file.getvalue())

    def test_lines_come_above_it_and_it_goes_in_the_end(self):
        reporter, file = terminal(80)
        with reporter.progress(40_000, None):
            reporter.stepped(NOW)
            reporter.line("경마장에 있는 말이 뛰고 있다. " * 5)
            reporter.evaluated(12_345, 3.09, 1.3, 2.0, True)
            print("from elsewhere")
        reporter.line("the end")
        assert screen(file.getvalue(), 80) == [
            "경마장에 있는 말이 뛰고 있다. 경마장에 있는 말이 뛰고 있다. 경마장에 있는 말이",
            "뛰고 있다. 경마장에 있는 말이 뛰고 있다. 경마장에 있는 말이 뛰고 있다.",
            "step  12,345  epoch  3.09  validation loss 1.3000  1.876 bpc  2 s  best",
            "from elsewhere",
            "the end",
        ]

    def test_is_drawn_as_it_runs(self):
        reporter, file = terminal()
        with reporter.progress(40_000, None):
            for step in range(1, 4):
                reporter.stepped(NOW._replace(step=step))
                end = time.monotonic() + 60
                while f"step      {step}/40,000" not in CONTROL.sub("", file.getvalue()):
                    assert time.monotonic() < end
                    time.sleep(0.02)

    def test_a_step_draws_nothing(self, monkeypatch):
        """It costs next to nothing: the display has a thread of its own, and a file few lines."""
        begun = threading.Event()

        def frame(self):
            assert not begun.is_set() or threading.current_thread() is not threading.main_thread()
            return ""

        monkeypatch.setattr(Reporter, "_frame", frame)
        monkeypatch.setattr(Reporter, "_plain", frame)
        for reporter, _ in (terminal(), piped()):
            with reporter.progress(40_000, None):
                begun.set()
                for _ in range(1000):
                    reporter.stepped(NOW)
                begun.clear()


class TestWithoutTerminal:
    def test_no_control_codes(self):
        reporter, file = piped("word")
        with reporter.progress(40_000, None):
            reporter.doing("evaluating")
            reporter.stepped(NOW)
            reporter.evaluated(12_345, 3.09, 4.6, 12.3, False)
            reporter.sample("a sample", "한글 \x1b[31m red")
            reporter.warn("look out")
        assert "\x1b" not in file.getvalue()
        assert "\r" not in file.getvalue()
        lines = file.getvalue().splitlines()
        assert (
            lines[0] == "step  12,345  epoch  3.09  validation loss 4.6000  perplexity 99.5  12 s"
        )
        assert lines[1:] == [
            "", "── a sample " + "─" * 52, r"한글 \x1b[31m red", "─" * 64, "Warning: look out",
        ]  # fmt: skip

    def test_a_line_now_and_then(self, monkeypatch):
        clock = [1000.0]
        monkeypatch.setattr("models.showing.reporter.time.monotonic", lambda: clock[0])
        reporter, file = piped()
        reporter.best = 1.5
        with reporter.progress(40_000, None):
            for step in range(1, 26):
                clock[0] += PLAIN_EVERY / 10
                reporter.stepped(NOW._replace(step=step))
            for percent in range(1, 11):
                clock[0] += PLAIN_EVERY / 10
                reporter.doing("evaluating", percent / 100, 100.0)
        lines = file.getvalue().splitlines()
        assert lines.pop() == "evaluating · 5 % · 1:40 left"
        assert [line.split("/")[0].split()[-1] for line in lines] == ["10", "20"]
        assert lines[0] == (
            "step     10/40,000 · loss 1.2345 · bpc 1.781 · gradient 12.3 → 5.00 · tokens/s 25,300 "
            "· epoch 3.09/10 · best valid 2.164 · lr 0.0015 · memory 312 MB · 1:02:03 left"
        )

    def test_forced_colours_in_a_file_bring_no_display(self, tmp_path):
        with (tmp_path / "log").open("w+") as file:
            console = Console(width=80, file=file, _environ={"FORCE_COLOR": "1"})
            reporter = Reporter(console, UNITS["char"])
            with reporter.progress(10, None):
                reporter.stepped(NOW)
                time.sleep(0.3)
                reporter.line("bold", "bold")
            file.seek(0)
            assert file.read() == "\x1b[1mbold\x1b[0m\n"

    def test_a_dumb_terminal_gets_lines(self):
        console = Console(
            force_terminal=True, width=80, file=io.StringIO(), _environ={"TERM": "dumb"}
        )
        reporter = Reporter(console, UNITS["char"])
        with reporter.progress(10, None):
            reporter.stepped(NOW)
        assert console.file.getvalue() == ""


class Broken(io.StringIO):
    """A file that takes so many writes, and then fails."""

    def __init__(self, writes, error):
        super().__init__()
        self.left, self.error = writes, error

    def write(self, text):
        if not self.left:
            raise self.error
        self.left -= 1
        return super().write(text)


class TestOutputThatIsGone:
    @pytest.mark.parametrize("writes", range(6))
    @pytest.mark.parametrize("force_terminal", [False, True])
    def test_the_run_goes_on(self, writes, force_terminal):
        file = Broken(writes, OSError(5, "Input/output error"))
        reporter = Reporter(
            Console(force_terminal=force_terminal, width=80, file=file, _environ={}), UNITS["char"]
        )
        done = 0
        with reporter.progress(10, None):
            for step in range(10):
                reporter.stepped(NOW._replace(step=step))
                reporter.line("a line")
                done += 1
        assert done == 10
        assert len(file.getvalue()) < 2000

    def test_a_closed_pipe(self):
        program = (
            "import sys, time\n"
            "from rich.console import Console\n"
            "from models.showing.reporter import Reporter\n"
            "from models.measuring.units import UNITS\n"
            "reporter = Reporter(Console(), UNITS['char'])\n"
            "with reporter.progress(10, None):\n"
            "    reporter.line('one')\n"
            "    sys.stdin.readline()\n"
            "    for i in range(1000): reporter.line('more')\n"
            "print('went on to the end', file=sys.stderr)\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", program], cwd=ROOT,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ) as process:  # fmt: skip
            assert process.stdout.readline() == b"one\n"
            process.stdout.close()
            process.stdin.write(b"\n")
            process.stdin.close()
            assert process.stderr.read() == b"went on to the end\n"


def test_on_a_real_terminal():
    """What a person sees in the end is what a plain printer would have left."""
    program = (
        "import time\n"
        "from rich.console import Console\n"
        "from models.showing.reporter import Now, Reporter\n"
        "from models.measuring.units import UNITS\n"
        "reporter = Reporter(Console(), UNITS['char'])\n"
        "with reporter.progress(30, None):\n"
        "    for step in range(30):\n"
        "        now = Now(step, 30, step / 10, 3., step / 30, 2., 3., 1., .1, 5., 7, 9.)\n"
        "        reporter.stepped(now)\n"
        "        time.sleep(.02)\n"
        "        if step % 10 == 0: reporter.evaluated(step, step / 10, 2. - step / 30, 0., True)\n"
        "reporter.line('말이 뛰고 있다')\n"
    )
    primary, secondary = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
    environment.pop("NO_COLOR", None)
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=secondary, stderr=secondary,
        env=environment,
    ) as process:  # fmt: skip
        os.close(secondary)
        output = b""
        while select.select([primary], [], [], 30)[0]:
            try:
                output += os.read(primary, 65536)
            except OSError:  # the other end is closed
                break
        assert process.wait(30) == 0
    os.close(primary)
    text = output.decode()
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1  # the cursor comes back
    assert "━" in text
    assert screen(text, 80) == [
        "step       0  epoch  0.00  validation loss 2.0000  2.885 bpc  best",
        "step      10  epoch  1.00  validation loss 1.6667  2.404 bpc  best",
        "step      20  epoch  2.00  validation loss 1.3333  1.924 bpc  best",
        "말이 뛰고 있다",
    ]


def test_remembers_the_best():
    reporter, file = piped()
    reporter.evaluated(1, 0.1, 3.0, 0.0, True)
    reporter.evaluated(2, 0.2, 4.0, 0.0, False)
    assert reporter.best == 3.0
    assert [line.endswith("  best") for line in file.getvalue().splitlines()] == [True, False]


def test_markup_means_nothing():
    reporter, file = piped()
    reporter.line("[bold]not bold[/bold] 'text' 123 [/]")
    assert file.getvalue() == "[bold]not bold[/bold] 'text' 123 [/]\n"


def test_what_a_table_or_a_display_holds_is_printable():
    file = io.StringIO()
    console = Terminal(width=60, file=file, _environ={})
    table = Table("한\x1b[2J", box=None)
    table.add_row(Text("a\x9b1mb\u202e", "bold"))
    console.print(table)
    assert file.getvalue().replace("\n", "").isprintable()


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_json_comes_back_as_it_was(encoding, monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written, encoding=encoding))
    tree = {"말\x1b[2J": ["\u202e\ud800\x7f", "한글\n😀"], "plain": 1.5}
    say_json(tree)
    say_json({"말": "글"})
    lines = written.getvalue().decode(encoding).splitlines()
    assert [json.loads(line) for line in lines] == [tree, {"말": "글"}]
    assert all(line.isprintable() for line in lines)
    assert ("말" in lines[1]) == (encoding == "utf-8")


def screen(output, width):
    """The lines that a terminal shows after `output`, by the few codes that rich uses."""
    lines, row, column = [""], 0, 0
    for token in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b.|[^\x1b]", output):
        if token == "\n":
            row, column = row + 1, 0 if "\r\n" not in output else column
        elif token == "\r":
            column = 0
        elif re.fullmatch(r"\x1b\[\d*A", token):
            row -= int(token[2:-1] or 1)
        elif token == "\x1b[2K":
            lines[row] = ""
        elif not token.startswith("\x1b"):
            if column + cell_len(token) > width:
                row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
            assert cell_len(lines[row]) <= column or lines[row].endswith(token), "overwritten"
            lines[row] += token
            column += cell_len(token)
        lines += [""] * (row + 1 - len(lines))
    return "\n".join(line.rstrip() for line in lines).rstrip().split("\n")
