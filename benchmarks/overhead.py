"""What an op costs beside its arithmetic: microseconds per op, forward and backward.

    python benchmarks/overhead.py

A chain of 999 ops (multiply, add, tanh in turn; all three operands require gradients) on a number
and on a 16 x 16 matrix in float32; and a chain of 100,000 additions, built, walked and
freed. Nothing here is large enough for more threads.

And what it costs to record a training step with `minigrad.capture`: the first call of a captured
step, in uncaptured steps of the same model, with one thread.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from functools import partial

import numpy as np
import steps
from configurations import CONFIGURATIONS, Configuration, batches, initial_parameters
from contest import SPAWN, prepare
from report import table
from turns import left_out, ratio, take_turns, turn

import minigrad as mg

OPS, DEEP = 999, 100_000


def build(x, a, b, tanh):
    """The chain: y <- tanh(y a + b), a third as often as there are ops."""
    y = x
    for _ in range(OPS // 3):
        y = tanh(y * a + b)
    return y


def operands(shape):
    """x, a and b."""
    return [np.full(shape, value, np.float32) for value in (0.5, 0.9, 0.1)]


def minigrad_chain(shape):
    """A function that goes once forward and backward in minigrad."""
    values = operands(shape)

    def run():
        leaves = [mg.tensor(v, requires_grad=True) for v in values]
        build(*leaves, mg.tanh).sum().backward()

    return run


def captured_chain(shape):
    """The same, recorded when it is first called."""

    @mg.capture
    def run(*values):
        leaves = [v.detach().requires_grad_() for v in values]
        build(*leaves, mg.tanh).sum().backward()
        return [leaf.grad for leaf in leaves]

    return partial(run, *map(mg.tensor, operands(shape)))


def torch_chain(shape):
    """The same in PyTorch."""
    import torch

    values = operands(shape)

    def run():
        leaves = [torch.tensor(v, requires_grad=True) for v in values]
        build(*leaves, torch.tanh).sum().backward()

    return run


def autograd_chain(shape):
    """The same in HIPS autograd, which is functional."""
    import autograd
    import autograd.numpy as anp

    x, a, b = operands(shape)
    return partial(autograd.grad(lambda x: anp.sum(build(x, a, b, anp.tanh))), x)


def deep(library, ops):
    """Seconds to build, walk and free a chain of additions.

    In a process of the library's own, since what others have loaded makes Python's garbage
    collector slower.
    """
    if library == "torch":
        import torch

        torch.set_num_threads(1)
        leaf = torch.tensor(1.0, requires_grad=True)
    else:
        leaf = mg.tensor(1.0, requires_grad=True)
    gc.collect()
    start = time.perf_counter()
    x = y = leaf
    for _ in range(ops):
        y = y + x
    y.backward()
    del y
    return time.perf_counter() - start


def recording(c: Configuration, rounds: int) -> list[float]:
    """The first call of a captured step in uncaptured ones: with fused layers, and unrolled."""
    (batch, *_), medians = batches(c), []
    for way, captured in (("fused", "captured"), ("unrolled", "unrolled-captured")):
        plain, recorded = (steps.load(f"minigrad:{name}", c) for name in (way, captured))
        trained, ratios = plain(c, initial_parameters(c)), []
        for _ in range(rounds):
            new = recorded(c, initial_parameters(c))
            first = turn(lambda new=new: new.step(*batch), 0, time.process_time)
            step = turn(lambda trained=trained: trained.step(*batch), 0.2, time.process_time)
            ratios.append(first / step)
        medians.append(statistics.median(ratios))
    return medians


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="short turns: only to see it run")
    quick = parser.parse_args().quick
    rounds, seconds, repeats, depth = (1, 0, 1, 1000) if quick else (15, 0.2, 9, DEEP)
    chains = {"minigrad": minigrad_chain, "minigrad, captured": captured_chain}
    try:
        import torch

        torch.set_num_threads(1)
        chains["torch"] = torch_chain
    except ImportError:
        left_out("torch")
    try:
        import autograd  # noqa: F401

        chains["autograd"] = autograd_chain
    except ImportError:
        left_out("autograd")
    rows = {name: [] for name in chains}
    for shape in ((), (16, 16)):
        calls = {name: chain(shape) for name, chain in chains.items()}
        turns = take_turns(calls, rounds, seconds)
        for name in chains:
            best = min(turns[name]) / OPS * 1e6
            rows[name].append(f"{best:.2f} us ({ratio(turns, 'minigrad', name):.2f})")
    processes = {name: SPAWN.Pool(1) for name in chains if name in ("minigrad", "torch")}
    times = {name: [] for name in processes}
    for _ in range(repeats):
        for name, process in processes.items():
            times[name].append(process.apply(deep, (name, depth)))
    for process in processes.values():
        process.terminate()
    for name, cells in rows.items():
        cells.append(
            f"{statistics.median(times[name]):.2f} s ({ratio(times, 'minigrad', name):.2f})"
            if name in times
            else "-"
        )
    head = ["library", "per op, 0-d (minigrad's speed over it)", "per op, 16 x 16"]
    print(table([*head, f"{depth:,} deep"], [[name, *cells] for name, cells in rows.items()]))
    prepare(1)
    cells = []
    with SPAWN.Pool(1) as process:
        for name, c in CONFIGURATIONS.items():
            ratios = process.apply(recording, (c.tiny() if quick else c, repeats))
            cells.append([name, *(f"{r:.1f}" for r in ratios)])
    head = ["the first call of a captured step, in uncaptured steps", "fused", "unrolled"]
    print("\n" + table(head, cells))


if __name__ == "__main__":
    main()
