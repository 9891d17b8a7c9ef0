"""Training on many examples: batches of similar lengths, which a stopped run finds again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minigrad import Tensor, nn
from models.runs.optimizers import clipped
from models.runs.stepper import Stepper
from models.tasks.problem import Indices, Problem

POOL = 50
"""So many batches are sorted by length together: enough that little is padded, and few enough that
each epoch has other batches."""


def batches(lengths: Sequence[int], batch_size: int, seed: int, epoch: int) -> list[Indices]:
    """The batches of an epoch, as numbers of examples: a function of its arguments alone.

    The examples come in a random order; every `POOL` batches of them are sorted by length and cut;
    and the batches come in a random order again.
    """
    rng = np.random.default_rng([seed, 3, epoch])
    order, sizes = rng.permutation(len(lengths)), np.asarray(lengths)
    cut = []
    for start in range(0, len(order), POOL * batch_size):
        pool = order[start : start + POOL * batch_size]
        pool = pool[np.argsort(sizes[pool], kind="stable")]
        cut += [pool[i : i + batch_size] for i in range(0, len(pool), batch_size)]
    return [cut[i] for i in rng.permutation(len(cut))]


class ExampleTrainer(Stepper):
    """Takes the steps of a network that learns from examples.

    Parameters
    ----------
    problem, model, rng
        what it learns; the network, and what draws its dropout: see `Stepper`.
    examples
        those to train on, as the problem has prepared them.

    Attributes
    ----------
    at : int
        which batch of the epoch is next.
    """

    def __init__(
        self, problem: Problem, model: nn.Module, examples: Any, rng: np.random.Generator
    ) -> None:
        super().__init__(model, problem.settings, rng)
        self.problem, self.examples = problem, examples
        self.lengths = problem.lengths(examples)
        self._order: list[Indices] = []  # of the epoch `_ordered`
        self._ordered = -1
        self._read = 0  # tokens in the batch that is being trained on

    @property
    def steps_per_epoch(self) -> int:
        """How many batches there are."""
        return -(-len(self.lengths) // self.settings.batch_size)

    @property
    def epochs(self) -> float:
        """How often all examples were seen."""
        return self.epoch + self.at / self.steps_per_epoch

    def _next(self) -> Any:
        if self._ordered != self.epoch:
            s = self.settings
            self._order = batches(self.lengths, s.batch_size, s.seed, self.epoch)
            self._ordered = self.epoch
        return self.problem.batch(self.examples, self._order[self.at])

    def _gradients(self, batch: Any) -> list[Tensor]:
        for parameter in self.parameters:
            parameter.grad = None
        loss, self._read = self.problem.loss(self.model, batch, self.step, self.rng)
        loss.backward()
        return [loss.detach(), *clipped(self.settings, self.parameters)]

    def _went_on(self, batch: Any, useful: bool) -> None:
        self.tokens += self._read
        self.at += 1
        if self.at == self.steps_per_epoch:
            self.epoch, self.at = self.epoch + 1, 0

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """As in `Stepper`."""
        if saved["at"] >= self.steps_per_epoch:
            raise ValueError(f"at is {saved['at']}, of {self.steps_per_epoch} batches")
        super().load_state_dict(saved)
