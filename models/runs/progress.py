"""How a run stands: what goes on from step to step, and how fast it is."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil

from minigrad import cuda, optim
from minigrad.arrays import blas, threads
from models.corpus import Corpus
from models.showing.reporter import Now
from models.runs.schedule import fraction_done, samples_due, validations_left
from models.runs.settings import Settings
from models.runs.trainer import Step, Trainer

LOOK_EVERY = 1.0
"""Seconds between two looks at how much memory the process has."""


@dataclass
class Standing:
    """What a run remembers beside its model, its trainer and its records."""

    due: bool = True
    """Whether a validation is to come before the next step."""

    validated: float = 0.0
    """How much of the run was done at the last validation, from 0 to 1."""

    factor: float = 1.0
    """What validations that were no better have made of the learning rate."""

    worse: int = 0
    """Validations since the best one."""

    samples: int = 0
    """How many samples have been shown."""

    seconds: float = 0.0
    """How long the run had taken when it was saved."""

    finished: bool = False
    """Whether it is over."""

    def adapt(
        self,
        s: Settings,
        before: Mapping[str, Any],
        fraction: float,
        validation: Mapping[str, Any] | None,
    ) -> None:
        """Adapt to the settings that a run goes on with, which may make it longer or shorter.

        Parameters
        ----------
        s
            the settings from now on.
        before
            how long the run was to be until now: the options of that, by their names.
        fraction
            how much of the run is done, as it is measured from now on.
        validation
            the record of the last validation.
        """
        if any(getattr(s, name) != value for name, value in before.items()):
            if validation is not None:  # how far it was then, as it is measured now
                then = (validation[name] for name in ("step", "epoch", "seconds"))
                self.validated = fraction_done(s, *then)
            self.samples = min(self.samples, samples_due(s, fraction))
        tired = s.patience is not None and self.worse >= s.patience
        self.finished = self.finished and (fraction >= 1 or tired)
        self.due = self.due or (fraction >= 1 and not self.finished)


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
        the same of tokens; 0 before the first step.
    seconds_per_evaluated : float
        how long a token takes in an evaluation: the mean of the last one.
    """

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self.seconds_per_step = self.tokens_per_second = self.seconds_per_evaluated = 0.0
        self._began, self._tokens = time.monotonic(), 0
        self._process, self._memory, self._looked = psutil.Process(), 0, float("-inf")

    def begins(self, tokens: int) -> None:
        """Take note that steps begin now, after so many tokens."""
        self._began, self._tokens = time.monotonic(), tokens

    @property
    def seconds(self) -> float:
        """How long ago they began."""
        return time.monotonic() - self._began

    def ends(self, steps: int, tokens: int) -> None:
        """Take note that so many steps are done now, after so many tokens."""
        seconds = max(self.seconds, 1e-9)
        weight = 1 if self.seconds_per_step == 0 else 1 - 0.95**steps
        self.seconds_per_step += weight * (seconds / steps - self.seconds_per_step)
        speed = (tokens - self._tokens) / seconds
        self.tokens_per_second += weight * (speed - self.tokens_per_second)

    def evaluated(self, seconds: float, tokens: int) -> None:
        """Take note that an evaluation has come so far."""
        self.seconds_per_evaluated = seconds / tokens

    def seconds_left(
        self, trainer: Trainer, total: int | None, seconds: float, corpus: Corpus, rest: int = 0
    ) -> float:
        """How long the rest of a run will take, validations and test included.

        Parameters
        ----------
        trainer, corpus
            the run as it stands, and its text.
        total
            how many steps it has in all; None: only the clock knows.
        seconds
            how long it has taken.
        rest
            how many tokens are left of the evaluation that goes on.

        Returns
        -------
        float
            infinity where nobody knows yet.
        """
        s, step, evaluated = trainer.settings, trainer.step, self.seconds_per_evaluated
        left = math.inf
        if total is not None and self.seconds_per_step:
            fraction = fraction_done(s, step, trainer.epochs, seconds)
            validations = validations_left(s, step, fraction, total, trainer.steps_per_epoch)
            left = (total - step) * self.seconds_per_step
            left += validations * len(corpus.valid) * evaluated
        if s.minutes is not None:  # when they are over, one validation is still to come
            left = min(left, max(0.0, 60 * s.minutes - seconds) + len(corpus.valid) * evaluated)
        return left + (rest + (0 if corpus.test is None else len(corpus.test))) * evaluated

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


def now(
    trainer: Trainer,
    step: Step,
    lr: float,
    total: int | None,
    fraction: float,
    pace: Pace,
    seconds_left: float,
) -> Now:
    """How a run stands after a step, for the display."""
    return Now(
        trainer.step,
        total,
        trainer.epochs,
        None if total is None else total / trainer.steps_per_epoch,
        fraction,
        step.loss,
        step.grad_norm,
        step.grad_norm_clipped,
        lr,
        pace.tokens_per_second,
        pace.memory,
        seconds_left,
    )


def averages(optimizer: optim.Optimizer) -> AbstractContextManager[Any]:
    """Within it, the parameters are their averages, if the optimiser keeps any."""
    return optimizer.averaged() if isinstance(optimizer, optim.ASGD) else nullcontext()


def machine(device: str = "cpu") -> dict[str, Any]:
    """What the last bits of a result depend on, besides the run itself."""
    used = blas.in_use()
    return {
        "device": "cpu" if device == "cpu" else cuda.device_name(device),
        "processor": blas.processor(),
        "python": ".".join(map(str, sys.version_info[:2])),
        "numpy": np.__version__,
        "blas": f"{used.name} {used.version} {used.kernel}",
        "blas threads": used.threads,
        "threads": threads.count(),
    }


def machine_differences(saved: Mapping[str, Any], device: str = "cpu") -> str:
    """What of `machine(device)` is no longer as it was; empty if nothing is."""
    here, saved = machine(device), {"device": "cpu", **saved}
    return "; ".join(
        f"{name} {saved[name]}, now {here.get(name)}"
        for name in saved
        if saved[name] != here.get(name)
    )
