"""Finding things in the attributes of a module."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from types import (
    BuiltinFunctionType,
    FunctionType,
    MappingProxyType,
    MethodType,
    ModuleType,
)
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")

Kinds = type | tuple[type, ...]
Named = tuple[str, Any]

_WALKED = (list, tuple, dict)
_NOT_WALKED: Any = (
    set,
    frozenset,
    deque,
    type({}.keys()),
    type({}.values()),
    type({}.items()),
)
_COLLECTIONS: Any = (list, tuple, *_NOT_WALKED)
_HOLD_NOTHING: Any = (
    *(bool, int, float, str, bytes, type(None), np.dtype),
    *(type, FunctionType, BuiltinFunctionType, MethodType, ModuleType),
)
_LOOKED_AT = 100
"""How many elements of a container that is not walked are looked at, so that it costs little."""


def members(
    items: Iterable[tuple[Any, Any]],
    kinds: Kinds,
    prefix: str = "",
    unseen: list[Named] | None = None,
) -> Iterator[Named]:
    """Each value in `items` that is of one of `kinds`, also in lists, tuples and dicts, named.

    What might hold others of them, but is not looked into, is added to `unseen`.
    """
    for key, value in items:
        if isinstance(value, kinds):
            yield f"{prefix}{key}", value
        elif isinstance(value, _WALKED):
            inside = value.items() if isinstance(value, dict) else enumerate(value)
            yield from members(inside, kinds, f"{prefix}{key}.", unseen)
        elif unseen is not None and not isinstance(value, _HOLD_NOTHING):
            unseen.append((f"{prefix}{key}", value))


def first_of_each(pairs: Iterable[Named], kind: type[T]) -> list[tuple[str, T]]:
    """The `pairs` whose value is of `kind`, each value once, under the name that came first.

    Raises
    ------
    ValueError
        if two values have one name.
    """
    found: dict[str, T] = {}
    seen: set[int] = set()  # by identity, since equality of tensors is elementwise
    for name, value in pairs:
        if isinstance(value, kind) and id(value) not in seen:
            if name in found:
                raise ValueError(f"two different {type(value).__name__}s have the name {name!r}")
            found[name] = value
            seen.add(id(value))
    return list(found.items())


def refuse_hidden(
    owner: str, unseen: Iterable[Named], kinds: Kinds, known: Callable[[], Collection[int]]
) -> None:
    """Raise a TypeError if what is `unseen` holds one of `kinds` that nothing else leads to.

    Parameters
    ----------
    owner
        of which class the module is whose attributes were walked.
    unseen
        from `members`.
    kinds
        modules and parameters.
    known
        gives the identities of what was found; called only where it matters.
    """
    for name, value in unseen:
        if _is_iterator(value):
            raise TypeError(
                f"{owner}: {name} is a {type(value).__name__}, which is used up when it is read; "
                "make a list of it: list(...), or square brackets"
            )
        for item in _contents(value):
            if isinstance(item, kinds) and id(item) not in known():
                raise TypeError(
                    f"{owner}: {name} is a {type(value).__name__} and holds a "
                    f"{type(item).__name__}, which nothing finds there: it would be neither "
                    "trained nor saved nor moved. Modules and parameters are found in attributes "
                    "of an nn.Module, and there in lists, tuples and dicts: use a list, or make "
                    f"{type(value).__name__} an nn.Module"
                )


def _is_iterator(value: Any) -> bool:
    """Whether it is one of Python's own, but for `itertools.count`, which holds numbers."""
    kind = type(value)
    own = kind.__module__ in ("builtins", "itertools") and kind is not itertools.count
    return own and hasattr(kind, "__next__")


def _contents(value: Any) -> Iterator[Any]:
    """Some of what is in a container or object: of each collection the first few."""
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


def bottom_up(module: T, seen: set[int]) -> Iterator[T]:
    """Each module below `module`, once, and then itself: none comes before what it holds."""
    if id(module) not in seen:
        seen.add(id(module))
        for child in module.children():  # type: ignore[attr-defined]
            yield from bottom_up(child, seen)
        yield module
