"""Ops whose backward pass is one function for all inputs: `joint` and `fused`.

Their forward returns two things: the result (a tuple, if there are several outputs) and whatever
their backward needs of what it has computed::

    @fused(twin=composed_softplus, backward=softplus_backward, inputs=["x"])
    def softplus(x):
        tail = np.exp(-np.abs(x))
        return np.maximum(x, 0) + np.log1p(tail), tail

    def softplus_backward(g, kept, x):
        return [g * np.where(x > 0, 1, kept) / (1 + kept)]

`backward` is called with `g`, the gradient of the output (a list, if there are several), and what
it names after it: arguments of the op, `kept` (the second thing that the forward returned), and
`needs` (for each input, whether its gradient is asked for). It returns a list with a gradient, or
None, for each input; the items of an input that is a list count one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any

from minigrad.arrays.devices import beside, cast, gpus, place, run
from minigrad.arrays.library import FLOAT32, array_module, as_array, bare, is_array
from minigrad.autograd import anomaly, tape
from minigrad.autograd.modes import enable_grad, modes, watchers
from minigrad.autograd.record import (
    NUMBERS,
    F,
    Op,
    Rule,
    differentiable,
    float_dtype,
    load,
    names_wanted,
    own,
    plain,
    share_memory,
)
from minigrad.autograd.tape import (
    Memory,
    Node,
    Output,
    Useful,
    Variable,
    changed_error,
    next_stamp,
    wrap,
)


def joint(*, backward: Rule, inputs: Sequence[str]) -> Callable[[F], F]:
    """Declare an op with several outputs, or with a list of inputs, and one backward for all.

    `backward` is written with minigrad's ops, so it serves every order of derivative. It is given
    zeros for an output that nobody used.
    """
    return lambda forward: _declare(JointOp(forward, inputs), backward, None, ())


def fused(
    *,
    twin: Callable[..., Any],
    backward: Rule,
    inputs: Sequence[str],
    kept_outputs: Sequence[int] | None = None,
) -> Callable[[F], F]:
    """Declare an op with a backward pass written by hand, on arrays, for all inputs at once.

    `kept_outputs` are the outputs that are among what is kept, or share memory with it (None: all):
    if one of them is changed in place before the way back, that raises.

    `twin` is the same function, with the same parameters, composed of plain ops. It is the oracle
    of the op's tests, and is differentiated in the op's place under ``create_graph=True``.
    `backward` is given None for an output that nobody used.
    """
    return lambda forward: _declare(JointOp(forward, inputs), backward, twin, kept_outputs)


class JointOp(Op):
    """An Op whose inputs may be lists of tensors (those annotated as ``Sequence``)."""

    def __init__(self, forward: Callable[..., Any], inputs: Sequence[str]) -> None:
        super().__init__(forward, inputs)
        self.lists = [
            str(p.annotation).startswith("Sequence") and is_input
            for p, is_input in zip(self.signature.parameters.values(), self.inputs, strict=True)
        ]
        # how many inputs there are, if they come before all options and none is a list
        count = sum(self.inputs)
        self.leading = count if all(self.inputs[:count]) and not any(self.lists) else None

    def flatten(self, args: Sequence[Any]) -> list[Any]:
        """The inputs among `args`, those in lists one by one."""
        if self.leading is not None:
            return list(args[: self.leading])
        flat: list[Any] = []
        for a, is_input, is_list in zip(args, self.inputs, self.lists, strict=True):
            if is_input:
                flat.extend(a if is_list else [a])
        return flat

    def rebuild(self, args: Sequence[Any], flat: Iterable[Any]) -> list[Any]:
        """`args` with `flat` in the places of the inputs: the reverse of `flatten`."""
        if self.leading is not None:
            return [*flat, *args[self.leading :]]
        rest = iter(flat)
        return [
            ([next(rest) for _ in a] if is_list else next(rest)) if is_input else a
            for a, is_input, is_list in zip(args, self.inputs, self.lists, strict=True)
        ]


def _declare(
    op: JointOp, backward: Rule, twin: Callable[..., Any] | None, kept_outputs: Sequence[int] | None
) -> Any:
    plan = JointPlan(op, backward, twin)
    arity, has_lists = len(op.parameters), any(op.lists)
    options = [i for i, is_input in enumerate(op.inputs) if not is_input]

    @wraps(op.forward)
    def apply(*args: Any, **kwargs: Any) -> Any:
        if kwargs or len(args) != arity:
            args = op.bind(args, kwargs)
        if has_lists:
            args = tuple(
                [list(a) if is_list else a for a, is_list in zip(args, op.lists, strict=True)]
            )
        values = list(args)
        for i in options:
            a = args[i]
            if isinstance(a, Variable):
                values[i] = a._data
                if a._node is not None:
                    op.refuse(i)
        flat = op.flatten(args)
        tensors = True
        if not _all_alike(flat):
            tensors = any(isinstance(a, Variable) for a in flat)
            if not tensors and not any(map(is_array, flat)):
                flat = [wrap(place(a)) if a is not None else a for a in flat]
                tensors = True
            if tensors:
                flat = _same_floats([plain(a, flat) for a in flat], numbers=has_lists)
        parents = [a._node for a in flat if isinstance(a, Variable) and a._node is not None]
        if recorded := modes.recording and bool(parents):
            flat = [a if isinstance(a, Variable) else own(a) for a in flat]
            args = plan.own_arrays(args, values)
        values = op.rebuild(values, [_data(a) for a in flat])
        try:
            if gpus:
                result, kept = run(op.name, op.parameters, op.forward, values)
            else:
                result, kept = op.forward(*values)
        except Exception as error:
            op.fail(error, args)
        if not tensors:
            return result
        several = type(result) is tuple
        arrays = [as_array(x) for x in (result if several else [result])]
        outputs = [wrap(array) for array in arrays]
        for tensor in outputs:
            share_memory(tensor, flat)
        node = None
        if recorded:
            active = [isinstance(a, Variable) and a._node is not None for a in flat]
            node = Node()
            node.stamp, node.plan, node.hooks, node.memory = next_stamp(), plan, None, None
            node.parents = parents
            node.saved = (plan.select(op.rebuild(args, flat)), kept, active)
            node.shape, node.dtype = arrays[0].shape, arrays[0].dtype
            if several:
                node.shape, node.dtype = [x.shape for x in arrays], [x.dtype for x in arrays]
            if kept_outputs != ():
                node.memory = Memory()
                for i in range(len(outputs)) if kept_outputs is None else kept_outputs:
                    outputs[i]._memory = outputs[i]._memory or node.memory
            for i, tensor in enumerate(outputs):
                tensor._node = Output(node, i, tensor._data) if several else node
        if watchers and modes.anomaly:
            anomaly.check_forward(op.name, op.flatten(values), arrays, node)
        return tuple(outputs) if several else outputs[0]

    apply.op, apply.twin = op, twin  # type: ignore[attr-defined]
    return apply


def _all_alike(flat: Iterable[Any]) -> bool:
    """Whether all inputs are Tensors of float32 (or None): nothing is to be converted then."""
    for a in flat:
        if a is not None and (not isinstance(a, Variable) or a._data.dtype is not FLOAT32):
            return False
    return True


def _same_floats(flat: list[Any], numbers: bool) -> list[Any]:
    """Integer inputs beside floating ones in the dtype of those, as in `Op.in_floats`.

    With `numbers`, Python numbers too become arrays: those in a list must have a shape.
    """
    dtypes = [a.dtype for a in map(_data, flat) if hasattr(a, "dtype")]
    if not any(dtype.kind == "f" for dtype in dtypes):
        return flat
    target = float_dtype(dtypes)
    if numbers:
        flat = [
            wrap(cast(beside([a], flat), target).reshape(())) if isinstance(a, int | float) else a
            for a in flat
        ]
    return [
        wrap(cast(_data(a), target)) if hasattr(a, "dtype") and a.dtype.kind in "iub" else a
        for a in flat
    ]


def _data(a: Any) -> Any:
    return bare(a)


class JointPlan:
    """What to keep, and the function that gives the gradients of all inputs at once."""

    def __init__(self, op: JointOp, backward: Rule, twin: Callable[..., Any] | None) -> None:
        self.name, self.op, self.backward, self.twin = op.name, op, backward, twin
        known = [*op.parameters, "kept", "needs"]
        for name in names_wanted(backward, op):
            if name not in known:
                raise TypeError(f"{op.name}: backward names {name!r}, which is no parameter")
        self.wants = [known.index(name) for name in names_wanted(backward, op)]
        self.kept_at, self.needs_at = len(known) - 2, len(known) - 1
        self.keeps = [twin is not None or i in self.wants for i in range(len(op.parameters))]
        self.kept_options = [
            i
            for i, (keep, is_input) in enumerate(zip(self.keeps, op.inputs, strict=True))
            if keep and not is_input
        ]

    def own_arrays(self, args: tuple[Any, ...], values: list[Any]) -> tuple[Any, ...]:
        """`args`, and `values`, with copies of the plain arrays among the options that are kept."""
        owned = list(args)
        for i in self.kept_options:
            if type(owned[i]) not in NUMBERS and not isinstance(owned[i], Variable):
                owned[i] = values[i] = own(owned[i])
        return tuple(owned)

    def select(self, args: Sequence[Any]) -> list[Any]:
        """The arguments, None in the place of those that nobody will ask for."""
        return [a if keep else None for a, keep in zip(args, self.keeps, strict=True)]

    def _load(self, i: int, saved: Sequence[Any], node: Node, create_graph: bool) -> Any:
        if self.op.lists[i]:
            return load(saved[i] or (), node, create_graph)
        return load((saved[i],), node, create_graph)[0]

    def pull(self, g: Any, node: Node, useful: Useful, create_graph: bool) -> list[Any]:
        """See `minigrad.autograd.tape.Plan`."""
        saved, kept, active = node.saved
        if node.memory is not None and node.memory.changed > node.stamp:
            raise changed_error(node, "its own result")
        if create_graph and self.twin is not None:
            args = [self._load(i, saved, node, True) for i in range(len(saved))]
            return self._pull_through_twin(g, args, active)
        if isinstance(g, list) and self.twin is None:
            g = _with_zeros(g, node)
        needs = active
        if useful is not None:
            parents = iter(node.parents)
            needs = [is_active and next(parents) in useful for is_active in active]
        known = {self.kept_at: kept, self.needs_at: needs}
        wanted = [
            known[i] if i in known else self._load(i, saved, node, create_graph) for i in self.wants
        ]
        gradients = self.backward(g, *wanted)
        return [
            d if need else None
            for d, need, is_active in zip(gradients, needs, active, strict=True)
            if is_active
        ]

    def _pull_through_twin(self, g: Any, args: list[Any], active: list[bool]) -> list[Any]:
        """The gradients by running the twin on the tape and differentiating that.

        The twin is given stand-ins for the inputs, so that the derivative with respect to one does
        not run on into the history of another.
        """
        assert self.twin is not None
        with enable_grad():
            flat = self.op.flatten(args)
            flat = [
                _stand_in(a) if is_active else a for a, is_active in zip(flat, active, strict=True)
            ]
            outputs = self.twin(*self.op.rebuild(args, flat))
        outputs, g = (outputs, g) if isinstance(g, list) else ([outputs], [g])
        used = [i for i, d in enumerate(g) if d is not None]
        return list(
            tape.grad(
                [outputs[i] for i in used],
                [a for a, is_active in zip(flat, active, strict=True) if is_active],
                [g[i] for i in used],
                create_graph=True,
                allow_unused=True,
            )
        )


def _with_zeros(g: list[Any], node: Node) -> list[Any]:
    xp = array_module(*g)
    return [
        xp.zeros(shape, dtype) if d is None else d
        for d, shape, dtype in zip(g, node.shape, node.dtype, strict=True)
    ]


def _stand_in(x: Any) -> Any:
    """An alias of `x`; where `x` was frozen since it was recorded, one that begins a tape."""
    alias = _alias(x)
    return alias if alias.requires_grad else alias.requires_grad_()


@differentiable(x=lambda g: g)
def _alias(x: Any) -> Any:
    """The same value at a place of its own on the tape."""
    return x[...]
