"""Recurrent cells: one time step as a module, for loops of your own.

::

    for x_t in x:                       # x of shape (T, N, input_size)
        h, c = cell(x_t, (h, c))

The equations are in `equations.py`. Parameter names, shapes and the order of the gates are
PyTorch's. Lecture notes write W_xh for `weight_ih`, W_hh for `weight_hh`, and b for
`bias_ih` + `bias_hh`: h_t = tanh(W_xh x_t + W_hh h_{t-1} + b).

Next: `stack.py`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigrad.arrays.library import ArrayLike, DType
from minigrad.nn import init
from minigrad.nn.checking import (
    check_choice,
    check_features,
    check_flag,
    check_floats,
    check_sizes,
    checked_state,
)
from minigrad.nn.module import Module
from minigrad.nn.parameter import Parameter, new_parameter
from minigrad.nn.recurrent.equations import ACTIVATIONS, State, gru_step, lstm_step, rnn_step
from minigrad.ops import linear
from minigrad.tensor import Tensor


def recurrent_parameters(
    rows: int, input_size: int, hidden_size: int, bias: bool, rng: Any, dtype: DType
) -> list[Parameter | None]:
    """weight_ih, weight_hh, bias_ih and bias_hh, drawn evenly from [-k, k], k = hidden^-0.5."""
    shapes = [(rows, input_size), (rows, hidden_size), *([(rows,), (rows,)] if bias else [])]
    k = 1 / math.sqrt(hidden_size)
    made = [init.uniform_(new_parameter(shape, dtype), -k, k, rng) for shape in shapes]
    return [*made, *([] if bias else [None, None])]


class _Cell(Module):
    """The parameters of a cell, and the checks of its inputs."""

    _gates: int
    _state: tuple[str, ...] = ("h",)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        *,
        rng: np.random.Generator | None = None,
        dtype: DType = None,
    ) -> None:
        sizes = check_sizes(self, input_size=input_size, hidden_size=hidden_size)
        self.input_size, self.hidden_size = sizes
        self.bias = check_flag(self, bias=bias)
        self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh = recurrent_parameters(
            self._gates * self.hidden_size, sizes[0], sizes[1], self.bias, rng, dtype
        )

    def _prepared(self, x: ArrayLike, state: Any) -> tuple[Any, State]:
        """W_ih x + b_ih, and the state as a tuple."""
        x = check_floats(self, check_features(self, x, self.input_size))
        shape = (*x.shape[:-1], self.hidden_size)
        state = checked_state(self, x, state, self._state, [shape] * len(self._state))
        return linear(x, self.weight_ih, self.bias_ih), state


class RNNCell(_Cell):
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or with relu; see `equations.rnn_step`.

    Parameters
    ----------
    input_size, hidden_size
        lengths of x and of h.
    bias
        False: no b_ih and b_hh.
    nonlinearity
        ``"tanh"`` or ``"relu"``.
    rng
        the generator of the initial values; None: minigrad's own.
    dtype
        of the parameters; None: float32.

    Attributes
    ----------
    weight_ih, weight_hh, bias_ih, bias_hh
        shapes (hidden_size, input_size), (hidden_size, hidden_size), (hidden_size,) and
        (hidden_size,); drawn evenly from [-k, k], k = 1 / sqrt(hidden_size).
    """

    _gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        *,
        rng: np.random.Generator | None = None,
        dtype: DType = None,
    ) -> None:
        self.nonlinearity = check_choice(self, list(ACTIVATIONS), nonlinearity=nonlinearity)
        super().__init__(input_size, hidden_size, bias, rng=rng, dtype=dtype)

    def forward(self, x: ArrayLike, state: ArrayLike = None) -> Tensor:
        """The next h, of shape (N, hidden_size).

        Parameters
        ----------
        x
            shape (N, input_size), or (input_size,) for one example.
        state
            h, of shape (N, hidden_size) or (hidden_size,); None: zeros.

        Raises
        ------
        TypeError, ValueError
            if `x` or `state` has another dtype or shape.
        """
        Wx, h = self._prepared(x, state)
        activation = ACTIVATIONS[self.nonlinearity]
        (h_next,) = rnn_step(Wx, h, self.weight_hh, self.bias_hh, activation)
        return h_next  # type: ignore[no-any-return]


class LSTMCell(_Cell):
    """One step of an LSTM with the gates i, f, g, o; see `equations.lstm_step`.

    Parameters
    ----------
    input_size, hidden_size, bias, rng, dtype
        as in `RNNCell`.

    Attributes
    ----------
    weight_ih, weight_hh, bias_ih, bias_hh
        as in `RNNCell`, with 4 * hidden_size rows.
    """

    _gates = 4
    _state = ("h", "c")

    def forward(
        self, x: ArrayLike, state: tuple[ArrayLike, ArrayLike] | None = None
    ) -> tuple[Tensor, Tensor]:
        """The next (h, c); `x` as in `RNNCell`, and `state` a pair (h, c), or None for zeros."""
        Wx, state_parts = self._prepared(x, state)
        h, c = lstm_step(Wx, state_parts, self.weight_hh, self.bias_hh)
        return h, c


class GRUCell(_Cell):
    """One step of a GRU with the gates r, z, n; see `equations.gru_step`.

    Parameters
    ----------
    input_size, hidden_size, bias, rng, dtype
        as in `RNNCell`.

    Attributes
    ----------
    weight_ih, weight_hh, bias_ih, bias_hh
        as in `RNNCell`, with 3 * hidden_size rows.
    """

    _gates = 3

    def forward(self, x: ArrayLike, state: ArrayLike = None) -> Tensor:
        """The next h, of shape (N, hidden_size); `x` and `state` as in `RNNCell`."""
        Wx, h = self._prepared(x, state)
        (h_next,) = gru_step(Wx, h, self.weight_hh, self.bias_hh)
        return h_next  # type: ignore[no-any-return]
