"""Checking a layer: its derivatives, and its manners."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad import random
from minigrad.creation import tensor
from minigrad.nn import Module
from minigrad.tensor import Tensor
from minigrad.testing.checks import GradientError, check_gradients, flatten


def check_layer(layer: Module, *inputs: Any, order: int = 1) -> None:
    """Raise a GradientError unless `layer` differentiates rightly and behaves.

    Parameters
    ----------
    layer
        the layer. It is not changed: the checks run on copies, in the mode (training or not) that
        it is in, and with the same random draws each time.
    *inputs
        what to call it with: Tensors, arrays, integers, or nested tuples of them (a state), where
        the layer is, in any dtype; None is passed on.
    order
        as in `check_gradients`.

    What is checked: the derivatives of all outputs (states included) with respect to all parameters
    and all floating inputs, in float64, against finite differences; that float32 parameters and
    inputs give float32 outputs and float32 gradients; that no input and no parameter is changed;
    and that two runs give equal results.
    """
    name = type(layer).__name__
    state = random.generator().bit_generator.state
    try:
        _check_derivatives(layer, inputs, name, order)
        _check_manners(layer, inputs, name)
    finally:
        random.generator().bit_generator.state = state


def _check_derivatives(layer: Module, inputs: tuple[Any, ...], name: str, order: int) -> None:
    layer = copy.deepcopy(layer).to(dtype=np.float64)
    parameters = dict(layer.named_parameters())
    leaves: list[Any] = []
    skeleton = _taken_apart(inputs, leaves)
    call = _repeatable(layer)

    def run(*values: Any) -> Any:
        for p, value in zip(parameters.values(), values, strict=False):
            p._data, p._node = value._data, value._node
        return call(*_put_together(skeleton, iter(values[len(parameters) :])))

    run.__name__ = name
    run.__signature__ = _signature(  # type: ignore[attr-defined]
        [*parameters, *(f"input_{i}" for i in range(len(leaves)))]
    )
    check_gradients(run, *[p.detach() for p in parameters.values()], *leaves, order=order)


def _signature(names: list[str]) -> Any:
    import re
    from inspect import Parameter, Signature

    kind = Parameter.POSITIONAL_OR_KEYWORD
    return Signature([Parameter(re.sub(r"\W|^(?=\d)", "__", n), kind) for n in names])


def _repeatable(layer: Module) -> Callable[..., Any]:
    """`layer` with the same draws from the library's generator in every call."""
    state = random.generator().bit_generator.state

    def call(*args: Any) -> Any:
        random.generator().bit_generator.state = state
        return layer(*args)

    return call


def _check_manners(layer: Module, inputs: tuple[Any, ...], name: str) -> None:
    layer = copy.deepcopy(layer).to(dtype=np.float32)
    leaves: list[Any] = []
    skeleton = _taken_apart(inputs, leaves)
    values = [
        tensor(x, dtype=np.float32, requires_grad=True) if _is_float(x) else x for x in leaves
    ]
    parameters = dict(layer.named_parameters())
    watched = [x for x in (*values, *parameters.values()) if isinstance(x, Tensor)]
    before = [x.numpy() for x in watched]
    call = _repeatable(layer)

    def run() -> list[Tensor]:
        return flatten(call(*_put_together(skeleton, iter(values))))

    outputs = run()
    total: Any = 0.0
    for y in outputs:
        if y.dtype != np.float32:
            raise GradientError(f"{name}: float32 in, {y.dtype} out")
        total = total + y.sum()
    if isinstance(total, Tensor) and total.requires_grad:
        total.backward()
    for x in watched:
        if x.grad is not None and x.grad.dtype != np.float32:
            raise GradientError(f"{name}: a float32 tensor got a {x.grad.dtype} gradient")
    for y, again in zip(outputs, run(), strict=True):
        if not np.array_equal(y.numpy(), again.numpy(), equal_nan=True):
            raise GradientError(f"{name}: two runs on the same inputs gave different results")
    for x, old in zip(watched, before, strict=True):
        if not np.array_equal(x.numpy(), old, equal_nan=True):
            which = next((n for n, p in parameters.items() if p is x), "an input")
            raise GradientError(f"{name}: {which} was changed by the call")


def _is_float(x: Any) -> bool:
    return isinstance(x, float) or getattr(getattr(x, "dtype", None), "kind", "") == "f"


_LEAF = object()


def _taken_apart(x: Any, leaves: list[Any]) -> Any:
    """Nested tuples and lists with each leaf replaced by a mark, and the leaves in a list."""
    if isinstance(x, tuple | list):
        return tuple(_taken_apart(item, leaves) for item in x)
    leaves.append(x)
    return _LEAF


def _put_together(skeleton: Any, leaves: Any) -> Any:
    if skeleton is _LEAF:
        return next(leaves)
    return tuple(_put_together(item, leaves) for item in skeleton)
