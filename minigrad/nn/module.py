"""Module, what every layer and model is: it finds what is in its attributes, saves and loads it.

Apart from it are `refusals.py`, what can't be put into attributes, and `describing.py`, the tree
that a `repr` shows. Next: `layers.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, ParamSpec, Protocol, TypeVar

import numpy as np

from minigrad.arrays.library import Array, ArrayLike, Device, DType, refuse_mask
from minigrad.autograd.modes import modes, watchers
from minigrad.errors.layer_words import OF_MODULES, refuse_arguments
from minigrad.errors.values import told
from minigrad.errors.words import unknown
from minigrad.files import printable
from minigrad.nn.describing import plain_attributes, tree
from minigrad.nn.parameter import Parameter, move
from minigrad.nn.refusals import (
    HOLD_NOTHING,
    check_buffer,
    check_name,
    check_replacement,
    refuse_hidden,
)
from minigrad.tensor import Tensor

T = TypeVar("T")
Self = TypeVar("Self", bound="Module")
P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)
Named = tuple[str, Any]


class IncompatibleKeys(NamedTuple):
    """The names that did not fit when values were loaded; PyTorch's words for them."""

    missing_keys: list[str]
    """Names that the module has and the values do not have: nothing changed there."""

    unexpected_keys: list[str]
    """Names that the values have and the module does not have: they were left out."""


class _HasForward(Protocol[P, R_co]):
    """A module for a type checker: a call takes and returns what its `forward` does."""

    @property
    def forward(self) -> Callable[P, R_co]: ...


class Module:
    """A layer or a model: a function ``forward``, and the parameters in its attributes.

    Nothing is registered. Parameters and modules are found in the attributes, also inside lists,
    tuples and dicts, in the order in which they were set. Their names are the way to them
    (``"encoder.layers.0.weight"``). Where they would not be found (a set, a deque, an object that
    is no Module), they are refused. A parameter or module that is found twice is tied: it has the
    first name, and is counted, stepped and saved once.

    Only another Parameter, or None, can take the place of a Parameter. A Tensor that is no
    `Parameter` is a constant or a state, even if it requires a gradient. `to` moves it too, but it
    is neither counted nor saved; `register_buffer` makes it saved.
    """

    training: bool = True
    """Whether `Dropout` and its like are active; `train` and `eval` set it."""

    forward: Callable[..., Any]
    """What the module computes; each subclass has its own."""

    _buffers: Mapping[str, bool] = MappingProxyType({})
    """By the name of each buffer whether it is saved."""

    if not TYPE_CHECKING:

        def __new__(cls, *args: Any, **options: Any) -> Any:
            """Tells what to write instead of an argument that PyTorch has."""
            refuse_arguments(cls, options)
            if (args or options) and cls.__init__ is object.__init__:
                raise TypeError(f"{cls.__name__}() takes no arguments")
            return super().__new__(cls)

    def __call__(self: _HasForward[P, R_co], *args: P.args, **kwargs: P.kwargs) -> R_co:
        if watchers and modes.observer is not None:
            with modes.observer.inside(self):
                return self.forward(*args, **kwargs)
        return self.forward(*args, **kwargs)

    # ------------------------------------------------------------------ what is in it

    def __setattr__(self, name: str, value: Any) -> None:
        before = vars(self).get(name)
        if isinstance(before, (Parameter, Module)):
            check_replacement(self, name, before, value)
        if name in self._buffers:
            if isinstance(value, (Parameter, Module)):
                self._forget_buffer(name)
            else:
                check_buffer(self, f"{name} is a buffer, which", value)
        unseen: list[Named] = []
        for _ in members([(name, value)], (Module, Tensor), unseen=unseen):
            pass
        refuse_hidden(self, unseen, (Module, Parameter), self._walk)
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        self._forget_buffer(name)

    if not TYPE_CHECKING:  # or a misspelt attribute would be none to a type checker

        def __getattr__(self, name: str) -> NoReturn:
            """Tells what to write instead of an attribute that is not there."""
            if hasattr(type(self), name):  # a property that is there, and has failed
                return object.__getattribute__(self, name)
            known = () if name.startswith("_") else dir(self)
            raise unknown(f"{type(self).__name__!r} object", name, OF_MODULES, known)

    def _items(self) -> Iterable[tuple[Any, Any]]:
        """The names and values in which parameters and modules are looked for."""
        return vars(self).items()

    def _members(self, kinds: Any) -> Iterator[Named]:
        """Everything of one of `kinds` that it holds itself."""
        return members(self._items(), kinds)

    def _walk(self) -> list[Named]:
        """Itself and each Module below it, once, and their Tensors, each time they are found."""
        unseen: list[Named] = []
        found = list(self._below("", set(), unseen))
        refuse_hidden(self, unseen, (Module, Parameter), lambda: found)
        return found

    def _below(self, name: str, seen: set[int], unseen: list[Named]) -> Iterator[Named]:
        yield name, self
        seen.add(id(self))
        prefix = f"{name}." if name else ""
        for key, item in members(self._items(), (Module, Tensor), prefix, unseen):
            if not isinstance(item, Module):
                yield key, item
            elif id(item) not in seen:
                yield from item._below(key, seen, unseen)

    def _at(self, name: str) -> Any:
        """What has the name `name`; also a second name of something tied, which no walk gives."""
        for key, item in self._members((Module, Tensor)):
            if key == name:
                return item
            if isinstance(item, Module) and name.startswith(f"{key}."):
                return item._at(name.removeprefix(f"{key}."))
        return None

    def named_parameters(self, *, recurse: bool = True) -> list[tuple[str, Parameter]]:
        """As `parameters`, each with its name."""
        walk = self._walk() if recurse else self._members(Parameter)
        return first_of_each(walk, Parameter)

    def parameters(self, recurse: bool = True) -> list[Parameter]:
        """Each parameter, once, in the order in which they were set.

        With `recurse` False, only those that the module holds itself.
        """
        return [parameter for _, parameter in self.named_parameters(recurse=recurse)]

    def named_buffers(self) -> list[tuple[str, Tensor]]:
        """Each buffer, once, with its name; see `register_buffer`."""
        return first_of_each(self._all_buffers(), Tensor)

    def buffers(self) -> list[Tensor]:
        """Each buffer, once."""
        return [buffer for _, buffer in self.named_buffers()]

    def named_modules(self) -> list[tuple[str, Module]]:
        """The module itself, named ``""``, and each module below it, once, with its name."""
        return first_of_each(self._walk(), Module)

    def modules(self) -> list[Module]:
        """The module itself and each module below it, once."""
        return [module for _, module in self.named_modules()]

    def named_children(self) -> list[tuple[str, Module]]:
        """Each module that this one holds itself, once, with its name."""
        return first_of_each(self._members(Module), Module)

    def children(self) -> list[Module]:
        """Each module that this one holds itself, once."""
        return [child for _, child in self.named_children()]

    def num_parameters(self) -> int:
        """The number of elements of all parameters."""
        return sum(parameter.size for parameter in self.parameters())

    # ------------------------------------------------------------------ putting things in

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Keeps `tensor`, which is not learnt, in an attribute and in the `state_dict`.

        A Tensor that the attribute gets later takes its place: ``self.mean = ...``.

        Parameters
        ----------
        name
            the name of the attribute.
        tensor
            a Tensor, or None for now.
        persistent
            False: it is not in the `state_dict`, as any Tensor in an attribute.

        Raises
        ------
        TypeError
            if `tensor` is something else, an array for example.
        ValueError
            if `name` can't be a name, or something else has it.
        """
        check_buffer(self, f"buffer {name}", tensor)
        check_name(self, name, known=self._buffers)
        vars(self).setdefault("_buffers", {})[name] = persistent
        setattr(self, name, tensor)

    def register_parameter(self, name: str, parameter: Parameter | None) -> None:
        """Does ``self.name = parameter``, for a name that the program makes."""
        self._put(name, parameter, Parameter, "; write nn.Parameter(...)")

    def add_module(self, name: str, module: Module | None) -> None:
        """Does ``self.name = module``, for a name that the program makes."""
        self._put(name, module, Module, "")

    def _put(self, name: str, value: Any, kind: type, advice: str) -> None:
        check_name(self, name, known=vars(self))
        if not (value is None or isinstance(value, kind)):
            raise TypeError(
                f"{type(self).__name__}: {name} must be an nn.{kind.__name__} or None, not a "
                f"{type(value).__name__}{advice}"
            )
        setattr(self, name, value)

    def _forget_buffer(self, name: str) -> None:
        if name in self._buffers:
            del vars(self)["_buffers"][name]

    def _all_buffers(self, saved: bool = False) -> Iterator[Named]:
        """The buffers of all modules, named; with `saved`, only those in the `state_dict`."""
        for name, module in self.named_modules():
            for key, persistent in module._buffers.items():
                if (persistent or not saved) and vars(module).get(key) is not None:
                    yield (f"{name}.{key}" if name else key), vars(module)[key]

    # ------------------------------------------------------------------ all of it at once

    def apply(self: Self, function: Callable[[Module], Any]) -> Self:
        """Calls `function` on each module below this one, then on this one; returns it."""
        seen: set[int] = set()

        def visit(module: Module) -> None:
            if id(module) not in seen:
                seen.add(id(module))
                for child in module.children():
                    visit(child)
                function(module)

        visit(self)
        return self

    def train(self: Self, mode: bool = True) -> Self:
        """Puts this module and all below it into training mode (`mode` False: out of it)."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self: Self) -> Self:
        """Puts this module and all below it out of training mode: ``train(False)``."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Sets the gradient of each parameter to None."""
        for parameter in self.parameters():
            parameter.grad = None

    def requires_grad_(self: Self, requires_grad: bool = True) -> Self:
        """Asks for gradients of all parameters, or (False) freezes them."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def to(self: Self, device: Device | None = None, dtype: DType = None) -> Self:
        """Moves all tensors to `device`, and converts the floating-point ones to `dtype`.

        The parameters stay the same objects, so what is tied stays tied, and an optimiser still
        has them. Its own tensors (velocities, moments) follow to their device with the next step,
        but not to another dtype.

        Raises
        ------
        TypeError
            if `dtype` is not a floating-point one, or `device` is no str.
        ValueError, RuntimeError
            if the device does not exist, or not on this machine.
        """
        if not (device is None or isinstance(device, str)):
            raise TypeError(
                f'to: device must be a str such as "cuda", not {told(device)}; for another '
                "dtype write model.to(dtype=...)"
            )
        if dtype is not None and np.dtype(dtype).kind != "f":
            raise TypeError(f"to: dtype must be a floating-point one, not {np.dtype(dtype)}")
        for _, tensor in first_of_each(self._walk(), Tensor):
            if tensor.is_leaf:
                move(tensor, device, dtype)
        return self

    # ------------------------------------------------------------------ saving and loading

    def _saved(self) -> list[tuple[str, Tensor]]:
        """The tensors of the `state_dict`, the tied ones under each of their names."""
        buffers = dict(self._all_buffers(saved=True))
        return [(n, t) for n, t in self._walk() if isinstance(t, Parameter) or n in buffers]

    def state_dict(self) -> dict[str, np.ndarray[Any, Any]]:
        """A copy of each parameter and buffer as a NumPy array, by name, the tied ones once."""
        return {name: tensor.numpy() for name, tensor in first_of_each(self._saved(), Tensor)}

    def load_state_dict(
        self, state_dict: Mapping[str, ArrayLike], strict: bool = True
    ) -> IncompatibleKeys:
        """Sets all parameters and buffers to the values in `state_dict`.

        Each must be there, in its shape, and nothing else. Floats of another precision are
        converted. What is tied may have any of its names; if it has several, as PyTorch saves it,
        the values must be equal.

        Parameters
        ----------
        state_dict
            arrays by name, or what can be made arrays: Tensors, PyTorch's tensors on the CPU.
        strict
            False: what is missing stays as it is, and what is unexpected is left out.

        Returns
        -------
        missing_keys, unexpected_keys
            the names that did not fit; none if it is strict.

        Raises
        ------
        ValueError
            if the names do not fit, or (strict or not) the shapes; it lists all names that are
            missing, unexpected or misshapen, and nothing is changed.
        TypeError
            if `state_dict` is no mapping.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(
                "load_state_dict: expected a dict of arrays by name, as state_dict() and "
                f"mg.load(path) give, got {type(state_dict).__name__}"
            )
        saved = self._saved()
        tensors = [tensor for _, tensor in first_of_each(saved, Tensor)]
        known = dict(saved)
        names: dict[int, list[str]] = {id(tensor): [] for tensor in tensors}
        for name, tensor in saved:
            names[id(tensor)].append(name)
        keys, faults = IncompatibleKeys([], []), list[str]()
        fitting: list[tuple[Tensor, Array]] = []
        for name in state_dict:
            if name not in known:  # a second name of something tied, or unexpected
                names.get(id(self._at(name)), keys.unexpected_keys).append(name)
        for tensor in tensors:
            given = {n: _array(state_dict[n]) for n in names[id(tensor)] if n in state_dict}
            wrong = [fault for n, v in given.items() if (fault := _fault(n, v, tensor))]
            if not given:
                keys.missing_keys.append(names[id(tensor)][0])
                continue
            first, *others = given.values()
            if not wrong and not all(np.array_equal(first, v, equal_nan=True) for v in others):
                wrong = [f"tied, but with different values: {', '.join(given)}"]
            if wrong:
                faults += wrong
            else:
                fitting.append((tensor, first.astype(tensor.dtype)))
        if strict:
            faults += [f"missing: {name}" for name in keys.missing_keys]
            faults += [f"unexpected: {printable(name)}" for name in keys.unexpected_keys]
        if faults:
            faults.sort(key=lambda fault: fault.partition(":")[0])
            owner = type(self).__name__
            raise ValueError(
                f"load_state_dict: nothing was loaded, since not all fits {owner}:\n  "
                + "\n  ".join(faults)
            )
        for tensor, value in fitting:
            tensor.data = value
        return keys

    # ------------------------------------------------------------------ how it looks

    def extra_repr(self) -> str:
        """The text between the brackets of the `repr`: the plain public attributes."""
        return plain_attributes(self)

    def __repr__(self) -> str:
        return tree(self, set(), set(), " parameters")

    def __treescope_repr__(self, path: Any, subtree_renderer: Any) -> Any:
        """How treescope shows it in a notebook, as a tree that opens and closes."""
        from treescope import repr_lib

        public = {name: value for name, value in vars(self).items() if name[0] != "_"}
        return repr_lib.render_object_constructor(type(self), public, path, subtree_renderer)


def members(
    items: Iterable[tuple[Any, Any]],
    kinds: type | tuple[type, ...],
    prefix: str = "",
    unseen: list[Named] | None = None,
) -> Iterator[Named]:
    """Each value of one of `kinds` in `items`, also in lists, tuples and dicts, with its name.

    Other values that might hold some are added to `unseen`.
    """
    for key, value in items:
        if isinstance(value, kinds):
            yield f"{prefix}{key}", value
        elif isinstance(value, list | tuple | dict):
            inside = value.items() if isinstance(value, dict) else enumerate(value)
            yield from members(inside, kinds, f"{prefix}{key}.", unseen)
        elif unseen is not None and not isinstance(value, HOLD_NOTHING):
            unseen.append((f"{prefix}{key}", value))


def first_of_each(pairs: Iterable[Named], kind: type[T]) -> list[tuple[str, T]]:
    """The `pairs` whose value is of `kind`, each value once, with its first name.

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


def _array(value: ArrayLike) -> Array:
    refuse_mask(value)
    return value.numpy() if isinstance(value, Tensor) else np.asarray(value)


def _fault(name: str, value: Array, tensor: Tensor) -> str | None:
    """What is wrong with `value` for `tensor`, or None."""
    if value.shape != tensor.shape:
        return f"misshapen: {name} has shape {value.shape}, expected {tensor.shape}"
    if value.dtype.kind != tensor.dtype.kind:
        kind = {"f": "floats", "b": "bools"}.get(tensor.dtype.kind, "integers")
        return f"not {kind}: {name} has dtype {value.dtype}, expected {tensor.dtype}"
    return None
