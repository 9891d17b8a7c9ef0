"""Facts about GPUs, and their settings: ``minigrad.arrays.cuda.is_available()``.

To use a GPU, nothing of this is needed: ``Tensor.to("cuda")``, ``Module.to("cuda")`` and
``device=`` are enough. CuPy is imported only when a function is called.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.arrays.devices import gpus, library_of, require_cupy
from minigrad.arrays.library import FLOAT32, Device
from minigrad.errors.values import told

__all__ = [
    "PRECISIONS",
    "device_count",
    "device_name",
    "empty_cache",
    "is_available",
    "memory_stats",
    "set_float32_matmul_precision",
    "synchronize",
]


def __dir__() -> list[str]:
    return __all__


def is_available() -> bool:
    """Whether there is a GPU, with a driver, that CuPy can use."""
    try:
        require_cupy()
    except RuntimeError:
        return False
    return True


def device_count() -> int:
    """The number of GPUs; 0 if none can be used."""
    return len(gpus) if is_available() else 0


def device_name(device: Device = "cuda") -> str:
    """The maker's name of a GPU; raises as `synchronize`."""
    properties = require_cupy().cuda.runtime.getDeviceProperties(_gpu(device).id)
    name = properties["name"]
    return name.decode() if isinstance(name, bytes) else str(name)


def synchronize(device: Device = "cuda") -> None:
    """Wait until a GPU has done all its work, for example before reading a clock.

    Raises
    ------
    ValueError
        if `device` is no GPU, or there is none of that number.
    RuntimeError
        if no GPU can be used.
    """
    _gpu(device).synchronize()


def memory_stats(device: Device = "cuda") -> dict[str, int]:
    """The use of the memory of a GPU, in bytes; raises as `synchronize`.

    Returns
    -------
    dict
        ``"allocated"``: the memory of arrays. ``"reserved"``: the memory that CuPy holds, for these
        arrays and for later ones, which then need no call of the driver. ``"free"`` and
        ``"total"``: those of the whole GPU, with all programs that use it.
    """
    _gpu(device)
    cupy = require_cupy()
    pool = cupy.get_default_memory_pool()
    free, total = cupy.cuda.runtime.memGetInfo()
    return {
        "allocated": pool.used_bytes(),
        "reserved": pool.total_bytes(),
        "free": free,
        "total": total,
    }


def empty_cache(device: Device = "cuda") -> None:
    """Give the memory that CuPy holds for later arrays back; raises as `synchronize`."""
    _gpu(device)
    require_cupy().get_default_memory_pool().free_all_blocks()


PRECISIONS = ("highest", "high")


def set_float32_matmul_precision(precision: str) -> None:
    """Set how exact matrix products of float32 are on GPUs; at first ``"highest"``.

    Parameters
    ----------
    precision
        ``"highest"``: in float32. ``"high"``: in TensorFloat-32, if the GPU has it (Ampere and
        later). Then factors are rounded to 10 bits after the point, and sums are float32. It is up
        to ten times as fast, with relative errors near 1e-3.

    Raises
    ------
    ValueError
        for another word.
    RuntimeError
        if no GPU can be used.
    """
    if precision not in PRECISIONS:
        raise ValueError(
            f"set_float32_matmul_precision: expected one of {PRECISIONS}, got {told(precision)}"
        )
    linalg = require_cupy()._core._routines_linalg  # CuPy's public switch is read once, at import
    kinds = {"highest": linalg.COMPUTE_TYPE_DEFAULT, "high": linalg.COMPUTE_TYPE_TF32}
    linalg.set_compute_type(FLOAT32, kinds[precision])


def _gpu(device: Device) -> Any:
    """CuPy's object for the GPU of this process."""
    library = library_of(device)
    if library is np:
        raise ValueError(f'device: expected "cuda", got {device!r}')
    return library.cuda.Device()
