"""Training a language model by truncated BPTT, a window at a time."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import numpy as np

from minigrad import Tensor, nn, ones, optim
from minigrad.data import windows
from minigrad.training import evaluating
from models.corpus import Ids
from models.devices import Readings, device_of
from models.measuring.evaluation import quiet
from models.runs.new_model import Model
from models.runs.optimizers import make_averaging, make_optimizer, sparse_embedding
from models.runs.replaying import Replayed, gradients_of
from models.runs.settings import Settings
from models.runs.trouble import Diverged

FETCH_EVERY = 50
"""At most so many steps on a GPU have their losses fetched together."""


class Step(NamedTuple):
    """What a step of training tells."""

    number: int
    """Which step it is, counted from 1."""

    loss: float
    """Cross-entropy of the window before the step, in nats per token."""

    grad_norm: float
    """The norm of all gradients together, before clipping."""

    grad_norm_clipped: float
    """And after it."""

    skipped: bool
    """True: loss or gradient was not finite, and the weights stayed as they were."""


class _Counts(NamedTuple):
    """How far a run was before a step."""

    step: int
    epoch: int
    at: int
    tokens: int


class Trainer:
    """Takes the steps of a run, and holds all that the next step depends on.

    The text lies in parallel streams, which are read window by window: truncated BPTT. The state
    is carried from one window to the next, cut off from the tape, and begins anew in each epoch.

    `launch` takes a step, and `fetch` gives the results of the steps since the last time; `advance`
    does both. On the CPU the results are known at once. To a GPU the streams are moved once, and
    nothing comes back within a step: losses and norms stay there until they are fetched. The GPU
    itself looks whether they are finite. From the first step on that has a loss or a gradient that
    is not, no step changes the weights; `fetch` then tells which step that was.

    (With ``on_nonfinite="skip"`` the host looks at each step on a GPU too, because the next step
    depends on it: it goes on from the state, or without one.)

    Parameters
    ----------
    model
        the model to train, on its own device.
    settings
        those of the run.
    streams
        ids, shape (L, N), from `minigrad.data.batchify`, with a `vocab_size`: on a GPU nothing else
        checks that they are in the vocabulary.
    rng
        draws the model's dropout; its state is saved with the run.

    Attributes
    ----------
    step : int
        how many steps have been launched.
    waiting : int
        how many of them have not been fetched yet.
    epoch, at : int
        how often the whole text was read, and the next time step in the streams.
    tokens : int
        how many tokens have been predicted so far.
    skipped, skipped_in_a_row : int
        how many steps left the weights as they were because something was not finite; and how many
        of the last steps, without one in between, did so.
    averaging : bool
        whether NT-ASGD has begun to average the weights.
    """

    def __init__(
        self, model: Model, settings: Settings, streams: Ids, rng: np.random.Generator
    ) -> None:
        self.model, self.settings, self.rng = model, settings, rng
        self.device = device_of(model)
        on_gpu = self.device != "cpu"
        if on_gpu:
            streams = Tensor(streams, device=self.device).data
        self.windows = windows(streams, settings.bptt)
        self.parameters = model.parameters()
        if model.embedding is not None:  # on a GPU, to know the rows would mean to wait
            sparse = sparse_embedding(settings, model.embedding.num_embeddings)
            model.embedding.sparse = sparse and not on_gpu
        self.optimizer = make_optimizer(settings, self.parameters)
        self._gradients = gradients_of(model, settings)
        self.lengths = np.random.default_rng([settings.seed, 1])
        self.step = self.epoch = self.at = self.tokens = 0
        self.skipped = self.skipped_in_a_row = 0
        self.averaging = False
        self.state: Any = None
        self.norms: deque[float] = deque(maxlen=50)  # of the last steps, to explain trouble
        self._known: list[Step] = []
        looks = settings.on_nonfinite == "skip" or not on_gpu
        self._readings = None if looks else Readings(FETCH_EVERY)
        self._before: list[_Counts] = []  # of each step whose numbers are in the readings

    def replay(self, unable: Callable[[Exception], None]) -> None:
        """Record how gradients are computed, and replay it: the same bits in less time.

        If that is not possible, `unable` is told why, once, and the run goes on without.
        """
        self._gradients = Replayed(self._gradients, self.model, self.settings, self.rng, unable)

    @property
    def steps_per_epoch(self) -> int:
        """How many windows there are in the text, if their length does not vary."""
        return math.ceil(self.windows.time_steps / self.settings.bptt)

    @property
    def epochs(self) -> float:
        """How often the text was read."""
        return self.epoch + self.at / self.windows.time_steps

    @property
    def waiting(self) -> int:
        """How many steps have been launched but not fetched yet."""
        return len(self._known) + len(self._before)

    @property
    def full(self) -> bool:
        """Whether there is no room for another step before a `fetch`."""
        return self.waiting >= (1 if self._readings is None else self._readings.capacity)

    def advance(self, lr: float) -> Step:
        """Launch a step and fetch it; if others were waiting, they are fetched too.

        Raises
        ------
        Diverged
            as `fetch` does.
        """
        self.launch(lr)
        *_, step = self.fetch()
        return step

    def launch(self, lr: float) -> None:
        """Train on the next window, at a learning rate of `lr`; do not wait for a GPU.

        Raises
        ------
        Diverged
            on the CPU; see `fetch`.
        """
        s = self.settings
        length = min(self._window_length(), self.windows.time_steps - self.at)
        inputs, targets = self.windows.at(self.at, length)

        for group in self.optimizer.param_groups:
            group["lr"] = lr * length / s.bptt if s.vary_bptt else lr
        with quiet():  # we look ourselves
            numbers, state = self._gradients(inputs, targets, self.state)
            useful = True
            if self._readings is None:
                useful = self._look_and_step(*(float(number.item()) for number in numbers))
            else:
                self._step_unseen(numbers, self._readings)
        # a useless state is not carried on
        self.state = state if useful else None
        self.step += 1
        self.tokens += targets.size
        self.at += length
        if self.at == self.windows.time_steps:
            self.epoch, self.at, self.state = self.epoch + 1, 0, None

    def fetch(self) -> Iterator[Step]:
        """The steps since the last time, from the first to the last.

        Raises
        ------
        Diverged
            instead of the first step whose loss or gradient is not finite, unless the settings say
            to skip such steps. Weights and counts are then as before that step; on a GPU the state
            is lost, so that a run can only go on from its last checkpoint.
        """
        known, self._known = self._known, []
        yield from known
        if self._readings is None or not self._before:
            return
        before, self._before = self._before, []
        for counts, measured in zip(before, self._readings.fetch().tolist(), strict=True):
            loss, norm, *_ = measured
            if not all(map(math.isfinite, measured)):
                self.step, self.epoch, self.at, self.tokens = counts
                self.state = None
                raise self._divergence(loss, norm)
            self.norms.append(norm)
            yield self._step(counts.step + 1, False, *measured)

    def _look_and_step(self, loss: float, norm: float, *clipped: float) -> bool:
        """Take a step if loss and gradient are finite; returns whether they were."""
        skipped = not (math.isfinite(loss) and math.isfinite(norm))
        if skipped:
            if self.settings.on_nonfinite == "stop":
                raise self._divergence(loss, norm)
            self.skipped, self.skipped_in_a_row = self.skipped + 1, self.skipped_in_a_row + 1
        else:
            self.skipped_in_a_row = 0
            self.norms.append(norm)
            self.optimizer.step()
        self._known.append(self._step(self.step + 1, skipped, loss, norm, *clipped))
        return not skipped

    def _step_unseen(self, numbers: list[Tensor], readings: Readings) -> None:
        """Take a step that changes nothing if this or an earlier step had something not finite."""
        readings.note(*numbers)
        self.optimizer.step(if_finite=readings.check())
        self._before.append(_Counts(self.step, self.epoch, self.at, self.tokens))

    def _step(self, number: int, skipped: bool, loss: float, norm: float, *clipped: float) -> Step:
        """What to tell of a step: without a norm after clipping, that follows from the limit."""
        after = clipped[0] if clipped else min(norm, self.settings.clip or math.inf)
        return Step(number, loss, norm, after, skipped)

    def _divergence(self, loss: float, norm: float) -> Diverged:
        what, value = "the loss", loss
        if math.isfinite(loss):
            what, value = "the gradient's norm", norm
        return Diverged(f"{what} became {value} in step {self.step + 1:,}")

    def _window_length(self) -> int:
        s = self.settings
        if not s.vary_bptt:
            return s.bptt
        base = s.bptt if self.lengths.random() < 0.95 else s.bptt / 2  # Merity et al. (2018)
        return max(5, int(self.lengths.normal(base, 5)))

    def start_averaging(self) -> None:
        """Average the weights from now on: the A of NT-ASGD."""
        self.averaging = True
        self.optimizer = make_averaging(self.settings, self.parameters)

    def averaged(self) -> AbstractContextManager[Any]:
        """Within it, the parameters are their averages, if the optimiser keeps any."""
        optimizer = self.optimizer
        return optimizer.averaged() if isinstance(optimizer, optim.ASGD) else nullcontext()

    # ------------------------------------------------------------------ saving and loading

    def state_dict(self) -> dict[str, Any]:
        """What a later run needs to go on from here, except the weights.

        Raises
        ------
        RuntimeError
            if there are steps that have not been fetched.
        """
        if self.waiting:
            raise RuntimeError(f"state_dict: {self.waiting} steps are to be fetched before it")
        return {
            "step": self.step,
            "epoch": self.epoch,
            "at": self.at,
            "tokens": self.tokens,
            "skipped": self.skipped,
            "skipped_in_a_row": self.skipped_in_a_row,
            "averaging": self.averaging,
            "norms": list(self.norms),
            "state": self.state,
            "optimizer": self.optimizer.state_dict(),
            "rng": self.rng.bit_generator.state,
            "lengths": self.lengths.bit_generator.state,
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from a `state_dict`: the next steps are the same, bit for bit.

        Raises
        ------
        ValueError
            if it is of another kind of run.
        """
        if saved["at"] >= self.windows.time_steps:
            raise ValueError(f"at is {saved['at']}, of {self.windows.time_steps} time steps")
        state = _tensors(saved["state"], self.device)
        if state is not None:
            with evaluating(self.model):
                _, like = self.model(self.windows.at(0, 1)[0])
            if _shapes(state) != _shapes(like):
                raise ValueError(f"state has shapes {_shapes(state)}, expected {_shapes(like)}")
        if saved["averaging"]:
            self.start_averaging()
        options = [dict(group) for group in self.optimizer.param_groups]
        self.optimizer.load_state_dict(saved["optimizer"])
        for group, own in zip(self.optimizer.param_groups, options, strict=True):
            group.update({**own, "lr": group["lr"]})  # all others are the settings'
        self._check_remembered()
        for name in ("step", "epoch", "at", "tokens", "skipped", "skipped_in_a_row"):
            setattr(self, name, saved[name])
        self.norms.extend(saved["norms"])
        self.state = state
        self.rng.bit_generator.state = saved["rng"]
        self.lengths.bit_generator.state = saved["lengths"]

    def _check_remembered(self) -> None:
        """Raise a ValueError unless the optimiser's state is as it would be after a step."""
        make = make_averaging if self.averaging else make_optimizer
        like = nn.Parameter(np.zeros(1, np.float32))
        like.grad, one = ones(1), make(self.settings, [like])
        one.step()
        for remembered in self.optimizer.state.values():
            if remembered.keys() != one.state[like].keys() or remembered.get("step", 1) < 1:
                expected = ", ".join(one.state[like])
                raise ValueError(
                    f"optimizer has {', '.join(map(str, remembered))} of a parameter, expected "
                    f"{expected} after a step at least"
                )


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
