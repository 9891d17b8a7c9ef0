"""What a GPU is busy with during training steps: its kernels, sorted by what they do.

PyTorch's profiler sees the kernels of the whole process, CuPy's too. A kernel is told by its name.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PRODUCTS = "matrix products"
OURS = "minigrad's kernels"
CUPYS = "CuPy's kernels"
COPIES = "copies, fills"
OTHERS = "others"
KINDS = (PRODUCTS, OURS, CUPYS, COPIES, OTHERS)

# cuBLAS and cuDNN name their kernels after the library or the instruction that does the work.
PRODUCT = re.compile(
    r"gemm|gemv|gemmk|xmma|cutlass|nvjet|splitk|cublas|\bdot_kernel|reduce_1block_kernel",
    re.IGNORECASE,
)


@dataclass
class Times:
    """Of one training step: microseconds."""

    busy: float  # while at least one kernel, copy or fill runs
    by_kind: dict[str, float] = field(default_factory=dict)
    launches: float = 0.0  # of kernels, copies and fills
    longest: list[tuple[str, float, float]] = field(default_factory=list)  # name, number, time


def kind_of(name: str, category: str) -> str:
    """Which of `KINDS` a kernel, copy or fill of the profiler's `category` is."""
    if category != "kernel":
        return COPIES
    if name.startswith("minigrad_"):
        return OURS
    if PRODUCT.search(name):
        return PRODUCTS
    return CUPYS if name.startswith("cupy_") else OTHERS


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """How long at least one of `spans`, pairs of beginning and end, goes on."""
    total, reached = 0.0, float("-inf")
    for begin, end in sorted(spans):
        total += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return total


def times(events: Sequence[dict[str, Any]], steps: int) -> Times:
    """Of one of `steps` training steps, whose `events` are those of a trace in Chrome's format."""
    busy = [e for e in events if e.get("cat") in ("kernel", "gpu_memcpy", "gpu_memset")]
    by_kind, numbers, durations = dict.fromkeys(KINDS, 0.0), Counter(), Counter()
    for event in busy:
        by_kind[kind_of(event["name"], event["cat"])] += event["dur"] / steps
        numbers[event["name"]] += 1
        durations[event["name"]] += event["dur"]
    return Times(
        covered((e["ts"], e["ts"] + e["dur"]) for e in busy) / steps,
        by_kind,
        len(busy) / steps,
        [(name, numbers[name] / steps, time / steps) for name, time in durations.most_common(20)],
    )


def profiled(step: Callable[[], object], steps: int, wait: Callable[[], None]) -> Times:
    """Run `step` so many times under PyTorch's profiler; `wait` until the GPU has done it.

    Raises
    ------
    RuntimeError
        if the profiler has seen no kernel.
    """
    from torch.profiler import ProfilerActivity, profile

    wait()
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as trace:
        for _ in range(steps):
            step()
        wait()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace.json"
        trace.export_chrome_trace(str(file))
        events = json.loads(file.read_text("utf-8"))["traceEvents"]
    found = times(events, steps)
    if not found.launches:
        raise RuntimeError("PyTorch's profiler has seen no kernel")
    return found
