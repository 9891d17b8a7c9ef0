"""What the layers share: parameters to be initialised, and checks of sizes and shapes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.backend import ArrayLike, DType
from minigrad.devices import beside, gpus, zeros
from minigrad.nn import init
from minigrad.nn.module import Module
from minigrad.nn.parameter import Parameter
from minigrad.ops.recurrence import ACTIVATIONS, State
from minigrad.recording import operand
from minigrad.tape import wrap
from minigrad.tensor import Tensor


def new_parameter(shape: tuple[int, ...], dtype: DType) -> Parameter:
    """A Parameter of zeros; float32 if `dtype` is None."""
    return Parameter(np.zeros(shape, np.float32 if dtype is None else dtype))


def check_sizes(layer: Module, **sizes: Any) -> None:
    """Raise a ValueError unless each size is an integer of at least 1."""
    for name, size in sizes.items():
        if not isinstance(size, int | np.integer) or isinstance(size, bool) or size < 1:
            raise ValueError(
                f"{type(layer).__name__}: {name} must be an integer of at least 1, not {size!r}"
            )


def check_share(layer: Module, **share: float) -> float:
    """The one `share`; a ValueError unless it is from 0 to 1."""
    ((name, value),) = share.items()
    if not 0 <= value <= 1:
        raise ValueError(f"{type(layer).__name__}: {name} must be from 0 to 1, not {value}")
    return value


def check_features(layer: Module, x: ArrayLike, features: int) -> Any:
    """`x` as a Tensor or an array; a ValueError unless its last axis is `features` long."""
    x = as_input(layer, x)
    if x.ndim == 0 or x.shape[-1] != features:
        raise ValueError(
            f"{type(layer).__name__}: x has shape {x.shape}, expected (..., {features})"
        )
    return x


def as_input(layer: Module, x: ArrayLike) -> Any:
    """What `layer` is called with: a Tensor as it is, an array or a list where it belongs."""
    if gpus and not isinstance(x, Tensor):
        x = beside(x, layer.parameters())
    return operand(x)


# ------------------------------------------------------------------ of recurrent layers


def recurrent_parameters(
    rows: int, input_size: int, hidden_size: int, bias: bool, rng: Any, dtype: DType
) -> list[Parameter | None]:
    """weight_ih, weight_hh, bias_ih and bias_hh, drawn evenly from [-k, k], k = hidden^-0.5."""
    shapes = [(rows, input_size), (rows, hidden_size), *([(rows,), (rows,)] if bias else [])]
    k = 1 / math.sqrt(hidden_size)
    made = [init.uniform_(new_parameter(shape, dtype), -k, k, rng) for shape in shapes]
    return [*made, *([] if bias else [None, None])]


def check_nonlinearity(layer: Module, nonlinearity: str) -> str:
    """`nonlinearity`, if it is one."""
    if nonlinearity not in ACTIVATIONS:
        raise ValueError(
            f'{type(layer).__name__}: nonlinearity must be "tanh" or "relu", not {nonlinearity!r}'
        )
    return nonlinearity


def check_floats(layer: Module, x: Any) -> Any:
    """`x`, if it consists of floating-point numbers."""
    if x.dtype.kind != "f":
        raise TypeError(
            f"{type(layer).__name__}: x must be floating-point, not {x.dtype}; ids are first made "
            "vectors, by nn.Embedding"
        )
    return x


def checked_state(
    layer: Module, like: Any, state: Any, names: tuple[str, ...], shapes: Sequence[tuple[int, ...]]
) -> State:
    """`state` as a tuple of parts of the given shapes; zeros of `like`'s dtype if it is None."""
    name, expected = type(layer).__name__, f"({', '.join(names)})" if len(names) > 1 else names[0]
    if state is None:
        return tuple(wrap(zeros(shape, like)) for shape in shapes)
    is_pair = isinstance(state, tuple | list)
    if is_pair != (len(names) > 1) or (is_pair and len(state) != len(names)):
        got = f"a {type(state).__name__}" + (f" of {len(state)}" if is_pair else "")
        raise TypeError(f"{name}: the state must be {expected}, not {got}")
    parts = tuple([as_input(layer, part) for part in (state if is_pair else (state,))])
    for part_name, part, shape in zip(names, parts, shapes, strict=True):
        if part.shape != shape:
            raise ValueError(f"{name}: {part_name} has shape {part.shape}, expected {shape}")
    return parts
