"""How alike two texts are by their words; and the text that is most like all others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from models.measuring.translation_scores import edit_distance


def word_f1(texts: Sequence[str], truth: Sequence[str]) -> float:
    """The mean over all texts of the F1 of their words, in any order: 1 if they are all right."""
    found = 0.0
    for text, right in zip(texts, truth, strict=True):
        mine, other = Counter(text.split()), Counter(right.split())
        found += 2 * (mine & other).total() / max(1, mine.total() + other.total())
    return found / max(1, len(texts))


def middle(texts: Sequence[str], tried: int = 300, others: int = 100) -> str:
    """The text that is nearest to the others, by edit distance: the best guess about a new one.

    So many texts are tried at most, and each is compared with so many others, evenly chosen.
    """
    some, all_ = _evenly(texts, others), _evenly(texts, tried)
    return min(all_, key=lambda text: sum(edit_distance(text, other) for other in some))


def _evenly(texts: Sequence[str], most: int) -> Sequence[str]:
    return texts[:: -(-len(texts) // most)]
