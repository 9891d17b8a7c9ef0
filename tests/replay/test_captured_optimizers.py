"""Every optimiser, with its options and its schedules, over hundreds of captured steps."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim

sys.path.insert(0, str(Path(__file__).parent))
from compared import compare, left_behind

OPTIMIZERS = {
    "SGD": (optim.SGD, {"lr": 0.1}),
    "SGD with all": (
        optim.SGD,
        {"lr": 0.1, "momentum": 0.9, "dampening": 0.1, "weight_decay": 0.01, "maximize": True},
    ),
    "Nesterov": (optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    "Adam": (optim.Adam, {"lr": 0.01}),
    "Adam with all": (optim.Adam, {"lr": 0.01, "weight_decay": 0.1, "amsgrad": True}),
    "AdamW": (optim.AdamW, {"lr": 0.01}),
    "RMSprop": (optim.RMSprop, {"lr": 0.01, "centered": True, "momentum": 0.5}),
    "Adagrad": (optim.Adagrad, {"lr": 0.1, "lr_decay": 0.1}),
    "ASGD": (optim.ASGD, {"lr": 0.1, "t0": 20.0, "lambd": 0.01}),
}
RNG = np.random.default_rng(5)
IDS = RNG.integers(0, 9, (7, 2, 6, 3))


def batches(i):
    return [mg.tensor(ids, dtype=int) for ids in IDS[i % 7]]


class Model(nn.Module):
    def __init__(self, sparse, dtype):
        rng = np.random.default_rng(0)
        self.embedding = nn.Embedding(9, 4, sparse=sparse, rng=rng, dtype=dtype)
        self.recurrent = nn.LSTM(4, 5, dropout=0.2, num_layers=2, rng=rng, dtype=dtype)
        self.output = nn.Linear(5, 9, rng=rng, dtype=dtype)

    def forward(self, x, state=None):
        h, state = self.recurrent(self.embedding(x), state)
        return self.output(h), state


def makes(kind, options, sparse=False, dtype="float32", schedule=None, inside=False):
    def make():
        model = Model(sparse, dtype)
        optimizer = kind(model.parameters(), **options)
        by = None if schedule is None else schedule(optimizer)
        state = [None]

        def step(x, y):
            optimizer.zero_grad()
            logits, _ = model(x)
            loss = mg.cross_entropy(logits, y)
            loss.backward()
            norm = optim.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step(if_finite=norm)
            if by is not None and inside:
                by.step()
            return loss.detach(), norm

        def told():
            if by is not None and not inside:
                by.step()
            state[0] = left_behind(model, optimizer, model.recurrent.rng)
            return state[0]

        return step, told

    return make


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        *((name, "float32") for name in OPTIMIZERS),
        *((name, dtype) for name in ("Adam", "ASGD") for dtype in ("float16", "float64")),
    ],
)
def test_many_steps(name, dtype):
    captured = compare(makes(*OPTIMIZERS[name], dtype=dtype), batches, steps=30)
    assert sum(map(len, captured._programs.values())) <= 3


@pytest.mark.parametrize("name", ["SGD", "Adam", "Adagrad", "Nesterov"])
def test_row_sparse_gradients(name):
    compare(makes(*OPTIMIZERS[name], sparse=True), batches, steps=30)


def test_row_sparse_gradients_clipped_by_value():
    def make():
        model = Model(True, "float32")
        optimizer = optim.SGD(model.parameters(), lr=0.1)

        def step(x, y):
            optimizer.zero_grad()
            loss = mg.cross_entropy(model(x)[0], y)
            loss.backward()
            optim.clip_grad_value_(model.parameters(), 1e-3)
            norm = optim.clip_grad_norm_(model.parameters(), 1e-3)
            optimizer.step()
            return loss.detach(), norm

        return step, lambda: left_behind(model, optimizer, model.recurrent.rng)

    compare(make, batches, steps=10)


@pytest.mark.parametrize("inside", [False, True])
def test_a_learning_rate_that_changes(inside):
    def schedule(optimizer):
        return optim.CosineAnnealingLR(optimizer, 40)

    captured = compare(makes(*OPTIMIZERS["Adam"], schedule=schedule, inside=inside), batches, 40)
    assert sum(map(len, captured._programs.values())) == 1
