"""Random numbers that a function draws past minigrad: a replay would have the same ones again."""

from __future__ import annotations

import pickle
import random
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minigrad.arrays.random import generator
from minigrad.replay.places import CaptureError


class Draws:
    """The states of all generators that a recording knows; only minigrad may draw from them."""

    def __init__(self) -> None:
        self._states: dict[Any, bytes] = {}
        self._others_ran = False
        self.by_others = False  # whether perhaps another thread has drawn meanwhile

    def watch(self, generators: Iterable[np.random.Generator]) -> None:
        """Watch these, minigrad's own, NumPy's and Python's, from now on."""
        self._others_ran = _others_run()  # one that ends before the next check may have drawn
        for source in (*generators, generator(), np.random, random):
            self._states[source] = _state(source)

    @contextmanager
    def by_minigrad(self, arguments: Iterable[Any]) -> Iterator[None]:
        """Within it, a call that each replay repeats draws from generators among `arguments`."""
        own = [x for x in arguments if isinstance(x, np.random.Generator)]
        self.check(own)
        yield
        for source in own:
            self._states[source] = _state(source)

    def check(self, sources: Iterable[Any] | None = None) -> None:
        """Raise if something else has drawn from one of `sources`, or of all; or note it."""
        for source in list(self._states) if sources is None else sources:
            if self._states.get(source, state := _state(source)) != state:
                others = self._others_ran or _others_run()
                if others and source in (generator(), np.random, random):  # not kept
                    self.by_others, self._states[source] = True, state
                    continue
                raise CaptureError(
                    f"capture: the function draws from {getattr(source, '__name__', 'rng')} past "
                    "minigrad, and a replay would have the same numbers again; draw them outside "
                    "the captured function, and pass them as an argument"
                )


def _others_run() -> bool:
    """Whether there are other threads than minigrad's own, which never draw."""
    own = threading.current_thread()
    return any(t is not own and "minigrad" not in t.name for t in threading.enumerate())


def _state(source: Any) -> bytes:
    """The state of a generator, of NumPy's global one, or of Python's."""
    if source is random:
        return pickle.dumps(random.getstate())
    own = source.bit_generator if source is not np.random else np.random.get_bit_generator()
    return pickle.dumps(own.state)
