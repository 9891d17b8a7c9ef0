"""The arguments of losses: checks of floats, class indices and weights, on the right device."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from minigrad.arrays.devices import beside
from minigrad.arrays.library import Array, as_array, bare, is_array, on_gpu
from minigrad.autograd.operands import operand
from minigrad.ops.indexing import all_below
from minigrad.tensor import Tensor


def as_floats(op: str, name: str, x: Any) -> Any:
    """`x`, if it consists of floating-point numbers."""
    if not hasattr(x, "dtype") or x.dtype.kind != "f":
        what = f"{x.dtype} {x.shape}" if hasattr(x, "dtype") else type(x).__name__
        raise TypeError(f"{op}: {name} must be a floating-point Tensor or array, not {what}")
    return x


def check_smoothing(op: str, label_smoothing: float) -> float:
    """`label_smoothing` as a Python number; a ValueError unless it is from 0 to 1."""
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"{op}: label_smoothing must be in [0, 1], not {label_smoothing}")
    return float(label_smoothing)


def as_integer(op: str, ignore_index: Any) -> int:
    """`ignore_index` as a Python number; a TypeError if it is not an integer."""
    try:
        return operator.index(ignore_index)
    except TypeError:
        raise TypeError(
            f"{op}: ignore_index must be an integer, not {ignore_index!r:.60}"
        ) from None


def as_class_ids(targets: Any, *logits: Any) -> Any:
    """Class indices as an array on the device of `logits`; probabilities as they are."""
    if not is_array(bare(targets)):
        return beside(np.array(targets), logits[0])
    if targets.dtype.kind == "f":
        return targets
    return bare(operand(targets, logits))


def check_classes(op: str, targets: Array, shape: tuple[int, ...], ignore_index: int) -> bool:
    """Raise unless `targets` are class indices for predictions of `shape`, classes last.

    Returns whether any of them may be `ignore_index`.
    """
    if targets.dtype.kind not in "iu":
        raise TypeError(f"{op}: targets has dtype {targets.dtype}; expected integer class indices")
    if targets.shape != shape[:-1]:
        raise ValueError(
            f"{op}: targets has shape {targets.shape}, expected {shape[:-1]} for predictions of "
            f"shape {shape}"
        )
    if on_gpu(targets):
        return True  # a check would wait for the GPU; ids are checked where batches are made
    if all_below(targets, shape[-1]):
        return 0 <= ignore_index < shape[-1]
    wrong = (targets != ignore_index) & ((targets < 0) | (targets >= shape[-1]))
    if wrong.any():
        where = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise IndexError(
            f"{op}: target {targets[where]} at {where} is outside the {shape[-1]} classes "
            f"(ignore_index is {ignore_index})"
        )
    return True


def class_weights(op: str, weight: Any, classes: int, like: Any) -> Array | None:
    """The weight of each class, as an array of the dtype of `like`."""
    if weight is None:
        return None
    if isinstance(weight, Tensor) and weight._node is not None:
        raise TypeError(f"{op}: weight requires a gradient, which it cannot have; detach() it")
    weight = constant_array(weight, like)
    if weight.shape != (classes,):
        raise ValueError(f"{op}: weight has shape {weight.shape}, expected ({classes},)")
    return weight


def constant_array(value: Any, like: Any) -> Array:
    """`value` as an array with the dtype, and on the device, of `like`."""
    array = bare(operand(value, [like]))
    return as_array(array, like.dtype)
