"""The optimiser of a run, and what gradients it takes."""

from __future__ import annotations

import math
from typing import Any

from minigrad import Tensor, optim
from models.runs.settings import Settings
from models.runs.shared_settings import RunSettings

SPARSE_FROM = 1000
"""From so many tokens on, a sparse gradient of the embedding is faster than a dense one."""


def make_optimizer(s: RunSettings, parameters: list[Any]) -> optim.Optimizer:
    """The optimiser of `parameters` that the settings ask for."""
    more: dict[str, Any] = {} if s.eps is None else {"eps": s.eps}
    lr, decay = s.learning_rate, s.weight_decay
    if s.optimizer == "rmsprop":
        more |= {} if s.smoothing is None else {"alpha": s.smoothing}
        return optim.RMSprop(parameters, lr=lr, weight_decay=decay, **more)
    if s.optimizer == "adagrad":
        # min-char-rnn adds its eps under the root: it is in the sum of squares from the beginning
        squared: dict[str, Any] = {"eps": 0.0, "initial_accumulator_value": (s.eps or 1e-10) ** 2}
        return optim.Adagrad(parameters, lr=lr, weight_decay=decay, **squared)
    if s.optimizer in ("sgd", "nt-asgd"):
        return optim.SGD(parameters, lr=lr, weight_decay=decay)
    if s.smoothing is not None:
        more["betas"] = (0.9, s.smoothing)
    kind = optim.AdamW if s.optimizer == "adamw" else optim.Adam
    return kind(parameters, lr=lr, weight_decay=decay, **more)


def make_averaging(s: RunSettings, parameters: list[Any]) -> optim.ASGD:
    """Averaged SGD that averages from its first step on."""
    return optim.ASGD(
        parameters, lr=s.learning_rate, lambd=0.0, t0=0.0, weight_decay=s.weight_decay
    )


def clipped(s: RunSettings, parameters: list[Any]) -> list[Tensor]:
    """Clip the gradients of `parameters` as the settings ask for.

    Returns
    -------
    list of Tensor
        the norm of all gradients together, before that; and, if each element is clipped, the norm
        after it. (Otherwise that follows from the limit.)
    """
    numbers = [optim.clip_grad_norm_(parameters, s.clip or math.inf)]
    if s.clip_value:
        optim.clip_grad_value_(parameters, s.clip_value)
        numbers.append(optim.clip_grad_norm_(parameters, math.inf))
    return numbers


def sparse_embedding(s: Settings, vocab_size: int) -> bool:
    """Whether a row-sparse gradient of the embedding gives the same as a dense one, but faster."""
    plain = s.optimizer in ("sgd", "adagrad") and not s.weight_decay
    return plain and not s.tied and vocab_size >= SPARSE_FROM
