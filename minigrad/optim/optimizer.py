"""What all optimisers share: the step over all parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import chain, islice
from types import SimpleNamespace
from typing import Any, TypeAlias

import numpy as np

from minigrad.arrays.devices import beside, device_of, gpus
from minigrad.arrays.library import Array, array_module, bare, is_array, on_gpu, zeros
from minigrad.arrays.recording import fresh, one_call, only_if
from minigrad.arrays.sums import wide
from minigrad.autograd.modes import enable_grad, modes, watchers
from minigrad.autograd.sparse import RowSparse, elements
from minigrad.errors.values import told
from minigrad.optim.groups import ParameterGroups, Parameters
from minigrad.optim.kernels import UpdateKernel, change_by_kernel
from minigrad.optim.pieces import change_all
from minigrad.tensor import Tensor, mark_changed, wrap

Steps: TypeAlias = list[tuple[SimpleNamespace, list[tuple[Tensor, Any]]]]
"""For each group its options, and the parameters to step, each with its gradient."""


class Optimizer(ParameterGroups):
    """Changes parameters in place, step by step, so that the loss falls.

    If the gradient of a parameter is a `minigrad.RowSparse`, SGD, Adagrad, Adam and AdamW step the
    rows that were looked up, and no others. What they remember of the other rows does not change
    either. For SGD without momentum and for Adagrad, the dense gradient gives the same result. With
    a dense gradient, velocities and moments of the other rows fade, and move those rows too.

    Parameters
    ----------
    params
        the Tensors to optimise, in an order that is the same in each run; or dicts, one for each
        group. Such a dict has ``"params"``, the options in which the group differs from the others,
        and perhaps a ``"name"``. Parameters that do not require a gradient are allowed. They stay
        as they are, and so does a parameter without a ``.grad``.
    defaults
        the options of a group that does not set its own.

    Attributes
    ----------
    param_groups : list of dict
        the parameters and options of each group. The options may be changed at any time;
        schedules change ``"lr"``.
    state : dict
        what the optimiser remembers of each parameter that it has stepped: numbers, and arrays of
        the parameter's shape, dtype and device. For a float16 parameter the arrays are float32, and
        its steps are computed in float32.

    Raises
    ------
    TypeError
        if something is not a Tensor of floating-point numbers, or `params` is a set, which has no
        order.
    ValueError
        if there are no parameters, one is there twice, one is the result of an op, or none requires
        a gradient; if an option is out of range, or has an unknown name.
    """

    takes_sparse: bool = False
    """Whether the update works on each element alone, so that some rows can be updated."""
    kernel: UpdateKernel
    """The update's arithmetic, in NumPy and for a GPU."""

    def __init__(self, params: Parameters, defaults: dict[str, Any]) -> None:
        super().__init__(params, defaults)
        self._checked: dict[int, tuple[dict[str, Any], SimpleNamespace]] = {}  # options found right

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
                p.grad = wrap(zeros(p.shape, like=p._array))

    def step(
        self, closure: Callable[[], Any] | None = None, *, if_finite: Tensor | None = None
    ) -> Any:
        """Change each parameter that has a gradient, in place, by its group's options.

        Everything is checked before the first parameter changes: a step is done as a whole or not
        at all. On a GPU one kernel steps all parameters of a group, and the host waits for nothing.

        Parameters
        ----------
        closure
            a function that computes the loss and its gradients; it is called first.
        if_finite
            a single number, such as the norm that `clip_grad_norm_` returns. If it is not finite,
            nothing changes. On a GPU only the kernels look at it. So ``state["step"]`` counts that
            step too (and if it was the first step of SGD, the first velocity is zeros, not the
            gradient). There is no kernel for parameters that are not contiguous or not float32 or
            float64, nor for row-sparse gradients. For these the host looks, and waits for the GPU.

        Returns
        -------
        what `closure` returned, or None without it.

        Raises
        ------
        ValueError
            if a ``.grad`` was replaced by one whose shape, dtype or device is not that of its
            parameter; if a ``.grad`` is row-sparse, and the group has weight decay or the optimiser
            does not take it; if a parameter is in read-only memory; if an option is NaN or out of
            range; if `if_finite` is not a single number, or is on another device. Then nothing is
            changed.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        if watchers and modes.observer is not None:
            modes.observer.stepped(self)
        fresh(self._sizes)
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
        later = on_gpu(finite)  # on a GPU, only the kernels look
        with only_if(True if later else _is_finite(finite)) as useful:
            if useful:
                self._take(steps, finite if later else None)
        return loss

    def _take(self, steps: Steps, finite: Array | None) -> None:
        """Take the step, if the number `finite` on a GPU is finite; all else has been checked."""
        with np.errstate(all="ignore"):
            if type(self)._update is Optimizer._update:
                self._step_all(steps, finite)
                return
            with only_if(_is_finite(finite)) as useful:
                for i, (_, parameters) in enumerate(steps):  # it has an `_update` of its own
                    for p, gradient in parameters:
                        if useful:
                            self._step_own(i, p, p._array, gradient)
                        mark_changed(p)

    def _step_all(self, steps: Steps, finite: Array | None) -> None:
        """The step of an optimiser that has a kernel."""
        parameters = [[p for p, _ in of_group] for _, of_group in steps]
        arrays, numbers = map(iter, fresh(self._given, parameters))
        # All is checked, and has its memory: nothing fails from here on.
        stepped, changes = [], []
        for o, of_group in steps:
            names = self._names(o)
            for p, gradient in of_group:
                states = tuple(islice(arrays, len(names)))
                self.state.setdefault(p, {})
                stepped.append((p, names, states))
                given = tuple(islice(numbers, self.kernel.numbers))
                changes.append((p._array, gradient, states, given))
                mark_changed(p)
        if "step" in self.remembered or any(map(is_array, chain(*(s for _, _, s in stepped)))):
            self._remember(stepped)
        if gpus:
            changes = change_by_kernel(self.kernel, changes, finite)
        if finite is None or not changes:
            change_all(self.kernel, changes)
        else:  # the host waits for the GPU
            with only_if(_is_finite(finite)) as useful:
                if useful:
                    change_all(self.kernel, changes)

    def _sizes(self) -> tuple[list[Any], list[Any]]:
        """How many parameters there are in each group: with others, a step is recorded anew."""
        return [], [tuple([len(group["params"]) for group in self.param_groups])]

    def _given(self, parameters: list[list[Tensor]]) -> tuple[list[Array | None], list[float]]:
        """Beside weights and gradients, what the kernel is given for each parameter of each group.

        One list of all remembered arrays, and one of all numbers.
        """
        arrays: list[Array | None] = []
        numbers: list[float] = []
        for i, of_group in enumerate(parameters):
            o = self._options(self.param_groups[i], i)
            names, first = self._names(o), None
            for p in of_group:
                state = self.state.get(p)
                if state:
                    numbers += self._numbers(state, o)
                else:  # the same for all parameters of which nothing is remembered
                    first = first or self._numbers({}, o)
                    numbers += first
                arrays += self._states(p._array, state or {}, o) if any(names) else names
        return arrays, numbers

    @one_call("parameter")
    def _step_own(self, i: int, p: Tensor, parameter: Array, gradient: Array) -> None:
        """Step a parameter of group `i` by an `_update` of one's own."""
        state = self.state.setdefault(p, {})
        state.update({k: beside(v, p) for k, v in state.items() if gpus and is_array(v)})
        self._update(parameter, gradient, state, self._options(self.param_groups[i], i))

    def _options(self, group: dict[str, Any], i: int) -> SimpleNamespace:
        """The options of group `i`, which are checked if they have changed since the last step."""
        known = self._checked.get(i)
        if known is None or known[0] != group:
            self.check_options(group, f"{type(self).__name__}.step: group {i}")
            options = SimpleNamespace(
                **{name: _plain(group[name], default) for name, default in self.defaults.items()}
            )
            known = self._checked[i] = dict(group), options
        return known[1]

    def _gradient(self, p: Tensor, group: dict[str, Any]) -> Array | RowSparse:
        g: Any = bare(p.grad)  # a Tensor's array; a RowSparse as it is
        data = p._array
        if type(data) is np.ndarray and not data.flags.writeable:
            raise ValueError(
                f"step: a parameter, {told(p)}, is in read-only memory; make it from a copy: "
                "nn.Parameter(array.copy())"
            )
        if g.shape != data.shape or g.dtype != data.dtype:
            raise ValueError(f"step: a parameter is {told(p)}, but its .grad is {told(g)}")
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

    def _number(self, if_finite: Any, steps: Steps) -> Array:
        """The array of `if_finite`, once it is checked."""
        where = f"{type(self).__name__}.step: if_finite"
        if not isinstance(if_finite, Tensor) or if_finite.size != 1 or if_finite.dtype.kind != "f":
            raise ValueError(f"{where} must be a Tensor of one float, got {told(if_finite)}")
        for p, _ in (item for _, parameters in steps for item in parameters):
            if p.device != if_finite.device:
                raise ValueError(
                    f"{where} is on {if_finite.device}, but a parameter of shape {p.shape} is on "
                    f"{p.device}"
                )
        number: Array = if_finite._array
        return number

    def _update(
        self, parameter: Array, gradient: Array, state: dict[str, Any], o: SimpleNamespace
    ) -> None:
        """Step `parameter` in place, with the options `o`; `gradient` must not change.

        An optimiser may have this instead of `_numbers`, `_names` and a kernel.
        """
        raise NotImplementedError

    # ------------------------------------------------------------------ what a kernel is given

    def _numbers(self, state: Mapping[str, Any], o: SimpleNamespace) -> tuple[float, ...]:
        """The kernel's numbers for the next step, from what is remembered of the steps so far."""
        raise NotImplementedError

    def _names(self, o: SimpleNamespace) -> tuple[str | None, ...]:
        """The names of the remembered arrays, as the kernel has them; None for one not needed."""
        raise NotImplementedError

    def _first(self, parameter: Array, o: SimpleNamespace) -> Array:
        """What a remembered array is before the first step: zeros, in the same order of memory.

        For a float16 parameter they are float32, as are its steps: in float16 an eps of 1e-8 is 0,
        the square of 1e-4 is 0 too, and 1000 + 0.1 is 1000.
        """
        return array_module(parameter).zeros_like(parameter, dtype=wide(parameter.dtype))

    def _states(
        self, parameter: Array, state: Mapping[str, Any], o: SimpleNamespace
    ) -> tuple[Array | None, ...]:
        """The remembered arrays for the kernel; those that are not in `state` are made."""
        states: list[Array | None] = []
        for name in self._names(o):
            if name is None:
                states.append(None)
            elif name in state:
                states.append(beside(state[name], parameter))
            else:
                states.append(self._first(parameter, o))
        return tuple(states)

    @one_call()
    def _remember(
        self, stepped: list[tuple[Tensor, tuple[str | None, ...], tuple[Array | None, ...]]]
    ) -> None:
        """Count a step of each parameter, and keep the arrays of its state."""
        for p, names, states in stepped:
            state = self.state[p]
            if "step" in self.remembered:
                state["step"] = state.get("step", 0) + 1
            for name, array in zip(names, states, strict=True):
                if name is not None:
                    state[name] = array


def descended(p: Array, g: Array, weight_decay: float, maximize: bool, out: Array | None) -> Array:
    """The gradient to go down: `g`, or, in `out`, `g` with weight decay or its sign changed."""
    if not weight_decay and not maximize:
        return g
    xp = array_module(p)
    if weight_decay:
        out = xp.multiply(p, weight_decay, out=out)
        return (xp.subtract if maximize else xp.add)(out, g, out=out)
    return xp.negative(g, out=out)


def _is_finite(x: Array | None) -> Any:
    """Whether there is no number that is not finite; True, or a truth of the array library."""
    return x is None or array_module(x).isfinite(x).all()


def _plain(value: Any, default: Any) -> Any:
    """An option as Python floats: with an np.float64, float32 arrays would become float64."""
    if isinstance(default, bool):
        return bool(value)
    if type(value) is float:
        return value
    try:
        return tuple(map(float, value)) if isinstance(value, tuple | list) else float(value)
    except (TypeError, ValueError):
        return value  # `check_options` will refuse it
