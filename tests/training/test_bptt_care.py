"""Truncated BPTT: what it leaves in memory, what it refuses, and cutting off a state."""

import gc
import tracemalloc
import weakref
from typing import NamedTuple

import numpy as np
import pytest

import minigrad as mg
from minigrad.training import detach_state, full_bptt, truncated_bptt


def leaf(array):
    return mg.tensor(array, dtype="float64", requires_grad=True)


def test_detach_state():
    class Pair(NamedTuple):
        h: object
        c: object

    x = leaf([1.0, 2.0])
    y = mg.tanh(x)
    state = detach_state(Pair([y, None], (x, y)))
    assert type(state) is Pair
    assert type(state.h) is list
    assert type(state.c) is tuple
    assert state.h[1] is None
    for tensor, origin in ((state.h[0], y), (state.c[0], x), (state.c[1], y)):
        assert not tensor.requires_grad
        assert tensor.data is origin.data
    assert y.requires_grad
    with pytest.raises(TypeError, match=r"a state consists of Tensors.* not dict"):
        detach_state((y, {"c": y}))


class TestMemory:
    @pytest.mark.host(reason="it measures the memory of the host")
    def test_memory_does_not_grow_with_the_length(self):
        U = leaf(np.eye(50))

        def model(x, h):
            outputs = []
            for x_t in x:
                h = mg.tanh(h @ U + x_t)
                outputs.append(h)
            return mg.stack(outputs), h

        def peak(steps):
            x, state = np.ones((steps, 30, 50)), mg.zeros((30, 50), "float64")
            gc.collect()
            gc.disable()
            tracemalloc.start()
            try:
                for _ in truncated_bptt(model, lambda o, t: o.sum(), x, x, state, k1=5, k2=10):
                    U.grad = None
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
                gc.enable()

        peak(20)
        assert peak(150) < 1.3 * peak(30)

    def test_outputs_that_no_loss_is_computed_of_go_at_once(self):
        w, outputs, alive = leaf(2.0), [], []

        def model(x, h):
            alive.append(sum(output() is not None for output in outputs))
            output = mg.tensor(x) * w + h
            outputs.append(weakref.ref(output))
            return output, output[-1]

        x = np.ones(6)
        for _ in truncated_bptt(model, lambda o, t: o.sum(), x, x, mg.zeros(()), k1=1, k2=3):
            pass
        assert len(alive) > 6
        assert not any(alive)

    def test_the_outputs_of_a_window_go_before_the_next(self):
        size = 1 << 16
        w = leaf(np.ones(size))

        def model(x, h):
            return mg.stack([w * x_t for x_t in x]), h

        x = np.ones((4, 1))
        windows = truncated_bptt(model, lambda o, t: o.sum(), x, x, mg.zeros(1), k1=2)
        gc.disable()
        tracemalloc.start()
        try:
            next(windows)
            left = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
            gc.enable()
        assert left < 1.5 * 8 * size  # the gradient of w, and no outputs


class TestErrors:
    x = np.zeros((6, 2))

    def run(self, model=lambda x, h: (x, h), loss=lambda o, t: o.sum(), **arguments):
        return list(truncated_bptt(model, loss, self.x, self.x, **arguments))

    @pytest.mark.parametrize(("k1", "k2"), [(0, None), (-1, 3), (3, 2), (3, 0)])
    def test_k1_and_k2(self, k1, k2):
        with pytest.raises(ValueError, match=rf"1 <= k1 <= k2 is needed, got k1={k1} and k2="):
            truncated_bptt(lambda x, h: (x, h), None, self.x, self.x, k1=k1, k2=k2)

    @pytest.mark.parametrize("start", [-1, 6, 7])
    def test_start(self, start):
        with pytest.raises(ValueError, match=f"start={start} is none of the 6 steps"):
            self.run(k1=2, start=start)

    def test_no_steps(self):
        with pytest.raises(ValueError, match="start=0 is none of the 0 steps"):
            full_bptt(None, None, self.x[:0], self.x[:0])

    def test_lengths(self):
        with pytest.raises(ValueError, match="6 steps of inputs, but 5 of targets"):
            truncated_bptt(None, None, self.x, self.x[1:], k1=2)

    def test_a_model_without_a_state(self):
        with pytest.raises(TypeError, match=r"the model must give a pair \(outputs, state\), not"):
            self.run(lambda x, h: mg.tensor(x), k1=2)

    def test_a_loss_that_is_no_tensor(self):
        with pytest.raises(TypeError, match="the loss must be a Tensor, not float"):
            self.run(loss=lambda o, t: 0.0, k1=2)

    def test_a_loss_that_depends_on_nothing(self):
        with pytest.raises(mg.TapeError, match="constant"):
            self.run(lambda x, h: (mg.tensor(x), h), k1=2)
