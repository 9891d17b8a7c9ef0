"""How often which class was taken for which, and the figures that follow from it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]


class Scores(NamedTuple):
    """The figures of a classifier."""

    accuracy: float
    """The share of the examples that are right."""

    macro_f1: float
    """The mean of the F1 of all classes that there are examples of: each class counts the same."""

    f1: list[float]
    """2 P R / (P + R) of each class, where of the examples taken for it the share P is right, and
    of its own examples the share R was found. 0 for a class that was never found."""


def confusion(truth: Counts, predicted: Counts, num_classes: int) -> Counts:
    """Shape (C, C): in row i and column j the examples of class i that were taken for class j."""
    places = truth * num_classes + predicted
    return np.bincount(places, minlength=num_classes**2).reshape(num_classes, num_classes)


def scores(counts: Counts) -> Scores:
    """The figures of a `confusion` of at least one example."""
    right, of_class, taken_for = counts.diagonal(), counts.sum(1), counts.sum(0)
    f1 = 2 * right / np.maximum(of_class + taken_for, 1)  # = 2 P R / (P + R)
    return Scores(
        float(right.sum() / counts.sum()), float(f1[of_class > 0].mean()), [float(x) for x in f1]
    )
