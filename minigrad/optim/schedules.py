"""Schedules: how the learning rate goes with the number of steps.

Each is made for an optimiser, sets the learning rates of its groups at once, and again at each
``schedule.step()``, which is called after a step of the optimiser, or after an epoch, whichever is
to count. A schedule is a function of that count and of the learning rates that the groups began
with (``group["initial_lr"]``); so two on one optimiser would overwrite each other, and
`SequentialLR` is there to have one after another. For one that goes by a metric, see
`minigrad.optim.plateau`.

A linear warm-up over 100 steps and a cosine down to 0 over the 900 after it::

    warm_up = LinearLR(optimizer, start_factor=0.01, total_iters=100)
    decay = CosineAnnealingLR(optimizer, T_max=900)
    schedule = SequentialLR(optimizer, [warm_up, decay], milestones=[100])
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from math import cos, pi
from typing import Any

from minigrad.optim.arguments import check_number, told
from minigrad.optim.optimizer import Optimizer
from minigrad.optim.scheduler import CountingScheduler


def half_cosine(done: float, total: float = 1.0) -> float:
    """From 1 to 0 along half a cosine, as `done` goes from 0 to `total`: (1 + cos(π d / t)) / 2.

    It is what `CosineAnnealingLR` goes by, for a loop that sets its learning rates itself.
    """
    return (1 + cos(pi * done / total)) / 2


class LambdaLR(CountingScheduler):
    """The first learning rate times a function of the number of steps.

    Parameters
    ----------
    optimizer, last_epoch
        see `CountingScheduler`.
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
        self.lr_lambda = lr_lambda if callable(lr_lambda) else list(lr_lambda)
        super().__init__(optimizer, last_epoch)

    def set_epoch(self, epoch: int) -> None:
        """See `CountingScheduler.set_epoch`; a ValueError if a group has no function."""
        self.check_groups(self.lr_lambda, "functions")
        super().set_epoch(epoch)

    def lr_at(self, epoch: int, base_lr: float, group: int) -> float:
        """See `CountingScheduler.lr_at`."""
        factor = self.lr_lambda if callable(self.lr_lambda) else self.lr_lambda[group]
        return base_lr * factor(epoch)


class StepLR(CountingScheduler):
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
        """See `CountingScheduler.lr_at`."""
        return float(base_lr * self.gamma ** (epoch // self.step_size))


class MultiStepLR(CountingScheduler):
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
        """See `CountingScheduler.lr_at`."""
        return float(base_lr * self.gamma ** bisect_right(self.milestones, epoch))


class ExponentialLR(CountingScheduler):
    """The learning rate times `gamma` at each step."""

    settings = ("gamma",)

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        check_number(gamma, "ExponentialLR: gamma")
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def lr_at(self, epoch: int, base_lr: float, group: int) -> float:
        """See `CountingScheduler.lr_at`."""
        return float(base_lr * self.gamma**epoch)


class LinearLR(CountingScheduler):
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
        """See `CountingScheduler.lr_at`."""
        done = min(epoch, self.total_iters) / self.total_iters
        return base_lr * (self.start_factor + (self.end_factor - self.start_factor) * done)


class CosineAnnealingLR(CountingScheduler):
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
        """See `CountingScheduler.lr_at`."""
        share = half_cosine(epoch, self.T_max)
        return float(self.eta_min + (base_lr - self.eta_min) * share)


class SequentialLR(CountingScheduler):
    """Schedules one after another.

    Parameters
    ----------
    optimizer, last_epoch
        see `CountingScheduler`.
    schedulers
        schedules of this optimiser, each a function of the count.
    milestones
        the rising counts at which the second schedule, the third ... begins, from its own 0.
    """

    settings = ("milestones",)

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[CountingScheduler],
        milestones: Sequence[int],
        last_epoch: int = -1,
    ) -> None:
        self.schedulers, self.milestones = list(schedulers), list(milestones)
        for i, scheduler in enumerate(self.schedulers):
            if not isinstance(scheduler, CountingScheduler):
                raise TypeError(
                    f"SequentialLR: scheduler {i} is {told(scheduler)}; expected a schedule that "
                    "goes by the count alone"
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
        """See `CountingScheduler.set_epoch`."""
        i = bisect_right(self.milestones, epoch)
        self.schedulers[i].set_epoch(epoch - self.milestones[i - 1] if i else epoch)
        self.last_epoch = epoch

    def state_dict(self) -> dict[str, Any]:
        """See `LRScheduler.state_dict`."""
        inner = [scheduler.state_dict() for scheduler in self.schedulers]
        return {**super().state_dict(), "schedulers": inner}

    def check_state(self, saved: Mapping[str, Any]) -> None:
        """See `LRScheduler.check_state`."""
        super().check_state(saved)
        if len(saved["schedulers"]) != len(self.schedulers):
            raise ValueError(
                f"SequentialLR.load_state_dict: {len(saved['schedulers'])} schedulers were saved, "
                f"but there are {len(self.schedulers)}"
            )
        for scheduler, inner in zip(self.schedulers, saved["schedulers"], strict=True):
            scheduler.check_state(inner)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """See `LRScheduler.load_state_dict`."""
        self.check_state(state_dict)
        for scheduler, saved in zip(self.schedulers, state_dict["schedulers"], strict=True):
            scheduler.load_state_dict(saved)
        super().load_state_dict(state_dict)
