"""The operators and methods of a Tensor that are ops: which op ``x + y`` and ``x.sum()`` call."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad import ops
from minigrad.arrays.devices import beside, check_together, gpus, library_of
from minigrad.arrays.library import ArrayLike, DType, array_module, bare, is_array
from minigrad.autograd import tape
from minigrad.autograd.modes import modes
from minigrad.autograd.node import TapeError
from minigrad.autograd.operands import operand
from minigrad.ops import discrete
from minigrad.ops.indexing import At, as_index
from minigrad.tensor import Tensor, mark_changed


def backward(
    self: Tensor,
    gradient: ArrayLike = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
) -> None:
    """Add the derivatives of this tensor to the ``.grad`` of every leaf that it depends on.

    Parameters
    ----------
    gradient
        the gradient to start from, an array or Tensor of the shape and dtype of this one; None for
        a single number: 1.
    retain_graph
        keep the tape for another backward; None: as `create_graph`.
    create_graph
        record the backward pass, too, so that the gradients can be differentiated again.

    Raises
    ------
    TapeError
        if this is a constant; if it has several elements and no gradient is given; if the tape was
        freed, or a value on it was changed in place since.
    """
    tape.backward(self, gradient, retain_graph, create_graph)


def to(self: Tensor, device: Any = None, dtype: DType = None) -> Tensor:
    """The tensor on another device or in another dtype; the tensor itself if nothing changes.

    As in PyTorch, a dtype may be the only argument: ``x.to(mg.float64)``.
    """
    if device is not None and not isinstance(device, str):
        device, dtype = None, device
    result = self if dtype is None or self.dtype == dtype else self.astype(dtype)
    if device is None or array_module(result) is library_of(device):
        return result
    return ops.to_device(result, device)


def reshape(self: Tensor, *shape: Any) -> Tensor:
    """See `minigrad.reshape`; the lengths may be given one by one."""
    return ops.reshape(self, shape[0] if len(shape) == 1 else shape)


def transpose(self: Tensor, *axes: Any) -> Tensor:
    """See `minigrad.transpose`; the axes may be given one by one: all axes, as in NumPy."""
    if len(axes) == 2 != self.ndim:
        raise ValueError(
            f"transpose: got 2 axes for the shape {self.shape}, but as in NumPy it takes all; "
            "to exchange two write x.swapaxes(a, b)"
        )
    return ops.transpose(
        self, (axes if isinstance(axes[0], int | np.integer) else axes[0]) if axes else None
    )


def setitem(self: Tensor, index: Any, value: Any) -> None:
    """``x[i] = v``, which is allowed within `no_grad`, or for a constant."""
    if self._node is not None and (modes.recording or not self.is_leaf):
        raise TapeError(
            "x[i] = v would change a value that is on the tape; write x = x.at[i].set(v), or "
            "x.at[i].add(v), which make a new tensor and are differentiable in both"
            + ("; to change a leaf, write it within `with mg.no_grad():`" * self.is_leaf)
        )
    if isinstance(value, Tensor) and value._node is not None and modes.recording:
        raise TapeError(
            "x[i] = v with a v that requires a gradient: write x = x.at[i].set(v), which the "
            "tape can follow, or x[i] = v.detach() for its values alone"
        )
    if isinstance(value, Tensor) or is_array(value):
        value = bare(operand(value, [self]))
    else:  # as NumPy does it: exactly, in the dtype of `self`
        value = beside(np.asarray(value, self.dtype), self)
    values = self._array, as_index(index, self), value
    if gpus:
        check_together("setitem", ("self", "index", "value"), values)
    operator.setitem(*values)
    mark_changed(self)


def _in_place(op: Callable[..., Any], sign: str) -> Callable[[Tensor, Any], Any]:
    """``x += v``: within `no_grad` a change of `x` itself, else a new tensor on the tape."""

    def method(self: Tensor, other: Any) -> Any:
        recording = bool(modes.recording)
        if self._node is not None and recording == self.is_leaf:
            raise TapeError(
                f"x {sign}= v on a tensor that requires a gradient: to change it, as a step of "
                f"training does, write it within `with mg.no_grad():`; for a new tensor on the "
                f"tape write y = x {sign} v"
                if recording
                else f"x {sign}= v within no_grad would change the result of a "
                f"{self._node.plan.name}, which is on the tape; write x = x {sign} v, which makes "
                "a new tensor"
            )
        result = op(self, other)
        if recording or result is NotImplemented:
            return result
        if result.shape != self.shape:
            raise ValueError(
                f"x {sign}= v: the result has shape {result.shape}, x itself {self.shape}; write "
                f"x = x {sign} v for a new tensor"
            )
        if not np.can_cast(result.dtype, self.dtype, "same_kind"):
            raise TypeError(
                f"x {sign}= v: the result is {result.dtype}, x itself {self.dtype}; write "
                f"x = x {sign} v for a new tensor"
            )
        self._array[...] = result._array
        mark_changed(self)
        return self

    return method


def _both_sides(name: str, op: Callable[[Any, Any], Tensor], sign: str) -> dict[str, Any]:
    """``x + y``, ``y + x`` and ``x += y``."""
    return {
        f"__{name}__": op,
        f"__r{name}__": lambda self, other: op(other, self),
        f"__i{name}__": _in_place(op, sign),
    }


def _compared(name: str) -> Callable[[Any, Any], Tensor]:
    return discrete.constant("self", "other")(getattr(operator, name))


METHODS: dict[str, Any] = {
    "backward": backward,
    "to": to,
    "reshape": reshape,
    "transpose": transpose,
    "at": property(At, doc="``x.at[i].set(v)``, ``x.at[i].add(v)``: a changed copy, on the tape."),
    "T": property(lambda self: ops.transpose(self), doc="With the axes in reverse order."),
    "mT": property(lambda self: ops.swapaxes(self, -1, -2), doc="Each matrix transposed."),
    "__getitem__": ops.getitem,
    "__setitem__": setitem,
    **_both_sides("add", ops.add, "+"),
    **_both_sides("sub", ops.subtract, "-"),
    **_both_sides("mul", ops.multiply, "*"),
    **_both_sides("truediv", ops.divide, "/"),
    **_both_sides("floordiv", ops.floor_divide, "//"),
    **_both_sides("mod", ops.remainder, "%"),
    **_both_sides("pow", ops.power, "**"),
    **_both_sides("matmul", ops.matmul, "@"),
    "__neg__": ops.negative,
    "__pos__": ops.copy,
    "__abs__": ops.abs,
    **{f"__{name}__": _compared(name) for name in ("eq", "ne", "lt", "le", "gt", "ge")},
    **{f"__{name}__": _compared(f"{name}_") for name in ("and", "or")},
    **{f"__r{name}__": _compared(f"{name}_") for name in ("and", "or")},
    "__xor__": _compared("xor"),
    "__rxor__": _compared("xor"),
    "__invert__": discrete.constant("self")(operator.invert),
    **{name: getattr(discrete, name) for name in ("any", "all", "argmax", "argmin", "argsort")},
    **{
        name: getattr(ops, name)
        for name in (
            *("abs", "exp", "log", "sqrt", "tanh", "sigmoid", "sin", "cos", "square", "round"),
            *("relu", "softmax", "log_softmax", "clip", "sum", "mean", "prod", "max", "min"),
            *("var", "std", "cumsum", "logsumexp", "sort", "topk", "cumprod", "astype", "copy"),
            *("squeeze", "swapaxes", "ravel", "repeat", "take", "dot", "trace", "diagonal"),
        )
    },
}
"""The op of each operator and method, by its name."""
