"""Modules that hold other modules, or parameters: in a row, or by name.

They are lists and dicts that can do what Python's can. In an attribute of a module a plain list or
dict works too, but these refuse what is no layer, or no parameter. Their subclasses may have layers
and parameters in attributes too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, MutableSequence
from typing import Any

from minigrad.errors.values import told
from minigrad.nn.checking import check_one
from minigrad.nn.module import Module
from minigrad.nn.parameter import Parameter

Layer = Callable[..., Any]
"""A module, or a plain function such as ``mg.tanh``."""


class _Holder(Module):
    """What the containers share: their items have names as if they were attributes."""

    _held: Any

    def _items(self) -> Iterable[tuple[Any, Any]]:
        for name, value in vars(self).items():
            if name == "_held":
                yield from value.items() if isinstance(value, dict) else enumerate(value)
            else:
                yield name, value

    def _checked(self, item: Any) -> Any:
        """`item`; a TypeError if it can't be put in."""
        name = type(self).__name__
        if isinstance(item, type):
            raise TypeError(
                f"{name}: {item.__name__} is a class, no layer; write {item.__name__}()"
            )
        if not callable(item):
            got = type(item).__name__
            raise TypeError(f"{name}: a layer is an nn.Module or a function, not a {got}")
        return item

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._held)

    def __delitem__(self, index: Any) -> None:
        del self._held[index]

    __eq__, __hash__ = object.__eq__, object.__hash__  # as every module, not by what is in it


class _List(_Holder, MutableSequence[Any]):
    def __init__(self, items: Iterable[Any] = (), *more: Any) -> None:
        name = type(self).__name__
        if more or isinstance(items, Parameter) or not isinstance(items, Iterable):
            raise TypeError(f"{name}: takes one list; write nn.{name}([a, b, c])")
        self._held = [self._checked(item) for item in items]

    def __getitem__(self, index: Any) -> Any:
        return self._held[index]

    def __setitem__(self, index: Any, item: Any) -> None:
        if isinstance(index, slice):
            self._held[index] = [self._checked(one) for one in item]
        else:
            self._held[index] = self._checked(item)

    def insert(self, index: int, item: Any) -> None:
        """Puts `item` before the item at `index`."""
        self._held.insert(index, self._checked(item))

    def index(self, item: Any, *between: Any) -> int:
        """The place of `item` itself, since equality of parameters is elementwise."""
        return [id(one) for one in self._held].index(id(item), *between)

    def __contains__(self, item: Any) -> bool:
        return any(one is item for one in self._held)

    def __treescope_repr__(self, path: Any, subtree_renderer: Any) -> Any:
        from treescope import repr_lib

        return repr_lib.handle_custom_listlike(self, path, subtree_renderer)


class _Dict(_Holder, MutableMapping[str, Any]):
    def __init__(self, items: Mapping[str, Any] | Iterable[tuple[str, Any]] = ()) -> None:
        self._held = {}
        self.update(items)

    def __getitem__(self, key: str) -> Any:
        return self._held[key]

    def __setitem__(self, key: Any, item: Any) -> None:
        if not isinstance(key, str) or not key or "." in key:
            raise TypeError(f"{type(self).__name__}: a key is a str without a dot, not {told(key)}")
        self._held[key] = self._checked(item)

    def __treescope_repr__(self, path: Any, subtree_renderer: Any) -> Any:
        from treescope import repr_lib

        return repr_lib.handle_custom_mapping(self, path, subtree_renderer)


class ModuleList(_List):
    """A list of modules that is a module itself.

    Parameters
    ----------
    modules
        a list of modules, or plain functions; their parameters have the names ``"0.weight"``,
        ``"1.weight"`` ...

    Raises
    ------
    TypeError
        if they are not in a list, or one of them is no layer.
    """

    def __getitem__(self, index: Any) -> Any:
        """The module at `index`; for a slice a ModuleList."""
        if isinstance(index, slice):
            return ModuleList(self._held[index])
        return self._held[index]


class Sequential(ModuleList):
    """Layers one after the other: the output of each is the input of the next.

    Parameters
    ----------
    *layers
        modules, or plain functions such as ``mg.tanh``, each of one argument.

    Raises
    ------
    TypeError
        if the layers are in a list, or one of them is no layer.
    """

    def __init__(self, *layers: Layer) -> None:
        if len(layers) == 1 and isinstance(layers[0], Iterable) and not callable(layers[0]):
            raise TypeError(
                f"Sequential: takes layers one by one, not in a {type(layers[0]).__name__}; write "
                "nn.Sequential(a, b, c), or nn.Sequential(*layers)"
            )
        super().__init__(layers)

    def __getitem__(self, index: Any) -> Any:
        """The layer at `index`; for a slice a Sequential."""
        if isinstance(index, slice):
            return Sequential(*self._held[index])
        return self._held[index]

    def _checked(self, item: Any) -> Any:
        if isinstance(item, _Holder) and not hasattr(item, "forward"):
            name = type(item).__name__
            raise TypeError(f"Sequential: {name} has no forward; write nn.Sequential(*layers)")
        return super()._checked(item)

    def forward(self, x: Any) -> Any:
        """The output of the last layer; `x` itself if there is no layer."""
        for layer in self._held:
            if isinstance(x, tuple) and getattr(layer, "__module__", "").startswith("minigrad.ops"):
                check_one(layer, x)  # an op takes no tuple, but a function of your own may
            x = layer(x)
        return x


class ModuleDict(_Dict):
    """A dict of modules that is a module itself.

    Parameters
    ----------
    modules
        a dict of modules by name, or (name, module) pairs; their parameters have the names
        ``"name.weight"`` ...

    Raises
    ------
    TypeError
        if a name is no str without a dot, or a module is no layer.
    """


class ParameterList(_List):
    """A list of parameters that is a module.

    Parameters
    ----------
    parameters
        a list of parameters; Tensors, arrays and lists of numbers become parameters. They have the
        names ``"0"``, ``"1"`` ...

    Raises
    ------
    TypeError
        if they are not in a list, or one of them is not made of floating-point numbers.
    """

    def _checked(self, item: Any) -> Parameter:
        return item if isinstance(item, Parameter) else Parameter(item)


class ParameterDict(_Dict):
    """A dict of parameters that is a module.

    Parameters
    ----------
    parameters
        a dict of parameters by name, or (name, parameter) pairs; values become parameters as in
        `ParameterList`.

    Raises
    ------
    TypeError
        if a name is no str without a dot, or a value is not made of floating-point numbers.
    """

    _checked = ParameterList._checked
