"""Schedules: how the learning rate goes with the number of steps.

Each is made for an optimiser, sets the learning rates of its groups at once, and again at each
``schedule.step()``, which is called after a step of the optimiser, or after an epoch, whichever is
to count. All but `ReduceLROnPlateau` are functions of that count and of the learning rates that the
groups began with (``group["initial_lr"]``), so a schedule can be set to any count. Schedules
follow one another by `SequentialLR`; two at a time on one optimiser would overwrite each other.

A linear warm-up over 100 steps and a cosine down to 0 over the 900 after it::

    warm_up = LinearLR(optimizer, start_factor=0.01, total_iters=100)
    decay = CosineAnnealingLR(optimizer, T_max=900)
    schedule = SequentialLR(optimizer, [warm_up, decay], milestones=[100])
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from math import cos, inf, pi
from typing import Any

from minigrad.optim.checks import check_names, check_number, told
from minigrad.optim.optimizer import Optimizer
from minigrad.optim.saving import plain


class LRScheduler:
    """What all schedules share.

    Parameters
    ----------
    optimizer
        the optimiser whose learning rates to set.
    last_epoch
        the count to begin after; with -1, the default, the present learning rates are taken as
        those to begin with.

    Attributes
    ----------
    last_epoch : int
        how many times ``step()`` was called.

    Raises
    ------
    TypeError
        if `optimizer` is no `Optimizer`.
    ValueError
        if a number is out of range; if `last_epoch` is given and a group has no ``"initial_lr"``.
    """

    settings: tuple[str, ...] = ()
    """The attributes, besides the count and the learning rates, that `state_dict` saves."""

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(self).__name__}: no Optimizer but {told(optimizer)}")
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch != -1 and "initial_lr" not in group:
                raise ValueError(
                    f"{type(self).__name__}: last_epoch is {last_epoch}, but group {i} has no "
                    "'initial_lr' to go on from"
                )
        self.set_epoch(last_epoch + 1)

    @property
    def base_lrs(self) -> list[float]:
        """The learning rate that each group began with."""
        groups = self.optimizer.param_groups
        return [float(group.setdefault("initial_lr", group["lr"])) for group in groups]

    def get_last_lr(self) -> list[float]:
        """The learning rate of each group at present."""
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    def step(self) -> None:
        """Count one step (or epoch) more, and set the learning rates to it."""
        self.set_epoch(self.last_epoch + 1)

    def set_epoch(self, epoch: int) -> None:
        """Set the learning rates to those after `epoch` steps."""
        self.last_epoch = epoch
        self._set_lrs([self.lr_at(epoch, base, i) for i, base in enumerate(self.base_lrs)])

    def _set_lrs(self, lrs: Sequence[float]) -> None:
        for group, lr in zip(self.optimizer.param_groups, lrs, strict=True):
            group["lr"] = float(lr)

    def lr_at(self, epoch: int, base_lr: float, group: int) -> float:
        """The learning rate after `epoch` steps, of the group with this number and first rate."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """What a later run needs to go on from here: numbers, strings, lists and dicts of them."""
        state = {name: plain(getattr(self, name)) for name in ("last_epoch", *self.settings)}
        kind = type(self).__name__
        return {"kind": kind, "base_lrs": self.base_lrs, "lrs": self.get_last_lr(), **state}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a `state_dict`, and set the learning rates accordingly.

        Raises
        ------
        ValueError
            if it is of a schedule of another class, or for another number of groups.
        """
        self._check_state(state_dict)
        for name in ("last_epoch", *self.settings):
            setattr(self, name, plain(state_dict[name]))
        for group, base in zip(self.optimizer.param_groups, state_dict["base_lrs"], strict=True):
            group["initial_lr"] = base
        self._set_lrs(state_dict["lrs"])

    def _check_state(self, saved: Mapping[str, Any]) -> None:
        where = f"{type(self).__name__}.load_state_dict"
        check_names(where, saved, ["kind", "base_lrs", "lrs", "last_epoch", *self.settings])
        if saved["kind"] != type(self).__name__:
            raise ValueError(f"{where}: this is the state of another schedule, {saved['kind']}")
        if len(saved["lrs"]) != len(self.optimizer.param_groups):
            raise ValueError(
                f"{where}: {len(saved['lrs'])} parameter groups were saved, but there are "
                f"{len(self.optimizer.param_groups)}"
            )


class LambdaLR(LRScheduler):
    """The first learning rate times a function of the number of steps.

    Parameters
    ----------
    optimizer, last_epoch
        see `LRScheduler`.
    lr_lambda
        a function from the number of steps to the factor, or one for each group. Functions are not
        saved: what resumes makes the schedule with the same ones.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        self.lr_lambdas = None if callable(lr_lambda) else list(lr_lambda)
        self._common = lr_lambda if callable(lr_lambda) else None
        if self.lr_lambdas is not None and len(self.lr_lambdas) != len(optimizer.param_groups):
            raise ValueError(
                f"LambdaLR: {len(self.lr_lambdas)} functions for {len(optimizer.param_groups)} "
                "parameter groups"
            )
        super().__init__(optimizer, last_epoch)

    def lr_at(self, epoch: int, base_lr: float, group: int) -> float:
        """See `LRScheduler.lr_at`."""
        factor = self._common if self.lr_lambdas is None else self.lr_lambdas[group]
        assert factor is not None
        return base_lr * float(factor(epoch))


class StepLR(LRScheduler):
    """The learning rate times `gamma` every `step_size` steps."""

    settings = ("step_size", "gamma")

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        check_number(step_size, "StepLR: step_size", low=1)
        check_number(gamma, "StepLR: gamma")
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def lr_at(self, epoch: int, base_lr: float, group: int) -> float:
        """See `LRScheduler.lr_at`."""
        return float(base_lr * self.gamma ** (epoch // self.step_size))


class MultiStepLR(LRScheduler):
    """The learning rate times `gamma` when the number of steps reaches each of `milestones`."""

    settings = ("milestones", "gamma")

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Sequence[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        check_number(gamma, "MultiStepLR: gamma")
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def lr_at(self, epoch: int, base_lr: float, group: int) -> float:
        """See `LRScheduler.lr_at`."""
        return float(base_lr * self.gamma ** bisect_right(self.milestones, epoch))


class ExponentialLR(LRScheduler):
    """The learning rate times `gamma` at each step."""

    settings = ("gamma",)

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        check_number(gamma, "ExponentialLR: gamma")
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def lr_at(self, epoch: int, base_lr: float, group: int) -> float:
        """See `LRScheduler.lr_at`."""
        return float(base_lr * self.gamma**epoch)


class LinearLR(LRScheduler):
    """A straight line from `start_factor` to `end_factor` times the first learning rate: a warm-up.

    It takes `total_iters` steps; from then on the learning rate stays. Both factors are at most 1,
    and `start_factor` is above 0.
    """

    settings = ("start_factor", "end_factor", "total_iters")

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        check_number(start_factor, "LinearLR: start_factor", positive=True)
        check_number(end_factor, "LinearLR: end_factor")
        if start_factor > 1 or end_factor > 1:
            raise ValueError(
                f"LinearLR: factors must be at most 1, got {start_factor!r} and {end_factor!r}; "
                "make the optimiser with the largest learning rate"
            )
        check_number(total_iters, "LinearLR: total_iters", low=1)
        self.start_factor, self.end_factor = start_factor, end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def lr_at(self, epoch: int, base_lr: float, group: int) -> float:
        """See `LRScheduler.lr_at`."""
        done = min(epoch, self.total_iters) / self.total_iters
        return base_lr * (self.start_factor + (self.end_factor - self.start_factor) * done)


class CosineAnnealingLR(LRScheduler):
    """Half a cosine from the first learning rate down to `eta_min`, in `T_max` steps.

    After e steps it is ``eta_min + (base_lr - eta_min) (1 + cos(π e / T_max)) / 2``, which rises
    again after `T_max`. Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm
    restarts" (2017), without the restarts.
    """

    settings = ("T_max", "eta_min")

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        check_number(T_max, "CosineAnnealingLR: T_max", low=1)
        check_number(eta_min, "CosineAnnealingLR: eta_min")
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def lr_at(self, epoch: int, base_lr: float, group: int) -> float:
        """See `LRScheduler.lr_at`."""
        share = (1 + cos(pi * epoch / self.T_max)) / 2
        return float(self.eta_min + (base_lr - self.eta_min) * share)


class SequentialLR(LRScheduler):
    """Schedules one after another.

    Parameters
    ----------
    optimizer, last_epoch
        see `LRScheduler`.
    schedulers
        schedules of this optimiser, but no `ReduceLROnPlateau`.
    milestones
        the rising numbers of steps at which the second, the third ... begins, counting from 0.
    """

    settings = ("milestones",)

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[LRScheduler],
        milestones: Sequence[int],
        last_epoch: int = -1,
    ) -> None:
        self.schedulers, self.milestones = list(schedulers), list(milestones)
        for i, scheduler in enumerate(self.schedulers):
            if not isinstance(scheduler, LRScheduler) or isinstance(scheduler, ReduceLROnPlateau):
                raise TypeError(
                    f"SequentialLR: scheduler {i} is {told(scheduler)}; expected a schedule that "
                    "goes by the number of steps alone"
                )
            if scheduler.optimizer is not optimizer:
                raise ValueError(f"SequentialLR: scheduler {i} is for another optimiser")
        if len(self.milestones) != len(self.schedulers) - 1:
            raise ValueError(
                f"SequentialLR: {len(self.schedulers)} schedulers need "
                f"{len(self.schedulers) - 1} milestones between them, got {len(self.milestones)}"
            )
        if self.milestones != sorted(set(self.milestones)):
            raise ValueError(f"SequentialLR: milestones must rise, got {self.milestones}")
        super().__init__(optimizer, last_epoch)

    def set_epoch(self, epoch: int) -> None:
        """See `LRScheduler.set_epoch`."""
        self.last_epoch = epoch
        i = bisect_right(self.milestones, epoch)
        self.schedulers[i].set_epoch(epoch - self.milestones[i - 1] if i else epoch)

    def state_dict(self) -> dict[str, Any]:
        """See `LRScheduler.state_dict`."""
        return {
            **super().state_dict(),
            "schedulers": [scheduler.state_dict() for scheduler in self.schedulers],
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """See `LRScheduler.load_state_dict`."""
        for scheduler, saved in zip(self.schedulers, state_dict["schedulers"], strict=True):
            scheduler.load_state_dict(saved)
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "schedulers"})


class ReduceLROnPlateau(LRScheduler):
    """The learning rates times `factor` when a metric has not become better for a while.

    Parameters
    ----------
    optimizer
        see `LRScheduler`.
    mode
        ``"min"`` if a smaller metric is better, ``"max"`` if a larger one is.
    factor
        what to multiply the learning rates with; below 1.
    patience
        how many calls without an improvement pass before the one that reduces.
    threshold, threshold_mode
        what counts as an improvement: a change by this share of the best metric (``"rel"``), or by
        this amount (``"abs"``).
    cooldown
        how many calls after a reduction do not count.
    min_lr
        where to stop, one number, or one for each group.
    eps
        a change of the learning rate that is not larger than this is not made.
    """

    settings = (
        *("mode", "factor", "patience", "threshold", "threshold_mode", "cooldown", "min_lrs"),
        *("eps", "best", "num_bad_epochs", "cooldown_counter"),
    )

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
            raise ValueError(f"ReduceLROnPlateau: mode must be 'min' or 'max', got {mode!r}")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(
                f"ReduceLROnPlateau: threshold_mode must be 'rel' or 'abs', got {threshold_mode!r}"
            )
        check_number(factor, "ReduceLROnPlateau: factor", high=1.0)
        self.mode, self.factor, self.patience, self.cooldown = mode, factor, patience, cooldown
        self.threshold, self.threshold_mode, self.eps = threshold, threshold_mode, eps
        self.min_lrs = min_lr if isinstance(min_lr, int | float) else list(min_lr)
        self.best: float | None = None  # not infinity, which JSON has no word for
        self.num_bad_epochs = self.cooldown_counter = 0
        super().__init__(optimizer)
        if isinstance(self.min_lrs, list) and len(self.min_lrs) != len(optimizer.param_groups):
            raise ValueError(
                f"ReduceLROnPlateau: {len(self.min_lrs)} values of min_lr for "
                f"{len(optimizer.param_groups)} parameter groups"
            )

    def set_epoch(self, epoch: int) -> None:
        """Count only: what the learning rate is depends on the metrics."""
        self.last_epoch = epoch

    def step(self, metrics: Any) -> None:  # type: ignore[override]  # the one that needs a metric
        """Count one step (or epoch) more, after which the metric, a single number, is `metrics`."""
        self.set_epoch(self.last_epoch + 1)
        if self._is_better(value := float(metrics)):
            self.best, self.num_bad_epochs = value, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._set_lrs([self._reduced(lr, i) for i, lr in enumerate(self.get_last_lr())])
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0

    def _is_better(self, value: float) -> bool:
        sign = 1 if self.mode == "min" else -1
        best = sign * inf if self.best is None else self.best
        margin = self.threshold * (best if self.threshold_mode == "rel" else 1)
        return sign * value < sign * best - margin * (sign if self.threshold_mode == "rel" else 1)

    def _reduced(self, lr: float, group: int) -> float:
        least = self.min_lrs[group] if isinstance(self.min_lrs, list) else self.min_lrs
        lower = max(lr * self.factor, least)
        return lower if lr - lower > self.eps else lr
