"""Making tensors out of nothing, or out of other data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.backend import FLOAT32, ArrayLike, Device, DType, array_module, as_array
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
    array = as_array(getattr(data, "_data", data), dtype, device)
    return Tensor(array_module(array).array(array), requires_grad=requires_grad)


def full(
    shape: int | Sequence[int],
    fill_value: float,
    dtype: DType = FLOAT32,
    device: Device | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """A Tensor of `shape` with every element equal to `fill_value`; float32 unless told."""
    return Tensor(np.full(shape, fill_value, dtype), None, device, requires_grad)


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
    array = as_array(getattr(a, "_data", a))
    return Tensor(getattr(array_module(array), maker)(array))
