"""Where arrays are, on the CPU or on the GPU, and how they are moved.

A device is named ``"cpu"`` or ``"cuda"``. A process works with one GPU, the current one; to use
several GPUs, start several processes. What is on the GPU is computed there, by CuPy and by the
kernels. Nothing moves unless the user says so: by ``Tensor.to``, by ``device=``, or by a default
device for data from the host (the CPU's memory).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

import numpy as np

from minigrad.arrays.library import (
    Array,
    Device,
    DType,
    StandIn,
    array_module,
    as_array,
    bare,
    is_array,
    on_gpu,
)
from minigrad.arrays.recording import constant, maker

gpus: list[int] = []
"""The numbers of this machine's GPUs; empty until a GPU is used for the first time. While it is
empty, no array can be on a GPU, and no op needs to check."""


VISIBLE = "CUDA_VISIBLE_DEVICES"
"""The environment variable with the GPUs that CUDA lets a process see."""

# ------------------------------------------------------------------------------- names, and copying


def device_of(x: Array) -> Device:
    """The device of an array or a Tensor: ``"cpu"`` or ``"cuda:0"``."""
    return "cpu" if not on_gpu(x) else f"cuda:{bare(x).device.id}"


def checked_device(device: Device) -> tuple[str, int | None]:
    """The kind of a device, ``"cpu"`` or ``"cuda"``, and its number if the name has one.

    Raises
    ------
    ValueError
        if it is not the name of a device.
    """
    name, colon, index = str(device).partition(":")
    if name not in ("cpu", "cuda") or (
        colon and (name == "cpu" or not (index.isascii() and index.isdecimal()))
    ):
        raise ValueError(f'device: expected "cpu" or "cuda", got {device!r}')
    return name, int(index) if index else None


def library_of(device: Device) -> Any:
    """The array library of `device`, ``numpy`` or ``cupy``; raises what `to_device` raises."""
    name, index = checked_device(device)
    if name == "cpu":
        return np
    cupy = require_cupy()
    if index is not None:
        check_current(index)
    return cupy


def check_current(index: int) -> None:
    """Raise a ValueError unless `index` is the number of the GPU of this process."""
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
    """`x` itself if it is on `device` already, else a copy there.

    Raises
    ------
    ValueError
        if there is no device of this name, or it is a GPU that is not the one of this process.
    RuntimeError
        if there is no GPU, no driver, or no CuPy.
    """
    xp = library_of(device)
    if on_gpu(x) is (xp is not np):
        return x
    return x.get() if xp is np else maker(xp).asarray(x)


def beside(x: Array, other: Any) -> Array:
    """The array `x`, made of Python numbers, on the device of `other`, a Tensor or an array."""
    x = constant(x)
    return to_device(x, device_of(other)) if gpus else x


def require_cupy() -> Any:
    """The module ``cupy``; if no GPU can be used, a RuntimeError says what is missing."""
    try:
        import cupy
    except ImportError as error:
        raise RuntimeError(
            'device: "cuda" needs CuPy, which cannot be imported here '
            f'({error}): python -m pip install "minigrad-rnn[gpu]"'
        ) from None
    if not gpus:
        if not cupy.cuda.is_available():
            raise RuntimeError(_why_unavailable(cupy))
        gpus[:] = range(cupy.cuda.runtime.getDeviceCount())
    return cupy


def _why_unavailable(cupy: Any) -> str:
    """The error message for a CuPy that cannot use a GPU."""
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
        f"two, `pip list` the last{_taken}"
    )


_taken = ""
"""What `take_gpu` did, in words, for the error if there is no such GPU."""


def take_gpu(number: int, of: int) -> None:
    """Let this process, one of several on this machine, see one GPU alone: that of its number.

    It sets CUDA_VISIBLE_DEVICES, which CUDA reads when a GPU is first used. If the variable has a
    value, GPUs are counted in it. If that is a single GPU it stays: a launcher may give each
    process its own; and a process that is alone on its machine chooses itself. CuPy is not
    imported, and whether there is such a GPU shows when it is used.

    Parameters
    ----------
    number, of
        of this process among those on this machine, from 0 on, and how many there are.

    Raises
    ------
    RuntimeError
        if this process has used a GPU before.
    """
    global _taken
    if of == 1:
        return
    if gpus:
        raise RuntimeError(
            f"take_gpu: this is process {number} of {of} on this machine, and it used a GPU before "
            "it was given its own; call minigrad.distributed.world() before anything asks for one"
        )
    visible = os.environ.get(VISIBLE)
    names = None if visible is None else visible.split(",")
    if names is None or len(names) > 1:
        chosen = str(number) if names is None else "".join(names[number : number + 1])
        os.environ[VISIBLE] = chosen
        _taken = (
            f". This is process {number} of {of} on this machine, counted from 0, and each takes "
            f"the GPU of its number, {'of all' if names is None else f'of {VISIBLE}={visible}'}: "
            "are there as many? Start as many processes as there are GPUs, or work on the CPU"
        )


# ------------------------------------------------------------------------------- the default device


VARIABLE = "MINIGRAD_DEVICE"
"""The environment variable with the default device at the start."""

_default: Device = os.environ.get(VARIABLE) or "cpu"
checked_device(_default)


def set_default_device(device: Device) -> None:
    """Set the device for data from the host for which no device is given.

    At first it is the CPU, or the value of the environment variable MINIGRAD_DEVICE:
    ``MINIGRAD_DEVICE=cuda python program.py``.

    It is used for Tensors made of numbers, lists and NumPy arrays, for new layers, and for NumPy
    arrays beside a Tensor on a GPU (such an array is copied each time). What is on a GPU stays
    there, and so does a Tensor on the CPU.

    Parameters
    ----------
    device
        ``"cpu"`` or ``"cuda"``.

    Raises
    ------
    ValueError, RuntimeError
        if there is no such device, or it cannot be used here.
    """
    global _default
    to_device(np.zeros(0), device)  # raises if it cannot be used
    _default = device


def get_default_device() -> Device:
    """The device for data from the host for which none is given; see `set_default_device`."""
    return _default


def place(value: Any, dtype: DType = None, device: Device | None = None) -> Array:
    """`value` as an array on `device`; None: on the default device, or on the GPU if it is there.

    Raises what `as_array` and `to_device` raise.
    """
    if not on_gpu(value):
        array = as_array(value, dtype)
        device = _default if device is None else device
        return array if device == "cpu" else to_device(array, device)
    require_cupy()
    check_current(bare(value).device.id)
    array = as_array(value, dtype)
    return array if device is None else to_device(array, device)


# ----------------------------------------------------------------------------- never mixing devices


def check_together(op: str, names: Sequence[str], values: Sequence[Any]) -> None:
    """Raise a ValueError that names two arrays, if those among `values` are on two devices."""
    first: Any = None
    for name, value in zip(names, values, strict=False):
        several = type(value) in (tuple, list)
        for i, array in enumerate(value if several else (value,)):
            if is_array(array) and not isinstance(array, np.generic):
                label = f"{name}[{i}]" if several else name
                if first is None:
                    first, x = label, array
                elif on_gpu(array) is not on_gpu(x):
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
    arrays = [x.values if getattr(x, "is_sparse", False) else x for x in made if x is not None]
    return next((device_of(x) for x in arrays if on_gpu(x) is not on_gpu(like)), "")


# ---------------------------------------------------------------------------------- a single number

_units: dict[Any, Array] = {}


def unit(like: Array) -> Array:
    """Ones of the shape, dtype and device of `like`.

    For a single number on a GPU it is the same array each time, which must not be changed. So
    `is_unit` knows that it is 1 without waiting for the GPU.
    """
    xp = array_module(like)
    if like.ndim or not on_gpu(like) or isinstance(like, StandIn):
        return xp.ones_like(like)
    if like.dtype not in _units:
        _units[like.dtype] = xp.ones_like(like)
    return _units[like.dtype]


def is_unit(g: Array) -> bool:
    """Whether the single number `g` is 1; on a GPU, whether it is known to be 1 without waiting."""
    if isinstance(g, StandIn):
        return g.known_to_be(1)
    return g is _units.get(g.dtype) if on_gpu(g) else bool(g == 1)
