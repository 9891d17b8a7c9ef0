"""The 256 bytes as tokens: every text of the world with the smallest of vocabularies."""

import json
from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minigrad.data.checks import token_ids, utf_8
from minigrad.data.tokens.saving import Saved, checked_state

FORMAT = "minigrad.ByteVocabulary"
VERSION = 1


class ByteVocabulary(Saved):
    """The bytes of UTF-8 as tokens: the id of a byte is its value.

    Every text can be encoded, and comes back exactly; there is no unknown token, and a line end is
    byte 10. A letter of English is one token, one of Greek or Cyrillic two, a syllable of Korean or
    a Chinese character three, an emoji four.

    Attributes
    ----------
    level : str
        `"byte"`.
    unk_id, eos_id : None
    token_bytes : tuple of bytes
        What each token stands for.
    """

    level: Literal["byte"] = "byte"
    unk_id: None = None
    eos_id: None = None
    token_bytes = tuple(bytes([value]) for value in range(256))

    def __len__(self) -> int:
        return 256

    def __eq__(self, other: object) -> bool:
        """Whether `other` is one too: all are equal."""
        return isinstance(other, ByteVocabulary)

    def __hash__(self) -> int:
        return hash(FORMAT)

    def __repr__(self) -> str:
        return "ByteVocabulary()"

    def encode(self, text: str) -> NDArray[np.int64]:
        """Return the bytes of `text`: int64, shape (number of bytes,).

        Raises
        ------
        ValueError
            If the text is not valid Unicode: if it holds half of a surrogate pair.
        """
        return np.frombuffer(utf_8(text, "ByteVocabulary.encode"), np.uint8).astype(np.int64)

    def decode(self, ids: ArrayLike) -> str:
        """Return the text of `ids`, integers of shape (length,).

        Bytes that are not UTF-8, as a model may well write them, become U+FFFD.

        Raises
        ------
        TypeError, ValueError, IndexError
            As `Vocabulary.decode` does.
        """
        values = token_ids(ids, len(self), "ByteVocabulary.decode").astype(np.uint8)
        return values.tobytes().decode("utf-8", "replace")

    def last_cut(self, text: str) -> int:
        """Tell the last place where `text` may be cut and encoded in two: anywhere."""
        return len(text)

    def to_json(self) -> str:
        """Return it as JSON text: there is nothing to say but what it is."""
        return json.dumps({"format": FORMAT, "version": VERSION}, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return what `to_json` wrote.

        Raises
        ------
        ValueError
            If the text is not JSON, or not that of a vocabulary of bytes.
        """
        caller = "ByteVocabulary.from_json"
        checked_state(text, "a vocabulary of bytes", FORMAT, VERSION, set(), caller)
        return cls()
