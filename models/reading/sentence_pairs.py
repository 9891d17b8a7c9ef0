"""Pairs of sentences: from files, or Hangul with its romanised names, and split into parts."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from models.reading.labelled_texts import BadLine, tabbed, told_bad

HANGUL = "hangul"
"""The name of the pairs that `romanised_words` makes."""

LONGEST_WORD = 5
"""Of those words, in syllables."""


class Pairs(NamedTuple):
    """Sentences, and what each is in the other language."""

    sources: list[str]
    targets: list[str]


class PairParts(NamedTuple):
    """Pairs to train, validate and test on.

    Attributes
    ----------
    train, valid, test
        the parts; `test` is None where no part is kept for it.
    bad
        the lines that were left out.
    fingerprint
        a hash of all parts.
    """

    train: Pairs
    valid: Pairs
    test: Pairs | None
    bad: list[BadLine]
    fingerprint: str


def read_pairs(
    path: str | Path, source: str = "1", target: str = "2"
) -> tuple[Pairs, list[BadLine]]:
    """The pairs of sentences of a file with tabs between its columns.

    Texts are brought into Unicode's composed form (NFC), with one space between words.

    Parameters
    ----------
    path
        a file in UTF-8 with a pair in each line; further columns are not read.
    source, target
        the columns: numbers from 1; or names, which then stand in the first line.

    Returns
    -------
    pairs, bad
        and the lines that could not be used.

    Raises
    ------
    ValueError
        if the file is not UTF-8, has no such columns, or no line of it can be used. The message
        names it.
    OSError
        if it can't be read.
    """
    path = Path(path)
    rows, name = list(tabbed(path)), repr(str(path))
    if not rows:
        raise ValueError(f"{name} is empty")
    if source.isdecimal() and target.isdecimal():
        columns = int(source) - 1, int(target) - 1
        if min(columns) < 0:
            raise ValueError(f"columns are counted from 1, got {source} and {target}")
    else:
        head, *rows = rows
        missing = [given for given in (source, target) if given not in head[1]]
        if missing:
            raise ValueError(
                f"{name} has no column {missing[0]!r:.60}; its first line is "
                f"{', '.join(head[1])!r:.200}"
            )
        columns = head[1].index(source), head[1].index(target)
    if columns[0] == columns[1]:
        raise ValueError(f"source and target are the same column, {source!r:.60}")
    pairs, bad = Pairs([], []), []
    for number, row in rows:
        if len(row) <= max(columns):
            bad.append(BadLine(str(path), number, f"{len(row)} columns of {max(columns) + 1}"))
            continue
        of_source, of_target = (cleaned(row[column]) for column in columns)
        if not of_source or not of_target:
            bad.append(BadLine(str(path), number, f"no {'target' if of_source else 'source'}"))
            continue
        pairs.sources.append(of_source)
        pairs.targets.append(of_target)
    if not pairs.sources:
        raise ValueError(f"{name} has no line with a source and a target: {told_bad(bad)}")
    return pairs, bad


def cleaned(text: str) -> str:
    """A text in Unicode's composed form, with one space between words, and none around them."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def romanised(text: str) -> str:
    """A text with each syllable of Hangul as the name that Unicode gives it: "han" for "한"."""
    prefix = "HANGUL SYLLABLE "
    names = (unicodedata.name(letter, "") for letter in text)
    return "".join(
        name.removeprefix(prefix).lower() if name.startswith(prefix) else letter
        for name, letter in zip(names, text, strict=True)
    )


def romanised_words(seed: int) -> Pairs:
    """Made-up words of 1 to `LONGEST_WORD` syllables of Hangul, and their romanised names.

    Each of the 11,172 syllables is in just one of the words. So whoever can read a word that is
    held out has understood how the letters of a syllable are read.
    """
    rng = np.random.default_rng([seed, 4])
    syllables = "".join(chr(code) for code in (0xAC00 + rng.permutation(11_172)).tolist())
    words, start = [], 0
    while start < len(syllables):
        length = int(rng.integers(1, LONGEST_WORD + 1))
        words.append(syllables[start : start + length])
        start += length
    return Pairs(words, [romanised(word) for word in words])


def split_pairs(pairs: Pairs, shares: Sequence[float], seed: int) -> list[Pairs]:
    """`pairs` in parts of about these shares, drawn at random; none is lost.

    No source is in two parts, and no target. Pairs that have one of them in common, and those that
    have one in common with these, and so on, stay together.
    """
    groups = _groups(pairs)
    total, wanted = len(pairs.sources), np.asarray(shares, float)
    parts = [Pairs([], []) for _ in shares]
    for g in np.random.default_rng([seed, 2]).permutation(len(groups)).tolist():
        filled = np.array([len(part.sources) for part in parts])
        part = parts[int((wanted * total - filled).argmax())]  # what lacks most
        part.sources.extend(pairs.sources[i] for i in groups[g])
        part.targets.extend(pairs.targets[i] for i in groups[g])
    return parts


def _groups(pairs: Pairs) -> list[list[int]]:
    """The numbers of the pairs that hang together by a source or a target."""
    parent = list(range(len(pairs.sources)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = i = parent[parent[i]]
        return i

    for texts in pairs:
        first: dict[str, int] = {}
        for i, text in enumerate(texts):
            parent[root(i)] = root(first.setdefault(text, i))
    found: dict[int, list[int]] = {}
    for i in range(len(parent)):
        found.setdefault(root(i), []).append(i)
    return list(found.values())


def load_pairs(
    data: Sequence[str],
    valid: str | None = None,
    test: str | None = None,
    split: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    source: str = "1",
    target: str = "2",
) -> PairParts:
    """Pairs of sentences from files, in parts.

    Parameters
    ----------
    data
        files: see `read_pairs`; or ``"hangul"``: see `romanised_words`.
    valid, test
        files to validate and test on. What is not given is split off `data`: of `split` (the shares
        to train, validate and maybe test on) only its shares are then used. A pair of `data` whose
        source or target is in one of them is not trained on.
    seed
        draws the split.
    source, target
        the columns.

    Raises
    ------
    ValueError, OSError
        as `read_pairs`, or if a part would be empty.
    """
    given, bad = {}, []
    for name, file in (("valid", valid), ("test", test)):
        if file is not None:
            given[name], wrong = read_pairs(file, source, target)
            bad += wrong
    known = [{text for part in given.values() for text in part[side]} for side in (0, 1)]
    pairs = Pairs([], [])
    for path in data:
        if path == HANGUL:
            some = romanised_words(seed)
        else:
            some, wrong = read_pairs(path, source, target)
            bad += wrong
        for pair in zip(*some, strict=True):
            if pair[0] not in known[0] and pair[1] not in known[1]:
                pairs.sources.append(pair[0])
                pairs.targets.append(pair[1])
    wanted = zip(("train", "valid", "test"), split, strict=False)
    shares = {name: share for name, share in wanted if name not in given}
    cut = split_pairs(pairs, [each / sum(shares.values()) for each in shares.values()], seed)
    parts = {**dict(zip(shares, cut, strict=True)), **given}
    told = hashlib.sha256()
    for name in ("train", "valid", "test"):
        if name in parts and not parts[name].sources:
            raise ValueError(
                f"there are too few pairs: none is left for the part {name!r}; those with the same "
                "source or target stay together"
            )
        for each in zip(*parts.get(name, ((), ())), strict=True):
            told.update("\t".join((name, *each, "\n")).encode("utf-8", "surrogatepass"))
    return PairParts(parts["train"], parts["valid"], parts.get("test"), bad, told.hexdigest()[:32])
