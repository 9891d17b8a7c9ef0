"""Parameter, what a module learns."""

from __future__ import annotations

from minigrad.arrays.library import ArrayLike, Device, DType
from minigrad.tensor import Tensor


class Parameter(Tensor):
    """A Tensor that a `Module` learns: it requires a gradient, and modules find, count and save it.

    The arguments are those of `minigrad.Tensor`, but for `requires_grad`, which is True by default.

    Raises
    ------
    TypeError
        if `dtype` is True or False, which PyTorch would take for `requires_grad`; as in `Tensor`.
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
