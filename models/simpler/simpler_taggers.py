"""What a tagger should be better than: labels by counting, in contexts and in shorter ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

AROUND = (0, 1, -1, 2, -2, 3)
"""Which characters tell whether a space follows, the most telling first."""

ENDING = 4
"""So many letters of a word's end tell of its label."""

Sentences = Sequence[Sequence[str]]

Features = NDArray[np.int64]
"""What is known about each of N tokens, in K columns, the most telling first: shape (N, K)."""


class _Level(NamedTuple):
    """The contexts of the first k columns."""

    keys: NDArray[np.int64]
    counts: NDArray[np.float64]
    """Shape (contexts, labels)."""


class CountedContexts:
    """p_k(y | x_1, ..., x_k) = (c(x_1, ..., x_k, y) + p_{k-1}(y | x_1, ..., x_{k-1})) / (c + 1).

    c(x_1, ..., x_k, y) counts what was seen, and c is its sum over all labels y. So a shorter
    context counts like one more example, and decides alone where the longer one was never seen; p_0
    is the share of each label. MacKay and Peto, "A hierarchical Dirichlet language model" (1995),
    with the weight 1.

    Parameters
    ----------
    features, labels
        what to learn from: shape (N, K), integers from 0; and N integers from 0.
    num_labels
        how many labels there are.
    """

    def __init__(self, features: Features, labels: NDArray[np.int64], num_labels: int) -> None:
        self.num_labels, self.base = num_labels, int(features.max(initial=0)) + 1
        self.shares = np.bincount(labels, minlength=num_labels) / max(1, len(labels))
        self.levels: list[_Level] = []
        context = np.zeros(len(features), np.int64)
        for column in features.T:
            keys, context = np.unique(context * self.base + column, return_inverse=True)
            places = context * num_labels + labels
            counts = np.bincount(places, minlength=len(keys) * num_labels)
            self.levels.append(_Level(keys, counts.reshape(-1, num_labels).astype(float)))

    def probabilities(self, features: Features) -> NDArray[np.float64]:
        """The probability of each label, of shape (N, labels)."""
        p = np.broadcast_to(self.shares, (len(features), self.num_labels)).copy()
        seen, context = np.arange(len(features)), np.zeros(len(features), np.int64)
        for column, (keys, counts) in zip(features.T, self.levels, strict=True):
            column = column[seen]
            wanted = context * self.base + column
            at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
            known = (keys[at] == wanted) & (column < self.base)
            seen, context = seen[known], at[known]
            c = counts[context]
            p[seen] = (c + p[seen]) / (c.sum(1, keepdims=True) + 1)
        return p

    def predict(self, features: Features) -> NDArray[np.int64]:
        """The likeliest label of each."""
        return np.asarray(self.probabilities(features).argmax(1))


class Surroundings:
    """Features of a character: those at some distances from it.

    Parameters
    ----------
    offsets
        the distances.
    """

    def __init__(self, offsets: Sequence[int]) -> None:
        self.offsets = offsets

    def __call__(self, sentences: Sentences) -> Features:
        """Of all characters, shape (characters, offsets)."""
        edge = [0] * max(map(abs, self.offsets))
        ids = [*edge]
        places: list[int] = []
        for sentence in sentences:
            places.extend(range(len(ids), len(ids) + len(sentence)))
            ids += [*map(ord, sentence), *edge]
        found: Features = np.array(ids)[np.array(places)[:, None] + np.array(self.offsets)]
        return found


class Words:
    """Features of a word: the word itself."""

    def __init__(self) -> None:
        self.ids: dict[str, int] = {}

    def __call__(self, sentences: Sentences) -> Features:
        """Of all words, shape (words, features)."""
        words = (self.told(word) for sentence in sentences for word in sentence)
        ids = self.ids
        return np.array([[ids.setdefault(each, len(ids)) for each in told] for told in words])

    def told(self, word: str) -> list[str]:
        """The features of one word, as texts."""
        return [word]


class Endings(Words):
    """Features of a word: whether it begins with a capital letter, its last letters, the word.

    Of the last letters, from one to `ENDING`.
    """

    def told(self, word: str) -> list[str]:
        """The features of one word, as texts."""
        ends = [word[-k:] if k <= len(word) else f"\x02{word}" for k in range(1, ENDING + 1)]
        return [f"\x03{word[0].isupper()}", *ends, f"\x02{word}\x03"]
