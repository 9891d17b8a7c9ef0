"""The machine that a run is on."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from minigrad import cuda
from minigrad.arrays import blas, threads


def machine(device: str = "cpu") -> dict[str, Any]:
    """What the last bits of a result depend on, besides the run itself."""
    used = blas.in_use()
    return {
        "device": "cpu" if device == "cpu" else cuda.device_name(device),
        "processor": blas.processor(),
        "python": ".".join(map(str, sys.version_info[:2])),
        "numpy": np.__version__,
        "blas": f"{used.name} {used.version} {used.kernel}",
        "blas threads": used.threads,
        "threads": threads.count(),
    }


def machine_differences(saved: Mapping[str, Any], device: str = "cpu") -> str:
    """What of `machine(device)` is no longer as it was; empty if nothing is."""
    here, saved = machine(device), {"device": "cpu", **saved}
    return "; ".join(
        f"{name} {saved[name]}, now {here.get(name)}"
        for name in saved
        if saved[name] != here.get(name)
    )
