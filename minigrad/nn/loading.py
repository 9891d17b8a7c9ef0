"""Matching saved values with the tensors that they are for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from minigrad.arrays.library import ArrayLike, refuse_mask
from minigrad.files import printable
from minigrad.tensor import Tensor

Array = np.ndarray[Any, Any]


class IncompatibleKeys(NamedTuple):
    """Which names did not fit when values were loaded; PyTorch's words for them."""

    missing_keys: list[str]
    """Of what the module has, and the values do not: it has stayed as it was."""

    unexpected_keys: list[str]
    """Of what the values have, and the module does not: it was passed over."""


def matched(
    owner: str,
    named: Iterable[tuple[str, Tensor]],
    state_dict: Mapping[str, ArrayLike],
    strict: bool,
) -> tuple[list[tuple[Tensor, Array]], IncompatibleKeys]:
    """Each tensor in `named` (some under several names) with a copy of its value in `state_dict`.

    Raises
    ------
    ValueError
        if anything does not fit, with all that does not; unless `strict`, missing and unexpected
        names are returned instead.
    """
    tensors: dict[int, Tensor] = {}
    names: dict[int, list[str]] = {}  # of each tensor, all; by identity
    for name, tensor in named:
        tensors[id(tensor)] = tensor
        names.setdefault(id(tensor), []).append(name)
    known = {name for group in names.values() for name in group}
    keys = IncompatibleKeys([], [name for name in state_dict if name not in known])
    faults, pairs = [], []
    for key, tensor in tensors.items():
        given = [name for name in names[key] if name in state_dict]
        values = [_array(state_dict[name]) for name in given]
        faulty = [_fault(n, value, tensor) for n, value in zip(given, values, strict=True)]
        wrong = [fault for fault in faulty if fault is not None]
        if not given:
            keys.missing_keys.append(names[key][0])
        elif not wrong and not all(np.array_equal(values[0], v, equal_nan=True) for v in values):
            wrong = [f"tied, but with different values: {', '.join(given)}"]
        faults += wrong
        if given and not wrong:
            pairs.append((tensor, values[0].astype(tensor.dtype)))
    if strict:
        faults += [f"missing: {name}" for name in keys.missing_keys]
        faults += [f"unexpected: {printable(name)}" for name in keys.unexpected_keys]
    if faults:
        raise ValueError(
            f"load_state_dict: nothing was loaded, since not all fits {owner}:\n  "
            + "\n  ".join(sorted(faults, key=lambda fault: fault.partition(":")[0]))
        )
    return pairs, keys


def _array(value: ArrayLike) -> Array:
    refuse_mask(value)
    return value.numpy() if isinstance(value, Tensor) else np.asarray(value)


def _fault(name: str, value: Array, tensor: Tensor) -> str | None:
    """What is wrong with `value` for `tensor`, if anything."""
    if value.shape != tensor.shape:
        return f"misshapen: {name} has shape {value.shape}, expected {tensor.shape}"
    if value.dtype.kind != tensor.dtype.kind:
        kind = {"f": "floats", "b": "bools"}.get(tensor.dtype.kind, "integers")
        return f"not {kind}: {name} has dtype {value.dtype}, expected {tensor.dtype}"
    return None
