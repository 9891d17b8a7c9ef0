"""Writing with a network whose state already knows what the text is about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigrad import nn
from minigrad.training import evaluating
from models.devices import device_of, moved
from models.measuring.evaluation import quiet
from models.writing.sampling import next_token_probabilities, usable
from models.writing.search import Ask


def asking(model: nn.Module, step: Callable[..., tuple[Any, Any]]) -> Ask:
    """What a `step` of `model`, ``(ids, state) -> (logits, state)``, says comes next."""
    device = device_of(model)

    def ask(ids: NDArray[np.int64], state: Any) -> tuple[NDArray[Any], Any]:
        with evaluating(model), quiet():
            logits, state = step(moved(ids, device), state)
        return logits[-1].numpy(), state

    return ask


def greedy(
    ask: Ask, state: Any, count: int, end: int, length: int, banned: Sequence[int] = ()
) -> list[list[int]]:
    """Write `count` texts side by side: always the likeliest id, until it is `end`.

    Parameters
    ----------
    ask, state
        what says what comes next, and its state before the first id; the texts begin after `end`.
    length
        how many ids a text has, at most; `end` is not in it.
    banned
        ids that are never taken.

    Raises
    ------
    UnusableWeightsError
        if logits are NaN or infinite.
    """
    return _written(ask, state, count, end, length, lambda z: usable(z, banned).argmax(-1))


def drawn(
    ask: Ask,
    state: Any,
    count: int,
    end: int,
    length: int,
    rng: np.random.Generator,
    banned: Sequence[int] = (),
) -> list[list[int]]:
    """Write `count` texts side by side, each id drawn with the probability that it has.

    All else is as in `greedy`; the texts are a function of the arguments and `rng`.
    """

    def choose(logits: NDArray[Any]) -> NDArray[np.int64]:
        chances = [next_token_probabilities(row, banned=banned) for row in logits]
        return np.array([rng.choice(len(p), p=p) for p in chances])

    return _written(ask, state, count, end, length, choose)


def _written(
    ask: Ask,
    state: Any,
    count: int,
    end: int,
    length: int,
    choose: Callable[[NDArray[Any]], NDArray[np.int64]],
) -> list[list[int]]:
    last, going = np.full(count, end), np.ones(count, bool)
    texts: list[list[int]] = [[] for _ in range(count)]
    for _ in range(length):
        logits, state = ask(last[None], state)
        last = choose(logits)
        going &= last != end
        if not going.any():
            break
        for row in np.flatnonzero(going).tolist():
            texts[row].append(int(last[row]))
    return texts
