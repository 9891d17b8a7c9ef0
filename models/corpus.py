"""From the name of a text to what a language model trains on."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from minigrad.data import (
    BytePairVocabulary,
    ByteVocabulary,
    Found,
    Lowercase,
    Normalized,
    Text,
    Tokenizer,
    TokenLevel,
    Tokens,
    TooShortError,
    Vocabulary,
    cut,
    decomposed,
    find_text,
    first_characters,
    first_words,
    tokenized,
)

Ids = NDArray[np.integer[Any]]
"""A text as ids, shape (length,): in memory, or mapped from a file."""

Part = Literal["train", "valid", "test"]
Form = Literal["nfc", "nfd", "nfkc", "nfkd"]

FORMS: dict[Form, Literal["NFC", "NFD", "NFKC", "NFKD"]]
FORMS = {"nfc": "NFC", "nfd": "NFD", "nfkc": "NFKC", "nfkd": "NFKD"}
"""The normal forms of Unicode, by the names that the module unicodedata has for them."""

BPE_VOCABULARY = 8000
"""The default size of a vocabulary of byte pairs."""

SPAN = 1 << 20
"""How many ids are read at a time: those in a file may not fit into memory."""


class Size(NamedTuple):
    """How long a text is. Loss per character or byte compares models with different tokens."""

    characters: int
    """in Unicode code points"""

    bytes: int
    """in UTF-8"""


class Corpus(NamedTuple):
    """A text as ids, in parts to train, validate and test on.

    Attributes
    ----------
    name
        what to call the text.
    tokenizer
        whose ids they are.
    train, valid, test
        ids, shape (number of tokens,), of a narrow unsigned dtype; maybe in a file that is mapped
        into memory. `test` is None where no part is kept for it.
    sizes
        the length of each part, by its name.
    fingerprint
        a hash of tokeniser and ids: the same fingerprint means the same text.
    in_parts
        the first word with a letter in parts: see `minigrad.data.decomposed`. Empty: there is
        none, or the text was brought into a normal form.
    """

    name: str
    tokenizer: Tokenizer
    train: Ids
    valid: Ids
    test: Ids | None
    sizes: Mapping[str, Size]
    fingerprint: str
    in_parts: str = ""

    def check_length(self, batch_size: int) -> None:
        """Raise a ValueError if a part is too short, that to train on for `batch_size` streams."""
        for name, part, least in (
            ("train on", self.train, 2 * batch_size),
            ("validate on", self.valid, 2),
            ("test on", self.test, 2),
        ):
            if part is not None and len(part) < least:
                streams = f" for a batch size of {batch_size}" if part is self.train else ""
                remedy = {"train on": "a smaller --batch-size", "validate on": "one with --valid"}
                raise ValueError(
                    f"the text is too short: of its tokens there are {len(part)} to {name}, and at "
                    f"least {least} are needed{streams}; give a longer text, or "
                    f"{remedy.get(name, 'one with --test')}"
                )

    def unknown(self, part: Ids) -> float:
        """The share of tokens in `part` that the vocabulary lacks, from 0 to 1."""
        unk = self.tokenizer.unk_id
        if unk is None or not len(part):
            return 0.0
        return sum(int(np.count_nonzero(span == unk)) for span in spans(part)) / len(part)


def load_corpus(
    text: str | Sequence[str],
    *,
    valid: str | None = None,
    test: str | None = None,
    split: Sequence[float] = (0.9, 0.05, 0.05),
    glob: str | None = None,
    level: TokenLevel = "char",
    min_count: int | None = None,
    max_vocab: int | None = None,
    max_tokens: int | None = None,
    valid_tokens: int | None = None,
    keep_case: bool = True,
    normalize: Form | None = None,
    tokenizer: Tokenizer | None = None,
    cache: bool = True,
) -> Corpus:
    """Find a text, and make it ready to train on.

    The parts to validate and test on are the texts `valid` and `test`; or else the parts that the
    text comes with; or else pieces at its end. If there is a text to validate on, no piece is cut
    off to test on. The vocabulary is learned from the part to train on alone, so that the others
    are as new to the model as any other text.

    Parameters
    ----------
    text
        what `minigrad.data.find_text` finds: the name of a corpus, a file in UTF-8, a directory, an
        archive, an http address; or several.
    valid, test
        the same, to validate and to test on. If that text has parts, its part of this name is used.
    split
        the shares to train, to validate and to test on; without the third, there is no test. Words
        are not cut in two.
    glob
        which files of a directory or an archive.
    level
        ``"char"``, ``"word"``, ``"byte"`` or ``"bpe"``.
    min_count
        tokens that are rarer become ``<unk>``. None: 1 for characters, 2 for words (with 1, a model
        would never see an unknown word while it learns). With byte-pair encoding: pairs that are
        rarer are not merged; None: 2.
    max_vocab
        at most so many tokens; None: as many as there are, but 8,000 with byte-pair encoding.
    max_tokens
        train on the first so many tokens, and learn the vocabulary of characters or words from
        them; None: on all of them.
    valid_tokens
        validate on the first so many tokens; None: on all of them.
    keep_case
        False: make all letters small.
    normalize
        the normal form of Unicode to bring all letters into; None: they stay as they are.
    tokenizer
        an existing one, to go on with a run, or to train on another text. `level`, `min_count` and
        `max_vocab` then have no effect.
    cache
        False: hold the ids of long texts in memory, and not in a file.

    Raises
    ------
    OSError, ValueError, ModuleNotFoundError
        for a text that is missing, can't be fetched, is empty, not UTF-8, or too short to be cut;
        for options that do not go together; if a package is missing.
    """
    limits = {"train": max_tokens, "valid": valid_tokens}
    for part, limit in limits.items():
        if limit is not None and limit < 1:
            name = "max_tokens" if part == "train" else "valid_tokens"
            raise ValueError(f"{name} must be at least 1, got {limit}")
    if level not in get_args(TokenLevel):
        raise ValueError(f"level must be one of {', '.join(get_args(TokenLevel))}; got {level!r}")
    level = level if tokenizer is None else tokenizer.level
    name, parts = _parts(text, valid, test, split, glob, level, keep_case, normalize)
    line_ends = tokenizer is None or tokenizer.eos_id is not None
    for part, limit in limits.items():
        if limit is not None and level == "char":
            parts[part] = first_characters(parts[part], limit)
        elif limit is not None and level == "word":
            parts[part] = first_words(parts[part], limit, line_ends=line_ends)
    if tokenizer is None:
        tokenizer = _learned(parts["train"], level, min_count, max_vocab)
    encoded = {part: tokenized(tokenizer, each, cache=cache) for part, each in parts.items()}
    for part, limit in limits.items():
        if limit is not None and len(encoded[part].ids) > limit:
            encoded[part] = _first_tokens(tokenizer, encoded[part], limit)
    hashes = [encoded[part].sha256 if part in encoded else "" for part in get_args(Part)]
    content = "\n".join(["corpus", tokenizer.fingerprint, *hashes])
    return Corpus(
        name,
        tokenizer,
        encoded["train"].ids,
        encoded["valid"].ids,
        encoded["test"].ids if "test" in encoded else None,
        {part: Size(each.characters, each.bytes) for part, each in encoded.items()},
        hashlib.sha256(content.encode()).hexdigest(),
        "" if normalize else next(filter(None, map(in_parts, parts.values())), ""),
    )


def find_part(
    text: str | Sequence[str],
    *,
    part: Part = "test",
    glob: str | None = None,
    keep_case: bool = True,
    normalize: Form | None = None,
) -> Text:
    """Find a text to evaluate a model on; if it comes with parts, the one called `part`.

    Parameters are those of `load_corpus`.

    Raises
    ------
    OSError, ValueError, ModuleNotFoundError
        as `load_corpus` does.
    """
    return _prepared(_part(find_text(text, glob=glob), part), keep_case, normalize)


def _parts(
    source: str | Sequence[str],
    valid: str | None,
    test: str | None,
    fractions: Sequence[float],
    glob: str | None,
    level: TokenLevel,
    keep_case: bool,
    normalize: Form | None,
) -> tuple[str, dict[str, Text]]:
    """The name of a text, and its parts: `train`, `valid`, and maybe `test`."""
    if not 2 <= len(fractions) <= 3:
        raise ValueError(
            "split must be two shares, to train and to validate on, or three, to test on too; "
            f"got {tuple(fractions)}"
        )

    found = find_text(source, glob=glob)
    own = {
        "valid": found.valid if valid is None else _part(find_text(valid), "valid"),
        "test": found.test if test is None else _part(find_text(test), "test"),
    }
    texts = {"train": found.text, **{part: each for part, each in own.items() if each is not None}}
    parts = {part: _prepared(each, keep_case, normalize) for part, each in texts.items()}
    if "valid" in parts:
        return found.name, parts
    shares = [share / math.fsum(fractions[:2]) for share in fractions[:2]]
    try:
        cuts = cut(parts["train"], shares if "test" in parts else fractions, words=level == "word")
    except TooShortError as error:
        raise ValueError(
            f"{found.name!r} is too short to be cut ({error}); give a longer text, or texts of "
            "their own with --valid and --test"
        ) from error
    return found.name, {**parts, **dict(zip(("train", "valid", "test"), cuts, strict=False))}


def _part(found: Found, part: Part) -> Text:
    """That part of a text, or all of it if it has none."""
    return {"train": None, "valid": found.valid, "test": found.test}[part] or found.text


def _prepared(text: Text, keep_case: bool, normalize: Form | None) -> Text:
    text = text if keep_case else Lowercase(text)
    return text if normalize is None else Normalized(text, FORMS[normalize])


def in_parts(text: Text) -> str:
    """The first word of a text with a letter in parts; empty: there is none."""
    return next(filter(None, map(decomposed, text.pieces())), "")


def _learned(
    train: Text, level: TokenLevel, min_count: int | None, max_vocab: int | None
) -> Tokenizer:
    """The tokeniser that fits a text."""
    if level == "byte":
        if min_count is not None or max_vocab is not None:
            raise ValueError(
                "min_count and max_vocab have no meaning with level='byte': there are 256 bytes"
            )
        return ByteVocabulary()
    if level == "bpe":
        size = BPE_VOCABULARY if max_vocab is None else max_vocab
        return BytePairVocabulary.train([train], size, min_count=min_count or 2)
    if min_count is None:
        min_count = 2 if level == "word" else 1
    pieces = train.pieces()
    return Vocabulary.from_chunks(pieces, level=level, min_count=min_count, max_size=max_vocab)


def _first_tokens(tokenizer: Tokenizer, tokens: Tokens, count: int) -> Tokens:
    """The first `count` of tokens that stand for bytes."""
    assert isinstance(tokenizer, ByteVocabulary | BytePairVocabulary)  # else the text is cut
    # each character has one byte that begins it: the others are 0b10xxxxxx
    begin = np.array([sum(b & 0xC0 != 0x80 for b in token) for token in tokenizer.token_bytes])
    length = np.array([len(token) for token in tokenizer.token_bytes])
    characters = size = 0
    digest = hashlib.sha256()
    for span in spans(tokens.ids[:count]):
        characters += int(begin[span].sum())
        size += int(length[span].sum())
        digest.update(span.data)
    return Tokens(tokens.ids[:count], characters, size, digest.hexdigest())


def spans(ids: Ids) -> Iterator[Ids]:
    return (ids[start : start + SPAN] for start in range(0, len(ids), SPAN))
