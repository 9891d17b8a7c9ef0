"""How a command tells what went wrong: in one line, without a traceback."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from models.runs.cell_files import in_cell
from models.showing.output import say

BAD_INPUT = (OSError, ValueError, ModuleNotFoundError, MemoryError)


@contextmanager
def told_in_one_line(kinds: tuple[type[Exception], ...] = BAD_INPUT) -> Iterator[None]:
    """Within it, an error of one of `kinds` is told in a line, and ends the program."""
    try:
        yield
    except BrokenPipeError:  # whoever reads the output has enough of it
        raise
    except Exception as error:
        if not isinstance(error, kinds) and not in_cell(error):
            raise
        say(f"Error: {message(error)}", "red", err=True)
        raise typer.Exit(2) from error


def message(error: Exception) -> str:
    """What `error` says, in one line; of one in a cell of one's own also where it is."""
    if told := in_cell(error):
        return " ".join(told.split())
    if isinstance(error, MemoryError):
        return f"there is not enough memory: {error}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror + (f": {str(error.filename)!r}" if error.filename else "")
    # a message begins with the function that raises it, which means nothing here
    return re.sub(r"^[A-Za-z_]\w*(\.\w+)*: ", "", " ".join(str(error).split()))
