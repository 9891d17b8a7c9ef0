"""Modules that hold others in a row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from minigrad.nn.module import Module


class ModuleList(Module):
    """A list of modules that is a module itself (in an attribute, a plain list does as well).

    Parameters
    ----------
    modules
        any number of them; their parameters are named ``"0.weight"``, ``"1.weight"`` ...
    """

    def __init__(self, modules: Iterable[Callable[..., Any]] = ()) -> None:
        self.layers = list(modules)

    def _items(self) -> Iterable[tuple[Any, Any]]:
        return enumerate(self.layers)

    def append(self, module: Callable[..., Any]) -> None:
        """Put `module` at the end."""
        self.layers.append(module)

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Callable[..., Any]]:
        return iter(self.layers)

    def __getitem__(self, index: int) -> Callable[..., Any]:
        return self.layers[index]


class Sequential(ModuleList):
    """Layers one after the other: the output of each is the input of the next.

    Parameters
    ----------
    *layers
        modules, or plain functions such as ``mg.tanh``, each of one argument.
    """

    def __init__(self, *layers: Callable[..., Any]) -> None:
        super().__init__(layers)

    def forward(self, x: Any) -> Any:
        """What the last layer makes of `x`; `x` itself if there is no layer."""
        for layer in self.layers:
            x = layer(x)
        return x
