"""What the measurements were taken on."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from importlib.metadata import version

import numpy as np
import steps
from contest import SPAWN

import minigrad as mg


def describe(peers: Iterable[str], threads: int) -> str:
    """Processor, cores, versions, and the BLAS, with the kernels that it chooses, in a line."""
    with SPAWN.Pool(1) as pool:
        used = pool.apply(mg.cpu.blas)
    vectors = "".join(f", {name}" for name in sorted(mg.cpu.vector_instructions()))
    library = " ".join(filter(None, (used.name, used.version)))
    return (
        f"{mg.cpu.cores()} cores of {mg.cpu.processor()}{vectors}; {platform.system()}, "
        f"Python {platform.python_version()}, NumPy {np.__version__} with {library} "
        f"(by itself {used.kernel or 'unknown'} kernels), "
        f"minigrad {mg.__version__}{_versions(peers)}; "
        f"{threads} thread{'s' * (threads > 1)}, {'wall' if threads > 1 else 'CPU'} time"
    )


def _versions(peers: Iterable[str]) -> str:
    packages = dict.fromkeys(steps.package(peer) for peer in peers)
    others = [name for name in packages if name not in ("numpy", "minigrad")]
    return "".join(f", {name} {version(name)}" for name in others)
