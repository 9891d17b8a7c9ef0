"""The switches of the tape: whether it records, and whether it looks for NaN and infinity."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ContextDecorator, contextmanager


class Modes(threading.local):
    """The switches of the tape; each thread has its own."""

    recording = True
    anomaly = False


modes = Modes()

watchers: list[int] = []
"""The threads that are inside `detect_anomaly`: a glance at a list is cheaper than at `modes`."""


class switched(ContextDecorator):  # noqa: N801 (used like a function)
    """Within it, the switch `mode` stands at `value` in this thread; restored on any exit."""

    def __init__(self, mode: str, value: bool) -> None:
        self._mode, self._value = mode, value
        self._before: list[bool] = []  # a stack: one object may be entered again

    def _recreate_cm(self) -> switched:  # for each call of a decorated function
        return switched(self._mode, self._value)

    def __enter__(self) -> None:
        self._before.append(getattr(modes, self._mode))
        setattr(modes, self._mode, self._value)

    def __exit__(self, *error: object) -> None:
        setattr(modes, self._mode, self._before.pop())


def no_grad() -> switched:
    """Within ``with no_grad():`` (or a function decorated with it) nothing is recorded."""
    return switched("recording", False)


def enable_grad() -> switched:
    """Within ``with enable_grad():`` ops are recorded again, also inside `no_grad`."""
    return switched("recording", True)


@contextmanager
def detect_anomaly() -> Iterator[None]:
    """Within ``with detect_anomaly():`` the first NaN or infinity that an op makes raises.

    The error (an `AnomalyError`) names the op, the shapes of its inputs and the line of the forward
    pass, whether the value appeared in the forward or in the backward pass. Every result is
    looked at, which costs time and, on a GPU, a transfer for each op: it is for finding a fault.
    """
    watchers.append(threading.get_ident())
    try:
        with switched("anomaly", True):
            yield
    finally:
        watchers.remove(threading.get_ident())
