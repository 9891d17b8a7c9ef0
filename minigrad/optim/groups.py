"""Parameters in groups with options, what is remembered of each, and how that is saved."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np

from minigrad.arrays.devices import device_of, to_device
from minigrad.arrays.library import is_array
from minigrad.arrays.sums import wide
from minigrad.errors.values import told
from minigrad.optim.arguments import (
    check_kind,
    check_like,
    check_names,
    check_number,
    check_parameter,
    in_order,
    plain,
)
from minigrad.tensor import Tensor

Parameters: TypeAlias = Iterable[Tensor] | Iterable[dict[str, Any]]
"""What an optimiser takes: Tensors, or groups of them: ``{"params": tensors, "lr": 0.1}``."""


class ParameterGroups:
    """What an optimiser works on; see `Optimizer` for its arguments, attributes and errors."""

    remembered: tuple[str, ...] = ()
    """The names that the state of a parameter may have."""

    def __init__(self, params: Parameters, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self.param_groups: list[dict[str, Any]] = []
        self.state: dict[Tensor, dict[str, Any]] = {}
        name = type(self).__name__
        groups = in_order(params, name)
        if not any(isinstance(group, dict) for group in groups):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)
        if not any(p.requires_grad for p in self.parameters()):
            raise ValueError(f"{name}: none of the parameters requires a gradient")

    def parameters(self) -> Iterator[Tensor]:
        """The parameters of all groups, in the order in which `state_dict` numbers them."""
        for group in self.param_groups:
            yield from group["params"]

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group: ``"params"`` (a Tensor or several) and options; raises as the class does."""
        where = f"{type(self).__name__}: group {len(self.param_groups)}"
        if not isinstance(param_group, dict):
            raise TypeError(
                f"{where} is no dict but {type(param_group).__name__} {told(param_group)}"
            )
        check_names(where, param_group, ["params"], [*self.defaults, "name", "initial_lr"])
        params = param_group["params"]
        params = [params] if isinstance(params, Tensor) else in_order(params, where)
        known = set(self.parameters())
        for i, p in enumerate(params):
            check_parameter(p, f"{where}: parameter {i}")
            if p in known:
                raise ValueError(
                    f"{where}: parameter {i}, of shape {p.shape}, is here a second time, and would "
                    "be stepped twice; give a tied weight once"
                )
            known.add(p)
        group = {**self.defaults, **param_group, "params": params}
        self.check_options(group, where)
        self.param_groups.append(group)

    def check_options(self, options: Mapping[str, Any], where: str) -> None:
        """Raise a ValueError that begins with `where` if an option of a group is out of range.

        An option that is a number must be at least 0. A subclass adds its own checks.
        """
        for name, default in self.defaults.items():
            if not isinstance(default, bool | tuple | list):
                check_number(options[name], f"{where}: {name}")

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__}("]
        for i, group in enumerate(self.param_groups):
            options = ", ".join(f"{name}={group[name]!r}" for name in group if name != "params")
            lines.append(f"  group {i}: {len(group['params'])} parameters, {options}")
        return "\n".join([*lines, ")"])

    # ------------------------------------------------------------------ saving and loading

    def state_dict(self) -> dict[str, Any]:
        """All that a later run needs to go on from here, except the parameters themselves.

        Returns
        -------
        dict
            ``"kind"``: the name of the class. ``"param_groups"``: a list with the options of each
            group, and under ``"params"`` the numbers of its parameters, counted through all groups.
            ``"state"``: by the number of a parameter, what the optimiser remembers of it. It
            consists of dicts, lists, strings, numbers and NumPy arrays, all of them copies.
        """
        number = {p: i for i, p in enumerate(self.parameters())}
        groups = []
        for group in self.param_groups:
            options = {name: plain(value) for name, value in group.items() if name != "params"}
            groups.append({**options, "params": [number[p] for p in group["params"]]})
        state = {
            number[p]: {name: _saved(value) for name, value in entries.items()}
            for p, entries in self.state.items()
        }
        return {"kind": type(self).__name__, "param_groups": groups, "state": state}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a `state_dict`: the next step is the same, bit for bit, as it was there.

        The keys of ``"state"`` may be strings, as JSON makes them.

        Raises
        ------
        ValueError
            if it belongs to an optimiser of another class, or with other groups, options, or sizes
            or dtypes of parameters. Then nothing is changed.
        """
        kind = type(self).__name__
        where = f"{kind}.load_state_dict"
        check_like(f"{where}: the state", state_dict, {})
        check_names(where, state_dict, ["kind", "param_groups", "state"])
        check_kind(where, state_dict["kind"], kind, "optimiser")
        self._check_form(state_dict, where)
        options = list(self._checked_options(state_dict["param_groups"], where))
        state = dict(self._checked_state(state_dict["state"], where))
        for group, values in zip(self.param_groups, options, strict=True):
            group.update(values)
        self.state = state

    def _check_form(self, saved: Mapping[str, Any], where: str) -> None:
        """Raise a ValueError if something in `saved` has a wrong type; anybody may have made it."""
        check_like(f"{where}: param_groups", saved["param_groups"], [{}])
        check_like(f"{where}: state", saved["state"], {})
        for i, options in enumerate(saved["param_groups"]):
            here = f"{where}: group {i}"
            known = {"params": [0], "name": "", "initial_lr": 0.0}
            for name, default in (*self.defaults.items(), *known.items()):
                if name in options:
                    check_like(f"{here}: {name}", options[name], default)
        for key, entries in saved["state"].items():
            here = f"{where}: parameter {told(key)}"
            if not str(key).isdecimal():
                raise ValueError(f"{here} is none")
            check_like(here, entries, {})
            if "step" in entries:
                check_like(f"{here}: step", entries["step"], 0)

    def _checked_options(
        self, saved: list[Mapping[str, Any]], where: str
    ) -> Iterator[dict[str, Any]]:
        if len(saved) != len(self.param_groups):
            raise ValueError(
                f"{where}: {len(saved)} parameter groups were saved, but there are "
                f"{len(self.param_groups)}"
            )
        start = 0
        for i, (options, group) in enumerate(zip(saved, self.param_groups, strict=True)):
            here = f"{where}: group {i}"
            numbers = list(range(start, start + len(group["params"])))
            start += len(numbers)
            check_names(here, options, group, optional=["name", "initial_lr"])
            if list(options["params"]) != numbers:
                raise ValueError(
                    f"{here}: parameters {list(options['params'])} were saved, but it has {numbers}"
                )
            self.check_options(options, here)
            yield {name: _loaded(options[name]) for name in options if name != "params"}

    def _checked_state(
        self, saved: Mapping[Any, Mapping[str, Any]], where: str
    ) -> Iterator[tuple[Tensor, dict[str, Any]]]:
        parameters = list(self.parameters())
        for key, entries in saved.items():
            here = f"{where}: parameter {key}"
            if int(key) not in range(len(parameters)):
                raise ValueError(f"{here}: there are only {len(parameters)}")
            p = parameters[int(key)]
            check_names(here, entries, [], optional=self.remembered)
            for name, value in entries.items():
                fits = isinstance(value, int) if name == "step" else _is_like(value, p)
                if not fits:
                    wanted = "a whole number" if name == "step" else f"{wide(p.dtype)} {p.shape}"
                    raise ValueError(f"{here}: {name} is {told(value)}; expected {wanted}")
            device = device_of(p._array)
            yield p, {name: _loaded(value, device) for name, value in entries.items()}


def _is_like(value: Any, p: Tensor) -> bool:
    return is_array(value) and value.shape == p.shape and value.dtype == wide(p.dtype)


def _saved(value: Any) -> Any:
    """What is remembered of a parameter: a number, or a copy of an array in NumPy."""
    return np.array(to_device(value, "cpu")) if is_array(value) else value


def _loaded(value: Any, device: str = "cpu") -> Any:
    if is_array(value):
        return to_device(np.array(to_device(value, "cpu")), device)
    return tuple(value) if isinstance(value, list) else value
