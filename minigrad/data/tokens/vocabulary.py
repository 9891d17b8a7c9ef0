"""Characters or words as tokens, each with an id."""

import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import repeat
from types import EllipsisType
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minigrad.data.checks import check_is_str, positive_int, readable, token_ids
from minigrad.data.texts.text import after_whitespace
from minigrad.data.tokens.saving import Saved
from minigrad.data.tokens.symbols import Level, check_level, check_tokens, counts

UNKNOWN = -1
"""In place of an id, while a text is encoded."""


class Vocabulary(Saved):
    r"""The tokens of a language model, each with an id: its place in `tokens`.

    At level ``"char"`` a token is a character, which means one Unicode code point: a syllable of
    Korean, or one part of a letter with combining marks or of a composed emoji. Nothing is
    normalised. So a text comes back from ``decode(encode(text))`` exactly if all its characters are
    known.

    At level ``"word"`` a token is what `str.split` gives: the text between whitespace. Penn
    Treebank and WikiText are read like this. A text comes back with simpler whitespace: one space
    between words, and none around a line end. Ids come back from ``encode(decode(ids))`` exactly.

    Parameters
    ----------
    tokens
        all tokens, the special ones too, in the order of their ids.
    level
        ``"char"`` or ``"word"``.
    unk
        the token for every symbol that is not in the vocabulary. With None such a symbol is an
        error.
    eos
        the token for each line end, ``"\n"``, in a text. With None a line end is a character like
        any other, or whitespace between words.

    Attributes
    ----------
    tokens : tuple of str
    level : str
    unk, eos : str or None
    unk_id, eos_id : int or None

    Notes
    -----
    A vocabulary does not change after it is made. A special token that is written in the text
    itself, such as the word ``<unk>`` in Penn Treebank, is read as that token.

    Raises
    ------
    ValueError
        if there is no token; if a token is there twice, is empty, is not valid Unicode, holds
        whitespace (word level), or is longer than one character and not special (char level); if a
        special token is not among the tokens, or if a line end would have two tokens.
    """

    format = "minigrad.Vocabulary"
    kind = "a vocabulary"
    keys = ("level", "unk", "eos", "tokens")
    listed = "tokens"

    def __init__(
        self,
        tokens: Iterable[str],
        *,
        level: Level = "char",
        unk: str | None = None,
        eos: str | None = None,
    ) -> None:
        check_level(level, "Vocabulary")
        self.tokens = tuple(tokens)
        self.level: Level = level
        self.unk = unk
        self.eos = eos
        check_tokens(self.tokens, level, unk, eos)
        self._ids = {token: id for id, token in enumerate(self.tokens)}
        self.unk_id = None if unk is None else self._ids[unk]
        self.eos_id = None if eos is None else self._ids[eos]

    @classmethod
    def from_text(
        cls,
        text: str,
        *,
        level: Level = "char",
        min_count: int = 1,
        max_size: int | None = None,
        unk: str | None = "<unk>",
        eos: str | EllipsisType | None = ...,
    ) -> Self:
        r"""The vocabulary of `text`.

        The order is always the same: `unk`, `eos`, then the symbols, the most frequent first.
        Symbols that are equally frequent are in the order of their code points.

        Parameters
        ----------
        text
            the text to learn from; for an honest test, only the part that the model trains on.
        level
            ``"char"`` or ``"word"``.
        min_count
            symbols that occur less often are left out.
        max_size
            the most tokens, special tokens included; the most frequent symbols stay.
        unk
            the token for symbols that are left out; None: there is none.
        eos
            the token for line ends; None: there is none. If it is not given, it is ``"<eos>"`` for
            words, and None for characters, where a line end is the character ``"\n"`` itself.

        Raises
        ------
        ValueError
            if no symbol of the text would be in the vocabulary.
        """
        check_is_str(text, "Vocabulary.from_text")
        return cls.from_chunks(
            [text], level=level, min_count=min_count, max_size=max_size, unk=unk, eos=eos
        )

    @classmethod
    def from_chunks(
        cls,
        chunks: Iterable[str],
        *,
        level: Level = "char",
        min_count: int = 1,
        max_size: int | None = None,
        unk: str | None = "<unk>",
        eos: str | EllipsisType | None = ...,
    ) -> Self:
        """The vocabulary of a text that is given in consecutive pieces.

        It is what `from_text` gives for the whole text, wherever that is cut. Only one piece and
        the counts of the symbols are held in memory.

        Parameters
        ----------
        chunks
            the pieces of the text.
        level, min_count, max_size, unk, eos
            as in `from_text`.

        Raises
        ------
        ValueError
            if no symbol of the text would be in the vocabulary.
        """
        check_level(level, "Vocabulary.from_text")
        positive_int(min_count, "Vocabulary.from_text: min_count")
        if max_size is not None:
            positive_int(max_size, "Vocabulary.from_text: max_size")
        if isinstance(eos, EllipsisType):
            eos = "<eos>" if level == "word" else None

        found = counts(chunks, level)
        if not found:
            raise ValueError(f"Vocabulary.from_text: the text has no {level}s")
        special = [token for token in (unk, eos) if token is not None]
        for token in special:
            del found[token]
        if eos is not None:
            del found["\n"]

        symbols = sorted(
            (symbol for symbol, count in found.items() if count >= min_count),
            key=lambda symbol: (-found[symbol], symbol),
        )
        if max_size is not None:
            symbols = symbols[: max(0, max_size - len(special))]
        if not symbols:
            raise ValueError(
                f"Vocabulary.from_text: no symbol is left with min_count={min_count} and "
                f"max_size={max_size}, {len(special)} of it for special tokens: the most frequent "
                f"symbol occurs {max(found.values(), default=0)} times"
            )
        return cls([*special, *symbols], level=level, unk=unk, eos=eos)

    def __len__(self) -> int:
        return len(self.tokens)

    def __iter__(self) -> Iterator[str]:
        return iter(self.tokens)

    def __contains__(self, token: object) -> bool:
        return token in self._ids

    def __eq__(self, other: object) -> bool:
        """Whether both have the same tokens in the same order, level, `unk` and `eos`."""
        if not isinstance(other, Vocabulary):
            return NotImplemented
        return self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[object, ...]:
        return self.tokens, self.level, self.unk, self.eos

    def __repr__(self) -> str:
        return (
            f"Vocabulary(level={self.level!r}, size={len(self)}, "
            f"unk={self.unk!r}, eos={self.eos!r})"
        )

    def id_of(self, token: str) -> int:
        """The id of `token`; if that is not in the vocabulary, the id of `unk`.

        Raises
        ------
        ValueError
            if the token is not in the vocabulary, and there is no `unk`.
        """
        id = self._ids.get(token, self.unk_id)
        if id is None:
            raise ValueError(
                f"Vocabulary.id_of: {readable(token)} is not in the vocabulary of "
                f"{len(self)} {self.level}s, which has no unk"
            )
        return id

    def encode(self, text: str) -> NDArray[np.int64]:
        """The ids of the tokens of `text`: int64, shape (number of tokens,).

        Raises
        ------
        ValueError
            if a symbol is not in the vocabulary, and there is no `unk`. The message names the first
            such symbol and its place.
        """
        check_is_str(text, "Vocabulary.encode")
        ids = self._encode_chars(text) if self.level == "char" else self._encode_words(text)
        if self.unk is None and ids.size and ids.min() == UNKNOWN:
            self._raise_unknown(text)
        return ids

    def decode(self, ids: ArrayLike) -> str:
        """The text of `ids`, integers of shape (length,).

        `eos` becomes a line end; `unk` is written as it is.

        Raises
        ------
        TypeError
            if the ids are not integers.
        ValueError
            if there is not exactly one axis. In a batch (T, N), one stream is ``ids[:, n]``.
        IndexError
            if an id is not in [0, len(self)).
        """
        places = token_ids(ids, len(self), "Vocabulary.decode").tolist()
        symbols = ["\n" if place == self.eos_id else self.tokens[place] for place in places]
        if self.level == "char":
            return "".join(symbols)
        return re.sub(" ?\n ?", "\n", " ".join(symbols))

    def last_cut(self, text: str) -> int:
        """The last place where `text`, which goes on, may be cut and encoded in two."""
        return len(text) if self.level == "char" else after_whitespace(text)

    def _encode_chars(self, text: str) -> NDArray[np.int64]:
        # UTF-32 is an array of code points, so one look-up encodes the whole text.
        code_points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
        table = self._id_of_code_point
        ids: NDArray[np.int64] = table[np.minimum(code_points, len(table) - 1)]
        return ids

    @cached_property
    def _id_of_code_point(self) -> NDArray[np.int64]:
        """The id of each code point; the last entry is for all code points from there on."""
        ids = {ord(token): id for token, id in self._ids.items() if len(token) == 1}
        if self.eos_id is not None:
            ids[ord("\n")] = self.eos_id
        unknown = UNKNOWN if self.unk_id is None else self.unk_id
        table = np.full(max(ids, default=0) + 2, unknown, np.int64)
        table[list(ids.keys())] = list(ids.values())
        return table

    def _encode_words(self, text: str) -> NDArray[np.int64]:
        if self.eos is not None:
            text = text.replace("\n", f" {self.eos} ")
        words = text.split()
        unknown = UNKNOWN if self.unk_id is None else self.unk_id
        return np.fromiter(map(self._ids.get, words, repeat(unknown)), np.int64, len(words))

    def _raise_unknown(self, text: str) -> None:
        """Raise the error for the first unknown symbol, which is searched for again."""
        symbols = re.finditer("(?s:.)" if self.level == "char" else r"\S+", text)
        known = self._ids if self.eos is None else {**self._ids, "\n": self.eos_id}
        unknown = next(match for match in symbols if match[0] not in known)
        position = unknown.start()
        raise ValueError(
            f"Vocabulary.encode: {readable(unknown[0])} at position {position} "
            f"(line {text.count(chr(10), 0, position) + 1}) is not in the vocabulary of "
            f"{len(self)} {self.level}s, which has no unk"
        )
