"""Two ranks of one thread each, beside one process of one thread and of two.

    python benchmarks/distributed.py
    python benchmarks/distributed.py --configs C4 --ranks 4 --rounds 9 --json FILE

All train the same model on the same batch, as captured steps. The jobs take turns; each turn starts
anew. For each configuration it prints tokens per second of one process with one thread; how many
times as fast the others are (the median over the rounds); and how much of a step the ranks spend in
`GradientAverage.finish`, where they exchange gradients. Before that they wait for each other.
"twice the batch": each rank has the whole batch of the configuration, so there is more to compute
for each exchange.

Then it compares the times with the model in `scaling`. It needs mpi4py, and the mpiexec that
belongs to it. A machine with fewer cores than ranks or threads measures something else.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import numpy as np
import scaling
from configurations import CONFIGURATIONS, Configuration, batches, initial_parameters
from contest import environment_for, prepare
from machine import describe
from report import table
from scaling import Exchange, Network
from steps import with_minigrad

import minigrad as mg
from minigrad.distributed import Communicator, GradientAverage, averaging, world
from minigrad.training import detach_state

ALONE, THREADS, EXACT, FAST, LARGER = "alone", "threads", "exact", "fast", "larger"
SMALLEST, LARGEST = 1, 1 << 22
"""Elements of the arrays whose averages tell latency and bandwidth."""


class Ranks:
    """A step of a language model whose batch is cut into as many parts as there are ranks."""

    def __init__(self, c: Configuration, communicator: Communicator, reduce: str) -> None:
        model = with_minigrad.Model(c, unroll=False, sparse=c.V >= with_minigrad.SPARSE_FROM)
        model.load_state_dict(initial_parameters(c))
        trained = [p for name, p in model.named_parameters() if "bias_hh" not in name]
        for name, parameter in model.named_parameters():
            parameter.requires_grad_("bias_hh" not in name)
        self.c, self.trained = c, trained
        self.mean = GradientAverage(trained, communicator.size, communicator, reduce)
        self.optimizer, self.state = mg.optim.SGD(trained, lr=c.lr), None

        def gradients(state, x, y):
            for parameter in trained:
                parameter.grad = None
            loss, state = model.of_tokens(state, x, y)
            loss.backward()
            return loss.detach(), detach_state(state)

        self.gradients, self.communicator = mg.capture(gradients), communicator
        self.waiting, self.exchanging = list[float](), list[float]()  # seconds, of each step

    def step(self, x, y) -> None:
        """One step; `x` and `y` are this rank's columns."""
        loss, self.state = self.gradients(self.state, x, y)
        self.mean.add(loss)
        began = time.perf_counter()
        self.communicator.barrier()
        met = time.perf_counter()
        self.mean.finish()
        self.waiting.append(met - began)
        self.exchanging.append(time.perf_counter() - met)
        mg.optim.clip_grad_norm_(self.trained, self.c.clip)
        self.optimizer.step()


def exchanged(trained, rows: int) -> Exchange:
    """What a step exchanges, where the first gradient is row-sparse, with so many rows."""
    embedding, *others = trained
    dense = [p.size for p in others]
    arrays = sum(size >= averaging.SMALL for size in dense) + 1
    V, D = embedding.shape
    return Exchange(4 * sum(dense), arrays, rows * (4 * D + 8), V * (4 * D + 8))


def averages(communicator: Communicator, before: Callable[[], object]) -> dict[str, float]:
    """The seconds that an average of a small and of a large array takes, after `before` each time.

    That is a step's computation, so that the caches are as they are in training.
    """
    times = {}
    for name, size in (("small", SMALLEST), ("large", LARGEST)):
        parameter = mg.tensor(np.zeros(size, np.float32), requires_grad=True)
        mean, turns = GradientAverage([parameter], communicator.size, communicator), []
        for _ in range(20):
            parameter.grad = mg.tensor(np.ones(size, np.float32))
            before()
            communicator.barrier()
            began = time.perf_counter()
            mean.add()
            mean.finish()
            turns.append(time.perf_counter() - began)
        times[name] = statistics.median(turns)
    return times


def rank(name: str, reduce: str, seconds: float, larger: bool, quick: bool) -> None:
    """What each process of a job does; rank 0 prints what it has measured."""
    communicator, c = world(), CONFIGURATIONS[name]
    c = c.tiny() if quick else c
    c = replace(c, N=c.N * communicator.size) if larger or quick else c
    data = batches(c)
    if communicator.size == 1:
        training = with_minigrad.make(c, "captured", initial_parameters(c))
        step, ranks = training.step, None
    else:
        n = c.N // communicator.size
        own = slice(communicator.rank * n, (communicator.rank + 1) * n)
        data = [(x[:, own].copy(), y[:, own].copy()) for x, y in data]
        ranks = Ranks(c, communicator, reduce)
        step = ranks.step
    turns = cycle(data)
    for _ in range(12):  # the first are recorded; and memory is new for a while
        step(*next(turns))
    communicator.barrier()
    if ranks is not None:
        ranks.waiting.clear()
        ranks.exchanging.clear()
    began, steps = time.perf_counter(), 0
    while communicator.broadcast(time.perf_counter() - began < seconds):
        for _ in range(5):
            step(*next(turns))
        steps += 5
    took = (time.perf_counter() - began) / steps
    result = {"seconds": took, "tokens": c.T * c.N / took}
    if ranks is not None:
        rows = statistics.mean(len(np.unique(x)) for x, _ in data)
        result["exchange"] = exchanged(ranks.trained, rows)
        result["waiting"] = statistics.median(ranks.waiting)
        result["exchanging"] = statistics.median(ranks.exchanging)
        result |= averages(communicator, lambda: ranks.gradients(ranks.state, *next(turns)))
    if communicator.rank == 0:
        print(json.dumps(result), flush=True)


def job(ranks: int, threads: int, c: Configuration, options: list[str], mpiexec: str) -> dict:
    """Start a job, and wait for what it has measured."""
    prepare(threads)
    command = [sys.executable, str(Path(__file__)), "--rank", c.name, *options]
    start = [mpiexec, "-n", str(ranks)] if ranks > 1 else []
    environment = os.environ | environment_for(c)
    done = subprocess.run(start + command, env=environment, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"a job of {c.name} has ended with status {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def mpiexec_of_this_python() -> str:
    """The mpiexec that lies beside this Python, or else the first one on the path."""
    beside = Path(sys.executable).parent / "mpiexec"
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    return found or sys.exit("there is no mpiexec: pip install mpi4py mpich")


def main() -> None:
    """Measure, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--configs", default="C3,C4,C5", help="(default: C3,C4,C5)")
    parser.add_argument("--ranks", type=int, default=2, help="(default: 2)")
    parser.add_argument("--rounds", type=int, default=5, help="of turns (default: 5)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of a turn (default: 3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the results too")
    parser.add_argument("--quick", action="store_true", help="tiny models: only to see it run")
    parser.add_argument("--rank", metavar="NAME", help=argparse.SUPPRESS)
    parser.add_argument("--reduce", default="exact", help=argparse.SUPPRESS)
    parser.add_argument("--larger", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.rank:
        rank(given.rank, given.reduce, given.seconds, given.larger, given.quick)
        return
    mpiexec, R = mpiexec_of_this_python(), given.ranks
    always = ["--seconds", str(given.seconds), *(["--quick"] if given.quick else [])]
    jobs = {
        ALONE: (1, 1, []),
        THREADS: (1, R, []),
        EXACT: (R, 1, []),
        FAST: (R, 1, ["--reduce", "fast"]),
        LARGER: (R, 1, ["--larger"]),
    }
    measured: dict[str, dict[str, list[dict]]] = {}
    for name in given.configs.split(","):
        of = measured[name] = {job: [] for job in jobs}
        for _ in range(given.rounds):
            for which, (ranks, threads, options) in jobs.items():
                options = [*always, *options]
                of[which].append(job(ranks, threads, CONFIGURATIONS[name], options, mpiexec))
    print(f"{describe(['minigrad:captured'], R)}; {R} ranks of a thread, {version_of(mpiexec)}")
    print(f"\n{speeds(measured, R)}\n\n{as_predicted(measured, R)}\n\n{as_large(measured)}")
    if given.json:
        given.json.write_text(json.dumps(measured, indent=1), "utf-8")


def version_of(mpiexec: str) -> str:
    """The first line of what `mpiexec` says of itself."""
    said = subprocess.run([mpiexec, "--version"], capture_output=True, text=True).stdout
    return " ".join(said.split()[:6]) or "an unknown MPI"


def middle(turns: list[dict], key: str) -> float:
    """The median over the rounds."""
    return statistics.median(turn[key] for turn in turns)


def speeds(measured: dict[str, dict[str, list[dict]]], ranks: int) -> str:
    """The table of tokens per second."""
    head = ["configuration", "tokens/s, 1 thread", f"{ranks} threads", f"{ranks} ranks, exact"]
    head += [f"{ranks} ranks, fast", f"{ranks} ranks, {ranks} times the batch"]
    head += ["in the exchange: exact", "fast", f"{ranks} times the batch"]
    rows = []
    for name, of in measured.items():
        times = [f"{middle(of[ALONE], 'tokens'):,.0f}"]
        for which in (THREADS, EXACT, FAST, LARGER):
            pairs = zip(of[ALONE], of[which], strict=True)
            times.append(f"{statistics.median(b['tokens'] / a['tokens'] for a, b in pairs):.2f}")
        for which in (EXACT, FAST, LARGER):
            share = middle(of[which], "exchanging") / middle(of[which], "seconds")
            times.append(f"{1000 * middle(of[which], 'exchanging'):.1f} ms, {share:.0%}")
        rows.append([name, *times])
    return table(head, rows)


def as_predicted(measured: dict[str, dict[str, list[dict]]], ranks: int) -> str:
    """The table of what the model says of the exchange, and what was measured."""
    rows = []
    for name, of in measured.items():
        turns = of[EXACT]
        small, large = middle(turns, "small"), middle(turns, "large")
        latency = small / (2 * (ranks - 1) + math.log2(ranks))  # a swap, a share, a gather
        bandwidth = 2 * (ranks - 1) / ranks * 4 * LARGEST / (large - small)
        what = Exchange(*turns[0]["exchange"])
        told = scaling.seconds(what, ranks, Network("here", latency, bandwidth, math.inf))
        took = middle(turns, "exchanging")
        rows.append(
            [
                *(name, f"{what.dense / 1e6:.1f}", str(what.arrays), f"{what.sparse / 1e6:.2f}"),
                *(f"{1e6 * latency:.0f}", f"{bandwidth / 1e9:.1f}"),
                *(f"{1000 * told:.1f}", f"{1000 * took:.1f}"),
                f"{1000 * middle(turns, 'waiting'):.1f}",
            ]
        )
    head = ["configuration", "dense, MB", "arrays", "sparse, MB", "latency, us", "GB/s"]
    return table([*head, "predicted, ms", "measured, ms", "waiting, ms"], rows)


def as_large(measured: dict[str, dict[str, list[dict]]]) -> str:
    """The table of what the model says of many ranks, each with a batch as one process has here."""
    return scaling.predictions(
        {
            name: (middle(of[ALONE], "seconds"), Exchange(*of[LARGER][0]["exchange"]))
            for name, of in measured.items()
        }
    )


if __name__ == "__main__":
    main()
