import copy
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.optim import (
    SGD,
    CosineAnnealingLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)

BASES = (0.5, 2.0)


def optimizer():
    groups = [{"params": mg.tensor([1.0], requires_grad=True), "lr": lr} for lr in BASES]
    return SGD(groups)


def lrs(make, steps, of=None):
    """The learning rates of both groups, divided by their first ones, at 0 ... `steps` steps."""
    of = of or optimizer()
    schedule = make(of)
    rows = []
    for i in range(steps + 1):
        if i:
            schedule.step()
        assert schedule.last_epoch == i
        row = [group["lr"] for group in of.param_groups]
        assert schedule.get_last_lr() == row
        assert all(type(lr) is float for lr in row)
        rows.append([lr / base for lr, base in zip(row, BASES, strict=True)])
    return np.array(rows)


COUNTING = [
    (lambda o: StepLR(o, 3, gamma=0.5), lambda e: 0.5 ** (e // 3)),
    (lambda o: StepLR(o, step_size=2), lambda e: 0.1 ** (e // 2)),
    (lambda o: MultiStepLR(o, [5, 2, 5]), lambda e: 0.1 ** ((e >= 2) + 2 * (e >= 5))),
    (lambda o: ExponentialLR(o, 0.9), lambda e: 0.9**e),
    (lambda o: LinearLR(o), lambda e: 1 / 3 + 2 / 3 * min(e, 5) / 5),
    (lambda o: LinearLR(o, 0.1, 0.7, 4), lambda e: 0.1 + 0.6 * min(e, 4) / 4),
    (lambda o: LinearLR(o, 1.0, 0.0, 3), lambda e: 1 - min(e, 3) / 3),
    (lambda o: CosineAnnealingLR(o, 6), lambda e: (1 + math.cos(math.pi * e / 6)) / 2),
    (lambda o: LambdaLR(o, lambda e: np.float64(1 / (1 + e))), lambda e: 1 / (1 + e)),
    (
        lambda o: SequentialLR(o, [LinearLR(o, 0.5, total_iters=2), ExponentialLR(o, 0.5)], [3]),
        lambda e: min(1, 0.5 + e / 4) if e < 3 else 0.5 ** (e - 3),
    ),
    (
        lambda o: SequentialLR(
            o, [ExponentialLR(o, 0.5), StepLR(o, 1, 0.2), LambdaLR(o, lambda e: e)], [2, 4]
        ),
        lambda e: 0.5**e if e < 2 else 0.2 ** (e - 2) if e < 4 else e - 4,
    ),
]
IDS = [str(i) for i in range(len(COUNTING))]


@pytest.mark.parametrize(("make", "factor"), COUNTING, ids=IDS)
class TestFunctionsOfTheCount:
    def test_factor_of_the_first_learning_rate_in_each_group(self, make, factor):
        expected = [[factor(e)] * 2 for e in range(13)]
        np.testing.assert_allclose(lrs(make, 12), expected, rtol=1e-13, atol=1e-15)

    def test_the_optimiser_goes_by_it(self, make, factor):
        opt = optimizer()
        schedule = make(opt)
        schedule.step()
        p = opt.param_groups[1]["params"][0]
        p.grad = mg.tensor([1.0])
        opt.step()
        np.testing.assert_allclose(p.item(), 1 - 2 * factor(1), rtol=1e-6)

    @given(st.integers(0, 6), st.integers(1, 6))
    def test_going_on_after_loading(self, make, factor, before, after):
        first = optimizer()
        schedule = make(first)
        for _ in range(before):
            schedule.step()
        state = json.loads(json.dumps(schedule.state_dict(), allow_nan=False))
        second = optimizer()
        for group in second.param_groups:
            group["lr"] = 123.0
        other = make(second)
        other.load_state_dict(state)
        for step in range(after):
            assert [g["lr"] for g in second.param_groups] == [g["lr"] for g in first.param_groups]
            assert other.last_epoch == schedule.last_epoch == before + step
            schedule.step()
            other.step()

    def test_state_is_of_its_kind_and_number_of_groups(self, make, factor):
        schedule = make(optimizer())
        state = schedule.state_dict()
        before = copy.deepcopy(state)
        kind = type(schedule).__name__
        with pytest.raises(ValueError, match=f"{kind}.load_state_dict: .* another schedule, Other"):
            schedule.load_state_dict({**state, "kind": "Other"})
        with pytest.raises(ValueError, match="1 parameter groups were saved, but there are 2"):
            schedule.load_state_dict({**state, "lrs": [1.0]})
        with pytest.raises(ValueError, match=r"missing \['last_epoch'\], unexpected \['epoch'\]"):
            schedule.load_state_dict(
                {"epoch" if k == "last_epoch" else k: v for k, v in state.items()}
            )
        assert schedule.state_dict() == before


class TestCounting:
    def test_smallest_learning_rate_of_the_cosine(self):
        rows = lrs(lambda o: CosineAnnealingLR(o, 4, eta_min=0.1), 8) * BASES
        assert rows[4] == pytest.approx([0.1, 0.1])
        assert rows[2] == pytest.approx([0.3, 1.05])
        assert rows[8] == pytest.approx(BASES)

    def test_one_function_for_each_group(self):
        rows = lrs(lambda o: LambdaLR(o, [lambda e: e, lambda e: 2 * e]), 3)
        np.testing.assert_array_equal(rows, [[0, 0], [1, 2], [2, 4], [3, 6]])

    def test_a_schedule_in_a_row_of_rows(self):
        def make(o):
            inner = SequentialLR(o, [ExponentialLR(o, 0.5), ExponentialLR(o, 0.1)], [2])
            return SequentialLR(o, [LinearLR(o, 0.5, total_iters=2), inner], [3])

        expected = [0.5, 0.75, 1, 1, 0.5, 1, 0.1]
        np.testing.assert_allclose(lrs(make, 6)[:, 0], expected, rtol=1e-12)

    def test_a_group_added_later(self):
        opt = optimizer()
        schedule = ExponentialLR(opt, 0.5)
        schedule.step()
        opt.add_param_group({"params": mg.tensor([1.0], requires_grad=True), "lr": 8.0})
        schedule.step()
        assert schedule.get_last_lr() == [0.125, 0.5, 2.0]

    def test_last_epoch(self):
        opt = optimizer()
        with pytest.raises(ValueError, match="group 0 has no 'initial_lr' to go on from"):
            StepLR(opt, 2, last_epoch=3)
        schedule = ExponentialLR(opt, 0.5)
        for _ in range(3):
            schedule.step()
        assert ExponentialLR(opt, 0.5, last_epoch=3).last_epoch == 4
        assert opt.param_groups[0]["lr"] == 0.5 * 0.5**4

    def test_state_of_the_optimiser_goes_with_it(self):
        opt = optimizer()
        schedule = ExponentialLR(opt, 0.5)
        schedule.step()
        other = optimizer()
        other.load_state_dict(opt.state_dict())
        going_on = ExponentialLR(other, 0.5)
        going_on.load_state_dict(schedule.state_dict())
        going_on.step()
        assert going_on.get_last_lr() == [0.125, 0.5]

    @pytest.mark.parametrize(
        ("make", "other"),
        [
            (lambda o: StepLR(o, 2, 0.5), lambda o: StepLR(o, 3, 0.1)),
            (lambda o: MultiStepLR(o, [2, 3], 0.5), lambda o: MultiStepLR(o, [4], 0.1)),
            (lambda o: ExponentialLR(o, 0.5), lambda o: ExponentialLR(o, 0.1)),
            (lambda o: LinearLR(o, 0.1, 0.7, 7), lambda o: LinearLR(o)),
            (lambda o: CosineAnnealingLR(o, 9, 0.1), lambda o: CosineAnnealingLR(o, 7)),
            (
                lambda o: SequentialLR(o, [StepLR(o, 2), ExponentialLR(o, 0.5)], [3]),
                lambda o: SequentialLR(o, [StepLR(o, 1), ExponentialLR(o, 0.1)], [1]),
            ),
        ],
    )
    def test_settings_are_loaded_too(self, make, other):
        schedule, loaded = make(optimizer()), other(optimizer())
        schedule.step()
        loaded.load_state_dict(schedule.state_dict())
        for _ in range(5):
            assert loaded.get_last_lr() == schedule.get_last_lr()
            schedule.step()
            loaded.step()

    def test_number_of_schedules_in_a_row(self):
        def make(o, n):
            return SequentialLR(o, [ExponentialLR(o, 0.5) for _ in range(n)], list(range(1, n)))

        with pytest.raises(ValueError, match="2 schedulers were saved, but there are 3"):
            make(optimizer(), 3).load_state_dict(make(optimizer(), 2).state_dict())

    @pytest.mark.parametrize(
        ("make", "error", "message"),
        [
            (lambda o: StepLR(3, 2), TypeError, "StepLR: no Optimizer but int 3"),
            (lambda o: ReduceLROnPlateau(None), TypeError, "ReduceLROnPlateau: no Optimizer but N"),
            (
                lambda o: StepLR(o, 0),
                ValueError,
                "StepLR: step_size must be a number of at least 1",
            ),
            (lambda o: StepLR(o, 1, -1), ValueError, "StepLR: gamma must be"),
            (lambda o: MultiStepLR(o, [1], -1), ValueError, "MultiStepLR: gamma must be"),
            (lambda o: ExponentialLR(o, math.nan), ValueError, "ExponentialLR: gamma must be"),
            (lambda o: LinearLR(o, 0), ValueError, "LinearLR: start_factor must be .* above 0"),
            (lambda o: LinearLR(o, 0.5, 2), ValueError, "LinearLR: factors must be at most 1, got"),
            (lambda o: LinearLR(o, 2), ValueError, "LinearLR: factors must be at most 1, got"),
            (lambda o: LinearLR(o, 0.5, -1), ValueError, "LinearLR: end_factor must be"),
            (lambda o: LinearLR(o, total_iters=0), ValueError, "LinearLR: total_iters must be"),
            (lambda o: CosineAnnealingLR(o, 0), ValueError, "CosineAnnealingLR: T_max must be"),
            (lambda o: CosineAnnealingLR(o, 2, -1), ValueError, "CosineAnnealingLR: eta_min must"),
            (lambda o: LambdaLR(o, [abs]), ValueError, "LambdaLR: 1 functions for 2 parameter gr"),
            (lambda o: SequentialLR(o, [], []), ValueError, "0 schedulers need -1 milestones"),
            (
                lambda o: SequentialLR(o, [ExponentialLR(o, 1)], [1]),
                ValueError,
                r"1 schedulers need 0 milestones between them, got 1",
            ),
            (
                lambda o: SequentialLR(o, [ExponentialLR(o, 1)] * 3, [4, 2]),
                ValueError,
                r"milestones must rise, got \[4, 2\]",
            ),
            (
                lambda o: SequentialLR(o, [ReduceLROnPlateau(o)], []),
                TypeError,
                "scheduler 0 is .*; expected a schedule that depends on the count alone",
            ),
            (
                lambda o: SequentialLR(o, [ExponentialLR(optimizer(), 1)], []),
                ValueError,
                "scheduler 0 is for another optimiser",
            ),
        ],
    )
    def test_errors(self, make, error, message):
        with pytest.raises(error, match=message):
            make(optimizer())


class TestPlateau:
    def run(self, metrics, **options):
        opt = optimizer()
        schedule = ReduceLROnPlateau(opt, factor=0.5, **options)
        rows = []
        for metric in metrics:
            schedule.step(metric)
            rows.append(schedule.get_last_lr()[1])
        return rows

    def test_reduces_when_patience_is_over(self):
        assert self.run([3, 2, 2, 2, 2, 2, 2, 2, 2], patience=2) == [2, 2, 2, 2, 1, 1, 1, 0.5, 0.5]

    def test_an_improvement_starts_the_patience_anew(self):
        assert self.run([3, 3, 2, 2, 1, 1, 1], patience=1) == [2, 2, 2, 2, 2, 2, 1]

    def test_cooldown(self):
        metrics = [1] * 10
        assert self.run(metrics, patience=1, cooldown=2) == [2, 2, 1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5]
        assert self.run(metrics, patience=1) == [2, 2, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125]

    @pytest.mark.parametrize(
        ("options", "metrics", "reduced"),
        [
            ({"mode": "min"}, [1.0, 0.99995], True),
            ({"mode": "min"}, [1.0, 0.9998], False),
            ({"mode": "max"}, [1.0, 1.00005], True),
            ({"mode": "max"}, [1.0, 1.0002], False),
            ({"mode": "max"}, [1.0, 0.5], True),
            ({"threshold_mode": "abs", "threshold": 0.5}, [10.0, 9.6], True),
            ({"threshold_mode": "abs", "threshold": 0.5}, [10.0, 9.4], False),
            ({"threshold_mode": "rel", "threshold": 0.5}, [10.0, 9.4], True),
            ({"mode": "max", "threshold_mode": "abs", "threshold": 0.5}, [10.0, 10.4], True),
            ({"mode": "max", "threshold_mode": "abs", "threshold": 0.5}, [10.0, 10.6], False),
            ({}, [math.nan], True),
            ({}, [math.inf], True),
            ({"mode": "max"}, [-math.inf], True),
        ],
    )
    def test_what_is_better(self, options, metrics, reduced):
        assert (self.run(metrics, patience=0, **options)[-1] == 1) is reduced

    def test_smallest_learning_rates(self):
        opt = optimizer()
        schedule = ReduceLROnPlateau(opt, factor=0.1, patience=0, min_lr=[0.2, 1e-9])
        for _ in range(20):
            schedule.step(1.0)
        assert opt.param_groups[0]["lr"] == 0.2
        assert opt.param_groups[1]["lr"] == pytest.approx(2e-9)  # then the change is below eps
        assert self.run([1.0] * 9, patience=0, min_lr=0.75)[-1] == 0.75

    def test_a_metric_may_be_a_tensor(self):
        assert self.run([mg.tensor(1.0), np.float32(1.0)], patience=0) == [2, 1]

    @given(st.lists(st.sampled_from([1.0, 1.0, 2.0, 0.5]), max_size=8), st.integers(0, 8))
    def test_going_on_after_loading(self, metrics, cut):
        def make():
            return ReduceLROnPlateau(optimizer(), patience=1, cooldown=1, factor=0.5)

        whole, first, second = make(), make(), make()
        for metric in metrics:
            whole.step(metric)
        for metric in metrics[:cut]:
            first.step(metric)
        second.load_state_dict(json.loads(json.dumps(first.state_dict(), allow_nan=False)))
        for metric in metrics[cut:]:
            second.step(metric)
        assert second.state_dict() == whole.state_dict()

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"mode": "least"}, "mode must be 'min' or 'max', got 'least'"),
            ({"threshold_mode": "x"}, "threshold_mode must be 'rel' or 'abs', got 'x'"),
            ({"factor": 1.0}, "factor must be a number of at least 0 and below 1, got 1.0"),
            ({"min_lr": [0.1]}, "1 values of min_lr for 2 parameter groups"),
        ],
    )
    def test_errors(self, options, message):
        with pytest.raises(ValueError, match=f"ReduceLROnPlateau: {message}"):
            ReduceLROnPlateau(optimizer(), **options)


def test_all_are_schedules():
    opt = optimizer()
    for schedule in [make(opt) for make, _ in COUNTING] + [ReduceLROnPlateau(opt)]:
        assert isinstance(schedule, LRScheduler)
