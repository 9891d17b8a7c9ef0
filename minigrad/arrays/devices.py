"""Where arrays are: on the CPU or on the GPU; moving them, and never mixing the two.

A device is named ``"cpu"`` or ``"cuda"``: a process works with one GPU, the current one. Several
GPUs are several processes. What is on the GPU is computed there, by CuPy and by the kernels;
nothing moves unless somebody says so: by ``Tensor.to``, ``device=``, or a default device for data
that comes from the host.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

import numpy as np

from minigrad.arrays.library import Array, Device, DType, array_module, as_array, bare

gpus: list[int] = []
"""The GPUs of this machine by number, once one has been asked for; while it is empty, no array can
be on one, and nobody needs to look."""


# -------------------------------------------------------------------------------- names, and moving


def device_of(x: Array) -> Device:
    """Where an array, or a Tensor's array, is: ``"cpu"`` or ``"cuda:0"``."""
    return "cpu" if array_module(x) is np else f"cuda:{bare(x).device.id}"


def checked_device(device: Device) -> tuple[str, int | None]:
    """A device's kind, ``"cpu"`` or ``"cuda"``, and its number if it names one.

    Raises
    ------
    ValueError
        if it is no name of a device.
    """
    name, colon, index = str(device).partition(":")
    if name not in ("cpu", "cuda") or (colon and (name == "cpu" or not index.isdecimal())):
        raise ValueError(f'device: expected "cpu" or "cuda", got {device!r}')
    return name, int(index) if index else None


def library_of(device: Device) -> Any:
    """The array library of `device`: the module ``numpy`` or ``cupy``; raises as `to_device`."""
    name, index = checked_device(device)
    if name == "cpu":
        return np
    cupy = require_cupy()
    if index is not None:
        check_current(index)
    return cupy


def check_current(index: int) -> None:
    """Raise a ValueError unless `index` is the number of the GPU that this process works with."""
    current = require_cupy().cuda.Device().id
    if index not in gpus:
        here = ", ".join(f'"cuda:{i}"' for i in gpus)
        raise ValueError(f"device: there is no 'cuda:{index}' here, only {here}")
    if index != current:
        raise ValueError(
            f"device: 'cuda:{index}' is not the GPU of this process, which is 'cuda:{current}'. A "
            f"process works with one GPU: to use that one, start it with CUDA_VISIBLE_DEVICES="
            f'{index} and write device="cuda"; several GPUs are several processes, each with the '
            "number of its rank"
        )


def to_device(x: Array, device: Device) -> Array:
    """`x` on `device`: itself when it is there already, else a copy.

    Raises
    ------
    ValueError
        for a device that has no such name, or a GPU that is not the one of this process.
    RuntimeError
        if there is no GPU, no driver, or no CuPy to reach it by.
    """
    xp = library_of(device)
    if array_module(x) is xp:
        return x
    return x.get() if xp is np else xp.asarray(x)


def beside(x: Array, other: Any) -> Array:
    """The array `x` on the device of `other`, a Tensor or an array."""
    return to_device(x, device_of(other)) if gpus else x


def require_cupy() -> Any:
    """The module ``cupy``; a RuntimeError that says what is missing if no GPU can be used."""
    try:
        import cupy
    except ImportError as error:
        raise RuntimeError(
            'device: "cuda" needs CuPy, which cannot be imported here '
            f'({error}); in the checkout of minigrad: python -m pip install ".[gpu]"'
        ) from None
    if not gpus:
        if not cupy.cuda.is_available():
            raise RuntimeError(_why_unavailable(cupy))
        gpus[:] = range(cupy.cuda.runtime.getDeviceCount())
    return cupy


def _why_unavailable(cupy: Any) -> str:
    """What keeps CuPy from using a GPU."""
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:  # of CUDA's own types; a wheel for another CUDA raises ImportError
        reason = str(error)
    else:
        reason = f"{count} GPUs were found"
    return (
        f'device: "cuda" was asked for, but CuPy {cupy.__version__} cannot use a GPU here '
        f"({reason}). It needs an NVIDIA GPU, a driver for the CUDA version that the wheel is made "
        "for (cupy-cuda13x: CUDA 13), and no second CuPy beside it; `nvidia-smi` shows the first "
        "two, `pip list` the last"
    )


# ------------------------------------------------------------------------------- the default device


VARIABLE = "MINIGRAD_DEVICE"
"""Of the environment: the default device to begin with."""

_default: Device = os.environ.get(VARIABLE) or "cpu"
checked_device(_default)


def set_default_device(device: Device) -> None:
    """Say where data from the host goes that is given no device.

    At first that is the CPU, or what the environment variable MINIGRAD_DEVICE says:
    ``MINIGRAD_DEVICE=cuda python program.py``.

    It holds for Tensors made of numbers, lists and NumPy arrays, for new layers, and for NumPy
    arrays beside a Tensor that is on a GPU (each of which is then copied, each time). What is on a
    GPU stays there, and so does a Tensor on the CPU.

    Parameters
    ----------
    device
        ``"cpu"`` or ``"cuda"``.

    Raises
    ------
    ValueError, RuntimeError
        for a device that does not exist, or is not to be had here.
    """
    global _default
    to_device(np.zeros(0), device)  # raises if it is not to be had
    _default = device


def get_default_device() -> Device:
    """Where data from the host goes that is given no device; see `set_default_device`."""
    return _default


def place(value: Any, dtype: DType = None, device: Device | None = None) -> Array:
    """`value` as an array on `device`; None: host data on the default device, others where it is.

    Raises what `as_array` and `to_device` raise.
    """
    if array_module(value) is np:
        array = as_array(value, dtype)
        device = _default if device is None else device
        return array if device == "cpu" else to_device(array, device)
    require_cupy()
    check_current(bare(value).device.id)
    array = as_array(value, dtype)
    return array if device is None else to_device(array, device)


# ---------------------------------------------------------------------------------------- no mixing


def check_together(op: str, names: Sequence[str], values: Sequence[Any]) -> None:
    """Raise a ValueError, which names two, if the arrays among `values` are not on one device."""
    first: Any = None
    for name, value in zip(names, values, strict=False):
        several = type(value) in (tuple, list)
        for i, array in enumerate(value if several else (value,)):
            if type(array) is np.ndarray or type(array).__module__ == "cupy":
                label = f"{name}[{i}]" if several else name
                if first is None:
                    first, x = label, array
                elif type(array) is not type(x):
                    _refuse(op, first, x, label, array)


def _refuse(op: str, one: str, a: Array, other: str, b: Array) -> NoReturn:
    on_a, on_b = device_of(a), device_of(b)
    name, gpu = (one, on_b) if on_a == "cpu" else (other, on_a)
    raise ValueError(
        f"{op}: {one} ({a.dtype} {a.shape}) is on {on_a}, {other} ({b.dtype} {b.shape}) on {on_b}; "
        f"nothing moves by itself; put {name} on {gpu}: a Tensor or a whole model by "
        f".to({gpu!r}), a NumPy array by minigrad.tensor(..., device={gpu!r})"
    )


def strays(made: Iterable[Any], like: Any) -> Device:
    """The device of the first array `made` that is not where `like` is; empty if all are there."""
    xp = array_module(like)
    arrays = [x.values if getattr(x, "is_sparse", False) else x for x in made if x is not None]
    return next((device_of(x) for x in arrays if array_module(x) is not xp), "")


# ---------------------------------------------------------------------------------- a single number

_units: dict[Any, Array] = {}


def unit(like: Array) -> Array:
    """Ones of the shape, dtype and device of `like`.

    For a single number on a GPU it is the same array each time, not to be changed, which is known
    as 1 (by `is_unit`) without a look at it.
    """
    xp = array_module(like)
    if xp is np or like.ndim:
        return xp.ones_like(like)
    if like.dtype not in _units:
        _units[like.dtype] = xp.ones_like(like)
    return _units[like.dtype]


def is_unit(g: Array) -> bool:
    """Whether the array `g`, a single number, is known to be 1, without waiting for a GPU."""
    return bool(g == 1) if array_module(g) is np else g is _units.get(g.dtype)
