"""Matching saved values with the parameters that they are for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from minigrad.backend import ArrayLike
from minigrad.files import printable
from minigrad.tensor import Tensor


def matched(
    owner: str, named: Iterable[tuple[str, Tensor]], state_dict: Mapping[str, ArrayLike]
) -> list[tuple[Tensor, np.ndarray[Any, Any]]]:
    """Each tensor in `named` (some under several names) with a copy of its value in `state_dict`.

    Raises
    ------
    ValueError
        if anything does not fit, with all that does not.
    """
    tensors: dict[int, Tensor] = {}
    names: dict[int, list[str]] = {}  # of each tensor, all; by identity
    for name, tensor in named:
        tensors[id(tensor)] = tensor
        names.setdefault(id(tensor), []).append(name)
    known = {name for group in names.values() for name in group}
    if not isinstance(state_dict, Mapping):
        raise TypeError(
            "load_state_dict: expected a dict of arrays by name, as state_dict() and mg.load(path) "
            f"give, got {type(state_dict).__name__}"
        )
    faults = [f"unexpected: {printable(name)}" for name in state_dict if name not in known]
    pairs = []
    for key, tensor in tensors.items():
        given = [name for name in names[key] if name in state_dict]
        values = [_array(state_dict[name]) for name in given]
        faulty = [_fault(n, value, tensor) for n, value in zip(given, values, strict=True)]
        wrong = [fault for fault in faulty if fault is not None]
        if not given:
            wrong = [f"missing: {names[key][0]}"]
        elif not wrong and not all(np.array_equal(values[0], v, equal_nan=True) for v in values):
            wrong = [f"tied, but with different values: {', '.join(given)}"]
        faults += wrong
        if not wrong:
            pairs.append((tensor, values[0].astype(tensor.dtype)))
    if faults:
        raise ValueError(
            f"load_state_dict: nothing was loaded, since not all fits {owner}:\n  "
            + "\n  ".join(sorted(faults, key=lambda fault: fault.partition(":")[0]))
        )
    return pairs


def _array(value: ArrayLike) -> np.ndarray[Any, Any]:
    return value.numpy() if isinstance(value, Tensor) else np.asarray(value)


def _fault(name: str, value: np.ndarray[Any, Any], tensor: Tensor) -> str | None:
    """What is wrong with `value` for `tensor`, if anything."""
    if value.shape != tensor.shape:
        return f"misshapen: {name} has shape {value.shape}, expected {tensor.shape}"
    if value.dtype.kind != tensor.dtype.kind:
        return f"not floats: {name} has dtype {value.dtype}, expected {tensor.dtype}"
    return None
