"""The shards of a batch: the fixed parts in which its gradients are computed, and summed.

Neighbouring streams of the text are a shard. Each shard is read, carried on and drawn for by
itself, and the gradients of all are added in one order, which depends on their number alone. So
a step has the same bits whether one process computes all shards or several a few each; and a
checkpoint of any of them can be gone on with by any other number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad import Tensor
from minigrad.data import batchify
from minigrad.distributed import Communicator, GradientAverage
from models.corpus import Ids
from models.measuring.evaluation import Evaluation, evaluate, together
from models.runs.new_model import Model
from models.runs.replaying import Gradients
from models.runs.settings import Settings
from models.runs.task import Progress


def own_shards(settings: Settings, communicator: Communicator) -> range:
    """The numbers of the shards that this process computes.

    Raises
    ------
    ValueError
        if there are more processes than shards.
    """
    shards, rank, size = settings.shard_count, communicator.rank, communicator.size
    if size > shards:
        raise ValueError(
            f"--shards must be at least the number of processes, {size}, got {shards}: each "
            "process computes one shard at least"
        )
    return range(shards * rank // size, shards * (rank + 1) // size)


def own_streams(ids: Ids, settings: Settings, own: range, vocab_size: int) -> Ids:
    """The streams of the shards `own`, shape (L, N): the columns that `batchify` would give.

    Nothing is read of the others.
    """
    width = settings.batch_size // settings.shard_count
    length = len(ids) // settings.batch_size
    first, stop = own.start * width, own.stop * width
    return batchify(ids[first * length : stop * length], stop - first, vocab_size=vocab_size)


class Shards:
    """The shards that this process computes, of several.

    Parameters
    ----------
    model, settings
        those of the run.
    rng
        what the model draws from. Each shard draws from a generator of its own, with whose state
        that of `rng` is replaced while the shard is computed.
    communicator
        of the processes that compute the other shards.

    Attributes
    ----------
    count : int
        how many shards there are.
    own : range
        the numbers of this process's.
    generators : list of dict
        the states of their generators.

    Raises
    ------
    ValueError
        if there are more processes than shards, or the model has buffers: each shard would change
        them in its own way.
    """

    def __init__(
        self,
        model: Model,
        settings: Settings,
        rng: np.random.Generator,
        communicator: Communicator,
    ) -> None:
        if buffers := [name for name, _ in model.named_buffers()]:
            raise ValueError(
                f"--shards needs a model without buffers, since each shard would change them by "
                f"itself; this one has {', '.join(buffers)}"
            )
        self.own, self.count = own_shards(settings, communicator), settings.shard_count
        self._communicator, self._rng = communicator, rng
        how = settings.reduce or "exact"
        self._mean = GradientAverage(model.parameters(), self.count, communicator, reduce=how)
        self.generators = [
            np.random.default_rng([settings.seed, 5, shard]).bit_generator.state
            for shard in self.own
        ]

    def gradients(
        self, of_window: Gradients, inputs: Any, targets: Any, states: list[Any] | None
    ) -> tuple[Tensor, list[Any]]:
        """Put the mean of all shards' gradients into the parameters.

        Parameters
        ----------
        of_window
            computes the gradients of a shard.
        inputs, targets
            ids, shape (T, N): the own shards, side by side.
        states
            of the own shards, one by one; None: new ones.

        Returns
        -------
        loss, states
            the mean of all shards' losses, and the own shards' states after the window.
        """
        width, after = inputs.shape[1] // len(self.own), []
        for k, state in enumerate(states or [None] * len(self.own)):
            columns = np.s_[:, k * width : (k + 1) * width]
            self._rng.bit_generator.state = self.generators[k]
            numbers, state = of_window(inputs[columns].copy(), targets[columns].copy(), state)
            self.generators[k] = self._rng.bit_generator.state
            self._mean.add(*numbers)
            after.append(state)
        [loss] = self._mean.finish()
        return loss, after

    # ------------------------------------------------------------------ saving and loading

    def gathered(self, states: list[Any] | None) -> dict[str, Any]:
        """What a checkpoint holds of all shards, given the own states: lists by their numbers."""
        parts = self._communicator.gather((_arrays(states), self.generators))
        of_all = None if states is None else [state for states, _ in parts for state in states]
        return {"state": of_all, "rng": [each for _, generators in parts for each in generators]}

    def checked(self, of_all: Any, name: str) -> list[Any]:
        """What a checkpoint holds of all shards; a ValueError unless it is a list of so many."""
        if not isinstance(of_all, list) or len(of_all) != self.count:
            raise ValueError(f"{name} must be a list of those of {self.count} shards")
        return of_all

    def own_of(self, of_all: list[Any]) -> list[Any]:
        """What belongs to the own shards, of what a checkpoint holds of all."""
        return of_all[self.own.start : self.own.stop]

    def draw_on(self, generators: Any) -> None:
        """Go on with the generators of a checkpoint.

        Raises
        ------
        ValueError, TypeError, KeyError, OverflowError
            if they are not those of so many shards, whichever of them is wrong.
        """
        states = []
        for each in self.checked(generators, "rng"):
            self._rng.bit_generator.state = each
            states.append(self._rng.bit_generator.state)
        self.generators = self.own_of(states)

    # ------------------------------------------------------------------ measuring

    def evaluated(
        self,
        model: Model,
        ids: Ids,
        streams: int,
        stop: Callable[[], bool],
        progress: Progress,
    ) -> Evaluation | None:
        """The loss of `model` on `ids`, whose pieces the shards divide; None: it was stopped.

        Parameters are those of `evaluate`. `progress` is told how many tokens all processes have
        counted, if each is as far as this one.
        """
        streams, found, counted = min(streams, len(ids) - 1), list[Evaluation](), 0
        stopped = False
        for shard in self.own:
            of = range(streams * shard // self.count, streams * (shard + 1) // self.count)
            if not of:  # there are fewer pieces than shards
                continue

            def on(so_far: Evaluation, before: int = counted) -> None:
                progress((before + so_far.tokens) * self.count // len(self.own))

            result = evaluate(model, ids, streams=streams, of=of, stop=stop, progress=on)
            if result is None:
                stopped = True
                break
            found.append(result)
            counted += result.tokens
        parts = self._communicator.gather(None if stopped else found)
        return None if None in parts else together(each for part in parts for each in part)


def _arrays(state: Any) -> Any:
    """Nested tuples and lists of Tensors with NumPy arrays in their place."""
    if isinstance(state, tuple | list):
        return type(state)(map(_arrays, state))
    return state if state is None else state.numpy()
