"""What a tagger should be better than: labels that follow from a token and its neighbours alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from models.counted_contexts import Features, best_of
from models.tagged_texts import Tagged

AROUND = (0, 1, -1, 2, -2, 3)
"""Which characters tell whether a space follows, the most telling first."""

ENDING = 4
"""So many letters of a word's end tell of its label."""

Labels = NDArray[np.int64]
Counted = Callable[[Sequence[Sequence[str]]], Features]
"""Makes features of sentences; those of all its tokens stand below one another."""


class Surroundings:
    """Features of a character: those at some distances from it.

    Parameters
    ----------
    offsets
        the distances.
    """

    def __init__(self, offsets: Sequence[int]) -> None:
        self.offsets = offsets

    def __call__(self, sentences: Sequence[Sequence[str]]) -> Features:
        """Of all characters, shape (characters, offsets)."""
        edge = [0] * max(map(abs, self.offsets))
        ids = [*edge]
        places: list[int] = []
        for sentence in sentences:
            places.extend(range(len(ids), len(ids) + len(sentence)))
            ids += [*map(ord, sentence), *edge]
        return np.array(ids)[np.array(places)[:, None] + np.array(self.offsets)]


class Endings:
    """Features of a word: its last letters, from one to `ENDING`, whether it begins with a capital
    letter, and the word itself."""

    def __init__(self) -> None:
        self.ids: dict[str, int] = {}

    def __call__(self, sentences: Sequence[Sequence[str]]) -> Features:
        """Of all words, shape (words, ENDING + 2)."""
        rows = []
        for word in (word for sentence in sentences for word in sentence):
            ends = [word[-k:] if k <= len(word) else f"\x02{word}" for k in range(1, ENDING + 1)]
            told = [ends[0], f"\x03{word[0].isupper()}", *ends[1:], f"\x02{word}\x03"]
            rows.append([self.ids.setdefault(each, len(self.ids)) for each in told])
        return np.array(rows, np.int64)
