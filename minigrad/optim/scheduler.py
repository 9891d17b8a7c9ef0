"""What all schedules of the learning rate share, and those that are functions of a count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from minigrad.errors.values import told
from minigrad.optim.arguments import check_kind, check_like, check_names
from minigrad.optim.optimizer import Optimizer
from minigrad.optim.state import plain


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
    """Those of them that may be a number, None, or a list of numbers."""

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
        """Raise a ValueError if `values` are a list, but not one for each group of today."""
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
        """What a later run needs to go on from here: numbers, strings, lists and dicts of them."""
        state = {name: plain(getattr(self, name)) for name in ("last_epoch", *self.settings)}
        return {"kind": type(self).__name__, "lrs": self.get_last_lr(), **state}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a `state_dict`, and set the learning rates to what they were.

        Raises
        ------
        ValueError
            if it is of a schedule of another class, or for another number of groups.
        """
        self.check_state(state_dict)
        for name in ("last_epoch", *self.settings):
            setattr(self, name, plain(state_dict[name]))
        self.set_lr(state_dict["lrs"])

    def check_state(self, saved: Mapping[str, Any]) -> None:
        """Raise a ValueError if `saved` is no `state_dict` of a schedule like this one."""
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
        the count to begin after. With -1, the default, the present learning rates are those to
        begin with (or, if an earlier schedule has left an ``"initial_lr"`` in a group, that one).

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

    def step(self) -> None:
        """Count one step (or epoch) more, and set the learning rates to it."""
        self.set_epoch(self.last_epoch + 1)

    def set_epoch(self, epoch: int) -> None:
        """Set the learning rates to those after `epoch` steps.

        A group that was added since the schedule was made begins with the learning rate it has.
        """
        self.set_lr([self.lr_at(epoch, base, i) for i, base in enumerate(self.base_lrs)])
        self.last_epoch = epoch

    def lr_at(self, epoch: int, base_lr: float, group: int) -> float:
        """The learning rate after `epoch` steps, of the group with this number and first rate."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """See `LRScheduler.state_dict`."""
        return {**super().state_dict(), "base_lrs": self.base_lrs}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """See `LRScheduler.load_state_dict`."""
        super().load_state_dict(state_dict)
        for group, lr in zip(self.optimizer.param_groups, state_dict["base_lrs"], strict=True):
            group["initial_lr"] = float(lr)
