"""What the commands print: all of it goes through here, without control characters.

A name in a file, an answer of a server or a sample of a model may hold characters that move the
cursor or clear the screen. `minigrad.files.printable` spells them out.
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
"""Control characters that a text of several lines may have."""


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
    file = sys.stderr if err else sys.stdout  # given to typer, or it would take ASCII for UTF-8
    typer.secho(printable(text, LINES), file=file, nl=end, fg=style)


def warn(text: str) -> None:
    """Print a warning."""
    say(f"Warning: {printable(text)}", "yellow", err=True)


def say_json(tree: Any, indent: int | None = None) -> None:
    """Print dicts, lists, texts and numbers as JSON; it spells out control characters itself."""
    text = json.dumps(tree, ensure_ascii=False, indent=indent, default=str)
    if printable(text, LINES) != text or not _has_letters_of(text):
        text = json.dumps(tree, indent=indent, default=str)
    say(text)


def in_one_line(error: BaseException) -> str:
    """What an error says, in one line."""
    if isinstance(error, MemoryError):
        return f"there is not enough memory: {error}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror + (f": {str(error.filename)!r}" if error.filename else "")
    # the name of the function that raises it, at the beginning, means nothing to a user
    return re.sub(r"^[A-Za-z_]\w*(\.\w+)*: ", "", " ".join(str(error).split()))


def _has_letters_of(text: str) -> bool:
    """Whether the standard output can show all letters of a text."""
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


class Terminal(Console):
    """A console of rich, for tables, and for displays that move the cursor."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """As `Console.render`, with printable texts."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else printable(text, LINES), style, control)
