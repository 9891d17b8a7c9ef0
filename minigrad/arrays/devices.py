"""Where arrays are: the CPU or a GPU, moving them from one to the other, and never mixing the two.

A device is named ``"cpu"``, ``"cuda"`` (the current GPU) or ``"cuda:1"``. What is on a GPU is
computed there, by CuPy and by `minigrad.kernels`; nothing moves unless somebody says so: by
``Tensor.to``, ``device=``, or a default device for data that comes from the host.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, NoReturn

import numpy as np

from minigrad.arrays.library import Array, Device, DType, array_module, as_array, bare, is_array

gpus: list[int] = []
"""The GPUs of this machine by number, once one has been asked for; while it is empty, no array can
be on one, and nobody needs to look."""


# -------------------------------------------------------------------------------- names, and moving


def device_of(x: Array) -> Device:
    """Where the array `x` lives: ``"cpu"``, ``"cuda:0"`` ..."""
    return "cpu" if array_module(x) is np else f"cuda:{x.device.id}"


def checked_device(device: Device) -> tuple[str, int | None]:
    """A device's kind, ``"cpu"`` or ``"cuda"``, and its number if it names one.

    Raises
    ------
    ValueError
        if it is no name of a device.
    """
    name, colon, index = str(device).partition(":")
    if name not in ("cpu", "cuda") or (colon and (name == "cpu" or not index.isdecimal())):
        raise ValueError(f'device: expected "cpu", "cuda" or "cuda:N", got {device!r}')
    return name, int(index) if index else None


def is_on(x: Array, device: Device) -> bool:
    """Whether the array `x` is on `device` already; raises as `checked_device`."""
    name, index = checked_device(device)
    if name == "cpu" or array_module(x) is np:
        return name == "cpu" and array_module(x) is np
    return bool(x.device.id == (require_cupy().cuda.Device().id if index is None else index))


def to_device(x: Array, device: Device) -> Array:
    """`x` on `device`: itself when it is there already, else a copy.

    Raises
    ------
    ValueError
        for a device that has no such name, or a number that no GPU has.
    RuntimeError
        if there is no GPU, no driver, or no CuPy to reach it by.
    """
    if is_on(x, device):
        return x
    with library_of(device) as xp:
        if xp is np:
            return x.get()
        return xp.asarray(x) if array_module(x) is np else x.copy()


@contextmanager
def library_of(device: Device) -> Iterator[Any]:
    """The array library of `device`, which within it is the current one; raises as `to_device`."""
    name, index = checked_device(device)
    if name == "cpu":
        yield np
        return
    with gpu(index):
        yield require_cupy()


def gpu(index: int | None) -> Any:
    """CuPy's object for the GPU of that number (None: the current one); raises as `to_device`."""
    cupy = require_cupy()
    if index is not None and index not in gpus:
        here = ", ".join(f'"cuda:{i}"' for i in gpus)
        raise ValueError(f"device: there is no 'cuda:{index}' here, only {here}")
    return cupy.cuda.Device(index)


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
        ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.

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
        if device is None:
            if _default == "cpu":
                return array
            device = _default
        return to_device(array, device)
    if not gpus:
        require_cupy()
    with on_device_of(value):
        array = as_array(value, dtype)
    return array if device is None else to_device(array, device)


def beside(value: Any, neighbours: Sequence[Any]) -> Any:
    """A list or NumPy array where it belongs beside `neighbours`, among them Tensors or arrays.

    A list goes where the first of those is; an array beside a Tensor on a GPU to the default
    device. Tensors, and what is on a GPU, stay where they are. Raises as `as_array`.
    """
    if hasattr(value, "_node"):
        return value
    array = as_array(value)
    if is_array(value):
        for x in neighbours if gpus else ():
            if hasattr(x, "_node"):
                return array if array_module(x) is np else place(array)
        return array
    for x in neighbours:
        if is_array(bare(x)):
            return near(array, x)
    return array


def near(array: Array, x: Any) -> Array:
    """`array` on the device of `x`, a Tensor or an array."""
    return to_device(array, device_of(bare(x))) if gpus else array


# ---------------------------------------------------------------------------------------- no mixing


def run(op: str, names: Sequence[str], function: Callable[..., Any], values: Sequence[Any]) -> Any:
    """``function(*values)``, on the GPU that the arrays among `values` are on.

    Raises
    ------
    ValueError
        if they are not on one device (it names two of them), or the result is not on it.
    """
    index = _common(op, names, values)
    if index is None:
        return function(*values)
    if len(gpus) == 1:
        result = function(*values)
    else:
        with require_cupy().cuda.Device(index):
            result = function(*values)
    output = result[0] if type(result) is tuple else result  # beside it what the op keeps
    for x in output if type(output) is tuple else (output,):
        if type(x) is np.ndarray and op != "to_device":
            raise ValueError(
                f"{op}: its arrays are on cuda:{index}, but it gave one on the CPU; an op asks "
                "minigrad.array_module(x) for the library to use"
            )
    return result


def _common(op: str, names: Sequence[str], values: Sequence[Any]) -> int | None:
    """The number of the GPU that all arrays are on; None for the CPU."""
    first: Any = None
    for name, value in zip(names, values, strict=True):
        several = type(value) in (tuple, list)
        for i, array in enumerate(value if several else (value,)):
            if type(array) is np.ndarray:
                where: Any = "cpu"
            elif type(array).__module__ == "cupy":
                where = array.device.id
            else:
                continue
            told = (f"{name}[{i}]" if several else name, array)
            if first is None:
                first, known = where, told
            elif where != first:
                _refuse(op, *known, *told)
    return None if first == "cpu" else first


def _refuse(op: str, one: str, a: Array, other: str, b: Array) -> NoReturn:
    on_a, on_b = device_of(a), device_of(b)
    advice = "put one where the other is, by .to"
    if "cpu" in (on_a, on_b):
        name, gpu = (one, on_b) if on_a == "cpu" else (other, on_a)
        advice = (
            f"put {name} on {gpu}: a Tensor or a whole model by .to({gpu!r}), a NumPy array by "
            f"minigrad.tensor(..., device={gpu!r})"
        )
    raise ValueError(
        f"{op}: {one} ({a.dtype} {a.shape}) is on {on_a}, {other} ({b.dtype} {b.shape}) on {on_b}; "
        f"nothing moves by itself; {advice}"
    )


# ---------------------------------------------------------------- work on the GPU where an array is


_NOTHING = nullcontext()


def on_device_of(x: Array) -> Any:
    """``with on_device_of(x):`` the GPU that `x` is on is the current one, where arrays go."""
    if len(gpus) < 2 or array_module(x) is np:  # with one GPU that is the current one
        return _NOTHING
    return bare(x).device


def staying() -> Any:
    """``with staying():`` after it the GPU is the current one that was so before."""
    return _NOTHING if len(gpus) < 2 else require_cupy().cuda.Device()


def own_copy(x: Array) -> Array:
    """A copy of the array `x`, on its device, contiguous."""
    with on_device_of(x):
        return x.copy(order="C")


def cast(x: Array, dtype: DType) -> Array:
    """A copy of the array `x` in another dtype, on its device."""
    with on_device_of(x):
        return x.astype(dtype)


def zeros(shape: Sequence[int], like: Array, dtype: DType = None) -> Array:
    """Zeros of the dtype (unless told) and on the device of `like`."""
    with on_device_of(like):
        return array_module(like).zeros(shape, like.dtype if dtype is None else dtype)


def exported(x: Array, **options: Any) -> Any:
    """``x.__dlpack__(**options)`` of an array, on its device."""
    if any(step < 0 for step in x.strides):  # PyTorch aborts the process
        raise BufferError("a Tensor that runs backwards is not handed over; use x.copy()")
    with on_device_of(x):
        return x.__dlpack__(**options)


# ---------------------------------------------------------------------------------------- gradients


_units: dict[Any, Array] = {}


def unit(like: Array) -> Array:
    """Ones of the shape, dtype and device of `like`.

    For a single number on a GPU it is the same array each time, not to be changed, which is known
    as 1 (by `is_unit`) without a look at it.
    """
    xp = array_module(like)
    if xp is np:
        return np.ones_like(like)
    with on_device_of(like):
        if like.ndim:
            return xp.ones_like(like)
        key = like.device.id, like.dtype
        if key not in _units:
            _units[key] = xp.ones_like(like)
        return _units[key]


def is_unit(g: Array) -> bool:
    """Whether the array `g`, a single number, is known to be 1, without waiting for a GPU."""
    if array_module(g) is np:
        return bool(g == 1)
    return g is _units.get((g.device.id, g.dtype))


def _arrays(gradients: Any) -> Iterator[Array]:
    """The arrays of a gradient, or of a list of them: of Tensors, RowSparse, or themselves."""
    for x in gradients if isinstance(gradients, list | tuple) else (gradients,):
        data = bare(x)
        data = getattr(data, "values", data)
        if is_array(data):
            yield data


def follow(g: Any) -> None:
    """Make the GPU that the gradient `g`, or one of a list of them, is on the current one."""
    for array in _arrays(g):
        if array_module(array) is not np:
            array.device.use()
            return


def strays(g: Any, gradients: Any) -> str:
    """What to say if one of `gradients` is not on the device of `g`, which they were made from."""
    for first in _arrays(g):
        for array in _arrays(gradients):
            if (on := device_of(array)) != (expected := device_of(first)):
                return (
                    f"on {on}, but its op is on {expected}; it asks minigrad.array_module(g) for "
                    "the library to use"
                )
        break
    return ""
