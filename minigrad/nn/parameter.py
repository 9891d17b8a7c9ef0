"""Parameter, what a module learns; how it is made, and moves to another device or dtype."""

from __future__ import annotations

import numpy as np

from minigrad.arrays.devices import device_of, place
from minigrad.arrays.library import ArrayLike, Device, DType
from minigrad.tensor import Tensor, mark_changed


class Parameter(Tensor):
    """A Tensor that a `Module` learns: it requires a gradient, and modules find, count and save it.

    The arguments are those of `minigrad.Tensor`; but `requires_grad` is True by default.

    Raises
    ------
    TypeError
        if `dtype` is True or False, which in PyTorch is `requires_grad`; else as in `Tensor`.
    """

    __slots__ = ()

    def __init__(
        self,
        data: ArrayLike,
        dtype: DType = None,
        device: Device | None = None,
        requires_grad: bool = True,
    ) -> None:
        if isinstance(dtype, bool):
            raise TypeError(f"Parameter: dtype must be one; write requires_grad={dtype}")
        super().__init__(data, dtype, device, requires_grad)


def new_parameter(shape: tuple[int, ...], dtype: DType) -> Parameter:
    """A Parameter of zeros, float32 if `dtype` is None; a TypeError if that is not for floats."""
    dtype = np.dtype(np.float32 if dtype is None else dtype)
    if dtype.kind != "f":
        raise TypeError(f'dtype must be a floating-point one, such as "float64", not {dtype}')
    return Parameter(np.zeros(shape, dtype))


def move(tensor: Tensor, device: Device | None, dtype: DType) -> None:
    """Moves a leaf's array and gradient to a device or dtype; it stays the same Tensor."""
    dtype = dtype if tensor.dtype.kind == "f" else None
    device = tensor.device if device is None else device
    array, grad = place(tensor.data, dtype, device), tensor.grad
    if array is not tensor.data:
        hooks = tensor._node.hooks if tensor._node is not None else None
        Tensor.__init__(tensor, array, None, device_of(array), tensor.requires_grad)
        if tensor._node is not None:
            tensor._node.hooks = hooks
        tensor.grad = None if grad is None else Tensor(grad, dtype, tensor.device)
        mark_changed(tensor)  # a tape that has saved the old values must not go on with these
