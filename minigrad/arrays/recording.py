"""What a captured step has to be told: see `minigrad.replay`, which writes down calls on arrays.

Most code need not know that it is being recorded. Three kinds of code do:

- A function whose way depends on values, such as one that sorts ids and sums the rows of equal
  ones, or draws random numbers, is marked as `one_call`. Then it is a single entry of the
  recording, and is called as a whole in each replay.
- A number that comes from outside and may be another one in the next step, such as a learning
  rate, is asked for with `fresh`.
- What is to be done only under a condition on values is done within `only_if`.

Outside a recording, each of them does what it would do without the mark.
"""

from __future__ import annotations

import inspect
import operator
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


class _Here(threading.local):
    """What records in this thread."""

    recorder: Any = None  # a `minigrad.replay.recorder.Recorder`; None: nothing is recorded


here = _Here()


class Number:
    """A Python number that may be another one in the next replay.

    It can be an operand of arrays and of other numbers. Whoever asks for its value, as an ``if``
    does, binds the recording to the answer.
    """

    __slots__ = ("__weakref__", "cell")

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """What `isinstance` says of the number."""
        return type(self.cell.value)

    def __init__(self, cell: Any) -> None:
        self.cell = cell
        cell.stand = weakref.ref(self)

    def __repr__(self) -> str:
        return f"Number({self.cell.value!r})"


def _operators() -> None:
    def on_the_left(function: Any) -> Any:
        def operate(self: Number, *others: Any) -> Any:
            if any(hasattr(x, "dtype") for x in others):
                return NotImplemented  # an array's own operator does it
            return here.recorder.number(function, self, *others)

        return operate

    def on_the_right(function: Any) -> Any:
        return lambda self, other: here.recorder.number(function, other, self)

    def question(function: Any) -> Any:
        return lambda self, *others: here.recorder.answer(function, self, *others)

    for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow"):
        setattr(Number, f"__{name}__", on_the_left(getattr(operator, name)))
        setattr(Number, f"__r{name}__", on_the_right(getattr(operator, name)))
    for name in ("neg", "pos", "abs"):
        setattr(Number, f"__{name}__", on_the_left(getattr(operator, name)))
    for name in ("eq", "ne", "lt", "le", "gt", "ge", "index"):
        setattr(Number, f"__{name}__", question(getattr(operator, name)))
    for kind in (bool, float, int, format, hash, str, round):
        setattr(Number, f"__{kind.__name__}__", question(kind))


_operators()


def one_call(*changes: str, loose: bool = False, steers: bool = False) -> Callable[[F], F]:
    """Mark a function as one entry of a recording: each replay calls it with the same arguments.

    Parameters
    ----------
    *changes
        the names of the parameters whose arrays it changes in place. It may return a new array, or
        None, or tuples and lists of them.
    loose
        whether the shapes of what it returns depend on values.
    steers
        whether it changes what `fresh` tells, as a schedule of learning rates does.
    """

    def decorate(function: F) -> F:
        signature = list(inspect.signature(function).parameters)
        changed = [signature.index(name) for name in changes]

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            recorder = here.recorder
            if recorder is None or recorder.paused:
                return function(*args, **kwargs)
            recorder.steered |= steers
            return recorder.one_call(function, args, kwargs, changed, loose)

        return call  # type: ignore[return-value]

    return decorate


def fresh(function: Callable[..., Any], *args: Any) -> Any:
    """``function(*args)``: what a step depends on beside its arrays, asked for at each replay.

    It gives a list of arrays that stay from step to step, such as those that an optimiser
    remembers, and a list of numbers, such as a learning rate; None may stand for one of them. The
    function must not change anything.
    """
    recorder = here.recorder
    if recorder is None or recorder.paused:
        return function(*args)
    return recorder.fresh(function, args)


@contextmanager
def only_if(condition: Any) -> Iterator[bool]:
    """The truth of a single value; what is done within the block is done only if it is True."""
    recorder = here.recorder
    if recorder is None or recorder.paused:
        yield bool(condition)
        return
    with recorder.only_if(condition) as holds:
        yield holds


def constant(array: Any) -> Any:
    """A new `array` that was made of Python numbers alone, so it is the same in each replay."""
    recorder = here.recorder
    if recorder is None or recorder.paused:
        return array
    return recorder.constant(array)


def given(array: Any) -> Any:
    """A plain `array` that a caller has handed in; an error if a recording does not know it."""
    recorder = here.recorder
    if recorder is None or recorder.paused:
        return array
    return recorder.given(array)


def maker(library: Any) -> Any:
    """The array library for new arrays: `library`, or what stands for it in a recording."""
    recorder = here.recorder
    if recorder is None or recorder.paused:
        return library
    return recorder.library_of(library)
