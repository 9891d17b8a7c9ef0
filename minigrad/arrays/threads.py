"""Work on all cores from Python: NumPy lets go of the interpreter's lock while it computes.

Matrix products are spread over the cores by the BLAS; what goes on between them, element by
element, is not. Large arrays are therefore cut into pieces that fit into a core's cache, and the
pieces shared out here.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from contextvars import copy_context
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

VARIABLES = ("MINIGRAD_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@cache
def count() -> int:
    """How many threads to use: what the first of `VARIABLES` says that is set, or all cores."""
    for name in VARIABLES:
        value = os.environ.get(name, "").partition(",")[0]
        if value.isdecimal() and int(value) > 0:
            return int(value)
    return cores()


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on every system
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def share(function: Callable[[Any], object], pieces: Iterable[Any]) -> None:
    """Call `function` with each of `pieces`, on several threads; return when all are done.

    The pieces must not write to the same places. If calls raise, one of the errors is raised here.
    What the caller has set for itself (`numpy.errstate`) holds for all.
    """
    pieces = list(pieces)
    threads = min(count(), len(pieces))
    if threads <= 1 or getattr(_here, "is_helper", False):  # helpers that wait for helpers hang
        for piece in pieces:
            function(piece)
        return
    helpers, mine = [], pieces[::threads]
    for i in range(1, threads):
        part = pieces[i::threads]
        try:
            helpers.append(_pool().submit(copy_context().run, _help, function, part))
        except RuntimeError:  # the main thread has ended, and with it all pools
            mine += part
    try:
        _each(function, mine)
    finally:
        errors = [helper.exception() for helper in helpers]  # waits until it has ended
    for error in errors:
        if error is not None:
            raise error


_here = threading.local()


def _help(function: Callable[[Any], object], pieces: list[Any]) -> None:
    _here.is_helper = True
    _each(function, pieces)


def _each(function: Callable[[Any], object], pieces: list[Any]) -> None:
    for piece in pieces:
        function(piece)


@cache
def _pool() -> ThreadPoolExecutor:
    from concurrent.futures import ThreadPoolExecutor  # no part of `import minigrad`

    return ThreadPoolExecutor(max(1, count() - 1), "minigrad")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a child has none of the threads
