"""Optimisers, gradient clipping, and schedules of the learning rate.

Names, arguments, defaults and results are those of ``torch.optim``::

    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    schedule = CosineAnnealingLR(optimizer, T_max=1000)
    for inputs, targets in batches:
        loss = loss_of(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()

To read it, begin with `sgd`, then `optimizer` (the step), `groups` (parameters, options, saving),
the other optimisers, `clipping`, `schedules` and `plateau`. What makes it fast comes last: `pieces`
on the CPU, `kernels` and `clipping_gpu` on a GPU.
"""

from typing import TYPE_CHECKING

from minigrad.errors.words import OPTIMISERS, unknown
from minigrad.optim.adagrad import Adagrad
from minigrad.optim.adam import Adam, AdamW
from minigrad.optim.asgd import ASGD
from minigrad.optim.clipping import clip_grad_norm_, clip_grad_value_
from minigrad.optim.optimizer import Optimizer
from minigrad.optim.plateau import ReduceLROnPlateau
from minigrad.optim.rmsprop import RMSprop
from minigrad.optim.schedules import (
    CosineAnnealingLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    SequentialLR,
    StepLR,
    half_cosine,
)
from minigrad.optim.sgd import SGD

__all__ = [
    "ASGD",
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "CosineAnnealingLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "Optimizer",
    "RMSprop",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
    "clip_grad_norm_",
    "clip_grad_value_",
    "half_cosine",
]

if not TYPE_CHECKING:  # so that a type checker sees a misspelt name

    def __getattr__(name: str) -> object:
        raise unknown("module 'minigrad.optim'", name, OPTIMISERS, __all__)

    def __dir__() -> list[str]:
        return sorted(__all__)
