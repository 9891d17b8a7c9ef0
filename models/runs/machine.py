"""The machine that a run is on."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from minigrad import cpu, cuda


def machine(device: str = "cpu") -> dict[str, Any]:
    """What else than the run itself the last bits of a result depend on."""
    used = cpu.blas()
    return {
        "device": "cpu" if device == "cpu" else cuda.device_name(device),
        "processor": cpu.processor(),
        "python": ".".join(map(str, sys.version_info[:2])),
        "numpy": np.__version__,
        "blas": f"{used.name} {used.version} {used.kernel}",
        "blas threads": used.threads,
        "threads": cpu.threads(),
    }


def machine_differences(saved: Mapping[str, Any], device: str = "cpu") -> str:
    """What has changed in `machine(device)` since it was saved; empty: nothing."""
    here, saved = machine(device), {"device": "cpu", **saved}
    return "; ".join(
        f"{name} {saved[name]}, now {here.get(name)}"
        for name in saved
        if saved[name] != here.get(name)
    )
