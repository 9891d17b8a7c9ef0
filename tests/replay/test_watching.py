"""Variables that are read in methods: of modules, and of other objects that are called."""

import pytest

import minigrad as mg
from minigrad import nn

FACTOR = 2.0


class Layer(nn.Module):
    def forward(self, x):
        return self.helped(x)

    def helped(self, x):
        return x * FACTOR


class Step:
    def __init__(self):
        self.layer, self.factor = nn.Sequential(nn.Identity(), Layer()), 1.0

    def __call__(self, x):
        return self.layer(x) * self.factor


@pytest.mark.parametrize("function", [Layer(), Step()])
def test_a_change_is_seen(function, monkeypatch):
    captured, x = mg.capture(function), mg.ones(3)
    for value in (2.0, 5.0, 2.0, 3.0):
        monkeypatch.setitem(globals(), "FACTOR", value)
        if isinstance(function, Step):
            function.factor = value + 1
        for _ in range(2):
            assert captured(x).tolist() == function(x).tolist()
