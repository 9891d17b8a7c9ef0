"""All that is known of a walk along a tape, in numbers."""

from __future__ import annotations

from typing import Any

from minigrad.viz.explorer.again import Again
from minigrad.viz.explorer.memory_curve import memory_curve
from minigrad.viz.explorer.slopes import Slopes
from minigrad.viz.explorer.step_order import steps_of, summands_of
from minigrad.viz.reading import Tape


class Walk:
    """The steps along a tape, and what is beside them: see `minigrad.viz.Exploration`."""

    def __init__(self, tape: Tape, gradient: Any = None) -> None:
        self.tape = tape
        self.steps = steps_of(tape)
        self.summands = summands_of(tape)
        self.memory = memory_curve(tape, self.steps, self.summands)
        self.again = Again(tape, gradient)
        self.slopes = Slopes(self.again)
