"""Histograms of one thing over training, in bins that stay the same.

Next: `histograms.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[Any]

SMALLEST, LARGEST = -34, 14
"""The exponents of 2 between which logarithmic bins lie: magnitudes from 6e-11 to 16384."""

_POWERS = 2.0 ** np.arange(SMALLEST, LARGEST + 1)

LOG_EDGES: Numbers = np.concatenate([[-np.inf], -_POWERS[::-1], _POWERS, [np.inf]])
"""A bin for each power of 2 on both sides of 0, and what lies beyond.

An edge belongs to the bin of larger magnitudes. In the middle is what is smaller.
"""

EDGES: dict[str, Numbers] = {
    "tanh": np.linspace(-1, 1, 41),
    "sigmoid": np.linspace(0, 1, 41),
    "bounded": np.linspace(-1, 1, 41),
    "relu": LOG_EDGES,
    "": LOG_EDGES,
}
"""By the function that made the values: "bounded" is the h of an LSTM or GRU, ``""`` any other."""

SATURATED = 0.99
"""A tanh beyond it is saturated, and a sigmoid above it or below 1 - it: its slope is at most 0.02,
or 0.01."""

FLAT: dict[str, Callable[[Numbers], Numbers]] = {
    "tanh": lambda h: abs(h) > SATURATED,
    "sigmoid": lambda h: (h > SATURATED) | (h < 1 - SATURATED),
    "relu": lambda h: h == 0,
}
"""Which values of a function are where it is flat, so that (nearly) no gradient comes through."""

FLAT_WORDS = {
    "tanh": ("saturated", f"|h| > {SATURATED}"),
    "sigmoid": ("saturated", f"below {1 - SATURATED:.2g} or above {SATURATED}"),
    "relu": ("dead", "0"),
}
"""What units are called that are flat at all positions, and when a value is flat."""


class Look(NamedTuple):
    """What was seen in one step of training."""

    counts: NDArray[np.int64]
    """How many finite values are in each bin."""

    not_finite: int
    """How many values are NaN or infinite."""

    rms: float
    """The root of the mean square of the finite values."""

    flat_values: float
    """The share of values where the function is flat; NaN where this has no meaning."""

    flat_units: float
    """The share of units that are flat at all positions; NaN where this has no meaning."""


def by_exponent(x: Numbers) -> NDArray[np.int64]:
    """How many of the floats in a vector are in each bin of `LOG_EDGES`; NaN and infinities none.

    Sign and exponent are the first bits of a float, so that nothing is compared.
    """
    if x.itemsize < 4:
        x = x.astype(np.float32)
    whole, fraction, exponents = ("u4", 23, 256) if x.itemsize == 4 else ("u8", 52, 2048)
    first = np.right_shift(x.view(whole), fraction).astype(np.int64)
    found = np.bincount(first, minlength=2 * exponents).reshape(2, exponents)[:, :-1]
    low, high = (k + exponents // 2 - 1 for k in (SMALLEST, LARGEST))
    positive, negative = (np.append(side[low:high], side[high:].sum()) for side in found)
    return np.concatenate([negative[::-1], [found[:, :low].sum()], positive])


class Series:
    """Histograms of one thing: of a parameter, of the outputs of a layer, of a gradient.

    Attributes
    ----------
    function : str
        what made the values, if that says in which bins they are counted: see `EDGES`.
    edges : array of shape (bins + 1,)
        from where to where each bin goes.
    looks : dict
        a `Look` by the step of training.
    """

    def __init__(self, function: str = "") -> None:
        self.function = function
        self.edges = EDGES[function]
        self.looks: dict[int, Look] = {}
        self._flat: Numbers | None = None
        self.forget()

    def forget(self) -> None:
        """Begin a step anew."""
        self._counts = np.zeros(len(self.edges) - 1, np.int64)
        self._not_finite = self._size = self._positions = 0
        self._squares = 0.0
        self._stuck: Numbers | None = None  # for each unit at how many positions it is flat

    def add(self, values: Numbers) -> None:
        """Count values; the last axis is the units, the others are positions."""
        x = values.ravel()
        if self.edges is LOG_EDGES:
            self._counts += by_exponent(x)
        else:
            span = self.edges[0], self.edges[-1]
            self._counts += np.histogram(x[np.isfinite(x)], len(self.edges) - 1, span)[0]
        finite = x.astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            if not np.isfinite(total := finite @ finite):
                finite = finite[np.isfinite(finite)]
                total = finite @ finite
        self._not_finite += x.size - finite.size
        self._squares += float(total)
        self._size += x.size
        if self.function in FLAT and values.ndim:
            flat = FLAT[self.function](values).reshape(-1, values.shape[-1])
            stuck = flat.sum(axis=0)
            self._stuck = stuck if self._stuck is None else self._stuck + stuck
            self._positions += len(flat)

    def close(self, step: int) -> None:
        """All values of a step have been added."""
        if not self._size:
            return
        finite = max(1, self._size - self._not_finite)
        values = units = np.nan
        if self._stuck is not None and self._stuck.size and self._positions:
            self._flat = self._stuck / self._positions
            values, units = float(self._flat.mean()), float((self._flat == 1).mean())
        rms = float(np.sqrt(self._squares / finite))
        self.looks[step] = Look(self._counts, self._not_finite, rms, values, units)
        self.forget()

    def thin(self, stride: int) -> None:
        """Keep every `stride`-th step of training alone."""
        self.looks = {step: look for step, look in self.looks.items() if step % stride == 0}

    @property
    def steps(self) -> NDArray[np.int64]:
        """The steps that were looked at, shape (n,)."""
        return np.array(list(self.looks), np.int64)

    @property
    def counts(self) -> NDArray[np.int64]:
        """The number of finite values in each bin, of shape (n, bins)."""
        return np.array([look.counts for look in self.looks.values()], np.int64)

    @property
    def not_finite(self) -> NDArray[np.int64]:
        """How many values are NaN or infinite, shape (n,)."""
        return np.array([look.not_finite for look in self.looks.values()], np.int64)

    @property
    def rms(self) -> NDArray[np.float64]:
        """The root of the mean square of the finite values, shape (n,)."""
        return np.array([look.rms for look in self.looks.values()])

    @property
    def flat_values(self) -> NDArray[np.float64]:
        """The share of values where the function is flat, shape (n,); see `FLAT_WORDS`."""
        return np.array([look.flat_values for look in self.looks.values()])

    @property
    def flat_units(self) -> NDArray[np.float64]:
        """The share of units that are flat at all positions (dead, saturated), shape (n,)."""
        return np.array([look.flat_units for look in self.looks.values()])

    @property
    def flat(self) -> NDArray[np.float64]:
        """For each unit the share of positions where it was flat in the last look; may be empty."""
        return np.empty(0) if self._flat is None else self._flat

    def shares(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The share of the finite values in each bin, of shape (n, bins), and the bins' edges.

        Where bins are logarithmic, both sides of 0 are put together: the edges are log10 of the
        magnitude then, and all that is too small for a bin of its own is in the first.
        """
        counts, edges = self.counts.reshape(len(self.looks), -1), self.edges
        if edges is LOG_EDGES:
            middle = len(LOG_EDGES) // 2 - 1
            sides = counts[:, middle + 1 :] + counts[:, :middle][:, ::-1]
            counts = np.hstack([counts[:, middle : middle + 1], sides])
            edges = np.log10(2.0) * np.arange(SMALLEST - 1, LARGEST + 2)
        return counts / np.maximum(1, counts.sum(axis=1, keepdims=True)), edges

    def told(self) -> str:
        """Which units were flat in the last look; empty if there is nothing to tell."""
        if not self.flat.size:
            return ""
        word, when = FLAT_WORDS[self.function]
        stuck = np.flatnonzero(self.flat == 1)
        names = ", ".join(map(str, stuck[:8])) + ", ..." * (len(stuck) > 8)
        which = f" (unit{'s' * (len(stuck) > 1)} {names})" if len(stuck) else ""
        return (
            f"{self.flat.mean():.1%} of the values are {when}; {len(stuck)} of {self.flat.size} "
            f"units are {word} at all positions{which}"
        )
