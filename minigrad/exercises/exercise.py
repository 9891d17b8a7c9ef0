"""What an exercise is, and how an answer to it is checked."""

from __future__ import annotations

import traceback
import types
import warnings
from collections.abc import Callable
from importlib import resources
from typing import Any, NamedTuple

Program = Any
"""A program as a module: its functions are attributes."""


class WrongError(Exception):
    """The program does not do what it should; the message says what it does, and what it should."""


class Exercise(NamedTuple):
    """A program with a fault."""

    name: str
    """Of its file, without ``.py``."""

    check: Callable[[Program], None]
    """Raises a WrongError unless the program does what it should."""

    hints: tuple[str, ...]
    """From the place to look at to nearly the answer."""

    mend: tuple[str, str]
    """The lines with the fault, and what should stand in their place."""

    why: str
    """What was wrong, and where minigrad does it right."""

    @property
    def program(self) -> str:
        """The program, with its fault."""
        folder = resources.files("minigrad.exercises.programs")
        return (folder / f"{self.name}.py").read_text("utf-8")

    @property
    def title(self) -> str:
        """The first line of the program."""
        return self.program.splitlines()[0].strip('"')

    @property
    def solution(self) -> str:
        """The program without its fault."""
        wrong, right = self.mend
        return self.program.replace(wrong, right)


def told(exercise: Exercise, program: str, file: str) -> str | None:
    """What is still wrong with a program; None: nothing.

    Parameters
    ----------
    exercise
        which one it answers.
    program
        the text of the program. It is run: it must be one's own.
    file
        what its file is called, for the message.
    """
    module = types.ModuleType(exercise.name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exec(compile(program, file, "exec"), module.__dict__)
            exercise.check(module)
    except WrongError as wrong:
        return str(wrong)
    except Exception as error:
        place = next(
            (f for f in reversed(traceback.extract_tb(error.__traceback__)) if f.filename == file),
            None,
        )
        line = getattr(error, "lineno", None) if place is None else place.lineno
        where = f"line {line}: " if line else ""
        return f"{where}{type(error).__name__}: {error}"
    return None


def expect(what: str, found: Any, right: Any, close: Callable[[Any, Any], bool]) -> None:
    """Raise a WrongError unless `found` is `right`."""
    if not close(found, right):
        raise WrongError(f"{what} is {found}, and should be {right}")
