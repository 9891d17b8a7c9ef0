"""The equations of the recurrent networks, and the loop that runs them over a sequence.

Each equation is in one place, a pure function. The cells (`cells.py`) use it for one step. Over a
sequence, `unrolled` puts each op of each step on the tape: backpropagation through time as the
books draw it, and the twin of the fused op in `fused.py`.

In the equations x is the input at time t, h the state at time t - 1, and h' the state at time t.
W_ih x + b_ih does not depend on the state. It is computed for all time steps at once, and a step is
given it as `Wx`, of shape (..., gates * hidden). States have the shape (..., hidden).

There are two layouts of sequences. If all are T long, x has the shape (T, N, features), and `sizes`
is None. If their lengths differ, they are packed (`steps.py`): the longest first, `sizes[t]` of
them still run at time t, and x has the shape (sum(sizes), features), time step after time step,
without padding. The output has the layout of the input.

Next: `cells.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

from minigrad.ops.activations import relu, sigmoid
from minigrad.ops.arithmetic import tanh
from minigrad.ops.linalg import linear
from minigrad.ops.neural import layer_norm
from minigrad.ops.shape import concatenate, split, stack, unstack

State = tuple[Any, ...]
"""(h,), or of an LSTM (h, c)."""

Step = Callable[[Any, State], tuple[Any, State]]
"""One time step of a network: (x, state) -> (output, state)."""

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


def layer_norm_lstm_step(
    Wx: Any, state: State, W_hh: Any, gain_hh: Any, gain_c: Any, bias_c: Any
) -> State:
    """The LSTM with layer normalisation; its Wx is LN(W_ih x) * gain_ih + b.

    ::

        LN(a) = (a - mean(a)) / sqrt(variance(a) + 1e-5)        over all 4 * hidden numbers of a
        i, f, g, o = LN(W_ih x) * gain_ih + LN(W_hh h) * gain_hh + b
        c' = sigmoid(f) * c + sigmoid(i) * tanh(g)
        h' = sigmoid(o) * tanh(LN(c') * gain_c + bias_c)

    Ba, Kiros and Hinton (2016), Layer normalization. They add three biases to the gates, which are
    the one b here. The c that is remembered is not normalised.
    """
    h, c = state
    Wh = layer_norm(linear(h, W_hh), W_hh.shape[0], gain_hh)
    i, f, g, o = split(Wx + Wh, 4, axis=-1)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    return sigmoid(o) * tanh(layer_norm(c, c.shape[-1], gain_c, bias_c)), c


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
    step: Step, x: Any, state: State, sizes: Sequence[int] | None, reverse: bool
) -> tuple[Any, ...]:
    """Runs `step` over a sequence, one entry on the tape for each op of each time step.

    Parameters
    ----------
    step
        takes x at a time step, of shape (n, features), and the state of those n sequences.
    x
        shape (T, N, features), T at least 1; or packed, (sum(sizes), features).
    state
        the state before the first step, each part of shape (N, ...).
    sizes
        how many sequences there are at each time step, never rising, at most N; or None.
    reverse
        True: from the last time step to the first.

    Returns
    -------
    output, *state
        the output of each time step, laid out like `x`; and the parts of the last state: each
        sequence's state after its own last step.
    """
    steps = unstack(x) if sizes is None else split(x, list(accumulate(sizes))[:-1])
    outputs = []
    for x_t in reversed(steps) if reverse else steps:
        n, N = x_t.shape[0], state[0].shape[0]
        output, after = step(x_t, tuple(part[:n] for part in state) if n < N else state)
        outputs.append(output)
        if n < N:  # the others have ended, or (in reverse) not yet begun
            after = tuple(
                concatenate([part, old[n:]]) for part, old in zip(after, state, strict=True)
            )
        state = after
    outputs = outputs[::-1] if reverse else outputs
    return (stack(outputs) if sizes is None else concatenate(outputs), *state)


def _unrolled(
    step: Callable[..., State],
    x: Any,
    state: State,
    weights: Sequence[Any],
    sizes: Sequence[int] | None,
    reverse: bool,
) -> tuple[Any, ...]:
    """`rnn_step`, `lstm_step` or `gru_step` over a sequence, with W_ih, W_hh, b_ih and b_hh.

    If W_ih is None, `x` is W_ih x already.
    """
    W_ih, W_hh, b_ih, b_hh = weights

    def one(Wx: Any, state: State) -> tuple[Any, State]:
        state = step(Wx, state, W_hh, b_hh)
        return state[0], state

    if W_ih is not None:
        x = linear(x, W_ih, b_ih)
    elif b_ih is not None:
        x = x + b_ih
    return unrolled(one, x, state, sizes, reverse)


def unrolled_rnn(
    x: Any,
    h_0: Any,
    W_ih: Any,
    W_hh: Any,
    b_ih: Any,
    b_hh: Any,
    nonlinearity: str,
    sizes: Sequence[int] | None,
    reverse: bool,
) -> tuple[Any, ...]:
    """`rnn_step` over a sequence; the twin of `minigrad.nn.recurrent.fused.rnn`."""

    def step(Wx: Any, state: State, W_hh: Any, b_hh: Any) -> State:
        return rnn_step(Wx, state, W_hh, b_hh, ACTIVATIONS[nonlinearity])

    return _unrolled(step, x, (h_0,), (W_ih, W_hh, b_ih, b_hh), sizes, reverse)


def unrolled_lstm(
    x: Any,
    h_0: Any,
    c_0: Any,
    W_ih: Any,
    W_hh: Any,
    b_ih: Any,
    b_hh: Any,
    sizes: Sequence[int] | None,
    reverse: bool,
) -> tuple[Any, ...]:
    """`lstm_step` over a sequence; the twin of `minigrad.nn.recurrent.fused.lstm`."""
    return _unrolled(lstm_step, x, (h_0, c_0), (W_ih, W_hh, b_ih, b_hh), sizes, reverse)


def unrolled_gru(
    x: Any,
    h_0: Any,
    W_ih: Any,
    W_hh: Any,
    b_ih: Any,
    b_hh: Any,
    sizes: Sequence[int] | None,
    reverse: bool,
) -> tuple[Any, ...]:
    """`gru_step` over a sequence; the twin of `minigrad.nn.recurrent.fused.gru`."""
    return _unrolled(gru_step, x, (h_0,), (W_ih, W_hh, b_ih, b_hh), sizes, reverse)
