"""Beam search over ids, for whatever says what comes next.

Greedy decoding takes the likeliest id each time, and so misses a less likely one that would have
led to a better path. Beam search keeps the `width` likeliest paths so far, and tries all ids after
each of them. Sutskever, Vinyals and Le, "Sequence to sequence learning with neural networks"
(2014); with the length normalisation of Wu et al., "Google's neural machine translation system"
(2016).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.devices import moved
from models.writing.sampling import mapped, usable

Ask = Callable[[NDArray[np.int64], Any], tuple[NDArray[Any], Any]]
"""Says what comes next: called with the last id of each path, shape (1, n), and their state, it
gives the logits, shape (n, V), and the next state. A state is nested tuples of Tensors, which have
n on their axis -2."""


class Candidate(NamedTuple):
    """The tokens of a hypothesis."""

    ids: tuple[int, ...]
    log_probability: float
    score: float
    ended: bool


def length_penalty(length: int, alpha: float) -> float:
    """What a log probability is divided by: ((5 + length) / 6)^alpha, Wu et al. (2016)."""
    return float(((5 + length) / 6) ** alpha)


def check_search(length: int, width: int, alpha: float) -> None:
    """Raise a ValueError for an argument of `search` that is out of range."""
    if width < 1:
        raise ValueError(f"the width of the beam must be at least 1, got {width}")
    if length < 0:
        raise ValueError(f"length must be at least 0, got {length}")
    if not 0 <= alpha < np.inf:
        raise ValueError(f"alpha must be a number of at least 0, got {alpha}")


def search(
    ask: Ask,
    logits: NDArray[Any],
    state: Any,
    length: int,
    width: int,
    alpha: float = 0.0,
    banned: Sequence[int] = (),
    ends: Callable[[Sequence[int]], bool] = lambda path: False,
) -> list[Candidate]:
    """The likeliest paths that a narrow search finds, at most `width`, the best first.

    The result is a function of the arguments: nothing is drawn.

    Parameters
    ----------
    ask
        says what comes after the paths.
    logits, state
        what it has said at the start: shape (1, V), and the state of n = 1.
    length
        how many ids a path has, at most.
    width
        how many paths are kept at a time; 1 is greedy decoding. One that has ended keeps its place,
        so the beam narrows as they end.
    alpha
        how far longer paths are favoured: see `length_penalty`. 0: not at all, though shorter ones
        are more probable only because they are shorter.
    banned
        ids that are never taken.
    ends
        called with a path, says whether it is complete.

    Raises
    ------
    ValueError
        if a number is out of range, or logits are NaN or infinite.
    """
    check_search(length, width, alpha)
    ended: list[Candidate] = []
    paths: list[tuple[int, ...]] = [()]
    totals = np.zeros(1)  # the log probability of each path
    for step in range(length):
        if step:
            logits, state = ask(np.array([[path[-1] for path in paths]]), state)
        reached = totals[:, None] + log_softmax(usable(logits))
        reached[:, list(banned)] = -np.inf
        places = _best(reached.ravel(), width - len(ended))
        live = []
        for place in places.tolist():
            parent, id = divmod(place, reached.shape[1])
            path = (*paths[parent], id)
            if ends(path):
                ended.append(_path(path, float(reached[parent, id]), alpha, True))
            else:
                live.append((path, parent, place))
        paths = [path for path, _, _ in live]
        totals = reached.ravel()[[place for _, _, place in live]]
        if not paths:
            break
        state = _chosen(state, [parent for _, parent, _ in live])
    cut_off = [
        _path(path, float(total), alpha, False) for path, total in zip(paths, totals, strict=True)
    ]
    return sorted(ended + cut_off, key=lambda path: -path.score)


def _path(ids: tuple[int, ...], log_probability: float, alpha: float, ended: bool) -> Candidate:
    return Candidate(ids, log_probability, log_probability / length_penalty(len(ids), alpha), ended)


def _best(values: NDArray[np.float64], count: int) -> NDArray[np.intp]:
    """The places of the `count` largest that are not -inf; equal ones in their order."""
    if count < len(values):
        least = np.partition(values, len(values) - count)[len(values) - count]
        places = np.flatnonzero((values >= least) & (values > -np.inf))
    else:
        places = np.flatnonzero(values > -np.inf)
    return places[np.argsort(-values[places], kind="stable")][:count]


def log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """The logarithms of the probabilities along the last axis."""
    z: NDArray[np.float64] = logits - logits.max(-1, keepdims=True)
    z -= np.log(np.exp(z).sum(-1, keepdims=True))
    return z


def _chosen(state: Any, rows: list[int]) -> Any:
    """The state of these rows of a batch."""
    which = np.array(rows)
    return mapped(state, lambda part: part.take(moved(which, part.device), axis=-2))
