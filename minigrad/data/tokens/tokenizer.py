"""What is asked of a tokeniser, and how any of them is read from its file."""

import os
from typing import Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minigrad.data.tokens import byte_pairs, vocabulary
from minigrad.data.tokens import bytes as byte_vocabulary
from minigrad.data.tokens.byte_pairs import BytePairVocabulary
from minigrad.data.tokens.bytes import ByteVocabulary
from minigrad.data.tokens.saving import content_of, parsed
from minigrad.data.tokens.vocabulary import Vocabulary
from minigrad.errors.values import told

TokenLevel = Literal["char", "word", "byte", "bpe"]


class Tokenizer(Protocol):
    """Between text and the ids of its tokens, which are 0 to `len(tokenizer) - 1`."""

    @property
    def level(self) -> TokenLevel:
        """What a token is: a character, a word, a byte, or what byte-pair encoding found."""

    @property
    def unk_id(self) -> int | None:
        """The id of what is not in the vocabulary, if there is one."""

    @property
    def eos_id(self) -> int | None:
        """The id that stands for a line end, if that is not a symbol like any other."""

    @property
    def fingerprint(self) -> str:
        """A hash of all that decides the ids."""

    def __len__(self) -> int: ...

    def encode(self, text: str) -> NDArray[np.int64]:
        """Return the ids of the tokens of `text`."""

    def decode(self, ids: ArrayLike) -> str:
        """Return the text of `ids`."""

    def last_cut(self, text: str) -> int:
        """Tell the last place where `text` may be cut, and encoded in two, for the same ids.

        `text` is the beginning of a longer one: what follows it is not known. 0: there is no such
        place yet.
        """

    def to_json(self) -> str:
        """Return it as JSON text."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to a file, whole or not at all."""


KINDS: dict[str, type[Vocabulary] | type[ByteVocabulary] | type[BytePairVocabulary]] = {
    vocabulary.FORMAT: Vocabulary,
    byte_vocabulary.FORMAT: ByteVocabulary,
    byte_pairs.FORMAT: BytePairVocabulary,
}


def load_tokenizer(path: str | os.PathLike[str]) -> Tokenizer:
    """Return the tokeniser that was saved to `path`, of whichever kind it is.

    Raises
    ------
    OSError
        If the file is missing or can't be read.
    ValueError
        If the file is not one of a tokeniser, or is damaged. The message names it.
    """
    try:
        state = parsed(content_of(path), "load_tokenizer")
    except ValueError as error:
        raise ValueError(f"load_tokenizer: {os.fspath(path)!r}: {error}") from error
    format = state.get("format") if isinstance(state, dict) else None
    if not isinstance(format, str) or format not in KINDS:
        raise ValueError(
            f"load_tokenizer: {os.fspath(path)!r}: this JSON is not a tokeniser: it must be an "
            f'object whose "format" is one of {", ".join(map(repr, KINDS))}, got {told(format)}'
        )
    return KINDS[format].load(path)
