"""What the page to go through the units holds: ``static/views/neurons.js`` draws it."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigrad.viz.neurons.following import halves
from minigrad.viz.neurons.letters import drawn, full_colour
from minigrad.viz.neurons.measured import Measured
from minigrad.viz.page import View

MOST_TOKENS = 6000
"""A longer text is shown from so many tokens before its end on."""

MOST_BYTES = 2_400_000
"""Of activations, a byte for each token and unit; so a page has less than 5 MB."""

LEVELS = 127
"""An activation is shown as one of so many steps of either sign."""

TEXT = (
    "The text is coloured by a unit, and underlined where the feature is true. The first half of "
    "the text sorts the units; the figures are from the second half. Up and down (k and j) go "
    "through the units, left and right through the text. r is the correlation of unit and feature, "
    "and ρ that of their ranks. AUC is how often the unit is higher where the feature is true than "
    "where it is not: near 1 or 0 it tells them apart, 0.5 is chance."
)


def view(neurons: Measured) -> View:
    """The view of a page, and its data."""
    T = len(neurons.tokens)
    start = max(0, T - MOST_TOKENS)
    kept = _kept(neurons, MOST_BYTES // (T - start))
    data = {
        "tokens": [drawn(token) for token in neurons.tokens[start:]],
        "start": start,
        "half": halves(T)[1].start,
        "units": _units(neurons, kept, start),
        "features": [_feature(neurons, name, kept, start) for name in _by_name(neurons)],
        "left_out": [{"name": name, "why": why} for name, why in neurons.left_out.items()],
        "predictions": _predictions(neurons, start),
    }
    notes = [TEXT]
    if start:
        notes.append(f"The last {T - start:,} of {T:,} tokens are shown.")
    if len(kept) < len(neurons.units):
        few, all = f"{len(kept):,}", f"{len(neurons.units):,}"
        notes.append(f"The {few} of {all} units that follow a feature best are here.")
    return View("neurons", data, text=" ".join(notes))


def _by_name(neurons: Measured) -> list[str]:
    """The features in the order of `Neurons.best`."""
    return [best.feature for best in neurons.best]


def _kept(neurons: Measured, most: int) -> list[int]:
    """The units that the page has room for: of each feature in turn the next best."""
    U = len(neurons.units)
    if most >= U:
        return list(range(U))
    orders = [_order(scores.chosen_by) for scores in neurons.scores.values()] or [np.arange(U)]
    turns = np.stack(orders, axis=1).reshape(-1)
    _, first = np.unique(turns, return_index=True)
    return sorted(turns[np.sort(first)][: max(1, most)].tolist())


def _order(chosen_by: NDArray[Any]) -> NDArray[Any]:
    """The units from the best on, and at last those that are constant."""
    return np.argsort(-np.nan_to_num(np.abs(chosen_by), nan=-1.0), kind="stable")


def _units(neurons: Measured, kept: list[int], start: int) -> dict[str, Any]:
    """Names, the largest activations, and all activations as bytes in base64, unit by unit."""
    together = np.concatenate(list(neurons.activations.values()), axis=1)[:, kept].astype(float)
    largest = np.abs(together).max(0)
    steps = np.rint(together[start:] / np.where(largest > 0, largest, 1) * LEVELS)
    return {
        "names": [neurons.units[k] for k in kept],
        "largest": largest,
        "full_colour": full_colour(together),
        "levels": LEVELS,
        "activations": base64.b64encode(steps.T.astype(np.int8).tobytes()).decode(),
    }


def _feature(neurons: Measured, name: str, kept: list[int], start: int) -> dict[str, Any]:
    feature, scores = neurons.features[name], neurons.scores[name]
    best = next(best for best in neurons.best if best.feature == name)
    is_yes_or_no = scores.auc is not None
    other = scores.auc if scores.auc is not None else scores.spearman
    assert other is not None
    return {
        "name": name,
        "meaning": feature.meaning,
        "takes_memory": feature.takes_memory,
        "yes_or_no": is_yes_or_no,
        "values": feature.values[start:].astype(int if is_yes_or_no else float),
        "best": best._asdict(),
        "order": _order(scores.chosen_by[kept]),
        "r": scores.r[kept],
        "other": other[kept],
    }


def _predictions(neurons: Measured, start: int) -> dict[str, Any] | None:
    """After each token that is shown, and after the one before them."""
    found = neurons.predictions
    if found is None:
        return None
    before = max(start - 1, 0)
    likeliest = found.likeliest[before:]
    names = list(dict.fromkeys(name for row in likeliest for name in row))
    number = {name: i for i, name in enumerate(names)}
    return {
        "names": [drawn(name) for name in names],
        "first": before,
        "likeliest": [[number[name] for name in row] for row in likeliest],
        "probabilities": found.probabilities[before:],
        "entropy": found.entropy[before:],
        "surprise": found.surprise[start:],
        "rank": found.rank[start:],
    }
