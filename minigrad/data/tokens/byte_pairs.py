"""Byte-pair encoding: pieces of words as tokens, learned with the package `tokenizers`."""

import json
import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import chain
from types import ModuleType
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minigrad.data.checks import positive_int, readable, token_ids, utf_8
from minigrad.data.texts.text import Text, recut
from minigrad.data.tokens.saving import Saved
from minigrad.errors.values import told

SLICE = 1 << 18
"""How many characters are encoded at once; each word in them takes an object in memory."""

KNOWN = 1 << 18
"""The most words whose ids are remembered."""

# White space as Unicode and `tokenizers` define it; Python's \s has four control characters more.
SPACE = r"\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"

WORD = re.compile(f"[{SPACE}]*[^{SPACE}]+|[{SPACE}]+")
"""No token crosses the end of a word: whitespace in a token comes first, or is all of it."""

WORD_END = re.compile(f"[^{SPACE}](?=[{SPACE}])")


def _alphabet() -> tuple[str, ...]:
    """A printable character for each byte, the same as in GPT-2: "Ġ" for the space."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(256, 512))
    return tuple(chr(byte if byte in printable else next(others)) for byte in range(256))


ALPHABET = _alphabet()


class BytePairVocabulary(Saved):
    r"""Pieces of words as tokens: byte-level byte-pair encoding.

    The first 256 tokens are the bytes. Each merge makes one more token out of two. A text is first
    cut into words (with the space before them), numbers, runs of punctuation and whitespace, as in
    GPT-2. Each of these becomes bytes, and in it the merges are done in the order in which they
    were learned. So every text can be encoded, and comes back exactly. There is no unknown token. A
    line end is byte 10, or part of a token of several line ends.

    Sennrich, Haddow and Birch, "Neural machine translation of rare words with subword units"
    (2016); on bytes: Radford et al., "Language models are unsupervised multitask learners" (2019).

    Encoding and training need the package `tokenizers`; decoding and loading do not.

    Parameters
    ----------
    merges
        the pairs of tokens that become one, in the order in which they were learned: ``"Ġ t"``
        makes ``"Ġt"``. For a byte that cannot be printed another character stands, as in GPT-2's
        files.

    Attributes
    ----------
    merges : tuple of str
    level : str
        ``"bpe"``.
    unk_id, eos_id : None
    token_bytes : tuple of bytes
        what each token stands for.

    Raises
    ------
    TypeError, ValueError
        if a merge is there twice, or is not a pair of tokens that exist before it.
    """

    format = "minigrad.BytePairVocabulary"
    kind = "a byte-pair encoding"
    keys = ("merges",)
    listed = "merges"
    level: Literal["bpe"] = "bpe"
    unk_id: None = None
    eos_id: None = None

    def __init__(self, merges: Iterable[str]) -> None:
        self.merges = tuple(merges)
        ids = {character: byte for byte, character in enumerate(ALPHABET)}
        seen: set[str] = set()
        for number, merge in enumerate(self.merges):
            if not isinstance(merge, str):
                raise TypeError(f"BytePairVocabulary: merges must be str, got {told(merge)}")
            pair = merge.split(" ")
            if len(pair) != 2 or not all(part in ids for part in pair) or merge in seen:
                raise ValueError(
                    "BytePairVocabulary: each merge must be new, and of two tokens that come "
                    f"before it, with a space between; got {readable(merge)} for merge {number}"
                )
            seen.add(merge)
            # two pairs can make the same token: "a bc" and "ab c"
            ids.setdefault("".join(pair), len(ids))
        self._ids, self._known = ids, dict[str, list[int]]()
        bytes_of = {character: bytes([byte]) for byte, character in enumerate(ALPHABET)}
        self.token_bytes = tuple(b"".join(bytes_of[c] for c in token) for token in ids)

    @classmethod
    def train(cls, texts: Iterable[str | Text], vocab_size: int, *, min_count: int = 2) -> Self:
        """An encoding learned from texts: the pair that occurs most often becomes a token.

        The result depends on the arguments alone.

        Parameters
        ----------
        texts
            the texts to learn from; for an honest test, only those that the model trains on.
            Nothing is learned across the border of two texts. A `minigrad.data.Text`, which may be
            larger than memory, is read in pieces.
        vocab_size
            the number of tokens, the 256 bytes included. There are fewer if no more pairs occur
            `min_count` times.
        min_count
            how often a pair must occur to be merged.

        Raises
        ------
        ValueError
            if `vocab_size` is less than 256, or if there is no text.
        ModuleNotFoundError
            if `tokenizers` is not installed.
        """
        caller = "BytePairVocabulary.train"
        if positive_int(vocab_size, f"{caller}: vocab_size") < 256:
            raise ValueError(
                f"{caller}: vocab_size must be at least 256, since each byte is a token; "
                f"got {vocab_size}"
            )
        positive_int(min_count, f"{caller}: min_count")
        tokenizers = _import_tokenizers()
        trainer = tokenizers.trainers.BpeTrainer(
            vocab_size=vocab_size,
            min_frequency=min_count,
            initial_alphabet=list(ALPHABET),
            show_progress=False,
        )
        learner = tokenizers.Tokenizer(tokenizers.models.BPE())
        learner.pre_tokenizer = _words_as_bytes(tokenizers)
        any_text, last_cut = False, cls(()).last_cut

        def slices() -> Iterator[str]:
            nonlocal any_text
            for text in texts:
                whole = recut(text.pieces(), last_cut) if hasattr(text, "pieces") else [text]
                for piece in whole:
                    utf_8(piece, caller)
                    any_text = any_text or bool(piece)
                    yield from _slices(piece)

        learner.train_from_iterator(slices(), trainer=trainer)
        if not any_text:
            raise ValueError(f"{caller}: texts must hold a character at least, got none")
        return cls(" ".join(pair) for pair in json.loads(learner.to_str())["model"]["merges"])

    def __len__(self) -> int:
        return len(self.token_bytes)

    def __eq__(self, other: object) -> bool:
        """Whether both have the same merges in the same order."""
        if not isinstance(other, BytePairVocabulary):
            return NotImplemented
        return self.merges == other.merges

    def __hash__(self) -> int:
        return hash(self.merges)

    def __repr__(self) -> str:
        return f"BytePairVocabulary(size={len(self)})"

    def __getstate__(self) -> dict[str, Any]:
        """All but the encoder, which another process makes anew."""
        state = {**vars(self), "_known": {}}
        state.pop("_encoder", None)
        return state

    def encode(self, text: str) -> NDArray[np.int64]:
        """The ids of the tokens of `text`: int64, shape (number of tokens,).

        Raises
        ------
        ValueError
            if the text is not valid Unicode: if it holds half of a surrogate pair.
        ModuleNotFoundError
            if `tokenizers` is not installed.
        """
        utf_8(text, "BytePairVocabulary.encode")
        parts = [np.fromiter(self._ids_in(part), np.int64) for part in _slices(text)]
        return np.concatenate([np.empty(0, np.int64), *parts])

    def _ids_in(self, text: str) -> Iterator[int]:
        """The ids of each word, which is encoded only if it is new."""
        if len(self._known) > KNOWN:
            self._known = {}
        known, words = self._known, WORD.findall(text)
        new = [word for word in dict.fromkeys(words) if word not in known]
        if new:
            encodings = self._encoder.encode_batch_fast(new)
            known.update(zip(new, (encoding.ids for encoding in encodings), strict=True))
        return chain.from_iterable(map(known.__getitem__, words))

    def decode(self, ids: ArrayLike) -> str:
        """The text of `ids`, integers of shape (length,).

        Bytes that are not UTF-8, which a model may well write, become U+FFFD.

        Raises
        ------
        TypeError, ValueError, IndexError
            as `Vocabulary.decode` does.
        """
        places = token_ids(ids, len(self), "BytePairVocabulary.decode").tolist()
        return b"".join([self.token_bytes[place] for place in places]).decode("utf-8", "replace")

    def last_cut(self, text: str) -> int:
        """The last place where `text`, which goes on, may be cut and encoded in two.

        It is where whitespace begins.
        """
        return _last_cut(text, len(text))

    @cached_property
    def _encoder(self) -> Any:
        tokenizers = _import_tokenizers()
        merges = [tuple(merge.split(" ")) for merge in self.merges]
        encoder = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=self._ids, merges=merges))
        encoder.pre_tokenizer = _words_as_bytes(tokenizers)
        return encoder


def _words_as_bytes(tokenizers: ModuleType) -> Any:
    return tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)


def _slices(text: str) -> Iterator[str]:
    """Pieces of a text, each of at most `SLICE` characters, or one word that is longer."""
    start = 0
    while len(text) - start > SLICE:
        stop = _last_cut(text, start + SLICE, start)
        if stop == start:  # one long word: cut after it
            found = WORD_END.search(text, start + SLICE - 1)
            if found is None:
                break
            stop = found.end()
        yield text[start:stop]
        start = stop
    if start < len(text):
        yield text[start:]


def _last_cut(text: str, stop: int, start: int = 0) -> int:
    """The last place in text[start:stop] where one may cut; `start` if there is none."""
    reach = 256
    while True:
        begin = max(start, stop - reach)
        last = None
        for last in WORD_END.finditer(text, begin, stop):  # noqa: B007 (the last one is meant)
            pass
        if last is not None:
            return last.end()
        if begin == start:
            return start
        reach *= 8


def _import_tokenizers() -> ModuleType:
    try:
        import tokenizers
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "byte-pair encoding needs the package tokenizers: "
            'python -m pip install "minigrad-rnn[bpe]"',
            name=error.name,
        ) from error
    return tokenizers
