"""The 256 bytes as tokens: the smallest vocabulary, and it can spell every text."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minigrad.data.checks import token_ids, utf_8
from minigrad.data.tokens.saving import Saved


class ByteVocabulary(Saved):
    """The bytes of UTF-8 as tokens: the id of a byte is its value.

    Every text can be encoded, and comes back exactly. There is no unknown token, and a line end is
    byte 10. An English letter is one token, a Greek or Cyrillic letter two, a Korean syllable or a
    Chinese character three, an emoji four.

    Attributes
    ----------
    level : str
        ``"byte"``.
    unk_id, eos_id : None
    token_bytes : tuple of bytes
        what each token stands for.
    """

    format = "minigrad.ByteVocabulary"
    kind = "a vocabulary of bytes"
    level: Literal["byte"] = "byte"
    unk_id: None = None
    eos_id: None = None
    token_bytes = tuple(bytes([value]) for value in range(256))

    def __len__(self) -> int:
        return 256

    def __eq__(self, other: object) -> bool:
        """Whether `other` is one too; all are equal."""
        return isinstance(other, ByteVocabulary)

    def __hash__(self) -> int:
        return hash(self.format)

    def __repr__(self) -> str:
        return "ByteVocabulary()"

    def encode(self, text: str) -> NDArray[np.int64]:
        """The bytes of `text`: int64, shape (number of bytes,).

        Raises
        ------
        ValueError
            if the text is not valid Unicode: if it holds half of a surrogate pair.
        """
        return np.frombuffer(utf_8(text, "ByteVocabulary.encode"), np.uint8).astype(np.int64)

    def decode(self, ids: ArrayLike) -> str:
        """The text of `ids`, integers of shape (length,).

        Bytes that are not UTF-8, which a model may well write, become U+FFFD.

        Raises
        ------
        TypeError, ValueError, IndexError
            as `Vocabulary.decode` does.
        """
        values = token_ids(ids, len(self), "ByteVocabulary.decode").astype(np.uint8)
        return values.tobytes().decode("utf-8", "replace")

    def last_cut(self, text: str) -> int:
        """The last place where `text` may be cut and encoded in two: anywhere."""
        return len(text)
