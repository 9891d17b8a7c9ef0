"""Optimisers, gradient clipping, and schedules of the learning rate.

The names, arguments, defaults and numbers are those of ``torch.optim``::

    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    schedule = CosineAnnealingLR(optimizer, T_max=1000)
    for inputs, targets in batches:
        loss = loss_of(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
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
from minigrad.optim.scheduler import LRScheduler
from minigrad.optim.schedules import (
    CosineAnnealingLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
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

if not TYPE_CHECKING:  # or a misspelt name would be none to a type checker

    def __getattr__(name: str) -> object:
        raise unknown("module 'minigrad.optim'", name, OPTIMISERS, __all__)

    def __dir__() -> list[str]:
        return sorted(__all__)
