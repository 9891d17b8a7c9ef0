"""PyTorch's names for methods of a Tensor, and errors that say what to write for other names.

Each method here does the same as in PyTorch, with the same arguments.
"""

from __future__ import annotations

import builtins
import math
from typing import Any, NoReturn

import numpy as np

from minigrad import ops
from minigrad.arrays.library import ArrayLike
from minigrad.errors.words import METHODS, unknown
from minigrad.ops import discrete
from minigrad.tensor import Tensor


def view(self: Tensor, *shape: Any) -> Tensor:
    """PyTorch's name for `reshape`; the lengths may be given one by one."""
    return ops.reshape(self, shape[0] if len(shape) == 1 else shape)


def permute(self: Tensor, *axes: Any) -> Tensor:
    """PyTorch's name for `transpose` with all axes, which may be given one by one."""
    return ops.transpose(self, axes[0] if len(axes) == 1 else axes)


def t(self: Tensor) -> Tensor:
    """PyTorch's name for the transpose of a matrix."""
    if self._array.ndim > 2:
        raise ValueError(f"t: expected a matrix, got the shape {self._array.shape}; use x.mT")
    return ops.transpose(self)


def unsqueeze(self: Tensor, dim: builtins.int) -> Tensor:
    """PyTorch's name for `minigrad.expand_dims`."""
    return ops.expand_dims(self, dim)


def masked_fill(self: Tensor, mask: ArrayLike, value: ArrayLike) -> Tensor:
    """PyTorch's name for ``minigrad.where(mask, value, x)``."""
    return ops.where(mask, value, self)


def clone(self: Tensor) -> Tensor:
    """PyTorch's name for `copy`."""
    return ops.copy(self)


def contiguous(self: Tensor) -> Tensor:
    """The tensor itself if its elements are in order in memory, else a copy in order."""
    return self if self._array.flags.c_contiguous else ops.copy(self)


def flatten(self: Tensor, start_dim: builtins.int = 0, end_dim: builtins.int = -1) -> Tensor:
    """The elements in order, as a vector; with arguments, as in PyTorch, only those axes joined."""
    shape = self._array.shape or (1,)
    first, last = range(len(shape))[start_dim], range(len(shape))[end_dim]
    joined = math.prod(shape[first : last + 1])
    return ops.reshape(self, (*shape[:first], joined, *shape[last + 1 :]))


def numel(self: Tensor) -> builtins.int:
    """PyTorch's name for `size`."""
    return builtins.int(self._array.size)


def dim(self: Tensor) -> builtins.int:
    """PyTorch's name for `ndim`."""
    return builtins.int(self._array.ndim)


def cpu(self: Tensor) -> Tensor:
    """PyTorch's name for ``to("cpu")``."""
    return self.to("cpu")


def cuda(self: Tensor) -> Tensor:
    """PyTorch's name for ``to("cuda")``."""
    return self.to("cuda")


def half(self: Tensor) -> Tensor:
    """PyTorch's name for ``to(dtype="float16")``."""
    return self.to(dtype=np.float16)


def float(self: Tensor) -> Tensor:
    """PyTorch's name for ``to(dtype="float32")``."""
    return self.to(dtype=np.float32)


def double(self: Tensor) -> Tensor:
    """PyTorch's name for ``to(dtype="float64")``."""
    return self.to(dtype=np.float64)


def int(self: Tensor) -> Tensor:
    """PyTorch's name for ``to(dtype="int32")``."""
    return self.to(dtype=np.int32)


def long(self: Tensor) -> Tensor:
    """PyTorch's name for ``to(dtype="int64")``."""
    return self.to(dtype=np.int64)


def bool(self: Tensor) -> Tensor:
    """PyTorch's name for ``to(dtype="bool")``."""
    return self.to(dtype=np.bool_)


def zero_(self: Tensor) -> Tensor:
    """PyTorch's name for ``x[...] = 0``; returns the tensor."""
    self[...] = 0
    return self


SECOND_NAMES: dict[str, Any] = {
    "pow": ops.power,
    "matmul": ops.matmul,
    **{
        function.__name__: function
        for function in (
            *(view, permute, t, unsqueeze, masked_fill, clone, contiguous, flatten, numel, dim),
            *(cpu, cuda, half, float, double, int, long, bool, zero_),
        )
    },
}
"""The method, by PyTorch's name."""


class MissingName:
    """An attribute that Tensor does not have: the error says what to write instead."""

    def __init__(self, name: str, word: str) -> None:
        self._name, self._word = name, word

    def __get__(self, instance: Any, owner: type) -> NoReturn:
        raise unknown(f"{owner.__name__!r} object", self._name, {self._name: self._word})


def words(cls: type) -> dict[str, Any]:
    """A `MissingName` for each known name that `cls`, which is Tensor, does not have.

    (``__getattr__`` would do the same, but make each access to an attribute slower.)
    """
    functions = {name: f"mg.{name}(x, ...)" for name in (*ops.__all__, *discrete.__all__)}
    return {
        name: MissingName(name, word)
        for name, word in (METHODS | functions).items()
        if not hasattr(cls, name)
    }
