"""The symbols of a vocabulary: which of them a text has, and what they must be like."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np

from minigrad.data.checks import check_is_str, readable
from minigrad.data.texts.text import after_whitespace, recut
from minigrad.errors.values import told

Level = Literal["char", "word"]


def counts(chunks: Iterable[str], level: Level) -> Counter[str]:
    """How often each character or word occurs in a text that is given in pieces."""
    return _counts_of_characters(chunks) if level == "char" else _counts_of_words(chunks)


def _counts_of_characters(chunks: Iterable[str]) -> Counter[str]:
    # UTF-32 is an array of code points, and counting those is ten times as fast as a Counter.
    counts = np.zeros(0, np.int64)
    for chunk in chunks:
        check_is_str(chunk, "Vocabulary.from_chunks")
        code_points = np.frombuffer(chunk.encode("utf-32-le", "surrogatepass"), "<u4")
        here = np.bincount(code_points.astype(np.intp), minlength=len(counts))
        here[: len(counts)] += counts
        counts = here
    return Counter({chr(place): int(counts[place]) for place in counts.nonzero()[0]})


def _counts_of_words(chunks: Iterable[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for chunk in recut(chunks, after_whitespace):
        counts.update(chunk.split())
    return counts


def check_level(level: str, caller: str) -> None:
    """Raise a ValueError if there is no such level."""
    if level not in ("char", "word"):
        raise ValueError(f'{caller}: level must be "char" or "word", got {told(level)}')


def check_tokens(tokens: Sequence[str], level: Level, unk: str | None, eos: str | None) -> None:
    """Raise a ValueError (or TypeError) if a vocabulary can't have these tokens: see there."""
    if not tokens:
        raise ValueError("Vocabulary: tokens must not be empty")
    special = [token for token in (unk, eos) if token is not None]
    for name, token in (("unk", unk), ("eos", eos)):
        if token is not None and token not in tokens:
            raise ValueError(f"Vocabulary: {name} must be one of the tokens, got {told(token)}")
    if unk is not None and unk == eos:
        raise ValueError(f"Vocabulary: unk and eos must differ, got {told(unk)} for both")
    seen: dict[str, int] = {}
    for id, token in enumerate(tokens):
        if not isinstance(token, str):
            raise TypeError(f"Vocabulary: tokens must be str, got {told(token)} for id {id}")
        if token in seen:
            raise ValueError(
                f"Vocabulary: tokens must differ, got {readable(token)} for ids {seen[token]} "
                f"and {id}"
            )
        seen[token] = id
        if token == "":
            raise ValueError(f"Vocabulary: tokens must not be empty, got '' for id {id}")
        if any("\ud800" <= character <= "\udfff" for character in token):
            raise ValueError(
                f"Vocabulary: tokens must be valid Unicode, got {readable(token)} for id {id}, "
                "which holds half of a surrogate pair"
            )
        if level == "word" and token.split() != [token]:
            raise ValueError(
                f"Vocabulary: words must not hold whitespace, got {readable(token)} for id {id}"
            )
        if level == "char" and len(token) > 1 and token not in special:
            raise ValueError(
                f"Vocabulary: tokens other than unk and eos must be single characters at level "
                f'"char", got {readable(token)} for id {id}'
            )
    if eos not in (None, "\n") and "\n" in seen:
        raise ValueError(
            f"Vocabulary: a line end must have one token, got both {told(eos)} (eos) and '\\n'"
        )
