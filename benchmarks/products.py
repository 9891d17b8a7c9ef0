"""The matrix products of a training step of a configuration."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from configurations import GATES, Configuration, batches

from minigrad import cpu
from minigrad.training import linear_products, recurrent_products


def products(c: Configuration, batch: Sequence[np.ndarray] | None = None) -> list[cpu.Product]:
    """All of them for one of the `batches`, without padding; None: for the first."""
    x, _, *lengths = batches(c)[0] if batch is None else batch
    sizes = [c.N] * c.T
    if lengths:
        sizes = (np.arange(len(x))[:, None] < lengths[0]).sum(1).tolist()
    directions = 2 if c.classes else 1
    result = linear_products(*((c.N, c.H, c.classes) if c.classes else (c.T * c.N, c.H, c.V)))
    for layer in range(c.L):
        inputs = directions * c.H if layer else c.D
        result += directions * recurrent_products(sizes, inputs, c.H, GATES[c.cell])
    return result
