"""PyTorch's names for what a Tensor has under NumPy's; and for the rest, which word to write."""

from __future__ import annotations

import builtins
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import numpy as np

from minigrad import ops
from minigrad.arrays.library import ArrayLike, Device
from minigrad.autograd.tape import Variable
from minigrad.errors.words import METHODS, unknown
from minigrad.ops import discrete

if TYPE_CHECKING:
    from minigrad.tensor import Tensor

Self = TypeVar("Self", bound="SecondNames")


class SecondNames(Variable):
    """The names that mean just the same in PyTorch, with the same arguments."""

    __slots__ = ()

    if TYPE_CHECKING:

        def to(self, device: Device | None = None, dtype: Any = None) -> Tensor: ...

    pow, matmul = ops.power, ops.matmul

    def view(self, *shape: Any) -> Tensor:
        """PyTorch's name for `reshape`; the lengths may be given one by one."""
        return ops.reshape(self, shape[0] if len(shape) == 1 else shape)

    def permute(self, *axes: Any) -> Tensor:
        """PyTorch's name for `transpose` with all axes, which may be given one by one."""
        return ops.transpose(self, axes[0] if len(axes) == 1 else axes)

    def t(self) -> Tensor:
        """PyTorch's name for the transpose of a matrix."""
        if self._data.ndim > 2:
            raise ValueError(f"t: expected a matrix, got the shape {self._data.shape}; use x.mT")
        return ops.transpose(self)

    def unsqueeze(self, dim: builtins.int) -> Tensor:
        """PyTorch's name for `minigrad.expand_dims`."""
        return ops.expand_dims(self, dim)

    def masked_fill(self, mask: ArrayLike, value: ArrayLike) -> Tensor:
        """PyTorch's name for ``minigrad.where(mask, value, x)``."""
        return ops.where(mask, value, self)

    def clone(self) -> Tensor:
        """PyTorch's name for `copy`."""
        return ops.copy(self)

    def contiguous(self: Self) -> Self | Tensor:
        """The tensor if its elements lie in memory in order, else a copy in which they do."""
        return self if self._data.flags.c_contiguous else ops.copy(self)

    def flatten(self, start_dim: builtins.int = 0, end_dim: builtins.int = -1) -> Tensor:
        """The elements in order as a vector; with arguments, as in PyTorch, those axes as one."""
        shape = self._data.shape or (1,)
        first, last = range(len(shape))[start_dim], range(len(shape))[end_dim]
        joined = math.prod(shape[first : last + 1])
        return ops.reshape(self, (*shape[:first], joined, *shape[last + 1 :]))

    def numel(self) -> builtins.int:
        """PyTorch's name for `size`."""
        return builtins.int(self._data.size)

    def dim(self) -> builtins.int:
        """PyTorch's name for `ndim`."""
        return builtins.int(self._data.ndim)

    def cpu(self) -> Tensor:
        """PyTorch's name for ``to("cpu")``."""
        return self.to("cpu")

    def cuda(self) -> Tensor:
        """PyTorch's name for ``to("cuda")``."""
        return self.to("cuda")

    def half(self) -> Tensor:
        """PyTorch's name for ``to(dtype="float16")``."""
        return self.to(dtype=np.float16)

    def float(self) -> Tensor:
        """PyTorch's name for ``to(dtype="float32")``."""
        return self.to(dtype=np.float32)

    def double(self) -> Tensor:
        """PyTorch's name for ``to(dtype="float64")``."""
        return self.to(dtype=np.float64)

    def int(self) -> Tensor:
        """PyTorch's name for ``to(dtype="int32")``."""
        return self.to(dtype=np.int32)

    def long(self) -> Tensor:
        """PyTorch's name for ``to(dtype="int64")``."""
        return self.to(dtype=np.int64)

    def bool(self) -> Tensor:
        """PyTorch's name for ``to(dtype="bool")``."""
        return self.to(dtype=np.bool_)

    def zero_(self: Self) -> Self:
        """PyTorch's name for ``x[...] = 0``; the tensor."""
        self[...] = 0  # type: ignore[index]
        return self

    def __dir__(self) -> Iterable[str]:
        return [name for name in super().__dir__() if hasattr(type(self), name)]


class Told:
    """An attribute that is not there: whoever asks for it is told the word to write."""

    def __init__(self, name: str, word: str) -> None:
        self._name, self._word = name, word

    def __get__(self, instance: Any, owner: type) -> NoReturn:
        raise unknown(f"{owner.__name__!r} object", self._name, {self._name: self._word})


def tell_words(cls: type) -> None:
    """Let `cls`, Tensor, tell the words for what it does not have.

    Not by ``__getattr__``, which would make each look at an attribute slower.
    """
    functions = {name: f"mg.{name}(x, ...)" for name in (*ops.__all__, *discrete.__all__)}
    for name, word in (METHODS | functions).items():
        if not hasattr(cls, name):
            setattr(cls, name, Told(name, word))
