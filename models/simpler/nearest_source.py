"""The simplest translation memory: the translation of the most similar sentence that is known."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

LONGEST = 4
"""Of the pieces that sentences are compared by, in characters."""


class NearestSource:
    """Translates a sentence by the target of the source that has most pieces in common with it.

    The similarity of two sentences is the cosine of their counts of pieces of 1 to `LONGEST`
    characters, each weighted by log(N / number of sources that have it), which makes rare pieces
    count more. Of equally similar sources the first one is taken.

    Parameters
    ----------
    sources, targets
        the N pairs that are known.
    """

    def __init__(self, sources: Sequence[str], targets: Sequence[str]) -> None:
        self.targets = targets
        counts = [Counter(_pieces(source)) for source in sources]
        seen = Counter(piece for each in counts for piece in each)
        self._weight = {piece: math.log(len(sources) / n) for piece, n in seen.items()}
        self._sources: dict[str, list[tuple[int, float]]] = {}  # those that have a piece
        for i, each in enumerate(counts):
            for piece, value in self._unit(each).items():
                self._sources.setdefault(piece, []).append((i, value))

    def translate(self, source: str) -> str:
        """The target of the nearest source."""
        similar = [0.0] * len(self.targets)
        for piece, value in self._unit(Counter(_pieces(source))).items():
            for i, other in self._sources.get(piece, ()):
                similar[i] += value * other
        return self.targets[similar.index(max(similar))]

    def _unit(self, counts: Counter[str]) -> dict[str, float]:
        """Weighted counts as a vector of length 1."""
        vector = {piece: n * self._weight.get(piece, 0.0) for piece, n in counts.items()}
        length = math.sqrt(math.fsum(value * value for value in vector.values())) or 1.0
        return {piece: value / length for piece, value in vector.items() if value}


def _pieces(text: str) -> Iterator[str]:
    framed = f" {text} "
    for n in range(1, LONGEST + 1):
        for start in range(len(framed) - n + 1):
            yield framed[start : start + n]
