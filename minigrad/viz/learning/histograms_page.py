"""The data of the page of `Histograms`, which ``static/views/histograms.js`` draws."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from minigrad.viz.learning.series import LOG_EDGES, Series


def histograms_data(histograms: Any) -> dict[str, Any]:
    """Each kind of series that has some, and for each series its shares as bytes."""
    kinds = {
        "Gradients of the parameters": histograms.gradients,
        "Parameters": histograms.weights,
        "Outputs of the layers": histograms.activations,
        "Gradients of the outputs": histograms.activation_gradients,
    }
    return {
        "steps": histograms.steps_seen,
        "kinds": [
            {"name": kind, "series": [_data(name, one) for name, one in series.items()]}
            for kind, series in kinds.items()
            if series
        ],
    }


def _data(name: str, series: Series) -> dict[str, Any]:
    """A series without the bins that are always empty; 255 is its largest share."""
    share, edges = series.shares()
    used = np.flatnonzero(share.any(axis=0))
    low, high = (int(used[0]), int(used[-1]) + 1) if used.size else (0, 1)
    largest = float(share.max(initial=0))
    log = series.edges is LOG_EDGES
    edges = 10**edges if log else edges
    edges[0] = 0 if log else edges[0]
    levels = np.round(share[:, low:high] * (255 / (largest or 1))).astype(np.uint8)
    flat = bool(series.flat.size)
    return {
        "name": name,
        "steps": series.steps,
        "edges": edges[low : high + 1],
        "log": log,
        "levels": base64.b64encode(levels.tobytes()).decode(),
        "largest": largest,
        "rms": series.rms,
        "not_finite": series.not_finite,
        "flat_values": series.flat_values if flat else None,
        "flat_units": series.flat_units if flat else None,
        "told": series.told(),
    }
