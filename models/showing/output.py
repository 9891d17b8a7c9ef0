"""What the commands print: all of it goes through here, and is seen by the terminal, not obeyed.

A name in a file, an answer of a server, a sample of a model may hold what moves the cursor or
clears the screen. `minigrad.files.printable` spells such characters out.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from typing import Any

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from minigrad.files import printable

LINES = "\n\t"
"""Control characters that a text of several lines is made of."""

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#5c5c5c")
"""Of runs side by side, told apart with any colour vision: Okabe and Ito's (2008), with grey for
their black and without their yellow."""


def say(text: str = "", style: str | None = None, *, err: bool = False, end: bool = True) -> None:
    """Print a text at once.

    Parameters
    ----------
    text
        what to print.
    style
        its colour on a terminal.
    err
        whether it goes to the standard error, not the standard output.
    end
        whether a line end follows.
    """
    file = sys.stderr if err else sys.stdout  # which typer would take for UTF-8 if it is ASCII
    typer.secho(printable(text, LINES), file=file, nl=end, fg=style)


def warn(text: str) -> None:
    """Tell of something that may be wrong."""
    say(f"Warning: {printable(text)}", "yellow", err=True)


def say_json(tree: Any, indent: int | None = None) -> None:
    """Print dicts, lists, texts and numbers as JSON, which has its own way to spell characters."""
    text = json.dumps(tree, ensure_ascii=False, indent=indent, default=str)
    if printable(text, LINES) != text or not _has_letters_of(text):
        text = json.dumps(tree, indent=indent, default=str)
    say(text)


def in_one_line(error: Exception) -> str:
    """What an error says, in one line."""
    if isinstance(error, MemoryError):
        return f"there is not enough memory: {error}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror + (f": {str(error.filename)!r}" if error.filename else "")
    # a message begins with the function that raises it, which means nothing here
    return re.sub(r"^[A-Za-z_]\w*(\.\w+)*: ", "", " ".join(str(error).split()))


def _has_letters_of(text: str) -> bool:
    """Whether the standard output has all letters of a text."""
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


class Terminal(Console):
    """A console of rich, for what is more than lines: tables, and displays that move the cursor."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """As a console does, with the texts in it made printable."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else printable(text, LINES), style, control)
