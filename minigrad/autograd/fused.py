"""Ops whose backward pass is one function for all inputs: `joint` and `fused`.

Their forward returns two things: the result (a tuple if there are several outputs), and what their
backward needs besides::

    def composed_softplus(x):
        return log(1 + exp(x))

    def softplus_backward(g, kept, x):
        return [g * where(x > 0, 1, kept) / (1 + kept)]

    @fused(twin=composed_softplus, backward=softplus_backward, inputs=["x"])
    def softplus(x):
        xp = array_module(x)
        tail = xp.exp(-xp.abs(x))
        return xp.maximum(x, 0) + xp.log1p(tail), tail

`backward` is called with `g`, the gradient of the output (a list if there are several outputs), and
what it names after `g`: arguments of the op, `kept` (the second thing that the forward returned),
and `needs` (a list that says for each input whether its gradient is needed). It returns a list with
a gradient, or None, for each input. Where an input is a list, each of its items counts as an input.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Literal, Protocol, overload

from minigrad.arrays.devices import beside
from minigrad.arrays.library import FLOAT32, Array, array_module, as_array, is_array
from minigrad.autograd import tape
from minigrad.autograd.modes import enable_grad
from minigrad.autograd.node import Memory, Node, Useful, changed_error
from minigrad.autograd.operands import float_dtype, number, operand, own_copy, with_floats
from minigrad.autograd.record import Op, P, Rule, as_function, differentiable, load, names_wanted
from minigrad.tensor import Tensor, wrap


class One(Protocol):
    """The type of a decorator for a function that returns an array, and what its backward needs."""

    def __call__(self, forward: Callable[P, tuple[Array, Any]]) -> Callable[P, Tensor]: ...


class Several(Protocol):
    """The same for a function with several arrays as its result."""

    def __call__(
        self, forward: Callable[P, tuple[tuple[Array, ...], Any]]
    ) -> Callable[P, tuple[Tensor, ...]]: ...


@overload
def joint(*, backward: Rule, inputs: Sequence[str]) -> One: ...
@overload
def joint(*, backward: Rule, inputs: Sequence[str], several: Literal[True]) -> Several: ...
def joint(*, backward: Rule, inputs: Sequence[str], several: bool = False) -> Any:
    """Declare an op that has several outputs or a list of inputs, with one backward for all inputs.

    Parameters
    ----------
    backward
        gives a list of gradients: see `minigrad.autograd.fused`. It is written with minigrad's ops,
        so it serves every order of derivative. It gets zeros for an output that nobody used.
    inputs
        the names of the parameters that are inputs; the others are options.
    several
        tells type checkers, and the op's signature, that the result is a tuple.
    """
    return lambda forward: as_function(JointOp(forward, inputs, backward, None, (), several))


@overload
def fused(
    *,
    twin: Callable[..., Any],
    backward: Rule,
    inputs: Sequence[str],
    kept_outputs: Sequence[int] | None = None,
) -> One: ...
@overload
def fused(
    *,
    twin: Callable[..., Any],
    backward: Rule,
    inputs: Sequence[str],
    kept_outputs: Sequence[int] | None = None,
    several: Literal[True],
) -> Several: ...
def fused(
    *,
    twin: Callable[..., Any],
    backward: Rule,
    inputs: Sequence[str],
    kept_outputs: Sequence[int] | None = None,
    several: bool = False,
) -> Any:
    """Declare an op with a backward pass written by hand, on arrays, for all inputs at once.

    Parameters
    ----------
    twin
        the same function, with the same parameters, composed of plain ops. It is the oracle of the
        op's tests, and is differentiated in place of the op under ``create_graph=True``.
    backward
        gives a list of gradients: see `minigrad.autograd.fused`. It gets None for an output that
        nobody used.
    kept_outputs
        the numbers of the outputs that are part of `kept`, or share memory with it; None: all. To
        change one of them in place before the backward pass is an error.
    inputs, several
        as in `joint`.
    """

    def decorate(forward: Callable[..., Any]) -> Any:
        op = as_function(JointOp(forward, inputs, backward, twin, kept_outputs, several))
        op.twin = twin
        return op

    return decorate


class JointOp(Op):
    """An op of `joint` or `fused`.

    The inputs that are annotated as ``Sequence`` are lists. For each choice of their lengths there
    is a `FlatOp`, whose inputs are the items of the lists, one by one.
    """

    may_give_several = True

    def __init__(
        self,
        forward: Callable[..., Any],
        inputs: Sequence[str],
        backward: Rule,
        twin: Callable[..., Any] | None,
        kept_outputs: Sequence[int] | None,
        several: bool,
    ) -> None:
        super().__init__(forward, inputs, "tuple[Tensor, ...]" if several else "Tensor")
        self.backward, self.twin, self.kept_outputs = backward, twin, kept_outputs
        self.numbers = True  # whether an input may stay a Python number
        self.lists = [
            str(p.annotation).startswith("Sequence") and is_input
            for p, is_input in zip(self.signature.parameters.values(), self.inputs, strict=True)
        ]
        self.nested = any(self.lists)
        known = [*self.parameters, "kept", "needs"]
        names = names_wanted(backward, self)
        for name in names:
            if name not in known:
                raise TypeError(f"{self.name}: backward names {name!r}, which is no parameter")
        self.wants = [known.index(name) for name in names]
        self.wanted = [i in self.wants for i in range(self.arity)]
        self.saves = [twin is not None or wanted for wanted in self.wanted]

    def flattened(self, args: Sequence[Any]) -> tuple[Op, Sequence[Any]]:
        """The op whose inputs are the items of the lists in `args`, and its arguments."""
        items = [list(a) if is_list else [a] for a, is_list in zip(args, self.lists, strict=True)]
        return flat_op(self, tuple(map(len, items))), [a for part in items for a in part]

    def grouped(self, args: Sequence[Any]) -> Sequence[Any]:
        """The arguments of the plain function: the reverse of `flattened`."""
        return args

    def read(self, args: Sequence[Any]) -> tuple[list[Any], list[Node], int, bool]:
        values, parents, needs, ready = super().read(args)
        for x in self.inputs_of(values) if ready else ():
            if x is not None and (not is_array(x) or x.dtype is not FLOAT32):
                ready = False
        return values, parents, needs, ready

    def is_bare(self, args: Sequence[Any]) -> bool:
        inputs = self.inputs_of(args)  # an option that is a Tensor does not count
        return any(map(is_array, inputs)) and not any(isinstance(a, Tensor) for a in inputs)

    def operands(self, args: Sequence[Any]) -> tuple[Any, ...]:
        inputs = self.inputs_of(args)
        if not any(isinstance(a, Tensor) for a in inputs):
            inputs = self.first_tensors(inputs)
        others = [a for a in inputs if isinstance(a, Tensor) or is_array(a)]
        inputs = [operand(number(a), others) for a in inputs]
        dtypes = [a.dtype for a in inputs if hasattr(a, "dtype")]
        if any(dtype.kind == "f" for dtype in dtypes):  # integers take the dtype of the floats
            target = float_dtype(dtypes)
            if not self.numbers:
                inputs = [self._with_shape(a, target, others) for a in inputs]
            inputs = [with_floats(a, target) for a in inputs]
        rest = iter(inputs)
        return tuple(
            next(rest) if is_input else a for a, is_input in zip(args, self.inputs, strict=True)
        )

    def _with_shape(self, a: Any, dtype: Any, others: list[Any]) -> Any:
        """A number as an array without axes."""
        return wrap(beside(as_array(a, dtype), others[0])) if isinstance(a, int | float) else a

    def call(self, values: Sequence[Any]) -> tuple[Any, Any]:
        result, kept = self.forward(*self.grouped(values))
        return result, kept

    def in_floats(self, args: Sequence[Any], result: Any) -> list[Any] | None:
        return None  # `operands` has done it

    def plan(self, needs: int) -> JointPlan:
        active = []
        for i, is_input in enumerate(self.inputs):
            if is_input:
                active.append(needs >> i & 1 == 1)
            elif needs >> i & 1:
                self.refuse(self.parameters[i])
        return JointPlan(self, active)


class FlatOp(JointOp):
    """An op with lists as inputs, for lists of these `lengths` (1 for an argument that is none)."""

    nested = False

    def __init__(self, op: JointOp, lengths: tuple[int, ...]) -> None:
        self.forward, self.name, self.whole, self.lengths = op.forward, op.name, op, lengths
        self.backward, self.twin, self.kept_outputs = op.backward, op.twin, op.kept_outputs
        self.numbers, self.wants = False, op.wants
        self.parameters, self.inputs, self.wanted, self.saves = [], [], [], []
        for i, name in enumerate(op.parameters):
            names = [f"{name}[{k}]" for k in range(lengths[i])] if op.lists[i] else [name]
            self.parameters += names
            self.inputs += [op.inputs[i]] * len(names)
            self.wanted += [op.wanted[i]] * len(names)
            self.saves += [op.saves[i]] * len(names)

    def grouped(self, args: Sequence[Any]) -> Sequence[Any]:
        rest = iter(args)
        return [
            [next(rest) for _ in range(n)] if is_list else next(rest)
            for n, is_list in zip(self.lengths, self.whole.lists, strict=True)
        ]

    def fail(self, error: Exception, args: Sequence[Any]) -> Any:
        self.whole.fail(error, self.grouped(args))


flat_op = lru_cache(maxsize=64)(FlatOp)
"""Not kept by the op itself: an op and what it keeps would make a cycle."""


class JointPlan:
    """What to save, and how to get the gradients of all inputs at once."""

    def __init__(self, op: JointOp, active: list[bool]) -> None:
        self.name, self.op, self.twin, self.active = op.name, op, op.twin, active

    def with_copies(self, args: Sequence[Any]) -> list[Any]:
        """`args` with copies of the plain arrays that the tape may keep."""
        op = self.op
        return [
            own_copy(a) if is_input or keep else a
            for a, is_input, keep in zip(args, op.inputs, op.saves, strict=True)
        ]

    def save(self, args: Sequence[Any], kept: Any, outputs: Any) -> tuple[Any, Memory | None]:
        """What to save in the node, and the memory to watch."""
        op = self.op
        saved = [a if keep else None for a, keep in zip(args, op.saves, strict=True)]
        if op.kept_outputs == ():
            return (saved, kept), None
        memory, outputs = Memory(), outputs if type(outputs) is tuple else (outputs,)
        for i in range(len(outputs)) if op.kept_outputs is None else op.kept_outputs:
            outputs[i]._memory = outputs[i]._memory or memory
        return (saved, kept), memory

    def backward(self, g: Any, node: Node, useful: Useful, create_graph: bool) -> list[Any]:
        """See `minigrad.autograd.node.Plan`."""
        op, (saved, kept) = self.op, node.saved
        if node.memory is not None and node.memory.changed > node.stamp:
            raise changed_error(node, "its own result")
        if create_graph and self.twin is not None:
            return self._backward_of_twin(g, load(saved, node, True))
        if isinstance(g, list) and self.twin is None:
            g = _with_zeros(g, node)
        parents = iter(node.parents)
        needs = [a and (useful is None or next(parents) in useful) for a in self.active]
        wanted = [a if want else None for a, want in zip(saved, op.wanted, strict=True)]
        known = [*op.grouped(load(wanted, node, create_graph)), kept, needs]
        gradients = op.backward(g, *[known[i] for i in op.wants])
        return [
            d if need else None
            for d, need, is_active in zip(gradients, needs, self.active, strict=True)
            if is_active
        ]

    def _backward_of_twin(self, g: Any, args: list[Any]) -> list[Any]:
        """The gradients that come from running the twin on the tape and differentiating it.

        The twin gets stand-ins for the inputs, so the walk ends at them and does not go on to what
        they were computed from.
        """
        assert self.twin is not None
        active, stand_ins = iter(self.active), []
        for i, is_input in enumerate(self.op.inputs):
            if is_input and next(active):
                args[i] = _stand_in(args[i])
                stand_ins.append(args[i])
        with enable_grad():
            outputs = self.twin(*self.op.grouped(args))
        outputs, g = (outputs, g) if isinstance(g, list) else ([outputs], [g])
        used = [i for i, d in enumerate(g) if d is not None]
        return list(
            tape.grad(
                [outputs[i] for i in used],
                stand_ins,
                [g[i] for i in used],
                create_graph=True,
                allow_unused=True,
            )
        )


def _with_zeros(g: list[Any], node: Node) -> list[Any]:
    """The gradients of all outputs, zeros for those that nobody used."""
    xp = array_module(*g)
    return [
        xp.zeros(shape, dtype) if d is None else d
        for d, shape, dtype in zip(g, node.shape, node.dtype, strict=True)
    ]


def _stand_in(x: Any) -> Any:
    """An alias of `x` that requires a gradient, also if `x` no longer does."""
    with enable_grad():
        alias = _alias(x)
    return alias if alias.requires_grad else alias.requires_grad_()


@differentiable(x=lambda g: g)
def _alias(x: Any) -> Any:
    """The same value with a node of its own."""
    return x[...]
