"""What all optimisers share: groups of parameters, and the step over them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any, TypeAlias

import numpy as np

from minigrad.arrays.devices import device_of, follow, gpus, staying, to_device, zeros
from minigrad.arrays.library import Array, is_array
from minigrad.arrays.sums import wide
from minigrad.autograd.modes import enable_grad
from minigrad.autograd.sparse import RowSparse, elements
from minigrad.autograd.tape import mark_changed, wrap
from minigrad.errors.values import told
from minigrad.optim import state as saving
from minigrad.optim.arguments import check_names, check_number, check_parameter, in_order
from minigrad.optim.blocks import Scratch, is_one_piece, pieces
from minigrad.optim.kernels import UpdateKernel, Updates
from minigrad.tensor import Tensor

Parameters: TypeAlias = Iterable[Tensor] | Iterable[dict[str, Any]]
"""What an optimiser takes: Tensors, or groups of them: ``{"params": tensors, "lr": 0.1}``."""
Prepared: TypeAlias = tuple[tuple[Array | None, ...], tuple[float, ...]]
"""What `Optimizer._prepare` returns: arrays of a parameter's state, and numbers."""


class Optimizer:
    """Changes parameters in place, step by step, so that what their gradients belong to falls.

    Of a parameter whose gradient is a `minigrad.RowSparse`, SGD, Adagrad, Adam and AdamW step the
    rows that were looked up as if they were all there is: nothing changes in the others, nor in
    what is remembered of them. For SGD without momentum and for Adagrad that is what the dense
    gradient gives; velocities and moments would have faded, and moved their rows on.

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
        of the parameter's shape, dtype and device; of a float16 parameter they are float32, in
        which its steps are computed too.

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
    takes_sparse: bool = False
    """Whether the update changes each element by itself, so that it can be of some rows."""
    kernel: UpdateKernel
    """The update's arithmetic, in NumPy and for a GPU."""

    def __init__(self, params: Parameters, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self.param_groups: list[dict[str, Any]] = []
        self.state: dict[Tensor, dict[str, Any]] = {}
        self._scratch = Scratch()
        self._checked: dict[int, SimpleNamespace] = {}  # options that have been found right
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
            raise TypeError(
                f"{where} is no dict but {type(param_group).__name__} {told(param_group)}"
            )
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
            elif isinstance(g := p.grad, RowSparse):
                p.grad = RowSparse(g.rows[:0], g.values[:0], g.shape)
            elif g is not None:
                p.grad = wrap(zeros(p.shape, like=p._data))

    def step(
        self, closure: Callable[[], Any] | None = None, *, if_finite: Tensor | None = None
    ) -> Any:
        """Change each parameter that has a gradient, in place, by its group's options.

        All of it is looked at before the first changes: a step is taken wholly or not at all.
        On a GPU one kernel steps all parameters of a group, and nothing comes to the host.

        Parameters
        ----------
        closure
            if given, called first, to compute the loss and its gradients.
        if_finite
            if given, a single number, such as the norm that `clip_grad_norm_` returns; unless it is
            finite, nothing changes. On a GPU only the kernels look at it, so ``state["step"]``,
            and all that goes by it, counts that step too (and the first velocity of SGD is then
            zeros, not the gradient). Parameters that are not float32 or float64, or not
            contiguous, and row-sparse gradients have no kernel; for them the host looks, and waits
            for the GPU.

        Returns
        -------
        what `closure` returned, or None.

        Raises
        ------
        ValueError
            if a ``.grad`` was replaced by one of another shape, dtype or device than its
            parameter's; if one is row-sparse, and the group has weight decay or the optimiser does
            not take it; if a parameter is in read-only memory; if an option is NaN or out of range;
            if `if_finite` is no single number, or on another device. Nothing is changed then.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        steps = [
            (
                self._options(group, i),
                [
                    (p, self._gradient(p, group))
                    for p in group["params"]
                    if p.grad is not None and p.requires_grad
                ],
            )
            for i, group in enumerate(self.param_groups)
        ]
        finite = None if if_finite is None else self._number(if_finite, steps)
        if isinstance(finite, np.ndarray) and not np.isfinite(finite).all():
            return loss
        own = type(self)._update is not Optimizer._update  # an update of its own has no kernel
        with staying(), np.errstate(all="ignore"):
            planned: list[tuple[Tensor, Any, dict[str, Any], Any]] = []
            for o, parameters in steps:
                for p, gradient in parameters:
                    state = dict(self.state.get(p, ()))
                    if gpus:
                        follow(p)
                        _bring_along(state, p._data)
                    prepared = o if own else self._prepare(p._data, state, o)
                    planned.append((p, gradient, state, prepared))
            # All has been looked at, and has its memory: nothing fails from here on.
            updates = Updates(finite) if gpus else None
            for p, gradient, state, prepared in planned:
                self.state.setdefault(p, {}).update(state)
                if gpus:
                    follow(p)
                if not own:
                    states, numbers = prepared
                    self._change_one(p._data, gradient, states, numbers, updates)
                elif type(p._data) is np.ndarray or updates is None or updates.is_finite():
                    self._update(p._data, gradient, self.state[p], prepared)
                mark_changed(p)
            if updates is not None:
                updates.launch()
        return loss

    def _options(self, group: dict[str, Any], i: int) -> SimpleNamespace:
        """The options of group `i`, checked if they are not those of the step before."""
        options = SimpleNamespace(
            **{name: _plain(group[name], default) for name, default in self.defaults.items()}
        )
        if self._checked.get(i) != options:
            self.check_options(group, f"{type(self).__name__}.step: group {i}")
            self._checked[i] = options
        return options

    def _gradient(self, p: Tensor, group: dict[str, Any]) -> Array | RowSparse:
        g: Any = getattr(p.grad, "_data", p.grad)  # a Tensor's array; a RowSparse as it is
        data = p._data
        if type(data) is np.ndarray and not data.flags.writeable:
            raise ValueError(
                f"step: a parameter, {p.dtype} {p.shape}, is in read-only memory; make it of a "
                "copy: nn.Parameter(array.copy())"
            )
        if g.shape != data.shape or g.dtype != data.dtype:
            raise ValueError(
                f"step: a parameter is {p.dtype} {p.shape}, but its .grad is {g.dtype} {g.shape}"
            )
        if gpus and (here := device_of(data)) != (there := device_of(elements(g))):
            raise ValueError(
                f"step: a parameter of shape {p.shape} is on {here}, but its .grad on {there}"
            )
        if isinstance(g, RowSparse) and (group.get("weight_decay") or not self.takes_sparse):
            name = type(self).__name__
            problem = f"which {name} does not take; use SGD, Adagrad or Adam for it"
            if self.takes_sparse:
                problem = (
                    f"but weight_decay={group['weight_decay']!r} is for all rows; put it into a "
                    "group with weight_decay=0"
                )
            raise ValueError(
                f"{name}.step: the gradient of a parameter of shape {p.shape} is row-sparse, "
                f"{problem}, or look its rows up with sparse=False"
            )
        return g

    def _number(self, if_finite: Any, steps: list[tuple[Any, list[tuple[Tensor, Any]]]]) -> Array:
        """The array of `if_finite`, which is looked at first."""
        where = f"{type(self).__name__}.step: if_finite"
        if not isinstance(if_finite, Tensor) or if_finite.size != 1 or if_finite.dtype.kind != "f":
            raise ValueError(f"{where} must be a Tensor of one float, got {told(if_finite)}")
        for p, _ in (item for _, parameters in steps for item in parameters):
            if p.device != if_finite.device:
                raise ValueError(
                    f"{where} is on {if_finite.device}, but a parameter of shape {p.shape} is on "
                    f"{p.device}"
                )
        number: Array = if_finite._data
        return number

    def _update(
        self, parameter: Array, gradient: Array, state: dict[str, Any], o: SimpleNamespace
    ) -> None:
        """Step `parameter`, in place, with `gradient`, which stays as it is, by the options `o`.

        For an optimiser that has this instead of `_prepare` and a kernel.
        """
        raise NotImplementedError

    def _change_one(
        self,
        parameter: Array,
        gradient: Array | RowSparse,
        states: tuple[Array | None, ...],
        numbers: tuple[float, ...],
        updates: Updates | None,
    ) -> None:
        """Step `parameter` by the kernel: now, or on a GPU when `updates` are launched."""
        kernel = self.kernel
        if updates is not None and type(parameter) is not np.ndarray:
            if updates.add(kernel, parameter, gradient, states, numbers):
                return
            if not updates.is_finite():
                return
        for arrays in self._pieces(kernel.scratch, parameter, gradient, *states):
            kernel.change(*arrays, *numbers)

    def _prepare(self, parameter: Array, state: dict[str, Any], o: SimpleNamespace) -> Prepared:
        """Count a step in `state`; the arrays in it that change, made if need be, and numbers."""
        raise NotImplementedError

    def _pieces(
        self, scratch: int, p: Array, g: Array | RowSparse, *others: Array | None
    ) -> Iterable[list[Any]]:
        """Pieces of `p`, of `g`, of `others` (None stays None), and so many scratch arrays.

        What is written into those of `p` and `others` in place is written into `p` and `others`:
        they are views, or copies, which are put back: of the rows of a row-sparse `g`, and of
        float16 in float32.
        """
        if not isinstance(g, RowSparse) and is_one_piece(g) and g.dtype == wide(g.dtype):
            return ([p, g, *others, *self._scratch.like(g, scratch)],)
        return self._cut(scratch, p, g, *others)

    def _cut(
        self, scratch: int, p: Array, g: Array | RowSparse, *others: Array | None
    ) -> Iterator[list[Any]]:
        rows, g = (g.rows, g.values) if isinstance(g, RowSparse) else (None, g)
        buffers: list[Array] = []
        dtype = wide(p.dtype)
        for piece in pieces(g):
            here = piece if rows is None else rows[piece]
            arrays: list[Any] = [
                None if x is None else x[here].astype(dtype, copy=False) for x in (p, *others)
            ]
            if not buffers or buffers[0].shape != arrays[0].shape:
                buffers = self._scratch.like(arrays[0], scratch)
            yield [arrays[0], g[piece].astype(dtype, copy=False), *arrays[1:], *buffers]
            for x, changed in zip((p, *others), arrays, strict=True):
                if x is not None and (rows is not None or x.dtype != dtype):
                    x[here] = changed

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


def _bring_along(state: dict[str, Any], parameter: Array) -> None:
    """Move what is remembered of a parameter to where that is now, if it has been moved."""
    for name, value in state.items():
        if is_array(value) and value.device != parameter.device:
            state[name] = to_device(value, device_of(parameter))


def descended(
    xp: Any, p: Array, g: Array, weight_decay: float, maximize: bool, out: Array
) -> Array:
    """The gradient to go down, with weight decay, a change of sign, or both: in `out`."""
    if weight_decay:
        xp.multiply(p, weight_decay, out=out)
        return (xp.subtract if maximize else xp.add)(out, g, out=out)
    return xp.negative(g, out=out)


def _plain(value: Any, default: Any) -> Any:
    """An option as Python floats: an np.float64 would make float32 arrays float64 on the way."""
    if isinstance(default, bool):
        return bool(value)
    try:
        return tuple(map(float, value)) if isinstance(value, tuple | list) else float(value)
    except (TypeError, ValueError):
        return value  # which is told when it is checked
