"""How a command ends early: with what went wrong in one line, or on Ctrl-C, without a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from models.runs.cell_files import in_cell
from models.showing.output import in_one_line, say

BAD_INPUT = (OSError, ValueError, ModuleNotFoundError, MemoryError)


@contextmanager
def told_in_one_line(kinds: tuple[type[Exception], ...] = BAD_INPUT) -> Iterator[None]:
    """Within it, an error of one of `kinds` is told in one line, and ends the program."""
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
    """What an error says, in one line; for one in a cell of one's own, also where it is."""
    return " ".join(in_cell(error).split()) or in_one_line(error)


@contextmanager
def ended_by_ctrl_c(err: bool = True) -> Iterator[None]:
    """Within it, Ctrl-C ends the line on the terminal, and the program with code 130.

    Parameters
    ----------
    err
        whether it is a line of the standard error; else it is one of the standard output.
    """
    try:
        yield
    except KeyboardInterrupt:
        say(err=err)
        raise typer.Exit(130) from None
