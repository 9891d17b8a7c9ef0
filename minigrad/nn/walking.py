"""Finding things in the attributes of a module."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")

_Kinds = type | tuple[type, ...]


def members(
    items: Iterable[tuple[Any, Any]], kinds: _Kinds, prefix: str = ""
) -> Iterator[tuple[str, Any]]:
    """Each value in `items` that is of one of `kinds`, also in lists, tuples and dicts, named."""
    containers = (list, tuple, dict)
    for key, value in items:
        if isinstance(value, kinds):
            yield f"{prefix}{key}", value
        elif isinstance(value, containers):
            inside = value.items() if isinstance(value, dict) else enumerate(value)
            yield from members(inside, kinds, f"{prefix}{key}.")


def first_of_each(pairs: Iterable[tuple[str, Any]], kind: type[T]) -> list[tuple[str, T]]:
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
                raise ValueError(f"two different {kind.__name__}s have the name {name!r}")
            found[name] = value
            seen.add(id(value))
    return list(found.items())
