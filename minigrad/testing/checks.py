"""Comparing derivatives with finite differences.

All is done in float64, with central differences: (f(x + h) - f(x - h)) / 2h is f'(x) up to a
relative error of about h^2, and rounding adds about 1e-16 |f| / h; the step h = 6e-6 max(1, |x|),
the cube root of the rounding unit, balances the two near 1e-10 (Press et al., Numerical Recipes,
section 5.7). Hence one tolerance for every op: a derivative `a` agrees with the difference `n` if

    |a - n| <= 1e-6 max(|a|, |n|) + 1e-7 M + 1e-9,

where M is the largest |n| of the argument. An error of one part in 10,000 fails by far.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad.creation import tensor
from minigrad.modes import enable_grad, no_grad
from minigrad.tape import Variable, grad
from minigrad.tensor import Tensor

RELATIVE, OF_LARGEST, ABSOLUTE = 1e-6, 1e-7, 1e-9
STEP = float(np.finfo(np.float64).eps) ** (1 / 3)
SMALL = 100
"""Up to so many elements an argument is checked element by element, beyond it in directions."""
DIRECTIONS = 10


class GradientError(AssertionError):
    """A derivative disagrees with finite differences; the text says where, and why if it can."""


def check_gradients(
    f: Callable[..., Any],
    *inputs: Any,
    order: int = 1,
    rng: np.random.Generator | None = None,
) -> None:
    """Raise a GradientError unless the derivatives of `f` agree with finite differences.

    Parameters
    ----------
    f
        a function of Tensors that returns a Tensor, or a tuple or list of them (nested, or with
        None or integer tensors among them, which are left out). It must be deterministic.
    *inputs
        its arguments. Floating Tensors, arrays and Python floats are checked, as float64 copies on
        the device where they are; all others (integers, bools, None, strings) are passed on as
        they are.
    order
        1: first derivatives; 2: also the derivatives of those (with respect to the inputs and to
        the gradient that came in), as ``create_graph=True`` gives them.
    rng
        where the weights of the outputs, and the directions for arguments of more than 100
        elements, are drawn from; None: always the same ones.

    Raises
    ------
    GradientError
        naming `f`, the argument, the index of the worst element, both values, and the likely cause
        where there is one: the sign flipped, a constant factor, transposed, zero, or a sum over a
        broadcast axis that is missing. Also if `f` changes an input, is not deterministic, loses
        precision to a smaller dtype, gives another derivative when walked back twice or for one
        argument alone, or has nothing to check.
    TypeError
        if arrays are in a list; they are to be passed one by one.
    """
    if order not in (1, 2):
        raise ValueError(f"check_gradients: order must be 1 or 2, not {order}")
    rng = np.random.default_rng(0) if rng is None else rng
    name = getattr(f, "__name__", type(f).__name__)
    names = _argument_names(f, len(inputs))
    args = [
        _as_checked(x, f"{name}: argument {what}") for x, what in zip(inputs, names, strict=True)
    ]
    if not any(map(_is_checked, args)):
        raise GradientError(f"{name}: nothing to check: no argument is a float or floating array")
    if not flatten(f(*args)):
        raise GradientError(f"{name}: nothing to check: it returned no floating Tensor")
    _check_first(f, args, name, names, rng)
    _check_alone(f, args, name, names)
    if order == 2:
        derivative, more = _derivative(f, args, rng)
        names = [*names, *["the incoming gradient"] * len(more)]
        _check_first(derivative, [*args, *more], f"the derivative of {name}", names, rng)


def _as_checked(x: Any, what: str) -> Any:
    if isinstance(x, list | tuple) and any(_as_checked(item, what) is not item for item in x):
        raise TypeError(f"{what} is a {type(x).__name__} with arrays in it; pass them one by one")
    if isinstance(x, bool | int | str | None):
        return x
    data = getattr(x, "_data", x)
    if isinstance(data, float) or getattr(data, "dtype", np.dtype(int)).kind == "f":
        return tensor(data, dtype=np.float64, requires_grad=True)
    return x


def _is_checked(x: Any) -> bool:
    return isinstance(x, Variable) and x._node is not None


def _argument_names(f: Callable[..., Any], count: int) -> list[str]:
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    named = [repr(p.name) for p in parameters if p.kind is not p.VAR_POSITIONAL][:count]
    return named + [f"number {i}" for i in range(len(named), count)]


def flatten(outputs: Any) -> list[Tensor]:
    """The floating tensors in nested tuples, lists and dicts, in order."""
    if isinstance(outputs, dict):
        outputs = list(outputs.values())
    if isinstance(outputs, tuple | list):
        return [leaf for item in outputs for leaf in flatten(item)]
    return [outputs] if isinstance(outputs, Tensor) and outputs.dtype.kind == "f" else []


def _derivative(
    f: Callable[..., Any], args: Sequence[Any], rng: np.random.Generator
) -> tuple[Callable[..., Any], list[Any]]:
    """The gradients of `f` as a function of its arguments and of the gradients coming in."""
    outputs = flatten(f(*args))
    seeds = [
        tensor(rng.uniform(0.5, 1.5, y.shape), device=y.device, requires_grad=True) for y in outputs
    ]

    def derivative(*args_and_seeds: Any) -> tuple[Tensor, ...]:
        with enable_grad():  # also where the numbers are taken, which need no second derivative
            args = args_and_seeds[: len(args_and_seeds) - len(seeds)]
            incoming = args_and_seeds[len(args) :]
            used = [
                (y, g) for y, g in zip(flatten(f(*args)), incoming, strict=True) if y.requires_grad
            ]
            if not used:
                return ()
            ys, gs = zip(*used, strict=True)
            checked = [x for x in args if _is_checked(x)]
            return grad(ys, checked, gs, create_graph=True, allow_unused=True)

    return derivative, seeds


def _check_first(
    f: Callable[..., Any],
    args: Sequence[Any],
    name: str,
    names: Sequence[str],
    rng: np.random.Generator,
) -> None:
    before = [x.numpy() if _is_checked(x) else None for x in args]
    outputs = flatten(f(*args))
    for y in outputs:
        if y.dtype != np.float64:
            raise GradientError(f"{name}: float64 in, {y.dtype} out; precision is lost inside")
    weights = [rng.uniform(0.5, 1.5, y.shape) for y in outputs]
    checked = [i for i, x in enumerate(args) if _is_checked(x)]
    gradients = _gradients(outputs, weights, [args[i] for i in checked], keep=True)
    again = _gradients(outputs, weights, [args[i] for i in checked])
    for i, one, two in zip(checked, gradients, again, strict=True):
        if not np.array_equal(one, two, equal_nan=True):
            raise GradientError(
                f"{name}: argument {names[i]}: a second walk through the same tape gives another "
                "derivative; a rule changes what was kept for it"
            )

    def value() -> list[np.ndarray[Any, Any]]:
        with no_grad():
            return [y.numpy() for y in flatten(f(*args))]

    here = value()
    for y, repeated in zip(outputs, here, strict=True):
        if not np.array_equal(y.numpy(), repeated, equal_nan=True):
            raise GradientError(f"{name}: two runs gave different results; it is not deterministic")
    for i, x in zip(checked, [args[i] for i in checked], strict=True):
        if not np.array_equal(x.numpy(), np.asarray(before[i]), equal_nan=True):
            raise GradientError(f"{name}: argument {names[i]} was changed in place")
    for i, a in zip(checked, gradients, strict=True):
        _compare(value, args[i], a, weights, f"{name}: argument {names[i]}", rng, here)


def _check_alone(
    f: Callable[..., Any], args: Sequence[Any], name: str, names: Sequence[str]
) -> None:
    """Raise unless each derivative is the same when the other arguments are constants."""
    checked = [i for i, x in enumerate(args) if _is_checked(x)]
    if len(checked) < 2:
        return
    outputs = flatten(f(*args))
    weights = [np.ones(y.shape) for y in outputs]
    together = _gradients(outputs, weights, [args[i] for i in checked])
    for i, expected in zip(checked, together, strict=True):
        alone = [x.detach() if _is_checked(x) and k != i else x for k, x in enumerate(args)]
        (found,) = _gradients(flatten(f(*alone)), weights, [args[i]])
        if not np.allclose(found, expected, rtol=1e-9, atol=1e-12, equal_nan=True):
            raise GradientError(
                f"{name}: argument {names[i]}: another derivative when it alone requires one"
            )


def _gradients(
    outputs: Sequence[Tensor],
    weights: Sequence[Any],
    inputs: Sequence[Tensor],
    keep: bool = False,
) -> list[np.ndarray[Any, Any]]:
    used = [(y, w) for y, w in zip(outputs, weights, strict=True) if y.requires_grad]
    found: Sequence[Tensor | None] = [None] * len(inputs)
    if used and inputs:
        ys = [y for y, _ in used]
        ws = [Tensor(w, device=y.device) for y, w in used]
        found = grad(ys, inputs, ws, retain_graph=keep, allow_unused=True)
    return [
        np.zeros(x.shape) if g is None else g.numpy() for x, g in zip(inputs, found, strict=True)
    ]


def _compare(
    value: Callable[[], Sequence[np.ndarray[Any, Any]]],
    x: Tensor,
    a: np.ndarray[Any, Any],
    weights: Sequence[np.ndarray[Any, Any]],
    what: str,
    rng: np.random.Generator,
    here: Sequence[np.ndarray[Any, Any]],
) -> None:
    """Raise a GradientError unless differences give `a`, the derivative with respect to `x`."""
    original = x.numpy()

    def slope(direction: np.ndarray[Any, Any]) -> float:
        size = np.abs(original[direction != 0]).max(initial=1.0)
        h = STEP * size
        x.data = original + h * direction
        plus = value()
        x.data = original - h * direction
        minus = value()
        x.data = original
        return sum(
            float(np.sum(w * (p - m) / (2 * h)))
            for w, p, m in zip(weights, plus, minus, strict=True)
        )

    if x.size <= SMALL:
        n = np.empty(x.shape)
        for index in np.ndindex(x.shape):
            direction = np.zeros(x.shape)
            direction[index] = 1
            n[index] = slope(direction)
        _agree(a, n, what, [w.shape for w in weights])
        return
    for _ in range(DIRECTIONS):
        direction = rng.choice([-1.0, 1.0], x.shape) * rng.uniform(0.5, 1, x.shape)
        _agree(
            np.array(np.sum(a * direction)),
            np.array(slope(direction)),
            f"{what}, along a random direction",
            [],
        )


def _agree(
    a: np.ndarray[Any, Any], n: np.ndarray[Any, Any], what: str, output_shapes: Sequence[Any]
) -> None:
    largest = np.abs(n).max(initial=0.0)
    if not np.isfinite(largest):
        raise GradientError(f"{what}: finite differences are not finite; leave the op's domain?")
    allowed = RELATIVE * np.maximum(np.abs(a), np.abs(n)) + OF_LARGEST * largest + ABSOLUTE
    excess = np.where(np.isnan(a), np.inf, np.abs(a - n) / allowed)
    if excess.size == 0 or excess.max() <= 1:
        return
    worst = np.unravel_index(np.argmax(excess), excess.shape)
    at = f" at {tuple(int(i) for i in worst)}" if worst else ""
    cause = _likely_cause(a, n, output_shapes)
    raise GradientError(
        f"{what}: derivative {a[worst]:.10g}{at}, by finite differences {n[worst]:.10g}"
        + (f"; {cause}" if cause else "")
    )


def _likely_cause(
    a: np.ndarray[Any, Any], n: np.ndarray[Any, Any], output_shapes: Sequence[tuple[int, ...]]
) -> str:
    def same(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> bool:
        return bool(np.allclose(x, y, rtol=1e-5, atol=1e-6 * np.abs(n).max(initial=1e-9)))

    if np.isnan(a).any():
        return "the derivative is NaN"
    if not a.any():
        return "the derivative is zero: is the argument cut off from the tape, or its rule wrong?"
    if same(-a, n):
        return "the sign is flipped"
    if a.ndim == 2 and a.shape[0] == a.shape[1] and same(a.T, n):
        return "it is transposed"
    factor = float(np.vdot(a, n) / np.vdot(a, a))
    if not same(a * factor, n) or factor == 0:
        return ""
    lengths = {m for shape in output_shapes for m in (*shape, math.prod(shape)) if m > 1}
    stretched = any(math.prod(shape) > n.size for shape in output_shapes)
    if stretched and any(math.isclose(factor, m, rel_tol=1e-4) for m in lengths):
        return f"a sum over a broadcast axis of length {round(factor)} is missing"
    return f"it is off by a constant factor: it should be {factor:.6g} times as large"
