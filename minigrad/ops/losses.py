"""Losses: numbers that say how far predictions are from targets, summed at least in float32.

The loss of classes is in `minigrad.ops.cross_entropy`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.arrays.library import Array, ArrayLike, array_module, bare, may_look
from minigrad.arrays.sums import wide
from minigrad.autograd.operands import float_dtype, operand
from minigrad.ops.activations import softplus
from minigrad.ops.arithmetic import in_dtype, multiply, square, subtract, where
from minigrad.ops.targets import as_floats, constant_array
from minigrad.tensor import Tensor


def known_reduction(op: str, reduction: str) -> str:
    """The `reduction`; a ValueError if there is no such one."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{op}: reduction must be mean, sum or none, not {reduction!r}")
    return reduction


def reduced(op: str, losses: Any, reduction: str) -> Any:
    """The losses, their sum, or their mean, which is NaN if there are none."""
    if known_reduction(op, reduction) == "none":
        return losses
    return losses.sum() if reduction == "sum" else losses.mean()


def times(share: Any, value: Any) -> Any:
    """`share` times `value`, with 0 times infinity = 0, as 0 log 0 = 0."""
    if not may_be_infinite(value):
        return share * value
    share_, value_ = (bare(x) for x in (share, value))
    nothing = (share_ == 0) & array_module(value_).isinf(value_)
    return share * where(nothing, 0.0, value)


def may_be_infinite(x: Any) -> bool:
    """Whether there is an infinity in `x`; on a GPU True, as a check would have to wait for it."""
    return not may_look(x) or bool(np.isinf(bare(x)).any())


def _beside_each_other(a: Any, b: Any) -> tuple[Any, Any]:
    """Both as operands, each beside the other."""
    return operand(operand(a, [b])), operand(operand(b, [a]))


def _same_shape(op: str, predictions: Any, targets: Any) -> None:
    if predictions.shape != targets.shape:
        raise ValueError(
            f"{op}: predictions of shape {predictions.shape}, targets of shape {targets.shape}; "
            "they must be equal (nothing is broadcast)"
        )


def mse_loss(predictions: ArrayLike, targets: ArrayLike, reduction: str = "mean") -> Tensor:
    """(predictions - targets)^2, reduced by `reduction`; both have the same shape.

    Parameters
    ----------
    predictions, targets
        the same shape; nothing is broadcast.
    reduction
        ``"mean"``, ``"sum"`` or ``"none"``.
    """
    predictions, targets = _beside_each_other(predictions, targets)
    _same_shape("mse_loss", predictions, targets)
    dtype = float_dtype([predictions.dtype, targets.dtype])
    difference = subtract(in_dtype(predictions, wide(predictions.dtype)), targets)
    loss: Tensor = in_dtype(reduced("mse_loss", square(difference), reduction), dtype)
    return loss


def binary_cross_entropy_with_logits(
    logits: ArrayLike,
    targets: ArrayLike,
    weight: ArrayLike = None,
    reduction: str = "mean",
    pos_weight: ArrayLike = None,
) -> Tensor:
    """Cross-entropy of sigmoid(logits) against probabilities `targets`, in nats, elementwise.

    Parameters
    ----------
    logits, targets
        the same shape; targets from 0 to 1.
    weight
        a constant factor for the loss of each element; broadcasts to that shape.
    reduction
        ``"mean"``, ``"sum"`` or ``"none"``.
    pos_weight
        a constant factor for the part of the loss that is due to positive targets; broadcasts too.
    """
    logits, targets = _beside_each_other(logits, targets)
    _same_shape("binary_cross_entropy_with_logits", logits, targets)
    as_floats("binary_cross_entropy_with_logits", "logits", logits)
    if targets.dtype.kind != "f":
        targets = constant_array(targets, logits)
    dtype = float_dtype([logits.dtype, targets.dtype])
    logits = in_dtype(logits, wide(logits.dtype))
    if weight is not None:
        weight = _constant_like(logits, "weight", weight)
        nothing = weight == 0
        logits = where(nothing, 0.0, logits)  # also infinity and NaN
    # -log sigmoid(z) = softplus(-z), and -log(1 - sigmoid(z)) = softplus(z)
    positive = targets
    if pos_weight is not None:
        positive = targets * _constant_like(logits, "pos_weight", pos_weight)
    product = times if may_be_infinite(logits) else multiply
    losses = product(positive, softplus(-logits)) + product(1.0 - targets, softplus(logits))
    if weight is not None:
        losses = losses * weight
    loss = reduced("binary_cross_entropy_with_logits", losses, reduction)
    result: Tensor = in_dtype(loss, dtype)
    return result


def _constant_like(logits: Any, name: str, weight: Any) -> Array:
    """A weight of binary_cross_entropy_with_logits, in the dtype of the logits."""
    if isinstance(weight, Tensor) and weight._node is not None:
        raise TypeError(
            f"binary_cross_entropy_with_logits: {name} requires a gradient, which it cannot have; "
            "detach() it"
        )
    return constant_array(weight, logits)
