"""Checks of what a layer is given: its settings when it is made, its input when it is called.

A check returns what it was given, as the layer keeps it: Python's numbers for NumPy's, an array for
a list. Its error names the layer, the argument, what was expected and what came.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad.arrays.devices import gpus
from minigrad.arrays.library import ArrayLike, StandIn, bare, refuse_mask, zeros
from minigrad.autograd.operands import operand
from minigrad.errors.values import told
from minigrad.nn.module import Module
from minigrad.tensor import Tensor, wrap

# ------------------------------------------------------------------ when it is made


def check_sizes(layer: Module, **sizes: Any) -> list[int]:
    """The sizes as Python's integers; a ValueError unless each is an integer of at least 1."""
    wrong = [name for name, size in sizes.items() if not (_is_whole(size) and size >= 1)]
    if wrong:
        raise ValueError(
            f"{type(layer).__name__}: {wrong[0]} must be an integer of at least 1, not "
            f"{told(sizes[wrong[0]])}"
        )
    return [operator.index(size) for size in sizes.values()]


def check_whole(layer: Module, **number: Any) -> int:
    """The one `number` as Python's integer; a TypeError unless it is an integer."""
    ((name, value),) = number.items()
    if not _is_whole(value):
        raise TypeError(f"{type(layer).__name__}: {name} must be an integer, not {told(value)}")
    return operator.index(value)


def check_number(layer: Module, **number: Any) -> float:
    """The one `number` as Python's float; a TypeError unless it is a real number."""
    ((name, value),) = number.items()
    plain = value.item() if getattr(value, "shape", None) == () else value
    if isinstance(plain, bool) or not isinstance(plain, int | float):
        raise TypeError(f"{type(layer).__name__}: {name} must be a number, not {told(value)}")
    return float(plain)


def check_share(layer: Module, **share: float) -> float:
    """The one `share` as Python's float; a ValueError unless it is from 0 to 1."""
    ((name, value),) = share.items()
    number = check_number(layer, **share)
    if not 0 <= number <= 1:
        raise ValueError(f"{type(layer).__name__}: {name} must be from 0 to 1, not {value}")
    return number


def check_flag(layer: Module, **flag: Any) -> bool:
    """The one `flag` as Python's bool; a TypeError unless it is True or False."""
    ((name, value),) = flag.items()
    if not isinstance(value, bool | np.bool):
        raise TypeError(f"{type(layer).__name__}: {name} must be True or False, not {told(value)}")
    return bool(value)


def check_choice(layer: Module, choices: Sequence[str], **choice: Any) -> str:
    """The one `choice`; a ValueError unless it is one of `choices`."""
    ((name, value),) = choice.items()
    if not isinstance(value, str) or value not in choices:
        *others, last = [f'"{one}"' for one in choices]
        raise ValueError(
            f"{type(layer).__name__}: {name} must be {', '.join(others)} or {last}, not "
            f"{told(value)}"
        )
    return value


def check_rng(layer: Module, rng: Any) -> np.random.Generator | None:
    """`rng`; a TypeError unless it is a generator, or None."""
    if rng is not None and not isinstance(rng, np.random.Generator):
        raise TypeError(
            f"{type(layer).__name__}: rng must be a numpy.random.Generator or None, not "
            f"{told(rng)}; write rng=np.random.default_rng(0)"
        )
    return rng


def _is_whole(value: Any) -> bool:
    try:
        operator.index(value)
    except (TypeError, ValueError):
        return False
    return not isinstance(value, bool)


# ------------------------------------------------------------------ when it is called


def check_features(layer: Module, x: ArrayLike, features: int) -> Any:
    """`x` as a Tensor or an array; a ValueError unless its last axis is `features` long."""
    x = as_input(layer, x)
    if x.ndim == 0 or x.shape[-1] != features:
        raise ValueError(
            f"{type(layer).__name__}: x has shape {x.shape}, expected (..., {features})"
        )
    return x


def as_input(layer: Module, x: ArrayLike, name: str = "x") -> Any:
    """The input of `layer`: a Tensor as it is, an array or a list on the layer's device."""
    if not isinstance(x, Tensor):
        x = check_one(layer, x, name)
        if gpus:
            x = operand(x, layer.parameters())
    return operand(x)


def as_tensor(layer: Module, x: ArrayLike, name: str = "x") -> Tensor:
    """The input of `layer` as a Tensor: for layers that have no parameters."""
    x = as_input(layer, x, name)
    return x if isinstance(x, Tensor) else Tensor(x)


def check_one(layer: Callable[..., Any], x: ArrayLike, name: str = "x") -> ArrayLike:
    """`x`; a TypeError if it is no numbers, or a tuple or list of several Tensors."""
    if type(x) is np.ndarray:
        return x
    if x is None or isinstance(x, str | bytes | dict | set):
        raise TypeError(
            f"{_name(layer)}: {name} must be a Tensor or an array, not a {type(x).__name__}"
        )
    if not isinstance(x, tuple | list) or not any(isinstance(part, Tensor) for part in x):
        return x
    if isinstance(x, tuple) and len(x) == 2:
        raise TypeError(
            f"{_name(layer)} got a tuple (output, state), as recurrent layers return it, not one "
            "Tensor; write output, state = lstm(x), and go on with output. In a Sequential put a "
            "function between the two: nn.Sequential(lstm, lambda pair: pair[0], ...)"
        )
    raise TypeError(
        f"{_name(layer)} got a {type(x).__name__} of {len(x)} Tensors, not one; mg.stack(x), or "
        "mg.concatenate(x), makes one of them"
    )


def _name(layer: Callable[..., Any]) -> str:
    return getattr(layer, "__name__", type(layer).__name__)


def check_floats(layer: Module, x: Any, name: str = "x") -> Any:
    """`x`; a TypeError unless it is floating-point."""
    if x.dtype.kind != "f":
        raise TypeError(
            f"{type(layer).__name__}: {name} must be floating-point, not {x.dtype}; nn.Embedding "
            "makes vectors of ids"
        )
    return x


def checked_state(
    layer: Module, like: Any, state: Any, names: tuple[str, ...], shapes: Sequence[tuple[int, ...]]
) -> tuple[Any, ...]:
    """`state` as a tuple of parts, checked against their `shapes`; zeros like `like` for None."""
    if state is None:
        return tuple(wrap(zeros(shape, like)) for shape in shapes)
    is_pair = isinstance(state, tuple | list)
    if is_pair != (len(names) > 1) or (is_pair and len(state) != len(names)):
        expected = f"({', '.join(names)})" if len(names) > 1 else names[0]
        raise TypeError(f"{type(layer).__name__}: the state must be {expected}, not {told(state)}")
    parts = tuple([as_input(layer, part) for part in (state if is_pair else (state,))])
    for name, part, shape in zip(names, parts, shapes, strict=True):
        if part.shape != shape:
            raise ValueError(
                f"{type(layer).__name__}: {name} has shape {part.shape}, expected {shape}"
            )
    return parts


def check_lengths(layer: Any, lengths: Any, shape: tuple[int, ...], T: int, of: str = "x") -> Any:
    """`lengths` as integers on the host, of the `shape` (N,), or () for one sequence.

    A TypeError or ValueError unless each is an integer from 0 to T, the time steps of the argument
    called `of`.
    """
    name = type(layer).__name__
    refuse_mask(lengths)
    given = bare(lengths)
    if isinstance(given, StandIn) and not given.on_gpu:  # right for these lengths alone
        given = given.tolist()
    try:
        given = np.asarray(given)
    except (TypeError, ValueError):
        raise TypeError(
            f"{name}: lengths must be integers in the computer's memory, not {told(lengths)}"
        ) from None
    if given.dtype.kind not in "iu" and given.size:
        raise TypeError(
            f"{name}: lengths must be integers, not {told(given)}; a list of Python's "
            "integers works too"
        )
    if given.shape != shape:
        single = "" if shape else ", an integer, for one sequence without a batch"
        if shape and given.shape == (T,):
            order = "(N, T, features)" if layer.batch_first else "(T, N, features)"
            single = f"; {of} is taken as {order}, unless batch_first={not layer.batch_first}"
        raise ValueError(f"{name}: lengths has shape {given.shape}, expected {shape}{single}")
    wrong = given[(given < 0) | (given > T)]
    if wrong.size:
        raise ValueError(f"{name}: length {wrong[0]} is not from 0 to {T}, the time steps of {of}")
    return given.astype(np.int64)
