"""Writing with a decoder that reads what an encoder has made of a sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minigrad.data import pad_sequences
from minigrad.training import evaluating
from models.devices import device_of, moved
from models.encoder_decoder import EncoderDecoder
from models.measuring.evaluation import quiet
from models.writing.search import Candidate, log_softmax, search

Ids = NDArray[np.int64]


class AttentionMap(NamedTuple):
    """The weights of attention in one sentence."""

    source: Sequence[str]
    """The tokens that were read."""
    target: Sequence[str]
    """Those that were written."""
    weights: NDArray[np.float64]
    """Of each source token for each target token: shape (len(target), len(source))."""


def beam_translate(
    model: EncoderDecoder,
    source: Ids,
    end: int,
    length: int,
    *,
    width: int,
    alpha: float = 0.0,
    banned: Sequence[int] = (),
) -> Candidate:
    """The best translation of one sentence that beam search finds.

    Parameters
    ----------
    model
        used out of training mode, on its own device.
    source
        the ids of the sentence, at least one.
    end
        the id that ends a translation, and with which the decoder begins.
    length
        how many ids a translation has, at most; its end is one of them.
    width, alpha, banned
        as in `search`.

    Raises
    ------
    ValueError
        as `search`.
    """
    device = device_of(model)
    with evaluating(model), quiet():
        encoded = model.encode(moved(source[:, None], device), np.array([len(source)]))

        def ask(ids: Ids, state: Any) -> tuple[NDArray[Any], Any]:
            h, state = model.decode(moved(ids, device), state)
            # the paths are several queries of one sentence
            combined, _ = model.attend(h.swapaxes(0, 1), encoded.memory)
            return model.output(combined).numpy()[:, 0], state

        logits, state = ask(np.array([[end]]), encoded.state)
        found = search(
            ask, logits, state, length, width, alpha, banned, lambda path: path[-1] == end
        )
    return found[0]


def greedy_translate(
    model: EncoderDecoder,
    sources: Sequence[Ids],
    end: int,
    length: int,
    *,
    banned: Sequence[int] = (),
) -> list[Candidate]:
    """The likeliest next id each time, for several sentences at once; see `beam_translate`.

    Weights that are no longer finite give anything, with a probability that is NaN.
    """
    device, (source, lengths) = device_of(model), pad_sequences(sources)
    N = len(sources)
    ids, live, paths = np.full((1, N), end), np.ones(N, bool), [list[int]() for _ in sources]
    totals = np.zeros(N)
    with evaluating(model), quiet():
        encoded = model.encode(moved(source, device), lengths)
        state = encoded.state
        for _ in range(length):
            h, state = model.decode(moved(ids, device), state)
            combined, _ = model.attend(h, encoded.memory)
            log_p = log_softmax(model.output(combined).numpy()[0].astype(np.float64))
            log_p[:, list(banned)] = -np.inf
            ids = log_p.argmax(-1)[None]
            for n in np.flatnonzero(live).tolist():
                paths[n].append(int(ids[0, n]))
                totals[n] += log_p[n, ids[0, n]]
            live &= ids[0] != end
            if not live.any():
                break
    return [
        Candidate(tuple(path), float(total), float(total), not going_on)
        for path, total, going_on in zip(paths, totals, live, strict=True)
    ]


def alignment(
    model: EncoderDecoder, source: Ids, path: Sequence[int], end: int
) -> NDArray[np.float64] | None:
    """Where the decoder looked as it wrote each id of `path`: shape (len(path), len(source)).

    In each row are the weights of attention, with the sum 1. None: the model has no attention.
    """
    device = device_of(model)
    with evaluating(model), quiet():
        encoded = model.encode(moved(source[:, None], device), np.array([len(source)]))
        h, _ = model.decode(moved(np.array([end, *path[:-1]])[:, None], device), encoded.state)
        _, weights = model.attend(h, encoded.memory)
    return None if weights is None else weights.numpy()[:, 0].astype(np.float64)


def scheduled_inputs(
    model: EncoderDecoder,
    source: Ids,
    lengths: Ids,
    inputs: Ids,
    kept: float,
    rng: np.random.Generator,
) -> Ids:
    """`inputs` with some ids in the place of which stands what the model itself has drawn.

    So it learns to go on after its own mistakes. Bengio, Vinyals, Jaitly and Shazeer (2015),
    Scheduled sampling for sequence prediction with recurrent neural networks. No gradient flows
    through what was drawn, in the paper neither; so the draws come first, off the tape, and the
    loss is then that of teacher forcing with these inputs.

    Parameters
    ----------
    model
        used out of training mode, on its own device.
    source, lengths, inputs
        as in `EncoderDecoder`: of shapes (S, N), (N,) and (T, N). The first input is always kept.
    kept
        the probability with which each of the others is kept.
    rng
        draws, whatever else: two numbers for each of the inputs but the first.
    """
    mixed, device = inputs.copy(), device_of(model)
    with evaluating(model), quiet():
        encoded = model.encode(moved(source, device), lengths)
        state = encoded.state
        for t in range(1, len(inputs)):
            h, state = model.decode(moved(mixed[t - 1 : t], device), state)
            combined, _ = model.attend(h, encoded.memory)
            p = np.exp(log_softmax(model.output(combined).numpy()[0].astype(np.float64)))
            keeps, point = rng.random((2, inputs.shape[1]))
            own = (p.cumsum(-1) < point[:, None] * p.sum(-1, keepdims=True)).sum(-1)
            mixed[t] = np.where(keeps < kept, inputs[t], own)
    return mixed


def kept_share(step: int, k: float) -> float:
    """Bengio et al.'s inverse sigmoid decay, k / (k + exp(step / k)): from about 1 down to 0.

    It is 1/2 in step k ln k.
    """
    return k / (k + math.exp(min(step / k, 700)))
