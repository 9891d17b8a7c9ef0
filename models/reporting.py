"""What a training run tells while it goes: a progress bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from models.units import Unit

PLAIN_EVERY = 10.0
"""Seconds between two lines of progress where there is no terminal."""


class Reporter:
    """Tells of one training run.

    Parameters
    ----------
    console
        where to. On a terminal there is a bar that keeps its place below the lines; elsewhere
        (a file, a pipe) there are no control codes, and a line of progress every ten seconds.
    unit
        what to tell losses in.
    """

    def __init__(self, console: Console, unit: Unit) -> None:
        self.console, self.unit = console, unit
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(None),
            TextColumn("{task.fields[figures]}"),
            console=console,
            disable=not console.is_terminal,
            refresh_per_second=4,
            expand=True,
        )
        self._task = self._bar.add_task("starting", total=None, figures="")
        self._last_line = time.monotonic()
        self._total = 0

    @contextmanager
    def progress(self, total: int) -> Iterator[None]:
        """Within it, the bar of a run of `total` steps is shown."""
        self._total = total
        self._bar.update(self._task, total=total)
        with self._bar:
            yield
            self._bar.update(self._task, visible=False)

    def line(self, text: str = "", style: str = "") -> None:
        """Tell one line, as it is: markup and numbers in it mean nothing."""
        self.console.print(Text(text, style), soft_wrap=True, highlight=False)

    def doing(self, what: str) -> None:
        """Tell, on the bar, what goes on between two steps."""
        self._bar.update(self._task, description=what)

    def stepped(
        self, step: int, loss: float, tokens_per_second: float, seconds_left: float
    ) -> None:
        """Tell how far it is; `loss` in nats per token."""
        minutes, seconds = divmod(round(seconds_left), 60)
        figures = (
            f"loss {loss:.3f} · {self.unit.told(loss)} · {tokens_per_second:,.0f} tokens/s · "
            f"{minutes}:{seconds:02} left"
        )
        of = f"step {step:,}/{self._total:,}"
        self._bar.update(self._task, completed=step, description=of, figures=figures)
        now = time.monotonic()
        if not self.console.is_terminal and now - self._last_line >= PLAIN_EVERY:
            self._last_line = now
            self.line(f"{of} · {figures}")

    def evaluated(self, step: int, loss: float, seconds: float) -> None:
        """Tell the loss on the validation part, in nats per token."""
        took = f"   ({seconds:.0f} s)" if seconds >= 1 else ""
        told = f"validation loss {loss:.3f} · {self.unit.told(loss)}{took}"
        self.line(f"step {step:>6,}   {told}", "bold")

    def sample(self, title: str, text: str) -> None:
        """Show a text that the model has written."""
        self.line()
        self.line(f"── {title} " + "─" * max(0, 60 - len(title)), "cyan")
        self.line(printable(text))
        self.line("─" * 64, "cyan")


def printable(text: str) -> str:
    """`text` with all control characters but line ends and tabs replaced: a terminal obeys them."""
    return "".join(
        c if c.isprintable() or c in "\n\t" or (c.isspace() and ord(c) > 0x9F) else "\ufffd"
        for c in text
    )
