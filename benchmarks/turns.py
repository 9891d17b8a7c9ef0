"""Timing contestants in turn, so that drift of the machine's speed hits all alike."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable


def turn(call: Callable[[], object], seconds: float, clock: Callable[[], float]) -> float:
    """The median time of a call, of as many, at least one, as fit into `seconds`."""
    times, end = [], time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        start = clock()
        call()
        times.append(clock() - start)
    return statistics.median(times)


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
            turns[name].append(turn(call, seconds, time.process_time))
    return turns


def ratio(turns: dict[str, list[float]], name: str, reference: str) -> float:
    """How many times as fast as `reference`, the median over the rounds."""
    pairs = zip(turns[reference], turns[name], strict=True)
    return statistics.median(r / t for r, t in pairs)


def left_out(name: str, why: str = "is not installed") -> None:
    """Say that a peer does not take part."""
    print(f"({name} {why}: left out)", file=sys.stderr, flush=True)
