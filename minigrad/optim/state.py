"""What an optimiser remembers, as plain data, and back; see `Optimizer.state_dict`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from minigrad.arrays.devices import device_of, to_device
from minigrad.arrays.library import is_array
from minigrad.arrays.sums import wide
from minigrad.errors.values import told
from minigrad.optim.arguments import check_kind, check_like, check_names
from minigrad.tensor import Tensor

if TYPE_CHECKING:
    from minigrad.optim.optimizer import Optimizer


def state_dict(optimizer: Optimizer) -> dict[str, Any]:
    """See `Optimizer.state_dict`."""
    number = {p: i for i, p in enumerate(optimizer.parameters())}
    groups = []
    for group in optimizer.param_groups:
        options = {name: plain(value) for name, value in group.items() if name != "params"}
        groups.append({**options, "params": [number[p] for p in group["params"]]})
    state = {
        number[p]: {name: _saved(value) for name, value in entries.items()}
        for p, entries in optimizer.state.items()
    }
    return {"kind": type(optimizer).__name__, "param_groups": groups, "state": state}


def load_state_dict(optimizer: Optimizer, saved: Mapping[str, Any]) -> None:
    """See `Optimizer.load_state_dict`."""
    kind = type(optimizer).__name__
    where = f"{kind}.load_state_dict"
    check_like(f"{where}: the state", saved, {})
    check_names(where, saved, ["kind", "param_groups", "state"])
    check_kind(where, saved["kind"], kind, "optimiser")
    _check_form(optimizer, saved, where)
    options = list(_checked_options(optimizer, saved["param_groups"], where))
    state = dict(_checked_state(optimizer, saved["state"], where))
    for group, values in zip(optimizer.param_groups, options, strict=True):
        group.update(values)
    optimizer.state = state


def _check_form(optimizer: Optimizer, saved: Mapping[str, Any], where: str) -> None:
    """Raise a ValueError if something in a tree that anybody may have made is of a wrong type."""
    check_like(f"{where}: param_groups", saved["param_groups"], [{}])
    check_like(f"{where}: state", saved["state"], {})
    for i, options in enumerate(saved["param_groups"]):
        here = f"{where}: group {i}"
        known = {"params": [0], "name": "", "initial_lr": 0.0}
        for name, default in (*optimizer.defaults.items(), *known.items()):
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
    optimizer: Optimizer, saved: list[Mapping[str, Any]], where: str
) -> Iterator[dict[str, Any]]:
    if len(saved) != len(optimizer.param_groups):
        raise ValueError(
            f"{where}: {len(saved)} parameter groups were saved, but there are "
            f"{len(optimizer.param_groups)}"
        )
    start = 0
    for i, (options, group) in enumerate(zip(saved, optimizer.param_groups, strict=True)):
        here = f"{where}: group {i}"
        numbers = list(range(start, start + len(group["params"])))
        start += len(numbers)
        check_names(here, options, group, optional=["name", "initial_lr"])
        if list(options["params"]) != numbers:
            raise ValueError(
                f"{here}: parameters {list(options['params'])} were saved, but it has {numbers}"
            )
        optimizer.check_options(options, here)
        yield {name: _loaded(options[name]) for name in options if name != "params"}


def _checked_state(
    optimizer: Optimizer, saved: Mapping[Any, Mapping[str, Any]], where: str
) -> Iterator[tuple[Tensor, dict[str, Any]]]:
    parameters = list(optimizer.parameters())
    for key, entries in saved.items():
        here = f"{where}: parameter {key}"
        if int(key) not in range(len(parameters)):
            raise ValueError(f"{here}: there are only {len(parameters)}")
        p = parameters[int(key)]
        check_names(here, entries, [], optional=optimizer.remembered)
        for name, value in entries.items():
            fits = isinstance(value, int) if name == "step" else _is_like(value, p)
            if not fits:
                wanted = "a whole number" if name == "step" else f"{wide(p.dtype)} {p.shape}"
                raise ValueError(f"{here}: {name} is {told(value)}; expected {wanted}")
        device = device_of(p._data)
        yield p, {name: _loaded(value, device) for name, value in entries.items()}


def _is_like(value: Any, p: Tensor) -> bool:
    return is_array(value) and value.shape == p.shape and value.dtype == wide(p.dtype)


def plain(value: Any) -> Any:
    """An option as lists, strings, None and Python's numbers alone."""
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value.item() if isinstance(value, Tensor) or is_array(value) else value


def _saved(value: Any) -> Any:
    """What is remembered of a parameter: a number, or a copy of an array in NumPy."""
    return np.array(to_device(value, "cpu")) if is_array(value) else value


def _loaded(value: Any, device: str = "cpu") -> Any:
    if is_array(value):
        return to_device(np.array(to_device(value, "cpu")), device)
    return tuple(value) if isinstance(value, list) else value
