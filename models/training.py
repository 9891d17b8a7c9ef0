"""Training a language model by truncated BPTT, a window at a time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigrad.data import windows
from minigrad.optim import LambdaLR, Optimizer, clip_grad_norm_
from minigrad.training import detach_state, evaluating
from models.rnnlm import RNNLM


class Diverged(ArithmeticError):  # noqa: N818 (it says what happened)
    """The loss, or its gradient, has become NaN or infinite."""


class Trainer:
    """A training run as it stands: all that the next step depends on.

    The text lies in parallel streams, which are read window by window. The state goes along from
    one window to the next, cut off from the tape in between, and starts anew with each epoch.

    Parameters
    ----------
    model, optimizer, schedule
        what is trained, and how; the schedule counts steps.
    streams
        ids, shape (L, N), from `minigrad.data.batchify`.
    bptt
        the number of time steps in a window.
    clip
        the largest norm of all gradients together; ``math.inf``: any.

    Attributes
    ----------
    step : int
        how many windows have been trained on; the next is number ``step % steps_per_epoch``.
    tokens : int
        how many tokens have been predicted so far.
    seconds_per_step : float
        how long a step takes at present: the mean of about the last twenty.
    """

    def __init__(
        self,
        model: RNNLM,
        optimizer: Optimizer,
        schedule: LambdaLR,
        streams: NDArray[np.int64],
        bptt: int,
        clip: float = math.inf,
    ) -> None:
        self.model, self.optimizer, self.schedule = model, optimizer, schedule
        self.windows, self.clip = windows(streams, bptt), clip
        self.parameters = model.parameters()
        self.step = self.tokens = 0
        self.seconds_per_step = 0.0
        self.state: Any = None

    @property
    def steps_per_epoch(self) -> int:
        """How many windows there are in the text."""
        return len(self.windows)

    @property
    def tokens_per_second(self) -> float:
        """The speed at present."""
        tokens: int = self.windows.bptt * self.windows.streams.shape[1]
        return tokens / (self.seconds_per_step or math.inf)

    def advance(self) -> float:
        """Train on the next window; returns its loss in nats per token.

        Raises
        ------
        Diverged
            if the loss or the gradient is not finite. The weights are then as they were before.
        """
        began = time.monotonic()
        position = self.step % self.steps_per_epoch
        if position == 0:
            self.state = None
        inputs, targets = self.windows[position]
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # we look ourselves
            loss, state = self.model.loss(inputs, targets, self.state)
            value = float(loss.item())
            if not math.isfinite(value):
                raise Diverged(f"the loss became {value} in step {self.step + 1:,}")
            self.optimizer.zero_grad()
            loss.backward()
            norm = float(clip_grad_norm_(self.parameters, self.clip).item())
            if not math.isfinite(norm):
                raise Diverged(f"the gradient's norm became {norm} in step {self.step + 1:,}")
            self.optimizer.step()
            self.schedule.step()
        self.state = detach_state(state)
        self.step += 1
        self.tokens += targets.size
        seconds = time.monotonic() - began
        weight = 1 if self.step == 1 else 0.05
        self.seconds_per_step += weight * (seconds - self.seconds_per_step)
        return value


def evaluate(
    model: RNNLM,
    streams: NDArray[np.int64],
    bptt: int,
    stop: Callable[[], bool] = lambda: False,
) -> float | None:
    """The loss of `model` over all of `streams`, in nats per token; None if it was stopped.

    The state goes along from one window to the next, so `bptt` is a matter of memory alone.

    Parameters
    ----------
    model
        asked out of training mode, and left in the mode that it was in.
    streams
        ids, shape (L, N).
    bptt
        the number of time steps at a time.
    stop
        asked before each window; True ends the evaluation.
    """
    total, tokens, state = 0.0, 0, None
    with evaluating(model), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for inputs, targets in windows(streams, bptt):
            if stop():
                return None
            loss, state = model.loss(inputs, targets, state)
            total += float(loss.item()) * targets.size
            tokens += targets.size
    return total / tokens
