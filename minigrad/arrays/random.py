"""The library's own random generator, for every draw without an ``rng=``."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

_own: np.random.Generator | None = None  # made at its first use, since it takes long to import
_forks = 0  # how many children were made since the seed was set
_here = threading.local()  # what stands in for the own generator, in this thread


def manual_seed(seed: int) -> None:
    """Set the seed of the library's own generator: all later draws depend on it alone.

    Initialisers, dropout and sampling use it where no ``rng=`` is passed. Initial values are drawn
    on the CPU, so they are the same for every device. Dropout on a GPU draws a key here, and with
    that key the mask on the GPU.

    A forked process draws other numbers than its parent and the parent's other children. They
    depend on the parent's generator, and on how many forks came before.
    """
    global _forks
    _forks = 0
    _library().bit_generator.state = np.random.default_rng(seed).bit_generator.state


def generator(rng: np.random.Generator | None = None) -> np.random.Generator:
    """`rng`, or the library's own generator if it is None."""
    if rng is not None and not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng: expected a numpy.random.Generator or None, got {type(rng).__name__}")
    if rng is None:
        rng = getattr(_here, "stand_in", None)
    return _library() if rng is None else rng


def _library() -> np.random.Generator:
    global _own
    if _own is None:
        _own = np.random.default_rng()
    return _own


@contextmanager
def drawing_from(rng: np.random.Generator | None) -> Iterator[None]:
    """Within it, `rng` stands in for the library's own generator in this thread.

    None: nothing changes.
    """
    before = getattr(_here, "stand_in", None)
    _here.stand_in = before if rng is None else rng
    try:
        yield
    finally:
        _here.stand_in = before


def _count_fork() -> None:
    global _forks
    _forks += 1


def _start_anew_in_child() -> None:
    """Other numbers in each child: if all workers drew the same masks, nobody would notice."""
    if _own is not None:
        drawn = _own.integers(1 << 32, size=4).tolist()
        _own.bit_generator.state = np.random.default_rng([*drawn, _forks]).bit_generator.state


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_count_fork, after_in_child=_start_anew_in_child)
