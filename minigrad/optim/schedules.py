"""Schedules: how the learning rate changes with the number of steps.

A schedule is made for an optimiser. It sets the learning rates of the optimiser's groups at once,
and again at each ``schedule.step()``, which is called after each step of the optimiser, or after
each epoch, whichever is to count. Most schedules are functions of that count and of the learning
rates that the groups began with (``group["initial_lr"]``). Two of them on one optimiser would
overwrite each other; `SequentialLR` runs one after another. A schedule that follows a metric
instead is in `minigrad.optim.plateau`.

A linear warm-up over 100 steps, and then a cosine down to 0 over 900 steps::

    warm_up = LinearLR(optimizer, start_factor=0.01, total_iters=100)
    decay = CosineAnnealingLR(optimizer, T_max=900)
    schedule = SequentialLR(optimizer, [warm_up, decay], milestones=[100])
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from math import cos, pi
from typing import Any

from minigrad.arrays.recording import one_call
from minigrad.errors.values import told
from minigrad.optim.arguments import check_kind, check_like, check_names, check_number, plain
from minigrad.optim.optimizer import Optimizer


class LRScheduler:
    """Sets the learning rates of an optimiser's groups.

    Attributes
    ----------
    last_epoch : int
        how many times ``step`` was called.

    Raises
    ------
    TypeError
        if `optimizer` is no `Optimizer`.
    """

    settings: tuple[str, ...] = ()
    """The attributes, besides the count and the learning rates, that `state_dict` saves."""

    loose: tuple[str, ...] = ()
    """Those of the settings that may be a number, None, or a list of numbers."""

    last_epoch: int

    def __init__(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(
                f"{type(self).__name__}: no Optimizer but {type(optimizer).__name__} "
                f"{told(optimizer)}"
            )
        self.optimizer = optimizer
        for name in self.settings:  # numbers of NumPy as Python's, as they are after a resume
            if name in vars(self):
                setattr(self, name, plain(getattr(self, name)))

    def get_last_lr(self) -> list[float]:
        """The learning rate of each group at present."""
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    def check_groups(self, values: Any, what: str) -> None:
        """Raise a ValueError if `values` is a list without one value for each present group."""
        groups = len(self.optimizer.param_groups)
        if isinstance(values, list) and len(values) != groups:
            raise ValueError(
                f"{type(self).__name__}: {len(values)} {what} for {groups} parameter groups; add "
                "all groups to the optimiser before the schedule is made"
            )

    def set_lr(self, lrs: Sequence[float]) -> None:
        """Give each group its learning rate."""
        for group, lr in zip(self.optimizer.param_groups, lrs, strict=True):
            group["lr"] = float(lr)

    def state_dict(self) -> dict[str, Any]:
        """What a later run needs to go on from here: numbers, strings, and lists of them."""
        state = {name: plain(getattr(self, name)) for name in ("last_epoch", *self.settings)}
        return {"kind": type(self).__name__, "lrs": self.get_last_lr(), **state}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a `state_dict`, and set the learning rates to what they were.

        Raises
        ------
        ValueError
            if it belongs to a schedule of another class, or has another number of groups.
        """
        self.check_state(state_dict)
        for name in ("last_epoch", *self.settings):
            setattr(self, name, plain(state_dict[name]))
        self.set_lr(state_dict["lrs"])

    def check_state(self, saved: Mapping[str, Any]) -> None:
        """Raise a ValueError if `saved` is not the `state_dict` of a schedule like this one."""
        kind = type(self).__name__
        where = f"{kind}.load_state_dict"
        mine = self.state_dict()
        check_like(f"{where}: the state", saved, mine)
        check_names(where, saved, mine)
        check_kind(where, saved["kind"], kind, "schedule")
        for name, value in mine.items():
            if name in self.loose:
                value = [0.0] if isinstance(saved[name], list | tuple) else None
            check_like(f"{where}: {name}", saved[name], value)
        groups = len(self.optimizer.param_groups)
        for lrs in (saved["lrs"], saved.get("base_lrs", saved["lrs"])):
            if len(lrs) != groups:
                raise ValueError(
                    f"{where}: {len(lrs)} parameter groups were saved, but there are {groups}"
                )


class CountingScheduler(LRScheduler):
    """A schedule that is a function of the number of steps, and of the first learning rates.

    Parameters
    ----------
    optimizer
        the optimiser whose learning rates to set, at once and at each step.
    last_epoch
        the count before the first step. With -1, the default, each group begins with its present
        learning rate, or with its ``"initial_lr"`` if an earlier schedule has left one.

    Raises
    ------
    TypeError
        if `optimizer` is no `Optimizer`.
    ValueError
        if a number is out of range; if `last_epoch` is given and a group has no ``"initial_lr"``.
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        super().__init__(optimizer)
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

    @one_call(steers=True)
    def step(self) -> None:
        """Count one more step (or epoch), and set the learning rates that belong to it."""
        self.set_epoch(self.last_epoch + 1)

    def set_epoch(self, epoch: int) -> None:
        """Set the learning rates to those after `epoch` steps.

        A group that was added after the schedule was made begins with the learning rate it has.
        """
        self.set_lr([self.lr_at(epoch, base, i) for i, base in enumerate(self.base_lrs)])
        self.last_epoch = epoch

    def lr_at(self, epoch: int, base_lr: float, group: int) -> float:
        """The learning rate of group number `group` after `epoch` steps; it began at `base_lr`."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """See `LRScheduler.state_dict`."""
        return {**super().state_dict(), "base_lrs": self.base_lrs}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """See `LRScheduler.load_state_dict`."""
        super().load_state_dict(state_dict)
        for group, lr in zip(self.optimizer.param_groups, state_dict["base_lrs"], strict=True):
            group["initial_lr"] = float(lr)


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
        a function that gives the factor for a number of steps, or one function for each group.
        Functions are not saved: a run that resumes makes the schedule with the same ones.
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
    """The learning rate times `gamma`, every `step_size` steps."""

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
    """The learning rate times `gamma`, each time the number of steps reaches a milestone."""

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

    It takes `total_iters` steps, and after them the learning rate stays the same. Both factors are
    at most 1, and `start_factor` is above 0.
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

    After e steps it is ``eta_min + (base_lr - eta_min) (1 + cos(π e / T_max)) / 2``. After `T_max`
    steps it rises again. Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm
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
        the counts, in rising order, at which the second schedule begins, then the third, and so
        on. Each schedule counts from 0.
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
                    "depends on the count alone"
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
