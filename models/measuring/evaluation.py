"""How well a language model predicts a text, token by token, as papers measure it.

The loss is the mean of -log p(token | all tokens before it) over all tokens of the text but the
first. The state of the model is carried through the whole text, and never reset. Line ends and
unknown words (``<eos>``, ``<unk>``) count as tokens like any other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minigrad import Tensor
from minigrad.training import evaluating
from models.corpus import Ids
from models.devices import Readings, device_of, moved
from models.rnnlm import LanguageModel

IGNORED = -100
"""The target of a time step whose prediction is not counted."""

FETCH_EVERY = 50
"""Losses on a GPU that are fetched together."""


class Evaluation(NamedTuple):
    """What an evaluation finds."""

    nats: float
    """The loss: the mean over the tokens counted, in nats. NaN or infinite, if the model's is."""

    tokens: int
    """How many tokens were predicted, and counted."""


class Tally:
    """Adds up the losses of an evaluation, in float64 on the CPU.

    Parameters
    ----------
    progress
        called with the evaluation so far, for each window.
    """

    def __init__(self, progress: Callable[[Evaluation], object] | None = None) -> None:
        self._nats, self._tokens, self._progress = 0.0, 0, progress
        self._readings, self._waiting = Readings(FETCH_EVERY), list[int]()

    def add(self, nats: float, tokens: int) -> None:
        """Count `tokens` tokens that together have a loss of `nats`."""
        self._nats += nats
        self._tokens += tokens
        if self._progress is not None:
            self._progress(self._so_far())

    def note(self, loss: Tensor, tokens: int) -> None:
        """Count `tokens` tokens with a mean loss of `loss`, later if it is on a GPU."""
        if loss.device == "cpu":
            self.add(float(loss.item()) * tokens, tokens)
            return
        self._readings.note(loss)
        self._waiting.append(tokens)
        if len(self._waiting) == FETCH_EVERY:
            self._fetch()

    def result(self) -> Evaluation:
        """The evaluation of all that was counted."""
        self._fetch()
        return self._so_far()

    def _so_far(self) -> Evaluation:
        return Evaluation(self._nats / self._tokens, self._tokens)

    def _fetch(self) -> None:
        waiting, self._waiting = self._waiting, []
        for (loss,), tokens in zip(self._readings.fetch().tolist(), waiting, strict=True):
            self.add(loss * tokens, tokens)


def evaluate(
    model: LanguageModel,
    ids: Ids,
    *,
    streams: int = 1,
    bptt: int = 256,
    warm_up: int = 256,
    of: range | None = None,
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[Evaluation], object] | None = None,
) -> Evaluation | None:
    """The loss of `model` on `ids`: of every token but the first, each counted once.

    One stream is exact: all tokens in order, with one state. With more, the text is cut into pieces
    that are read side by side, which is faster. A piece begins without a past: before the tokens
    that count it reads `warm_up` tokens that do not. If the model hardly remembers what is further
    back, the result is nearly the same.

    Parameters
    ----------
    model
        used out of training mode and off the tape, on its own device; its mode is as before
        afterwards.
    ids
        shape (length,), of any integer dtype. It is read window by window, never copied whole.
    streams
        into how many pieces the text is cut; fewer if it has fewer tokens.
    bptt
        how many time steps are read at a time; only memory and speed depend on it.
    warm_up
        how many predictions are not counted at the beginning of each piece but the first.
    of
        which of the pieces to read, neighbours of each other; None: all. The results of all parts
        are put `together`.
    stop
        asked before each window; True ends the evaluation.
    progress
        called with the evaluation so far, for each window: at once, or, on a GPU, for many windows
        together.

    Returns
    -------
    Evaluation, or None if it was stopped.

    Raises
    ------
    TypeError, IndexError
        for ids that are not integers, or outside the vocabulary.
    ValueError
        for fewer than two tokens, or a number out of range.
    """
    check_ids("evaluate", ids)
    check_at_least("evaluate", 1, streams=streams, bptt=bptt)
    check_at_least("evaluate", 0, warm_up=warm_up)
    streams = min(streams, len(ids) - 1)
    of = range(streams) if of is None else of
    if not (of and of.step == 1 and of.start >= 0 and of.stop <= streams):
        raise ValueError(f"evaluate: of must be some of the {streams} pieces, got {of}")
    tally, state, device = Tally(progress), None, device_of(model)
    with evaluating(model), quiet():
        for inputs, targets in _windows(ids, streams, of, bptt, warm_up, vocab_size_of(model)):
            if stop():
                return None
            loss, state = model.loss(moved(inputs, device), moved(targets, device), state)
            counted = int(np.count_nonzero(targets != IGNORED))
            if counted:
                tally.note(loss, counted)
        return tally.result()


def together(parts: Iterable[Evaluation]) -> Evaluation:
    """The evaluation of a text, of those of its parts; their order makes no difference."""
    found = list(parts)
    tokens = sum(part.tokens for part in found)
    return Evaluation(math.fsum(part.nats * part.tokens for part in found) / tokens, tokens)


def _windows(
    ids: Ids, streams: int, of: range, bptt: int, warm_up: int, vocab_size: int | None
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Inputs and targets of each window, shape (T, len(of)); each target comes just once."""
    predicted = len(ids) - 1
    # stream n counts the targets from cuts[n] to cuts[n + 1] - 1, and its first input is starts[n]
    cuts = [1 + predicted * n // streams for n in range(of.start, of.stop + 1)]
    starts = [max(0, cut - 1 - warm_up) for cut in cuts[:-1]]
    lengths = [end - 1 - start for start, end in zip(starts, cuts[1:], strict=True)]
    for row in range(0, max(lengths), bptt):
        steps = min(bptt, max(lengths) - row)
        inputs = np.zeros((steps, len(of)), np.int64)  # of a stream that has ended: any token
        targets = np.full((steps, len(of)), IGNORED, np.int64)
        for n, (start, length) in enumerate(zip(starts, lengths, strict=True)):
            here = min(steps, length - row)
            if here <= 0:
                continue
            piece = window_of(ids, start + row, start + row + here + 1, vocab_size)
            inputs[:here, n] = piece[:-1]
            uncounted = min(here, max(0, cuts[n] - 1 - start - row))
            targets[uncounted:here, n] = piece[1 + uncounted :]
        yield inputs, targets


def window_of(ids: Ids, start: int, stop: int, vocab_size: int | None) -> NDArray[np.int64]:
    """The ids from `start` to `stop`, as a model takes them.

    Raises
    ------
    IndexError
        if one is negative, which would mean a target that is not counted; or if one is not below
        `vocab_size` (None: not known), which a GPU would not notice.
    """
    window = np.asarray(ids[start:stop]).astype(np.int64)
    if window.min() < 0:
        raise IndexError(f"ids must not be negative, got {window.min()} after position {start - 1}")
    if vocab_size is not None and window.max() >= vocab_size:
        raise IndexError(
            f"ids must be below {vocab_size}, the size of the vocabulary, got {window.max()} after "
            f"position {start - 1}"
        )
    return window


def vocab_size_of(model: Any) -> int | None:
    """How many tokens `model` knows; None if it does not say."""
    return getattr(model, "vocab_size", None)


def quiet() -> np.errstate:
    """Within it, NumPy does not warn of NaN and infinity; whoever uses it looks for them."""
    return np.errstate(over="ignore", invalid="ignore", divide="ignore")


def check_ids(caller: str, ids: Ids) -> None:
    """Raise an error if `ids` is not a text of at least two tokens."""
    if ids.ndim != 1:
        raise ValueError(f"{caller}: ids must have one axis, got shape {ids.shape}")
    if ids.dtype.kind not in "iu":
        raise TypeError(f"{caller}: ids must be integers, got dtype {ids.dtype}")
    if len(ids) < 2:
        raise ValueError(
            f"{caller}: at least two tokens are needed, one to read and one to predict; the text "
            f"has {len(ids)}"
        )


def check_at_least(caller: str, least: int, **values: int) -> None:
    """Raise a ValueError for a value that is below `least`."""
    for name, value in values.items():
        if value < least:
            raise ValueError(f"{caller}: {name} must be at least {least}, got {value}")


def check_share(caller: str, **values: float) -> None:
    """Raise a ValueError for a value that is not from 0 to 1."""
    for name, value in values.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{caller}: {name} must be from 0 to 1, got {value}")
