"""What parameters and layers are called: in their modules, or in the variables of the program."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from minigrad.errors.values import calling_frame, told
from minigrad.nn.module import Module
from minigrad.tensor import Tensor


def variables() -> dict[str, Any]:
    """The Tensors and Modules in the variables of the innermost caller outside minigrad."""
    frame = calling_frame()
    found = frame.f_globals | frame.f_locals
    return {
        name: value
        for name, value in found.items()
        if isinstance(value, Tensor | Module) and not name.startswith("_")
    }


def given_and_variables(names: Mapping[str, Any] | None, caller: str) -> dict[str, Any]:
    """The `names` that a call was given, and the `variables` besides.

    Raises
    ------
    TypeError
        if `names` is no mapping.
    """
    given = dict(expected(Mapping, {} if names is None else names, f"{caller}: names"))
    return given | {name: value for name, value in variables().items() if name not in given}


def expected(kind: Any, value: Any, what: str) -> Any:
    """`value`, or a TypeError if it is not of this `kind`; `what` is the function and argument."""
    if not isinstance(value, kind):
        words = {Mapping: "a mapping by names", Iterable: "a sequence", Callable: "a function"}
        raise TypeError(f"{what} must be {words[kind]}, not {told(value)}")
    return value


class Names:
    """The names of Tensors and Modules.

    Parameters
    ----------
    known
        Tensors and Modules by the names that the program has for them.
    modules
        further modules, which were called: one that is in none of the `known` has its class as its
        name.

    What is in a module has the name that it has there (``recurrent.weight_hh_l0``); if there are
    several modules that hold others, with the name of its module before it.
    """

    def __init__(self, known: Mapping[str, Any], modules: Iterable[Module] = ()) -> None:
        self._tensors: dict[int, str] = {}
        self._modules: dict[int, str] = {}
        self._kept: list[Any] = list(known.values())  # so that no id is used again
        named = {name: value for name, value in known.items() if isinstance(value, Module)}
        inner = {id(below) for m in [*named.values(), *modules] for below in m.modules()[1:]}
        roots: dict[int, tuple[str, Module]] = {}
        for name, module in named.items():
            if id(module) not in inner:
                roots.setdefault(id(module), (name, module))
        for module in modules:
            if id(module) not in inner:
                roots.setdefault(id(module), (type(module).__name__, module))
        for name, root in roots.values():
            before = f"{name}." if len(roots) > 1 else ""
            for path, below in root.named_modules():
                self._modules.setdefault(id(below), before + path if path else name)
                self._kept.append(below)
            for path, parameter in root.named_parameters():
                self._tensors.setdefault(id(parameter), before + path)
        for name, value in known.items():
            if isinstance(value, Tensor):
                self._tensors.setdefault(id(value), name)

    def of(self, thing: Tensor | Module | None) -> str:
        """The name of a Tensor or a Module; empty if it has none."""
        names = self._modules if isinstance(thing, Module) else self._tensors
        return names.get(id(thing), "")
