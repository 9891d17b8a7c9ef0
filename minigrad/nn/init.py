r"""Initialisers: they fill a tensor in place and return it; names and arguments are PyTorch's.

Each takes ``rng``, a ``numpy.random.Generator``; None means minigrad's own, which
`minigrad.manual_seed` seeds. The numbers are drawn on the CPU in float64, so they are the same on
every device and, up to rounding, in every dtype.

A weight has the shape (fan_out, fan_in, \*window): each output is a sum over `fan_in` inputs.
"""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np

from minigrad.arrays.random import generator
from minigrad.errors.values import told
from minigrad.tensor import Tensor

__all__ = [
    "calculate_gain",
    "constant_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]

T = TypeVar("T", bound=Tensor)
Generator = np.random.Generator


def uniform_(tensor: T, a: float = 0.0, b: float = 1.0, rng: Generator | None = None) -> T:
    """Fills with numbers drawn evenly from [a, b)."""
    tensor.data = generator(rng).uniform(a, b, tensor.shape)
    return tensor


def normal_(tensor: T, mean: float = 0.0, std: float = 1.0, rng: Generator | None = None) -> T:
    """Fills with numbers drawn from the normal distribution of this mean and standard deviation."""
    tensor.data = generator(rng).normal(mean, std, tensor.shape)
    return tensor


def constant_(tensor: T, val: float) -> T:
    """Fills with `val`."""
    tensor.data = np.full(tensor.shape, val)
    return tensor


def zeros_(tensor: T) -> T:
    """Fills with 0."""
    return constant_(tensor, 0.0)


def ones_(tensor: T) -> T:
    """Fills with 1."""
    return constant_(tensor, 1.0)


def xavier_uniform_(tensor: T, gain: float = 1.0, rng: Generator | None = None) -> T:
    """As `xavier_normal_`, but evenly from [-a, a], a = gain sqrt(6 / (fan_in + fan_out))."""
    a = gain * math.sqrt(6 / sum(_fans("xavier_uniform_", tensor)))
    return uniform_(tensor, -a, a, rng)


def xavier_normal_(tensor: T, gain: float = 1.0, rng: Generator | None = None) -> T:
    """Fills from a normal distribution with the variance gain^2 2 / (fan_in + fan_out).

    From layer to layer, values then neither grow nor shrink on the way forward, and gradients, as a
    compromise, on the way back. Glorot and Bengio (2010), Understanding the difficulty of training
    deep feedforward neural networks.

    Raises
    ------
    ValueError
        if the tensor has fewer than two axes.
    """
    std = gain * math.sqrt(2 / sum(_fans("xavier_normal_", tensor)))
    return normal_(tensor, 0.0, std, rng)


def kaiming_uniform_(
    tensor: T,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    rng: Generator | None = None,
) -> T:
    """As `kaiming_normal_`, but evenly from [-b, b], b = gain sqrt(3 / fan)."""
    bound = math.sqrt(3) * _kaiming_std("kaiming_uniform_", tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, rng)


def kaiming_normal_(
    tensor: T,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    rng: Generator | None = None,
) -> T:
    """Fills from a normal distribution with the variance gain^2 / fan.

    He, Zhang, Ren and Sun (2015), Delving deep into rectifiers.

    Parameters
    ----------
    tensor
        a tensor of at least two axes.
    a
        the slope of the leaky ReLU for negative numbers.
    mode
        ``"fan_in"``: values keep their variance on the way forward; ``"fan_out"``: gradients on
        the way back.
    nonlinearity
        the function after the layer; see `calculate_gain`.

    Raises
    ------
    ValueError
        if there is no such mode or nonlinearity, or the tensor has fewer than two axes.
    """
    std = _kaiming_std("kaiming_normal_", tensor, a, mode, nonlinearity)
    return normal_(tensor, 0.0, std, rng)


def orthogonal_(tensor: T, gain: float = 1.0, rng: Generator | None = None) -> T:
    """Fills with a matrix drawn evenly from the orthogonal ones, times `gain`.

    Q^T Q = 1, or Q Q^T = 1 if there are more columns than rows. Axes after the second count as
    columns. Saxe, McClelland and Ganguli (2014), Exact solutions to the nonlinear dynamics of
    learning in deep linear neural networks.

    Raises
    ------
    ValueError
        if the tensor has fewer than two axes.
    """
    fan_in, _ = _fans("orthogonal_", tensor)
    rows, columns = tensor.shape[0], fan_in
    normal = generator(rng).normal(size=(max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(normal)
    q *= np.where(np.diagonal(r) < 0, -1, 1)  # or the draw is not even (Mezzadri 2007)
    tensor.data = gain * (q if rows >= columns else q.T).reshape(tensor.shape)
    return tensor


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor of the weights with which the variance survives `nonlinearity`.

    Parameters
    ----------
    nonlinearity
        ``"linear"``, ``"sigmoid"``, ``"tanh"``, ``"relu"`` or ``"leaky_relu"``.
    param
        the slope of the leaky ReLU for negative numbers; None: 0.01.

    Raises
    ------
    ValueError
        if there is no such nonlinearity.
    """
    slope = 0.01 if param is None else param
    gains = {
        "linear": 1.0,
        "sigmoid": 1.0,
        "tanh": 5 / 3,
        "relu": math.sqrt(2),
        "leaky_relu": math.sqrt(2 / (1 + slope * slope)),
    }
    if nonlinearity not in gains:
        raise ValueError(
            f"calculate_gain: nonlinearity must be one of {', '.join(gains)}, not "
            f"{told(nonlinearity)}"
        )
    return gains[nonlinearity]


def _kaiming_std(caller: str, tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    fans = dict(zip(("fan_in", "fan_out"), _fans(caller, tensor), strict=True))
    if mode not in fans:
        raise ValueError(f'{caller}: mode must be "fan_in" or "fan_out", not {told(mode)}')
    return calculate_gain(nonlinearity, a) / math.sqrt(fans[mode])


def _fans(caller: str, tensor: Tensor) -> tuple[int, int]:
    """The number of inputs of each output, and of outputs of each input."""
    if tensor.ndim < 2:
        raise ValueError(f"{caller}: needs a tensor of at least two axes, not {tensor.shape}")
    window = math.prod(tensor.shape[2:])
    return tensor.shape[1] * window, tensor.shape[0] * window
