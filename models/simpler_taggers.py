"""What a tagger should be better than: labels that follow from a token and its neighbours alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.counted_contexts import Features

AROUND = (0, 1, -1, 2, -2, 3)
"""Which characters tell whether a space follows, the most telling first."""

ENDING = 4
"""So many letters of a word's end tell of its label."""


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
        found: Features = np.array(ids)[np.array(places)[:, None] + np.array(self.offsets)]
        return found


class Words:
    """Features of a word: the word itself."""

    def __init__(self) -> None:
        self.ids: dict[str, int] = {}

    def __call__(self, sentences: Sequence[Sequence[str]]) -> Features:
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
