"""Every op, captured: a replay gives the bits of the op itself, forward and backward."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import minigrad as mg

sys.path.insert(0, str(Path(__file__).parents[1] / "ops"))
import cases_arrays  # noqa: F401 (registers its cases)
import cases_networks  # noqa: F401
from cases import CASES

few = settings(
    max_examples=settings.default.max_examples // 10, suppress_health_check=[HealthCheck.too_slow]
)


def freeze(function):
    """Say that the arrays that a function has with it never change."""
    for cell in getattr(function, "__closure__", None) or ():
        hold(cell.cell_contents)


def hold(value):
    if isinstance(value, np.ndarray):
        value.flags.writeable = False
    elif isinstance(value, list | tuple):
        for item in value:
            hold(item)
    elif callable(value):
        freeze(value)


def with_gradients(call):
    """The outputs of `call`, and the gradients of a weighted sum of them."""

    def run(*inputs):
        leaves = [x.detach().requires_grad_() for x in inputs]
        outputs = call(*leaves)
        outputs = list(outputs) if isinstance(outputs, list | tuple) else [outputs]
        used = [y for y in outputs if y.requires_grad]
        total = sum((y * (i + 2) * y).sum() for i, y in enumerate(used))
        given = mg.grad(total, leaves, allow_unused=True) if used else []
        return [y.detach() for y in outputs], list(given)

    return run


def bits(x):
    if isinstance(x, list | tuple):
        return [bits(item) for item in x]
    return x if x is None else (x.dtype.str, x.shape, x.numpy().tobytes())


def shifted(x, by):
    """Other values of the same kind."""
    return x if x.dtype.kind != "f" else (x * (1 + 0.01 * by)).astype(x.dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", sorted(set(CASES) - {"dropout"}))  # it makes a generator
@few
@given(data=st.data())
def test_a_replay_gives_the_bits_of_the_op(name, dtype, data):
    case = data.draw(CASES[name], label=name)
    freeze(case.call)
    run = with_gradients(case.call)
    captured = mg.capture(run)
    for step in range(3):
        inputs = [mg.tensor(shifted(x, step).astype(dtype)) for x in case.inputs]
        with np.errstate(all="ignore"):
            assert bits(captured(*inputs)) == bits(run(*inputs)), f"in step {step}"
