"""Labels by counting: how often each label came in a context, and in shorter ones."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.int64]
"""What is known about each of N tokens, in K columns, the most telling first: shape (N, K)."""


class _Level(NamedTuple):
    """The contexts of the first k columns."""

    keys: NDArray[np.int64]
    counts: NDArray[np.float64]
    """Shape (contexts, labels)."""


class CountedContexts:
    """p_k(y | x_1, ..., x_k) = (c(x_1, ..., x_k, y) + p_{k-1}(y | x_1, ..., x_{k-1})) / (c + 1).

    c(x_1, ..., x_k, y) counts what was seen, and c is its sum over all labels y. So a shorter
    context counts like one more example, and decides alone where the longer one was never seen; p_0
    is the share of each label. MacKay and Peto, "A hierarchical Dirichlet language model" (1995),
    with the weight 1.

    Parameters
    ----------
    features, labels
        what to learn from: shape (N, K), integers from 0; and N integers from 0.
    num_labels
        how many labels there are.
    """

    def __init__(self, features: Features, labels: NDArray[np.int64], num_labels: int) -> None:
        self.num_labels, self.base = num_labels, int(features.max(initial=0)) + 1
        self.shares = np.bincount(labels, minlength=num_labels) / max(1, len(labels))
        self.levels: list[_Level] = []
        context = np.zeros(len(features), np.int64)
        for column in features.T:
            keys, context = np.unique(context * self.base + column, return_inverse=True)
            places = context * num_labels + labels
            counts = np.bincount(places, minlength=len(keys) * num_labels)
            self.levels.append(_Level(keys, counts.reshape(-1, num_labels).astype(float)))

    def probabilities(self, features: Features) -> NDArray[np.float64]:
        """The probability of each label, of shape (N, labels)."""
        p = np.broadcast_to(self.shares, (len(features), self.num_labels)).copy()
        seen, context = np.arange(len(features)), np.zeros(len(features), np.int64)
        for column, (keys, counts) in zip(features.T, self.levels, strict=True):
            column = column[seen]
            wanted = context * self.base + column
            at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
            known = (keys[at] == wanted) & (column < self.base)
            seen, context = seen[known], at[known]
            c = counts[context]
            p[seen] = (c + p[seen]) / (c.sum(1, keepdims=True) + 1)
        return p

    def predict(self, features: Features) -> NDArray[np.int64]:
        """The likeliest label of each."""
        return np.asarray(self.probabilities(features).argmax(1))
