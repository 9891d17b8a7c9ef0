"""How good labels in step are: figures of spaces, and of words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]


def right_sentences(right: NDArray[np.bool_], lengths: Sequence[int]) -> float:
    """The share of the sentences all of whose labels are right; they stand one after the other."""
    starts = np.cumsum([0, *lengths[:-1]])
    return float(np.logical_and.reduceat(right, starts).mean())


def space_figures(truth: Labels, predicted: Labels, lengths: Sequence[int]) -> dict[str, float]:
    """The figures of spaces, where a label of 1 says that one follows.

    Of the spaces that were predicted, the share P (precision) is right; of those of the truth, the
    share R (recall) was found; F1 = 2 P R / (P + R). Where there is nothing to divide by, it is 0.
    Beside them the accuracy of the labels, and the share of the sentences without a mistake.
    """
    found = int((truth & predicted).sum())
    right = truth == predicted
    return {
        "f1": 2 * found / max(1, int(truth.sum() + predicted.sum())),
        "precision": found / max(1, int(predicted.sum())),
        "recall": found / max(1, int(truth.sum())),
        "accuracy": float(right.mean()),
        "sentences": right_sentences(right, lengths),
    }


def word_figures(
    truth: Labels, predicted: Labels, lengths: Sequence[int], known: NDArray[np.bool_]
) -> dict[str, float]:
    """The accuracy on all words and on those that are not `known`, if there are any.

    Beside them the share of the sentences without a mistake.
    """
    right = truth == predicted
    unknown = {} if known.all() else {"unknown": float(right[~known].mean())}
    return {
        "accuracy": float(right.mean()),
        **unknown,
        "sentences": right_sentences(right, lengths),
    }
