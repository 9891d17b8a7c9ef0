"""Peers train the same model in processes of their own, and take turns.

Each process has the number of threads that `prepare` sets for all. All peers that train the same
model have the same kernels of the BLAS: those that are the best for its products.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle
from multiprocessing.connection import Connection
from pathlib import Path

import steps
from configurations import Configuration, batches, initial_parameters
from turns import left_out, turn

BEFORE = "before"  # stands for minigrad in the name of a peer that is of another checkout
CHECKED = 4  # training steps, whose losses are compared
LIMIT = 180  # seconds: who takes longer to start, or for a turn, is left out
SPAWN = multiprocessing.get_context("spawn")  # forks would not load their libraries anew


def prepare(threads: int) -> None:
    """For processes that start from now on: that many threads."""
    from minigrad.arrays.threads import VARIABLES

    os.environ.update(dict.fromkeys((*VARIABLES, "NPROC"), str(threads)))  # the last is XLA's


def environment_for(c: Configuration) -> dict[str, str]:
    """The variables that give a new process the kernels of the BLAS that are the best for `c`."""
    from products import products  # not in the processes, which may have another minigrad

    from minigrad import cpu

    return cpu.better_environment(products(c))


def peak_memory() -> float:
    """The most memory that this process has held so far, in MB."""
    with suppress(OSError):
        status = Path("/proc/self/status").read_text("utf-8")
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024
    return math.nan  # no Linux


class LeftOutError(Exception):
    """Why a peer does not take part."""


def serve(connection: Connection, peer: str, c: Configuration, clock: str) -> None:
    """What the process of a peer does: answers each number of seconds with the time of a step.

    Before the first it sends the losses of the first training steps, and when it is sent None, the
    memory that it took at most, beyond that of training a tiny model: what libraries load with
    their first step does not count. A text tells why there is no more.
    """
    try:
        data, make, tiny = cycle(batches(c)), steps.load(peer, c), c.tiny()
        make(tiny, initial_parameters(tiny)).step(*batches(tiny)[0])
        before = peak_memory()
        training = make(c, initial_parameters(c))
        connection.send([training.step(*next(data)) for _ in range(CHECKED)])
        while (seconds := connection.recv()) is not None:
            connection.send(turn(lambda: training.step(*next(data)), seconds, getattr(time, clock)))
        connection.send(peak_memory() - before)
    except (EOFError, KeyboardInterrupt):  # the one who asks has gone
        pass
    except NotImplementedError as error:
        connection.send(str(error))
    except Exception as error:  # whatever a framework comes up with is told there
        message = str(error).partition("\n")[0]
        connection.send(f"fails ({type(error).__name__}: {message})")


@dataclass
class Contestant:
    """A peer in a process of its own, and what is known of it."""

    peer: str
    c: Configuration
    clock: str
    checkout: Path | None = None  # whose minigrad it runs; None: this one
    losses: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)  # of a training step, by rounds
    memory: float = math.nan  # MB

    def start(self) -> None:
        """Start the process, and have it do the first training steps."""
        self.connection, its_end = SPAWN.Pipe()
        peer = self.peer.replace(BEFORE, "minigrad")
        self.process = SPAWN.Process(
            target=serve, args=(its_end, peer, self.c, self.clock), daemon=True
        )
        first = [] if self.checkout is None else [str(self.checkout)]
        sys.path[:0] = first  # a process begins with the path of the one that starts it
        self.process.start()
        del sys.path[: len(first)]
        its_end.close()
        self.losses = self._answer()

    def turn(self, seconds: float) -> None:
        """Let it train for that long."""
        self.seconds.append(self._answer(seconds))

    def finish(self) -> None:
        """Ask for its memory, and end it."""
        self.memory = self._answer(None)
        self.process.join()

    def _answer(self, *question: float | None):
        try:
            for asked in question:
                self.connection.send(asked)
            if not self.connection.poll(LIMIT):
                self.process.terminate()
                raise LeftOutError(f"takes over {LIMIT} s")
            answer = self.connection.recv()
        except (EOFError, ConnectionError):
            self.process.join()
            raise LeftOutError(f"died (exit status {self.process.exitcode})") from None
        if isinstance(answer, str):
            raise LeftOutError(answer)
        return answer


def contest(
    c: Configuration,
    peers: Sequence[str],
    rounds: int,
    seconds: float,
    threads: int,
    before: Path | None = None,
) -> list[Contestant]:
    """Let `peers` train `c`, in turns of `seconds`; those that cannot are left out by name.

    ``"before:fused"`` is minigrad as it is in the checkout `before`.

    Times are CPU time with one thread, which holds whatever else the machine does; with more, wall
    time, as threads that wait for each other count as busy.
    """
    clock = "process_time" if threads == 1 else "perf_counter"
    contestants = [
        Contestant(peer, c, clock, before if peer.startswith(BEFORE) else None) for peer in peers
    ]

    def all_do(what: str, *args: float) -> None:
        for contestant in contestants.copy():
            try:
                getattr(contestant, what)(*args)
            except LeftOutError as why:
                contestants.remove(contestant)
                left_out(f"{c.name}: {contestant.peer}", str(why))

    environment = environment_for(c)
    os.environ.update(environment)
    all_do("start")
    for name in environment:
        del os.environ[name]
    for _ in range(rounds):
        all_do("turn", seconds)
    all_do("finish")
    return contestants


def speed(contestant: Contestant, tokens: float) -> float:
    """Tokens per second."""
    return tokens / statistics.median(contestant.seconds)
