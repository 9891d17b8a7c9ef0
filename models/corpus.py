"""From the name of a text to what a language model trains on."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minigrad.data import Vocabulary, batchify, load_text, split
from minigrad.data.vocabulary import Level

Ids = NDArray[np.int64]


class Corpus(NamedTuple):
    """A text as ids, cut into consecutive parts, and the vocabulary of the first."""

    vocabulary: Vocabulary
    train: Ids
    valid: Ids
    test: Ids

    def check_length(self, batch_size: int) -> None:
        """Raise a ValueError if a part is too short, the first for `batch_size` streams."""
        for name, part, least in (
            ("train on", self.train, 2 * batch_size),
            ("validate on", self.valid, 2),
            ("test on", self.test, 2),
        ):
            if len(part) < least:
                streams = f" for a batch size of {batch_size}" if name == "train on" else ""
                raise ValueError(
                    f"the text is too short: of its tokens there are {len(part)} to {name}, and at "
                    f"least {least} are needed{streams}"
                )

    def unknown(self, part: Ids) -> float:
        """Which part of the tokens in `part` the vocabulary lacks, from 0 to 1."""
        return float(np.mean(part == self.vocabulary.unk_id))


def load_corpus(
    source: str, level: Level, min_count: int | None = None, max_vocab: int | None = None
) -> Corpus:
    """Read a text, and cut it: 90 % to train on, then 5 % to validate and 5 % to test.

    The vocabulary is that of the part to train on, so that the other two are as new to the model as
    a text from elsewhere.

    Parameters
    ----------
    source
        ``"python-docs"``, or the path of a file in UTF-8.
    level
        ``"char"`` or ``"word"``.
    min_count
        leave out tokens that are rarer, which all become ``<unk>``; None: 1 of characters, 2 of
        words (or no model would ever see an unknown word while it learns).
    max_vocab
        at most so many tokens; None: as many as there are.

    Raises
    ------
    OSError, ValueError, ModuleNotFoundError
        for a text that is missing, empty, not UTF-8, or too short to be cut.
    """
    text = load_text(source)
    if min_count is None:
        min_count = 2 if level == "word" else 1
    # words are not cut in two: each goes with the whitespace after it
    parts: tuple[Any, ...] = split(text if level == "char" else re.findall(r"\S+\s*", text))
    train, valid, test = ("".join(part) for part in parts)
    vocabulary = Vocabulary.from_text(train, level=level, min_count=min_count, max_size=max_vocab)
    return Corpus(vocabulary, *(vocabulary.encode(part) for part in (train, valid, test)))


def evaluation_streams(ids: Ids, batch_size: int, bptt: int) -> Ids:
    """Lay `ids` out to be evaluated on: `batch_size` streams, or fewer if they would be short.

    Each stream begins without a past, so there should not be many short ones.

    Raises
    ------
    ValueError
        if there are not even two tokens, one to read and one to predict.
    """
    return batchify(ids, max(1, min(batch_size, len(ids) // bptt)))
