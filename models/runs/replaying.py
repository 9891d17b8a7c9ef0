"""The gradients of a window: computed on the tape, or replayed from a recording of that."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minigrad import Tensor, capture
from minigrad.training import full_bptt
from models.runs.blas_kernels import products
from models.runs.new_model import Model
from models.runs.optimizers import clipped
from models.runs.settings import Settings

LARGEST = 5e9
"""Floating-point operations of a step from which on a replay gains too little to be worth its
memory: a recording for windows of each length has its own."""


class Measured(NamedTuple):
    """What is known of a window when the gradients are in the parameters."""

    numbers: list[Tensor]
    """The loss. If it is all that a step computes, also the norm of all gradients together; and, if
    each element is clipped, the norm after that."""

    state: Any
    """The state after the window, off the tape."""


Gradients = Callable[[Any, Any, Any], Measured]
"""``gradients(inputs, targets, state)`` puts the gradients into the parameters: clipped, unless it
is the mean over several shards that is to be clipped."""


def gradients_of(model: Model, s: Settings) -> Gradients:
    """The function that computes the gradients of a window, forward and back."""
    parameters = model.parameters()

    def gradients(inputs: Any, targets: Any, state: Any) -> Measured:
        def objective(inputs: Any, state: Any) -> tuple[tuple[Tensor, Tensor], Any]:
            total, loss, state = model.objective(inputs, targets, state)
            return (total, loss), state

        for parameter in parameters:
            parameter.grad = None
        window = full_bptt(objective, lambda losses, _: losses, inputs, targets, state)
        norms = clipped(s, parameters) if s.shard_count == 1 else []
        return Measured([window.loss[1], *norms], window.state)

    return gradients


def replays(s: Settings) -> bool:
    """Whether a run with these settings replays its steps: if asked to, or where it is faster."""
    small = sum(product.flop for product in products(s)) < LARGEST
    faster = small and not s.vary_bptt  # each length would be recorded by itself
    return s.device == "cpu" and (faster if s.capture is None else s.capture)


class Replayed:
    """`gradients` of a `model`, recorded with its first windows and replayed with later ones.

    If that is not possible (a cell of one's own may do anything), they are computed as they are
    from then on, and `unable` is called with the error. Nothing of the step is lost or done twice:
    a cell of one's own is tried on a copy first; the weights do not change here; and what else does
    is put back before the step is done again.

    Parameters
    ----------
    gradients, model, settings
        the function of `gradients_of`, and what it was given.
    rng
        what the model draws from.
    unable
        is told why the gradients can't be replayed.
    """

    def __init__(
        self,
        gradients: Gradients,
        model: Model,
        settings: Settings,
        rng: np.random.Generator,
        unable: Callable[[Exception], None],
    ) -> None:
        self._compute = gradients
        self._replay: Gradients | None = capture(gradients)
        self._model, self._settings, self._rng, self._unable = model, settings, rng, unable
        self._buffers = [name for name, _ in model.named_buffers()]
        self._to_try = model.own_cell is not None

    def __call__(self, inputs: Any, targets: Any, state: Any) -> Measured:
        """The same as ``gradients(inputs, targets, state)``, bit for bit."""
        if self._replay is None:
            return self._compute(inputs, targets, state)
        drawn = self._rng.bit_generator.state
        values = self._model.state_dict() if self._buffers else {}
        buffers = {name: values[name].copy() for name in self._buffers}
        try:
            if self._to_try:
                self._try(inputs, targets)
            return self._replay(inputs, targets, state)
        except Exception as error:
            failure = error
        self._rng.bit_generator.state = drawn
        self._model.load_state_dict(buffers, strict=False)
        measured = self._compute(inputs, targets, state)  # or it fails, too, and that is told
        self._replay = None
        self._unable(failure)
        return measured

    def _try(self, inputs: Any, targets: Any) -> None:
        """Raise an error unless replays of a copy of the model give what it computes."""
        if self._told_of(lambda f: f, inputs, targets) != self._told_of(capture, inputs, targets):
            raise ValueError("a replay gives other numbers than are computed")
        self._to_try = False

    def _told_of(self, how: Callable[..., Any], inputs: Any, targets: Any) -> list[Any]:
        """The numbers of three windows with a copy of the model, and what it has drawn."""
        model, rng = copy.deepcopy((self._model, self._rng))
        gradients, state, told = how(gradients_of(model, self._settings)), None, []
        for _ in range(3):
            numbers, state = gradients(inputs, targets, state)
            told += [number.item() for number in numbers]
        return [*told, rng.bit_generator.state]
