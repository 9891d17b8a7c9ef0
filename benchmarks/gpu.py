"""One training step of LSTM language models on a GPU: minigrad and PyTorch, side by side.

    python benchmarks/gpu.py
    python benchmarks/gpu.py --configs C6 --tf32 --json runs/gpu/benchmark-tf32.json

All peers run in one process, since PyTorch's profiler, which sees CuPy's kernels too, then tells
what the GPU was busy with. They start from the same parameters; their batches are on the GPU
beforehand; a turn is many steps, with a wait for the GPU at its beginning and its end alone. The
turns go round. Float32 is float32, in matrix products and in cuDNN, unless ``--tf32`` turns
TensorFloat-32 on for all.
"""

from __future__ import annotations

import argparse
import datetime
import gc
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from itertools import cycle
from pathlib import Path

import numpy as np
import steps
from compare import DIFFERENCE, chosen, difference, positive, save
from configurations import ON_GPUS, Configuration, batches, initial_parameters
from kernel_times import KINDS, Times, profiled
from report import table
from turns import left_out

import minigrad as mg

PEERS = (
    *("pytorch:layer", "pytorch:cells", "minigrad:fused", "minigrad:captured"),
    *("minigrad:unrolled", "minigrad:unrolled-captured"),
)
DEFAULT = PEERS[:4]
AIMS = {"pytorch:layer": 0.7, "pytorch:cells": 2.0}
"""How many times as fast as each of these minigrad:fused is meant to be."""

CHECKED = 4  # training steps, whose losses are compared
ALONE = 20  # training steps that are issued while the GPU has nothing else to do
PROFILED = 5


class Contestant:
    """A peer that trains a model."""

    def __init__(self, peer: str, c: Configuration, device: str) -> None:
        self.peer, self._device = peer, device
        self._training = steps.load(peer, c, device)(c, initial_parameters(c))
        self._batches = cycle([self._training.placed(*batch) for batch in batches(c)])
        losses = [self.step() for _ in range(CHECKED)]
        self.losses = [loss.item() for loss in losses]
        self.seconds: list[float] = []  # of a step, by rounds

    def step(self):
        """Issue a training step; the loss, which nobody has waited for."""
        return self._training.issue(*next(self._batches))

    def wait(self) -> None:
        """Until the device has done all that it was given."""
        if self._device != "cpu":
            mg.cuda.synchronize(self._device)

    def warm_up(self, seconds: float) -> None:
        """Train for that long, at least, and find out how many steps make a turn of that length."""
        self.wait()
        count, start = 0, time.perf_counter()
        while time.perf_counter() - start < seconds or not count:
            self.step()
            self.wait()
            count += 1
        self._count = count

    def turn(self) -> None:
        """A turn's steps, and a look at the last loss."""
        self.wait()
        start = time.perf_counter()
        for _ in range(self._count):
            loss = self.step()
        self.wait()
        self.seconds.append((time.perf_counter() - start) / self._count)
        if not np.isfinite(loss.item()):
            raise RuntimeError(f"the loss of {self.peer} is {loss.item()}")

    def issuing(self) -> float:
        """Seconds in which the host issues a step, while the device has nothing else to do."""
        taken = []
        for _ in range(ALONE):
            self.wait()
            start = time.perf_counter()
            self.step()
            taken.append(time.perf_counter() - start)
        self.wait()
        return statistics.median(taken)


def forget() -> None:
    """Free what the peers of one configuration have held."""
    gc.collect()
    if mg.cuda.is_available():
        mg.cuda.empty_cache()
    if "torch" in sys.modules and sys.modules["torch"].cuda.is_available():
        sys.modules["torch"].cuda.empty_cache()


def measured(
    c: Configuration, peers: Sequence[str], device: str, rounds: int, seconds: float
) -> dict[str, object]:
    """Steps of each peer, and how they compare with those of the first."""
    contestants = [Contestant(peer, c, device) for peer in peers]
    for contestant in contestants:
        contestant.warm_up(seconds)
    for i in range(rounds):
        for k in range(len(contestants)):
            contestants[(i + k) % len(contestants)].turn()
    issuing = {contestant.peer: contestant.issuing() for contestant in contestants}
    reference, results = contestants[0], {}
    for contestant in contestants:
        ratios = {
            other.peer: quartiles(np.divide(other.seconds, contestant.seconds))
            for other in contestants
        }
        results[contestant.peer] = {
            "seconds": quartiles(contestant.seconds),
            "tokens per second": c.T * c.N / statistics.median(contestant.seconds),
            "ratios": ratios,
            "issuing": issuing[contestant.peer],
            "losses": contestant.losses,
            "difference": difference(contestant.losses, reference.losses),
        }
    return {"model": str(c), "peers": results}


def quartiles(numbers) -> list[float]:
    """The first, the median, and the third."""
    return np.percentile(numbers, [25, 50, 75]).tolist()


def add_split(result: dict, c: Configuration, device: str) -> None:
    """What the GPU was busy with in a step of each peer, and for how long it had nothing to do.

    The gaps are those of the timed turns: launches take longer while the profiler looks on.
    """
    for peer, r in result["peers"].items():
        contestant = Contestant(peer, c, device)
        contestant.warm_up(0.1)
        found: Times = profiled(contestant.step, PROFILED, contestant.wait)
        step = r["seconds"][1] * 1e6
        r["split"] = found.by_kind | {"gaps": max(0.0, step - found.busy)}
        r["launches"], r["kernels"] = found.launches, found.longest


# ---------------------------------------------------------------------- precision


def set_precision(tf32: bool, device: str) -> None:
    """Whether products of float32 are in TensorFloat-32, in all libraries."""
    if "torch" in sys.modules:
        backends = sys.modules["torch"].backends
        backends.cuda.matmul.allow_tf32 = backends.cudnn.allow_tf32 = tf32
    if device != "cpu":
        mg.cuda.set_float32_matmul_precision("high" if tf32 else "highest")


def product_errors(device: str) -> dict[str, float]:
    """The relative error of a product of float32 matrices: near 1e-7, in TensorFloat-32 1e-4."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 512, 512)).astype(np.float32)
    exact = a.astype(np.float64) @ b
    found = {"minigrad": (mg.tensor(a, device=device) @ mg.tensor(b, device=device)).numpy()}
    if "torch" in sys.modules:
        x, y = (sys.modules["torch"].from_numpy(part).to(device) for part in (a, b))
        found["pytorch"] = (x @ y).cpu().numpy()
    norm = np.linalg.norm
    return {name: float(norm(c - exact) / norm(exact)) for name, c in found.items()}


# ---------------------------------------------------------------------- the machine


def machine(device: str) -> dict[str, str]:
    """What the measurements are taken on."""
    found = {"date": datetime.datetime.now(datetime.UTC).date().isoformat()}
    if device != "cpu":
        import cupy

        runtime = cupy.cuda.runtime
        found |= {
            "GPU": mg.cuda.device_name(device),
            "driver": f"{driver()} (CUDA {_two_numbers(runtime.driverGetVersion())})",
            "CUDA runtime": _two_numbers(runtime.runtimeGetVersion()),
            "CuPy": cupy.__version__,
        }
    try:
        found["PyTorch"] = version("torch")
    except PackageNotFoundError:
        found["PyTorch"] = "none"
    if device != "cpu" and "torch" in sys.modules:
        found["cuDNN"] = str(sys.modules["torch"].backends.cudnn.version())
    return found | {
        "NumPy": np.__version__,
        "Python": platform.python_version(),
        "minigrad": mg.__version__,
        "host": f"{mg.cpu.cores()} cores of {mg.cpu.processor()}",
    }


def driver() -> str:
    """The version of NVIDIA's driver."""
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        finished = subprocess.run(query, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return finished.stdout.split("\n")[0].strip() or "unknown"


def _two_numbers(cuda: int) -> str:
    """13000 is CUDA 13.0."""
    return f"{cuda // 1000}.{cuda % 1000 // 10}"


def in_a_line(found: dict[str, str]) -> str:
    """All that is known of the machine."""
    return ", ".join(f"{name} {value}" for name, value in found.items())


# ---------------------------------------------------------------------- the report


def show(results: dict) -> str:
    """All results as Markdown."""
    precision = "TensorFloat-32" if results["tf32"] else "float32"
    errors = ", ".join(f"{name} {error:.0e}" for name, error in results["errors"].items())
    parts = [
        f"Measured on: {in_a_line(results['machine'])}.",
        f"Products in {precision}; the relative error of one: {errors}.",
    ]
    for name, result in results["configurations"].items():
        parts += [f"### {name}: {result['model']}", *_of_configuration(result["peers"])]
    return "\n\n".join(parts)


def _of_configuration(peers: dict) -> list[str]:
    reference = next(iter(peers))
    rows = [
        [
            peer,
            "{1:.2f} ({0:.2f} to {2:.2f})".format(*(1e3 * s for s in r["seconds"])),
            f"{r['tokens per second']:,.0f}",
            "{1:.2f} ({0:.2f} to {2:.2f})".format(*r["ratios"][reference]),
            f"{1e3 * r['issuing']:.2f}",
            f"{r['difference']:.0e}",
        ]
        for peer, r in peers.items()
    ]
    head = ["peer", "step, ms", "tokens/s", f"x {reference}", "issued in, ms", "losses differ by"]
    parts = [table(head, rows)]
    split = {peer: r for peer, r in peers.items() if "split" in r}
    if split:
        columns = [*KINDS, "gaps"]
        rows = [
            [peer, *(f"{r['split'][kind] / 1e3:.2f}" for kind in columns), f"{r['launches']:.0f}"]
            for peer, r in split.items()
        ]
        parts += ["A step of the GPU, in ms:", table(["peer", *columns, "launches"], rows)]
    return parts + _aims(peers) + _warnings(peers)


def _aims(peers: dict) -> list[str]:
    lines = []
    for other, aim in AIMS.items():
        if other in peers and "minigrad:fused" in peers:
            ratio = peers["minigrad:fused"]["ratios"][other][1]
            met = "met" if ratio >= aim else "missed"
            lines.append(f"minigrad:fused is {ratio:.2f} x {other}; aim {aim}: {met}.")
    return lines


def _warnings(peers: dict) -> list[str]:
    reference = next(iter(peers))
    return [
        f"**WRONG: the losses of {peer} are not those of {reference}.**"
        for peer, r in peers.items()
        if not r["difference"] <= DIFFERENCE
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cuda", help='(default: "cuda"; "cpu": to try it)')
    parser.add_argument("--configs", default=",".join(ON_GPUS), help="(default: %(default)s)")
    parser.add_argument("--peers", default=",".join(DEFAULT), help="(default: %(default)s)")
    parser.add_argument("--rounds", type=positive, default=11, help="of turns (default: 11)")
    parser.add_argument("--seconds", type=float, default=0.3, help="of a turn (default: 0.3)")
    parser.add_argument("--tf32", action="store_true", help="products in TensorFloat-32")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the results too")
    parser.add_argument("--machine", action="store_true", help="only tell what it would run on")
    parser.add_argument("--quick", action="store_true", help="tiny models: only to see it run")
    args = parser.parse_args()
    names = chosen(parser, args.configs, list(ON_GPUS))
    if args.device != "cpu":
        try:
            mg.cuda.synchronize(args.device)
        except (RuntimeError, ValueError) as error:
            parser.error(str(error))
    peers = steps.installed(chosen(parser, args.peers, PEERS))
    for peer in peers:
        steps.load(peer, ON_GPUS[names[0]], args.device)  # imports its library
    results = {"what": "gpu", "machine": machine(args.device), "tf32": args.tf32}
    print(f"{in_a_line(results['machine'])}\n", flush=True)
    if args.machine:
        return
    set_precision(args.tf32, args.device)
    results |= {"errors": product_errors(args.device), "configurations": {}}
    configurations = {name: ON_GPUS[name] for name in names}
    rounds, seconds = args.rounds, args.seconds
    if args.quick:
        configurations = {name: c.tiny() for name, c in configurations.items()}
        rounds, seconds = 2, 0.01
    for name, c in configurations.items():
        print(f"({name}: {rounds} rounds of turns)", file=sys.stderr, flush=True)
        results["configurations"][name] = measured(c, peers, args.device, rounds, seconds)
        forget()
        save(args.json, results)
    if args.device != "cpu" and "torch" in sys.modules:
        try:  # after all is timed: what the profiler starts does not end with it
            add_splits(results["configurations"], configurations, args.device)
        except (
            Exception
        ) as error:  # what was timed is not lost, whatever the profiler comes up with
            left_out("where the time goes", f"fails ({type(error).__name__}: {error})")
        save(args.json, results)
    print(show(results))


def add_splits(results: dict, configurations: dict[str, Configuration], device: str) -> None:
    """`add_split` to each configuration."""
    warm = Contestant("pytorch:layer", next(iter(configurations.values())).tiny(), device)
    profiled(warm.step, 1, warm.wait)  # the first time the profiler has to start
    for name, c in configurations.items():
        print(f"({name}: where the time goes)", file=sys.stderr, flush=True)
        add_split(results[name], c, device)
        forget()


if __name__ == "__main__":
    main()
