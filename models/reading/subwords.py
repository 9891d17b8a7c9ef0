"""Pieces of words and of texts, by which rare tokens share vectors with others."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

NONE = 0
"""The number of no piece: it fills up the rows of tokens that have fewer than others."""

BUCKETS = 2**16
"""How many numbers the pieces of texts share, unless there is reason for more."""

MOST = 30
"""A token has at most so many pieces, the first ones: long words are mostly addresses."""


def pieces(
    text: str, level: Literal["char", "word"], longest: int, buckets: int
) -> NDArray[np.int64]:
    """The pieces of each token of a text: numbers from 1 to `buckets`, of shape (T, K).

    The pieces of a word are its parts of 3 to `longest` characters, its marked ends included: of
    "bad", with `longest` 4, those are <ba, bad, ad>, <bad and bad>. Those of a character are the
    parts of the text of 2 to `longest` characters that end with it. They are numbered by a hash, so
    that none has to be known before, and some share a number: Bojanowski, Grave, Joulin and Mikolov
    (2017), Enriching word vectors with subword information.

    Parameters
    ----------
    text
        with spaces between words, at level ``"word"``.
    level
        what a token is.
    longest
        how many characters a piece has at most.
    buckets
        how many numbers there are.
    """
    if level == "word":
        rows = [_of_word(word, longest, buckets) for word in text.split()]
    else:
        marked = f"\n{text}"  # which no text to classify holds
        rows = [
            tuple(
                _number(marked[end - size : end], buckets)
                for size in range(2, min(longest, end) + 1)
            )
            for end in range(2, len(marked) + 1)
        ]
    found = np.full((len(rows), max(map(len, rows), default=0)), NONE)
    for row, numbers in zip(found, rows, strict=True):
        row[: len(numbers)] = numbers
    return found


def pad_pieces(found: Sequence[NDArray[np.int64]], T: int) -> NDArray[np.int64]:
    """The pieces of N texts of at most T tokens side by side: (T, N, K), filled up with `NONE`."""
    K = max(each.shape[1] for each in found)
    padded = np.full((T, len(found), K), NONE)
    for n, each in enumerate(found):
        padded[: each.shape[0], n, : each.shape[1]] = each
    return padded


@lru_cache(maxsize=100_000)
def _of_word(word: str, longest: int, buckets: int) -> tuple[int, ...]:
    marked = f"<{word}>"
    parts = (
        marked[start : start + size]
        for size in range(3, longest + 1)
        for start in range(len(marked) - size + 1)
    )
    return tuple(_number(part, buckets) for part in parts)[:MOST]


def _number(piece: str, buckets: int) -> int:
    return 1 + zlib.crc32(piece.encode("utf-8", "surrogatepass")) % buckets
