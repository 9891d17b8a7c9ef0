"""What a training run tells while it goes: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, NamedTuple, cast

from rich.cells import cell_len
from rich.console import Console
from rich.live import Live
from rich.text import Text

from minigrad.files import discard, printable
from models.measuring.units import Unit
from models.showing.output import LINES

PLAIN_EVERY = 10.0
"""Seconds between two lines of progress where there is no terminal."""

FRAMES_PER_SECOND = 4
"""How often the display is drawn, however many steps are taken meanwhile."""

WIDEST = 100
"""The most columns of the display: a wider one is hard to see at a glance."""

LEAST = {"loss": 6, "gradient": 12}
"""Columns for a value (8 for others), so that the display stands still while digits change."""


class Now(NamedTuple):
    """How a run stands after a step."""

    step: int
    """Steps taken."""

    total: int | None
    """Steps in all; None if the time decides."""

    epoch: float
    """How often the text has been gone through."""

    epochs: float | None
    """How often that will be in the end; None if it is not known."""

    fraction: float
    """How much of the run is done, 0 to 1."""

    loss: float
    """Of this step, in nats per token."""

    grad_norm: float
    """Norm of all gradients together, before clipping."""

    grad_norm_clipped: float
    """The same after clipping."""

    lr: float
    """Learning rate."""

    tokens_per_second: float
    """Speed at present."""

    memory: int
    """Bytes that the process holds; on a GPU, those of its memory."""

    seconds_left: float
    """How long the rest will take; infinity or NaN if it is not known yet."""


class Reporter:
    """Tells of one training run.

    No trouble with the output stops a run: if the terminal is gone, the pipe is closed or the disk
    of a log file is full, what can't be written is dropped.

    Parameters
    ----------
    console
        where to write. On a terminal a display stays below the lines. Elsewhere (a file, a pipe, a
        terminal that can't move its cursor) there are no control codes, but a line of progress
        every ten seconds.
    unit
        the unit of the losses.

    Attributes
    ----------
    best : float | None
        the best loss in validation so far; set it when a run goes on.
    """

    def __init__(self, console: Console, unit: Unit) -> None:
        self.console, self.unit = console, unit
        self.best: float | None = None
        console.file = cast("IO[str]", _Unfailing(console.file))
        self._live = _moves_its_cursor(console)
        self._now: Now | None = None
        self._doing, self._done, self._left, self._goal = "", 0.0, math.inf, ""
        self._next_line = math.inf

    @contextmanager
    def progress(self, total_steps: int | None, minutes: float | None) -> Iterator[None]:
        """Within it, the display is shown, of a run of so many steps or minutes."""
        goal = [f"{total_steps:,} steps"] if total_steps is not None else []
        self._goal = " or ".join(goal + ([f"{minutes:g} min"] if minutes is not None else []))
        self._next_line = time.monotonic() + PLAIN_EVERY
        if not self._live:
            yield
            return
        display = Live(
            get_renderable=self._frame,
            console=self.console,
            refresh_per_second=FRAMES_PER_SECOND,
            transient=True,
            vertical_overflow="crop",
        )
        with display:
            yield

    def stepped(self, now: Now) -> None:
        """Note how the run stands. It is cheap: call it after each step."""
        self._now, self._doing, self._done, self._left = now, "", 0.0, now.seconds_left
        if self._is_time():
            self.line(self._plain(now))

    def doing(self, what: str, done: float = 0.0, seconds_left: float | None = None) -> None:
        """Tell what goes on until the next step.

        Parameters
        ----------
        what
            what it is.
        done
            how much of it is done, 0 to 1: the bar shows that.
        seconds_left
            how long it and the rest of the run will take; None: as told before.
        """
        self._doing, self._done = what, done
        if seconds_left is not None:
            self._left = seconds_left
        if done and self._is_time():
            self.line(f"{what} · {100 * done:.0f} % · {_left(self._left)}")

    def _is_time(self) -> bool:
        """Whether there is no display, and a line of progress is due."""
        if self._live or time.monotonic() < self._next_line:
            return False
        self._next_line = time.monotonic() + PLAIN_EVERY
        return True

    def line(self, text: str = "", style: str = "") -> None:
        """Print one line as it is: markup and control characters in it have no effect."""
        self.console.print(Text(printable(text, LINES), style), soft_wrap=True, highlight=False)

    def warn(self, text: str) -> None:
        """Print a warning."""
        self.line(f"Warning: {printable(text)}", "yellow")

    def evaluated(
        self, step: int, epoch: float, loss: float, seconds: float, best: bool, more: str = ""
    ) -> None:
        """Print a loss in validation, in nats.

        Parameters
        ----------
        step, epoch
            when it was measured.
        seconds
            how long that took.
        best
            whether the validation is the best so far.
        more
            what else there is to tell of it.
        """
        if best:
            self.best = loss
        told = f"step {step:>7,}  epoch {epoch:5.2f}  validation loss {_loss(loss)}"
        told += f"  {self.unit.told(loss)}" + (f"  {more}" if more else "")
        told += f"  {seconds:.0f} s" if seconds >= 1 else ""
        self.line(told + ("  best" if best else ""), "bold" if best else "")

    def sample(self, title: str, text: str) -> None:
        """Show a text that the model has written."""
        width = min(64, self.console.width)
        self.line()
        self.line(f"── {title} " + "─" * (width - 4 - cell_len(title)), "cyan")
        self.line(text)
        self.line("─" * width, "cyan")

    # ------------------------------------------------------------------ drawing

    def _plain(self, now: Now) -> str:
        """How the run stands, in one line."""
        figures = [f"{label} {value}" for label, value in self._figures(now) if value]
        return " · ".join([_steps(now), *figures, _left(now.seconds_left)])

    def _figures(self, now: Now) -> list[tuple[str, str]]:
        """The labels and values of the display; a value is empty if there is none yet."""
        unit = self.unit
        gradient = _norm(now.grad_norm)
        if now.grad_norm_clipped != now.grad_norm:
            gradient += f" → {_norm(now.grad_norm_clipped)}"
        of = "" if now.epochs is None else f"/{round(now.epochs, 1):g}"
        return [
            ("loss", _loss(now.loss)),
            (unit.short, _value(unit, now.loss)),
            ("gradient", gradient),
            ("tokens/s", f"{now.tokens_per_second:,.0f}"),
            ("epoch", f"{now.epoch:.2f}{of}"),
            ("best valid", "" if self.best is None else _value(unit, self.best)),
            ("lr", f"{now.lr:.3g}"),
            ("memory", _bytes(now.memory)),
        ]

    def _frame(self) -> Text:
        """The display: a bar, and the figures in as many columns as fit."""
        width = max(1, min(self.console.width - 1, WIDEST))
        frame = Text(no_wrap=True, overflow="crop", end="")
        now = self._now
        if now is None and not self._done:
            return frame.append(f"{self._doing or 'starting'}   ", "bold").append(self._goal, "dim")
        self._append_bar(frame, width)
        if now is None:
            return frame
        figures = [(label, value or "–") for label, value in self._figures(now)]
        needs = [
            max(len(label) + 1 + max(LEAST.get(label, 8), len(value)) for label, value in column)
            for columns in (4, 3, 2, 1)
            for column in (figures[i::columns] for i in range(columns))
        ]
        for columns, widths in ((4, needs[:4]), (3, needs[4:7]), (2, needs[7:9]), (1, needs[9:])):
            if columns == 1 or sum(widths) + 2 * (columns - 1) <= width:
                break
        gap = " " * min(6, max(0, width - sum(widths)) // max(1, columns - 1))
        for i, (label, value) in enumerate(figures):
            frame.append("\n" if i % columns == 0 else gap)
            frame.append(label, "dim")
            room = widths[i % columns] - len(label)
            frame.append(f"{value:>{room}}", "bold" if i < 2 else "")
        return frame

    def _append_bar(self, frame: Text, width: int) -> None:
        """The first line: the step, or what else goes on; how much is done; the time left."""
        steps = "" if self._now is None else _steps(self._now)
        fraction = self._now.fraction if self._now is not None and not self._done else self._done
        fraction = min(1.0, max(0.0, fraction)) if math.isfinite(fraction) else 0.0
        end = f"  {100 * fraction:3.0f} %  {_left(self._left):>12}"
        frame.append(f"{self._doing or steps:{len(steps)}}  ", "bold")
        room = width - len(frame) - len(end)
        if room < 8:
            frame.append(f"{100 * fraction:.0f} %  " if self._done else "")
            frame.append(_left(self._left))
            return
        console = self.console
        full, half, empty = "━", "╸", "━"
        if console.options.ascii_only:
            full, half, empty = "#", "", "-"
        elif console.no_color or console.color_system is None:
            empty = " "
        done, more = divmod(round(2 * room * fraction), 2)
        bar = full * done + half * more
        frame.append(bar, "cyan").append(empty * (room - len(bar)), "bright_black").append(end)


class _Unfailing:
    """A file that takes what it can, and never fails.

    The console, the display and all that is printed meanwhile go through it, some from a thread.
    """

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, text: str) -> int:
        with self._dropping():
            self._file.write(text)
        return len(text)

    def flush(self) -> None:
        with self._dropping():
            self._file.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    @contextmanager
    def _dropping(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:  # for good: Python would complain again at the end
            discard(self._file)
        except OSError:  # a full disk may have room again later
            pass


def _moves_its_cursor(console: Console) -> bool:
    """Whether a display can be drawn: a pipe is no terminal, even if colours are forced."""
    if not console.is_interactive:
        return False
    try:
        return os.isatty(console.file.fileno())
    except (AttributeError, OSError, ValueError):  # a file in memory: its console says what it is
        return True


def _steps(now: Now) -> str:
    """``"step 1,200/40,000"``, always as wide as at the end."""
    if now.total is None:
        return f"step {now.step:,}"
    total = f"{now.total:,}"
    return f"step {now.step:>{len(total)},}/{total}"


def _value(unit: Unit, nats: float) -> str:
    """A loss in nats as a number alone, in `unit`."""
    return unit.told(nats).replace(unit.short, "").strip()


def _loss(nats: float) -> str:
    return f"{nats:.4f}" if abs(nats) < 1e4 else f"{nats:.1e}"


def _norm(norm: float) -> str:
    """The norm of a gradient, in at most five columns unless it is tiny or huge."""
    if norm >= 1e4:
        return f"{norm:.0e}"
    if 0 < norm < 0.01:
        return f"{norm:.1e}"
    return f"{norm:.{2 if norm < 10 else 1 if norm < 100 else 0}f}"


def _bytes(number: float) -> str:
    """``"312 MB"``, ``"1.24 GB"``."""
    return f"{number / 1e6:,.0f} MB" if number < 1e9 else f"{number / 1e9:.2f} GB"


def _left(seconds: float) -> str:
    """``"1:02:03 left"``; with a dash if it is not known."""
    if not 0 <= seconds < 1e9:
        return "– left"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    clock = f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
    return f"{clock} left"
