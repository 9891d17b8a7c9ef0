"""Training steps with every layer and loss, clipped and stepped: replays are bit for bit."""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "nn"))
from compared import compare, left_behind
from test_every_layer import CASES


def outputs_in(y):
    if isinstance(y, mg.Tensor):
        return [y]
    return [t for item in y for t in outputs_in(item)] if isinstance(y, list | tuple) else []


def as_tensor(x, i):
    if isinstance(x, tuple) and all(isinstance(item, np.ndarray) for item in x):
        return tuple(as_tensor(item, i) for item in x)
    if not isinstance(x, np.ndarray):
        return x
    if x.dtype == np.bool_:
        return mg.tensor(np.roll(x, i))
    x = x.astype(np.float32) * (1 + np.float32(i) / 8) if x.dtype.kind == "f" else (x + i) % x.max()
    return mg.tensor(x, dtype=x.dtype)


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_step_with_the_layer(name):
    make_layer, *args = CASES[name]
    rng = np.random.default_rng(3)
    mg.manual_seed(1)
    layer = make_layer()

    def make():
        model = copy.deepcopy(layer)
        own = copy.deepcopy(rng)
        for m in model.modules():
            if hasattr(m, "rng"):
                m.rng = own
        parameters = model.parameters()
        optimizer = optim.Adam(parameters, lr=0.01) if parameters else None

        def step(*inputs):
            if optimizer is not None:
                optimizer.zero_grad()
            ys = outputs_in(model(*inputs))
            loss = sum((y * y).mean() for y in ys if y.dtype.kind == "f")
            if optimizer is not None:
                loss.backward()
                optim.clip_grad_norm_(parameters, 0.5)
                optimizer.step()
            return loss.detach(), [y.detach() for y in ys]

        return step, lambda: left_behind(model, optimizer, own)

    compare(make, lambda i: [as_tensor(x, i) for x in args])


@pytest.mark.parametrize("unroll", [False, True])
def test_other_lengths_in_an_array_are_recorded_anew(unroll):
    def make():
        layer = nn.LSTM(3, 2, bidirectional=True, unroll=unroll, rng=np.random.default_rng(0))

        def step(x, lengths):
            layer.zero_grad()
            output, _ = layer(x, lengths=lengths)
            (output * output).sum().backward()
            return output.detach()

        return step, lambda: left_behind(layer, None)

    x = np.random.default_rng(1).random((4, 3, 3), np.float32)
    captured = compare(make, lambda i: (x + i, np.array([4, 1 + i % 2, 2])), steps=6)
    assert captured.explain().startswith("step: 2 recordings")
