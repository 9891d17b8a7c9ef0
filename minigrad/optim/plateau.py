"""A schedule that follows a metric of the training."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any

import numpy as np

from minigrad.arrays.recording import one_call
from minigrad.errors.values import told
from minigrad.optim.arguments import check_number
from minigrad.optim.optimizer import Optimizer
from minigrad.optim.schedules import LRScheduler


class ReduceLROnPlateau(LRScheduler):
    """The learning rates times `factor`, when a metric has not improved for a while.

    Parameters
    ----------
    optimizer
        the optimiser whose learning rates to reduce.
    mode
        ``"min"`` if a smaller metric is better, ``"max"`` if a larger one is.
    factor
        what the learning rates are multiplied by; below 1.
    patience
        the number of calls without an improvement that pass before one reduces the learning rates.
    threshold, threshold_mode
        how much better the metric must be to count as an improvement: by this share of the absolute
        value of the best metric (``"rel"``), or by this amount (``"abs"``). PyTorch takes the share
        of the value itself; so if that is negative, a worse metric counts as better there.
    cooldown
        the number of calls after a reduction that do not count.
    min_lr
        the smallest learning rate: one number, or one for each group.
    eps
        a change of the learning rate of at most this is left out.

    Raises
    ------
    TypeError
        if `optimizer` is no `Optimizer`.
    ValueError
        if a mode is unknown, `factor` is not below 1, or `min_lr` is a list that does not have one
        value for each group.
    """

    settings = (
        *("mode", "factor", "patience", "threshold", "threshold_mode", "cooldown", "min_lrs"),
        *("eps", "best", "num_bad_epochs", "cooldown_counter"),
    )
    loose = ("best", "min_lrs")

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0.0,
        eps: float = 1e-8,
    ) -> None:
        if mode not in ("min", "max"):
            raise ValueError(f"ReduceLROnPlateau: mode must be 'min' or 'max', got {told(mode)}")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(
                "ReduceLROnPlateau: threshold_mode must be 'rel' or 'abs', got "
                f"{told(threshold_mode)}"
            )
        check_number(factor, "ReduceLROnPlateau: factor", high=1.0)
        counts = {"patience": patience, "cooldown": cooldown, "threshold": threshold, "eps": eps}
        for name, value in counts.items():
            check_number(value, f"ReduceLROnPlateau: {name}")
        self.mode, self.factor, self.patience, self.cooldown = mode, factor, patience, cooldown
        self.threshold, self.threshold_mode, self.eps = threshold, threshold_mode, eps
        self.min_lrs: Any = (
            [float(least) for least in np.ravel(min_lr)] if np.ndim(min_lr) else min_lr
        )
        for least in np.ravel(min_lr):
            check_number(least, "ReduceLROnPlateau: min_lr")
        self.best: float | None = None  # not infinity: JSON has no word for it
        self.num_bad_epochs = self.cooldown_counter = 0
        self.last_epoch = 0
        super().__init__(optimizer)
        self.check_groups(self.min_lrs, "values of min_lr")

    @one_call(steers=True)
    def step(self, metrics: Any) -> None:
        """Count one more step (or epoch), after which the metric, a single number, is `metrics`.

        NaN is no improvement. If a group has no `min_lr`, it raises a ValueError and counts
        nothing.
        """
        value = float(metrics)
        self.check_groups(self.min_lrs, "values of min_lr")
        self.last_epoch += 1
        if self._is_better(value):
            self.best, self.num_bad_epochs = value, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self.set_lr([self._reduced(lr, i) for i, lr in enumerate(self.get_last_lr())])
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0

    def _is_better(self, value: float) -> bool:
        if self.best is None:
            return value < inf if self.mode == "min" else value > -inf
        margin = self.threshold * (abs(self.best) if self.threshold_mode == "rel" else 1.0)
        return value < self.best - margin if self.mode == "min" else value > self.best + margin

    def _reduced(self, lr: float, group: int) -> float:
        least = self.min_lrs[group] if isinstance(self.min_lrs, list) else self.min_lrs
        lower: float = max(lr * self.factor, least)
        return lower if lr - lower > self.eps else lr
