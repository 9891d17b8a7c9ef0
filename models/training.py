"""Training a language model by truncated BPTT, a window at a time."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from minigrad import Tensor, optim
from minigrad.data import windows
from minigrad.training import detach_state
from models.corpus import Ids
from models.rnnlm import RNNLM
from models.settings import Settings

SPARSE_FROM = 1000
"""Tokens in a vocabulary from which on the gradient of the embedding is worth keeping sparse."""


class Diverged(ArithmeticError):  # noqa: N818 (it says what happened)
    """The loss, or its gradient, has become NaN or infinite."""


class Step(NamedTuple):
    """What a step of training tells."""

    loss: float
    """Cross-entropy of the window before the step, in nats per token."""

    grad_norm: float
    """The norm of all gradients together, before clipping."""

    grad_norm_clipped: float
    """And after it."""

    skipped: bool
    """True: loss or gradient was not finite, and the weights stayed as they were."""


class Trainer:
    """A training run as it stands: all that the next step depends on.

    The text lies in parallel streams, which are read window by window. The state goes along from
    one window to the next, cut off from the tape in between, and starts anew with each epoch.

    Parameters
    ----------
    model
        what is trained.
    settings
        how.
    streams
        ids, shape (L, N), from `minigrad.data.batchify`.
    rng
        what the model drops by; its state is part of the run's.

    Attributes
    ----------
    step : int
        how many steps have been done.
    epoch, at : int
        how often the whole text was read, and the time step in the streams to go on from.
    tokens : int
        how many tokens have been predicted so far.
    skipped, skipped_in_a_row : int
        how many steps have left the weights as they were, since something was not finite; and how
        many of them were the last.
    averaging : bool
        whether NT-ASGD has begun to average the weights.
    """

    def __init__(
        self, model: RNNLM, settings: Settings, streams: Ids, rng: np.random.Generator
    ) -> None:
        self.model, self.settings, self.rng = model, settings, rng
        self.windows = windows(streams, settings.bptt)
        self.parameters = model.parameters()
        if model.embedding is not None:
            model.embedding.sparse = sparse_embedding(settings, model.embedding.num_embeddings)
        self.optimizer = make_optimizer(settings, self.parameters)
        self.lengths = np.random.default_rng([settings.seed, 1])
        self.step = self.epoch = self.at = self.tokens = 0
        self.skipped = self.skipped_in_a_row = 0
        self.averaging = False
        self.state: Any = None
        self.norms: deque[float] = deque(maxlen=50)  # of the last steps, to explain trouble by

    @property
    def steps_per_epoch(self) -> int:
        """How many windows there are in the text, if all are as long as they should be."""
        return math.ceil(self.windows.time_steps / self.settings.bptt)

    @property
    def epochs(self) -> float:
        """How often the text was read."""
        return self.epoch + self.at / self.windows.time_steps

    def advance(self, lr: float) -> Step:
        """Train on the next window, at a learning rate of `lr`.

        Raises
        ------
        Diverged
            if the loss or the gradient is not finite, unless the settings say to skip the step.
            The weights are then as they were before.
        """
        s = self.settings
        length = min(self._window_length(), self.windows.time_steps - self.at)
        inputs, targets = self.windows.at(self.at, length)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # we look ourselves
            objective = self.model.objective(inputs, targets, self.state)
            loss, norm, clipped = float(objective.loss.item()), math.nan, math.nan
            if math.isfinite(loss):
                self.optimizer.zero_grad()
                objective.total.backward()
                norm, clipped = self._clip()
            skipped = not math.isfinite(norm)
            if skipped:
                what = "the gradient's norm" if math.isfinite(loss) else "the loss"
                value = norm if math.isfinite(loss) else loss
                if s.on_nonfinite == "stop":
                    raise Diverged(f"{what} became {value} in step {self.step + 1:,}")
                self.skipped, self.skipped_in_a_row = self.skipped + 1, self.skipped_in_a_row + 1
            else:
                self.skipped_in_a_row = 0
                self.norms.append(norm)
                for group in self.optimizer.param_groups:
                    group["lr"] = lr * length / s.bptt if s.vary_bptt else lr
                self.optimizer.step()
        # a state that has become useless is not carried on
        self.state = None if skipped else detach_state(objective.state)
        self.step += 1
        self.tokens += targets.size
        self.at += length
        if self.at == self.windows.time_steps:
            self.epoch, self.at, self.state = self.epoch + 1, 0, None
        return Step(loss, norm, clipped, skipped)

    def _window_length(self) -> int:
        s = self.settings
        if not s.vary_bptt:
            return s.bptt
        base = s.bptt if self.lengths.random() < 0.95 else s.bptt / 2  # Merity et al. (2018)
        return max(5, int(self.lengths.normal(base, 5)))

    def _clip(self) -> tuple[float, float]:
        """Clip the gradients; their norm before and after."""
        s = self.settings
        norm = float(optim.clip_grad_norm_(self.parameters, s.clip or math.inf).item())
        clipped = min(norm, s.clip) if s.clip else norm
        if s.clip_value and clipped > s.clip_value:  # else no element can be larger
            optim.clip_grad_value_(self.parameters, s.clip_value)
            clipped = float(optim.clip_grad_norm_(self.parameters, math.inf).item())
        return norm, clipped

    def start_averaging(self) -> None:
        """From here on average the weights: the A of NT-ASGD."""
        self.averaging = True
        self.optimizer = make_averaging(self.settings, self.parameters)

    # ------------------------------------------------------------------ saving and loading

    def state_dict(self) -> dict[str, Any]:
        """All that a later run needs to go on from here, but for the weights themselves."""
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
        """Go on from a `state_dict`: the next step is, bit for bit, the one that it was before."""
        if saved["averaging"]:
            self.start_averaging()
        self.optimizer.load_state_dict(saved["optimizer"])
        for name in ("step", "epoch", "at", "tokens", "skipped", "skipped_in_a_row"):
            setattr(self, name, saved[name])
        self.norms.extend(saved["norms"])
        self.state = _tensors(saved["state"])
        self.rng.bit_generator.state = saved["rng"]
        self.lengths.bit_generator.state = saved["lengths"]


def make_optimizer(s: Settings, parameters: list[Any]) -> optim.Optimizer:
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


def make_averaging(s: Settings, parameters: list[Any]) -> optim.ASGD:
    """Averaged SGD that averages from its first step on."""
    return optim.ASGD(
        parameters, lr=s.learning_rate, lambd=0.0, t0=0.0, weight_decay=s.weight_decay
    )


def sparse_embedding(s: Settings, vocab_size: int) -> bool:
    """Whether a row-sparse gradient of the embedding gives the same as a dense one, and sooner."""
    plain = s.optimizer in ("sgd", "adagrad") and not s.weight_decay
    return plain and not s.tied and vocab_size >= SPARSE_FROM


def _tensors(state: Any) -> Any:
    """Nested tuples and lists of arrays as such of Tensors."""
    if isinstance(state, tuple | list):
        return type(state)(map(_tensors, state))
    return state if state is None else Tensor(state)
