"""A neural cache: a language model that also looks up what came after similar moments before.

Grave, Joulin and Usunier, "Improving neural language models with a continuous cache" (2017)::

    p(w)       = (1 - weight) p_model(w) + weight p_cache(w)
    p_cache(w) ∝ Σ_i 1{x_{i+1} = w} exp(theta h_t · h_i)

The sum goes over the last `size` time steps i before t: h_i is what the model remembered then, and
x_{i+1} the token that came next. A text uses its words again, rare ones above all.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigrad import cross_entropy
from minigrad.training import evaluating
from models.corpus import Ids
from models.devices import device_of, moved
from models.measuring.evaluation import (
    Evaluation,
    Tally,
    check_at_least,
    check_ids,
    check_share,
    quiet,
    vocab_size_of,
    window_of,
)
from models.rnnlm import LanguageModel


def cache_evaluate(
    model: LanguageModel,
    ids: Ids,
    *,
    size: int,
    theta: float,
    weight: float,
    block: int = 128,
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[Evaluation], object] | None = None,
) -> Evaluation | None:
    """The loss of `model` with a cache on `ids`: of every token but the first, each counted once.

    The cache is empty at the first prediction, which is the model's alone.

    Parameters
    ----------
    model
        used out of training mode and off the tape, on its own device; its mode is as before
        afterwards. (The cache is on the CPU.)
    ids
        shape (length,), of any integer dtype.
    size
        how many tokens the cache holds: the last ones.
    theta
        how much similar moments are preferred; with 0 all moments in the cache count alike.
    weight
        the cache's share of the result, from 0 to 1.
    block
        how many time steps are read at a time; only memory and speed depend on it.
    stop, progress
        as in `models.measuring.evaluation.evaluate`.

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
    caller = "cache_evaluate"
    check_ids(caller, ids)
    check_at_least(caller, 1, size=size, block=block)
    check_share(caller, weight=weight)
    if not math.isfinite(theta):
        raise ValueError(f"{caller}: theta must be a finite number, got {theta}")
    tally, state, cache = Tally(progress), None, _Cache(size, theta)
    with evaluating(model), quiet():
        device, vocab_size = device_of(model), vocab_size_of(model)
        of_model, of_cache = np.log1p(-np.float64(weight)), np.log(np.float64(weight))
        for start in range(0, len(ids) - 1, block):
            if stop():
                return None
            piece = window_of(ids, start, start + block + 1, vocab_size)[:, None]
            hidden, state = model.hidden(moved(piece[:-1], device), state)
            targets = moved(piece[1:], device)
            losses = cross_entropy(model.output(hidden), targets, reduction="none").numpy()
            log_p = -losses[:, 0].astype(np.float64)
            found = cache.log_probabilities(hidden.numpy()[:, 0], piece[1:, 0])
            mixed = np.logaddexp(of_model + log_p, of_cache + found)
            if start == 0:
                mixed[0] = log_p[0]
            tally.add(-float(mixed.sum()), len(mixed))
        return tally.result()


class _Cache:
    """The last `size` pairs of a hidden state and the token after it."""

    def __init__(self, size: int, theta: float) -> None:
        self.size, self.theta = size, theta
        self.hidden: NDArray[Any] | None = None  # shape (k, H), the oldest first,
        self.tokens = np.zeros(0, np.int64)  # and what came next, shape (k,)

    def log_probabilities(
        self, hidden: NDArray[Any], tokens: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """The log of p_cache for each of `tokens`; token k comes after hidden state k.

        Each is looked up among the pairs before it, those of this call included; then all are
        remembered. The first token of all finds an empty cache, and gets NaN.
        """
        if self.hidden is not None:
            hidden = np.concatenate([self.hidden, hidden])
        every = np.concatenate([self.tokens, tokens])
        old, new = len(self.tokens), len(tokens)
        scores = hidden[old:] @ hidden.T
        scores *= self.theta
        age = np.arange(old, old + new)[:, None] - np.arange(old + new)  # of pair j for moment t
        scores[(age < 1) | (age > self.size)] = -np.inf
        scores -= scores.max(1, keepdims=True)
        np.exp(scores, out=scores)
        all_of_it = scores.sum(1, dtype=np.float64)
        scores[every != tokens[:, None]] = 0
        self.hidden, self.tokens = hidden[-self.size :], every[-self.size :]
        found: NDArray[np.float64] = np.log(scores.sum(1, dtype=np.float64) / all_of_it)
        return found
