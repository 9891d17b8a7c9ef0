"""Captured steps on a GPU: a replay waits for nothing, copies nothing, and launches few kernels."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from double import budget

import minigrad as mg
from minigrad import nn, optim

sys.path.insert(0, str(Path(__file__).parents[1] / "gpu" / "dry"))
sys.path.insert(0, str(Path(__file__).parent))
from compared import bits
from training_steps import PLANS, make_step

pytestmark = pytest.mark.device

COPIES = 10
"""The launches of a replay beside those of the step: arguments and results are copied."""


def train(name, captured, **limits):
    """The bits of the losses of some steps and of the weights; what the last step asks for."""
    step, model = make_step(PLANS[name], "cuda", captured=captured)
    losses = [step() for _ in range(3)]
    with budget(**limits) as events:
        losses.append(step())
    launched = [event.what for event in events if event.kind == "kernels"]
    return bits([*losses, *model.parameters()]), launched


@pytest.mark.parametrize("name", sorted(PLANS))
def test_a_replay_is_the_step_and_neither_waits_nor_copies(name):
    waits = 2 * (name == "sparse")  # how many rows there are is a number that the host has to know
    expected, launches = train(name, False, sync=waits, d2h=waits, h2d=None)
    found, launched = train(name, True, sync=waits, d2h=waits)
    assert found == expected
    assert len(launched) <= len(launches) + COPIES + launched.count("where")  # it has no out=


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam])
def test_another_learning_rate_is_no_other_recording(kind):
    def make(capture):
        mg.manual_seed(0)
        model = nn.RNN(3, 4, dropout=0.3, num_layers=2).to("cuda")
        optimizer = kind(model.parameters(), lr=0.1)

        def step(x):
            optimizer.zero_grad()
            loss = (model(x)[0] ** 2).mean()
            loss.backward()
            norm = optim.clip_grad_norm_(model.parameters(), 0.1)
            optimizer.step(if_finite=norm)
            return loss.detach(), norm

        return capture(step), optimizer

    (captured, one), (plain, other) = make(mg.capture), make(lambda f: f)
    for i in range(6):
        for optimizer in (one, other):
            optimizer.param_groups[0]["lr"] = 0.1 / (1 + i)
        x = mg.tensor(np.cos(np.arange(30.0) + i).reshape(5, 2, 3), dtype="float32", device="cuda")
        if i == 4:  # the kernels see that the norm is not finite, and nothing changes
            x *= np.inf
        mg.manual_seed(i)
        expected = plain(x)
        mg.manual_seed(i)
        with budget() if i else budget(None, None, None, None):
            found = captured(x)
        assert bits(found) == bits(expected), i
        assert bits(one.state_dict()) == bits(other.state_dict())
        assert [bits(p) for p in one.parameters()] == [bits(p) for p in other.parameters()]
    assert "1 recording\n" in captured.explain()


def test_groups_whose_learning_rates_part():
    """Those of the same numbers are stepped in one launch, which is decided anew in each replay."""
    weights = [mg.ones(3, device="cuda").requires_grad_() for _ in range(2)]
    optimizer = optim.SGD([{"params": [w]} for w in weights], lr=0.5)

    @mg.capture
    def step():
        optimizer.zero_grad()
        (weights[0].sum() + weights[1].sum()).backward()
        optimizer.step()

    step()
    optimizer.param_groups[1]["lr"] = 0.25
    with budget():
        step()
    assert [w.tolist() for w in weights] == [[0.0] * 3, [0.25] * 3]


def test_arrays_of_the_host_are_copied_once_each():
    weight = mg.ones((2, 3), device="cuda")
    step = mg.capture(lambda x: (mg.tensor(x, device="cuda") * weight * [1.0, 2.0, 3.0]).sum())
    for i in range(4):  # memory is made for the first replay
        with budget(h2d=1) if i > 1 else budget(None, None, None, None):
            y = step(np.full((2, 3), i, np.float32))
        assert y.item() == 12 * i


def test_gradients_that_somebody_keeps_do_not_change():
    w = mg.ones(3, device="cuda").requires_grad_()

    @mg.capture
    def step(x):
        w.grad = None
        (w * x).sum().backward()

    kept = []
    for i in range(4):
        step(mg.ones(3, device="cuda") * i)
        kept.append(w.grad if i % 2 else w.grad.data[:2])
    assert [np.asarray(g.get() if hasattr(g, "get") else g.numpy())[0] for g in kept] == [
        0,
        1,
        2,
        3,
    ]
