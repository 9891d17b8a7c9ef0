"""Finding the op that made the first NaN or infinity: what `minigrad.detect_anomaly` looks for."""

from __future__ import annotations

import math
import os
import sys
import weakref
from collections.abc import Iterable
from typing import Any

from minigrad.arrays.library import array_module, is_array
from minigrad.autograd.sparse import elements

_PACKAGE = os.path.dirname(os.path.dirname(__file__))

_origins: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()
"""For each node recorded under detect_anomaly: the op's inputs and the line that called it."""


class AnomalyError(FloatingPointError):
    """An op made a NaN or an infinity out of finite numbers."""


def check_forward(name: str, inputs: Iterable[Any], outputs: Iterable[Any], node: Any) -> None:
    """Raise if an output is worse than every input; else remember where `node` comes from."""
    inputs = list(inputs)
    arrays = [x for x in inputs if is_array(x)]
    shapes = ", ".join(f"{x.dtype} {x.shape}" for x in arrays) or "no arrays"
    origin = f"{name} of {shapes}, called at {_calling_line()}"
    trouble = _trouble(inputs, outputs)
    if trouble:
        raise AnomalyError(f"detect_anomaly: the forward pass made {trouble} in {origin}")
    if node is not None:
        _origins[node] = origin


def check_backward(name: str, node: Any, gradients: Iterable[Any]) -> None:
    """Raise if a gradient that `node` passes on is not finite."""
    trouble = _trouble([], gradients)
    if trouble:
        origin = _origins.get(node, f"{name} (recorded outside detect_anomaly: line unknown)")
        raise AnomalyError(f"detect_anomaly: the backward pass made {trouble} in {origin}")


def _trouble(inputs: Iterable[Any], outputs: Iterable[Any]) -> str:
    """Which of "a NaN" and "an infinity" the outputs have and the inputs lack; "" for neither."""
    nan, inf = _has(outputs)
    nan_before, inf_before = _has(inputs)
    if nan and not nan_before:
        return "a NaN"
    return "an infinity" if inf and not (inf_before or nan_before) else ""


def _has(values: Iterable[Any]) -> tuple[bool, bool]:
    """Whether there is a NaN, and an infinity, among numbers, arrays, gradients and lists of them.

    An infinity that an op was given as a number, as a mask of -inf, was put in and not made.
    """
    nan = inf = False
    for value in values:
        x = elements(value)
        if isinstance(x, list | tuple):
            has_nan, has_inf = _has(x)
        elif isinstance(x, float):
            has_nan, has_inf = math.isnan(x), math.isinf(x)
        elif is_array(x) and x.dtype.kind == "f" and x.size:
            xp = array_module(x)
            has_nan, has_inf = bool(xp.isnan(x).any()), bool(xp.isinf(x).any())
        else:
            continue
        nan, inf = nan or has_nan, inf or has_inf
    return nan, inf


def _calling_line() -> str:
    """``file:line`` of the innermost caller outside minigrad."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
