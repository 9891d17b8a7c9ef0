"""Checks of a layer: its derivatives, and how it behaves."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad.arrays import random
from minigrad.arrays.library import bare
from minigrad.autograd.node import Leaf
from minigrad.creation import tensor
from minigrad.errors.values import told
from minigrad.nn import Module
from minigrad.tensor import Tensor
from minigrad.testing.differences import GradientError
from minigrad.testing.gradients import check_gradients
from minigrad.testing.outputs import flatten, nodes_behind


def check_layer(
    layer: Module,
    *inputs: Any,
    order: int = 1,
    step: float | None = None,
    rtol: float = 1e-6,
    atol: float = 1e-9,
) -> None:
    """Raise a GradientError unless the derivatives of `layer` are right and it behaves well.

    It compares the derivatives of all outputs (states too) with respect to all parameters and all
    floating inputs with finite differences, in float64. It checks that

    - float32 parameters and inputs give float32 outputs and gradients;
    - no input, no parameter and no mode is changed;
    - two calls give equal results, and no call depends on an earlier one;
    - everything that requires a gradient is a parameter;
    - in evaluation nothing is drawn from the library's generator.

    Parameters
    ----------
    layer
        the layer. It is not changed: the checks run on copies, in its present mode (training or
        not), and with the same random draws each time.
    *inputs
        the arguments of a call: Tensors, arrays, integers, or nested tuples of them (a state), on
        the layer's device, in any dtype; None is passed on.
    order, step, rtol, atol
        as in `check_gradients`.
    """
    if not isinstance(layer, Module):
        raise TypeError(
            f"check_layer: layer must be an nn.Module, not {told(layer)}; write "
            "check_layer(MyLayer(3, 4), x)"
        )
    name = type(layer).__name__
    state = random.generator().bit_generator.state
    try:
        _check_manners(layer, inputs, name)
        _check_evaluation(layer, inputs, name)
        _check_derivatives(layer, inputs, name, order=order, step=step, rtol=rtol, atol=atol)
    finally:
        random.generator().bit_generator.state = state


def _check_derivatives(layer: Module, inputs: tuple[Any, ...], name: str, **options: Any) -> None:
    layer = copy.deepcopy(layer).to(dtype=np.float64)
    parameters = dict(layer.named_parameters())
    leaves: list[Any] = []
    skeleton = _taken_apart(inputs, leaves)
    call = _repeatable(layer)

    def run(*values: Any) -> Any:
        for p, value in zip(parameters.values(), values, strict=False):
            p._array, p._node = value._array, value._node
        return call(*_put_together(skeleton, iter(values[len(parameters) :])))

    run.__name__ = name
    run.__signature__ = _signature(  # type: ignore[attr-defined]
        [*parameters, *(f"input_{i}" for i in range(len(leaves)))]
    )
    check_gradients(run, *[p.detach() for p in parameters.values()], *leaves, **options)


def _signature(names: list[str]) -> Any:
    import re
    from inspect import Parameter, Signature

    kind = Parameter.POSITIONAL_OR_KEYWORD
    return Signature([Parameter(re.sub(r"\W|^(?=\d)", "__", n), kind) for n in names])


def _repeatable(layer: Module) -> Callable[..., Any]:
    """`layer`, with the same draws from the library's generator in every call."""
    state = random.generator().bit_generator.state

    def call(*args: Any) -> Any:
        random.generator().bit_generator.state = state
        return layer(*args)

    return call


def _check_manners(layer: Module, inputs: tuple[Any, ...], name: str) -> None:
    layer = copy.deepcopy(layer).to(dtype=np.float32)
    call, fresh = _repeatable(layer), _repeatable(copy.deepcopy(layer))
    values, arguments = _prepared(inputs, np.float32)
    parameters = dict(layer.named_parameters())
    watched = [x for x in (*values, *parameters.values()) if isinstance(x, Tensor)]
    before = [x.numpy() for x in watched]
    modes = [module.training for module in layer.modules()]
    outputs = flatten(call(*arguments))
    if modes != [module.training for module in layer.modules()]:
        raise GradientError(f"{name}: the call changed the mode (training or evaluation)")
    for x, old in zip(watched, before, strict=True):
        if not _equal([x], [old]):
            which = next((n for n, p in parameters.items() if p is x), "an input")
            raise GradientError(f"{name}: {which} was changed by the call")
    total: Any = 0.0
    for y in outputs:
        if y.dtype != np.float32:
            raise GradientError(f"{name}: float32 in, {y.dtype} out")
        total = total + y.sum()
    for node in nodes_behind(outputs):
        found: Any = node.tensor() if isinstance(node, Leaf) else None
        if found is not None and not any(found is x for x in watched):
            raise GradientError(
                f"{name}: it uses a tensor of shape {found.shape} that requires a gradient, but is "
                "not among its parameters: nothing would train or save it; keep it as an "
                "nn.Parameter in an attribute, or detach() it"
            )
    if isinstance(total, Tensor) and total.requires_grad:
        total.backward()
    for x in watched:
        if x.grad is not None and x.grad.dtype != np.float32:
            raise GradientError(f"{name}: a float32 tensor got a {x.grad.dtype} gradient")
    for key, p in layer.named_parameters():
        if p is not parameters.get(key):
            raise GradientError(
                f"{name}: {key} was made anew by the call; an optimiser would go on with the old "
                "one"
            )
    first = [y.numpy() for y in outputs]
    if not _equal(flatten(call(*arguments)), first):
        raise GradientError(f"{name}: two runs on the same inputs gave different results")
    _, others = _prepared(inputs, np.float32, 0.5)
    if not _equal(flatten(call(*others)), [y.numpy() for y in flatten(fresh(*others))]):
        raise GradientError(
            f"{name}: its result depends on earlier calls; it keeps a state, which should be one "
            "of its arguments and results"
        )
    if not _equal(outputs, first):
        raise GradientError(
            f"{name}: a result changed when it was called again; the result lies in memory that "
            "it uses again"
        )


def _equal(tensors: Sequence[Tensor], arrays: Sequence[Any]) -> bool:
    return all(
        np.array_equal(x.numpy(), y, equal_nan=True) for x, y in zip(tensors, arrays, strict=True)
    )


def _check_evaluation(layer: Module, inputs: tuple[Any, ...], name: str) -> None:
    layer = copy.deepcopy(layer).to(dtype=np.float32).eval()
    _, arguments = _prepared(inputs, np.float32)
    state = random.generator().bit_generator.state
    layer(*arguments)
    if random.generator().bit_generator.state != state:
        raise GradientError(
            f"{name}: it draws random numbers in evaluation, after eval(); ask self.training"
        )


def _prepared(
    inputs: tuple[Any, ...], dtype: Any, factor: float = 1.0
) -> tuple[list[Any], tuple[Any, ...]]:
    """The inputs in `dtype`, one by one, and again as the arguments of the layer.

    Floats are multiplied by `factor`.
    """
    leaves: list[Any] = []
    skeleton = _taken_apart(inputs, leaves)
    values = [_scaled(x, factor, dtype) if _is_float(x) else x for x in leaves]
    return values, _put_together(skeleton, iter(values))


def _scaled(x: Any, factor: float, dtype: Any) -> Tensor:
    data = bare(x)
    return tensor(data * factor, dtype=dtype, requires_grad=True)


def _is_float(x: Any) -> bool:
    return isinstance(x, float) or getattr(getattr(x, "dtype", None), "kind", "") == "f"


_LEAF = object()


def _taken_apart(x: Any, leaves: list[Any]) -> Any:
    """Nested tuples and lists with a mark in place of each leaf; the leaves go into `leaves`."""
    if isinstance(x, tuple | list):
        return tuple(_taken_apart(item, leaves) for item in x)
    leaves.append(x)
    return _LEAF


def _put_together(skeleton: Any, leaves: Any) -> Any:
    if skeleton is _LEAF:
        return next(leaves)
    return tuple(_put_together(item, leaves) for item in skeleton)
