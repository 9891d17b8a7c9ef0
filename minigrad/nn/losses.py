"""Losses as modules: the functions of the same names in `minigrad`, with fixed options."""

from __future__ import annotations

from minigrad import ops
from minigrad.arrays.library import ArrayLike
from minigrad.nn.checking import check_choice, check_share, check_whole
from minigrad.nn.module import Module
from minigrad.tensor import Tensor


def _constant(weight: ArrayLike) -> Tensor | None:
    """`weight` as a Tensor, which moves with the module."""
    return None if weight is None else Tensor(weight)


def _reduction(loss: Module, reduction: str) -> str:
    return check_choice(loss, ("mean", "sum", "none"), reduction=reduction)


class CrossEntropyLoss(Module):
    """Cross-entropy of the softmax of logits against classes, or their probabilities, in nats.

    The parameters are those of `minigrad.cross_entropy`, with PyTorch's names. The classes are on
    the last axis, or on `axis` (in PyTorch on axis 1).
    """

    def __init__(
        self,
        weight: ArrayLike = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
        axis: int = -1,
    ) -> None:
        self.weight = _constant(weight)
        self.ignore_index = check_whole(self, ignore_index=ignore_index)
        self.reduction = _reduction(self, reduction)
        self.label_smoothing = check_share(self, label_smoothing=label_smoothing)
        self.axis = check_whole(self, axis=axis)

    def forward(self, logits: ArrayLike, targets: ArrayLike) -> Tensor:
        """See `minigrad.cross_entropy`: logits (..., C), targets (...) or of the logits' shape."""
        return ops.cross_entropy(
            logits,
            targets,
            self.weight,
            self.ignore_index,
            self.label_smoothing,
            self.reduction,
            self.axis,
        )


class NLLLoss(Module):
    """Negative log probability of each target class; `log_softmax` gives the log probabilities.

    The parameters are those of `minigrad.nll_loss`. The classes are on the last axis.
    """

    def __init__(
        self, weight: ArrayLike = None, ignore_index: int = -100, reduction: str = "mean"
    ) -> None:
        self.weight = _constant(weight)
        self.ignore_index = check_whole(self, ignore_index=ignore_index)
        self.reduction = _reduction(self, reduction)

    def forward(self, log_probs: ArrayLike, targets: ArrayLike) -> Tensor:
        """See `minigrad.nll_loss`: log_probs (..., C), integer targets (...)."""
        return ops.nll_loss(log_probs, targets, self.weight, self.ignore_index, self.reduction)


class MSELoss(Module):
    """Squared difference of predictions and targets: its mean, sum, or (``"none"``) each."""

    def __init__(self, reduction: str = "mean") -> None:
        self.reduction = _reduction(self, reduction)

    def forward(self, predictions: ArrayLike, targets: ArrayLike) -> Tensor:
        """See `minigrad.mse_loss`: both of one shape."""
        return ops.mse_loss(predictions, targets, self.reduction)


class BCEWithLogitsLoss(Module):
    """Cross-entropy of sigmoid(logits) against probabilities, in nats.

    The parameters are those of `minigrad.binary_cross_entropy_with_logits`.
    """

    def __init__(
        self, weight: ArrayLike = None, reduction: str = "mean", pos_weight: ArrayLike = None
    ) -> None:
        self.weight, self.pos_weight = _constant(weight), _constant(pos_weight)
        self.reduction = _reduction(self, reduction)

    def forward(self, logits: ArrayLike, targets: ArrayLike) -> Tensor:
        """See `minigrad.binary_cross_entropy_with_logits`: both of one shape."""
        return ops.binary_cross_entropy_with_logits(
            logits, targets, self.weight, self.reduction, self.pos_weight
        )
