"""Softmax, and the losses: numbers that say how far predictions are from targets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from minigrad.backend import Array, ArrayLike, array_module
from minigrad.devices import beside, on_device_of
from minigrad.fusing import fused
from minigrad.kernels.launch import THREADS, usable
from minigrad.kernels.rows import cross_entropy_rows
from minigrad.ops.activations import softplus
from minigrad.ops.arithmetic import exp, square, subtract, where
from minigrad.ops.indexing import take_along_axis
from minigrad.ops.reduction import sum
from minigrad.ops.shape import moveaxis
from minigrad.ops.targets import (
    as_class_ids,
    as_floats,
    check_classes,
    check_smoothing,
    class_weights,
    constant_array,
)
from minigrad.recording import differentiable, operand

if TYPE_CHECKING:
    from minigrad.tensor import Tensor


@differentiable(x=lambda g, out, axis: (g - (g * out).sum(axis, keepdims=True)) * out)
def softmax(x: ArrayLike, axis: int | tuple[int, ...] = -1) -> Tensor:
    """exp(x) over its sum along `axis`: positive numbers that sum to 1, for `x` of any size."""
    xp = array_module(x)
    e = xp.exp(x - x.max(axis, keepdims=True))
    e /= e.sum(axis, keepdims=True)
    return e


@differentiable(x=lambda g, out, axis: g - exp(out) * g.sum(axis, keepdims=True))
def log_softmax(x: ArrayLike, axis: int | tuple[int, ...] = -1) -> Tensor:
    """Logarithm of the softmax of `x` along `axis`, without under- or overflow."""
    xp = array_module(x)
    shifted = x - x.max(axis, keepdims=True)
    return shifted - xp.log(xp.exp(shifted).sum(axis, keepdims=True))


# -------------------------------------------------------------------------- cross-entropy


def cross_entropy(
    logits: ArrayLike,
    targets: ArrayLike,
    weight: ArrayLike = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    axis: int = -1,
) -> Tensor:
    """Cross-entropy of the softmax of `logits` against `targets`, in nats.

    Of a target class y with logits z: -log softmax(z)[y] = log(sum(exp(z))) - z[y].

    Parameters
    ----------
    logits
        floats with C classes along `axis`: shape (..., C), or for one example (C,).
    targets
        integer class indices, of the shape of `logits` without `axis`; or floating probabilities of
        the shape of `logits`.
    weight
        shape (C,): what each class counts; None: all 1.
    ignore_index
        targets that are this index count for nothing (class indices only).
    label_smoothing
        from 0 to 1: this part of each target goes to all C classes equally (Szegedy et al. 2016).
    reduction
        ``"mean"``: over all targets that are not ignored, weighted by the weights of their classes
        (with class probabilities: over all examples); ``"sum"``; ``"none"``: one loss a target.
    axis
        where the classes lie; the last axis, unlike in PyTorch, where it is the second.

    Returns
    -------
    Tensor, a single number, or the shape of the class indices with ``reduction="none"``. If every
    target is ignored it is 0, with a gradient of 0.

    Raises
    ------
    TypeError, ValueError, IndexError
        for logits that are not floats, shapes that do not fit, class indices outside [0, C).
        On a GPU nobody looks at class indices: the loss of such a target is NaN.
    """
    logits = as_floats("cross_entropy", "logits", logits)
    targets = as_class_ids(targets, logits)
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"cross_entropy: reduction must be mean, sum or none, not {reduction!r}")
    check_smoothing("cross_entropy", label_smoothing)
    if logits.ndim == 0:
        raise ValueError("cross_entropy: logits has no axis of classes; its shape is ()")
    if axis not in (-1, logits.ndim - 1):
        logits = moveaxis(logits, axis, -1)
        targets = moveaxis(targets, axis, -1) if targets.dtype.kind == "f" else targets
    classes = logits.shape[-1]
    weight = class_weights("cross_entropy", weight, classes, logits)
    if targets.dtype.kind == "f":
        return _soft_cross_entropy(logits, targets, weight, label_smoothing, reduction)
    check_classes("cross_entropy", targets, logits.shape, ignore_index)
    options = (weight, ignore_index, label_smoothing, reduction)
    return _cross_entropy(logits, targets, *options)


def _constant_like(logits: Any, name: str, weight: Any) -> Array:
    """A weight of binary_cross_entropy_with_logits, in the dtype of its logits."""
    if getattr(weight, "_node", None) is not None:
        raise TypeError(
            f"binary_cross_entropy_with_logits: {name} requires a gradient, which it cannot have; "
            "detach() it"
        )
    return constant_array(weight, logits)


def _soft_cross_entropy(
    logits: Any, probabilities: Any, weight: Array | None, label_smoothing: float, reduction: str
) -> Any:
    """Against probabilities, for which composition is fast enough; differentiable in both."""
    if probabilities.shape != logits.shape:
        raise ValueError(
            f"cross_entropy: targets are probabilities of shape {probabilities.shape}, expected "
            f"the shape of logits {logits.shape}; class indices must be integers"
        )
    if label_smoothing:
        share = label_smoothing / logits.shape[-1]
        probabilities = probabilities * (1 - label_smoothing) + share
    log_probs = log_softmax(logits, -1)
    if weight is not None:
        log_probs = log_probs * weight
    losses = -sum(probabilities * log_probs, -1)
    if reduction == "none":
        return losses
    total = sum(losses)
    return total if reduction == "sum" else total / (losses.size or 1)


def _nan(xp: Any, dtype: Any) -> Array:
    """An array of no axes, since a Python float would not keep to float16."""
    return xp.full((), np.nan, dtype)


def _target_weights(
    targets: Array, classes: int, dtype: Any, weight: Array | None, ignore_index: int
) -> tuple[Array, Array]:
    """Class indices that are safe to use, and what each target counts: 0 where it is ignored.

    On a GPU, where nobody has looked, what is no class counts NaN.
    """
    xp, ignored = array_module(targets), targets == ignore_index
    safe = xp.where(ignored, 0, targets)
    counts = (~ignored).astype(dtype)
    if xp is not np:
        inside = (safe >= 0) & (safe < classes)
        safe, counts = xp.where(inside, safe, 0), xp.where(inside, counts, _nan(xp, dtype))
    if weight is not None:
        counts *= weight[safe]
    return safe, counts


def _reduce(losses: Any, counts: Array, reduction: str) -> Any:
    """The sum, or the mean weighted by `counts` (0 if nothing counts)."""
    if reduction == "none":
        return losses
    total = losses.sum()
    if reduction == "sum":
        return total
    with on_device_of(counts):
        weights = counts.sum()
        weights = array_module(counts).where(weights == 0, 1.0, weights).astype(counts.dtype)
    return total / weights


def composed_cross_entropy(
    logits: Any,
    targets: Array,
    weight: Array | None,
    ignore_index: int,
    label_smoothing: float,
    reduction: str,
) -> Any:
    """Cross-entropy against class indices, composed of plain ops: the twin of the fused one."""
    safe, counts = _target_weights(targets, logits.shape[-1], logits.dtype, weight, ignore_index)
    log_probs = log_softmax(logits, -1)
    picked = take_along_axis(log_probs, safe[..., None], -1)[..., 0]
    losses = -(1 - label_smoothing) * picked * counts
    if label_smoothing:
        spread = log_probs if weight is None else log_probs * weight
        losses = losses - (label_smoothing / logits.shape[-1]) * spread.sum(-1)
    return _reduce(where(targets == ignore_index, 0.0, losses), counts, reduction)


def _cross_entropy_backward(
    g: Any,
    kept: tuple[Array, Array, Array],
    targets: Array,
    weight: Array | None,
    ignore_index: int,
    label_smoothing: float,
    reduction: str,
) -> list[Any]:
    """Of the loss of one target y with weight w: w (softmax(z) - onehot(y)), smoothed likewise."""
    probs, safe, counts = kept
    xp = array_module(probs)
    if reduction == "mean":
        total = counts.sum()
        g = g / xp.where(total == 0, 1.0, total).astype(probs.dtype)
    scale = counts * (g * (1 - label_smoothing))  # one number for each target
    flat, index = probs.reshape(-1, probs.shape[-1]), safe.reshape(-1)
    if not label_smoothing:
        dz = flat * scale.reshape(-1, 1)
    else:
        share = (targets != ignore_index).astype(probs.dtype) * g
        share = (share * (label_smoothing / probs.shape[-1])).reshape(-1, 1)
        spread = xp.ones(probs.shape[-1], probs.dtype) if weight is None else weight
        dz = flat * (scale.reshape(-1, 1) + share * spread.sum()) - share * spread
    dz[xp.arange(len(index)), index] -= scale.reshape(-1)
    return [dz.reshape(probs.shape)]


def _rows_by_kernel(
    logits: Array, targets: Array, ignore_index: int, label_smoothing: float
) -> tuple[Array, Array]:
    """The softmax, and the loss of each target: 0 where it is ignored, NaN where it is no class."""
    xp, dtype = array_module(logits), logits.dtype
    probs, losses = logits.copy(order="C"), xp.empty(targets.shape, dtype)
    targets = targets.astype(np.int64, order="C", copy=False)
    cross_entropy_rows(
        targets.size, THREADS, dtype,
        logits.shape[-1], probs, None, targets, ignore_index, float(label_smoothing), None, losses,
    )  # fmt: skip
    return probs, losses


@fused(twin=composed_cross_entropy, backward=_cross_entropy_backward, inputs=["logits"])
def _cross_entropy(
    logits: Any,
    targets: Array,
    weight: Array | None,
    ignore_index: int,
    label_smoothing: float,
    reduction: str,
) -> Any:
    """Cross-entropy against class indices in one pass; keeps the softmax for the way back."""
    xp, classes = array_module(logits), logits.shape[-1]
    safe, counts = _target_weights(targets, classes, logits.dtype, weight, ignore_index)
    if usable(logits) and weight is None:
        probs, losses = _rows_by_kernel(logits, targets, int(ignore_index), label_smoothing)
        return _reduce(losses, counts, reduction), (probs, safe, counts)
    shifted = logits - logits.max(-1, keepdims=True)
    picked = xp.take_along_axis(shifted, safe[..., None], -1)[..., 0]
    if label_smoothing:
        plain = xp.ones(classes, logits.dtype) if weight is None else weight
        spread = shifted @ plain
    probs = xp.exp(shifted, out=shifted)
    sums = probs.sum(-1, keepdims=True)
    probs /= sums
    log_sums = xp.log(sums[..., 0])
    losses = (log_sums - picked) * counts * (1 - label_smoothing)
    if label_smoothing:
        losses = losses + (label_smoothing / classes) * (log_sums * plain.sum() - spread)
    losses = xp.where(targets == ignore_index, 0, losses)
    return _reduce(losses, counts, reduction), (probs, safe, counts)


def nll_loss(
    log_probs: ArrayLike,
    targets: ArrayLike,
    weight: ArrayLike = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """Negative log likelihood: minus the log probability, from `log_softmax`, of each target.

    Parameters
    ----------
    log_probs
        shape (..., C).
    targets
        integer class indices of shape (...).
    weight, ignore_index, reduction
        as in `cross_entropy`.

    Raises
    ------
    TypeError, ValueError, IndexError
        as `cross_entropy`.
    """
    as_floats("nll_loss", "log_probs", log_probs)
    targets = as_class_ids(targets, log_probs)
    weight = class_weights("nll_loss", weight, log_probs.shape[-1], log_probs)
    check_classes("nll_loss", targets, log_probs.shape, ignore_index)
    with on_device_of(targets):
        safe, counts = _target_weights(
            targets, log_probs.shape[-1], log_probs.dtype, weight, ignore_index
        )
        ignored = targets == ignore_index
    picked = take_along_axis(log_probs, safe[..., None], -1)[..., 0]
    losses = where(ignored, 0.0, -picked * counts)
    return _reduce(losses, counts, _known_reduction("nll_loss", reduction))


# --------------------------------------------------------------------------- other losses


def _known_reduction(op: str, reduction: str) -> str:
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{op}: reduction must be mean, sum or none, not {reduction!r}")
    return reduction


def _reduced(op: str, losses: Any, reduction: str) -> Any:
    if _known_reduction(op, reduction) == "none":
        return losses
    return losses.sum() if reduction == "sum" else losses.mean()


def _beside_each_other(a: Any, b: Any) -> tuple[Any, Any]:
    return operand(beside(a, [b])), operand(beside(b, [a]))


def _same_shape(op: str, predictions: Any, targets: Any) -> None:
    if predictions.shape != targets.shape:
        raise ValueError(
            f"{op}: predictions of shape {predictions.shape}, targets of shape {targets.shape}; "
            "they must be equal (nothing is broadcast)"
        )


def mse_loss(predictions: ArrayLike, targets: ArrayLike, reduction: str = "mean") -> Tensor:
    """Squared difference of predictions and targets of one shape, reduced as asked."""
    predictions, targets = _beside_each_other(predictions, targets)
    _same_shape("mse_loss", predictions, targets)
    return _reduced("mse_loss", square(subtract(predictions, targets)), reduction)


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
        one shape; targets from 0 to 1.
    weight
        what each element counts, constants; broadcasts to that shape.
    reduction
        ``"mean"``, ``"sum"`` or ``"none"``.
    pos_weight
        what a positive target counts, against 1 for a negative one; broadcasts likewise.
    """
    logits, targets = _beside_each_other(logits, targets)
    _same_shape("binary_cross_entropy_with_logits", logits, targets)
    as_floats("binary_cross_entropy_with_logits", "logits", logits)
    if targets.dtype.kind != "f":
        targets = constant_array(targets, logits)
    # -log sigmoid(z) = softplus(-z), and -log(1 - sigmoid(z)) = softplus(z)
    positive = softplus(-logits) * targets
    if pos_weight is not None:
        positive = positive * _constant_like(logits, "pos_weight", pos_weight)
    losses = positive + softplus(logits) * (1.0 - targets)
    if weight is not None:
        losses = losses * _constant_like(logits, "weight", weight)
    return _reduced("binary_cross_entropy_with_logits", losses, reduction)
