"""What a program makes of a recording: what it leaves out, does once, or does first."""

from __future__ import annotations

import operator

import numpy as np
import pytest

import minigrad as mg
from minigrad.arrays import threads


def program_of(function, *args):
    captured = mg.capture(function)
    captured(*args)
    captured(*args)  # memory is made for the first replay
    ((program, *_),) = next(iter(captured._programs.values()))
    return captured, program


def equal(function, *calls):
    captured = mg.capture(function)
    for args in calls:
        for y, z in zip(captured(*args), function(*args), strict=True):
            np.testing.assert_array_equal(y.numpy(), z.numpy())
    return captured


def xp(x):
    return mg.array_module(x.data)


ARGS = [(mg.ones(4) * i,) for i in (1.0, 2.0, 3.0)]


class TestConstants:
    def test_are_made_once(self):
        def function(x):
            half = xp(x).full(4, 0.5, np.float32)
            half[2:] = 1
            return mg.Tensor(x.data * half * (1 - half))

        _, program = program_of(function, mg.ones(4))
        assert len(program.fixed) == 3
        assert [call.name for call in program.main] == ["multiply", "multiply"]

    def test_that_are_changed_later_are_made_anew(self):
        def function(x):
            a = xp(x).zeros(4, np.float32)
            b = a + 1  # of what `a` is now
            a += x.data
            return mg.Tensor(a), mg.Tensor(b * x.data)

        equal(function, *ARGS)

    def test_that_are_changed_after_they_were_used(self):
        def function(x):
            half = xp(x).full(4, 0.5, np.float32)
            y = x.data * half
            half[...] = 1
            return mg.Tensor(y), mg.Tensor(x.data * half)

        equal(function, *ARGS)

    def test_that_a_question_needs(self):
        def function(x):
            a = xp(x).zeros(4, np.float32)
            b = a + 1
            big = bool((x.data * b).sum() > 6)
            a += x.data
            return (mg.Tensor(a), mg.Tensor(b)) if big else (mg.Tensor(b), mg.Tensor(a))

        captured = equal(function, *ARGS, *ARGS)
        assert captured._recordings == 2


def test_operators_in_place_change_what_others_see():
    def function(x):
        a, y = x.data.copy(), []
        for name in ("add", "sub", "mul", "truediv", "pow", "floordiv", "mod"):
            view = a[1:]
            getattr(operator, f"i{name}")(view, 2.5)
            y.append(mg.Tensor(a.copy()))
        return y

    equal(function, *ARGS)


class TestWhatIsLeftOut:
    def test_what_nobody_uses(self):
        def function(x):
            mg.exp(x), mg.tanh(x) * 2
            return x * 3

        _, program = program_of(function, mg.ones(4))
        assert program.dead == 3
        assert [call.name for call in program.main] == ["multiply"]

    def test_but_not_what_draws(self):
        rng = np.random.default_rng(0)

        def function(x):
            mg.dropout(x, 0.5, rng=rng)
            return x * 2

        captured, _ = program_of(function, mg.ones(4))
        before = rng.bit_generator.state
        captured(mg.ones(4))
        assert rng.bit_generator.state != before


def test_memory_is_used_again():
    def function(x):
        for _ in range(50):
            x = mg.tanh(x * 1.5)
        return x

    _, program = program_of(function, mg.ones(1000))
    assert program.nbytes < 4 * 4096
    assert program.unplanned == 100 * 4000


def test_views_cost_nothing():
    def function(x):
        return x.reshape(2, 6).T[1:, ::-1].swapaxes(0, 1)[0].reshape(-1, 1) * 2

    _, program = program_of(function, mg.ones(3, 4))
    assert len(program.main) == 1
    assert len(program.views) == 6  # one of them for what a Tensor of its own shares
    equal(lambda x: [function(x)], *[(mg.randn(3, 4),) for _ in range(3)])


@pytest.mark.host("the function is written for NumPy's arrays")
@pytest.mark.parametrize("count", [1, 3])
def test_what_threads_share_runs_side_by_side_again(count, monkeypatch):
    monkeypatch.setattr(threads, "count", lambda: count)

    def function(x):
        y = xp(x).empty((6, 1000), np.float32)

        def work(i):
            part = x.data * (i + 1)
            np.tanh(part, out=part)
            y[i] = part + x.data

        threads.share(work, range(6))
        return [mg.Tensor(y)]

    captured = equal(function, *[(mg.randn(1000),) for _ in range(4)])
    ((program, *_),) = next(iter(captured._programs.values()))
    shared = [c for c in program.main if c == ("share",)]
    assert len(shared) == (count > 1)


def test_a_block_under_a_condition():
    w = mg.ones(3).requires_grad_()
    optimizer = mg.optim.Adam([w], lr=0.1)

    def step(x):
        optimizer.zero_grad()
        (w * x).sum().backward()
        norm = mg.optim.clip_grad_norm_([w], 1.0)
        optimizer.step(if_finite=norm)
        return norm

    captured, found, expected = mg.capture(step), [], []
    inputs = [1.0, 2.0, np.inf, 3.0, np.nan, np.inf, 1.0]
    for run, told in ((captured, found), (step, expected)):
        with mg.no_grad():
            w[...] = 1.0
        optimizer.state.clear()
        with np.errstate(all="ignore"):
            for value in inputs:
                run(mg.ones(3) * value)
                told.append((w.tolist(), optimizer.state[w]["step"]))
    assert found == expected
    assert captured._recordings == 1


def test_it_explains_itself():
    def double_tanh(x):
        return mg.tanh(x * 2)

    captured, _ = program_of(double_tanh, mg.ones(4))
    told = captured.explain()
    assert "double_tanh: 1 recording" in told
    assert "tanh" in told
    assert "multiply" in told
