"""What an exercise is, and how an answer to it is checked."""

from __future__ import annotations

import _thread
import threading
import time
import traceback
import types
import warnings
from collections.abc import Callable
from contextlib import suppress
from importlib import resources
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg

LIMIT = 30.0
"""How many seconds a check may take; all take less than one, so a longer one never ends."""

Program = Any
"""A program as a module: its functions are attributes."""


class WrongError(Exception):
    """The program does not do what it should; the message says what it does, and what it should."""


class _Module(types.ModuleType):
    """A program, where a name that is missing says so."""

    def __getattr__(self, name: str) -> Any:
        raise WrongError(f"the program has no `{name}`, which the check calls: keep its names")


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


def told(exercise: Exercise, program: bytes, file: str, limit: float = LIMIT) -> str | None:
    """What is still wrong with a program; None: nothing.

    Parameters
    ----------
    exercise
        which one it answers.
    program
        the content of its file. It is run: it must be one's own.
    file
        what its file is called, for the message.
    limit
        how many seconds it may run. After them, or with Ctrl-C, it is stopped.
    """
    module = _Module(exercise.name)
    end = threading.Timer(limit, _thread.interrupt_main)
    end.daemon = True
    start = time.monotonic()
    end.start()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exec(compile(program, file, "exec"), module.__dict__)
            exercise.check(module)
    except WrongError as wrong:
        return str(wrong)
    except KeyboardInterrupt as stop:
        late = time.monotonic() - start >= limit
        said = f"still running after {limit:g} seconds: does a loop never end?"
        return _where(stop, file) + (said if late else "stopped")
    except (Exception, SystemExit) as error:
        if isinstance(error, ValueError) and "read-only" in str(error):
            said = "this changes in place what the function was given: make a new array"
        else:
            message = error.msg if isinstance(error, SyntaxError) else str(error)
            said = ": ".join(filter(None, (type(error).__name__, message)))
        return _where(error, file) + said
    finally:
        end.cancel()
    return None


def _where(error: BaseException, file: str) -> str:
    """The last line of the file that an error went through, as the beginning of a message."""
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
    line = lines[-1] if lines else getattr(error, "lineno", None)
    return f"line {line}: " if line else ""


def near(found: Any, right: Any) -> bool:
    """Whether two numbers or arrays are the same, but for rounding; no if one is something else."""
    try:
        found, right = np.asarray(found, float), np.asarray(right, float)
    except (TypeError, ValueError):
        return False
    return found.shape == right.shape and bool(np.allclose(found, right, rtol=1e-5, atol=1e-7))


def same(found: Any, right: Any) -> bool:
    """Whether two shapes, or sequences of whole numbers or letters, are the same."""
    return bool(np.array_equal(found, right))


def expect(
    what: str,
    found: Any,
    right: Any,
    close: Callable[[Any, Any], bool] = near,
    case: str = "",
) -> None:
    """Raise a WrongError unless `found` is `right`; `case` says what the program was given."""
    found, right = _values(found), _values(right)
    if close(found, right):
        return
    with suppress(ValueError):  # rows of several lengths have no shape
        if close is near and np.ndim(found) and np.shape(found) != np.shape(right):
            what, found, right = f"the shape of {what}", np.shape(found), np.shape(right)
    texts = shown(found), shown(right)
    long = any("\n" in text for text in texts)
    said = "{} is\n{}\nand should be\n{}" if long else "{} is {}, and should be {}"
    raise WrongError((f"{case}:\n" if case else "") + said.format(what, *texts))


def pair(what: str, found: Any) -> tuple[Any, Any]:
    """What a function returned, if these are two; or else a WrongError is raised."""
    try:
        first, second = found
    except (TypeError, ValueError):
        raise WrongError(f"{what} should return two, and returns {shown(found)}") from None
    return first, second


def given(values: Any) -> np.ndarray[Any, Any]:
    """An array to be given to a program, which must leave it as it is: it can't be written to."""
    array = np.array(values)
    array.flags.writeable = False
    return array


def shown(value: Any) -> str:
    """A value as a learner should read it: 6 digits of each number, and no name of a type."""
    value = _values(value)
    try:
        numbers = np.asarray(value)
    except ValueError:  # rows of several lengths
        return str(value)
    if numbers.dtype.kind not in "fiu" or isinstance(value, tuple):
        return str(value)
    by_kind: Any = {"float_kind": "{:.6g}".format, "int_kind": str}
    text = np.array2string(numbers, separator=", ", formatter=by_kind)
    line = " ".join(text.split())
    return line if len(line) <= 60 else text


def _values(value: Any) -> Any:
    return value.detach().numpy() if isinstance(value, mg.Tensor) else value
