"""How fast a run is, how much memory it has, and how long it will still take."""

from __future__ import annotations

import math
import time

import psutil

from minigrad import cuda
from models.runs.schedule import fraction_done, validations_left
from models.runs.task import Task

LOOK_EVERY = 1.0
"""Seconds between two looks at how much memory the process has."""


class Pace:
    """The speed of a run at present, and the memory that it has.

    Parameters
    ----------
    device
        whose memory to look at: that of the process, or of a GPU.

    Attributes
    ----------
    seconds_per_step : float
        how long a step takes: the mean of about the last twenty.
    tokens_per_second : float
        how many tokens are trained on in a second; 0 before the first step.
    seconds_per_evaluated : float
        how long a token takes in an evaluation: the mean over the last one.
    """

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self.seconds_per_step = self.tokens_per_second = self.seconds_per_evaluated = 0.0
        self._began, self._tokens = time.monotonic(), 0
        self._process, self._memory, self._looked = psutil.Process(), 0, float("-inf")

    def begins(self, tokens: int) -> None:
        """Note that steps begin now, after so many tokens."""
        self._began, self._tokens = time.monotonic(), tokens

    @property
    def seconds(self) -> float:
        """How many seconds ago the steps began."""
        return time.monotonic() - self._began

    def ends(self, steps: int, tokens: int) -> None:
        """Note that so many steps are done now, after so many tokens."""
        seconds = max(self.seconds, 1e-9)
        weight = 1 if self.seconds_per_step == 0 else 1 - 0.95**steps
        self.seconds_per_step += weight * (seconds / steps - self.seconds_per_step)
        speed = (tokens - self._tokens) / seconds
        self.tokens_per_second += weight * (speed - self.tokens_per_second)

    def evaluated(self, seconds: float, tokens: int) -> None:
        """Note how many tokens of an evaluation are done, after so many seconds."""
        self.seconds_per_evaluated = seconds / tokens

    def seconds_left(self, task: Task, total: int | None, seconds: float, rest: int = 0) -> float:
        """How long the rest of a run will take, validations and test included.

        Parameters
        ----------
        task
            what is trained, as it stands.
        total
            how many steps it has in all; None: only the clock knows.
        seconds
            how long it has taken.
        rest
            how many tokens are left of the evaluation that goes on.

        Returns
        -------
        float
            infinity if it is not known yet.
        """
        s, trainer, evaluated = task.settings, task.trainer, self.seconds_per_evaluated
        step, sizes = trainer.step, task.sizes
        left = math.inf
        if total is not None and self.seconds_per_step:
            fraction = fraction_done(s, step, trainer.epochs, seconds)
            validations = validations_left(s, step, fraction, total, trainer.steps_per_epoch)
            left = (total - step) * self.seconds_per_step
            left += validations * sizes["valid"] * evaluated
        if s.minutes is not None:  # when they are over, one validation is still to come
            left = min(left, max(0.0, 60 * s.minutes - seconds) + sizes["valid"] * evaluated)
        return left + (rest + sizes.get("test", 0)) * evaluated

    @property
    def memory(self) -> int:
        """Bytes that the process holds: on a GPU, of its memory."""
        now = time.monotonic()
        if now - self._looked > LOOK_EVERY:
            self._looked = now
            if self.device == "cpu":
                self._memory = self._process.memory_info().rss
            else:
                self._memory = cuda.memory_stats(self.device)["reserved"]
        return self._memory
