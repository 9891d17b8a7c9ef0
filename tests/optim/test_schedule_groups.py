"""Groups that come after the schedule, metrics of any sign, and NumPy's numbers as settings."""

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
    MultiStepLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)


def optimizer(lr=1.0):
    return SGD([mg.zeros(1, requires_grad=True)], lr=lr)


def rates(schedule):
    return [group["lr"] for group in schedule.optimizer.param_groups]


def add_group(schedule, **options):
    schedule.optimizer.add_param_group({"params": [mg.zeros(1, requires_grad=True)], **options})


COUNTING = [
    lambda o: LambdaLR(o, lambda epoch: 0.5**epoch),
    lambda o: StepLR(o, 1),
    lambda o: MultiStepLR(o, [1, 2]),
    lambda o: ExponentialLR(o, 0.5),
    lambda o: LinearLR(o, 0.5, total_iters=4),
    lambda o: CosineAnnealingLR(o, 5),
    lambda o: SequentialLR(o, [LinearLR(o, 0.5), ExponentialLR(o, 0.5)], [2]),
]


class TestGroupsThatComeLater:
    @pytest.mark.parametrize("made", COUNTING)
    def test_go_by_the_same_count_from_their_own_learning_rate(self, made):
        schedule, longer = made(optimizer()), made(optimizer())
        schedule.step()
        longer.step()
        add_group(schedule, lr=3.0)
        for _ in range(2):
            schedule.step()
            longer.step()
        assert rates(schedule) == pytest.approx([rates(longer)[0], 3 * rates(longer)[0]])
        json.dumps(schedule.state_dict())

    @pytest.mark.parametrize(
        ("made", "step"),
        [
            (lambda o: LambdaLR(o, [lambda epoch: 0.5]), lambda s: s.step()),
            (
                lambda o: SequentialLR(o, [LambdaLR(o, [lambda epoch: 0.5])], []),
                lambda s: s.step(),
            ),
            (lambda o: ReduceLROnPlateau(o, min_lr=[0.1]), lambda s: s.step(1.0)),
        ],
    )
    def test_are_told_where_each_has_a_setting_of_its_own(self, made, step):
        schedule = made(optimizer())
        add_group(schedule)
        before = schedule.state_dict()
        with pytest.raises(
            ValueError, match=r"1 (functions|values of min_lr) for 2 parameter grou"
        ):
            step(schedule)
        assert schedule.state_dict() == before


class TestPlateau:
    @given(
        st.sampled_from(["min", "max"]),
        st.sampled_from(["rel", "abs"]),
        st.floats(0, 2),
        st.floats(-10, 10),
        st.floats(-10, 10),
    )
    def test_what_is_not_better_is_no_improvement(self, mode, threshold_mode, threshold, best, now):
        schedule = ReduceLROnPlateau(
            optimizer(), mode, patience=0, threshold=threshold, threshold_mode=threshold_mode
        )
        schedule.step(best)
        schedule.step(now)
        gain = best - now if mode == "min" else now - best
        size = abs(best) if threshold_mode == "rel" else 1
        if abs(gain - threshold * size) > 1e-9:
            assert rates(schedule) == [1.0 if gain > threshold * size else 0.1]

    def test_nan_is_no_improvement(self):
        schedule = ReduceLROnPlateau(optimizer(), patience=1)
        for metric in (math.nan, math.nan):
            schedule.step(metric)
        assert (schedule.best, rates(schedule)) == (None, [pytest.approx(0.1)])
        schedule.step(2.0)
        schedule.step(math.nan)
        assert schedule.best == 2.0

    @pytest.mark.parametrize("name", ["patience", "cooldown", "threshold", "eps", "min_lr"])
    @pytest.mark.parametrize("value", [-1, math.nan])
    def test_settings_out_of_range(self, name, value):
        with pytest.raises(ValueError, match=f"ReduceLROnPlateau: {name} must be"):
            ReduceLROnPlateau(optimizer(), **{name: value})


@pytest.mark.parametrize("number", [np.float32, np.float64, lambda x: np.array(x, "float32")])
def test_numbers_of_numpy_are_python_s(number):
    """Bit for bit: a run that resumes has Python's numbers from the file."""
    whole = np.int64
    for made in (
        lambda o: StepLR(o, whole(2), number(0.3)),
        lambda o: MultiStepLR(o, np.array([1, 2]), number(0.3)),
        lambda o: ExponentialLR(o, number(0.3)),
        lambda o: LinearLR(o, number(0.3), number(0.7), whole(3)),
        lambda o: CosineAnnealingLR(o, whole(3), number(0.1)),
        lambda o: ReduceLROnPlateau(o, "min", number(0.3), whole(0), min_lr=number(0.001)),
    ):
        schedule, other = made(optimizer(number(0.7))), made(optimizer(number(0.7)))
        arguments = [1.0] if isinstance(schedule, ReduceLROnPlateau) else []
        schedule.step(*arguments)
        other.load_state_dict(json.loads(json.dumps(schedule.state_dict())))
        for _ in range(3):
            schedule.step(*arguments)
            other.step(*arguments)
            assert rates(schedule) == rates(other)
            assert {type(rate) for rate in rates(schedule)} == {float}
