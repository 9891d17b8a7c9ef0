"""What a training step asks of the GPU: launches, and nothing that makes the host wait."""

from __future__ import annotations

import cupy
import numpy as np
import pytest
from null_counts import count
from training_steps import PLANS, make_step

import minigrad as mg

FROM_LENGTHS = 3
"""Copies to the device for sequences of different lengths, which are numbers of the host."""

WAITS = {"sparse"}
"""Row-sparse gradients: how many rows there are is a number that the host has to know."""


def counts_of(plan, dtype="float32", captured=False):
    """What one step asks for, after two others: those compile kernels and make buffers."""
    step, _ = make_step(plan, "cuda", dtype, captured)
    step()
    step()
    with count() as counts:
        step()
    return counts


@pytest.fixture(scope="module")
def counted():
    """By name; each plan is run once, when it is first asked for."""
    known = {}

    def get(name):
        if name not in known:
            known[name] = counts_of(PLANS[name])
        return known[name]

    return get


@pytest.mark.parametrize("name", sorted(PLANS.keys() - WAITS))
def test_the_host_neither_waits_nor_copies(counted, name):
    counts = counted(name)
    assert counts.launches > 10
    copies = FROM_LENGTHS if PLANS[name].lengths else 0
    assert counts.host_to_device <= copies
    assert counts.device_to_host == counts.synchronisations == counts.sorts == 0


@pytest.mark.parametrize("name", sorted(PLANS.keys() - WAITS))
def test_a_replay_neither_waits_nor_copies(counted, name):
    """On the device it copies arguments, results, and what comes from functions without out=."""
    counts, plain = counts_of(PLANS[name], captured=True), counted(name)
    assert not any(counts.traffic().values())
    assert not counts.float64
    wheres = sum(n for kernel, n in counts.kernels.items() if "where" in kernel)
    work, before = (c.launches + c.device_to_device for c in (counts, plain))
    assert work <= before + 16 + wheres
    assert counts.products <= plain.products


@pytest.mark.parametrize("name", sorted(PLANS))
def test_float32_stays_float32(counted, name):
    assert not counted(name).float64


@pytest.mark.parametrize("name", sorted(n for n, plan in PLANS.items() if plan.fused))
def test_launches_are_few(counted, name):
    """At most 60, and for each time step and layer 8, forward and backward together."""
    plan, counts = PLANS[name], counted(name)
    assert counts.launches <= 60 + 8 * plan.steps * plan.layers


@pytest.mark.parametrize("name", ["rnn-2", "lstm-2", "gru-2", "C4", "C4-GRU"])
def test_a_time_step_of_a_layer_is_a_product_and_a_kernel_or_two(counted, name):
    plan, counts = PLANS[name], counted(name)
    per_step = 3 if "gru" in name.lower() else 2  # forward and backward together
    assert counts.launches <= 40 + per_step * plan.steps * plan.layers
    assert counts.products <= 20 + 2 * plan.steps * plan.layers


def test_the_number_of_parameters_does_not_matter_to_the_optimiser(counted):
    def updates(name):
        return sum(n for k, n in counted(name).kernels.items() if k.startswith("minigrad_sgd"))

    assert updates("lstm") == updates("lstm-2") == 1


def test_a_step_counts_the_same_again():
    step, _ = make_step(PLANS["lstm"], "cuda")
    step()
    totals = []
    for _ in range(3):
        with count() as counts:
            step()
        totals.append((counts.kernels, counts.products))
    assert totals[0] == totals[1] == totals[2]


# ---------------------------------------------------------------------------- the tests can fail


def test_what_must_not_happen_is_counted():
    x = mg.ones((3, 3), device="cuda")
    with count() as counts:
        x.sum().item()
    assert (counts.device_to_host, counts.synchronisations) == (1, 1)
    with count() as counts:
        mg.tensor(np.ones(3), device="cuda")
    assert counts.host_to_device == 1
    with count() as counts:
        x._array[cupy.asarray([True, False, True])]
    assert counts.device_to_host == 1


@pytest.mark.parametrize(
    "leak",
    [
        lambda x: x * np.float64(2),
        lambda x: x.astype("float64"),
        lambda x: x.sum(dtype="float64"),
        lambda x: x * cupy.ones(3),
        lambda x: cupy.arange(3.0),
        lambda x: cupy.ones((2, 2)) @ cupy.ones((2, 2)),
        lambda x: cupy.full(3, 0.5),
    ],
)
def test_float64_is_seen(leak):
    x = cupy.ones(3, "float32")
    with count() as counts:
        leak(x)
    assert counts.float64


def test_float32_and_integers_are_not_taken_for_float64():
    x, ids = cupy.ones((3, 3), "float32"), cupy.asarray([0, 2])
    with count() as counts:
        (x * 2.5 + 1).sum(axis=0)
        x @ x
        x[ids]
        ids.astype("float32")
        x.mean()
        cupy.sqrt(x).max()
    assert counts.launches > 6
    assert not counts.float64


def test_a_float64_model_is_seen():
    assert counts_of(PLANS["lstm"], "float64").float64
