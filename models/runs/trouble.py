"""What a run says when its loss goes wrong, and why it may have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from models.runs.shared_settings import RunSettings

OVER = 100
"""Steps that the loss is averaged over, to tell a trend from chance."""


class Diverged(ArithmeticError):  # noqa: N818 (it says what happened)
    """The loss, or its gradient, has become NaN or infinite."""


class Watcher:
    """Notices a training loss that rises instead of falling.

    Attributes
    ----------
    mean, lowest : float or None
        the running mean of the loss, over about a hundred steps, and its lowest value.
    warned : bool
        whether there was a warning; there is no second one until the loss is down again.
    """

    def __init__(self) -> None:
        self.mean: float | None = None
        self.lowest: float | None = None
        self.warned, self.count = False, 0

    def saw(self, loss: float) -> str:
        """Note the loss of a step; returns a warning, mostly an empty one."""
        self.count += 1
        weight = max(1 / self.count, 1 / OVER)
        self.mean = loss if self.mean is None else self.mean + weight * (loss - self.mean)
        self.lowest = self.mean if self.lowest is None else min(self.lowest, self.mean)
        if self.count >= OVER // 10 and self.mean > 1.2 * self.lowest + 0.3 and not self.warned:
            self.warned = True
            return (
                f"the training loss rises: its mean was {self.lowest:.4g} and is {self.mean:.4g} "
                "nats per token"
            )
        if self.mean < 1.1 * self.lowest + 0.1:
            self.warned = False
        return ""

    def state_dict(self) -> dict[str, Any]:
        """What a later run needs to go on from here."""
        return dict(vars(self))

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from a `state_dict`."""
        vars(self).update(saved)


def eps_is_lost(s: RunSettings) -> bool:
    """Whether the optimiser's eps is 0 in float32, so that no other option helps."""
    return s.eps is not None and not np.float32(s.eps)


def likely_cause(s: RunSettings, norms: Sequence[float]) -> str:
    """Why the loss or the gradient may not be finite, and what to try: a sentence or two.

    Parameters
    ----------
    s
        the settings of the run.
    norms
        the norms of the gradients, before clipping, in the last steps that went well.
    """
    if eps_is_lost(s):
        return f"--eps {s.eps:g} is 0 in float32: begin anew with a larger one, such as 1e-8."
    rate = f"--lr (it is {s.learning_rate:g})"
    if not norms:
        initial = "" if s.task else "smaller initial weights (--init) or "
        return f"It was so from the beginning: {initial}a lower {rate}."
    usual, last = sorted(norms)[len(norms) // 2], norms[-1]
    if last > 10 * usual or last > 1e4:
        grew = f"The gradient's norm had grown from {usual:.3g} to {last:.3g}: it explodes."
        if not s.clip and not s.clip_value:
            return f"{grew} Nothing limits it: try --clip 1."
        return f"{grew} Try a lower --clip, or a lower {rate}."
    if s.learning_rate > 1 and s.optimizer not in ("sgd", "nt-asgd"):
        return f"Such a learning rate is large for {s.optimizer}: try a lower {rate}."
    return (
        f"The gradient's norm was {last:.3g} just before, as it had been: the weights themselves "
        f"have become too large. Try a lower {rate}."
    )
