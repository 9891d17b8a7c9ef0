"""Activations as layers, for `Sequential`: the functions of the same names in `minigrad`."""

from __future__ import annotations

import math

from minigrad import ops
from minigrad.arrays.library import ArrayLike
from minigrad.nn.checking import as_tensor, check_choice, check_number, check_whole
from minigrad.nn.module import Module
from minigrad.tensor import Tensor


class Tanh(Module):
    """The hyperbolic tangent of each element."""

    def forward(self, x: ArrayLike) -> Tensor:
        """See `minigrad.tanh`; `x` of any shape."""
        return ops.tanh(as_tensor(self, x))


class Sigmoid(Module):
    """1 / (1 + exp(-x)) of each element."""

    def forward(self, x: ArrayLike) -> Tensor:
        """See `minigrad.sigmoid`; `x` of any shape."""
        return ops.sigmoid(as_tensor(self, x))


class ReLU(Module):
    """The larger of x and 0 for each element."""

    def forward(self, x: ArrayLike) -> Tensor:
        """See `minigrad.relu`; `x` of any shape."""
        return ops.relu(as_tensor(self, x))


class LeakyReLU(Module):
    """x where it is positive, and `negative_slope` times x elsewhere."""

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = check_number(self, negative_slope=negative_slope)

    def forward(self, x: ArrayLike) -> Tensor:
        """See `minigrad.leaky_relu`; `x` of any shape."""
        return ops.leaky_relu(as_tensor(self, x), self.negative_slope)


class ELU(Module):
    """x where it is positive, and alpha (exp(x) - 1) elsewhere."""

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = check_number(self, alpha=alpha)

    def forward(self, x: ArrayLike) -> Tensor:
        """See `minigrad.elu`; `x` of any shape."""
        return ops.elu(as_tensor(self, x), self.alpha)


class GELU(Module):
    """x times the standard normal distribution function of x.

    `approximate` is ``"none"``, or ``"tanh"`` for a formula that is faster.
    """

    def __init__(self, approximate: str = "none") -> None:
        self.approximate = check_choice(self, ("none", "tanh"), approximate=approximate)

    def forward(self, x: ArrayLike) -> Tensor:
        """See `minigrad.gelu`; `x` of any shape."""
        return ops.gelu(as_tensor(self, x), self.approximate)


class SiLU(Module):
    """x sigmoid(x) of each element."""

    def forward(self, x: ArrayLike) -> Tensor:
        """See `minigrad.silu`; `x` of any shape."""
        return ops.silu(as_tensor(self, x))


class Softplus(Module):
    """log(1 + exp(beta x)) / beta of each element: a ReLU without an edge."""

    def __init__(self, beta: float = 1.0) -> None:
        self.beta = check_number(self, beta=beta)
        if not self.beta > 0:
            raise ValueError(f"Softplus: beta must be positive, not {beta}")

    def forward(self, x: ArrayLike) -> Tensor:
        """See `minigrad.softplus`; `x` of any shape."""
        x = as_tensor(self, x)
        return ops.softplus(x) if self.beta == 1 else ops.softplus(x * self.beta) / self.beta


class Softmax(Module):
    """exp(x), scaled so that it sums to 1 along `axis`."""

    def __init__(self, axis: int = -1) -> None:
        self.axis = check_whole(self, axis=axis)

    def forward(self, x: ArrayLike) -> Tensor:
        """See `minigrad.softmax`; `x` of any shape that has the axis."""
        return ops.softmax(as_tensor(self, x), self.axis)


class LogSoftmax(Module):
    """The logarithm of the softmax along `axis`, computed in one step, which keeps its digits."""

    def __init__(self, axis: int = -1) -> None:
        self.axis = check_whole(self, axis=axis)

    def forward(self, x: ArrayLike) -> Tensor:
        """See `minigrad.log_softmax`; `x` of any shape that has the axis."""
        return ops.log_softmax(as_tensor(self, x), self.axis)


class Identity(Module):
    """y = x: for the place of a layer that is left out."""

    def forward(self, x: ArrayLike) -> Tensor:
        """`x` of any shape."""
        return as_tensor(self, x)


class Flatten(Module):
    """Makes one axis of those from `start_axis` to `end_axis`: by default all but the first.

    Parameters
    ----------
    start_axis, end_axis
        the first and the last of these axes; negative ones count from the end.
    """

    def __init__(self, start_axis: int = 1, end_axis: int = -1) -> None:
        self.start_axis = check_whole(self, start_axis=start_axis)
        self.end_axis = check_whole(self, end_axis=end_axis)

    def forward(self, x: ArrayLike) -> Tensor:
        """A Tensor of shape (N, a * b * ...), from `x` of shape (N, a, b, ...).

        Raises
        ------
        ValueError
            if `x` has no such axes.
        """
        x = as_tensor(self, x)
        start, end = (a + x.ndim if a < 0 else a for a in (self.start_axis, self.end_axis))
        if not 0 <= start <= end < x.ndim:
            raise ValueError(
                f"Flatten: x has shape {x.shape}, which has no axes from {self.start_axis} to "
                f"{self.end_axis}"
            )
        one = math.prod(x.shape[start : end + 1])
        return ops.reshape(x, (*x.shape[:start], one, *x.shape[end + 1 :]))
