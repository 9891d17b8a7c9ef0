"""How near translations are to those of people."""

from __future__ import annotations

from collections.abc import Sequence

EXTRA = "BLEU and chrF need sacrebleu: in the checkout of minigrad, python -m pip install "
EXTRA += '".[translate]"'


def edit_distance(a: str, b: str) -> int:
    """How many characters to put in, take out or replace to make `b` of `a`.

    Levenshtein (1966), Binary codes capable of correcting deletions, insertions and reversals.
    """
    row = list(range(len(b) + 1))  # the distances of what was read of `a` from each beginning of b
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]


def character_error_rate(found: Sequence[str], wanted: Sequence[str]) -> float:
    """The edit distances of all sentences together, over the number of characters wanted.

    It is above 1 if more is wrong than there should be.
    """
    edits = sum(edit_distance(a, b) for a, b in zip(found, wanted, strict=True))
    return edits / max(1, sum(map(len, wanted)))


def exact_matches(found: Sequence[str], wanted: Sequence[str]) -> float:
    """The share of the sentences that are just as wanted."""
    right = sum(a == b for a, b in zip(found, wanted, strict=True))
    return right / max(1, len(wanted))


def has_sacrebleu() -> bool:
    """Whether `bleu` and `chrf` can be computed."""
    try:
        import sacrebleu  # noqa: F401
    except ModuleNotFoundError:
        return False
    return True


def bleu(found: Sequence[str], wanted: Sequence[str]) -> float:
    """BLEU of a corpus, from 0 to 100, by sacrebleu with its usual tokens ("13a").

    Papineni, Roukos, Ward and Zhu (2002), BLEU: a method for automatic evaluation of machine
    translation; Post (2018), A call for clarity in reporting BLEU scores.

    Raises
    ------
    ModuleNotFoundError
        if sacrebleu is not installed.
    """
    return _by_sacrebleu("corpus_bleu", found, wanted)


def chrf(found: Sequence[str], wanted: Sequence[str]) -> float:
    """chrF2 of a corpus, from 0 to 100, by sacrebleu: an F of pieces of 1 to 6 characters.

    Popović (2015), chrF: character n-gram F-score for automatic MT evaluation.

    Raises
    ------
    ModuleNotFoundError
        if sacrebleu is not installed.
    """
    return _by_sacrebleu("corpus_chrf", found, wanted)


def _by_sacrebleu(name: str, found: Sequence[str], wanted: Sequence[str]) -> float:
    try:
        import sacrebleu
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(EXTRA, name=error.name) from error
    return float(getattr(sacrebleu, name)(list(found), [list(wanted)]).score)
