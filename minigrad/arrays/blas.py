"""The BLAS, which multiplies NumPy's matrices: which one it is, and whether it could be faster.

OpenBLAS has kernels for many generations of processors, and chooses some when it is loaded. For a
processor that it does not know, it chooses those of an older one: AVX2 although there is AVX-512.
On some processors (AMD Zen 5) this costs half the speed, on others (Zen 4) almost nothing. So both
are measured once, and the result is kept in the cache. The variable ``OPENBLAS_CORETYPE`` makes
OpenBLAS choose other kernels, but only if it is set before NumPy is loaded. So a process can find
out that its kernels are old, but cannot change them. A command starts itself again
(`restart_with_better_kernel`), or starts its workers with `better_environment`.

Only a command that calls one of these two gets other kernels; ``import minigrad`` does nothing like
that. ``python -m minigrad`` reports what is used.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Set
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import geometric_mean
from time import perf_counter
from typing import Any

import numpy as np

from minigrad.files import cache_dir, write_atomically

SHAPES = ((1024, 1024, 1024), (20, 650, 2600))  # a large product, and a step of a recurrent layer
SECONDS = 0.08  # of measurement for each shape
GAIN = 1.1  # a smaller gain is not worth a variable

# OpenBLAS's names of its kernels for x86, except those that only it can judge (Excavator).
AVX512_KERNELS = frozenset({"Cooperlake", "SapphireRapids", "SkylakeX"})
AVX2_KERNELS = frozenset({"Haswell", "Zen"})
OLDER_KERNELS = frozenset(
    (  # noqa: SIM905
        "Katmai Coppermine Northwood Prescott Banias Atom Core2 Penryn Dunnington Nehalem Athlon "
        "Opteron Opteron_SSE3 Barcelona Nano Sandybridge Bobcat Bulldozer Piledriver Steamroller"
    ).split()
)


@dataclass(frozen=True)
class Blas:
    """A BLAS library in this process; None stands for what is not known."""

    name: str  # "openblas", "mkl", "blis" ...
    version: str | None = None
    kernel: str | None = None
    threads: int | None = None  # how many it uses


def in_use() -> Blas:
    """The BLAS of this process, from the package threadpoolctl; without it, from NumPy's build."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        pass
    else:
        for library in threadpool_info():  # in the order of loading
            if library["user_api"] == "blas":
                return Blas(
                    library["internal_api"],
                    library["version"],
                    library.get("architecture"),
                    library["num_threads"],
                )
    built = np.show_config(mode="dicts").get("Build Dependencies", {}).get("blas", {})
    return Blas(built.get("name", "unknown"), built.get("version"))


def one_thread() -> AbstractContextManager[Any]:
    """A context in which the BLAS uses one thread, if threadpoolctl is installed."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return nullcontext()
    context: AbstractContextManager[Any] = threadpool_limits(1)
    return context


def processor() -> str:
    """The name of the processor."""
    info = Path("/proc/cpuinfo")
    text = info.read_text("utf-8") if info.exists() else ""
    name = re.search(r"^model name\s*:\s*(.+)$", text, re.M)
    return name[1] if name else platform.processor() or platform.machine()


def vector_instructions() -> frozenset[str]:
    """Which of "AVX2" and "AVX-512" NumPy has found in the processor, in the form kernels need.

    "AVX2" means AVX2 with FMA. "AVX-512" means its parts F, CD, BW, DQ and VL, which processors
    have from Skylake-X on.
    """
    simd = np.show_config(mode="dicts").get("SIMD Extensions", {})
    names = {*simd.get("baseline", []), *simd.get("found", [])}
    found = set()
    if {"AVX2", "FMA3"} <= names or "X86_V3" in names:  # the names before NumPy 2.4, and since
        found.add("AVX2")
    if not names.isdisjoint({"AVX512_SKX", "X86_V4"}):
        found.add("AVX-512")
    return frozenset(found)


def newer_kernel(used: Blas, instructions: Set[str]) -> str | None:
    """The ``OPENBLAS_CORETYPE`` that is newer than `used` and fits a processor's `instructions`.

    None if there is no such kernel: the kernels used belong to the processor's generation, or are
    not known, or the library is not OpenBLAS. `gain` measures whether the newer ones are faster.
    """
    if used.name != "openblas":
        return None
    if "AVX-512" in instructions and used.kernel in AVX2_KERNELS | OLDER_KERNELS:
        return "SkylakeX"
    if "AVX2" in instructions and used.kernel in OLDER_KERNELS:
        return "Haswell"
    return None


def speeds() -> list[float]:
    """For each of `SHAPES`, the GFLOP/s of the fastest float32 product within the time."""
    result = []
    for rows, inner, columns in SHAPES:
        a, b = np.ones((rows, inner), np.float32), np.ones((inner, columns), np.float32)
        out = a @ b  # to warm up
        fastest, end = float("inf"), perf_counter() + SECONDS
        while (start := perf_counter()) < end:
            np.matmul(a, b, out=out)
            fastest = min(fastest, perf_counter() - start)
        result.append(2e-9 * rows * inner * columns / fastest)
    return result


def speeds_with(kernel: str) -> list[float]:
    """`speeds` of another process, with `kernel` and one thread.

    With more threads, these would wait for each other on a busy machine, and the difference between
    kernels would not show.

    Raises
    ------
    RuntimeError
        if that does not work here.
    """
    code = (
        "import json; from minigrad.arrays import blas; "
        "print(json.dumps([blas.in_use().kernel, blas.speeds()]))"
    )
    try:
        worker = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"OPENBLAS_CORETYPE": kernel, "OPENBLAS_NUM_THREADS": "1"},
            capture_output=True,
            check=True,
            timeout=60,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise RuntimeError(f"trying them failed ({type(error).__name__})") from error
    taken, result = json.loads(worker.stdout)
    if taken != kernel:
        raise RuntimeError(f"this {in_use().name} has none")
    return [float(speed) for speed in result]


def gain(new: list[float], old: list[float]) -> float:
    """How many times as fast as `old` the speeds `new` are, over all `SHAPES` together."""
    return geometric_mean(after / before for after, before in zip(new, old, strict=True))


def better_kernel(used: Blas, instructions: Set[str]) -> str | None:
    """The newer kernel, if it is faster than `used` by more than `GAIN`; else None.

    The first call measures it for a second, in two processes, and keeps the result in the cache. So
    every process on a machine makes the same choice, and computes the same bits.
    """
    kernel = newer_kernel(used, instructions)
    if kernel is None or used.kernel is None:
        return None
    path = cache_dir() / "kernels.json"
    key = f"{processor()}, {used.name} {used.version}: {kernel} for {used.kernel}"
    known: dict[str, float] = {}
    with suppress(OSError, ValueError, TypeError, AttributeError):  # missing, or damaged
        known = {str(k): float(v) for k, v in json.loads(path.read_text("utf-8")).items()}
    if key not in known:
        try:
            known[key] = gain(speeds_with(kernel), speeds_with(used.kernel))
        except RuntimeError:
            return None
        with suppress(OSError):  # if it cannot be kept, it is measured again
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, json.dumps(known, indent=1).encode())
    return kernel if known[key] > GAIN else None


def better_environment() -> dict[str, str]:
    """The variables that give a new process better kernels than this one has; often none.

    They are for a parent that starts workers: ``env=os.environ | better_environment()``. If
    ``OPENBLAS_CORETYPE`` is set already, somebody has chosen, and there are none.
    """
    if "OPENBLAS_CORETYPE" in os.environ:
        return {}
    kernel = better_kernel(in_use(), vector_instructions())
    return {"OPENBLAS_CORETYPE": kernel} if kernel else {}


def restart_with_better_kernel() -> None:
    """Run this process's command line again if that gives it better kernels; else do nothing.

    Call it in the first line of a command, since all that came before is done again. The process
    stays the same, with its files, its terminal and its exit status. It restarts only once, since
    the variable is set then. On Windows it does nothing: there the new run would be another
    process, and the shell would not wait for it.
    """
    if os.name != "posix" or not sys.executable:
        return
    if environment := better_environment():
        with suppress(OSError):  # old kernels are better than no run
            command = [sys.executable, *sys.orig_argv[1:]]
            os.execve(sys.executable, command, os.environ | environment)
