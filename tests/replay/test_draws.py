"""Random numbers drawn past minigrad would be the same in each replay: that is an error."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.replay import CaptureError

sys.path.insert(0, str(Path(__file__).parent))
from compared import bits

RNG = np.random.default_rng(0)


class Noisy(nn.Module):
    def __init__(self):
        self.rng = RNG

    def forward(self, x):
        return mg.dropout(x, 0.5, rng=self.rng) + self.rng.normal() * mg.dropout(
            x, 0.5, rng=self.rng
        )


@pytest.mark.parametrize(
    ("function", "named"),
    [
        (lambda x: x * RNG.normal(), "rng"),
        (lambda x: mg.dropout(x if RNG.random() < 0.5 else 2 * x, 0.5, rng=RNG), "rng"),
        (Noisy(), "rng"),
        (lambda x: x + x.dtype.type(np.random.random()), "numpy.random"),  # noqa: NPY002
        (lambda x: x * random.random(), "random"),
    ],
)
def test_what_is_drawn_past_minigrad(function, named):
    with pytest.raises(CaptureError, match=f"draws from {named} past minigrad"):
        mg.capture(function)(mg.ones(3))


def test_minigrad_s_own_draws_go_on():
    x, layer = mg.ones((40, 5)), nn.Dropout(0.5, rng=np.random.default_rng(1))
    captured = mg.capture(lambda x: layer(x) + mg.dropout(layer(x), 0.3))

    def outputs(function):
        mg.manual_seed(2)
        layer.rng.bit_generator.state = np.random.default_rng(1).bit_generator.state
        return [bits(function(x)) for _ in range(5)]

    assert outputs(captured) == outputs(captured.function)
    assert len(captured._programs) == 1
