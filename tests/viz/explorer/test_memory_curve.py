"""The memory curve is what the tape really holds."""

import gc
import sys
import threading
import tracemalloc
from contextlib import contextmanager, nullcontext

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.autograd.modes import modes, watchers
from minigrad.autograd.node import FREED
from minigrad.autograd.sparse import RowSparse
from minigrad.autograd.tape import walk
from minigrad.tensor import Tensor
from minigrad.viz.explorer.memory_curve import memory_curve
from minigrad.viz.explorer.step_order import steps_of, summands_of
from minigrad.viz.reading import read

pytestmark = pytest.mark.host(reason="it measures the host's memory")

RNG = np.random.default_rng


def arrays_in(thing, seen):
    """All arrays that can be reached from what a node keeps, by any way."""
    if id(thing) in seen:
        return
    seen[id(thing)] = thing
    if isinstance(thing, np.ndarray):
        while isinstance(thing.base, np.ndarray):
            thing = thing.base
        yield thing
    elif isinstance(thing, Tensor):
        yield from arrays_in(thing._array, seen)
    elif not isinstance(thing, type) and type(thing).__module__ != "builtins":
        for inner in gc.get_referents(thing):
            if not isinstance(inner, type):
                yield from arrays_in(inner, seen)
    elif isinstance(thing, list | tuple | dict):
        for inner in thing.values() if isinstance(thing, dict) else thing:
            yield from arrays_in(inner, seen)


def kept_by(nodes, apart):
    """The bytes of all arrays that can be reached from what `nodes` keep, each once."""
    seen = {}
    saved = [node.saved for node in nodes if node.saved is not FREED]
    arrays = {id(a): a for one in saved for a in arrays_in(one, seen)}
    return sum(a.nbytes for i, a in arrays.items() if i not in apart)


def waiting():
    """The bytes of all gradients that the walk, which called, has at hand: each memory once."""
    frame = sys._getframe(1)
    while frame.f_code is not walk.__code__:
        frame = frame.f_back
    at_hand = frame.f_locals
    gradients = [at_hand["g"], *at_hand["pending"].values(), *at_hand["found"].values()]
    found = {}
    for g in gradients:
        for x in g if isinstance(g, list) else [g]:
            for array in [x.rows, x.values] if isinstance(x, RowSparse) else [x]:
                if array is not None:
                    base = array if array.base is None else array.base
                    found[id(base)] = base.nbytes
    return sum(found.values())


class Observer:
    """Calls a function before each step of a walk back, and notes the ops that ran."""

    def __init__(self, before_step):
        self.nodes, self.before_step = [], before_step

    def called(self, op, args, outputs, node):
        if node is not None:
            self.nodes.append(node)

    def starts(self, nodes, wanted):
        pass

    def walked(self, node, g, gradients):
        self.before_step(node)

    def inside(self, module):
        return nullcontext()


@contextmanager
def told(observer):
    modes.observer = observer
    watchers.append(threading.get_ident())
    try:
        yield
    finally:
        watchers.pop()
        modes.observer = None


class Model(nn.Module):
    def __init__(self, kind, hidden=5, sparse=False, **options):
        rng = RNG(0)
        self.embedding = nn.Embedding(50, 4, rng=rng, sparse=sparse)
        self.recurrent = kind(4, hidden, rng=rng, **options)
        self.output = nn.Linear(hidden, 7, rng=rng)

    def forward(self, ids):
        return self.output(nn.Dropout(0.5)(self.recurrent(self.embedding(ids))[0]))


def loss_of(model, T=6, N=3):
    ids = RNG(1).integers(7, size=(T + 1, N))
    return mg.cross_entropy(model(ids[:-1]).reshape(-1, 7), ids[1:].ravel())


def curve(tensor):
    tape = read(tensor)
    steps = steps_of(tape)
    return tape, steps, memory_curve(tape, steps, summands_of(tape))


LAYERS = [{}, {"sparse": True}, {"unroll": True}, {"unroll": True, "num_layers": 2}]


@pytest.mark.parametrize("options", LAYERS)
@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_it_is_what_the_nodes_keep_in_the_real_engine(kind, options):
    """At each op of the forward pass, and before each op of a real backward()."""
    model = Model(kind, **options)
    apart = {id(p._array) for p in model.parameters()}
    measured, gradients, names = [], [], []

    def before_step(node):
        measured.append(kept_by(behind, apart))
        gradients.append(waiting())
        names.append(node.plan.name)

    observer = Observer(before_step)
    with told(observer):
        loss = loss_of(model)
        tape, steps, claim = curve(loss)
        known = {entry.node for entry in tape}
        behind = [node for node in observer.nodes if node in known]
        forward = [kept_by(behind[: i + 1], apart) for i in range(len(behind))]
        loss.backward()
    assert len(forward) == sum(step.forward for step in steps)
    np.testing.assert_array_equal(claim.saved[: len(forward)], forward)
    back = [i for i, step in enumerate(steps) if not step.forward and step.entry.kind == "op"]
    assert [steps[i].entry.op for i in back] == names
    before = np.array(back) - 1
    np.testing.assert_array_equal(claim.saved[before], measured)
    np.testing.assert_array_equal(claim.gradients[before][1:], gradients[1:])
    assert claim.saved[-1] == 0
    assert claim.saved.max() > 1000
    assert claim.leaves > 0


def test_gradients_of_few_rows_and_of_leaves_that_are_found_early():
    """They wait while the walk goes on to ops that are older."""
    measured = []
    with told(Observer(lambda node: measured.append(waiting()))):
        p = mg.tensor(RNG(0).normal(size=(6, 4)), requires_grad=True)
        old = mg.tanh(mg.tanh(p))
        W = mg.tensor(RNG(1).normal(size=(100, 4)), requires_grad=True)
        x = sum(mg.embedding(np.arange(i, i + 6), W, sparse=True) for i in (0, 6))
        loss = (x * old).sum()
        _, steps, claim = curve(loss)
        loss.backward()
    back = [i for i, step in enumerate(steps) if not step.forward and step.entry.kind == "op"]
    np.testing.assert_array_equal(claim.gradients[np.array(back) - 1][1:], measured[1:])
    few_rows = 12 * (4 * 8 + 8)
    assert measured[-1] == claim.gradients[-1] == few_rows + 6 * 4 * 8


def test_a_step_takes_as_much_memory_as_it_says():
    """All of it, with the gradients, by the allocator: what a step adds and what it gives back."""
    T, size = 8, 200
    W = mg.tensor(RNG(0).normal(size=(size, size)).astype(np.float32) / 20, requires_grad=True)
    b = mg.zeros(size, requires_grad=True)
    h_0 = mg.tensor(RNG(1).normal(size=(100, size)).astype(np.float32), requires_grad=True)

    def program():
        h = h_0
        for _ in range(T):
            h = mg.tanh(h @ W + b) * 0.5 + h
        return h.sum()

    _, steps, claim = curve(program())
    back = [i for i, step in enumerate(steps) if not step.forward and step.entry.kind == "op"]
    measured = []
    tracemalloc.start()
    try:
        with told(Observer(lambda node: measured.append(tracemalloc.get_traced_memory()[0]))):
            loss = program()
            loss.backward()
    finally:
        tracemalloc.stop()
    array = 100 * size * 4
    more = (measured - (claim.saved + claim.gradients)[np.array(back) - 1]) / array
    more -= more[0]
    assert -0.1 < more.min() <= more.max() < 3.1  # what the rules have just made
    assert claim.saved.max() == 2 * T * array - array
