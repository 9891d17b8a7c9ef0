"""Training, a step at a time: what is the same whatever is trained, and on what."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import numpy as np

from minigrad import Tensor, nn, ones, optim
from models.devices import Readings, device_of
from models.measuring.evaluation import quiet
from models.runs.optimizers import make_averaging, make_optimizer
from models.runs.shared_settings import RunSettings
from models.runs.trouble import Diverged

FETCH_EVERY = 50
"""At most so many steps on a GPU have their losses fetched together."""


class Step(NamedTuple):
    """What a step of training tells."""

    number: int
    """Which step it is, counted from 1."""

    loss: float
    """The loss before the step: the mean of a cross-entropy, in nats."""

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


class Stepper:
    """Takes the steps of a run, and holds all that the next step depends on.

    A subclass says what a step is: `_next`, `_gradients` and `_went_on`. Where it is in the data is
    `epoch` and `at`; what else it remembers, it adds to `state_dict`.

    `launch` takes a step, and `fetch` gives the results of the steps since the last time; `advance`
    does both. On the CPU the results are known at once. On a GPU nothing comes back within a step:
    losses and norms stay there until they are fetched. The GPU itself looks whether they are
    finite. From the first step on that has a loss or a gradient that is not, no step changes the
    weights; `fetch` then tells which step that was.

    (With ``on_nonfinite="skip"`` the host looks at each step on a GPU too, because the next step
    depends on it.)

    Parameters
    ----------
    model
        the model to train, on its own device.
    settings
        those of the run.
    rng
        draws the model's dropout; its state is saved with the run.

    Attributes
    ----------
    step : int
        how many steps have been launched.
    waiting : int
        how many of them have not been fetched yet.
    epoch, at : int
        how often all data was gone through, and where the next step begins in it.
    tokens : int
        how many tokens have been trained on so far.
    skipped, skipped_in_a_row : int
        how many steps left the weights as they were because something was not finite; and how many
        of the last steps, without one in between, did so.
    averaging : bool
        whether NT-ASGD has begun to average the weights.
    """

    settings: RunSettings
    model: nn.Module

    def __init__(self, model: nn.Module, settings: RunSettings, rng: np.random.Generator) -> None:
        self.model, self.settings, self.rng = model, settings, rng
        self.device = device_of(model)
        self.parameters = model.parameters()
        self.optimizer = make_optimizer(settings, self.parameters)
        self.step = self.epoch = self.at = self.tokens = 0
        self.skipped = self.skipped_in_a_row = 0
        self.averaging = False
        self.norms: deque[float] = deque(maxlen=50)  # of the last steps, to explain trouble
        self._known: list[Step] = []
        looks = settings.on_nonfinite == "skip" or self.device == "cpu"
        self._readings = None if looks else Readings(FETCH_EVERY)
        self._before: list[_Counts] = []  # of each step whose numbers are in the readings

    # ------------------------------------------------------------------ what a subclass gives

    @property
    def steps_per_epoch(self) -> int:
        """How many steps it takes to go through all data."""
        raise NotImplementedError

    @property
    def epochs(self) -> float:
        """How often all data was gone through."""
        raise NotImplementedError

    def _next(self) -> Any:
        """What the next step trains on."""
        raise NotImplementedError

    def _rate(self, batch: Any, lr: float) -> float:
        """The learning rate of a batch, where the schedule says `lr`."""
        return lr

    def _gradients(self, batch: Any) -> list[Tensor]:
        """Put the gradients of a batch, clipped, into the parameters; its numbers.

        They are the loss; the norm of all gradients together, before clipping; and, if each element
        is clipped, the norm after that.
        """
        raise NotImplementedError

    def _went_on(self, batch: Any, useful: bool) -> None:
        """Count a batch that was trained on. `useful`: loss and gradients were finite."""
        raise NotImplementedError

    # ------------------------------------------------------------------ steps

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
        """Take the next step, at a learning rate of `lr`; do not wait for a GPU.

        Raises
        ------
        Diverged
            on the CPU; see `fetch`.
        """
        batch = self._next()
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate(batch, lr)
        with quiet():  # we look ourselves
            numbers, useful = self._gradients(batch), True
            if self._readings is None:
                useful = self._look_and_step(*(float(number.item()) for number in numbers))
            else:
                self._step_unseen(numbers, self._readings)
        self.step += 1
        self._went_on(batch, useful)

    def fetch(self) -> Iterator[Step]:
        """The steps since the last time, from the first to the last.

        Raises
        ------
        Diverged
            instead of the first step whose loss or gradient is not finite, unless the settings say
            to skip such steps. Weights and counts are then as before that step; on a GPU what a
            step carries to the next one is lost, so that a run can only go on from its last
            checkpoint.
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
                self._lost()
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

    def _lost(self) -> None:
        """Forget what one step carries to the next one."""

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
            "optimizer": self.optimizer.state_dict(),
            "rng": self.rng.bit_generator.state,
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from a `state_dict`: the next steps are the same, bit for bit.

        Raises
        ------
        ValueError
            if it is of another kind of run.
        """
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
        self.rng.bit_generator.state = saved["rng"]

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
