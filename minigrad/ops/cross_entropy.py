"""Cross-entropy: how far the predicted probabilities of classes are from the true classes.

What does not count is left out by a selection, not by a factor of 0, as 0 times infinity is NaN. So
rows whose target is ignored, or has a class of weight 0, may hold anything, and a class of
probability 0 may have the logit -infinity. All is computed at least in float32.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigrad.arrays.kernel import THREADS, usable
from minigrad.arrays.library import Array, ArrayLike, array_module, on_gpu
from minigrad.arrays.sums import total, wide
from minigrad.autograd.fused import fused
from minigrad.autograd.operands import operand
from minigrad.ops.arithmetic import in_dtype, where
from minigrad.ops.indexing import take_along_axis
from minigrad.ops.kernels import cross_entropy_rows
from minigrad.ops.losses import known_reduction, reduced, times
from minigrad.ops.reduction import sum
from minigrad.ops.shape import moveaxis
from minigrad.ops.softmax import log_softmax, shifted
from minigrad.ops.targets import (
    as_class_ids,
    as_floats,
    as_integer,
    check_classes,
    check_smoothing,
    class_weights,
)
from minigrad.tensor import Tensor


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

    For a target class y and logits z it is -log softmax(z)[y] = log(sum(exp(z))) - z[y].

    Parameters
    ----------
    logits
        floats with C classes along `axis`: shape (..., C), or for one example (C,).
    targets
        integer class indices, of the shape of `logits` without `axis`; or class probabilities,
        floats of the shape of `logits`.
    weight
        shape (C,): a factor for the loss of each class; None: all 1.
    ignore_index
        a target that is this index does not count (class indices only).
    label_smoothing
        from 0 to 1: this part of each target goes to all C classes equally (Szegedy et al. 2016).
    reduction
        ``"mean"``: the mean over all targets that are not ignored, weighted by the weights of their
        classes (for class probabilities: over all examples); ``"sum"``; or ``"none"``: one loss for
        each target.
    axis
        the axis of the classes: the last one; in PyTorch it is the second.

    Returns
    -------
    Tensor, a single number, or the shape of the class indices with ``reduction="none"``. If every
    target is ignored it is 0, with a gradient of 0; the mean over no targets at all is NaN.

    Raises
    ------
    TypeError, ValueError, IndexError
        for logits that are not floats, shapes that do not fit, class indices outside [0, C).
        On a GPU class indices are not checked: the loss of such a target is NaN.
    """
    logits = as_floats("cross_entropy", "logits", logits)
    targets = as_class_ids(targets, logits)
    known_reduction("cross_entropy", reduction)
    label_smoothing = check_smoothing("cross_entropy", label_smoothing)
    if logits.ndim == 0:
        raise ValueError("cross_entropy: logits has no axis of classes; its shape is ()")
    if axis not in (-1, logits.ndim - 1):
        logits = moveaxis(logits, axis, -1)
        targets = moveaxis(targets, axis, -1) if targets.dtype.kind == "f" else targets
    classes = logits.shape[-1]
    weight = class_weights("cross_entropy", weight, classes, logits)
    if targets.dtype.kind == "f":
        soft: Tensor = _soft_cross_entropy(logits, targets, weight, label_smoothing, reduction)
        return soft
    ignore_index = as_integer("cross_entropy", ignore_index)
    check_classes("cross_entropy", targets, logits.shape, ignore_index)
    options = (weight, ignore_index, label_smoothing, reduction)
    return _cross_entropy(logits, targets, *options)


def _soft_cross_entropy(
    logits: Any, probabilities: Any, weight: Array | None, label_smoothing: float, reduction: str
) -> Any:
    """Against probabilities, composed of ops, which is fast enough; differentiable in both."""
    if probabilities.shape != logits.shape:
        raise ValueError(
            f"cross_entropy: targets are probabilities of shape {probabilities.shape}, expected "
            f"the shape of logits {logits.shape}; class indices must be integers"
        )
    if label_smoothing:
        share = label_smoothing / logits.shape[-1]
        probabilities = probabilities * (1 - label_smoothing) + share
    log_probs = log_softmax(in_dtype(logits, wide(logits.dtype)), -1)
    probabilities = operand(probabilities, [log_probs])
    shares = probabilities if weight is None else probabilities * weight
    result = reduced("cross_entropy", -sum(times(shares, log_probs), -1), reduction)
    return in_dtype(result, np.result_type(logits.dtype, probabilities.dtype))


def _nan(xp: Any, dtype: Any) -> Array:
    """NaN as an array without axes: a Python float would not keep float16."""
    return xp.full((), np.nan, dtype)


def _target_weights(
    targets: Array, classes: int, dtype: Any, weight: Array | None, ignore_index: int
) -> tuple[Array, Array]:
    """Class indices that are safe to use, and the weight of each target: 0 where it is ignored.

    On a GPU, where indices were not checked, the weight is NaN for an index that is no class.
    """
    xp, ignored = array_module(targets), targets == ignore_index
    safe = xp.where(ignored, 0, targets)
    counts = (~ignored).astype(dtype)
    if on_gpu(safe):
        inside = (safe >= 0) & (safe < classes)
        safe, counts = xp.where(inside, safe, 0), xp.where(inside, counts, _nan(xp, dtype))
    if weight is not None:
        counts = counts * weight[safe]
    return safe, counts


def _unseen(targets: Array, counts: Array, ignore_index: int, label_smoothing: float) -> Array:
    """The targets whose logits do not matter: loss and gradient are 0 there."""
    return targets == ignore_index if label_smoothing else counts == 0


def _reduce(losses: Any, counts: Array, reduction: str) -> Any:
    """The sum, or the mean weighted by `counts`: 0 if all counts are 0, NaN if there are none."""
    if reduction == "none":
        return losses
    summed = losses.sum()
    if reduction == "sum":
        return summed
    if not counts.size:
        return summed * math.nan
    weights = total(counts)
    return summed / array_module(counts).where(weights == 0, 1.0, weights).astype(counts.dtype)


def composed_cross_entropy(
    logits: Any,
    targets: Array,
    weight: Array | None,
    ignore_index: int,
    label_smoothing: float,
    reduction: str,
) -> Any:
    """Cross-entropy against class indices, composed of plain ops: the twin of the fused one."""
    dtype, classes = wide(logits.dtype), logits.shape[-1]
    safe, counts = _target_weights(targets, classes, dtype, weight, ignore_index)
    unseen = _unseen(targets, counts, ignore_index, label_smoothing)
    z = in_dtype(where(unseen[..., None], 0.0, logits), dtype)
    log_probs, kept = log_softmax(z, -1), counts * (1 - label_smoothing)
    picked = take_along_axis(log_probs, safe[..., None], -1)[..., 0]
    losses = where(kept == 0, 0.0, -picked) * kept
    if label_smoothing:
        spread = log_probs if weight is None else times(weight, log_probs)
        losses = losses - where(unseen, 0.0, spread.sum(-1)) * (label_smoothing / classes)
    return in_dtype(_reduce(losses, counts, reduction), logits.dtype)


def _cross_entropy_backward(
    g: Any,
    kept: tuple[Array, Array, Array, Array | None],
    targets: Array,
    weight: Array | None,
    ignore_index: int,
    label_smoothing: float,
    reduction: str,
) -> list[Any]:
    """For a target y of weight w, dz = w (softmax(z) - onehot(y)), with onehot(y) smoothed."""
    probs, safe, counts, nothing = kept
    xp, given = array_module(probs), g.dtype
    if reduction == "mean":
        weights = total(counts)
        g = g / xp.where(weights == 0, 1.0, weights).astype(probs.dtype)
    scale = g if nothing is None else xp.where(nothing, 0, g)  # one number for each target
    scale = (scale * (counts * (1 - label_smoothing))).reshape(-1, 1)
    flat, index = probs.reshape(-1, probs.shape[-1]), safe.reshape(-1)
    if not label_smoothing:
        dz = flat * scale
    else:
        share = xp.where(targets == ignore_index, 0, g * (label_smoothing / probs.shape[-1]))
        share = share.astype(probs.dtype).reshape(-1, 1)
        spread = xp.ones(probs.shape[-1], probs.dtype) if weight is None else weight
        dz = flat * (scale + share * spread.sum()) - share * spread
    dz[xp.arange(len(index)), index] -= scale[:, 0]
    return [dz.reshape(probs.shape).astype(given, copy=False)]


def _rows_by_kernel(
    logits: Array, targets: Array, ignore_index: int, label_smoothing: float
) -> tuple[Array, Array]:
    """The softmax, and the loss of each target: 0 if it is ignored, NaN if it is no class."""
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
) -> tuple[Any, Any]:
    """Cross-entropy against class indices in one pass; it keeps the softmax for the backward."""
    xp, classes, given = array_module(logits), logits.shape[-1], logits.dtype
    logits = logits.astype(wide(given), "C", copy=False)  # so sums over classes keep their digits
    safe, counts = _target_weights(targets, classes, logits.dtype, weight, ignore_index)
    nothing = None  # where the factor of a target's own class is 0; None: nowhere
    if on_gpu(logits) or label_smoothing == 1 or not counts.all():  # do not wait for a GPU to know
        nothing = counts * (1 - label_smoothing) == 0
    kept = (safe, counts, nothing)
    if usable(logits) and weight is None:
        probs, losses = _rows_by_kernel(logits, targets, ignore_index, label_smoothing)
        return _reduce(losses, counts, reduction).astype(given, copy=False), (probs, *kept)
    if nothing is not None:
        unseen = _unseen(targets, counts, ignore_index, label_smoothing)
        logits = xp.where(unseen[..., None], 0, logits)
    z = shifted(logits, -1)
    picked = xp.take_along_axis(z, safe[..., None], -1)[..., 0]
    if label_smoothing:
        plain = xp.ones(classes, z.dtype) if weight is None else weight
        spread = (z if weight is None else xp.where(weight == 0, 0, z)) @ plain
    probs = xp.exp(z, out=z)
    sums = probs.sum(-1, keepdims=True)
    probs /= sums
    log_sums = xp.log(sums[..., 0])
    losses = log_sums - picked
    if nothing is not None:
        losses = xp.where(nothing, 0, losses)
    losses *= counts * (1 - label_smoothing)
    if label_smoothing:
        spread = (log_sums * plain.sum() - spread) * (label_smoothing / classes)
        losses += xp.where(targets == ignore_index, 0, spread)
    return _reduce(losses, counts, reduction).astype(given, copy=False), (probs, *kept)


def nll_loss(
    log_probs: ArrayLike,
    targets: ArrayLike,
    weight: ArrayLike = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """Negative log likelihood: minus the log probability of each target, given by `log_softmax`.

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
    known_reduction("nll_loss", reduction)
    targets, ignore_index = as_class_ids(targets, log_probs), as_integer("nll_loss", ignore_index)
    classes, dtype = log_probs.shape[-1], wide(log_probs.dtype)
    weight = class_weights("nll_loss", weight, classes, log_probs)
    check_classes("nll_loss", targets, log_probs.shape, ignore_index)
    safe, counts = _target_weights(targets, classes, dtype, weight, ignore_index)
    nothing = counts == 0
    picked = take_along_axis(log_probs, safe[..., None], -1)[..., 0]
    losses = where(nothing, 0.0, -picked) * counts
    loss: Tensor = in_dtype(_reduce(losses, counts, reduction), log_probs.dtype)
    return loss
