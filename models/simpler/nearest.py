"""The nearest neighbour and the nearest mean: what any network for images should be better than."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

TOGETHER = 256
"""So many examples are compared at a time: the table of distances stays small."""


def nearest(train: NDArray[Any], examples: NDArray[Any]) -> NDArray[np.int64]:
    """Which of `train` is nearest to each of the examples, the first of them in a tie.

    Parameters
    ----------
    train, examples
        numbers of one shape each: (N, ...) and (M, ...). Near is a small Euclidean distance.

    Notes
    -----
    |a - b|^2 = |a|^2 - 2 a b + |b|^2, in float64; |a|^2 is the same for all b.
    """
    b = train.reshape(len(train), -1).astype(float)
    a = examples.reshape(len(examples), -1).astype(float)
    found = [np.zeros(0, np.int64)]
    for start in range(0, len(a), TOGETHER):
        distance = (b * b).sum(1) - 2 * a[start : start + TOGETHER] @ b.T
        found.append(distance.argmin(1))
    return np.concatenate(found)


def class_means(
    examples: NDArray[Any], labels: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The mean of the examples of each class that has some, and which classes these are."""
    classes = np.unique(labels)
    return np.stack([examples[labels == each].mean(0, dtype=float) for each in classes]), classes
