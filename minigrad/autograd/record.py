"""How an op is declared, and what happens when it is called.

An op is a plain function on arrays, with a rule for each input beside it::

    @differentiable(
        a=lambda g, b: g * b,
        b=lambda g, a: g * a,
    )
    def multiply(a, b):
        return a * b

Called with Tensors, it runs on their arrays, wraps the result, and leaves a node on the tape: see
`run` and `record`. Called with arrays alone, it is just the plain function; the rules
call ops so in an ordinary backward pass. What a rule names after `g` is what the tape keeps.

An op with several outputs, a list of inputs, or a backward pass written by hand for all inputs at
once is declared with the functions of `minigrad.autograd.fused`. Read next: some ops in
`minigrad/ops/arithmetic.py`, then `minigrad.autograd.operands`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from operator import itemgetter
from typing import Any, NoReturn, ParamSpec

import numpy as np

from minigrad.arrays.devices import check_together, gpus, strays
from minigrad.arrays.library import FLOAT32, Array, as_array, bare, is_array
from minigrad.arrays.recording import Number
from minigrad.autograd.modes import modes, notice_call, watchers
from minigrad.autograd.node import Memory, Node, Output, Useful, changed_error
from minigrad.autograd.operands import float_dtype, number, operand, own_copy, with_floats
from minigrad.errors.values import told
from minigrad.errors.words import refuse_keywords
from minigrad.tensor import Tensor, memory_of, wrap

P = ParamSpec("P")
Rule = Callable[..., Any]


def differentiable(
    *wrong: Any, **rules: Rule
) -> Callable[[Callable[P, Array]], Callable[P, Tensor]]:
    """Make a function on arrays a differentiable op, with one rule for each input.

    Parameters
    ----------
    **rules
        for each parameter of the function that is an input, a function that gives the gradient of
        that input. Its first parameter is `g`, the gradient of the output. After it, the rule names
        what it needs: arguments of the op, `out` (the result), or ``NAME_shape``. It is written
        with operators, methods and minigrad's ops, and may give a gradient of a shape to which the
        input broadcasts. The parameters without a rule are options.

    Returns
    -------
    a decorator; the op has the function's name, signature and docstring.

    Raises
    ------
    TypeError
        where the op is declared, if there is no rule, or one is for, or names, something that does
        not exist.
    """
    if wrong or not rules:
        raise TypeError(
            "differentiable: it takes a rule for each input, by its name; write "
            "@differentiable(a=lambda g, b: g * b, b=lambda g, a: g * a)"
        )
    return lambda forward: as_function(RuleOp(forward, rules))


def as_function(op: Op) -> Any:
    """The function that users call: it runs the plain function of `op`, and records the call.

    At heart it is this::

        values = [a._array for a in args]
        result = wrap(forward(*values))
        result._node = Node(plan, parents=[a._node for a in args])
    """

    @wraps(op.forward)
    def apply(*args: Any, **kwargs: Any) -> Any:
        if kwargs or len(args) != op.arity:
            args = op.bind(args, kwargs)
        return run(*op.flattened(args)) if op.nested else run(op, args)

    apply.op, apply.__signature__ = op, op.signature  # type: ignore[attr-defined]
    return apply


def run(op: Op, args: Sequence[Any]) -> Any:
    """Call `op` with all its arguments, by position."""
    values, parents, needs, ready = op.read(args)
    plan = op.plan(needs) if parents and modes.recording else None
    runs_bare = not ready and op.is_bare(args)
    if not ready and not runs_bare:
        args = op.operands(args)  # what becomes a Tensor here is a constant, and no parent
        if plan is not None:
            args = plan.with_copies(args)
        values = [bare(a) for a in args]
    try:
        result, kept = op.on_one_device(values) if gpus else op.call(values)
        if runs_bare:
            return result
        outputs: Any = (
            tuple([_wrapped(x, args) for x in result])
            if type(result) is tuple and op.may_give_several
            else _wrapped(result, args)
        )
    except Exception as error:
        op.fail(error, args)
    if (
        type(outputs) is Tensor
        and outputs._array.dtype is not FLOAT32
        and (floats := op.in_floats(args, outputs._array.dtype))
    ):
        return run(op, floats)
    node = None if plan is None else record(plan, parents, args, kept, outputs)
    if watchers:
        notice_call(op, args, values, outputs, node)
    return outputs


def record(
    plan: Any, parents: list[Node], args: Sequence[Any], kept: Any, outputs: Any
) -> Node | None:
    """Leave a node on the tape for `outputs`, a Tensor or a tuple of Tensors."""
    if type(outputs) is tuple:
        node = Node(plan, parents, [y.shape for y in outputs], [y.dtype for y in outputs])
        for i, y in enumerate(outputs):
            y._node = Output(node, i, y._array)
    else:
        data = outputs._array
        if data.dtype.kind != "f":
            return None
        node = outputs._node = Node(plan, parents, data.shape, data.dtype)
    node.saved, node.memory = plan.save(args, kept, outputs)
    return node


def _is_numeric(x: Any) -> bool:
    """Whether `x` is an array, or what can be made one."""
    return is_array(x) or isinstance(x, int | float | list)


def _wrapped(result: Any, args: Sequence[Any]) -> Tensor:
    """A Tensor around a result; if this is a view of an input, the two share one `Memory`."""
    if type(result) is np.ndarray and result.dtype is FLOAT32:
        data = result
    elif type(result) is np.float32:
        data = np.asarray(result)
    elif _is_numeric(result):
        data = as_array(result)
    else:
        raise TypeError(
            f"the function gave {told(result)}; an op is a function on arrays that gives an array, "
            "or with joint or fused a tuple of arrays"
        )
    tensor = wrap(data)
    base = data if data.base is None else data.base
    for a in args:
        if isinstance(a, Tensor) and (
            a._array is base or a._array is data or a._array.base is base
        ):
            tensor._memory = memory_of(a)
            break
    return tensor


# ------------------------------------------------------------------------------- what an op is


class Op:
    """A declared op: its plain function, and which of its parameters are inputs."""

    nested = False  # whether an input is a list of Tensors
    may_give_several = False  # whether the function may give a tuple of arrays

    def __init__(
        self, forward: Callable[..., Any], inputs: Iterable[str], result: str = "Tensor"
    ) -> None:
        self.forward = forward
        self.name = forward.__name__.strip("_")
        self.signature = inspect.signature(forward).replace(return_annotation=result)
        self.parameters = list(self.signature.parameters)
        self.arity = len(self.parameters)
        self.known = set(self.parameters)
        self.defaults = {
            name: p.default
            for name, p in self.signature.parameters.items()
            if p.default is not p.empty
        }
        for name in inputs:
            if name not in self.parameters:
                raise TypeError(f"{self.name}: a rule for {name!r}, which is no parameter")
        self.inputs = [name in inputs for name in self.parameters]

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """All arguments by position, defaults filled in; TypeError as a call would raise."""
        values = dict(zip(self.parameters, args))  # noqa: B905 (checked by the count below)
        if len(args) <= len(self.parameters) and values.keys().isdisjoint(kwargs):
            values = self.defaults | values | kwargs
            if values.keys() == self.known:
                return tuple([values[name] for name in self.parameters])
        refuse_keywords(self.name, kwargs)
        try:
            self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self.name}{self.signature}: {error}") from None
        raise AssertionError("what bind accepts was accepted above")

    def flattened(self, args: Sequence[Any]) -> tuple[Op, Sequence[Any]]:
        """See `minigrad.autograd.fused`: only an op with lists is flattened."""
        raise NotImplementedError

    def read(self, args: Sequence[Any]) -> tuple[list[Any], list[Node], int, bool]:
        """What a call is about.

        Returns
        -------
        values, parents, needs, ready
            the arguments with arrays in place of the Tensors; the nodes of those Tensors that have
            one; a bit for each of these; and whether there is a Tensor, and beside Tensors nothing
            but `NUMBERS`.
        """
        values, parents, needs, tensors, ready = [], [], 0, False, True
        for i, a in enumerate(args):
            if isinstance(a, Tensor):
                tensors = True
                if a._node is not None:
                    parents.append(a._node)
                    needs |= 1 << i
                a = a._array
            elif type(a) not in NUMBERS:
                ready = False
            values.append(a)
        return values, parents, needs, tensors and ready

    def inputs_of(self, args: Sequence[Any]) -> list[Any]:
        """The inputs among the arguments."""
        return [a for a, is_input in zip(args, self.inputs, strict=True) if is_input]

    def is_bare(self, args: Sequence[Any]) -> bool:
        """Whether the op is called on arrays, without any Tensor."""
        return not any(isinstance(a, Tensor) for a in args) and any(
            map(is_array, self.inputs_of(args))
        )

    def operands(self, args: Sequence[Any]) -> tuple[Any, ...]:
        """The arguments with each input, and each NumPy array, as what it means beside the rest."""
        if not any(isinstance(a, Tensor) for a in args):
            inputs = iter(self.first_tensors(self.inputs_of(args)))
            pairs = zip(args, self.inputs, strict=True)
            args = [next(inputs) if is_input else a for a, is_input in pairs]
        others = [a for a in args if isinstance(a, Tensor) or is_array(a)]
        return tuple(
            operand(number(a), others) if is_input or is_array(a) else a
            for a, is_input in zip(args, self.inputs, strict=True)
        )

    def first_tensors(self, inputs: Sequence[Any]) -> list[Any]:
        """Tensors made of numbers and lists, where there is neither Tensor nor array yet.

        Raises
        ------
        TypeError
            if there are no numbers either, but None alone.
        """
        if inputs and all(a is None for a in inputs):
            raise TypeError(f"{self.name}: expected a Tensor, an array or numbers, got None")
        return [operand(a) for a in inputs]

    def plan(self, needs: int) -> Any:
        """How to walk back, if the arguments whose bits `needs` has need a gradient.

        Raises
        ------
        TypeError
            if one of them is no input: there is no derivative with respect to it.
        """
        raise NotImplementedError

    def call(self, values: Sequence[Any]) -> tuple[Any, Any]:
        """The result of the plain function for arrays, and what its backward needs besides."""
        return self.forward(*values), None

    def on_one_device(self, values: Sequence[Any]) -> tuple[Any, Any]:
        """As `call`; a ValueError if the arrays are on two devices, or the result on another."""
        check_together(self.name, self.parameters, values)
        result, kept = self.call(values)
        outputs = result if type(result) is tuple and self.may_give_several else (result,)
        like = next((x for x in values if is_array(x) and not isinstance(x, np.generic)), None)
        if like is None or self.name == "to_device" or not all(map(_is_numeric, outputs)):
            return result, kept
        if strays(outputs, like):
            raise ValueError(
                f"{self.name}: its arrays are on the GPU, but it gave one on the CPU; an op asks "
                "minigrad.array_module(x) for the library to use"
            )
        return result, kept

    def in_floats(self, args: Sequence[Any], result: Any) -> list[Any] | None:
        """The arguments with floats for integer inputs, if these made the dtype of a `result`.

        Integers take the dtype of the floats beside them, and a function of integers alone gives
        float32. None if there is nothing to convert, or a dtype was given.
        """
        raise NotImplementedError

    def fail(self, error: Exception, args: Sequence[Any]) -> NoReturn:
        """Raise `error` again; the message then shows the op and its arguments."""
        shown = ", ".join(f"{n}: {told(a)}" for n, a in zip(self.parameters, args, strict=False))
        if type(error) not in _REPEATABLE:
            error.add_note(f"in minigrad's {self.name}, called with {shown}")
            raise error
        text = str(error).removeprefix(f"{self.name}: ")
        raise type(error)(f"{self.name}: {text} (called with {shown})") from error

    def refuse(self, name: str) -> NoReturn:
        """Raise the error for a tensor that requires a gradient where there is no derivative."""
        raise TypeError(
            f"{self.name}: {name} is a tensor that requires a gradient, but {self.name} has no "
            f"derivative with respect to it; pass {name}.detach()"
        )


NUMBERS = frozenset({float, int, bool, Number, type(None), str, slice})
"""The types of arguments that need no conversion beside a Tensor."""

_REPEATABLE = (ValueError, TypeError, IndexError, np.exceptions.AxisError)


# ------------------------------------------------------------------- one rule for each input


class RuleOp(Op):
    """An op of `differentiable`."""

    def __init__(self, forward: Callable[..., Any], rules: dict[str, Rule]) -> None:
        super().__init__(forward, rules)
        self.rules = rules
        self.plans: dict[int, RulePlan] = {}
        self.plan(sum(1 << i for i, is_input in enumerate(self.inputs) if is_input))  # or raises

    def plan(self, needs: int) -> RulePlan:
        if needs not in self.plans:
            active = [p for i, p in enumerate(self.parameters) if needs >> i & 1]
            for name in active:
                if name not in self.rules:
                    self.refuse(name)
            self.plans[needs] = RulePlan(self, active)
        return self.plans[needs]

    def in_floats(self, args: Sequence[Any], result: Any) -> list[Any] | None:
        arrays = [x for x in self.inputs_of(args) if hasattr(x, "dtype")]
        if result.kind != "f" or all(x.dtype.kind == "f" for x in arrays):
            return None
        target = float_dtype([x.dtype for x in arrays])
        known = dict(zip(self.parameters, args, strict=True))
        if result == target or known.get("dtype"):
            return None
        return [
            with_floats(a, target) if is_input else a
            for a, is_input in zip(args, self.inputs, strict=True)
        ]


class RulePlan:
    """What to save and which rules to run, for one choice of inputs that need a gradient."""

    def __init__(self, op: RuleOp, active: list[str]) -> None:
        self.name, self.active = op.name, active
        wants = {p: names_wanted(op.rules[p], op) for p in active}
        names = list(dict.fromkeys(name for want in wants.values() for name in want))
        self.names = names
        known = ["out", *op.parameters]  # first, since NumPy has an option of that name
        self.shapes = []  # the positions of the arguments whose shapes are saved
        for name in names:
            if name not in known:
                base = name.removesuffix("_shape")
                if base == name or base not in op.parameters:
                    raise TypeError(f"{op.name}: a rule names {name!r}, which is no parameter")
                self.shapes.append(op.parameters.index(base))
                known.append(name)
        self.pick = _picker([known.index(name) for name in names])
        self.out_at = names.index("out") if "out" in names else None
        self.saved = {i for i, p in enumerate(op.parameters) if p in names}
        self.rules = [(op.rules[p], _picker([names.index(n) for n in wants[p]])) for p in active]

    def with_copies(self, args: Sequence[Any]) -> list[Any]:
        """`args` with copies of the plain arrays that the tape is to keep."""
        return [own_copy(a) if i in self.saved else a for i, a in enumerate(args)]

    def save(self, args: Sequence[Any], kept: Any, output: Tensor) -> tuple[Any, Memory | None]:
        """What to save in the node, and the memory to watch."""
        known = (output._array, *args)
        if self.shapes:
            known += tuple([args[i].shape for i in self.shapes])
        return self.pick(known), None if self.out_at is None else memory_of(output)

    def backward(self, g: Any, node: Node, useful: Useful, create_graph: bool) -> list[Any]:
        """See `minigrad.autograd.node.Plan`."""
        saved = load(node.saved, node, create_graph) if node.saved else []
        if self.out_at is not None:
            if node.memory.changed > node.stamp:  # type: ignore[union-attr]
                raise changed_error(node, "its own result")
            if create_graph:
                saved[self.out_at] = wrap(saved[self.out_at], node)
        gradients = []
        for parent, (rule, pick) in zip(node.parents, self.rules):  # noqa: B905 (costs time)
            gradients.append(rule(g, *pick(saved)) if useful is None or parent in useful else None)
        return gradients


def names_wanted(rule: Rule, op: Op) -> list[str]:
    """The parameters of a rule after `g`.

    Raises
    ------
    TypeError
        if the first is an argument of the op: then `g` was forgotten.
    """
    # inspect.signature would take a third of the time of `import minigrad`
    names = rule.__code__.co_varnames[: rule.__code__.co_argcount]
    first = names[0] if names else ""
    if first != "g" and first.removesuffix("_shape") in ("", "out", *op.parameters):
        raise TypeError(
            f"{op.name}: a rule's first parameter is g, the gradient of the result; this one has "
            f"({', '.join(names)}); write ({', '.join(['g', *names])})"
        )
    return list(names[1:])


def _picker(positions: list[int]) -> Callable[[Any], Sequence[Any]]:
    """A function that takes the items at `positions` out of a sequence; each op calls one."""
    if len(positions) > 1:
        return itemgetter(*positions)
    start = positions[0] if positions else 0  # one position or none: a slice also gives a sequence
    return itemgetter(slice(start, start + len(positions)))


def load(saved: Iterable[Any], node: Node, create_graph: bool) -> list[Any]:
    """The saved values for a rule: arrays, or Tensors under `create_graph`.

    Raises
    ------
    TapeError
        if one was changed in place since the op was recorded.
    """
    loaded = []
    for value in saved:
        if isinstance(value, Tensor):
            if value._memory is not None and value._memory.changed > node.stamp:
                raise changed_error(node, f"a tensor of shape {value.shape}")
            if not create_graph:
                value = value._array
        loaded.append(value)
    return loaded
