"""Module, what every layer and model is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, Protocol, TypeVar

import numpy as np

from minigrad.arrays.devices import device_of, place
from minigrad.arrays.library import ArrayLike, Device, DType
from minigrad.errors.layer_words import OF_MODULES, refuse_arguments
from minigrad.errors.words import unknown
from minigrad.nn.describing import is_plain, tree
from minigrad.nn.loading import IncompatibleKeys, matched
from minigrad.nn.parameter import Parameter
from minigrad.nn.walking import Named, bottom_up, first_of_each, members, refuse_hidden
from minigrad.tensor import Tensor, mark_changed

Self = TypeVar("Self", bound="Module")
P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)


class _HasForward(Protocol[P, R_co]):
    """What a type checker knows of a module: a call takes and gives what its `forward` does."""

    @property
    def forward(self) -> Callable[P, R_co]: ...


class Module:
    """A layer or a model: a function ``forward``, and the parameters in its attributes.

    Nothing is registered. Parameters and modules are found where they are: in attributes, also
    inside lists, tuples and dicts, in the order in which they were set, and named by the way to
    them (``"encoder.layers.0.weight"``). Where they would not be found (a set, a deque, an object
    that is no Module), they are refused. A parameter or module that is met a second time is tied:
    it goes by the first name, and is counted, stepped and saved once.

    In the place of a Parameter only another one can be put, or None. A Tensor that is no
    `Parameter` is a constant, or a state, also if it requires a gradient. It moves along with
    `to`, but is neither counted nor saved; `register_buffer` has it saved.
    """

    training: bool = True
    """Whether `Dropout` and its like are active; `train` and `eval` set it."""

    forward: Callable[..., Any]
    """What the module computes; each subclass has its own."""

    _buffers: Mapping[str, bool] = MappingProxyType({})
    """The names of the buffers, and whether they are saved."""

    if not TYPE_CHECKING:

        def __new__(cls, *args: Any, **options: Any) -> Any:
            """Tell what to write in place of an argument that PyTorch has."""
            refuse_arguments(cls, options)
            if (args or options) and cls.__init__ is object.__init__:
                raise TypeError(f"{cls.__name__}() takes no arguments")
            return super().__new__(cls)

    def __call__(self: _HasForward[P, R_co], *args: P.args, **kwargs: P.kwargs) -> R_co:
        return self.forward(*args, **kwargs)

    # ------------------------------------------------------------------ what is in it

    def __setattr__(self, name: str, value: Any) -> None:
        before = vars(self).get(name)
        if isinstance(before, (Parameter, Module)) and not _may_replace(before, value):
            _refuse(self, name, before, value)
        if name in self._buffers and not (value is None or type(value) is Tensor):
            if not isinstance(value, (Parameter, Module)):
                raise TypeError(
                    f"{type(self).__name__}: {name} is a buffer, and a {type(value).__name__} is "
                    f"no Tensor; write mg.tensor(...)"
                )
            self._forget_buffer(name)
        unseen: list[Named] = []
        for _ in members([(name, value)], (Module, Tensor), unseen=unseen):
            pass
        self._refuse_hidden(unseen)
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        self._forget_buffer(name)

    if not TYPE_CHECKING:  # or a misspelt attribute would be none to a type checker

        def __getattr__(self, name: str) -> NoReturn:
            """Tell what to write in place of an attribute that is not there."""
            if hasattr(type(self), name):  # a property that is there, and has failed
                return object.__getattribute__(self, name)
            known = () if name.startswith("_") else dir(self)
            raise unknown(f"{type(self).__name__!r} object", name, OF_MODULES, known)

    def _items(self) -> Iterable[tuple[Any, Any]]:
        """Names and values to look for parameters and modules in."""
        return vars(self).items()

    def _walk(self) -> list[Named]:
        """Itself, every Module below it, once, and their Tensors; the tied ones each time."""
        unseen: list[Named] = []
        found = list(self._below("", set(), unseen))
        self._refuse_hidden(unseen, found)
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

    def _refuse_hidden(self, unseen: list[Named], found: list[Named] | None = None) -> None:
        def known() -> set[int]:
            return {id(item) for _, item in (self._walk() if found is None else found)}

        if unseen:
            refuse_hidden(type(self).__name__, unseen, (Module, Parameter), known)

    def _at(self, name: str) -> Any:
        """What goes by `name`, also by a way that a walk does not take, since it is tied."""
        for key, item in members(self._items(), (Module, Tensor)):
            if key == name:
                return item
            if isinstance(item, Module) and name.startswith(f"{key}."):
                return item._at(name.removeprefix(f"{key}."))
        return None

    def named_parameters(self, *, recurse: bool = True) -> list[tuple[str, Parameter]]:
        """Each parameter, once, with its name, in the order in which they were set.

        With `recurse` False only those that the module holds itself.
        """
        return first_of_each(
            self._walk() if recurse else members(self._items(), Parameter), Parameter
        )

    def parameters(self, recurse: bool = True) -> list[Parameter]:
        """Each parameter, once, in the order in which they were set."""
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
        return first_of_each(members(self._items(), Module), Module)

    def children(self) -> list[Module]:
        """Each module that this one holds itself, once."""
        return [child for _, child in self.named_children()]

    def num_parameters(self) -> int:
        """How many numbers the module learns."""
        return sum(parameter.size for parameter in self.parameters())

    # ------------------------------------------------------------------ putting things in

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Keep `tensor`, which is not learnt, in an attribute and in the `state_dict`.

        Whatever Tensor the attribute is given later takes its place: ``self.mean = ...``.

        Parameters
        ----------
        name
            of the attribute.
        tensor
            a Tensor, or None for now.
        persistent
            False: it is not in the `state_dict` (as any Tensor in an attribute).

        Raises
        ------
        TypeError
            if `tensor` is something else, an array for example.
        ValueError
            if `name` is none, or something else has it.
        """
        if not (tensor is None or type(tensor) is Tensor):
            raise TypeError(
                f"{type(self).__name__}: buffer {name} must be a Tensor or None, not a "
                f"{type(tensor).__name__}; write mg.tensor(...)"
            )
        self._check_new(name, known=self._buffers)
        vars(self).setdefault("_buffers", {})[name] = persistent
        setattr(self, name, tensor)

    def register_parameter(self, name: str, parameter: Parameter | None) -> None:
        """As ``self.name = parameter``, for a name that is made up by the program."""
        self._check_new(name, known=vars(self))
        if not (parameter is None or isinstance(parameter, Parameter)):
            raise TypeError(
                f"{type(self).__name__}: {name} must be an nn.Parameter or None, not a "
                f"{type(parameter).__name__}; write nn.Parameter(...)"
            )
        setattr(self, name, parameter)

    def add_module(self, name: str, module: Module | None) -> None:
        """As ``self.name = module``, for a name that is made up by the program."""
        self._check_new(name, known=vars(self))
        if not (module is None or isinstance(module, Module)):
            raise TypeError(
                f"{type(self).__name__}: {name} must be an nn.Module or None, not a "
                f"{type(module).__name__}"
            )
        setattr(self, name, module)

    def _check_new(self, name: Any, known: Iterable[str]) -> None:
        """Raise a ValueError unless `name` may name something, and only one of `known` has it."""
        if not isinstance(name, str) or not name or "." in name:
            raise ValueError(
                f"{type(self).__name__}: a name is a str without a dot, not {name!r:.60}"
            )
        if name not in known and hasattr(self, name):
            raise ValueError(f"{type(self).__name__}: there is something else named {name!r}")

    def _forget_buffer(self, name: str) -> None:
        if name in self._buffers:
            del vars(self)["_buffers"][name]

    def _all_buffers(self, saved: bool = False) -> Iterator[Named]:
        """The buffers of all modules with their names; if `saved`, those in the `state_dict`."""
        for name, module in self.named_modules():
            for key, persistent in module._buffers.items():
                if (persistent or not saved) and vars(module).get(key) is not None:
                    yield (f"{name}.{key}" if name else key), vars(module)[key]

    # ------------------------------------------------------------------ all of it at once

    def apply(self: Self, function: Callable[[Module], Any]) -> Self:
        """Call `function` on each module below this one, and on this one last; returns it."""
        for module in list(bottom_up(self, set())):
            function(module)
        return self

    def train(self: Self, mode: bool = True) -> Self:
        """Put this module and all below it into training mode (`mode` False: out of it)."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self: Self) -> Self:
        """Put this module and all below it out of training mode: ``train(False)``."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Forget the gradient of each parameter: it becomes None."""
        for parameter in self.parameters():
            parameter.grad = None

    def requires_grad_(self: Self, requires_grad: bool = True) -> Self:
        """Ask for gradients of all parameters, or (False) freeze them."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def to(self: Self, device: Device | None = None, dtype: DType = None) -> Self:
        """Move all tensors to `device`, and convert the floating-point ones to `dtype`.

        The parameters and their gradients change where they are: they stay the same objects, so
        what is tied stays tied, and an optimiser keeps its hold on them: with its next step what it
        remembers (velocities, moments) follows to their device, though not to another dtype.

        Raises
        ------
        TypeError
            if `dtype` is not a floating-point one, or `device` no str.
        ValueError, RuntimeError
            for a device that does not exist, or is not to be had here.
        """
        if not (device is None or isinstance(device, str)):
            raise TypeError(
                f'to: device must be a str such as "cuda", not {device!r:.60}; another dtype is '
                "had by model.to(dtype=...)"
            )
        if dtype is not None and np.dtype(dtype).kind != "f":
            raise TypeError(f"to: dtype must be a floating-point one, not {np.dtype(dtype)}")
        for _, tensor in first_of_each(self._walk(), Tensor):
            if tensor.is_leaf:
                _convert(tensor, device, dtype)
        return self

    # ------------------------------------------------------------------ saving and loading

    def _saved(self) -> list[tuple[str, Tensor]]:
        """The tensors of the `state_dict`, the tied ones under each name."""
        buffers = dict(self._all_buffers(saved=True))
        return [(n, t) for n, t in self._walk() if isinstance(t, Parameter) or n in buffers]

    def state_dict(self) -> dict[str, np.ndarray[Any, Any]]:
        """A copy of each parameter and buffer as a NumPy array, by name, the tied ones once."""
        return {name: tensor.numpy() for name, tensor in first_of_each(self._saved(), Tensor)}

    def load_state_dict(
        self, state_dict: Mapping[str, ArrayLike], strict: bool = True
    ) -> IncompatibleKeys:
        """Set all parameters and buffers to the values in `state_dict`.

        Each must be there, in its shape, and nothing else. Floats of another precision are
        converted. What is tied may be under any of its names; if it is under several, as PyTorch
        saves it, the values must be equal.

        Parameters
        ----------
        state_dict
            by name, arrays or whatever can be made one: Tensors, PyTorch's tensors on the CPU.
        strict
            False: what is missing stays as it is, and what is unexpected is passed over.

        Returns
        -------
        missing_keys, unexpected_keys
            the names that did not fit; none if it is strict.

        Raises
        ------
        ValueError
            if the names or (strict or not) the shapes do not fit; it lists all that are missing,
            unexpected or misshapen, and nothing has been changed then.
        TypeError
            if `state_dict` is no mapping.
        """
        name = type(self).__name__
        if not isinstance(state_dict, Mapping):
            raise TypeError(
                "load_state_dict: expected a dict of arrays by name, as state_dict() and "
                f"mg.load(path) give, got {type(state_dict).__name__}"
            )
        named = self._saved()
        first_of_each(named, Tensor)  # or two that have one name would get one value
        names, tensors = {n for n, _ in named}, {id(tensor) for _, tensor in named}
        for other in state_dict.keys() - names:
            if id(tied := self._at(other)) in tensors:
                named.append((other, tied))
        pairs, keys = matched(name, named, state_dict, strict)
        for tensor, value in pairs:
            tensor.data = value
        return keys

    # ------------------------------------------------------------------ how it looks

    def extra_repr(self) -> str:
        """What stands between the brackets of the `repr`: the plain public attributes."""
        return ", ".join(
            f"{name}={value!r}"
            for name, value in vars(self).items()
            if is_plain(value) and name != "training" and not name.startswith("_")
        )

    def __repr__(self) -> str:
        return tree(self, set(), set(), " parameters")


def _may_replace(before: Parameter | Module, value: Any) -> bool:
    """Whether `value` can be put where a parameter or module was, and still do its work."""
    if value is None or isinstance(value, Parameter):
        return True
    # instead of a layer there may be a function, or several layers
    return isinstance(before, Module) and (
        callable(value) or isinstance(value, list | tuple | dict)
    )


def _refuse(module: Module, name: str, before: Parameter | Module, value: Any) -> NoReturn:
    place = f"{type(module).__name__}: {name}"
    got = f"a {type(value).__name__}"
    if isinstance(before, Module):
        raise TypeError(f"{place} is a {type(before).__name__}, and {got} is no layer")
    raise TypeError(
        f"{place} is a Parameter, and {got} in its place would be neither trained nor saved. For "
        f"other values in the same Parameter write layer.{name}.data = values; for another "
        f"Parameter layer.{name} = nn.Parameter(values); for none, None"
    )


def _convert(tensor: Tensor, device: Device | None, dtype: DType) -> None:
    """Put a leaf's array and gradient elsewhere, or in another dtype, in the same Tensor."""
    dtype = dtype if tensor.dtype.kind == "f" else None
    device = tensor.device if device is None else device
    array, grad = place(tensor.data, dtype, device), tensor.grad
    if array is not tensor.data:
        hooks = tensor._node.hooks if tensor._node is not None else None
        Tensor.__init__(tensor, array, None, device_of(array), tensor.requires_grad)
        if tensor._node is not None:
            tensor._node.hooks = hooks
        tensor.grad = None if grad is None else Tensor(grad, dtype, tensor.device)
        mark_changed(tensor)  # a tape that has saved the old values must not go on with these
