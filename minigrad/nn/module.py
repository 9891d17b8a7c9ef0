"""Module, what every layer and model is, and Parameter, what it learns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np

from minigrad.backend import ArrayLike, Device, DType
from minigrad.devices import device_of, place
from minigrad.nn.loading import matched
from minigrad.nn.walking import first_of_each, members
from minigrad.tape import mark_changed
from minigrad.tensor import Tensor

Self = TypeVar("Self", bound="Module")


class Parameter(Tensor):
    """A Tensor that a `Module` learns: it requires a gradient, and modules find, count and save it.

    The arguments are those of `minigrad.Tensor`, but for `requires_grad`, which is True by default.
    """

    __slots__ = ()

    def __init__(
        self,
        data: ArrayLike,
        dtype: DType = None,
        device: Device | None = None,
        requires_grad: bool = True,
    ) -> None:
        super().__init__(data, dtype, device, requires_grad)


class Module:
    """A layer or a model: a function ``forward``, and the parameters in its attributes.

    Nothing is registered. Parameters and modules are found where they are: in attributes, also
    inside lists, tuples and dicts, in the order in which they were set, and named by the way to
    them (``"encoder.layers.0.weight"``). A parameter or module that is met a second time is tied:
    it goes by the first name, and is counted, stepped and saved once.

    A Tensor that is no `Parameter` is a constant, or a state. It moves along with `to`, but is
    neither counted nor saved.
    """

    training: bool = True
    """Whether `Dropout` and its like are active; `train` and `eval` set it."""

    forward: Callable[..., Any]
    """What the module computes; each subclass has its own."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.forward(*args, **kwargs)

    # ------------------------------------------------------------------ what is in it

    def _items(self) -> Iterable[tuple[Any, Any]]:
        """Names and values to look for parameters and modules in."""
        return vars(self).items()

    def _walk(self, name: str = "", above: tuple[Module, ...] = ()) -> Iterator[tuple[str, Any]]:
        """Itself and every Module and Tensor below it; the tied ones each time."""
        yield name, self
        above = (*above, self)
        prefix = f"{name}." if name else ""
        for key, item in members(self._items(), (Module, Tensor), prefix):
            if not isinstance(item, Module):
                yield key, item
            elif not any(item is module for module in above):
                yield from item._walk(key, above)

    def named_parameters(self) -> list[tuple[str, Parameter]]:
        """Each parameter, once, with its name, in the order in which they were set."""
        return first_of_each(self._walk(), Parameter)

    def parameters(self) -> list[Parameter]:
        """Each parameter, once, in the order in which they were set."""
        return [parameter for _, parameter in self.named_parameters()]

    def named_modules(self) -> list[tuple[str, Module]]:
        """The module itself, named ``""``, and each module below it, once, with its name."""
        return first_of_each(self._walk(), Module)

    def modules(self) -> list[Module]:
        """The module itself and each module below it, once."""
        return [module for _, module in self.named_modules()]

    def children(self) -> list[Module]:
        """Each module that this one holds itself, once."""
        return [child for _, child in first_of_each(members(self._items(), Module), Module)]

    def num_parameters(self) -> int:
        """How many numbers the module learns."""
        return sum(parameter.size for parameter in self.parameters())

    # ------------------------------------------------------------------ all of it at once

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
            if `dtype` is not a floating-point one.
        ValueError, RuntimeError
            for a device that does not exist, or is not to be had here.
        """
        if dtype is not None and np.dtype(dtype).kind != "f":
            raise TypeError(f"to: dtype must be a floating-point one, not {np.dtype(dtype)}")
        for _, tensor in first_of_each(self._walk(), Tensor):
            if tensor.is_leaf:
                _convert(tensor, device, dtype)
        return self

    # ------------------------------------------------------------------ saving and loading

    def state_dict(self) -> dict[str, np.ndarray[Any, Any]]:
        """A copy of each parameter as a NumPy array, by name, the tied ones once."""
        return {name: parameter.numpy() for name, parameter in self.named_parameters()}

    def load_state_dict(self, state_dict: Mapping[str, ArrayLike]) -> None:
        """Set all parameters to the values in `state_dict`.

        Each parameter must be there, in its shape, and nothing else: to load a part, load it into
        that part (``model.encoder.load_state_dict``), or complete it first
        (``{**model.state_dict(), **part}``). Floats of another precision are converted. A tied
        parameter may be under any of its names; if it is under several, as PyTorch saves it, the
        values must be equal.

        Parameters
        ----------
        state_dict
            by name, arrays or whatever can be made one: Tensors, PyTorch's tensors on the CPU.

        Raises
        ------
        ValueError
            if the names or shapes do not fit; it lists all that are missing, unexpected or
            misshapen, and nothing has been changed then.
        """
        named = [(name, item) for name, item in self._walk() if isinstance(item, Parameter)]
        for parameter, value in matched(type(self).__name__, named, state_dict):
            parameter.data = value

    # ------------------------------------------------------------------ how it looks

    def extra_repr(self) -> str:
        """What stands between the brackets of the `repr`: the plain public attributes."""
        return ", ".join(
            f"{name}={value!r}"
            for name, value in vars(self).items()
            if _is_plain(value) and name != "training" and not name.startswith("_")
        )

    def __repr__(self) -> str:
        return _tree(self, frozenset(), (), " parameters")


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    return isinstance(value, bool | int | float | str)


def _tree(
    module: Module, counted: frozenset[int], above: tuple[Module, ...], unit: str = ""
) -> str:
    """The module and what is below it, a line each, and the counts of parameters.

    `counted` has the identities of the parameters that earlier lines have counted.
    """
    name, arguments, above = type(module).__name__, module.extra_repr(), (*above, module)
    count = _count(module, counted, unit)
    counted |= {id(parameter) for _, parameter in members(module._items(), Parameter)}
    lines = []
    for key, item in members(module._items(), Callable):  # type: ignore[arg-type]
        if not isinstance(item, Module):
            lines.append(f"({key}): {getattr(item, '__name__', item)}")
        elif not any(item is other for other in above):
            lines.append(f"({key}): {_tree(item, counted, above)}")
            counted |= {id(parameter) for parameter in item.parameters()}
    if not lines:
        return f"{name}({arguments}){count}"
    head = f"{name}({arguments}{',' if arguments else ''}{count}"
    return "\n".join([head, *lines]).replace("\n", "\n  ") + "\n)"


def _count(module: Module, counted: frozenset[int], unit: str) -> str:
    tied = sum(p.size for p in module.parameters() if id(p) in counted)
    new = module.num_parameters() - tied
    numbers = [f"{new:,}{unit}"] * (new > 0) + [f"{tied:,} tied"] * (tied > 0)
    return f"  # {' and '.join(numbers)}" if numbers else ""


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
