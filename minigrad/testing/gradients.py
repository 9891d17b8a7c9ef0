"""Checks of the derivatives of any function, and of how its rules behave.

`minigrad.testing.differences` compares the numbers. Here are the checks for what else may be wrong
in a rule: it is not linear in the gradient that comes in; it changes its arguments, or what was
kept for it; it depends on how an array lies in memory; it is right only if all outputs are used, if
other inputs are variables too, or if nobody asks for a second derivative.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from minigrad.arrays.library import array_module, bare
from minigrad.autograd.modes import enable_grad, no_grad
from minigrad.autograd.tape import grad
from minigrad.creation import tensor
from minigrad.tensor import Tensor
from minigrad.testing.causes import not_linear
from minigrad.testing.differences import Claim, GradientError, Limits, Slopes, compare
from minigrad.testing.outputs import flatten
from minigrad.testing.twins import check_twins

Array = np.ndarray[Any, Any]

OTHERWISE = -1.7
"""The second set of weights is the first times this: a negative number, and no power of two."""
LARGE = 1000.0
"""The third set is the first times this for every second element, and 0 for the others."""
NOT_CONTIGUOUS = "for arrays that are not contiguous in memory"


class _Function(NamedTuple):
    """The function that is checked, and its name and its arguments' names in messages."""

    call: Callable[..., Any]
    name: str
    arguments: Sequence[str]

    def about(self, i: int) -> str:
        return f"{self.name}: argument {self.arguments[i]}"


def check_gradients(
    f: Callable[..., Any],
    *inputs: Any,
    order: int = 1,
    rng: np.random.Generator | None = None,
    step: float | None = None,
    rtol: float = 1e-6,
    atol: float = 1e-9,
) -> None:
    """Raise a GradientError unless the derivatives of `f` agree with finite differences.

    Parameters
    ----------
    f
        a function of Tensors that returns a Tensor, or a tuple or list of them, perhaps nested.
        None and integer tensors among them are left out. It must be deterministic.
    *inputs
        its arguments. Floating Tensors, arrays and Python floats are checked, as float64 copies on
        their own device. All others (integers, bools, None, strings) are passed on as they are.
    order
        1: first derivatives; 2: also the derivatives of these (with respect to the inputs and to
        the gradient that comes in), as ``create_graph=True`` gives them.
    rng
        the generator for the weights of the outputs, and for the directions in arguments of more
        than 100 elements; None: always the same numbers.
    step
        how far to go from each number for the difference; None: a step that fits the number, and
        other steps before an error is raised.
    rtol, atol
        a derivative `a` may differ from the difference `n` by ``rtol * max(|a|, |n|) + atol``.
        So derivatives below `atol` are not checked.

    Raises
    ------
    GradientError
        if a derivative is wrong. The message has `f`, the argument, the index of the worst element,
        both values, and the likely cause if there is one: a flipped sign, a constant factor,
        transposed, zero, a missing sum over a broadcast axis, or a kink at that number. Also if the
        derivative is not linear in the gradient that comes in; if it is different on a second walk,
        for one argument or one output alone, for arrays that are not contiguous, or under
        ``create_graph=True``; if the twin of a fused op is not the same function; if `f` changes an
        input, is not deterministic, loses precision to a smaller dtype, or has nothing to check.
    TypeError
        if arrays are in a list; pass them one by one.
    """
    if order not in (1, 2):
        raise ValueError(f"check_gradients: order must be 1 or 2, not {order}")
    if step is not None and not 0 < step < np.inf:
        raise ValueError(f"check_gradients: step must be a positive number or None, not {step}")
    for option, number in {"rtol": rtol, "atol": atol}.items():
        if not 0 <= number < np.inf:
            raise ValueError(f"check_gradients: {option} must be 0 or positive, not {number}")
    rng, limits = np.random.default_rng(0) if rng is None else rng, Limits(rtol, atol, step)
    name = getattr(f, "__name__", type(f).__name__)
    function = _Function(f, name, _argument_names(f, len(inputs)))
    args = [_as_checked(x, function.about(i)) for i, x in enumerate(inputs)]
    if not any(map(_is_checked, args)):
        raise GradientError(f"{name}: nothing to check: no argument is a float or floating array")
    _check_first(function, args, rng, limits)
    _check_alone(function, args, rng)
    outputs = flatten(f(*args))
    check_twins(outputs, name, rng)
    if order == 2:
        seeds = [
            tensor(w, device=y.device, requires_grad=True)
            for y, w in zip(outputs, _weights(outputs, rng), strict=True)
        ]
        derivative = _derivative(f, len(args))
        _check_recorded(function, derivative, args, outputs, seeds)
        names = [*function.arguments, *["the incoming gradient"] * len(seeds)]
        again = _Function(derivative, f"the derivative of {name}", names)
        _check_first(again, [*args, *seeds], rng, limits)


def _as_checked(x: Any, what: str) -> Any:
    if isinstance(x, list | tuple) and any(_as_checked(item, what) is not item for item in x):
        raise TypeError(f"{what} is a {type(x).__name__} with arrays in it; pass them one by one")
    if isinstance(x, bool | int | str | None):
        return x
    data = bare(x)
    if isinstance(data, float) or getattr(data, "dtype", np.dtype(int)).kind == "f":
        return tensor(data, dtype=np.float64, requires_grad=True)
    return x


def _is_checked(x: Any) -> bool:
    return isinstance(x, Tensor) and x._node is not None


def _argument_names(f: Callable[..., Any], count: int) -> list[str]:
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    named = [repr(p.name) for p in parameters if p.kind is not p.VAR_POSITIONAL][:count]
    return named + [f"number {i}" for i in range(len(named), count)]


def _weights(outputs: Sequence[Tensor], rng: np.random.Generator) -> list[Array]:
    """Weights of both signs for the elements of all outputs."""
    return [rng.uniform(0.5, 1.5, y.shape) * rng.choice([-1.0, 1.0], y.shape) for y in outputs]


def _derivative(f: Callable[..., Any], count: int) -> Callable[..., Any]:
    """The gradients of `f`: a function of its `count` arguments and of the gradients coming in."""

    def derivative(*args_and_seeds: Any) -> tuple[Tensor, ...]:
        args, incoming = args_and_seeds[:count], args_and_seeds[count:]
        with enable_grad():  # also under no_grad, where only the numbers are needed
            used = [
                (y, g) for y, g in zip(flatten(f(*args)), incoming, strict=True) if y.requires_grad
            ]
            if not used:
                return ()
            ys, gs = zip(*used, strict=True)
            checked = [x for x in args if _is_checked(x)]
            return grad(ys, checked, gs, create_graph=True, allow_unused=True)

    return derivative


def _check_recorded(
    function: _Function,
    derivative: Callable[..., Any],
    args: Sequence[Any],
    outputs: Sequence[Tensor],
    seeds: Sequence[Tensor],
) -> None:
    """Raise unless the derivative is the same with ``create_graph=True`` and without."""
    checked = [i for i, x in enumerate(args) if _is_checked(x)]
    plain = _gradients(function, outputs, seeds, [args[i] for i in checked])
    recorded = derivative(*args, *seeds) or [None] * len(checked)
    for i, one, two in zip(checked, plain, recorded, strict=True):
        if not _close(np.zeros(one.shape) if two is None else two.numpy(), one):
            raise GradientError(
                f"{function.about(i)}: another derivative under create_graph=True; a rule (or the "
                "twin of a fused op) is another function for Tensors than for arrays"
            )


def _check_first(
    function: _Function, args: Sequence[Any], rng: np.random.Generator, limits: Limits
) -> None:
    checked = [i for i, x in enumerate(args) if _is_checked(x)]
    inputs = [args[i] for i in checked]
    before = [x.numpy() for x in inputs]
    outputs = flatten(function.call(*args))
    if not outputs:
        raise GradientError(f"{function.name}: nothing to check: it returned no floating Tensor")
    for y in outputs:
        if y.dtype != np.float64:
            raise GradientError(
                f"{function.name}: float64 in, {y.dtype} out; precision is lost inside"
            )
    here, weights = [y.numpy() for y in outputs], _weights(outputs, rng)
    together = _gradients(function, outputs, weights, inputs, keep=True)
    alone = _one_by_one(function, outputs, weights, inputs, checked)
    for i, x, old in zip(checked, inputs, before, strict=True):
        if not _same(x.numpy(), old):
            raise GradientError(f"{function.about(i)} was changed in place")

    def value() -> list[Array]:
        with no_grad():
            return [y.numpy() for y in flatten(function.call(*args))]

    for first, repeated in zip(here, value(), strict=True):
        if not _same(first, repeated):
            raise GradientError(
                f"{function.name}: two runs gave different results; it is not deterministic"
            )
    _check_walks(function, args, outputs, weights, together)
    for k, (i, x) in enumerate(zip(checked, inputs, strict=True)):
        claims = [
            Claim(gradients[k], (np.arange(len(outputs)) == j) * 1.0, f", of output {j} alone")
            for j, gradients in alone.items()
        ]
        claims.append(Claim(together[k], np.ones(len(outputs)), ""))
        compare(Slopes(value, x, weights), claims, function.about(i), rng, limits)
        if not all(map(_same, [y.numpy() for y in outputs], here)):
            raise GradientError(
                f"{function.name}: a result changed when it was called again; the result lies in "
                "memory that it uses again"
            )


def _one_by_one(
    function: _Function,
    outputs: Sequence[Tensor],
    weights: Sequence[Array],
    inputs: Sequence[Tensor],
    checked: Sequence[int],
) -> dict[int, list[Array]]:
    """If there are several outputs, the gradients of each alone; the others unused, or zero."""
    active = [j for j, y in enumerate(outputs) if y.requires_grad]
    found = {}
    for j in active if len(active) > 1 else ():
        found[j] = _gradients(function, [outputs[j]], [weights[j]], inputs, keep=True)
        masked = [w if i == j else 0 * w for i, w in enumerate(weights)]
        zeros = _gradients(function, outputs, masked, inputs, keep=True)
        for i, one, two in zip(checked, found[j], zeros, strict=True):
            if not _close(one, two):
                raise GradientError(
                    f"{function.about(i)}: another derivative of output {j} alone, the others "
                    "unused, than with a gradient of zeros for them"
                )
    return found


def _check_walks(
    function: _Function,
    args: Sequence[Any],
    outputs: Sequence[Tensor],
    weights: Sequence[Array],
    expected: Sequence[Array],
) -> None:
    """Raise unless other walks give the gradients that follow from those of the first walk.

    A single walk tries several things together: the same tape again, and the tape of a second call
    with other weights, whose arguments lie differently in memory. Only if it fails, they are tried
    one by one.
    """
    checked = [i for i, x in enumerate(args) if _is_checked(x)]
    inputs = [args[i] for i in checked]
    elsewhere = [_elsewhere(x) if _is_checked(x) else x for x in args]
    others = [elsewhere[i] for i in checked]
    more = flatten(function.call(*elsewhere))
    for y, other in zip(outputs, more, strict=True):
        if not _close(other.numpy(), y.numpy()):
            raise GradientError(f"{function.name}: another result {NOT_CONTIGUOUS}")
    opposite = [OTHERWISE * w for w in weights]
    lying = [_elsewhere(tensor(w, device=y.device)) for y, w in zip(outputs, opposite, strict=True)]
    both = _gradients(function, [*outputs, *more], [*weights, *lying], [*inputs, *others], True)
    for k, (i, first) in enumerate(zip(checked, expected, strict=True)):
        if not _close(both[k], first):
            raise GradientError(
                f"{function.about(i)}: a second walk through the same tape gives another "
                "derivative; a rule changes what was kept for it, or draws at random"
            )
        wanted, found = OTHERWISE * first, both[len(checked) + k]
        if not _close(found, wanted):

            def once_more(args: Sequence[Any], weights: Sequence[Any], k: int = k) -> Array:
                inputs = [args[i] for i in checked]
                return _gradients(function, flatten(function.call(*args)), weights, inputs)[k]

            linear = _close(once_more(args, opposite), wanted)
            if not _close(once_more(args, weights), first):
                cause = "another derivative at each call; a rule keeps a state, or draws at random"
            elif linear and _close(once_more(elsewhere, lying), wanted):
                cause = (
                    "another derivative when a second call is on the tape; a rule returns memory "
                    "that it uses again"
                )
            elif linear:
                cause = f"another derivative {NOT_CONTIGUOUS}"
            else:
                cause = not_linear(first, found, OTHERWISE)
            raise GradientError(f"{function.about(i)}: {cause}")
    halves = [
        _gradients(function, outputs, [_half(w, start) for w in weights], inputs, keep=True)
        for start in (0, 1)
    ]
    for i, first, one, two in zip(checked, expected, *halves, strict=True):
        if np.isfinite(first).all() and not _close(one + two, LARGE * first):
            raise GradientError(
                f"{function.about(i)}: another derivative where the gradient that comes in is 0, "
                f"or {LARGE:g} times as large; a mask must select, not multiply"
            )


def _half(w: Array, start: int) -> Array:
    """Every second weight from number `start` on, times `LARGE`; 0 for the others."""
    flat = np.zeros(w.size)
    flat[start::2] = LARGE * w.reshape(-1)[start::2]
    return flat.reshape(w.shape)


def _check_alone(function: _Function, args: Sequence[Any], rng: np.random.Generator) -> None:
    """Raise unless each derivative is the same when the other arguments are constants."""
    checked = [i for i, x in enumerate(args) if _is_checked(x)]
    if len(checked) < 2:
        return
    outputs = flatten(function.call(*args))
    weights = _weights(outputs, rng)
    together = _gradients(function, outputs, weights, [args[i] for i in checked])
    for i, expected in zip(checked, together, strict=True):
        alone = [x.detach() if _is_checked(x) and k != i else x for k, x in enumerate(args)]
        outputs = flatten(function.call(*alone))
        (found,) = _gradients(function, outputs, weights, [args[i]])
        if not _close(found, expected):
            raise GradientError(
                f"{function.about(i)}: another derivative when it alone requires one"
            )


def _gradients(
    function: _Function,
    outputs: Sequence[Tensor],
    weights: Sequence[Any],
    inputs: Sequence[Tensor],
    keep: bool = False,
) -> list[Array]:
    used = [(y, w) for y, w in zip(outputs, weights, strict=True) if y.requires_grad]
    found: Sequence[Tensor | None] = [None] * len(inputs)
    if used and inputs:
        gs = [w if isinstance(w, Tensor) else tensor(w, device=y.device) for y, w in used]
        found = grad([y for y, _ in used], inputs, gs, retain_graph=keep, allow_unused=True)
        for g, (_, w) in zip(gs, used, strict=True):
            if w is not g and not np.array_equal(g.numpy(), w):
                raise GradientError(
                    f"{function.name}: a rule changes g in place, the gradient that came in; but "
                    "others may need it"
                )
    return [
        np.zeros(x.shape) if g is None else g.numpy() for x, g in zip(inputs, found, strict=True)
    ]


def _elsewhere(x: Tensor) -> Tensor:
    """An equal tensor that lies differently in memory: with reversed axes, and with gaps."""
    memory = array_module(x._array).full((*x.shape[::-1], 2), np.nan)
    memory[..., 0] = x._array.T
    return Tensor(memory[..., 0].T, None, x.device, requires_grad=True)


def _same(one: Array, two: Array) -> bool:
    return np.array_equal(one, two, equal_nan=True)


def _close(one: Array, two: Array) -> bool:
    """Whether two arrays are the same, except for rounding."""
    with np.errstate(invalid="ignore"):
        size = np.abs(two)
        near = np.abs(one - two) <= 1e-8 * size + 1e-11 * size.max(initial=1.0)
    return bool(near.all()) or np.allclose(one, two, rtol=1e-8, atol=1e-11, equal_nan=True)
