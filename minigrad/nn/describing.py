"""How a module looks: the tree of its parts, with the number of parameters of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class Module(Protocol):
    """What is asked of a `minigrad.nn.Module` here."""

    def extra_repr(self) -> str: ...
    def parameters(self, recurse: bool = True) -> list[Any]: ...
    def num_parameters(self) -> int: ...
    def _members(self, kind: Any) -> Any: ...


def plain_attributes(module: Module) -> str:
    """The public attributes of a module that are plain values, written as arguments."""
    return ", ".join(
        f"{name}={value!r}"
        for name, value in vars(module).items()
        if _is_plain(value) and name != "training" and not name.startswith("_")
    )


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    return isinstance(value, bool | int | float | str)


def tree(module: Module, counted: set[int], shown: set[int], unit: str = "") -> str:
    """The module and those below it, a line each, with their numbers of parameters.

    `counted` has the identities of the parameters that earlier lines have counted, and `shown`
    those of the modules whose parts earlier lines have shown.
    """
    name, arguments = type(module).__name__, module.extra_repr()
    count = _count(module, counted, unit)
    counted |= {id(parameter) for parameter in module.parameters(recurse=False)}
    lines = []
    if id(module) not in shown:
        shown.add(id(module))
        for key, item in module._members(Callable):
            told = getattr(item, "__name__", item)
            if hasattr(item, "extra_repr"):  # a Module
                told = tree(item, counted, shown)
            lines.append(f"({key}): {told}")
    if not lines:
        return f"{name}({arguments}){count}"
    head = f"{name}({arguments}{',' if arguments else ''}{count}"
    return "\n".join([head, *lines]).replace("\n", "\n  ") + "\n)"


def _count(module: Module, counted: set[int], unit: str) -> str:
    tied = sum(p.size for p in module.parameters() if id(p) in counted)
    new = module.num_parameters() - tied
    numbers = [f"{new:,}{unit}"] * (new > 0) + [f"{tied:,} tied"] * (tied > 0)
    return f"  # {' and '.join(numbers)}" if numbers else ""
