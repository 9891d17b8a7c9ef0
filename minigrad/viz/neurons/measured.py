"""The numbers behind `Neurons`: features, and how well each unit follows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigrad.errors.values import told
from minigrad.viz.names import expected
from minigrad.viz.neurons.features import Feature, features_of
from minigrad.viz.neurons.following import (
    Follower,
    Scores,
    follower,
    halves,
    ranks_of,
    scores,
    undefined_on,
)
from minigrad.viz.neurons.letters import wide
from minigrad.viz.neurons.predictions import Predictions

Array = NDArray[Any]

FEWEST = 4
"""Two tokens in each half of the text."""


class Measured:
    """What `minigrad.viz.Neurons` has beside its picture and its page; its parameters are there."""

    def __init__(
        self,
        tokens: Sequence[str],
        activations: Any,
        *,
        predictions: Predictions | None = None,
        features: Mapping[str, Any] | None = None,
    ) -> None:
        self.tokens = _checked_tokens(tokens)
        T = len(self.tokens)
        if not isinstance(activations, Mapping):
            activations = {"unit": activations}
        self.activations = {
            name: _checked_activations(name, values, T) for name, values in activations.items()
        }
        self.units = [
            f"{name} {k}"
            for name, values in self.activations.items()
            for k in range(values.shape[1])
        ]
        if not self.units:
            raise ValueError("Neurons: activations has no units")
        if predictions is not None and len(predictions.surprise) != T:
            raise ValueError(
                f"Neurons: predictions are of {len(predictions.surprise)} tokens, but the text has "
                f"{T}"
            )
        self.predictions = predictions
        self.features: dict[str, Feature] = {}
        self.left_out: dict[str, str] = {}
        self.scores: dict[str, Scores] = {}
        self.best: list[Follower] = []
        self._follow(
            [*features_of(self.tokens), *self._own_features({} if features is None else features)]
        )

    def _own_features(self, features: Mapping[str, Any]) -> list[Feature]:
        expected(Mapping, features, "Neurons: features")
        return [_own_feature(name, values, len(self.tokens)) for name, values in features.items()]

    def _follow(self, features: list[Feature]) -> None:
        """Finds how well each unit follows each of the features."""
        together = np.concatenate(list(self.activations.values()), axis=1)
        first, second = halves(len(together))
        fixed = (np.ptp(together[first], axis=0) == 0) | (np.ptp(together[second], axis=0) == 0)
        self.constant = [unit for unit, is_fixed in zip(self.units, fixed, strict=True) if is_fixed]
        ranks = ranks_of(together[first]), ranks_of(together[second])
        for feature in features:
            if feature.name in self.features or feature.name in self.left_out:
                raise ValueError(f"Neurons: there is a feature {feature.name!r} already")
            why = undefined_on(feature) or ("no unit ever changes" if fixed.all() else None)
            if why is not None:
                self.left_out[feature.name] = why
                continue
            self.features[feature.name] = feature
            found = self.scores[feature.name] = scores(feature, together, ranks)
            self.best.append(follower(feature, found, together, ranks, self.units))
        self.best.sort(
            key=lambda best: (not self.features[best.feature].takes_memory, -best.strength)
        )

    def unit(self, name: str) -> Array:
        """The activation of a unit after each token, shape (T,).

        Raises
        ------
        KeyError
            if there is no unit of this name.
        """
        layer, _, number = name.rpartition(" ")
        if name not in self.units:
            raise KeyError(f"Neurons: no unit {name!r}; they are {self.units[0]!r} and so on")
        return self.activations[layer][:, int(number)]

    def __str__(self) -> str:
        """A table of the unit that follows each feature best."""
        widest = max(map(wide, ["feature", *self.scores]))
        longest = max(map(wide, ["unit", *self.units]))
        lines = [_row("feature", widest, "unit", longest, "r", "AUC or ρ", "by chance", "p")]
        for best in self.best:
            other = best.auc if best.auc is not None else best.spearman
            figures = f"{best.r:+.3f}", f"{other:.3f}", f"{best.by_chance:.3f}", f"{best.p:.3f}"
            lines.append(_row(best.feature, widest, best.unit, longest, *figures))
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"Neurons({len(self.tokens)} tokens, {len(self.units)} units)"


def _row(feature: str, widest: int, unit: str, longest: int, *figures: str) -> str:
    """A row of the table, with its columns one below the other."""
    names = f"{feature}{' ' * (widest - wide(feature))}  {unit}{' ' * (longest - wide(unit))}"
    return names + "".join(f"  {figure:>9}" for figure in figures)


# ------------------------------------------------------------------ checks


def _checked_tokens(tokens: Sequence[Any]) -> list[str]:
    found = list(tokens)
    for token in found:
        if not isinstance(token, str):
            raise TypeError(f"Neurons: tokens must be strings, not {told(token)}")
    if len(found) < FEWEST or not "".join(found):
        raise ValueError(
            f"Neurons: a text of at least {FEWEST} tokens is needed, two in each half, got "
            f"{len(found)}"
        )
    return found


def _checked_activations(name: str, values: Any, T: int) -> Array:
    array = np.asarray(values.numpy() if hasattr(values, "numpy") else values)
    if array.ndim != 2 or len(array) != T:
        raise ValueError(
            f"Neurons: activations {name!r} has shape {array.shape}, expected ({T}, H), a row for "
            "each token"
        )
    if array.dtype.kind not in "fiub":
        raise TypeError(f"Neurons: activations {name!r} must be numbers, not {told(array)}")
    array = array.astype(np.float32) if array.dtype.kind != "f" else array
    _check_finite(f"activations {name!r}", array)
    return array


def _own_feature(name: str, values: Any, T: int) -> Feature:
    array = np.asarray(values.numpy() if hasattr(values, "numpy") else values)
    if array.shape != (T,):
        raise ValueError(f"Neurons: feature {name!r} has shape {array.shape}, expected ({T},)")
    if array.dtype.kind not in "fiub":
        raise TypeError(f"Neurons: feature {name!r} must be bool or numbers, not {told(array)}")
    if array.dtype != bool:
        array = array.astype(np.float64)
        _check_finite(f"feature {name!r}", array)
    return Feature(name, "Your own.", array)


def _check_finite(what: str, array: Array) -> None:
    wrong = np.argwhere(~np.isfinite(array))
    if len(wrong):
        place = tuple(int(i) for i in wrong[0])
        raise ValueError(f"Neurons: {what} is {array[place]} at {place}; it must be finite")
