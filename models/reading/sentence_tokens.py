"""The tokens of sentences, and sentences out of tokens again."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minigrad.data import Vocabulary

SentenceLevel = Literal["char", "jamo", "word"]

JOINED = "￭"
"""Stands before a word or mark that has no space before it: OpenNMT's joiner."""

END = "<eos>"


class SentenceTokens:
    """Turns sentences of a language into ids, and back.

    Parameters
    ----------
    level
        ``"char"``: a token is a character, of Korean a syllable. ``"jamo"``: a letter, also where
        several make a syllable of Hangul (Unicode's decomposed form, NFD). ``"word"``: a word or a
        punctuation mark.
    vocabulary
        its tokens, with `END` and one for unknown symbols.

    Attributes
    ----------
    end : int
        the id that ends a sentence, and with which a decoder begins.
    """

    def __init__(self, level: str, vocabulary: Vocabulary) -> None:
        self.level, self.vocabulary = level, vocabulary
        if level not in get_args(SentenceLevel):
            raise ValueError(f"the level must be char, jamo or word, got {level!r:.40}")
        if vocabulary.eos_id is None or vocabulary.unk_id is None:
            raise ValueError("the vocabulary needs a token for ends, and one for unknown symbols")
        self.end, self.unknown = vocabulary.eos_id, vocabulary.unk_id

    @classmethod
    def learnt(cls, level: str, sentences: Iterable[str], min_count: int = 1) -> SentenceTokens:
        """Those of the sentences to train on; all rarer than `min_count` are one."""
        lines = (f"{_cut(level, sentence)}\n" for sentence in sentences)
        kind: Any = "word" if level == "word" else "char"
        return cls(level, Vocabulary.from_chunks(lines, level=kind, min_count=min_count, eos=END))

    def __len__(self) -> int:
        return len(self.vocabulary)

    def encode(self, sentence: str) -> NDArray[np.int64]:
        """The ids of a sentence, without an end."""
        return self.vocabulary.encode(_cut(self.level, sentence))

    def decode(self, ids: ArrayLike) -> str:
        """The sentence of ids that have no end in them."""
        text = self.vocabulary.decode(ids)
        if self.level == "word":
            return text.replace(f" {JOINED}", "").removeprefix(JOINED)
        return unicodedata.normalize("NFC", text)

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """Each of the ids as text, to be shown."""
        return [_alone(self.vocabulary.tokens[i].removeprefix(JOINED)) for i in ids]


def _cut(level: str, sentence: str) -> str:
    """A sentence as a `Vocabulary` reads it."""
    if level == "jamo":
        return unicodedata.normalize("NFD", sentence)
    if level == "char":
        return sentence
    words = []
    for match in re.finditer(r"\w+|[^\w\s]", sentence):
        before = sentence[: match.start()][-1:]
        words.append(match[0] if before in ("", " ") else JOINED + match[0])
    return " ".join(words)


def _alone(token: str) -> str:
    """A token as it is written by itself: ㅎ for what would be joined with others to a syllable."""
    name = unicodedata.name(token, "") if len(token) == 1 else ""
    for part in ("CHOSEONG", "JUNGSEONG", "JONGSEONG"):
        if name.startswith(f"HANGUL {part} "):
            return unicodedata.lookup(name.replace(part, "LETTER"))
    return token
