"""Stopping between two steps instead of in the middle of one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupts:
    """Whether somebody has asked the program to stop, and by which signal."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    @property
    def requested(self) -> bool:
        """Whether a signal has come."""
        return self.signal is not None

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.signal = signal.Signals(number)


@contextmanager
def deferred_interrupts() -> Iterator[Interrupts]:
    """Within it, Ctrl-C (SIGINT), SIGTERM and SIGHUP (the terminal is gone) are noted, not raised.

    ::

        with deferred_interrupts() as interrupts:
            while not interrupts.requested:
                ...                             # is never broken off halfway
        save()

    The second signal raises a KeyboardInterrupt at once, for those who can't wait. A signal that
    the program ignores (a shell has background jobs ignore SIGINT) stays ignored. Python lets only
    the main thread listen to signals; in another one nothing changes.
    """
    interrupts = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return
    numbers = [signal.SIGINT, signal.SIGTERM]
    numbers += [signal.SIGHUP] if hasattr(signal, "SIGHUP") else []  # not on Windows
    before = {number: signal.getsignal(number) for number in numbers}
    heard = [n for n, handler in before.items() if handler not in (signal.SIG_IGN, None)]
    for number in heard:
        signal.signal(number, interrupts._receive)
    try:
        yield interrupts
    finally:
        for number in heard:
            signal.signal(number, before[number])
