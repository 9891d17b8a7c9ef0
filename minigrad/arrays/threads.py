"""Work on all cores from Python: NumPy releases the interpreter's lock while it computes.

The BLAS spreads matrix products over the cores. Elementwise work between them is not spread. So
large arrays are cut into pieces that fit into a core's cache, and the pieces are shared out here.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from contextvars import copy_context
from functools import cache
from typing import TYPE_CHECKING, Any

from minigrad.arrays.recording import here

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

VARIABLES = ("MINIGRAD_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@cache
def count() -> int:
    """The number of threads: what the first of `VARIABLES` that is set says, or one a core."""
    for name in VARIABLES:
        value = os.environ.get(name, "").partition(",")[0]
        if value.isdecimal() and int(value) > 0:
            return int(value)
    return cores()


def cores() -> int:
    """The number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on every system
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def share(function: Callable[[Any], object], pieces: Iterable[Any]) -> None:
    """Call `function` with each of `pieces`, on several threads; return when all are done.

    The calls must not write to the same places. If some of them raise, one of the errors is raised
    here. The caller's own settings (`numpy.errstate`) hold in all threads.
    """
    pieces = list(pieces)
    threads = min(count(), len(pieces))
    if threads > 1 and here.recorder is not None and not here.recorder.paused:
        here.recorder.share(function, pieces)
        return
    if threads <= 1 or getattr(_here, "is_helper", False):  # helpers must not wait for helpers
        for piece in pieces:
            function(piece)
        return
    helpers, mine = [], pieces[::threads]
    for i in range(1, threads):
        part = pieces[i::threads]
        try:
            helpers.append(_pool().submit(copy_context().run, _help, function, part))
        except RuntimeError:  # the main thread has ended, and so have all pools
            mine += part
    try:
        _each(function, mine)
    finally:
        errors = [helper.exception() for helper in helpers]  # this waits for its end
    for error in errors:
        if error is not None:
            raise error


def deal(function: Callable[[Iterable[Any]], object], items: Sequence[Any]) -> None:
    """Call `function` in each thread with an iterator of those of the `items` that it is to do.

    Each takes the next one. So a thread does little if its core is busy with something else, as
    with a thread of OpenBLAS, which spins for milliseconds after a product.
    """
    if here.recorder is not None and not here.recorder.paused:  # a replay deals them out as here
        share(function, [items[i :: count()] for i in range(count())])
    else:
        share(function, [iter(items)] * count())


_here = threading.local()


def _help(function: Callable[[Any], object], pieces: list[Any]) -> None:
    _here.is_helper = True
    _each(function, pieces)


def _each(function: Callable[[Any], object], pieces: list[Any]) -> None:
    for piece in pieces:
        function(piece)


@cache
def _pool() -> ThreadPoolExecutor:
    from concurrent.futures import ThreadPoolExecutor  # not a part of `import minigrad`

    return ThreadPoolExecutor(max(1, count() - 1), "minigrad")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a child process has no such threads
