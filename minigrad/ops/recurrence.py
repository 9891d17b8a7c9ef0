"""The equations of the recurrent networks, and how they run over a sequence.

Pure functions, each equation in one place: the cells (`minigrad.nn.cells`) use them for one step;
unrolled over a sequence they are backpropagation through time as the books draw it, and the twins
of the fused ops in `minigrad.ops.recurrent`. In the equations x is the input at
time t, h the state at time t - 1, and h' what it becomes. The part of the input, W_ih x + b_ih,
does not depend on the state: it is computed for all time steps at once, and a step is given it as
`Wx`, of shape (..., gates * hidden). States have the shape (..., hidden).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minigrad.ops.arithmetic import relu, sigmoid, tanh
from minigrad.ops.linalg import linear
from minigrad.ops.shape import split, squeeze, stack

State = tuple[Any, ...]
"""(h,), or of an LSTM (h, c)."""

ACTIVATIONS: dict[str, Callable[[Any], Any]] = {"tanh": tanh, "relu": relu}


def rnn_step(Wx: Any, state: State, W_hh: Any, b_hh: Any, activation: Any = tanh) -> State:
    """The simple recurrent network: h' = tanh(W_ih x + b_ih + W_hh h + b_hh).

    Elman (1990), Finding structure in time.
    """
    (h,) = state
    return (activation(Wx + linear(h, W_hh, b_hh)),)


def lstm_step(Wx: Any, state: State, W_hh: Any, b_hh: Any) -> State:
    """The LSTM. Each of i, f, g, o has its own rows of W_ih, W_hh, b_ih, b_hh, in that order.

    ::

        i = sigmoid(W_ii x + b_ii + W_hi h + b_hi)      input gate
        f = sigmoid(W_if x + b_if + W_hf h + b_hf)      forget gate
        g = tanh   (W_ig x + b_ig + W_hg h + b_hg)      candidate
        o = sigmoid(W_io x + b_io + W_ho h + b_ho)      output gate
        c' = f * c + i * g
        h' = o * tanh(c')

    Hochreiter and Schmidhuber (1997), Long short-term memory; the forget gate is from Gers,
    Schmidhuber and Cummins (2000), Learning to forget.
    """
    h, c = state
    i, f, g, o = split(Wx + linear(h, W_hh, b_hh), 4, axis=-1)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    return sigmoid(o) * tanh(c), c


def gru_step(Wx: Any, state: State, W_hh: Any, b_hh: Any) -> State:
    """The GRU. Each of r, z, n has its own rows of W_ih, W_hh, b_ih and b_hh, in that order.

    ::

        r = sigmoid(W_ir x + b_ir + W_hr h + b_hr)      reset gate
        z = sigmoid(W_iz x + b_iz + W_hz h + b_hz)      update gate
        n = tanh(W_in x + b_in + r * (W_hn h + b_hn))   candidate
        h' = (1 - z) * n + z * h

    Cho et al. (2014), Learning phrase representations using RNN encoder-decoder; there r is
    applied to h before the product with W_hn, here (as in cuDNN and PyTorch) after it.
    """
    (h,) = state
    Wx_r, Wx_z, Wx_n = split(Wx, 3, axis=-1)
    Wh_r, Wh_z, Wh_n = split(linear(h, W_hh, b_hh), 3, axis=-1)
    r, z = sigmoid(Wx_r + Wh_r), sigmoid(Wx_z + Wh_z)
    n = tanh(Wx_n + r * Wh_n)
    return ((1 - z) * n + z * h,)


def unrolled(
    step: Callable[[Any, State, Any, Any], State],
    Wx: Any,
    state: State,
    W_hh: Any,
    b_hh: Any,
    reverse: bool,
) -> tuple[Any, ...]:
    """Run `step` over a sequence, one entry on the tape for each op of each time step.

    Parameters
    ----------
    step
        `rnn_step`, `lstm_step` or `gru_step`.
    Wx
        W_ih x + b_ih of all time steps, shape (T, N, gates * hidden), T at least 1.
    state
        what to start from, each part of shape (N, hidden).
    W_hh, b_hh
        shapes (gates * hidden, hidden) and (gates * hidden,); the bias may be None.
    reverse
        from the last time step to the first.

    Returns
    -------
    output, *state
        the h of each time step, shape (T, N, hidden), and the parts of the state in the end.
    """
    steps = [squeeze(part, 0) for part in split(Wx, Wx.shape[0])]
    outputs = []
    for Wx_t in reversed(steps) if reverse else steps:
        state = step(Wx_t, state, W_hh, b_hh)
        outputs.append(state[0])
    return (stack(outputs[::-1] if reverse else outputs), *state)


def unrolled_rnn(
    Wx: Any, h_0: Any, W_hh: Any, b_hh: Any, nonlinearity: str, reverse: bool
) -> tuple[Any, ...]:
    """`rnn_step` over a sequence; the twin of `minigrad.ops.recurrent.rnn`."""

    def step(Wx_t: Any, state: State, W_hh: Any, b_hh: Any) -> State:
        return rnn_step(Wx_t, state, W_hh, b_hh, ACTIVATIONS[nonlinearity])

    return unrolled(step, Wx, (h_0,), W_hh, b_hh, reverse)


def unrolled_lstm(
    Wx: Any, h_0: Any, c_0: Any, W_hh: Any, b_hh: Any, reverse: bool
) -> tuple[Any, ...]:
    """`lstm_step` over a sequence; the twin of `minigrad.ops.recurrent.lstm`."""
    return unrolled(lstm_step, Wx, (h_0, c_0), W_hh, b_hh, reverse)


def unrolled_gru(Wx: Any, h_0: Any, W_hh: Any, b_hh: Any, reverse: bool) -> tuple[Any, ...]:
    """`gru_step` over a sequence; the twin of `minigrad.ops.recurrent.gru`."""
    return unrolled(gru_step, Wx, (h_0,), W_hh, b_hh, reverse)
