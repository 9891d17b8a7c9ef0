"""A program that a person calls, and what becomes of it where its output can't be written."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import IO, TextIO

from minigrad.files import printable


@contextmanager
def program() -> Iterator[None]:
    """Around all that a program does: trouble with its output is a line at most, no traceback.

    Letters that the terminal has not got come out as ``?``. If whoever reads the output has enough
    of it (``| head``), the program ends quietly; if a file can't be read or written, the output
    among them, with a line on the standard error. Its exit status is 1 then.
    """
    sys.stdout, sys.stderr = _usable(sys.stdout), _usable(sys.stderr)
    try:
        try:
            yield
        except SystemExit as end:
            if end.code:  # what is wrong has been told
                raise
        sys.stdout.flush()
    except BrokenPipeError:
        raise SystemExit(1) from None
    except OSError as error:
        with suppress(OSError):
            print(f"Error: {printable(error)}", file=sys.stderr)
        raise SystemExit(1) from None
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):  # Python would complain of it again when it ends
                discard(stream)


def discard(file: IO[str]) -> None:
    """Have all that is still to be written to `file` go nowhere."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, file.fileno())
        os.close(nowhere)


def _usable(stream: TextIO | None) -> TextIO:
    """A standard stream that takes all letters, also if it was closed before the program began."""
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(errors="replace")
    return stream
