"""How well the units of a network follow something, and how much of that is chance.

Among a thousand units, one follows anything at all rather well by chance. So the text is cut into
two halves: the first half chooses the unit, and what is quoted is its figure on the second half,
on which nothing was chosen. And what chance gives there is measured: the same figure, with the
feature moved along the text in a circle. A moved feature has all that the true one has, such as how
often it changes, but it has lost its connection with the unit.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minigrad.viz.neurons.features import Feature

SHIFTS = 199
"""How often a feature is moved along the text; so no p is below 1 / 200."""

Array = NDArray[Any]


class Scores(NamedTuple):
    """How well each of U units follows a feature. NaN: undefined, as the unit is constant there."""

    chosen_by: Array
    """Shape (U,): Pearson's r on the first half of the text, which chooses the unit."""

    r: Array
    """Shape (U,): Pearson's r on the second half; of a yes or no, the point-biserial correlation.

    A negative r: the unit is high where the feature is false, or low.
    """

    auc: Array | None
    """Of a yes or no, shape (U,), on the second half: the area under the ROC curve.

    This is the probability that the unit is higher at a place where the feature is true than at one
    where it is false: 1/2 for a unit that knows nothing of it, and 0 for one that is its opposite.
    """

    spearman: Array | None
    """Of a number, shape (U,), on the second half: Spearman's correlation of the ranks."""


class Follower(NamedTuple):
    """The unit that follows a feature best."""

    feature: str
    unit: str
    r: float
    """On the second half of the text, as in `Scores`; the first half has chosen the unit."""

    auc: float | None
    spearman: float | None
    by_chance: float
    """95 of 100 features that were moved along the second half have a smaller abs(r) than this."""

    p: float
    """The share of moved features whose abs(r) is at least as large; no less than 1 / 200."""


def halves(T: int) -> tuple[slice, slice]:
    """The half of a text of T tokens that chooses, and the half that is judged."""
    return slice(0, T // 2), slice(T // 2, T)


def undefined_on(feature: Feature) -> str | None:
    """Why no unit can follow a feature; None if some can."""
    values = feature.values
    first, second = (bool(np.ptp(values[half].astype(float)) > 0) for half in halves(len(values)))
    if first and second:
        return None
    if not (first or second) and (values == values[0]).all():
        return "it is the same everywhere in this text"
    where = {(True, False): "second", (False, True): "first"}.get(
        (first, second), "first or second"
    )
    return f"it is the same everywhere in the {where} half of this text"


def scores(feature: Feature, activations: Array, ranks: Array) -> Scores:
    """How well each unit follows a feature that changes in both halves (`undefined_on`).

    Parameters
    ----------
    feature
        with values of shape (T,).
    activations
        shape (T, U).
    ranks
        `ranks` of the second half of the activations, shape (T - T // 2, U).
    """
    first, second = halves(len(activations))
    values, judged = feature.values, feature.values[second]
    is_yes_or_no = values.dtype == bool
    return Scores(
        correlations(values[first], activations[first]),
        correlations(judged, activations[second]),
        area_under_roc(judged, ranks) if is_yes_or_no else None,
        None if is_yes_or_no else correlations(ranks_of(judged[:, None])[:, 0], ranks),
    )


def follower(feature: Feature, found: Scores, activations: Array, units: list[str]) -> Follower:
    """The unit with the largest abs(r) on the first half, and its figures on the second."""
    sure = np.where(np.isnan(found.r), np.nan, np.abs(found.chosen_by))
    k = int(np.nanargmax(sure))
    second = halves(len(activations))[1]
    chance = np.abs(shifted(feature.values[second], activations[second, k]))
    r = float(found.r[k])
    return Follower(
        feature.name,
        units[k],
        r,
        None if found.auc is None else float(found.auc[k]),
        None if found.spearman is None else float(found.spearman[k]),
        float(np.quantile(chance, 0.95)),
        float((1 + np.sum(chance >= abs(r))) / (1 + len(chance))),
    )


def correlations(values: Array, activations: Array) -> Array:
    """Pearson's r of `values`, shape (T,), with each column of `activations`, shape (T, U)."""
    x, y = _standardised(values[:, None]), _standardised(activations)
    return np.asarray(np.clip(x[:, 0] @ y, -1.0, 1.0))


def shifted(values: Array, activation: Array) -> Array:
    """Pearson's r of a unit with `values` moved along in a circle, by at most `SHIFTS` lengths."""
    T = len(values)
    steps = np.unique(np.linspace(0, T, SHIFTS + 1, endpoint=False).astype(int))[1:]
    places = (np.arange(T)[:, None] + steps) % T
    return correlations(activation, values.astype(float)[places])


def ranks_of(activations: Array) -> Array:
    """The rank of each value in its column, from 1 to T; equal values share the mean of theirs."""
    T, U = activations.shape
    found = np.empty((T, U))
    for k in range(U):
        _, place, counts = np.unique(activations[:, k], return_inverse=True, return_counts=True)
        ends = np.cumsum(counts)
        found[:, k] = (ends - (counts - 1) / 2)[place]
    return found


def area_under_roc(is_true: Array, ranks: Array) -> Array:
    """The area under the ROC curve of each column, from its ranks: Mann and Whitney's U / (n m).

    Hanley and McNeil, "The meaning and use of the area under a receiver operating characteristic
    (ROC) curve", Radiology 143 (1982).
    """
    n = int(is_true.sum())
    m = len(is_true) - n
    area = (ranks[is_true].sum(0) - n * (n + 1) / 2) / (n * m)
    return np.where(np.ptp(ranks, axis=0) > 0, area, np.nan)


def _standardised(columns: Array) -> Array:
    """Each column with mean 0 and length 1; NaN if it is constant."""
    columns = columns.astype(float)
    away = columns - columns.mean(0)
    length = np.sqrt((away * away).sum(0))
    constant = np.ptp(columns, axis=0) == 0
    return np.asarray(away / np.where(constant, np.nan, length))
