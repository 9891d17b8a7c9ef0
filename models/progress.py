"""How a run stands: what goes on from step to step, and how fast it is."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil

from minigrad import blas, optim, threads

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


class Pace:
    """The speed of a run at present, and the memory that it has.

    Attributes
    ----------
    seconds_per_step : float
        how long a step takes: the mean of about the last twenty.
    tokens_per_second : float
        the same of tokens; 0 before the first step.
    """

    def __init__(self) -> None:
        self.seconds_per_step = self.tokens_per_second = 0.0
        self._process, self._memory, self._looked = psutil.Process(), 0, float("-inf")

    def took(self, seconds: float, tokens: int) -> None:
        """Take note of a step."""
        first = self.seconds_per_step == 0
        self.seconds_per_step += (1 if first else 0.05) * (seconds - self.seconds_per_step)
        speed = tokens / max(seconds, 1e-9)
        self.tokens_per_second += (1 if first else 0.05) * (speed - self.tokens_per_second)

    @property
    def memory(self) -> int:
        """Bytes that the process holds."""
        now = time.monotonic()
        if now - self._looked > LOOK_EVERY:
            self._memory, self._looked = self._process.memory_info().rss, now
        return self._memory


def averages(optimizer: optim.Optimizer) -> AbstractContextManager[Any]:
    """Within it, the parameters are their averages, if the optimiser keeps any."""
    return optimizer.averaged() if isinstance(optimizer, optim.ASGD) else nullcontext()


def machine() -> dict[str, Any]:
    """What the last bits of a result depend on, besides the run itself."""
    used = blas.in_use()
    return {
        "processor": blas.processor(),
        "python": ".".join(map(str, sys.version_info[:2])),
        "numpy": np.__version__,
        "blas": f"{used.name} {used.version} {used.kernel}",
        "blas threads": used.threads,
        "threads": threads.count(),
    }


def machine_differences(saved: Mapping[str, Any]) -> str:
    """What of `machine()` is no longer as it was; empty if nothing is."""
    here = machine()
    return "; ".join(
        f"{name} {saved[name]}, now {here.get(name)}"
        for name in saved
        if saved[name] != here.get(name)
    )
