"""The gradients of a window: computed on the tape, or replayed from a recording of that."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minigrad import Tensor, capture, nn, optim
from minigrad.training import full_bptt
from models.rnnlm import RNNLM
from models.runs.blas_kernels import products
from models.runs.settings import Settings

LARGEST = 5e9
"""Floating-point operations of a step from which on a replay gains too little to be worth its
memory: a recording for windows of each length has its own."""


class Measured(NamedTuple):
    """What is known of a window when the gradients are in the parameters."""

    numbers: list[Tensor]
    """The loss; the norm of all gradients together; and, if each element is clipped, the norm after
    that."""

    state: Any
    """The state after the window, off the tape."""


Gradients = Callable[[Any, Any, Any], Measured]
"""``gradients(inputs, targets, state)`` puts the gradients, clipped, into the parameters."""


def gradients_of(model: RNNLM, s: Settings) -> Gradients:
    """The function that computes the gradients of a window, forward and back."""
    parameters, clip, clip_value = model.parameters(), s.clip or math.inf, s.clip_value

    def gradients(inputs: Any, targets: Any, state: Any) -> Measured:
        def objective(inputs: Any, state: Any) -> tuple[tuple[Tensor, Tensor], Any]:
            total, loss, state = model.objective(inputs, targets, state)
            return (total, loss), state

        model.zero_grad()
        window = full_bptt(objective, lambda losses, _: losses, inputs, targets, state)
        numbers = [window.loss[1], optim.clip_grad_norm_(parameters, clip)]
        if clip_value:
            optim.clip_grad_value_(parameters, clip_value)
            numbers.append(optim.clip_grad_norm_(parameters, math.inf))
        return Measured(numbers, window.state)

    return gradients


def replay_pays(s: Settings) -> bool:
    """Whether a run with these settings is faster if its steps are replayed."""
    small = sum(product.flop for product in products(s)) < LARGEST
    return small and s.device == "cpu" and not s.vary_bptt  # each length is recorded by itself


class Replayed:
    """`gradients` of a `model`, recorded with its first windows and replayed with later ones.

    If they can't be recorded (a cell of one's own may do anything), they are computed as they are
    from then on, and `unable` is called with the error. Nothing of the step is lost or done twice:
    the weights do not change in it, and what else does is put back first.

    Parameters
    ----------
    gradients, model
        the function of `gradients_of`, and the model that it was given.
    rng
        what the model draws from.
    unable
        is told why the gradients can't be recorded.
    """

    def __init__(
        self,
        gradients: Gradients,
        model: nn.Module,
        rng: np.random.Generator,
        unable: Callable[[Exception], None],
    ) -> None:
        self._compute, self._replay = gradients, capture(gradients)
        self._model, self._rng, self._unable = model, rng, unable
        self._buffers = [name for name, _ in model.named_buffers()]

    def __call__(self, inputs: Any, targets: Any, state: Any) -> Measured:
        """The same as ``gradients(inputs, targets, state)``, bit for bit."""
        drawn = self._rng.bit_generator.state
        buffers = self._model.state_dict() if self._buffers else {}
        buffers = {name: buffers[name].copy() for name in self._buffers}
        try:
            return self._replay(inputs, targets, state)
        except Exception as error:
            self._rng.bit_generator.state = drawn
            self._model.load_state_dict(buffers, strict=False)
            result = self._compute(inputs, targets, state)  # or it fails in the same way
            self._replay = self._compute
            self._unable(error)
            return result
