"""From ids to text, one id at a time, as a model writes them."""

import codecs

from minigrad.data.tokens.byte_pairs import BytePairVocabulary
from minigrad.data.tokens.bytes import ByteVocabulary
from minigrad.data.tokens.tokenizer import Tokenizer


class TextDecoder:
    """What each id adds to the text of the ids before it.

    What `push` returns for each id, and `flush` at the end, makes together `tokenizer.decode` of
    all ids.

    Parameters
    ----------
    tokenizer
        the tokeniser that the ids belong to.

    Examples
    --------
    >>> from minigrad.data import Vocabulary
    >>> decoder = TextDecoder(Vocabulary(["the", "cat"], level="word"))
    >>> [decoder.push(0), decoder.push(1), decoder.flush()]
    ['the', ' cat', '']
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self._last: list[int] = []  # the word before, which decides whether a space follows
        self._bytes = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, id: int) -> str:
        """What `id` adds to the text; a word comes with the space before it.

        A byte adds "" until a character is complete. Bytes that can no longer become a character
        are U+FFFD.

        Raises
        ------
        IndexError
            if the tokeniser has no such id.
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
        """The rest: U+FFFD if a character is not complete. Then a new text can begin."""
        self._last = []
        return self._bytes.decode(b"", final=True)
