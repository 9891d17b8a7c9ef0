"""n-grams of many short texts: how well they predict others, without a network."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from models.simpler.kneser_ney import KneserNey

ORDERS = range(1, 7)
"""The lengths of n-grams that are tried."""

Texts = Sequence[NDArray[np.int64]]
"""The ids of each text, without its end."""


def ngram_loss(
    train: tuple[Texts, Sequence[Hashable]],
    valid: tuple[Texts, Sequence[Hashable]],
    on: tuple[Texts, Sequence[Hashable]],
    end: int,
    vocab_size: int,
) -> tuple[float, int]:
    """The loss on texts of n-grams with modified Kneser-Ney smoothing; and their length n.

    Parameters
    ----------
    train, valid, on
        the texts to learn from, to choose n with, and to measure on; and a key for each: n-grams
        learn from the texts of a key, and predict those of the same key. One that is in `valid` or
        `on` is in `train`.
    end
        the id that ends a text.

    Returns
    -------
    loss, order
        in nats per token, of which the end of a text is one.
    """
    found = {n: _loss(train, valid, end, vocab_size, n) for n in ORDERS}
    order = min(found, key=lambda n: found[n])
    return _loss(train, on, end, vocab_size, order), order


def _loss(
    train: tuple[Texts, Sequence[Hashable]],
    on: tuple[Texts, Sequence[Hashable]],
    end: int,
    vocab_size: int,
    order: int,
) -> float:
    models = {
        key: KneserNey(_in_a_row(texts, end, order)[0], vocab_size, order)
        for key, texts in _by_key(train).items()
    }
    nats, count = 0.0, 0
    for key, texts in _by_key(on).items():
        ids, counts = _in_a_row(texts, end, order)
        nats -= float(models[key].log_probabilities(ids)[counts].sum())
        count += int(counts.sum())
    return nats / max(1, count)


def _by_key(texts: tuple[Texts, Sequence[Hashable]]) -> dict[Hashable, list[NDArray[np.int64]]]:
    found: dict[Hashable, list[NDArray[np.int64]]] = {}
    for ids, key in zip(*texts, strict=True):
        found.setdefault(key, []).append(ids)
    return found


def _in_a_row(texts: Texts, end: int, order: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Texts one after the other, and which tokens count.

    So many ends are between them that no n-gram reaches from one into the next; the first of them
    counts.
    """
    more = max(0, order - 2)
    ids, counts = [np.full(more + 1, end)], [np.zeros(more + 1, bool)]
    for text in texts:
        ids += [text, np.full(more + 1, end)]
        counts += [np.ones(len(text) + 1, bool), np.zeros(more, bool)]
    return np.concatenate(ids), np.concatenate(counts)
