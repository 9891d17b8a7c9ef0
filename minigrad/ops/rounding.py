"""Elementwise ops that come up more seldom: rounding, and the bases 2 and 10; see `arithmetic`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from minigrad.arrays.devices import zeros
from minigrad.arrays.library import ArrayLike, array_module
from minigrad.autograd.record import differentiable

if TYPE_CHECKING:
    from minigrad.tensor import Tensor


@differentiable(x=lambda g: zeros(g.shape, g))
def floor(x: ArrayLike) -> Tensor:
    """Largest integer not above each element. The derivative is 0 everywhere."""
    return array_module(x).floor(x)


@differentiable(x=lambda g: zeros(g.shape, g))
def ceil(x: ArrayLike) -> Tensor:
    """Smallest integer not below each element. The derivative is 0 everywhere."""
    return array_module(x).ceil(x)


@differentiable(x=lambda g: zeros(g.shape, g))
def trunc(x: ArrayLike) -> Tensor:
    """Each element without what is behind its point. The derivative is 0 everywhere."""
    return array_module(x).trunc(x)


@differentiable(a=lambda g: zeros(g.shape, g))
def round(a: ArrayLike, decimals: int = 0) -> Tensor:
    """Each element to `decimals` digits, halves to even ones. The derivative is 0 everywhere."""
    return array_module(a).round(a, decimals)


@differentiable(x=lambda g, x: g / (x * math.log(2)))
def log2(x: ArrayLike) -> Tensor:
    """Logarithm of each element to the base 2."""
    return array_module(x).log2(x)


@differentiable(x=lambda g, x: g / (x * math.log(10)))
def log10(x: ArrayLike) -> Tensor:
    """Logarithm of each element to the base 10."""
    return array_module(x).log10(x)


@differentiable(x=lambda g, out: g * (out * math.log(2)))
def exp2(x: ArrayLike) -> Tensor:
    """2 to the power of each element."""
    return array_module(x).exp2(x)
