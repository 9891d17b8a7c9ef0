"""Checks of what is given to optimisers, schedules and clipping."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from minigrad.arrays.library import is_array
from minigrad.errors.values import told
from minigrad.files import printable
from minigrad.tensor import Tensor


def check_number(
    value: Any, name: str, low: float = 0.0, high: float = math.inf, positive: bool = False
) -> None:
    """Raise a ValueError unless `value` is a number in [low, high); above `low` if `positive`."""
    try:
        fits = low <= float(value) < high and not (positive and float(value) == low)
        fits = fits and not isinstance(value, str)
    except (TypeError, ValueError):
        fits = False
    if not fits:
        kind = f"above {low:g}" if positive else f"of at least {low:g}"
        limit = " and finite" if high == math.inf else f" and below {high:g}"
        raise ValueError(f"{name} must be a number {kind}{limit}, got {told(value)}")


def check_names(
    where: str, given: Iterable[str], expected: Iterable[str], optional: Iterable[str] = ()
) -> None:
    """Raise a ValueError that begins with `where` if a name is missing or unexpected in `given`."""
    missing = [name for name in expected if name not in given and name not in optional]
    unexpected = [name for name in given if name not in expected and name not in optional]
    if missing or unexpected:
        raise ValueError(f"{where}: missing {missing or 'nothing'}, unexpected {unexpected}")


def check_kind(where: str, saved: Any, kind: str, what: str) -> None:
    """Raise a ValueError if the `saved` kind is not `kind`."""
    check_like(f"{where}: kind", saved, "")
    if saved != kind:
        raise ValueError(f"{where}: this is the state of another {what}, {printable(saved):.60}")


def check_like(what: str, value: Any, example: Any) -> None:
    """Raise a ValueError unless `value` is something like `example`.

    This means: a dict, a list of items like the first one in `example`, a str, a bool, a number,
    or, if `example` is None, a number or None.
    """
    if isinstance(example, Mapping):
        fits, wanted = isinstance(value, Mapping), "a dict"
    elif isinstance(example, list | tuple):
        fits, wanted = isinstance(value, list | tuple), "a list"
    elif isinstance(example, str | bool):
        fits, wanted = isinstance(value, type(example)), f"a {type(example).__name__}"
    else:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        fits, wanted = is_number or example is value is None, "a number"
    if not fits:
        raise ValueError(f"{what} must be {wanted}, got {told(value)}")
    if isinstance(example, list | tuple) and example:
        for i, item in enumerate(value):
            check_like(f"{what}[{i}]", item, example[0])


def in_order(params: Any, where: str) -> list[Any]:
    """The items of `params`, which is a sequence or an iterator, but no set; at least one."""
    if isinstance(params, Tensor | dict | str) or not isinstance(params, Iterable):
        raise TypeError(
            f"{where}: expected a list or iterator of Tensors, got {type(params).__name__} "
            f"{told(params)}"
        )
    if isinstance(params, set | frozenset):
        raise TypeError(f"{where}: a set has no order; give the parameters as a list")
    items = list(params)
    if not items:
        raise ValueError(
            f"{where}: no parameters (an iterator that was used up before, or a module whose "
            "weights are no nn.Parameter?)"
        )
    return items


def check_parameter(p: Any, what: str) -> None:
    """Raise unless an optimiser can change `p`: it must be a leaf of floating-point numbers."""
    if not isinstance(p, Tensor):
        raise TypeError(f"{what} is no Tensor but {type(p).__name__} {told(p)}")
    if not p.is_leaf:
        raise ValueError(
            f"{what}, of shape {p.shape}, is the result of an op; optimise the tensors that it was "
            "made from"
        )
    if p.dtype.kind != "f":
        raise TypeError(f"{what} is of dtype {p.dtype}; only floating-point tensors can be stepped")


def plain(value: Any) -> Any:
    """An option as lists, strings, None and Python's own numbers."""
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value.item() if isinstance(value, Tensor) or is_array(value) else value
