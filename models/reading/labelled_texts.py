"""Texts with labels: from files, split into parts, and what is to be known about them."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

NO_CLASS = ("origin", "readme", "license", "licence")
"""Files that are no classes, in a directory with a file for each class."""

MOST_TOLD = 5
"""How many bad lines are told one by one."""


class Labelled(NamedTuple):
    """Texts, and the label of each."""

    texts: list[str]
    labels: list[str]


class BadLine(NamedTuple):
    """A line that no example could be made of."""

    file: str
    number: int
    """Counted from 1."""
    reason: str


class Parts(NamedTuple):
    """Texts with labels to train, validate and test on.

    Attributes
    ----------
    train, valid, test
        the parts; `test` is None where no part is kept for it.
    classes
        the labels of the part to train on, sorted.
    bad
        the lines that were left out.
    fingerprint
        a hash of all parts.
    """

    train: Labelled
    valid: Labelled
    test: Labelled | None
    classes: list[str]
    bad: list[BadLine]
    fingerprint: str


def read_labelled(
    path: str | Path, text: str | None = None, label: str | None = None
) -> tuple[Labelled, list[BadLine]]:
    """The texts and labels of a file with a tab between its columns, or of a directory.

    Parameters
    ----------
    path
        a file in UTF-8 with an example in each line, and no quotes around texts; or a directory
        with a file NAME.txt for each class, with a text in each line.
    text, label
        the columns: numbers from 1; or names, which then stand in the first line. None: of two
        columns the label is the one with fewer different values.

    Returns
    -------
    examples, bad
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
    if path.is_dir():
        return _from_directory(path)
    rows = list(tabbed(path))
    if not rows:
        raise ValueError(f"{str(path)!r} is empty")
    head, name = rows[0][1], repr(str(path))
    numbered = all(given is None or given.isdecimal() for given in (text, label))
    if (text is None) != (label is None):
        raise ValueError("--text-column and --label-column go together: give both, or none")
    if numbered:
        width = len(head)
        columns = _guessed(rows, name) if text is None else (int(text) - 1, int(label or 0) - 1)
        if not all(0 <= column < width for column in columns):
            raise ValueError(
                f"{name} has {width} columns in its first line, not a column {text} or {label}"
            )
    else:
        missing = [given for given in (text, label) if given not in head]
        if missing:
            raise ValueError(
                f"{name} has no column {missing[0]!r:.60}; its first line is "
                f"{', '.join(head)!r:.200}"
            )
        width, rows = len(head), rows[1:]
        columns = head.index(text or ""), head.index(label or "")
    examples, bad = Labelled([], []), []
    for number, row in rows:
        if len(row) != width:
            bad.append(BadLine(str(path), number, f"{len(row)} columns instead of {width}"))
            continue
        of_text, of_label = (row[column].strip() for column in columns)
        if not of_text or not of_label:
            bad.append(BadLine(str(path), number, "no text" if not of_text else "no label"))
            continue
        examples.texts.append(of_text)
        examples.labels.append(of_label)
    if not examples.texts:
        raise ValueError(
            f"{name} has no line with a text and a label in its columns: {told_bad(bad)}"
        )
    return examples, bad


def told_bad(bad: Sequence[BadLine]) -> str:
    """The bad lines in one line: the first few, and how many more."""
    told = [f"line {line.number} of {Path(line.file).name}: {line.reason}" for line in bad]
    more = len(told) - MOST_TOLD
    return "; ".join(told[:MOST_TOLD]) + (f"; and {more:,} more" if more > 0 else "")


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file by their numbers from 1; a ValueError that names it if it's not UTF-8."""
    content = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    for number, line in enumerate(content.split(b"\n"), 1):
        try:
            yield number, line.rstrip(b"\r").decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"{str(path)!r} is not UTF-8, in line {number}: {error}") from error


def tabbed(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The lines of a file that are not blank, by their numbers from 1, in columns."""
    return ((number, line.split("\t")) for number, line in numbered_lines(path) if line.strip())


def _guessed(rows: list[tuple[int, list[str]]], name: str) -> tuple[int, int]:
    """The columns of text and label, of two."""
    pairs = [row for _, row in rows if len(row) == 2]
    if 2 * len(pairs) < len(rows):
        raise ValueError(
            f"{name} has {len(rows[0][1])} columns in its first line, not two with a tab between "
            "them: --text-column and --label-column say which to take, by number from 1 or by name"
        )
    kinds = [len({row[column] for row in pairs}) for column in (0, 1)]
    return (1, 0) if kinds[0] < kinds[1] else (0, 1)


def _from_directory(path: Path) -> tuple[Labelled, list[BadLine]]:
    files = sorted(file for file in path.glob("*.txt") if file.stem.lower() not in NO_CLASS)
    if len(files) < 2:
        raise ValueError(f"{str(path)!r} has no file NAME.txt for each of several classes")
    examples = Labelled([], [])
    for file in files:
        for _, row in tabbed(file):
            examples.texts.append(" ".join(row).strip())
            examples.labels.append(unicodedata.normalize("NFC", file.stem))
    return examples, []


def drawn_parts(labels: Sequence[str], shares: Sequence[float], seed: int) -> list[list[int]]:
    """The numbers of the examples with these labels, in parts of these shares of each class.

    They are drawn at random; none is lost. A class of one example is in the first part, so that it
    can be learnt.
    """
    order = np.random.default_rng([seed, 2]).permutation(len(labels))
    ends, seen, sizes = np.cumsum(shares), Counter[str](), Counter(labels)
    parts: list[list[int]] = [[] for _ in shares]
    for i in order.tolist():
        place = (seen[labels[i]] + 0.5) / sizes[labels[i]]
        seen[labels[i]] += 1
        parts[min(int(np.searchsorted(ends, place)), len(parts) - 1)].append(i)
    return parts


def split_by_seed(examples: Labelled, shares: Sequence[float], seed: int) -> list[Labelled]:
    """`examples` in parts, as `drawn_parts` draws them."""
    return [
        Labelled([examples.texts[i] for i in which], [examples.labels[i] for i in which])
        for which in drawn_parts(examples.labels, shares, seed)
    ]


def load_parts(
    data: Sequence[str],
    valid: str | None = None,
    test: str | None = None,
    split: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    text: str | None = None,
    label: str | None = None,
) -> Parts:
    """Texts with labels from files, in parts.

    Parameters
    ----------
    data
        files or directories: see `read_labelled`.
    valid, test
        files to validate and test on. What is not given is split off `data`: of `split` (the shares
        to train, validate and maybe test on) only its shares are then used.
    seed
        draws the split.
    text, label
        the columns.

    Raises
    ------
    ValueError, OSError
        as `read_labelled`; if there is one class only, a label to validate or test on is not among
        those to train on, or a part would be empty.
    """
    examples, bad = Labelled([], []), []
    for path in data:
        some, wrong = read_labelled(path, text, label)
        examples.texts.extend(some.texts)
        examples.labels.extend(some.labels)
        bad += wrong
    given = {}
    for name, file in (("valid", valid), ("test", test)):
        if file is not None:
            given[name], wrong = read_labelled(file, text, label)
            bad += wrong
    wanted = zip(("train", "valid", "test"), split, strict=False)
    shares = {name: share for name, share in wanted if name not in given}
    cut = split_by_seed(examples, [each / sum(shares.values()) for each in shares.values()], seed)
    parts = {**dict(zip(shares, cut, strict=True)), **given}
    classes = sorted(set(parts["train"].labels))
    if len(classes) < 2:
        raise ValueError(
            f"there is one class only, {classes[0]!r:.60}: nothing to tell apart. If that is no "
            "class, --text-column and --label-column say which is which"
        )
    for name, part in parts.items():
        if not part.texts:
            raise ValueError(f"there are too few texts: none is left for the part {name!r}")
        if unseen := sorted(set(part.labels) - set(classes)):
            raise ValueError(
                f"no text to train on has the label {unseen[0]!r:.60} of the part {name!r}"
            )
    told = hashlib.sha256()
    for name in ("train", "valid", "test"):
        for each in zip(*parts.get(name, ((), ())), strict=True):
            told.update("\t".join((name, *each, "\n")).encode("utf-8", "surrogatepass"))
    return Parts(
        parts["train"], parts["valid"], parts.get("test"), classes, bad, told.hexdigest()[:32]
    )


def known_before(train: Labelled, part: Labelled) -> int:
    """How many texts of a part are also among those to train on."""
    known = set(train.texts)
    return sum(text in known for text in part.texts)
