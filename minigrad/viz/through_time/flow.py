"""The numbers of one recurrent layer, and what follows from them.

Next: `radii.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minigrad.data.checks import positive_int

__all__ = ["Bias", "Flow"]

Array = NDArray[np.float64]

DECADES = 12
"""What is smaller than the largest gradient by more powers of ten has the darkest colour."""


class Bias(NamedTuple):
    """How the truncated gradients g_k of some parameters differ from their full gradient G.

    The element k - 1 of each array is that of truncated BPTT with a window of k steps.
    """

    full_norm: float
    """|G|"""

    norms: Array
    """|g_k|"""

    errors: Array
    """|g_k - G| / |G|, the relative error."""

    cosines: Array
    """<g_k, G> / (|g_k| |G|)"""


@dataclass(frozen=True, eq=False)
class Flow:
    """How the gradient runs back through one recurrent layer, over T time steps.

    h_s is the layer's state after time step s, L_t the loss of the prediction at time t (in nats),
    L their mean, and W the recurrent weights.

    Attributes
    ----------
    layer, kind
        where it is in the model, and its class: ``"recurrent.0"``, ``"LSTM"``.
    weights : list of str
        the names of W: W_hh of the layer, or all parameters of a cell of one's own.
    losses : shape (T,)
        L_t.
    norms : shape (T, T)
        |dL_t/dh_s| at [t, s]. It is 0 for s > t: no loss depends on a later state.
    parts : dict of arrays of shape (T, T)
        the same for each part of the state with the others held fixed: of an LSTM h and c. The
        squares of the parts add up to the square of `norms`.
    pairs : shape (T, T)
        at [t, s] what step s gives to dL/dW by way of L_t, projected on the direction of dL/dW.
        All together they are |dL/dW|.
    step_norms : shape (T,)
        at [s] the norm of what step s gives to dL/dW: of the gradient of L by W in step s alone.
    bias, bias_of_all : Bias
        what truncation does to dL/dW, and to the gradient of all parameters of the model (without
        those that are frozen).
    radii : dict of float
        the spectral radius, the largest |eigenvalue|, of W_hh, or of each gate's W_h: see
        `minigrad.viz.spectral_radii`.
    """

    layer: str
    kind: str
    weights: list[str]
    losses: Array
    parts: dict[str, Array]
    pairs: Array
    step_norms: Array
    bias: Bias
    bias_of_all: Bias
    radii: dict[str, float]

    @property
    def T(self) -> int:
        """The number of time steps."""
        return len(self.losses)

    @cached_property
    def norms(self) -> Array:
        """|dL_t/dh_s| at [t, s], with the state as a whole."""
        squares: Array = np.sum([part**2 for part in self.parts.values()], axis=0)
        return np.sqrt(squares)

    @cached_property
    def dropped(self) -> Array:
        """Shape (T,): at [k - 1] the share of the sum of `norms` that a window of k steps drops."""
        whole = self.norms.sum()
        kept = [_kept(self.norms, k).sum() for k in range(1, self.T + 1)]
        return 1 - np.array(kept) / whole if whole else np.zeros(self.T)

    def steps(self, window: int | None = None) -> Array:
        """Shape (T,): what each step gives to dL/dW, projected on the direction of the full dL/dW.

        Parameters
        ----------
        window
            of truncated BPTT; None: the full gradient, and the sum is |dL/dW|.
        """
        window = self.T if window is None else positive_int(window, "Flow.steps: window")
        return _kept(self.pairs, window)

    def clipping(self, max_norm: float, window: int | None = None) -> float:
        """The factor by which `clip_grad_norm_` would multiply the gradient of all parameters.

        Parameters
        ----------
        max_norm
            the largest norm that it lets through.
        window
            of truncated BPTT; None: the full gradient.
        """
        norm = self.bias_of_all.full_norm
        if window is not None:
            window = positive_int(window, "Flow.clipping: window")
            norm = float(self.bias_of_all.norms[min(window, self.T) - 1])
        return min(1.0, max_norm / norm) if norm else 1.0

    @cached_property
    def decay(self) -> Array:
        """Shape (T,): at [k] the mean over t of |dL_t/dh_{t-k}| / |dL_t/dh_t|."""
        start = np.diagonal(self.norms)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = self.norms / start[:, None]
        ratios[start == 0] = np.nan  # a loss that does not depend on its state
        back = [np.diagonal(ratios, -k) for k in range(self.T)]
        return np.array([np.nanmean(r) if np.isfinite(r).any() else np.nan for r in back])

    @property
    def forecast(self) -> tuple[str, Array] | None:
        """(name of the matrix, its spectral radius to the powers 0 ... T - 1).

        It is what `decay` would be if every step multiplied by a matrix with eigenvalues of that
        size. The matrix is the W_hh of an RNN; of an LSTM and a GRU that of the candidate, and
        their gates make another way, so it is no forecast for them. None for cells of one's own.
        """
        candidates = [name for name in self.radii if name in ("W_hh", "W_hg", "W_hn")]
        if not candidates:
            return None
        with np.errstate(over="ignore"):
            return candidates[0], self.radii[candidates[0]] ** np.arange(float(self.T))


def _kept(pairs: Array, window: int) -> Array:
    """For each s the sum of the pairs [t, s] with no edge of a window between s and t."""
    T = len(pairs)
    s = np.arange(T)
    ends = np.minimum((s // window + 1) * window, T)
    kept: Array = np.cumsum(pairs, axis=0)[ends - 1, s]
    return kept


def colour_limits(flows: list[Flow]) -> tuple[float, float]:
    """The norms that have the darkest and the brightest colour, the same for all flows."""
    norms = np.concatenate([flow.norms[np.tril_indices(flow.T)] for flow in flows])
    norms = norms[np.isfinite(norms) & (norms > 0)]
    if not norms.size:
        return 0.1, 1.0
    high = float(norms.max())
    low = max(float(norms.min()), high * 10.0**-DECADES)
    return (low, high) if low < high else (high / 10, high)
