"""What can't be put into the attributes of a module.

It is apart from `module.py` because nobody needs it to understand a Module: it is about the rest of
Python.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from types import BuiltinFunctionType, FunctionType, MappingProxyType, MethodType, ModuleType
from typing import Any

import numpy as np

from minigrad.errors.values import told
from minigrad.nn.parameter import Parameter
from minigrad.tensor import Tensor

HOLD_NOTHING: Any = (
    *(bool, int, float, str, bytes, type(None), np.dtype),
    *(type, FunctionType, BuiltinFunctionType, MethodType, ModuleType),
)
"""Kinds of values that hold no parameter and no module."""

_NOT_WALKED: Any = (set, frozenset, deque, type({}.keys()), type({}.values()), type({}.items()))
_COLLECTIONS: Any = (list, tuple, *_NOT_WALKED)
_LOOKED_AT = 100
"""Only so many elements of such a container are looked at, so that it costs little."""


def check_name(module: Any, name: Any, known: Iterable[str]) -> None:
    """Raises a ValueError unless `name` can be a name, and nothing outside `known` has it."""
    owner = type(module).__name__
    if not isinstance(name, str) or not name or "." in name:
        raise ValueError(f"{owner}: a name is a str without a dot, not {told(name)}")
    if name not in known and hasattr(module, name):
        raise ValueError(f"{owner}: there is something else named {name!r}")


def check_buffer(module: Any, what: str, value: Any) -> None:
    """Raises a TypeError unless `value` can be a buffer: a Tensor, but no Parameter; or None."""
    if not (value is None or type(value) is Tensor):
        raise TypeError(
            f"{type(module).__name__}: {what} must be a Tensor or None, not a "
            f"{type(value).__name__}; write mg.tensor(...)"
        )


def check_replacement(module: Any, name: str, before: Any, value: Any) -> None:
    """Raises a TypeError unless `value` can take the place of `before`, a parameter or module."""
    place, got = f"{type(module).__name__}: {name}", f"a {type(value).__name__}"
    if value is None or isinstance(value, Parameter):
        return
    if isinstance(before, Parameter):
        raise TypeError(
            f"{place} is a Parameter, and {got} in its place would be neither trained nor saved. "
            f"For other values in the same Parameter write layer.{name}.data = values; for another "
            f"Parameter layer.{name} = nn.Parameter(values); for none, None"
        )
    # in the place of a layer there may be a function, or several layers
    if not (callable(value) or isinstance(value, list | tuple | dict)):
        raise TypeError(f"{place} is a {type(before).__name__}, and {got} is no layer")


def refuse_hidden(
    module: Any,
    unseen: Iterable[tuple[str, Any]],
    kinds: tuple[type, ...],
    known: Callable[[], Iterable[tuple[str, Any]]],
) -> None:
    """Raises a TypeError if something in `unseen` holds one of `kinds` that is not `known`.

    `Module` looks into lists, tuples and dicts, but not into sets, deques or other objects.

    Parameters
    ----------
    module
        the module whose attributes were walked.
    unseen
        the values that the walk did not look into, with their names.
    kinds
        modules and parameters.
    known
        returns what the walk has found, with names; called only if something hidden is there.
    """
    owner = type(module).__name__
    for name, value in unseen:
        what = type(value).__name__
        if _is_iterator(value):
            raise TypeError(
                f"{owner}: {name} is a {what}, which is used up when it is read; make a list of "
                "it: list(...), or square brackets"
            )
        for item in _contents(value):
            if isinstance(item, kinds) and all(item is not found for _, found in known()):
                raise TypeError(
                    f"{owner}: {name} is a {what} and holds a {type(item).__name__}, which nothing "
                    "finds there: it would be neither trained nor saved nor moved. Modules and "
                    "parameters are found in attributes of an nn.Module, and there in lists, "
                    f"tuples and dicts: use a list, or make {what} an nn.Module"
                )


def _is_iterator(value: Any) -> bool:
    """Whether `value` is an iterator of Python's own (`itertools.count` holds only numbers)."""
    kind = type(value)
    own = kind.__module__ in ("builtins", "itertools") and kind is not itertools.count
    return own and hasattr(kind, "__next__")


def _contents(value: Any) -> Iterator[Any]:
    """The first elements of a container, or the attributes of an object."""
    if isinstance(value, _NOT_WALKED):
        yield from itertools.islice(value, _LOOKED_AT)
    elif isinstance(value, np.ndarray) and value.dtype == object:
        yield from itertools.islice(value.flat, _LOOKED_AT)
    elif isinstance(value, MappingProxyType):
        yield from itertools.islice(value.values(), _LOOKED_AT)
    elif not type(value).__module__.startswith("minigrad."):  # an optimiser knows its parameters
        for attribute in getattr(value, "__dict__", {}).values():
            yield attribute
            held = attribute.values() if isinstance(attribute, dict) else attribute
            if isinstance(held, _COLLECTIONS):
                yield from itertools.islice(held, _LOOKED_AT)
