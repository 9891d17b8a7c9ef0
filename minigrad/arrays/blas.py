"""The BLAS, which multiplies NumPy's matrices: which one it is, and whether better is to be had.

OpenBLAS holds kernels for many generations of processors, and picks some when it is loaded. On a
processor that it does not know it picks those of an older one: AVX2 where there is AVX-512. On some
processors (AMD Zen 5) that costs half the speed, on others (Zen 4) nearly nothing; so the two are
measured, once, and the result is remembered in the cache. The variable ``OPENBLAS_CORETYPE`` makes
OpenBLAS take others, but only if it is there before NumPy is. So a process can learn that its
kernels are old, yet not change them: a command starts itself once more
(`restart_with_better_kernel`), or starts its workers with `better_environment`.

Only a command that calls one of the two has its kernels chosen: ``import minigrad`` does not look.
``python -m minigrad`` reports what is here.
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

SHAPES = ((1024, 1024, 1024), (20, 650, 2600))  # a large product; a step of a recurrent layer
SECONDS = 0.08  # of measuring for each shape
GAIN = 1.1  # no more than this is not worth a variable

# OpenBLAS's names of its kernels for x86, but for those that it alone can judge (Excavator).
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
    """A BLAS library in this process; None is what could not be found out."""

    name: str  # "openblas", "mkl", "blis" ...
    version: str | None = None
    kernel: str | None = None
    threads: int | None = None  # how many it works with


def in_use() -> Blas:
    """The BLAS of this process, as the package threadpoolctl tells; without it, NumPy's build."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        pass
    else:
        for library in threadpool_info():  # in the order in which they were loaded
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
    """A context in which the BLAS works with one thread, if threadpoolctl is there to tell it."""
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
    """Which of "AVX2" and "AVX-512" NumPy has found in the processor, as kernels need them.

    AVX2 stands for AVX2 with FMA, and AVX-512 for its F, CD, BW, DQ and VL, as from Skylake-X on.
    """
    simd = np.show_config(mode="dicts").get("SIMD Extensions", {})
    names = {*simd.get("baseline", []), *simd.get("found", [])}
    found = set()
    if {"AVX2", "FMA3"} <= names or "X86_V3" in names:  # before NumPy 2.4, and from then on
        found.add("AVX2")
    if not names.isdisjoint({"AVX512_SKX", "X86_V4"}):
        found.add("AVX-512")
    return frozenset(found)


def newer_kernel(used: Blas, instructions: Set[str]) -> str | None:
    """The ``OPENBLAS_CORETYPE`` that is newer than `used` and fits a processor's `instructions`.

    None if there is none: the kernels are of the processor's generation, or are not known, or the
    library is not OpenBLAS. Whether the newer ones are faster, `gain` measures.
    """
    if used.name != "openblas":
        return None
    if "AVX-512" in instructions and used.kernel in AVX2_KERNELS | OLDER_KERNELS:
        return "SkylakeX"
    if "AVX2" in instructions and used.kernel in OLDER_KERNELS:
        return "Haswell"
    return None


def speeds() -> list[float]:
    """GFLOP/s of a float32 product of each of `SHAPES`: of the fastest that fits in the time."""
    result = []
    for rows, inner, columns in SHAPES:
        a, b = np.ones((rows, inner), np.float32), np.ones((inner, columns), np.float32)
        out = a @ b  # the first one warms up
        fastest, end = float("inf"), perf_counter() + SECONDS
        while (start := perf_counter()) < end:
            np.matmul(a, b, out=out)
            fastest = min(fastest, perf_counter() - start)
        result.append(2e-9 * rows * inner * columns / fastest)
    return result


def speeds_with(kernel: str) -> list[float]:
    """`speeds` of a process of its own that is told to use `kernel` and one thread.

    One, as threads wait for each other on a busy machine, which would hide what kernels are worth.

    Raises
    ------
    RuntimeError
        if that can't be had here.
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
    """How many times as fast the speeds `new` are as `old`, over all `SHAPES` together."""
    return geometric_mean(after / before for after, before in zip(new, old, strict=True))


def better_kernel(used: Blas, instructions: Set[str]) -> str | None:
    """The newer kernel, if it is faster than `used` by more than `GAIN`; else None.

    Measured in two processes when it is first asked, for a second, and remembered in the cache: so
    each process on a machine makes the same choice, and computes the same bits.
    """
    kernel = newer_kernel(used, instructions)
    if kernel is None or used.kernel is None:
        return None
    path = cache_dir() / "kernels.json"
    key = f"{processor()}, {used.name} {used.version}: {kernel} for {used.kernel}"
    known: dict[str, float] = {}
    with suppress(OSError, ValueError, TypeError, AttributeError):  # not there, or damaged
        known = {str(k): float(v) for k, v in json.loads(path.read_text("utf-8")).items()}
    if key not in known:
        try:
            known[key] = gain(speeds_with(kernel), speeds_with(used.kernel))
        except RuntimeError:
            return None
        with suppress(OSError):  # where nothing can be kept, it is measured again
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, json.dumps(known, indent=1).encode())
    return kernel if known[key] > GAIN else None


def better_environment() -> dict[str, str]:
    """The variables that give a new process better kernels than this one has; often none.

    They are for a parent that starts workers: ``env=os.environ | better_environment()``. Where
    ``OPENBLAS_CORETYPE`` is set already, whoever set it has chosen, and there are none.
    """
    if "OPENBLAS_CORETYPE" in os.environ:
        return {}
    kernel = better_kernel(in_use(), vector_instructions())
    return {"OPENBLAS_CORETYPE": kernel} if kernel else {}


def restart_with_better_kernel() -> None:
    """Run this process's command line anew if that gives it better kernels; else do nothing.

    For the first line of a command: what it has done so far is done twice. The process stays the
    same one, with its files, its terminal and its exit status. It happens once, as the variable is
    set then. On Windows nothing is done: there the new run would be another process, which the
    shell does not wait for.
    """
    if os.name != "posix" or not sys.executable:
        return
    if environment := better_environment():
        with suppress(OSError):  # rather the old kernels than no run at all
            command = [sys.executable, *sys.orig_argv[1:]]
            os.execve(sys.executable, command, os.environ | environment)
