"""Sentences with a label for each token: the spaces of a text, or the columns of a CoNLL file."""

from __future__ import annotations

import hashlib
import itertools
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from models.reading.labelled_texts import BadLine, numbered_lines, told_bad

JOINED, SPACE = "joined", "space"
"""The labels of a character: the next one follows at once, or after a space."""

CONLL_U = 10
"""So many columns has CoNLL-U: number, word, lemma, UPOS, XPOS and others."""

UNLABELLED = "_"
"""What stands for a label that is not there."""


class Tagged(NamedTuple):
    """Sentences: their tokens, and the label of each."""

    tokens: list[list[str]]
    tags: list[list[str]]


class TaggedParts(NamedTuple):
    """Sentences with labels to train, validate and test on.

    Attributes
    ----------
    train, valid, test
        the parts; `test` is None where no part is kept for it.
    bad
        the lines that were left out.
    fingerprint
        a hash of all parts.
    """

    train: Tagged
    valid: Tagged
    test: Tagged | None
    bad: list[BadLine]
    fingerprint: str


def characters_of(line: str) -> list[str]:
    """The characters of a text that are no spaces."""
    return list("".join(unicodedata.normalize("NFC", line).split()))


def words_of(line: str) -> list[str]:
    """The words of a text between spaces; punctuation marks and symbols at their ends are words."""
    found = []
    for piece in unicodedata.normalize("NFC", line).split():
        marks = [unicodedata.category(each)[0] in "PS" for each in piece]
        first = marks.index(False) if False in marks else len(piece)
        last = len(piece) - (marks[::-1].index(False) if False in marks else 0)
        word = [piece[first:last]] if first < last else []
        found += [*_runs(piece[:first]), *word, *_runs(piece[last:])]
    return found


def _runs(marks: str) -> list[str]:
    """Equal marks that follow one another are one word, such as "..."."""
    return ["".join(run) for _, run in itertools.groupby(marks)]


def spaced(tokens: Sequence[str], tags: Sequence[str]) -> str:
    """The text of characters with spaces where the labels say so."""
    pairs = zip(tokens, tags, strict=True)
    return "".join(f"{token} " if tag == SPACE else token for token, tag in pairs).rstrip()


def read_spaces(path: str | Path) -> tuple[Tagged, list[BadLine]]:
    """Each line of a text as its characters, labelled by whether a space follows.

    Raises
    ------
    ValueError
        if the file is not UTF-8, or has no text. The message names it.
    OSError
        if it can't be read.
    """
    found = Tagged([], [])
    for _, line in numbered_lines(Path(path)):
        words = unicodedata.normalize("NFC", line).split()
        if words:
            tags = [tag for word in words for tag in [JOINED] * (len(word) - 1) + [SPACE]]
            tags[-1] = JOINED
            found.tokens.append(list("".join(words)))
            found.tags.append(tags)
    if not found.tokens:
        raise ValueError(f"{str(path)!r} has no text")
    return found, []


def read_conll(path: str | Path, tag_column: int | None = None) -> tuple[Tagged, list[BadLine]]:
    """The sentences of a file with a word in each line and a blank line after each sentence.

    Parameters
    ----------
    path
        a file in UTF-8 with columns between tabs, or else between spaces. With ten columns it is
        CoNLL-U: the word is in the second, and lines that are no words (1-2, 1.1) are left out.
        With others, as in CoNLL-2000 and CoNLL-2003, it is in the first.
    tag_column
        the column of the label, from 1. None: UPOS of CoNLL-U, else the last column.

    Returns
    -------
    sentences, bad
        and the lines that could not be used, whose sentences are left out.

    Raises
    ------
    ValueError
        if the file is not UTF-8, has no such column, or no sentence of it can be used. The message
        names it.
    OSError
        if it can't be read.
    """
    path, bad, found = Path(path), [], Tagged([], [])
    tokens: list[str] = []
    tags: list[str] = []
    width, tabs, usable = 0, False, True
    for number, line in [*numbered_lines(path), (0, "")]:
        if not line.strip():
            if tokens and usable:
                found.tokens.append(tokens)
                found.tags.append(tags)
            tokens, tags, usable = [], [], True
            continue
        row = line.split("\t") if tabs or "\t" in line else line.split()
        if line.startswith("-DOCSTART-") or (line.startswith("#") and len(row) != width):
            continue  # a comment, or where a document begins
        if not width:
            tabs = "\t" in line
            width = len(row)
            word_at, tag_at = (1, 3) if width == CONLL_U else (0, width - 1)
            tag_at = tag_at if tag_column is None else tag_column - 1
            if not 0 <= tag_at < width or tag_at == word_at:
                raise ValueError(
                    f"{str(path)!r} has {width} columns in its first line, not a word and a label "
                    f"in columns {word_at + 1} and {tag_at + 1}"
                )
        if len(row) != width:
            reason = f"{len(row)} columns instead of {width}"
        elif width == CONLL_U and not row[0].isdecimal():
            continue
        elif row[tag_at] in ("", UNLABELLED) or not row[word_at]:
            reason = "no label" if row[word_at] else "no word"
        else:
            tokens.append(unicodedata.normalize("NFC", row[word_at]))
            tags.append(row[tag_at])
            continue
        bad.append(BadLine(str(path), number, reason))
        usable = False
    if not found.tokens:
        told = told_bad(bad) or "it is empty"
        raise ValueError(f"{str(path)!r} has no sentence of words with labels: {told}")
    return found, bad


def read_tagged(
    path: str | Path, spaces: bool = False, tag_column: int | None = None
) -> tuple[Tagged, list[BadLine]]:
    """As `read_spaces`, or as `read_conll`."""
    return read_spaces(path) if spaces else read_conll(path, tag_column)


def in_pieces(sentences: Tagged, longest: int) -> Tagged:
    """The same tokens, with sentences of more than `longest` cut into pieces."""

    def cut(rows: list[list[str]]) -> list[list[str]]:
        return [row[i : i + longest] for row in rows for i in range(0, len(row), longest)]

    return Tagged(cut(sentences.tokens), cut(sentences.tags))


def without_repeats(sentences: Tagged) -> Tagged:
    """Each sentence once: the first with its tokens."""
    first: dict[tuple[str, ...], list[str]] = {}
    for tokens, tags in zip(*sentences, strict=True):
        first.setdefault(tuple(tokens), tags)
    return Tagged([list(tokens) for tokens in first], list(first.values()))


def split_by_seed(sentences: Tagged, shares: Sequence[float], seed: int) -> list[Tagged]:
    """`sentences` in parts of these shares, drawn at random; none is lost."""
    count = len(sentences.tokens)
    order = np.random.default_rng([seed, 2]).permutation(count)
    ends = np.rint(np.cumsum(shares) / sum(shares) * count).astype(int)
    return [
        Tagged([sentences.tokens[i] for i in part], [sentences.tags[i] for i in part])
        for part in np.split(order, ends[:-1])
    ]


def load_tagged(
    data: Sequence[str],
    valid: str | None = None,
    test: str | None = None,
    split: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    spaces: bool = False,
    tag_column: int | None = None,
) -> TaggedParts:
    """Sentences with labels from files, in parts; of those with the same tokens only the first.

    Parameters
    ----------
    data
        files.
    valid, test
        files to validate and test on. What is not given is split off `data`: of `split` (the shares
        to train, validate and maybe test on) only its shares are then used.
    seed
        draws the split.
    spaces
        True: the files are texts, and the labels are their spaces.
    tag_column
        the column of the label.

    Raises
    ------
    ValueError, OSError
        as `read_tagged`; if there is one label only, or a part would be empty.
    """
    bad: list[BadLine] = []

    def read(path: str) -> Tagged:
        found, wrong = read_tagged(path, spaces, tag_column)
        bad.extend(wrong)
        return found

    files = [read(path) for path in data]
    sentences = without_repeats(Tagged(*([x for file in files for x in file[k]] for k in (0, 1))))
    given = {n: read(path) for n, path in (("valid", valid), ("test", test)) if path is not None}
    wanted = zip(("train", "valid", "test"), split, strict=False)
    shares = {name: share for name, share in wanted if name not in given}
    cut = split_by_seed(sentences, list(shares.values()), seed)
    parts = {**dict(zip(shares, cut, strict=True)), **given}
    for name, part in parts.items():
        if not part.tokens:
            raise ValueError(f"there are too few sentences: none is left for the part {name!r}")
    if len(set().union(*parts["train"].tags)) < 2:
        raise ValueError("there is one label only: nothing to tell apart")
    told = hashlib.sha256()
    for name in ("train", "valid", "test"):
        for each in zip(*parts.get(name, ((), ())), strict=True):
            line = "\n".join("\t".join(row) for row in each)
            told.update(f"{name}\n{line}\n\n".encode("utf-8", "surrogatepass"))
    return TaggedParts(
        parts["train"],
        parts["valid"],
        parts.get("test"),
        bad,
        told.hexdigest()[:32],
    )
