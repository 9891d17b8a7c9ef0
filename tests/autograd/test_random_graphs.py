"""Random graphs against a naive autograd: reuse, diamonds, dangling branches, repeated backward."""

from __future__ import annotations

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import minigrad as mg


class Naive:
    """The textbook: each value knows its parents and the local derivatives; recursion, sums."""

    def __init__(self, value, parents=(), leaf=False):
        self.value, self.parents, self.leaf = value, parents, leaf
        self.grad = 0.0

    def tracked(self):
        return self.leaf or any(p.tracked() for p, _ in self.parents)

    def push(self, g):
        if self.leaf:
            self.grad = self.grad + g
        for parent, local in self.parents:
            parent.push(local(g))


def unbroadcast(g, shape):
    while g.ndim > len(shape):
        g = g.sum(0)
    for i, n in enumerate(shape):
        if n == 1 and g.shape[i] != 1:
            g = g.sum(i, keepdims=True)
    return g


def binary(f, da, db):
    def apply(a, b):
        value = f(a.value, b.value)
        return Naive(
            value,
            [
                (a, lambda g: unbroadcast(g * da(a.value, b.value), a.value.shape)),
                (b, lambda g: unbroadcast(g * db(a.value, b.value), b.value.shape)),
            ],
        )

    return apply


UNARY = {
    "tanh": (np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    "sin": (np.sin, np.cos),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), lambda x: np.exp(-x) / (1 + np.exp(-x)) ** 2),
}
BINARY = {
    "add": binary(np.add, lambda a, b: np.ones_like(a + b), lambda a, b: np.ones_like(a + b)),
    "subtract": binary(
        np.subtract, lambda a, b: np.ones_like(a + b), lambda a, b: -np.ones_like(a + b)
    ),
    "multiply": binary(np.multiply, lambda a, b: b + 0 * a, lambda a, b: a + 0 * b),
}
SHAPES = [(), (1,), (3,), (2, 1), (2, 3)]


class RandomGraphs(RuleBasedStateMachine):
    """Builds the same graph twice, walks back from random places, compares all gradients."""

    @initialize(seed=st.integers(0, 2**16))
    def begin(self, seed):
        self.rng = np.random.default_rng(seed)
        self.pairs = []
        for shape in SHAPES:
            self.add_leaf(shape)

    def add_leaf(self, shape):
        value = self.rng.uniform(-1, 1, shape)
        self.pairs.append((mg.tensor(value, requires_grad=True), Naive(value, leaf=True)))

    def pick(self, data, label):
        return self.pairs[data.draw(st.integers(0, len(self.pairs) - 1), label=label)]

    def keep(self, tensor, naive):
        np.testing.assert_allclose(tensor.numpy(), naive.value, rtol=1e-12, atol=1e-12)
        if len(self.pairs) < 25:
            self.pairs.append((tensor, naive))

    @rule(data=st.data(), name=st.sampled_from(sorted(UNARY)))
    def unary(self, data, name):
        x, n = self.pick(data, "operand")
        f, df = UNARY[name]
        value = n.value
        self.keep(getattr(mg, name)(x), Naive(f(value), [(n, lambda g: g * df(value))]))

    @rule(data=st.data(), name=st.sampled_from(sorted(BINARY)))
    def binary(self, data, name):
        (a, na), (b, nb) = self.pick(data, "left"), self.pick(data, "right")
        self.keep(getattr(mg, name)(a, b), BINARY[name](na, nb))

    @rule(data=st.data())
    def total(self, data):
        x, n = self.pick(data, "operand")
        shape = n.value.shape
        self.keep(x.sum(), Naive(n.value.sum(), [(n, lambda g: np.broadcast_to(g, shape))]))

    @rule(data=st.data(), part=st.sampled_from([0, 1, 2]))
    def split_and_use_some_parts(self, data, part):
        x, n = self.pick(data, "operand")
        flat = mg.broadcast_to(x, (2, 3)).reshape(6)
        parts = mg.split(flat, 3)
        base = n.value.shape
        value = np.broadcast_to(n.value, (2, 3)).reshape(6)[2 * part : 2 * part + 2].sum()

        def back(g):
            full = np.zeros(6)
            full[2 * part : 2 * part + 2] = g
            return unbroadcast(full.reshape(2, 3), base)

        self.keep(parts[part].sum(), Naive(value, [(n, back)]))

    @rule(data=st.data())
    def without_recording(self, data):
        x, n = self.pick(data, "operand")
        with mg.no_grad():
            y = x * 3.0
        self.keep(y, Naive(n.value * 3.0))

    @rule(data=st.data())
    def detach(self, data):
        x, n = self.pick(data, "operand")
        self.keep(x.detach(), Naive(n.value))

    @precondition(lambda self: len(self.pairs) > len(SHAPES) + 2)
    @rule(data=st.data())
    def drop(self, data):
        del self.pairs[data.draw(st.integers(len(SHAPES), len(self.pairs) - 1))]

    @rule(data=st.data(), again=st.booleans())
    def walk_back(self, data, again):
        x, n = self.pick(data, "from")
        if not n.tracked():
            assert not x.requires_grad
            return
        for _ in range(1 + again):
            g = self.rng.uniform(-1, 1, n.value.shape)
            x.backward(np.asarray(g), retain_graph=True)
            n.push(np.asarray(g))

    @rule(data=st.data())
    def grad_touches_nothing_and_agrees(self, data):
        x, n = self.pick(data, "from")
        leaves = [(t, m) for t, m in self.pairs if m.leaf]
        if not n.tracked():
            return
        before = [m.grad for _, m in leaves]
        for _, m in leaves:
            m.grad = 0.0
        n.push(np.ones(n.value.shape))
        found = mg.grad(
            x, [t for t, _ in leaves], mg.ones_like(x), retain_graph=True, allow_unused=True
        )
        for g, (_, m), old in zip(found, leaves, before, strict=True):
            expected, m.grad = m.grad, old
            np.testing.assert_allclose(
                np.zeros(1) if g is None else g.numpy(), expected, rtol=1e-9, atol=1e-9
            )

    @invariant()
    def gradients_agree(self):
        for tensor, naive in getattr(self, "pairs", ()):
            if naive.leaf:
                got = np.zeros(()) if tensor.grad is None else tensor.grad.numpy()
                np.testing.assert_allclose(
                    got + 0 * naive.value, naive.grad + 0 * naive.value, rtol=1e-9, atol=1e-9
                )

    @invariant()
    def gradients_share_no_memory(self):
        grads = [
            t.grad.data for t, m in getattr(self, "pairs", ()) if m.leaf and t.grad is not None
        ]
        for i, a in enumerate(grads):
            assert not any(np.shares_memory(a, b) for b in grads[:i])


TestRandomGraphs = RandomGraphs.TestCase
TestRandomGraphs.settings = settings(max_examples=60, stateful_step_count=25)
