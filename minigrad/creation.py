"""Making tensors out of nothing, or out of other data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.backend import FLOAT32, ArrayLike, Device, DType, array_module
from minigrad.devices import (
    device_of,
    get_default_device,
    library_of,
    on_device_of,
    own_copy,
    require_cupy,
)
from minigrad.tensor import Tensor


def tensor(
    data: ArrayLike,
    dtype: DType = None,
    device: Device | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """A new Tensor with a copy of `data`; see `Tensor` for the parameters and what is raised.

    Python numbers become float32, integers too: pass ``dtype=int`` for ids and indices.
    """
    array = Tensor(data, dtype, device)._data
    if array is getattr(data, "_data", data) or array_module(array) is np:
        array = own_copy(array)
    return Tensor(array, None, device_of(array), requires_grad)


def full(
    shape: int | Sequence[int],
    fill_value: float,
    dtype: DType = FLOAT32,
    device: Device | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """A Tensor of `shape` with every element equal to `fill_value`; float32 unless told."""
    device = get_default_device() if device is None else device
    if device == "cpu":
        return Tensor(np.full(shape, fill_value, dtype), None, device, requires_grad)
    with library_of(device) as xp:
        return Tensor(xp.full(shape, fill_value, dtype), None, device, requires_grad)


def zeros(
    shape: int | Sequence[int],
    dtype: DType = FLOAT32,
    device: Device | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """A Tensor of `shape` with every element 0; float32 unless told."""
    return full(shape, 0, dtype, device, requires_grad)


def ones(
    shape: int | Sequence[int],
    dtype: DType = FLOAT32,
    device: Device | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """A Tensor of `shape` with every element 1; float32 unless told."""
    return full(shape, 1, dtype, device, requires_grad)


def zeros_like(a: Tensor) -> Tensor:
    """A constant of the shape, dtype and device of `a`, every element 0."""
    return _like("zeros_like", a)


def ones_like(a: Tensor) -> Tensor:
    """A constant of the shape, dtype and device of `a`, every element 1."""
    return _like("ones_like", a)


def _like(maker: str, a: Any) -> Tensor:
    array = Tensor(a)._data
    with on_device_of(array):
        return Tensor(getattr(array_module(array), maker)(array), None, device_of(array))


def from_dlpack(x: Any) -> Tensor:
    """The array of another library as a Tensor, on the device where it is, without a copy.

    ``minigrad.from_dlpack(torch_tensor)``, and back ``torch.from_dlpack(tensor)``, by the DLPack
    protocol of the Python array API standard.

    Parameters
    ----------
    x
        what has ``__dlpack__``: arrays of PyTorch, JAX, CuPy, NumPy ..., on the CPU or an NVIDIA
        GPU.

    Returns
    -------
    Tensor
        a constant. The two share their memory: what is changed in one changes in the other, and
        the tape does not notice.

    Raises
    ------
    TypeError
        if `x` cannot be handed over so, or has a dtype that minigrad has not.
    RuntimeError
        if it is on a GPU that CuPy cannot reach.
    ValueError
        for another kind of device.
    """
    if not hasattr(x, "__dlpack__") or not hasattr(x, "__dlpack_device__"):
        raise TypeError(f"from_dlpack: expected an array with __dlpack__, got {type(x).__name__}")
    kind = int(x.__dlpack_device__()[0])
    if kind not in (_CPU, _CUDA):
        raise ValueError(
            f"from_dlpack: expected an array on the CPU or a CUDA GPU, got kind {kind}"
        )
    library = np if kind == _CPU else require_cupy()
    try:
        array = library.from_dlpack(x)
    except (BufferError, RuntimeError) as error:
        raise TypeError(
            f"from_dlpack: {type(x).__name__} cannot be handed over: {error}"
        ) from error
    return Tensor(array, None, device_of(array))


_CPU, _CUDA = 1, 2  # kinds of devices, as DLPack numbers them
