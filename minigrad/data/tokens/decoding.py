"""Ids to text one at a time, as a model writes them."""

import codecs

from minigrad.data.tokens.byte_pairs import BytePairVocabulary
from minigrad.data.tokens.bytes import ByteVocabulary
from minigrad.data.tokens.tokenizer import Tokenizer


class TextDecoder:
    """What each id adds to the text of those before it.

    The pieces that `push` and at last `flush` return, joined, are `tokenizer.decode` of all ids.

    Parameters
    ----------
    tokenizer
        Whose ids they are.

    Examples
    --------
    >>> from minigrad.data import Vocabulary
    >>> decoder = TextDecoder(Vocabulary(["the", "cat"], level="word"))
    >>> [decoder.push(0), decoder.push(1), decoder.flush()]
    ['the', ' cat', '']
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self._last: list[int] = []  # the word before, which decides whether there is a space
        self._bytes = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, id: int) -> str:
        """Return what `id` adds: of words, with the space before.

        Of bytes, "" until a character is whole; what can't become one any more is U+FFFD.

        Raises
        ------
        IndexError
            If the id is none of the tokeniser's.
        """
        tokenizer = self.tokenizer
        if isinstance(tokenizer, ByteVocabulary | BytePairVocabulary):
            if not 0 <= id < len(tokenizer):
                raise IndexError(f"TextDecoder.push: id must be in [0, {len(tokenizer)}), got {id}")
            return self._bytes.decode(tokenizer.token_bytes[id])
        before = tokenizer.decode(self._last)
        text = tokenizer.decode([*self._last, id])[len(before) :]
        self._last = [id] if tokenizer.level == "word" else []
        return text

    def flush(self) -> str:
        """Return what was held back, and begin anew: U+FFFD for what never became whole."""
        self._last = []
        return self._bytes.decode(b"", final=True)
