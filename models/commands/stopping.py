"""How a command ends on Ctrl-C: at once and quietly."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from models.showing.output import say


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
