"""How long the host takes to ask for one training step, if the GPU took no time at all.

    python tests/gpu/dry/host_time.py [C4] [C4-GRU] [C2] ...

What the GPU does is of no interest here, so CuPy runs on the null device, whose busiest functions
are C functions that do nothing: the driver's own part of a launch (about 2 microseconds) and that
of cuBLAS are not in the times. A step is timed many times; then each kind of work is timed by
itself, in a loop, and taken as often as a step has it. What remains is Python: minigrad's, and
CuPy's for views of arrays and for new ones. It needs CuPy and g++, but no GPU.
"""

from __future__ import annotations

import ctypes
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import entry_points
import null_device
from null_counts import count

REPEATS = 200

QUICK = r"""
extern "C" {
void Py_IncRef(void*);
extern char _Py_NoneStruct;
static void* none() { Py_IncRef(&_Py_NoneStruct); return &_Py_NoneStruct; }

long launches = 0;
void* launch(long, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, long, long,
             long, int) { launches++; return none(); }
int get_device(int) { return 0; }
void* set_device(int, int) { return none(); }
void* ensure_context() { return none(); }
int is_capturing(long, int) { return 0; }
void* memset_async(long, int, unsigned long, long, int) { return none(); }
void* memcpy_async(long, long, unsigned long, int, long, int) { return none(); }
}
"""
_RUNTIME, _DRIVER = "cupy_backends.cuda.api.runtime", "cupy_backends.cuda.api.driver"
REDIRECTED = [
    (_DRIVER, "launchKernel", "launch"),
    (_RUNTIME, "getDevice", "get_device"),
    (_RUNTIME, "setDevice", "set_device"),
    (_RUNTIME, "_ensure_context", "ensure_context"),
    (_RUNTIME, "streamIsCapturing", "is_capturing"),
    (_RUNTIME, "memsetAsync", "memset_async"),
    (_RUNTIME, "memcpyAsync", "memcpy_async"),
]


def quick_functions() -> Any:
    """The C functions above, compiled."""
    with tempfile.TemporaryDirectory() as directory:
        source, library = Path(directory) / "quick.cpp", Path(directory) / "quick.so"
        source.write_text(QUICK)
        command = ["g++", "-O2", "-shared", "-fPIC", str(source), "-o", str(library)]
        subprocess.run(command, check=True)
        return ctypes.PyDLL(str(library))


def install() -> Any:
    """Install the null device with them; returns the counter of launches."""
    quick = quick_functions()

    def redirect() -> None:
        for module, name, replacement in REDIRECTED:
            address = ctypes.cast(getattr(quick, replacement), ctypes.c_void_p).value
            entry_points.redirect(module, name, address)

    null_device.install(redirect)
    return ctypes.c_long.in_dll(quick, "launches")


def microseconds(function: Callable[[], Any], repeats: int = REPEATS, inner: int = 1) -> float:
    """The median time of a call."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(inner):
            function()
        times.append((time.perf_counter() - start) / inner)
    return 1e6 * statistics.median(times)


def costs() -> dict[str, float]:
    """Microseconds of each kind of work, at the sizes of C4."""
    import cupy

    from minigrad.nn.recurrent.kernels import lstm_forward

    T, N, H = 20, 20, 200
    h, c = (cupy.zeros((T + 1, N, H), "float32") for _ in range(2))
    gates, product = cupy.zeros((T, N, 4 * H), "float32"), cupy.zeros((N, 4 * H), "float32")
    W, before, dtype = cupy.zeros((4 * H, H), "float32").T, h[0], h.dtype
    states = c[:-1], c[1:], h[1:]
    work = {
        "a kernel of minigrad": lambda: lstm_forward.over(
            N * H, dtype, H, 0, gates, product, *states
        ),
        "a function of CuPy": lambda: cupy.multiply(before, before, before),
        "a matrix product": lambda: before.dot(W, product),
        "a view of an array": lambda: gates[0],
        "a new array": lambda: cupy.empty((N, H), dtype),
    }
    for function in work.values():
        function()
    return {name: microseconds(function, inner=100) for name, function in work.items()}


def own_launches(step: Callable[[], Any]) -> int:
    """How many kernels of minigrad's a step launches."""
    from minigrad.arrays.kernel import Kernel

    launched = 0
    launch = Kernel.__call__

    def counting(self: Any, blocks: int, *args: Any) -> None:
        nonlocal launched
        launched += blocks > 0
        launch(self, blocks, *args)

    Kernel.__call__ = counting
    try:
        step()
    finally:
        Kernel.__call__ = launch
    return launched


def report(name: str, launches: Any) -> None:
    from training_steps import benchmark, make_step

    step, _ = make_step(benchmark(name, full=True), "cuda")
    captured, _ = make_step(benchmark(name, full=True), "cuda", captured=True)
    for _ in range(10):
        step()
        captured()
    before = launches.value
    with count() as counts:
        step()
    all_launches, own, cost = launches.value - before, own_launches(step), costs()
    total = microseconds(step)
    replay = statistics.median(
        microseconds(captured, 1) / microseconds(step, 1) for _ in range(REPEATS)
    )
    parts = {
        "kernels of minigrad": (own, cost["a kernel of minigrad"]),
        "functions of CuPy": (all_launches - own, cost["a function of CuPy"]),
        "matrix products": (counts.products, cost["a matrix product"]),
    }
    print(f"{name}: {total:.0f} us a step; captured {replay * total:.0f} us ({replay:.0%})")
    rest = total
    for what, (how_many, each) in parts.items():
        of_all = how_many * each
        rest -= of_all
        print(
            f"  {how_many:4} {what:20} {each:5.1f} us each {of_all:7.0f} us {of_all / total:4.0%}"
        )
    print(f"  {'the rest, in Python':38} {rest:7.0f} us {rest / total:4.0%}")
    print("  " + "; ".join(f"{what}: {cost[what]:.1f} us" for what in list(cost)[3:]))


if __name__ == "__main__":
    counter = install()
    for configuration in sys.argv[1:] or ["C4"]:
        report(configuration, counter)
