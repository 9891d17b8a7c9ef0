"""Beam search: the likeliest text that a narrow search finds.

Greedy decoding takes the likeliest token each time, and so misses a less likely token that would
have led to a better text. Beam search keeps the `width` likeliest texts so far, and tries all
tokens after each of them. Sutskever, Vinyals and Le, "Sequence to sequence learning with neural
networks" (2014); with the length normalisation of Wu et al., "Google's neural machine translation
system" (2016).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minigrad import nn
from minigrad.data import TextDecoder, Tokenizer
from models.devices import moved
from models.writing.prompts import StopTexts, first_id, read_prompt
from models.writing.sampling import Reader, banned_ids, mapped, usable


class Hypothesis(NamedTuple):
    """A text that beam search has found."""

    text: str
    """The prompt and what was written after it, up to the stop text."""

    tokens: int
    """How many tokens were written; the one that ends the text is one of them."""

    log_probability: float
    """The natural logarithm of the probability of these tokens."""

    score: float
    """What hypotheses are compared by: that logarithm, divided by the `length_penalty`."""

    ended: bool
    """Whether it ends with a stop text; else it was cut off."""


class Candidate(NamedTuple):
    """The tokens of a hypothesis."""

    ids: tuple[int, ...]
    log_probability: float
    score: float
    ended: bool


def length_penalty(length: int, alpha: float) -> float:
    """What a log probability is divided by: ((5 + length) / 6)^alpha, Wu et al. (2016)."""
    return float(((5 + length) / 6) ** alpha)


def beam_search(
    model: nn.Module,
    tokenizer: Tokenizer,
    prompt: str,
    length: int,
    *,
    width: int,
    alpha: float = 0.0,
    stop: Sequence[str] = (),
    knows_unknown: bool = False,
) -> list[Hypothesis]:
    """Continue `prompt` with the likeliest tokens, at most `length` of them.

    The result is a function of the model and the arguments: nothing is drawn.

    Parameters
    ----------
    model, tokenizer, prompt, stop, knows_unknown
        as in `models.writing.sampling.generate`; the token for unknown symbols is never written.
    length
        how many tokens to write, at most.
    width
        how many hypotheses are kept at a time; 1 is greedy decoding. One that has ended keeps its
        place, so the beam narrows as they end.
    alpha
        how far longer hypotheses are favoured: see `length_penalty`. 0: not at all, though shorter
        ones are more probable only because they are shorter.

    Returns
    -------
    list of Hypothesis
        at most `width`, the best first.

    Raises
    ------
    ValueError
        if a symbol of `prompt` is not in the vocabulary, a number is out of range, or the model
        gives NaN or infinity.
    """
    if width < 1:
        raise ValueError(f"the width of the beam must be at least 1, got {width}")
    if length < 0:
        raise ValueError(f"length must be at least 0, got {length}")
    if not 0 <= alpha < np.inf:
        raise ValueError(f"alpha must be a number of at least 0, got {alpha}")
    StopTexts(tokenizer, stop)  # finds what is wrong with them
    ids = read_prompt(tokenizer, prompt, knows_unknown)

    # a stop text is not longer than this, however short its tokens are
    recent = 4 * max(map(len, stop), default=0) + 4

    def ends(path: Sequence[int]) -> bool:
        before = ids[max(0, len(ids) + len(path) - recent) :]
        return bool(stop) and _written(tokenizer, before, path[-recent:], stop)[1]

    start = ids or [first_id(tokenizer)]
    paths = search(model, start, length, width, alpha, banned_ids(tokenizer), ends)
    return [
        Hypothesis(
            _written(tokenizer, ids, path.ids, stop)[0],
            len(path.ids),
            path.log_probability,
            path.score,
            path.ended,
        )
        for path in paths
    ]


def search(
    model: nn.Module,
    start: Sequence[int],
    length: int,
    width: int,
    alpha: float = 0.0,
    banned: Sequence[int] = (),
    ends: Callable[[Sequence[int]], bool] = lambda path: False,
) -> list[Candidate]:
    """Beam search over ids: the paths of at most `length` ids after `start`, the best first.

    Parameters
    ----------
    model, length, width, alpha
        as in `beam_search`.
    start
        the ids to go on from, at least one.
    banned
        ids that are never taken.
    ends
        called with a path, says whether it is complete.
    """
    ended: list[Candidate] = []
    paths: list[tuple[int, ...]] = [()]
    totals = np.zeros(1)  # the log probability of each path
    ask = Reader(model)
    logits, state = ask.read(start)
    for step in range(length):
        if step:
            logits, state = ask(np.array([[path[-1] for path in paths]]), state)
        reached = totals[:, None] + _log_softmax(usable(logits))
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


def _log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    z: NDArray[np.float64] = logits - logits.max(-1, keepdims=True)
    z -= np.log(np.exp(z).sum(-1, keepdims=True))
    return z


def _chosen(state: Any, rows: list[int]) -> Any:
    """The state of these rows of a batch."""
    chosen = np.array(rows)
    return mapped(state, lambda part: part.take(moved(chosen, part.device), axis=-2))


def _written(
    tokenizer: Tokenizer, prompt: Sequence[int], path: Sequence[int], stop: Sequence[str]
) -> tuple[str, bool]:
    """The text of a prompt and a path after it, up to a stop text, and whether there was one."""
    decoder, stops = TextDecoder(tokenizer), StopTexts(tokenizer, stop)
    text = "".join(map(decoder.push, prompt))
    for id in path:
        if stops.is_end(id):
            return text + stops.flush(), True
        text += stops.push(decoder.push(id))
        if stops.reached:
            return text, True
    return text + stops.flush() + decoder.flush(), False
