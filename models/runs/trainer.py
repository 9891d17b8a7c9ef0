"""Training a language model by truncated BPTT, a window at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from minigrad import Tensor
from minigrad.data import windows
from minigrad.distributed import Communicator
from minigrad.training import evaluating
from models.corpus import Ids
from models.devices import device_of
from models.runs.new_model import Model
from models.runs.optimizers import clipped, sparse_embedding
from models.runs.replaying import Replayed, gradients_of
from models.runs.settings import Settings
from models.runs.shards import Shards
from models.runs.stepper import Stepper


class _Window(NamedTuple):
    """What a step trains on."""

    inputs: Any
    targets: Any
    length: int


class Trainer(Stepper):
    """Takes the steps of a language model.

    The text lies in parallel streams, which are read window by window: truncated BPTT. The state
    is carried from one window to the next, cut off from the tape, and begins anew in each epoch. To
    a GPU the streams are moved once.

    Parameters
    ----------
    model, settings, rng
        as in `Stepper`.
    streams
        ids, shape (L, N), from `minigrad.data.batchify`, with a `vocab_size`: on a GPU nothing else
        checks that they are in the vocabulary. Of several shards those that this process computes
        (`models.runs.shards.own_streams`).
    communicator
        of the processes that compute the other shards; None: this one computes all.

    Attributes
    ----------
    at : int
        the next time step in the streams.
    state
        of the model after the last window, of several shards a list of the own ones'; None: a new
        one.
    shards
        those of this process; None: the batch is not cut into several.
    """

    settings: Settings
    model: Model

    def __init__(
        self,
        model: Model,
        settings: Settings,
        streams: Ids,
        rng: np.random.Generator,
        communicator: Communicator | None = None,
    ) -> None:
        on_gpu = device_of(model) != "cpu"
        if model.embedding is not None:  # on a GPU, to know the rows would mean to wait
            sparse = sparse_embedding(settings, model.embedding.num_embeddings)
            model.embedding.sparse = sparse and not on_gpu
        super().__init__(model, settings, rng)
        if on_gpu:
            streams = Tensor(streams, device=self.device).data
        self.windows = windows(streams, settings.bptt)
        self._of_window = gradients_of(model, settings)
        self.shards: Shards | None = None
        if settings.shard_count > 1:
            self.shards = Shards(model, settings, rng, communicator or Communicator())
        self.lengths = np.random.default_rng([settings.seed, 1])
        self.state: Any = None
        self._after: Any = None  # the state after the window that is being trained on

    def replay(self, unable: Callable[[Exception], None]) -> None:
        """Record how gradients are computed, and replay it: the same bits in less time.

        If that is not possible, `unable` is told why, once, and the run goes on without.
        """
        self._of_window = Replayed(self._of_window, self.model, self.settings, self.rng, unable)

    @property
    def _own(self) -> int:
        """How many shards this process computes."""
        return 1 if self.shards is None else len(self.shards.own)

    @property
    def steps_per_epoch(self) -> int:
        """How many windows there are in the text, if their length does not vary."""
        return math.ceil(self.windows.time_steps / self.settings.bptt)

    @property
    def epochs(self) -> float:
        """How often the text was read."""
        return self.epoch + self.at / self.windows.time_steps

    def _next(self) -> _Window:
        length = min(self._window_length(), self.windows.time_steps - self.at)
        return _Window(*self.windows.at(self.at, length), length)

    def _rate(self, batch: _Window, lr: float) -> float:
        s = self.settings
        return lr * batch.length / s.bptt if s.vary_bptt else lr

    def _gradients(self, batch: _Window) -> list[Tensor]:
        if self.shards is not None:
            loss, self._after = self.shards.gradients(
                self._of_window, batch.inputs, batch.targets, self.state
            )
            return [loss, *clipped(self.settings, self.parameters)]
        numbers, self._after = self._of_window(batch.inputs, batch.targets, self.state)
        return numbers

    def _went_on(self, batch: _Window, useful: bool) -> None:
        self.state = self._after if useful else None  # a useless one is not carried on
        self.tokens += batch.targets.size // self._own * self.settings.shard_count
        self.at += batch.length
        if self.at == self.windows.time_steps:
            self.epoch, self.at, self.state = self.epoch + 1, 0, None

    def _lost(self) -> None:
        self.state = None

    def _window_length(self) -> int:
        s = self.settings
        if not s.vary_bptt:
            return s.bptt
        base = s.bptt if self.lengths.random() < 0.95 else s.bptt / 2  # Merity et al. (2018)
        return max(5, int(self.lengths.normal(base, 5)))

    # ------------------------------------------------------------------ saving and loading

    def state_dict(self) -> dict[str, Any]:
        """As in `Stepper`; also the carried state, and what draws the lengths of windows.

        Of several shards it has the states and generators of all, those of other processes too: so
        all processes have to call it.
        """
        saved = {**super().state_dict(), "state": self.state}
        if self.shards is not None:
            saved |= self.shards.gathered(self.state)
        return {**saved, "lengths": self.lengths.bit_generator.state}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """As in `Stepper`."""
        if saved["at"] >= self.windows.time_steps:
            raise ValueError(f"at is {saved['at']}, of {self.windows.time_steps} time steps")
        state, shards = _tensors(saved["state"], self.device), self.shards
        if state is not None:
            self._check([state] if shards is None else shards.checked(state, "state"))
        if shards is None:
            super().load_state_dict(saved)
        else:
            shards.draw_on(saved["rng"])
            super().load_state_dict({**saved, "rng": shards.generators[0]})
        self.state = state if shards is None or state is None else shards.own_of(state)
        self.lengths.bit_generator.state = saved["lengths"]

    def _check(self, states: Sequence[Any]) -> None:
        """Raise a ValueError if a state has other shapes than those that the model gives."""
        columns = self.windows.streams.shape[1] // self._own
        with evaluating(self.model):
            _, like = self.model(self.windows.at(0, 1)[0][:, :columns])
        for state in states:
            if _shapes(state) != _shapes(like):
                raise ValueError(f"state has shapes {_shapes(state)}, expected {_shapes(like)}")


def _tensors(state: Any, device: str | None) -> Any:
    """Nested tuples and lists of arrays with Tensors on `device` in their place."""
    if isinstance(state, tuple | list):
        return type(state)(_tensors(part, device) for part in state)
    return state if state is None else Tensor(state, device=device)


def _shapes(state: Any) -> Any:
    """Nested tuples and lists of Tensors with their shapes in their place."""
    if isinstance(state, tuple | list):
        return type(state)(map(_shapes, state))
    return state if state is None else state.shape
