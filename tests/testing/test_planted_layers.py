"""Faults planted into a layer, one at a time: `check_layer` finds each and says what it is."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.testing import GradientError, check_layer

X = np.array([[0.3, -1.2], [0.7, 2.1], [-0.4, 0.8]])
CAUGHT = (GradientError, mg.TapeError)


@mg.differentiable(x=lambda g, out: g * (1 - out))
def tanh_with_a_wrong_rule(x):
    return np.tanh(x)


class Right(nn.Module):
    """scale * tanh(x) + shift, and in training some dropout."""

    def __init__(self):
        self.scale = nn.Parameter(np.array([1.0, 2.0], np.float32))
        self.shift = nn.Parameter(np.array([0.5, -0.5], np.float32))
        self.prepare()

    def prepare(self):
        """For those that keep more."""

    def forward(self, x):
        return self.drop(self.scale * self.squash(x) + self.shift)

    def squash(self, x):
        return mg.tanh(x)

    def drop(self, y):
        return mg.dropout(y, 0.5) if self.training else y


class CutOff(Right):
    def forward(self, x):
        return self.scale.detach() * mg.tanh(x) + self.shift + 0 * self.scale


class OffTheTape(Right):
    def forward(self, x):
        with mg.no_grad():
            return super().forward(x)


class WrongRule(Right):
    def squash(self, x):
        return tanh_with_a_wrong_rule(x)


class InFloat64(Right):
    def forward(self, x):
        return super().forward(x) * np.ones(2)


class InFloat32(Right):
    def forward(self, x):
        return super().forward(x.astype("f")).astype("f")


class InFloat16(Right):
    def forward(self, x):
        return super().forward(x).astype("e")


class HiddenTensor(Right):
    def prepare(self):
        self.more = {"hidden": (mg.tensor([2.0, 3.0], requires_grad=True),)}

    def forward(self, x):
        return super().forward(x) * self.more["hidden"][0]


class HiddenInAClosure(Right):
    def prepare(self):
        more = nn.Parameter(np.array([2.0, 3.0], np.float32))
        self.times_more = lambda y: y * more

    def forward(self, x):
        return self.times_more(super().forward(x))


class OfTheClass(Right):
    more = nn.Parameter(np.array([2.0, 3.0], np.float32))

    def forward(self, x):
        return super().forward(x) * self.more


class Counts(Right):
    calls = 0

    def forward(self, x):
        self.calls += 1
        return super().forward(x) * self.calls


class CarriesState(Right):
    last = 0.0

    def forward(self, x):
        y = super().forward(x + self.last)
        self.last = y.detach() * 0.1
        return y


class UsesAnOldResult(Right):
    first = None

    def squash(self, x):
        if self.first is None:
            self.first = mg.tanh(x).detach()
        return self.first


class RunningMean(Right):
    def prepare(self):
        self.mean = np.zeros(2, np.float32)

    def forward(self, x):
        self.mean += 0.1 * x.numpy().mean(0).astype("f")
        return super().forward(x - mg.tensor(self.mean, dtype=x.dtype))


class GlobalRandomness(Right):
    rng = np.random.default_rng(0)

    def forward(self, x):
        return super().forward(x) * (1 + 0.1 * self.rng.random())


class SpoilsItsInput(Right):
    def forward(self, x):
        y = super().forward(x)
        x.data = x.data * 0.5
        return y


class SpoilsAParameter(Right):
    def forward(self, x):
        y = super().forward(x)
        self.scale.data = self.scale.data / 2
        return y


class MakesAParameterAnew(Right):
    def forward(self, x):
        y = super().forward(x)
        if x.dtype == np.float32:
            self.scale = nn.Parameter(self.scale.data)
        return y


class EndsTraining(Right):
    def forward(self, x):
        y = super().forward(x)
        self.training = True
        return y


class DropsInEvaluation(Right):
    def drop(self, y):
        return y if self.training else mg.dropout(y, 0.5)


class AlwaysDrops(Right):
    def drop(self, y):
        return mg.dropout(y, 0.5)


class StateWithAWrongRule(Right):
    def forward(self, x):
        y = super().forward(x)
        return y, (y, tanh_with_a_wrong_rule(x))


class GivesTheSameMemory(Right):
    def prepare(self):
        self.buffer = {}

    def forward(self, x):
        y = super().forward(x)
        buffer = self.buffer.setdefault(y.dtype, np.empty(y.shape, y.dtype))
        buffer[...] = y.data
        y.data = buffer
        return y


FAULTS = {
    CutOff: "argument 'scale'.*the derivative is zero",
    OffTheTape: "argument 'scale'.*the derivative is zero",
    WrongRule: "argument 'input_0'",
    InFloat64: "float32 in, float64 out",
    InFloat32: "float64 in, float32 out",
    InFloat16: "float32 in, float16 out",
    HiddenTensor: r"a tensor of shape \(2,\) that requires a gradient.*not among its parameters",
    HiddenInAClosure: "not among its parameters",
    OfTheClass: "not among its parameters",
    Counts: "two runs on the same inputs gave different results",
    CarriesState: "two runs on the same inputs gave different results",
    UsesAnOldResult: "its result depends on earlier calls",
    RunningMean: "two runs on the same inputs gave different results",
    GlobalRandomness: "two runs on the same inputs gave different results",
    SpoilsItsInput: "an input was changed by the call",
    SpoilsAParameter: "scale was changed by the call",
    MakesAParameterAnew: "scale was made anew",
    EndsTraining: "changed the mode",
    DropsInEvaluation: "draws random numbers in evaluation",
    AlwaysDrops: "draws random numbers in evaluation",
    StateWithAWrongRule: "argument 'input_0', of output 2 alone",
    GivesTheSameMemory: "memory that it uses again",
}


@pytest.mark.host("its wrong op calls NumPy")
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("training", [True, False])
def test_a_wrong_layer(fault, training):
    if fault is EndsTraining and training:
        pytest.skip("it is wrong in evaluation alone")
    check_layer(Right().train(training), X, order=2)
    with pytest.raises(CAUGHT, match=FAULTS[fault]):
        check_layer(fault().train(training), X)


def test_a_class_is_no_layer():
    with pytest.raises(TypeError, match=r"check_layer: layer must be .*write check_layer\(MyLayer"):
        check_layer(Right, X)
