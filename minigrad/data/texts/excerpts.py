"""Parts of long texts, which are never held in memory as a whole."""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice, pairwise

from minigrad.data.batches import split
from minigrad.data.texts.text import Text, after_whitespace, hash_of, recut
from minigrad.data.texts.utf8 import PIECE

WORD = re.compile(r"\S+")
WORD_OR_LINE_END = re.compile(r"\S+|\n")


class Excerpt:
    """The characters from `start` up to `stop` of another text."""

    def __init__(self, text: Text, start: int, stop: int) -> None:
        self.text, self.start, self.stop = text, start, stop

    @property
    def name(self) -> str:
        """The name of the whole text."""
        return self.text.name

    @property
    def digest(self) -> str:
        """A hash of the digest of the whole text, of `start` and of `stop`."""
        return hash_of("excerpt", self.text.digest, self.start, self.stop)

    @property
    def extent(self) -> int:
        """The number of characters, if the text is long enough."""
        return self.stop - self.start

    def pieces(self, size: int = PIECE) -> Iterator[str]:
        """The excerpt in pieces; what comes before it is read too, what comes after it is not."""
        position = 0
        for piece in self.text.pieces(size):
            first, last = max(0, self.start - position), self.stop - position
            if first < min(last, len(piece)):
                yield piece[first:last]
            position += len(piece)
            if position >= self.stop:
                return


def cut(text: Text, fractions: Sequence[float], *, words: bool = False) -> tuple[Excerpt, ...]:
    """Consecutive parts of a text, as `split` gives them of a text in memory.

    Parameters
    ----------
    text
        the text to cut.
    fractions
        the share of each part.
    words
        True: the shares are of words, not of characters. Then no word is cut in two: it stays with
        the whitespace after it. Whitespace at the very beginning is left out.

    Raises
    ------
    OSError, ValueError
        as `text.pieces` and `split` do.
    """
    if not words:
        length = sum(map(len, text.pieces()))
        parts = split(range(length), fractions)
        return tuple(Excerpt(text, part.start, part.stop) for part in parts)
    counts, lengths = _counted(text, lambda piece: len(piece.split()))
    numbers = [part.start for part in split(range(sum(counts)), fractions)]
    starts = [start for start, _ in _found(text, WORD, counts, numbers)]
    bounds = pairwise([*starts, sum(lengths)])
    return tuple(Excerpt(text, start, stop) for start, stop in bounds)


def first_characters(text: Text, count: int) -> Text:
    """The first `count` characters of a text, or the whole text if it has no more."""
    return Excerpt(text, 0, count) if sum(map(len, text.pieces())) > count else text


def first_words(text: Text, count: int, *, line_ends: bool = True) -> Text:
    """The first `count` words of a text, or the whole text if it has no more.

    With `line_ends` each line end counts too, as in a vocabulary that has a token for it.
    """
    pattern = WORD_OR_LINE_END if line_ends else WORD
    counts, _ = _counted(text, lambda piece: len(piece.split()) + line_ends * piece.count("\n"))
    if sum(counts) <= count:
        return text
    ((_, stop),) = _found(text, pattern, counts, [count - 1])
    return Excerpt(text, 0, stop)


def _counted(text: Text, count: Callable[[str], int]) -> tuple[list[int], list[int]]:
    """For each piece of a text, what `count` gives, and the length."""
    counts, lengths = [], []
    for piece in recut(text.pieces(), after_whitespace):
        counts.append(count(piece))
        lengths.append(len(piece))
    return counts, lengths


def _found(
    text: Text, pattern: re.Pattern[str], counts: Sequence[int], numbers: Sequence[int]
) -> list[tuple[int, int]]:
    """Where the matches of `pattern` with these rising numbers begin and end.

    `counts` has the number of matches in each piece; only a piece with a match that is asked for
    is searched.
    """
    found: list[tuple[int, int]] = []
    position = before = 0
    for piece, count in zip(recut(text.pieces(), after_whitespace), counts, strict=False):
        while len(found) < len(numbers) and numbers[len(found)] < before + count:
            number = numbers[len(found)] - before
            match = next(islice(pattern.finditer(piece), number, None))
            found.append((position + match.start(), position + match.end()))
        position, before = position + len(piece), before + count
        if len(found) == len(numbers):
            break
    return found
