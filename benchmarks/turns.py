"""Timing several contestants in turn, so that drift of the machine's speed hits all alike."""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")


def take_turns(
    contestants: dict[str, Callable[[], object]], rounds: int, seconds: float
) -> dict[str, list[float]]:
    """CPU seconds of one call of each, the median of each turn; a turn lasts about `seconds`.

    CPU time (of the process, user and system) holds whatever else the machine does; with one thread
    it is what the call takes.
    """
    for call in contestants.values():
        call()
    turns: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, call in contestants.items():
            times, end = [], time.perf_counter() + seconds
            while time.perf_counter() < end or not times:
                start = time.process_time()
                call()
                times.append(time.process_time() - start)
            turns[name].append(statistics.median(times))
    return turns


def ratio(turns: dict[str, list[float]], name: str, reference: str) -> float:
    """How many times as fast as `reference`, the median over the rounds."""
    pairs = zip(turns[reference], turns[name], strict=True)
    return statistics.median(r / t for r, t in pairs)


def left_out(name: str) -> None:
    """Say that a peer is not installed."""
    print(f"({name} is not installed: left out)", file=sys.stderr)
