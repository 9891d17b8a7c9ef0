"""Stop a program between two steps, not in the middle of one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupts:
    """Whether a signal has asked the program to stop, and which signal."""

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
    """A block in which Ctrl-C (SIGINT), SIGTERM and SIGHUP (the terminal closes) only make a note.

    ::

        with deferred_interrupts() as interrupts:
            while not interrupts.requested:
                ...                             # is never stopped halfway
        save()

    A second signal raises a KeyboardInterrupt at once, for those who cannot wait. A signal that the
    program ignores stays ignored (a shell makes background jobs ignore SIGINT). In Python only the
    main thread can listen to signals; in another thread nothing changes.
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
