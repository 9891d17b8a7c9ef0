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
    """Shape (U,): `strengths` on the first half of the text, of which the largest chooses the unit.

    It is r of a yes or no, and ρ of a number, which may have outliers: one very long word would
    decide r alone.
    """

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
    """Of a number, shape (U,), on the second half: Spearman's correlation ρ, that of the ranks."""


class Follower(NamedTuple):
    """The unit that follows a feature best."""

    feature: str
    unit: str
    r: float
    """On the second half of the text, as in `Scores`; the first half has chosen the unit."""

    auc: float | None
    spearman: float | None
    by_chance: float
    """95 of 100 features that are moved along the second half have less than this `strength`."""

    p: float
    """The share of moved features of at least the same strength; no less than 1 / 200."""

    @property
    def strength(self) -> float:
        """How well the unit follows: abs(r) of a yes or no, abs(ρ) of a number."""
        return abs(self.r if self.spearman is None else self.spearman)


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


def scores(feature: Feature, activations: Array, ranks: tuple[Array, Array]) -> Scores:
    """How well each unit follows a feature that changes in both halves (`undefined_on`).

    Parameters
    ----------
    feature
        with values of shape (T,).
    activations
        shape (T, U).
    ranks
        `ranks_of` the first half of the activations, and of the second.
    """
    first, second = halves(len(activations))
    judged = feature.values[second]
    r = correlations(judged, activations[second])
    chosen_by = strengths(feature.values[first], activations[first], ranks[0])
    if judged.dtype == bool:
        return Scores(chosen_by, r, area_under_roc(judged, ranks[1]), None)
    return Scores(chosen_by, r, None, strengths(judged, activations[second], ranks[1]))


def follower(
    feature: Feature,
    found: Scores,
    activations: Array,
    ranks: tuple[Array, Array],
    units: list[str],
) -> Follower:
    """The unit that follows best on the first half, with its figures on the second."""
    sure = np.where(np.isnan(found.r), np.nan, np.abs(found.chosen_by))
    k = int(np.nanargmax(sure))
    second = halves(len(activations))[1]
    chance = np.abs(by_chance(feature.values[second], activations[second, k], ranks[1][:, k]))
    auc = None if found.auc is None else float(found.auc[k])
    spearman = None if found.spearman is None else float(found.spearman[k])
    most = float(np.quantile(chance, 0.95))
    best = Follower(feature.name, units[k], float(found.r[k]), auc, spearman, most, 1.0)
    as_good = np.sum(chance >= best.strength - 1e-9)
    return best._replace(p=float((1 + as_good) / (1 + len(chance))))


def strengths(values: Array, activations: Array, ranks: Array) -> Array:
    """How well each unit follows a feature, from -1 to 1: r of a yes or no, ρ of a number."""
    if values.dtype == bool:
        return correlations(values, activations)
    return correlations(ranks_of(values[:, None])[:, 0], ranks)


def correlations(values: Array, activations: Array) -> Array:
    """Pearson's r of `values`, shape (T,), with each column of `activations`, shape (T, U)."""
    x, y = _standardised(values[:, None]), _standardised(activations)
    return np.asarray(np.clip(x[:, 0] @ y, -1.0, 1.0))


def by_chance(values: Array, activation: Array, ranks: Array) -> Array:
    """The `strengths` of one unit, with the feature moved along in a circle in `SHIFTS` ways."""
    T = len(values)
    steps = np.unique(np.linspace(0, T, SHIFTS + 1, endpoint=False).astype(int))[1:]
    places = (np.arange(T)[:, None] + steps) % T
    return strengths(values, activation[places], ranks[places])


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
