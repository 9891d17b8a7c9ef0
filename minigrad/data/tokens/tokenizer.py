"""What every tokeniser can do, and how one of any kind is read from its file."""

import os
from typing import Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minigrad.data.tokens.byte_pairs import BytePairVocabulary
from minigrad.data.tokens.bytes import ByteVocabulary
from minigrad.data.tokens.saving import content_of, parsed
from minigrad.data.tokens.vocabulary import Vocabulary
from minigrad.errors.values import told

TokenLevel = Literal["char", "word", "byte", "bpe"]


class Tokenizer(Protocol):
    """Turns a text into the ids of its tokens, from 0 to ``len(tokenizer) - 1``, and back."""

    @property
    def level(self) -> TokenLevel:
        """What a token is: a character, a word, a byte, or what byte-pair encoding found."""

    @property
    def unk_id(self) -> int | None:
        """The id of what is not in the vocabulary; None: there is no such id."""

    @property
    def eos_id(self) -> int | None:
        """The id of a line end; None: a line end is a symbol like any other."""

    @property
    def fingerprint(self) -> str:
        """A hash of all that decides the ids."""

    def __len__(self) -> int: ...

    def encode(self, text: str) -> NDArray[np.int64]:
        """The ids of the tokens of `text`."""

    def decode(self, ids: ArrayLike) -> str:
        """The text of `ids`."""

    def last_cut(self, text: str) -> int:
        """The last place where `text` may be cut and encoded in two, with the same ids.

        `text` is the beginning of a longer text, whose rest is not known yet. 0: there is no such
        place so far.
        """

    def to_json(self) -> str:
        """All that decides the ids, as JSON text."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to a file, as a whole or not at all."""


Kind = type[Vocabulary] | type[ByteVocabulary] | type[BytePairVocabulary]

KINDS: dict[str, Kind] = {
    kind.format: kind for kind in (Vocabulary, ByteVocabulary, BytePairVocabulary)
}
"""The classes of tokenisers, by what their JSON is called."""


def load_tokenizer(path: str | os.PathLike[str]) -> Tokenizer:
    """The tokeniser that was saved to `path`, of whatever kind.

    Raises
    ------
    OSError
        if the file is missing or cannot be read.
    ValueError
        if the file is not that of a tokeniser, or is damaged. The message names it.
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
