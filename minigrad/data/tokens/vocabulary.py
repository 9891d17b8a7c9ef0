"""Between text and the ids of its tokens."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import repeat
from types import EllipsisType
from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minigrad.data.checks import check_is_str, positive_int, readable, token_ids
from minigrad.data.texts.text import after_whitespace, recut
from minigrad.data.tokens.saving import Saved, checked_state
from minigrad.errors.values import told

Level = Literal["char", "word"]

FORMAT = "minigrad.Vocabulary"
VERSION = 1
UNKNOWN = -1


class Vocabulary(Saved):
    r"""The tokens of a language model, each with an id: its place in `tokens`.

    At level `"char"` a token is a character, that is one Unicode code point: a syllable of Korean,
    or one part of a letter with combining marks or of a composed emoji. Nothing is normalised, so
    text whose characters are all known comes back from `decode(encode(text))` exactly.

    At level `"word"` a token is what stands between whitespace, as `str.split` sees it; this is how
    Penn Treebank and WikiText are read. Text comes back with its whitespace evened out: one space
    between words, none around a line end. Ids come back from `encode(decode(ids))` exactly.

    Parameters
    ----------
    tokens
        All tokens, special ones among them, in the order of their ids.
    level
        `"char"` or `"word"`.
    unk
        The token that stands for every symbol that is not in the vocabulary. With None such a
        symbol is an error.
    eos
        The token that stands for each line end, `"\n"`, in text. With None a line end is a
        character like any other, or whitespace between words.

    Attributes
    ----------
    tokens : tuple of str
    level : str
    unk, eos : str or None
    unk_id, eos_id : int or None

    Notes
    -----
    A vocabulary does not change once made. A special token that is spelled out in the text, such
    as the word `<unk>` in Penn Treebank, is read as that token.

    Raises
    ------
    ValueError
        If there is no token; if a token is given twice, is empty, is not valid Unicode, holds
        whitespace (word level), or is longer than one character and not special (char level); if
        a special token is not among the tokens, or if there would be two for a line end.
    """

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
        r"""Collect the vocabulary of `text`.

        The order is always the same: `unk`, `eos`, then symbols by falling count, those of equal
        count by code point.

        Parameters
        ----------
        text
            The text to learn from: for an honest test, the training part alone.
        level
            `"char"` or `"word"`.
        min_count
            Leave out symbols that occur less often.
        max_size
            At most so many tokens, special tokens included; the most frequent stay.
        unk
            The token for symbols that are left out, or None for none.
        eos
            The token for line ends, or None for none. Left open it is `"<eos>"` for words and None
            for characters, whose line end is the character `"\n"` itself.

        Raises
        ------
        ValueError
            If no symbol of the text would be in the vocabulary.
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
        """Collect the vocabulary of a text that is given in consecutive pieces.

        It is that of `from_text` on the whole, wherever it was cut. What is held in memory is a
        piece, and how often each symbol occurs.

        Parameters
        ----------
        chunks
            The pieces of the text.
        level, min_count, max_size, unk, eos
            As in `from_text`.

        Raises
        ------
        ValueError
            If no symbol of the text would be in the vocabulary.
        """
        check_level(level, "Vocabulary.from_text")
        positive_int(min_count, "Vocabulary.from_text: min_count")
        if max_size is not None:
            positive_int(max_size, "Vocabulary.from_text: max_size")
        if isinstance(eos, EllipsisType):
            eos = "<eos>" if level == "word" else None

        counts = counts_of_characters(chunks) if level == "char" else counts_of_words(chunks)
        if not counts:
            raise ValueError(f"Vocabulary.from_text: the text has no {level}s")
        special = [token for token in (unk, eos) if token is not None]
        for token in special:
            del counts[token]
        if eos is not None:
            del counts["\n"]

        symbols = sorted(
            (symbol for symbol, count in counts.items() if count >= min_count),
            key=lambda symbol: (-counts[symbol], symbol),
        )
        if max_size is not None:
            symbols = symbols[: max(0, max_size - len(special))]
        if not symbols:
            raise ValueError(
                f"Vocabulary.from_text: no symbol is left with min_count={min_count} and "
                f"max_size={max_size}, {len(special)} of it for special tokens: the most frequent "
                f"symbol occurs {max(counts.values(), default=0)} times"
            )
        return cls([*special, *symbols], level=level, unk=unk, eos=eos)

    def __len__(self) -> int:
        return len(self.tokens)

    def __iter__(self) -> Iterator[str]:
        return iter(self.tokens)

    def __contains__(self, token: object) -> bool:
        return token in self._ids

    def __eq__(self, other: object) -> bool:
        """Whether both have the same tokens in the same order, level and special tokens."""
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
        """Return the id of `token`, or that of `unk` for a token that is not in the vocabulary.

        Raises
        ------
        ValueError
            If the token is not in the vocabulary and there is no `unk`.
        """
        id = self._ids.get(token, self.unk_id)
        if id is None:
            raise ValueError(
                f"Vocabulary.id_of: {readable(token)} is not in the vocabulary of "
                f"{len(self)} {self.level}s, which has no unk"
            )
        return id

    def encode(self, text: str) -> NDArray[np.int64]:
        """Return the ids of the tokens of `text`: int64, shape (number of tokens,).

        Raises
        ------
        ValueError
            If a symbol is not in the vocabulary and there is no `unk`. The message names the
            first such symbol and where it stands.
        """
        check_is_str(text, "Vocabulary.encode")
        ids = self._encode_chars(text) if self.level == "char" else self._encode_words(text)
        if self.unk is None and ids.size and ids.min() == UNKNOWN:
            self._raise_unknown(text)
        return ids

    def decode(self, ids: ArrayLike) -> str:
        """Return the text of `ids`, integers of shape (length,).

        Line ends stand where `eos` was; `unk` is spelled out.

        Raises
        ------
        TypeError
            If the ids are not integers.
        ValueError
            If there is not exactly one axis. Of a batch (T, N), decode a stream: `ids[:, n]`.
        IndexError
            If an id is not in [0, len(self)).
        """
        places = token_ids(ids, len(self), "Vocabulary.decode").tolist()
        symbols = ["\n" if place == self.eos_id else self.tokens[place] for place in places]
        if self.level == "char":
            return "".join(symbols)
        return re.sub(" ?\n ?", "\n", " ".join(symbols))

    def to_json(self) -> str:
        """Return the vocabulary as JSON text, one token per line."""
        state = {
            "format": FORMAT,
            "version": VERSION,
            "level": self.level,
            "unk": self.unk,
            "eos": self.eos,
            "tokens": self.tokens,
        }
        return json.dumps(state, ensure_ascii=False, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the vocabulary that `to_json` wrote.

        Raises
        ------
        ValueError
            If the text is not JSON, or not the JSON of a vocabulary.
        """
        caller, keys = "Vocabulary.from_json", {"level", "unk", "eos", "tokens"}
        state = checked_state(text, "a vocabulary", FORMAT, VERSION, keys, caller)
        if not isinstance(state["tokens"], list):
            raise ValueError('Vocabulary.from_json: "tokens" must be a list')
        try:
            return cls(state["tokens"], level=state["level"], unk=state["unk"], eos=state["eos"])
        except (TypeError, ValueError) as error:
            raise ValueError(f"Vocabulary.from_json: the JSON is damaged: {error}") from None

    def last_cut(self, text: str) -> int:
        """Tell the last place where `text`, which goes on, may be cut and encoded in two."""
        return len(text) if self.level == "char" else after_whitespace(text)

    def _encode_chars(self, text: str) -> NDArray[np.int64]:
        # UTF-32 is an array of code points already: one look-up does the whole text.
        code_points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
        table = self._id_of_code_point
        ids: NDArray[np.int64] = table[np.minimum(code_points, len(table) - 1)]
        return ids

    @cached_property
    def _id_of_code_point(self) -> NDArray[np.int64]:
        """Ids by code point; the last entry stands for all code points from there on."""
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
        """Find the unknown symbol again, slowly, and say where it stands."""
        symbols = re.finditer("(?s:.)" if self.level == "char" else r"\S+", text)
        known = self._ids if self.eos is None else {**self._ids, "\n": self.eos_id}
        unknown = next(match for match in symbols if match[0] not in known)
        position = unknown.start()
        raise ValueError(
            f"Vocabulary.encode: {readable(unknown[0])} at position {position} "
            f"(line {text.count(chr(10), 0, position) + 1}) is not in the vocabulary of "
            f"{len(self)} {self.level}s, which has no unk"
        )


def counts_of_characters(chunks: Iterable[str]) -> Counter[str]:
    # UTF-32 is an array of code points: counted some ten times as fast as by a Counter.
    counts = np.zeros(0, np.int64)
    for chunk in chunks:
        check_is_str(chunk, "Vocabulary.from_chunks")
        code_points = np.frombuffer(chunk.encode("utf-32-le", "surrogatepass"), "<u4")
        here = np.bincount(code_points, minlength=len(counts))
        here[: len(counts)] += counts
        counts = here
    return Counter({chr(place): int(counts[place]) for place in counts.nonzero()[0]})


def counts_of_words(chunks: Iterable[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for chunk in recut(chunks, after_whitespace):
        counts.update(chunk.split())
    return counts


def check_level(level: str, caller: str) -> None:
    if level not in ("char", "word"):
        raise ValueError(f'{caller}: level must be "char" or "word", got {told(level)}')


def check_tokens(tokens: Sequence[str], level: Level, unk: str | None, eos: str | None) -> None:
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
