"""The matrix products of a training step of a configuration."""

from __future__ import annotations

from configurations import GATES, Configuration

from minigrad import cpu
from minigrad.training import linear_products, recurrent_products


def products(c: Configuration) -> list[cpu.Product]:
    """All of them; of a classifier as if all its sequences were the longest."""
    directions = 2 if c.classes else 1
    result = linear_products(*((c.N, c.H, c.classes) if c.classes else (c.T * c.N, c.H, c.V)))
    for layer in range(c.L):
        inputs = directions * c.H if layer else c.D
        result += directions * recurrent_products(c.T, c.N, inputs, c.H, GATES[c.cell])
    return result
