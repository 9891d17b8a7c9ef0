"""``optimizer.step(if_finite=x)``: unless x is finite, nothing changes, on the CPU and on a GPU."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad.optim import (
    ASGD,
    SGD,
    Adagrad,
    Adam,
    AdamW,
    Optimizer,
    RMSprop,
    clip_grad_norm_,
)

EACH = [
    (SGD, {}),
    (SGD, {"momentum": 0.9, "weight_decay": 0.1}),
    (ASGD, {"lambd": 0.1, "t0": 0}),
    (Adagrad, {}),
    (RMSprop, {"momentum": 0.9, "centered": True}),
    (Adam, {"amsgrad": True}),
    (AdamW, {}),
]
each_optimizer = pytest.mark.parametrize(("kind", "options"), EACH)


class Run:
    """Parameters and an optimiser, after two steps."""

    def __init__(self, kind, options, dtype="float32", shapes=((3, 2), (), (4,))):
        rng = np.random.default_rng(0)
        self.parameters = [
            mg.tensor(rng.normal(size=shape), dtype, requires_grad=True) for shape in shapes
        ]
        self.optimizer = kind(self.parameters, lr=0.1, **options)
        for p in self.parameters:
            p.grad = mg.tensor(rng.normal(size=p.shape), dtype)
        for _ in range(2):
            self.optimizer.step()

    def arrays(self):
        """All that a step may change, but for the numbers of steps."""
        found = [p.numpy() for p in self.parameters]
        for state in self.optimizer.state_dict()["state"].values():
            found += [x for x in state.values() if isinstance(x, np.ndarray)]
        return found

    def counts(self):
        return [state.get("step") for state in self.optimizer.state.values()]


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@each_optimizer
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
class TestEachOptimizer:
    @pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
    def test_nothing_changes_if_not(self, kind, options, dtype, number):
        run = Run(kind, options, dtype)
        before = run.arrays()
        run.optimizer.step(if_finite=mg.tensor(number))
        assert same(run.arrays(), before)

    @pytest.mark.parametrize("number", [0.0, -3.0, 1e30])
    def test_it_is_the_step_that_it_was_if_so(self, kind, options, dtype, number):
        run, other = Run(kind, options, dtype), Run(kind, options, dtype)
        run.optimizer.step(if_finite=mg.tensor(number))
        other.optimizer.step()
        assert same(run.arrays(), other.arrays())
        assert run.counts() == other.counts()

    @pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
    @pytest.mark.parametrize("of", ["float16", "float32", "float64"])
    def test_a_number_of_any_dtype_and_shape(self, kind, options, dtype, of, shape):
        run = Run(kind, options, dtype)
        before = run.arrays()
        run.optimizer.step(if_finite=mg.tensor(np.full(shape, np.inf), of))
        assert same(run.arrays(), before)
        largest = np.full(shape, np.finfo(of).max)  # which fits into no smaller dtype
        run.optimizer.step(if_finite=mg.tensor(largest, of))
        assert not same(run.arrays(), before)


@each_optimizer
def test_the_steps_that_are_counted(kind, options, device):
    """On a GPU the host does not know, and counts all."""
    run = Run(kind, options)
    before = run.counts()
    run.optimizer.step(if_finite=mg.tensor(math.nan))
    added = int(device != "cpu")
    assert run.counts() == [None if count is None else count + added for count in before]


@pytest.mark.parametrize(("kind", "options"), [EACH[i] for i in (0, 1, 3, 5)])
def test_row_sparse_gradients(kind, options):
    w = mg.ones((5, 3), requires_grad=True)
    optimizer = kind([w], **{**options, "weight_decay": 0})
    mg.embedding([1, 4], w, sparse=True).sum().backward()
    optimizer.step(if_finite=mg.tensor(math.nan))
    assert w.tolist() == [[1] * 3] * 5
    optimizer.step(if_finite=mg.tensor(1.0))
    assert (w.numpy() != 1).any(1).tolist() == [False, True, False, False, True]


def test_an_optimizer_of_one_s_own():
    class Plain(Optimizer):
        def _update(self, parameter, gradient, state, o):
            parameter -= gradient

    p = mg.ones(3, requires_grad=True)
    p.grad = mg.ones(3)
    Plain([p], {}).step(if_finite=mg.tensor(math.nan))
    assert p.tolist() == [1, 1, 1]
    Plain([p], {}).step(if_finite=mg.tensor(1.0))
    assert p.tolist() == [0, 0, 0]


def test_the_norm_of_clipping_skips_a_step():
    run = Run(Adam, {})
    run.parameters[1].grad = mg.tensor(math.inf)
    before = run.arrays()
    norm = clip_grad_norm_(run.parameters, 1.0)
    run.optimizer.step(if_finite=norm)
    assert same(run.arrays(), before)
    run.parameters[1].grad = mg.tensor(2.0)
    run.parameters[0].grad, run.parameters[2].grad = mg.ones((3, 2)), mg.ones(4)
    run.optimizer.step(if_finite=clip_grad_norm_(run.parameters, 1.0))
    assert not same(run.arrays(), before)
    assert all(np.isfinite(x).all() for x in run.arrays())


def test_with_a_closure_and_without_gradients():
    p = mg.ones(2, requires_grad=True)
    optimizer = SGD([p], lr=1.0)
    optimizer.step(if_finite=mg.tensor(1.0))
    assert p.tolist() == [1, 1]

    def closure():
        loss = (p * 2).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure, if_finite=mg.tensor(math.nan)).item() == 4
    assert p.tolist() == [1, 1]
    assert p.grad.tolist() == [2, 2]


@pytest.mark.parametrize("wrong", [1.0, None, "x"])
def test_errors_leave_everything_as_it_was(wrong):
    run = Run(Adam, {})
    before = run.arrays()
    numbers = [mg.tensor([1.0, 2.0]), mg.tensor(np.ones(0)), mg.tensor(np.array(1))]
    for number in [*numbers, *([] if wrong is None else [wrong])]:
        message = r"Adam\.step: if_finite must be a Tensor of one float, got "
        with pytest.raises(ValueError, match=message):
            run.optimizer.step(if_finite=number)
    assert same(run.arrays(), before)


@pytest.mark.device
def test_a_number_on_another_device():
    run = Run(Adam, {})
    before = run.arrays()
    with pytest.raises(ValueError, match=r"Adam\.step: if_finite is on cpu, but a parameter of"):
        run.optimizer.step(if_finite=mg.tensor(1.0, device="cpu"))
    assert same(run.arrays(), before)
