"""How an op is declared, and what happens when it is called.

An op is a plain function on arrays, with a rule for each input beside it::

    @differentiable(
        a=lambda g, b: g * b,
        b=lambda g, a: g * a,
    )
    def multiply(a, b):
        return a * b

Called with Tensors, it runs on their arrays, wraps the result, and leaves a node on the tape.
Called with arrays alone, as the rules themselves call it on the first-order walk, it runs bare.
What a rule names is what the tape keeps: `g` is the gradient of the output, and after it come, by
name, any argument of the op, `out`, or ``NAME_shape`` where only the shape of an input is needed.

Ops with several outputs, with lists of inputs, or with a backward pass written by hand for all
inputs at once are declared with what `minigrad.autograd.fused` has.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from operator import itemgetter
from typing import Any, NoReturn, TypeVar

import numpy as np

from minigrad.arrays.devices import beside, cast, gpus, own_copy, place, run
from minigrad.arrays.library import FLOAT32, as_array, is_array
from minigrad.autograd import anomaly, tape
from minigrad.autograd.modes import modes, watchers
from minigrad.autograd.tape import (
    Node,
    Useful,
    Variable,
    changed_error,
    memory_of,
    next_stamp,
    wrap,
)
from minigrad.errors.words import refuse_keywords

F = TypeVar("F", bound=Callable[..., Any])
Rule = Callable[..., Any]


def differentiable(**rules: Rule) -> Callable[[F], F]:
    """Make a function on arrays a differentiable op, with one rule for each input.

    Parameters
    ----------
    **rules
        for each parameter of the function that is an input, a function that gives the gradient of
        that input from `g`, the gradient of the output, and whatever it names after `g`: arguments
        of the op, `out` (the result), or ``NAME_shape``. It is written with operators, methods and
        minigrad's ops, and may give a gradient that the input broadcasts to. The parameters
        without a rule are options.

    Returns
    -------
    a decorator; the op has the function's name, signature and docstring.

    Raises
    ------
    TypeError
        where the op is declared, if a rule is for, or names, something that does not exist.
    """

    def decorate(forward: F) -> F:
        op = Op(forward, rules)
        every_input = sum(op.bits)
        plans = {every_input: RulePlan(op, rules, every_input)}
        arity, bits = len(op.parameters), op.bits
        new, scalar, asarray = object.__new__, np.generic, np.asarray
        array_types = (np.ndarray, np.generic)

        @wraps(forward)
        def apply(*args: Any, **kwargs: Any) -> Any:
            if kwargs or len(args) != arity:
                args = op.bind(args, kwargs)
            values = list(args)
            parents = []
            mask = i = 0
            tensors = others = tuples = False
            arrays: Any = False
            for a in args:
                if isinstance(a, Variable):
                    tensors = True
                    values[i] = a._data
                    node = a._node
                    if node is not None:
                        mask |= bits[i] or op.refuse(i)
                        parents.append(node)
                elif type(a) is tuple and not bits[i]:
                    tuples = True
                elif type(a) not in NUMBERS:
                    others = True
                    arrays = arrays or (bits[i] and isinstance(a, array_types))
                i += 1  # noqa: SIM113 (enumerate is slower, and every op passes here)
            if not tensors and not arrays:
                return op.without_tensors(apply, args)
            if others and tensors:
                args = op.plain(args)
                values = [getattr(a, "_data", a) for a in args]
            plan = None
            if mask and modes.recording:
                plan = plans.get(mask)
                if plan is None:
                    plan = plans[mask] = RulePlan(op, rules, mask)
                if others or (tuples and plan.keeps_options):
                    args = plan.own_arrays(args, values)
            try:
                out = run(op.name, op.parameters, forward, values) if gpus else forward(*values)
            except Exception as error:
                op.fail(error, args)
            if not tensors:
                return out
            dtype = out.dtype
            if dtype is not FLOAT32 and (floats := op.in_floats(args, dtype)) is not None:
                return apply(*floats)
            # This is `wrap` and the making of a Node, written out, since every op passes here.
            tensor: Any = new(tape.variable_class)
            tensor._data = data = asarray(out) if isinstance(out, scalar) else out
            tensor._node = tensor._memory = tensor.grad = None
            if data.base is not None or data is values[0] or data is values[-1]:
                share_memory(tensor, args)
            if plan is not None and dtype.kind == "f":
                node = tensor._node = new(Node)
                node.stamp = next_stamp()
                node.plan = plan
                node.parents = parents
                known = (data, *args)
                if plan.shapes:
                    known += tuple(values[i].shape for i in plan.shapes)
                node.saved = plan.pick(known) if plan.pick else ()
                node.shape = data.shape
                node.dtype = dtype
                node.hooks = None
                node.memory = None if plan.out_at is None else memory_of(tensor)
            if watchers and modes.anomaly:
                anomaly.check_forward(op.name, values, [data], tensor._node)
            return tensor

        apply.op = op  # type: ignore[attr-defined]
        return apply  # type: ignore[return-value]

    return decorate


class RulePlan:
    """What to keep and which rules to run, for one choice of inputs that need a gradient."""

    def __init__(self, op: Op, rules: dict[str, Rule], mask: int) -> None:
        self.name = op.name
        active = [p for p, bit in zip(op.parameters, op.bits, strict=True) if bit & mask]
        wants = {p: names_wanted(rules[p], op) for p in active}
        names = list(dict.fromkeys(name for want in wants.values() for name in want))
        known = ["out", *op.parameters]  # first, since NumPy has an option of that name
        self.shapes = []  # the positions of the arguments whose shapes are to be kept
        for name in names:
            if name not in known:
                base = name.removesuffix("_shape")
                if base == name or base not in op.parameters:
                    raise TypeError(f"{op.name}: a rule names {name!r}, which is no parameter")
                self.shapes.append(op.parameters.index(base))
                known.append(name)
        self.pick = _picker([known.index(name) for name in names]) if names else None
        self.out_at = names.index("out") if "out" in names else None
        self.kept = [i for i, p in enumerate(op.parameters) if p in names]
        self.keeps_options = not all(op.inputs[i] for i in self.kept)
        self.rules = [(rules[p], _picker([names.index(n) for n in wants[p]])) for p in active]

    def own_arrays(self, args: tuple[Any, ...], values: list[Any]) -> tuple[Any, ...]:
        """`args`, and `values`, with copies of the plain arrays that the tape is to keep."""
        owned = list(args)
        for i in self.kept:
            if not isinstance(owned[i], Variable):
                owned[i] = values[i] = own(owned[i])
        return tuple(owned)

    def pull(self, g: Any, node: Node, useful: Useful, create_graph: bool) -> list[Any]:
        """See `minigrad.autograd.tape.Plan`."""
        saved = load(node.saved, node, create_graph) if self.pick else []
        if self.out_at is not None:
            if node.memory.changed > node.stamp:  # type: ignore[union-attr]
                raise changed_error(node, "its own result")
            if create_graph:
                saved[self.out_at] = wrap(saved[self.out_at], node)
        gradients = []
        for parent, (rule, pick) in zip(node.parents, self.rules):  # noqa: B905
            gradients.append(rule(g, *pick(saved)) if useful is None or parent in useful else None)
        return gradients


def names_wanted(rule: Rule, op: Op) -> list[str]:
    """The parameters of a rule after `g` (`inspect.signature` would be a third of the import).

    Raises
    ------
    TypeError
        if it begins with an argument of the op: it has forgotten `g`.
    """
    names = rule.__code__.co_varnames[: rule.__code__.co_argcount]
    first = names[0] if names else ""
    if first != "g" and first.removesuffix("_shape") in ("", "out", *op.parameters):
        raise TypeError(
            f"{op.name}: a rule's first parameter is g, the gradient of the result; this one has "
            f"({', '.join(names)}); write ({', '.join(['g', *names])})"
        )
    return list(names[1:])


def _picker(positions: list[int]) -> Callable[[Any], Sequence[Any]]:
    """A fast function that takes the items at `positions` out of a sequence."""
    if len(positions) > 1:
        return itemgetter(*positions)
    start = positions[0] if positions else 0
    return itemgetter(slice(start, start + len(positions)))


def load(saved: Iterable[Any], node: Node, create_graph: bool) -> list[Any]:
    """Saved values for a rule: arrays, or Tensors under `create_graph`; unchanged since then."""
    loaded = []
    for value in saved:
        if isinstance(value, Variable):
            memory = value._memory
            if memory is not None and memory.changed > node.stamp:
                raise changed_error(node, f"a tensor of shape {value._data.shape}")
            if not create_graph:
                value = value._data
        loaded.append(value)
    return loaded


def own(value: Any) -> Any:
    """A copy of a plain array, or of those in a list or tuple; whatever else is not copied.

    Who hands in an array may fill it anew before the walk back, and it has no clock that would
    tell. So what the tape keeps of it is a copy of its own.
    """
    if isinstance(value, Variable):
        return value
    if type(value) in (list, tuple):
        return type(value)([own(item) for item in value])
    if is_array(value):
        return own_copy(value)
    return np.array(value) if hasattr(value, "__array__") else value


def share_memory(tensor: Variable, args: Iterable[Any]) -> None:
    """Let a result that is a view of an input be known as such: one memory, one clock."""
    data = tensor._data
    for a in args:
        if isinstance(a, Variable):
            base = a._data.base
            if data is a._data or data.base is a._data or (base is not None and data.base is base):
                tensor._memory = memory_of(a)
                return


NUMBERS = frozenset({float, int, bool, type(None), str, slice})
"""The types of arguments that mean the same beside a Tensor as anywhere else."""

_REPEATABLE = (ValueError, TypeError, IndexError, np.exceptions.AxisError)


class Op:
    """What is known of an op, and the paths of its calls that are not the common ones."""

    def __init__(self, forward: Callable[..., Any], inputs: Iterable[str]) -> None:
        self.forward = forward
        self.name = forward.__name__.strip("_")
        self.signature = inspect.signature(forward)
        self.parameters = list(self.signature.parameters)
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
        self.bits = [1 << i if is_input else 0 for i, is_input in enumerate(self.inputs)]

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

    def plain(self, args: Sequence[Any]) -> tuple[Any, ...]:
        """The arguments with NumPy scalars and lists made what they mean beside a Tensor.

        A NumPy scalar, or a NumPy array without dimensions, is a number and does not decide the
        dtype, just as a Python number does not; a list among the inputs is a float32 array.
        """
        return tuple(
            plain(a, args)
            if is_input or (is_array(a) and a.ndim == 0) or isinstance(a, np.ndarray)
            else a
            for a, is_input in zip(args, self.inputs, strict=True)
        )

    def without_tensors(self, apply: Callable[..., Any], args: Sequence[Any]) -> Any:
        """The op on numbers and lists, which are made Tensors (or on a GPU's arrays: bare)."""
        inputs = [a for a, is_input in zip(args, self.inputs, strict=True) if is_input]
        if any(map(is_array, inputs)):
            return self.forward(*args)
        tensors = (
            wrap(place(a)) if is_input and a is not None else a
            for a, is_input in zip(args, self.inputs, strict=True)
        )
        return apply(*tensors)

    def in_floats(self, args: Sequence[Any], result: Any) -> list[Any] | None:
        """The arguments with integer inputs made floats, if they decided on a floating `result`.

        Integers take the dtype of the floats beside them, and a function of integers alone gives
        float32. None if there is nothing to convert, or a dtype was asked for.
        """
        if result.kind != "f" or dict(zip(self.parameters, args, strict=True)).get("dtype"):
            return None
        arrays: list[Any] = [
            getattr(a, "_data", a) if is_input else None
            for a, is_input in zip(args, self.inputs, strict=True)
        ]
        dtypes = [x.dtype for x in arrays if hasattr(x, "dtype")]
        target = float_dtype(dtypes)
        if all(dtype.kind == "f" for dtype in dtypes) or result == target:
            return None
        return [
            wrap(cast(x, target)) if hasattr(x, "dtype") and x.dtype.kind in "iub" else a
            for x, a in zip(arrays, args, strict=True)
        ]

    def fail(self, error: Exception, args: Sequence[Any]) -> NoReturn:
        """Raise `error` again with the op, and what it was called with, in its message."""
        told = [f"{name}: {_told(a)}" for name, a in zip(self.parameters, args, strict=True)]
        if type(error) not in _REPEATABLE:
            error.add_note(f"in minigrad's {self.name}, called with {', '.join(told)}")
            raise error
        text = str(error).removeprefix(f"{self.name}: ")
        raise type(error)(f"{self.name}: {text} (called with {', '.join(told)})") from error

    def refuse(self, i: int) -> NoReturn:
        """Raise the error for a tensor that requires a gradient where there is no derivative."""
        name = self.parameters[i]
        raise TypeError(
            f"{self.name}: {name} is a tensor that requires a gradient, but {self.name} has no "
            f"derivative with respect to it; pass {name}.detach()"
        )


def plain(a: Any, args: Sequence[Any]) -> Any:
    """A number, list or array as what it means beside the Tensors in `args`; see `Op.plain`."""
    if isinstance(a, Variable | None) or type(a) in (int, float, bool):
        return a
    if isinstance(a, int | float) and not isinstance(a, np.generic):  # of a class of its own
        return float(a) if isinstance(a, float) else int(a)
    if (type(a) is np.ndarray or isinstance(a, np.generic)) and a.ndim == 0:
        return a.item() if a.dtype.kind in "fiub" else as_array(a)
    return beside(a, args)


def operand(x: Any) -> Any:
    """`x` itself if it is a Tensor or an array, else a Tensor made of it."""
    return x if isinstance(x, Variable) or is_array(x) else wrap(place(x))


def float_dtype(dtypes: Iterable[Any]) -> Any:
    """The dtype that the floats among `dtypes` make together; float32 if there are none."""
    return np.result_type(*[dtype for dtype in dtypes if dtype.kind == "f"] or [FLOAT32])


def _told(a: Any) -> str:
    """An argument as an error message shows it."""
    if isinstance(a, list | tuple) and any(hasattr(item, "shape") for item in a):
        return f"[{', '.join(map(_told, a[:4]))}{', ...' if len(a) > 4 else ''}]"
    return f"{a.dtype} {a.shape}" if hasattr(a, "shape") else f"{a!r:.60}"
