"""Memory and depth: no cycles, no growth, no recursion."""

from __future__ import annotations

import gc
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

import minigrad as mg
from minigrad.autograd.node import Leaf

pytestmark = pytest.mark.host(reason="the tape is the same, wherever the arrays are")


def leaf(value, dtype=np.float64):
    return mg.tensor(np.array(value, dtype), requires_grad=True)


def test_a_training_step_makes_no_cycles():
    """With the garbage collector off, 300 training steps do not grow memory."""
    rng = np.random.default_rng(0)
    cell, head = mg.nn.LSTMCell(4, 8, rng=rng), mg.nn.Linear(8, 5, rng=rng)
    weight, bias = leaf(np.ones(8, np.float32)), leaf(np.zeros(8, np.float32))
    parameters = [*cell.parameters(), *head.parameters(), weight, bias]
    optimizer = mg.optim.SGD(parameters, lr=0.1)
    x, y = rng.normal(size=(3, 2, 4)).astype(np.float32), np.array([0, 3])

    def step():
        state = None
        for x_t in x:
            h, c = cell(mg.Tensor(x_t), state)
            state = (h, c)
        h = mg.layer_norm(mg.concatenate(mg.split(h, 2, axis=1), 1), 8, weight, bias)
        loss = mg.cross_entropy(head(h), y)
        optimizer.zero_grad()
        loss.backward()
        mg.optim.clip_grad_norm_(parameters, 1.0)
        optimizer.step()

    def arrays_in_memory():
        numpy_only = tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)
        traces = tracemalloc.take_snapshot().filter_traces([numpy_only])
        return sum(trace.size for trace in traces.traces)

    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        for _ in range(10):
            step()
        arrays, objects = arrays_in_memory(), len(gc.get_objects())
        for _ in range(300):
            step()
        assert arrays_in_memory() - arrays < 1000
        assert len(gc.get_objects()) - objects < 100
        assert gc.collect() < 50
    finally:
        tracemalloc.stop()
        gc.enable()


def test_an_abandoned_graph_is_freed_without_the_collector():
    gc.collect()
    gc.disable()
    try:
        x = leaf(1.0)
        for _ in range(3):
            y = x
            for _ in range(1000):
                y = mg.tanh(y * x)
            g = mg.grad(y, x, create_graph=True)
            del y, g
        assert gc.collect() < 50
    finally:
        gc.enable()


CHAIN = """
import sys
import minigrad as mg
sys.setrecursionlimit(150)
x = mg.tensor(1.0, requires_grad=True)
for walked in (False, True):
    y = x
    for _ in range(100_000):
        y = y + x
    if walked:
        y.backward()
    del y
    print(x.grad)
"""


def test_a_hundred_thousand_ops_are_built_walked_and_freed_without_recursion():
    run = subprocess.run([sys.executable, "-c", CHAIN], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout == "None\nTensor(100001., dtype=float32)\n"


def test_leaves_hold_their_tensor_weakly():
    x = leaf(1.0)
    assert isinstance(x._node, Leaf)
    node = x._node
    del x
    assert node.tensor() is None
