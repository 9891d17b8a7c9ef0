"""What a replay gives lies in memory as the step's own does: else sums of it have other bits."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg

RESULTS = {
    "transposed": lambda x: x.T,
    "transposed and computed": lambda x: x.T * 2,
    "every other column": lambda x: x[:, ::2],
    "backwards": lambda x: x[::-1, ::-1],
    "axes in another order": lambda x: mg.transpose(x.reshape(2, 3, 6), (1, 0, 2)),
    "broadcast": lambda x: mg.broadcast_to(x[0], (5, 6)),
}
GRADIENTS = {
    "transposed": lambda w, x: w.T @ x,
    "twice": lambda w, x: w.T.T * x,
    "by ids": lambda w, x: mg.cross_entropy(w.T, mg.tensor([1] * 6, dtype=int)) * x,
    "a part": lambda w, x: w[:, ::2] * x[:, ::2],
    "broadcast": lambda w, x: mg.broadcast_to(w, (2, 6, 6)) * x,
}


def strides(x):
    return [step for step, n in zip(x.data.strides, x.shape, strict=True) if n > 1]


def numbers(i):
    return mg.tensor(np.cos(np.arange(36.0) + i).reshape(6, 6), dtype="float32")


@pytest.mark.parametrize("name", RESULTS)
def test_of_results(name):
    step, captured = RESULTS[name], mg.capture(RESULTS[name])
    for i in range(3):
        expected, found = step(numbers(i)), captured(numbers(i))
        assert strides(found) == strides(expected)
        assert found.tolist() == expected.tolist()


@pytest.mark.parametrize("name", GRADIENTS)
def test_of_gradients(name):
    def make():
        w = numbers(0).requires_grad_()

        def step(x):
            w.grad = None
            GRADIENTS[name](w, x).sum().backward()

        return w, step

    (w, step), (other, captured) = make(), make()
    captured = mg.capture(captured)
    for i in range(3):
        step(numbers(i)), captured(numbers(i))
        assert strides(other.grad) == strides(w.grad)
        assert other.grad.tolist() == w.grad.tolist()
