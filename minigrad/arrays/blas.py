"""The BLAS, which multiplies NumPy's matrices: which one it is, and whether it could be faster.

OpenBLAS has kernels for many generations of processors, and chooses some when it is loaded. For a
processor that it does not know, it chooses those of an older one: AVX2 although there is AVX-512.
On some processors (AMD Zen 5) this costs half the speed. On others (Zen 4) it depends on the shapes
of the matrices which kernels are faster. So both are measured once, and the result is kept in the
cache. The variable ``OPENBLAS_CORETYPE`` makes OpenBLAS choose other kernels, but only if it is set
before NumPy is loaded. So a process can find out that other kernels are faster, but cannot change
its own. A command starts itself again (`restart_with_better_kernel`), or starts its workers with
`better_environment`.

Only a command that calls one of these gets other kernels; ``import minigrad`` does nothing like
that. ``python -m minigrad`` reports what is used.
"""

from __future__ import annotations

import json
import math
import os
import platform
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import geometric_mean
from threading import Timer
from time import get_clock_info, perf_counter, process_time
from typing import Any, NamedTuple

import numpy as np

from minigrad.arrays.blocks import in_blocks
from minigrad.files import cache_dir, write_atomically

SHAPES = ((1024, 1024, 1024), (20, 650, 2600))  # a large product, and a step of a recurrent layer
SECONDS = 0.08  # of measurement for each shape
GAIN = 1.1  # over those shapes; a smaller gain is not worth a variable

TURNS = 5  # in which two kernels are compared on given products, at most
TURN = 0.05  # seconds of a turn for each kernel, about
ENOUGH = 0.8  # seconds, after which no other turn begins
OWN_GAIN = 1.025  # over given products; a smaller one may be chance
LARGEST = 1 << 28  # rows * inner * columns that are measured of a product: some milliseconds
REMEMBERED = 200  # comparisons in the cache

CPU_CLOCK = process_time if get_clock_info("process_time").resolution < 1e-6 else perf_counter
"""What times one thread, whatever else the machine does; it is too coarse on Windows."""

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


class Product(NamedTuple):
    """The matrix product (rows, inner) @ (inner, columns) in float32, done so many times."""

    rows: int
    inner: int
    columns: int
    times: int = 1
    layout: str = "NN"
    """A letter for each factor, as BLAS has them: "T" if it is the transpose of a stored array."""

    @property
    def flop(self) -> int:
        """Multiplications and additions."""
        return 2 * self.rows * self.inner * self.columns * self.times


TYPICAL = [Product(*shape) for shape in SHAPES]


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


def other_kernel(used: Blas, instructions: Set[str]) -> str | None:
    """The newer kernel; where AVX-512's are in use, AVX2's, which are faster for some shapes."""
    if used.name == "openblas" and used.kernel in AVX512_KERNELS and "AVX2" in instructions:
        return "Haswell"
    return newer_kernel(used, instructions)


def seconds(
    products: Sequence[Product], each: float, clock: Callable[[], float] = perf_counter
) -> list[float]:
    """The time of each product: that of its fastest call in `each` seconds, so many `times`.

    Of a large product a part is measured.
    """
    result = []
    for product in products:
        sizes = list(product[:3])
        while math.prod(max(size, 16) for size in sizes) > LARGEST:  # few rows have a large factor
            sizes[sizes.index(max(sizes))] //= 2
        parts = math.prod(product[:3]) / max(math.prod(sizes), 1)
        rows, inner, columns = sizes
        a, b = (
            np.ones(shape[::-1], np.float32).T if stored == "T" else np.ones(shape, np.float32)
            for shape, stored in zip(((rows, inner), (inner, columns)), product.layout, strict=True)
        )
        dot: Any = type(a).dot
        if product.layout == "NN":  # as in a recurrent layer
            dot, b = in_blocks(b, rows)
        out = np.ones((rows, columns), np.float32)  # not empty: its memory is there already
        fastest, end = float("inf"), perf_counter() + each
        while math.isinf(fastest) or perf_counter() < end:
            start = clock()
            dot(a, b, out)
            fastest = min(fastest, max(clock() - start, 1e-9))  # it may stand still
        result.append(fastest * parts * product.times)
    return result


def speeds() -> list[float]:
    """For each of `SHAPES`, the GFLOP/s of the fastest float32 product within the time."""
    return _speeds(seconds(TYPICAL, SECONDS))


def _speeds(times: Sequence[float]) -> list[float]:
    return [1e-9 * p.flop / time for p, time in zip(TYPICAL, times, strict=True)]


def speeds_with(kernel: str) -> list[float]:
    """`speeds` of another process, with `kernel` and one thread.

    Raises
    ------
    RuntimeError
        if that does not work here.
    """
    with _worker(kernel) as asked:
        return _speeds(asked(TYPICAL, SECONDS))


def times_with(kernels: Sequence[str], products: Sequence[Product]) -> list[float]:
    """The time of all `products` with each of `kernels`, which take turns, and one thread.

    Raises
    ------
    RuntimeError
        if that does not work here.
    """
    each = TURN / len(products)
    with ExitStack() as stack:
        workers = [stack.enter_context(_worker(kernel)) for kernel in kernels]
        turns: list[list[list[float]]] = []
        end = perf_counter() + ENOUGH
        while len(turns) < 2 or (len(turns) < TURNS and perf_counter() < end):
            turns.append([asked(products, each) for asked in workers])
    return [sum(map(min, zip(*of_kernel, strict=True))) for of_kernel in zip(*turns, strict=True)]


@contextmanager
def _worker(kernel: str) -> Iterator[Callable[[Sequence[Product], float], list[float]]]:
    """What asks `seconds` of a process with `kernel` and one thread.

    With more threads, these would wait for each other on a busy machine, and the difference between
    kernels would not show.
    """
    code = """if True:
        import json, sys
        from minigrad.arrays import blas
        for line in sys.stdin:
            products, each = json.loads(line)
            products = [blas.Product(*product) for product in products]
            times = blas.seconds(products, each, blas.CPU_CLOCK)
            print(json.dumps([blas.in_use().kernel, times]), flush=True)
    """
    try:
        with subprocess.Popen(
            [sys.executable, "-c", code],
            env=os.environ | {"OPENBLAS_CORETYPE": kernel, "OPENBLAS_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            questions, answers = process.stdin, process.stdout

            def asked(products: Sequence[Product], each: float) -> list[float]:
                print(json.dumps([products, each]), file=questions, flush=True)
                taken, times = json.loads(answers.readline())
                if taken != kernel:
                    raise RuntimeError(f"this {in_use().name} has none")
                return [float(time) for time in times]

            limit = Timer(60, process.kill)
            limit.start()
            try:
                yield asked
            finally:
                limit.cancel()
                process.kill()
    except (OSError, ValueError) as error:  # it has ended, and answers nothing
        raise RuntimeError(f"trying them failed ({type(error).__name__})") from error


def gain(new: list[float], old: list[float]) -> float:
    """How many times as fast as `old` the speeds `new` are, over all `SHAPES` together."""
    return geometric_mean(after / before for after, before in zip(new, old, strict=True))


def better_kernel(
    used: Blas, instructions: Set[str], products: Sequence[Product] | None = None
) -> str | None:
    """The kernel that is faster than `used`, if one is; else None.

    The first call measures it for a second, in two processes, and keeps the result in the cache. So
    every process on a machine makes the same choice, and computes the same bits.

    Parameters
    ----------
    used, instructions
        as `in_use` and `vector_instructions` give them.
    products
        what the process is going to compute, such as the products of a training step. Without any,
        newer kernels are better if they are faster for a general mixture, `SHAPES`.
    """
    kernel = (other_kernel if products else newer_kernel)(used, instructions)
    if kernel is None or used.kernel is None:
        return None
    path = cache_dir() / "kernels.json"
    key = f"{processor()}, {used.name} {used.version}: {kernel} for {used.kernel}"
    if products:
        times: Counter[Product] = Counter()
        for product in products:
            times[product._replace(times=1)] += product.times
        products = [product._replace(times=n) for product, n in sorted(times.items())]
        key += f" on {json.dumps(products)}"
    known = _remembered(path)
    if key not in known:
        with _one_at_a_time(path):
            known = _remembered(path)  # another process may have been faster
            if key not in known:
                try:
                    if products:
                        new, old = times_with((kernel, used.kernel), products)
                        known[key] = old / new
                    else:
                        known[key] = gain(speeds_with(kernel), speeds_with(used.kernel))
                except RuntimeError:
                    return None
                known = dict(list(known.items())[-REMEMBERED:])
                with suppress(OSError):  # if it cannot be kept, it is measured again
                    path.parent.mkdir(parents=True, exist_ok=True)
                    write_atomically(path, json.dumps(known, indent=1).encode())
    return kernel if known[key] > (OWN_GAIN if products else GAIN) else None


def _remembered(path: Path) -> dict[str, float]:
    with suppress(OSError, ValueError, TypeError, AttributeError):  # missing, or damaged
        return {str(k): float(v) for k, v in json.loads(path.read_text("utf-8")).items()}
    return {}


@contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    """Within it, no other process measures, where that can be helped.

    Processes that begin together would disturb each other, and might choose differently.
    """
    with ExitStack() as stack:
        with suppress(OSError, ImportError):  # Windows has no fcntl; a cache may be read-only
            import fcntl

            path.parent.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(path.with_suffix(".lock").open("w"))
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def better_environment(products: Sequence[Product] | None = None) -> dict[str, str]:
    """The variables that give a new process better kernels than this one has; often none.

    They are for a parent that starts workers: ``env=os.environ | better_environment()``. If
    ``OPENBLAS_CORETYPE`` is set already, somebody has chosen, and there are none. `products` are
    those of `better_kernel`.
    """
    if "OPENBLAS_CORETYPE" in os.environ:
        return {}
    kernel = better_kernel(in_use(), vector_instructions(), products)
    return {"OPENBLAS_CORETYPE": kernel} if kernel else {}


def restart_with_better_kernel(products: Sequence[Product] | None = None) -> None:
    """Run this process's command line again if that gives it better kernels; else do nothing.

    Call it in the first line of a command, since all that came before is done again; or as soon as
    the command knows which `products` it is going to compute: see `better_kernel`. The process
    stays the same, with its files, its terminal and its exit status. It restarts only once, since
    the variable is set then. On Windows it does nothing: there the new run would be another
    process, and the shell would not wait for it.
    """
    if _can_restart() and (environment := better_environment(products)):
        _restart(environment)


def restart_with_kernel(kernel: str | None) -> None:
    """Run this process's command line again with `kernel`, if it fits and is not in use.

    So a command computes the same bits as an earlier one, whose `in_use` it knows. Else it is as
    `restart_with_better_kernel`.
    """
    if (
        _can_restart()
        and "OPENBLAS_CORETYPE" not in os.environ
        and kernel is not None
        and kernel == other_kernel(in_use(), vector_instructions())
    ):
        _restart({"OPENBLAS_CORETYPE": kernel})


def _can_restart() -> bool:
    return os.name == "posix" and bool(sys.executable)


def _restart(environment: dict[str, str]) -> None:
    with suppress(OSError):  # old kernels are better than no run
        command = [sys.executable, *sys.orig_argv[1:]]
        os.execve(sys.executable, command, os.environ | environment)
