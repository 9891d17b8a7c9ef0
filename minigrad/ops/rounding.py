"""Elementwise ops that are used less often: rounding, and the bases 2 and 10; see `arithmetic`."""

from __future__ import annotations

import math

from minigrad.arrays.library import Array, ArrayLike, array_module, zeros
from minigrad.autograd.record import differentiable


@differentiable(x=lambda g: zeros(g.shape, g))
def floor(x: ArrayLike) -> Array:
    """Largest integer not above each element. The derivative is 0 everywhere."""
    return array_module(x).floor(x)


@differentiable(x=lambda g: zeros(g.shape, g))
def ceil(x: ArrayLike) -> Array:
    """Smallest integer not below each element. The derivative is 0 everywhere."""
    return array_module(x).ceil(x)


@differentiable(x=lambda g: zeros(g.shape, g))
def trunc(x: ArrayLike) -> Array:
    """Each element without its decimals. The derivative is 0 everywhere."""
    return array_module(x).trunc(x)


@differentiable(a=lambda g: zeros(g.shape, g))
def round(a: ArrayLike, decimals: int = 0) -> Array:
    """Each element to `decimals` decimals, halves to even. The derivative is 0 everywhere."""
    return array_module(a).round(a, decimals)


@differentiable(x=lambda g, x: g / (x * math.log(2)))
def log2(x: ArrayLike) -> Array:
    """Logarithm of each element to the base 2."""
    return array_module(x).log2(x)


@differentiable(x=lambda g, x: g / (x * math.log(10)))
def log10(x: ArrayLike) -> Array:
    """Logarithm of each element to the base 10."""
    return array_module(x).log10(x)


@differentiable(x=lambda g, out: g * (out * math.log(2)))
def exp2(x: ArrayLike) -> Array:
    """2 to the power of each element."""
    return array_module(x).exp2(x)
