"""What reaches the null device, counted: launches, matrix products, copies, synchronisations.

``with count() as counts: step()`` counts what happens inside.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Counts:
    """How often each thing was asked of the device."""

    launches: int = 0
    """Kernels, matrix products and sorting apart."""
    products: int = 0
    """Calls of cuBLAS."""
    sorts: int = 0
    """Calls of Thrust, each of which launches several kernels."""
    host_to_device: int = 0
    device_to_host: int = 0
    device_to_device: int = 0
    """Copies, by direction."""
    synchronisations: int = 0
    """Waiting of the host for the device."""
    kernels: Counter[str] = field(default_factory=Counter)
    """Launches by the name of the kernel."""
    float64: Counter[str] = field(default_factory=Counter)
    """Launches and products with an array of float64, by the name of the kernel."""
    calls: Counter[str] = field(default_factory=Counter)
    """Every entry point of the CUDA runtime and driver that was called, by name."""
    launched_threads: list[tuple[str, int, int]] = field(default_factory=list)
    """For each launch the kernel, its blocks, and the threads of a block."""

    def traffic(self) -> dict[str, int]:
        """What a training step must not do: copies to or from the host, synchronisations."""
        names = ("host_to_device", "device_to_host", "synchronisations", "sorts")
        return {name: getattr(self, name) for name in names}


_open: list[Counts] = []


@contextlib.contextmanager
def count() -> Iterator[Counts]:
    """Count what reaches the device inside of the block."""
    counts = Counts()
    _open.append(counts)
    try:
        yield counts
    finally:
        _open.remove(counts)


def record(name: str, how_often: int = 1) -> None:
    """Add to the field `name` of all counts that are open."""
    for counts in _open:
        setattr(counts, name, getattr(counts, name) + how_often)


def record_call(entry_point: str) -> None:
    for counts in _open:
        counts.calls[entry_point] += 1


def record_launch(kernel: str, blocks: int, threads: int, has_float64: bool) -> None:
    for counts in _open:
        counts.launches += 1
        counts.kernels[kernel] += 1
        counts.launched_threads.append((kernel, blocks, threads))
        if has_float64:
            counts.float64[kernel] += 1


def record_product(name: str, has_float64: bool) -> None:
    for counts in _open:
        counts.products += 1
        if has_float64:
            counts.float64[name] += 1
