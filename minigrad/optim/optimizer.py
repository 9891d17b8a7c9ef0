"""What all optimisers share: groups of parameters, and the step over them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any, TypeAlias

from minigrad.backend import Array, array_module
from minigrad.modes import enable_grad
from minigrad.optim import saving
from minigrad.optim.blocks import Scratch, pieces
from minigrad.optim.checks import check_names, check_number, check_parameter, in_order, told
from minigrad.tape import mark_changed
from minigrad.tensor import Tensor

Parameters: TypeAlias = Iterable[Tensor] | Iterable[dict[str, Any]]
"""What an optimiser takes: Tensors, or groups of them: ``{"params": tensors, "lr": 0.1}``."""


class Optimizer:
    """Changes parameters in place, step by step, so that what their gradients belong to falls.

    Parameters
    ----------
    params
        the Tensors to optimise, in an order that stays the same from run to run; or dicts, each a
        group: ``"params"``, whichever options it does not share with the others, and perhaps a
        ``"name"``. Parameters that do not require a gradient are allowed and stay as they are, like
        all that have no ``.grad``.
    defaults
        the options of the groups that do not set them otherwise.

    Attributes
    ----------
    param_groups : list of dict
        the parameters and options of each group. The options may be changed at any time;
        schedules change ``"lr"``.
    state : dict
        for each parameter that has been stepped, what the optimiser remembers: numbers, and arrays
        of the parameter's shape, dtype and device.

    Raises
    ------
    TypeError
        if something is no Tensor, no floating-point Tensor, or in a set (which has no order).
    ValueError
        if there are no parameters, one is there twice, one is the result of an op, or none requires
        a gradient; if an option has a value out of range or a name that there is none of.
    """

    remembered: tuple[str, ...] = ()
    """The names of what may be in the state of a parameter."""

    def __init__(self, params: Parameters, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self.param_groups: list[dict[str, Any]] = []
        self.state: dict[Tensor, dict[str, Any]] = {}
        self._scratch = Scratch()
        name = type(self).__name__
        groups = in_order(params, name)
        if not any(isinstance(group, dict) for group in groups):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)
        if not any(p.requires_grad for p in self.parameters()):
            raise ValueError(f"{name}: none of the parameters requires a gradient")

    def parameters(self) -> Iterator[Tensor]:
        """The parameters of all groups, in the order by which `state_dict` numbers them."""
        for group in self.param_groups:
            yield from group["params"]

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group: ``"params"`` (a Tensor or several) and options; raises as the class does."""
        where = f"{type(self).__name__}: group {len(self.param_groups)}"
        if not isinstance(param_group, dict):
            raise TypeError(f"{where} is no dict but {told(param_group)}")
        check_names(where, param_group, ["params"], [*self.defaults, "name", "initial_lr"])
        params = param_group["params"]
        params = [params] if isinstance(params, Tensor) else in_order(params, where)
        known = set(self.parameters())
        for i, p in enumerate(params):
            check_parameter(p, f"{where}: parameter {i}")
            if p in known:
                raise ValueError(
                    f"{where}: parameter {i}, of shape {p.shape}, is here a second time, and would "
                    "be stepped twice; give a tied weight once"
                )
            known.add(p)
        group = {**self.defaults, **param_group, "params": params}
        self.check_options(group, where)
        self.param_groups.append(group)

    def check_options(self, options: Mapping[str, Any], where: str) -> None:
        """Raise a ValueError, which begins with `where`, if an option of a group is out of range.

        Options that are numbers are at least 0; a subclass adds what else it asks.
        """
        for name, default in self.defaults.items():
            if not isinstance(default, bool | tuple | list):
                check_number(options[name], f"{where}: {name}")

    # ------------------------------------------------------------------ stepping

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters (or make them zeros, with ``set_to_none=False``).

        No gradient (None) saves memory and time, and the parameter is not stepped.
        """
        for p in self.parameters():
            if set_to_none:
                p.grad = None
            elif p.grad is not None:
                p.grad = Tensor(array_module(p).zeros_like(p._data))

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change each parameter that has a gradient, in place, by its group's options.

        Parameters
        ----------
        closure
            if given, called first, to compute the loss and its gradients.

        Returns
        -------
        what `closure` returned, or None.

        Raises
        ------
        ValueError
            if a ``.grad`` was replaced by one of another shape or dtype than its parameter's.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        stepped = [
            [(p, _gradient(p)) for p in group["params"] if p.grad is not None and p.requires_grad]
            for group in self.param_groups
        ]  # all of them are looked at before the first is changed
        for group, parameters in zip(self.param_groups, stepped, strict=True):
            options = SimpleNamespace(**{name: _plain(group[name]) for name in self.defaults})
            for p, gradient in parameters:
                self._update(p._data, gradient, self.state.setdefault(p, {}), options)
                mark_changed(p)
        return loss

    def _update(
        self, parameter: Array, gradient: Array, state: dict[str, Any], o: SimpleNamespace
    ) -> None:
        """Step `parameter`, in place, with `gradient`, which stays as it is, by the options `o`."""
        raise NotImplementedError

    def _pieces(self, scratch: int, p: Array, *others: Array | None) -> Iterator[list[Any]]:
        """Pieces of `p`, the same pieces of `others` (None stays None), and so many scratch arrays.

        All are views: what is written into them is written into `p` and `others`.
        """
        buffers: list[Array] = []
        for piece in pieces(p):
            arrays: list[Any] = [None if x is None else x[piece] for x in (p, *others)]
            if not buffers or buffers[0].shape != arrays[0].shape:
                buffers = self._scratch.like(arrays[0], scratch)
            yield [*arrays, *buffers]

    # ------------------------------------------------------------------ saving and loading

    def state_dict(self) -> dict[str, Any]:
        """All that a later run needs to go on from here, but for the parameters themselves.

        Returns
        -------
        dict
            ``"kind"``, the name of the class; ``"param_groups"``, a list of the groups' options,
            each with the numbers of its parameters, counted through all groups, as ``"params"``;
            ``"state"``, for the number of each parameter what the optimiser remembers of it. It
            consists of dicts, lists, strings, numbers and NumPy arrays, all copies.
        """
        return saving.state_dict(self)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a `state_dict`: the next step is, bit for bit, the one that it was before.

        The keys of ``"state"`` may have become strings on the way, as JSON makes them.

        Raises
        ------
        ValueError
            if it is of an optimiser of another class, or of other groups, options, or sizes or
            dtypes of parameters. Nothing is changed then.
        """
        saving.load_state_dict(self, state_dict)

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__}("]
        for i, group in enumerate(self.param_groups):
            options = ", ".join(f"{name}={group[name]!r}" for name in group if name != "params")
            lines.append(f"  group {i}: {len(group['params'])} parameters, {options}")
        return "\n".join([*lines, ")"])


def descended(p: Array, g: Array, weight_decay: float, maximize: bool, out: Array) -> Array:
    """The gradient to go down: `g` itself, or with weight decay or a change of sign, in `out`."""
    xp = array_module(p)
    if weight_decay:
        xp.multiply(p, weight_decay, out=out)
        return (xp.subtract if maximize else xp.add)(out, g, out=out)
    return xp.negative(g, out=out) if maximize else g


def _plain(value: Any) -> Any:
    """An option as Python floats: an np.float64 would make float32 arrays float64 on the way."""
    if isinstance(value, bool):
        return value
    return tuple(map(float, value)) if isinstance(value, tuple | list) else float(value)


def _gradient(p: Tensor) -> Array:
    assert p.grad is not None
    g = p.grad._data
    if g.shape != p.shape or g.dtype != p.dtype:
        raise ValueError(
            f"step: a parameter is {p.dtype} {p.shape}, but its .grad is {g.dtype} {g.shape}"
        )
    return g
