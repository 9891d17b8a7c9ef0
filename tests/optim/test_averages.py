"""ASGD's averages, and how they get into the parameters and out again."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.optim import ASGD


class Run:
    def __init__(self, **options):
        rng = np.random.default_rng(0)
        self.p, self.q = (mg.tensor(rng.normal(size=(3, 2)), requires_grad=True) for _ in range(2))
        self.optimizer = ASGD([self.p, self.q], lr=0.1, **options)
        self.rng, self.trail = rng, []

    def steps(self, n):
        for _ in range(n):
            self.p.grad = mg.tensor(self.rng.normal(size=(3, 2)))
            self.optimizer.step()
            self.trail.append(self.p.numpy())
        return self


@pytest.mark.parametrize(("t0", "first"), [(0, 1), (3, 4), (7, 8), (100, 9)])
def test_the_average_is_of_all_steps_from_the_second_after_t0_on(t0, first):
    run = Run(lambd=0, t0=t0).steps(10)
    with run.optimizer.averaged():
        np.testing.assert_allclose(run.p.numpy(), np.mean(run.trail[first:], 0), rtol=1e-12)


def test_in_and_out_again():
    run = Run(lambd=0, t0=0).steps(5)
    p, q, before = run.p, run.q, run.p.numpy()
    memory, untouched = p.data, q.numpy()
    with run.optimizer.averaged():
        assert p.data is memory
        assert not np.array_equal(p.numpy(), before)
        assert np.array_equal(q.numpy(), untouched)  # it has never been stepped
    assert p.data is memory
    assert np.array_equal(p.numpy(), before)
    assert np.array_equal(q.numpy(), untouched)


def test_going_on_afterwards_is_as_if_nothing_had_been():
    one, other = Run(t0=0).steps(3), Run(t0=0).steps(3)
    with one.optimizer.averaged():
        pass
    assert np.array_equal(one.steps(3).p.numpy(), other.steps(3).p.numpy())
    with one.optimizer.averaged(), other.optimizer.averaged():
        assert np.array_equal(one.p.numpy(), other.p.numpy())


def test_an_exception_brings_the_parameters_back():
    run = Run(t0=0).steps(5)
    before = run.p.numpy()

    def interrupted():
        with run.optimizer.averaged():
            run.p.data = np.zeros((3, 2))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert np.array_equal(run.p.numpy(), before)
    run.steps(1)


def test_no_steps_and_no_second_time_within():
    run = Run(t0=0).steps(4)
    before = run.p.numpy()
    with run.optimizer.averaged():
        with pytest.raises(RuntimeError, match=r"ASGD\.step: .* leave averaged\(\)"):
            run.optimizer.step()
        with (
            pytest.raises(RuntimeError, match=r"ASGD\.averaged: .* already"),
            run.optimizer.averaged(),
        ):
            pass
        assert not np.array_equal(run.p.numpy(), before)
    assert np.array_equal(run.p.numpy(), before)


def test_the_tape_notices_both_ways():
    run = Run(t0=0).steps(2)
    outside = (run.p * run.p).sum()
    with run.optimizer.averaged():
        within = (run.p * run.p).sum()
        with pytest.raises(mg.TapeError, match="changed in place"):
            outside.backward()
    with pytest.raises(mg.TapeError, match="changed in place"):
        within.backward()


def test_before_the_first_step_there_is_nothing_to_put_in():
    run = Run()
    before = run.p.numpy()
    with run.optimizer.averaged():
        assert np.array_equal(run.p.numpy(), before)


def test_a_state_saved_within_goes_on_from_the_averages():
    """The weights saved then are the averages; what the optimiser remembers is the same."""
    run = Run(t0=0).steps(4)
    outside = run.optimizer.state_dict()
    with run.optimizer.averaged():
        within = run.optimizer.state_dict()
        assert np.array_equal(run.p.numpy(), within["state"][0]["ax"])
    assert outside["state"][0]["step"] == within["state"][0]["step"] == 4
    assert np.array_equal(outside["state"][0]["ax"], within["state"][0]["ax"])


def test_sparse_gradients_are_refused():
    run = Run()
    rows, values = mg.tensor(np.array([1])), mg.tensor(np.ones((1, 2)))
    run.p.grad = mg.RowSparse(rows.data, values.data, (3, 2))
    with pytest.raises(ValueError, match="row-sparse, which ASGD does not take"):
        run.optimizer.step()
