"""Recurrent networks over a whole sequence in one op, with backpropagation through time by hand.

The equations are in `equations.py`. Unrolled on the tape they are the twins of the ops here, which
give the same numbers several times as fast:

- What does not depend on the recurrence is done for all time steps at once, before or after the
  loop: the products with the input, the derivatives of the gates, and the gradients of the
  weights, each of which is one matrix product.
- All gates of a step go through one tanh, since sigmoid(a) = (1 + tanh(a / 2)) / 2. The halves are
  in copies of the weights that are made once. (For a few tokens, as when text is generated, the
  copies would take longer than the halves.)
- Nothing is allocated inside the loops.

Next: `fused_gpu.py`. On a GPU what a step does after its matrix product is one kernel there. For
dtypes in which kernels do not run, the ops here run on CuPy's functions.

Letters
-------
At a step, x is the input, h (and c) the state before it, h' (and c') the state after it, and a what
goes into the gates: a = W_ih x + b_ih + W_hh h + b_hh. (Lecture notes write W_xh for W_ih.) dh is
the gradient of the loss with respect to h, and delta that with respect to a.

Each line of a loop carries its equation. The docstring of each backward derives these equations:
there, a line follows from the equation on its right. Rows are sequences, so W h is h times W^T, and
W^T delta is delta times W. ``all_h`` is an array of all steps, and ``h[t]`` its part at step t;
`Steps` makes the one from the other.

Shapes
------
In all three ops x has the shape (T, N, input), T at least 1, or packed by `sizes` (total, input);
states have the shape (N, H), W_ih (gates * H, input), W_hh (gates * H, H), and b_ih and b_hh
(gates * H,), or they are None. Without a W_ih, x is W_ih x already, of shape (..., gates * H). With
`reverse` time runs from T - 1 to 0. The ops return the h of each time step, laid out like x, and
the final state.
"""

from __future__ import annotations

from typing import Any

from minigrad.arrays.blocks import in_blocks
from minigrad.arrays.kernel import usable
from minigrad.arrays.library import Array
from minigrad.autograd.fused import fused
from minigrad.nn.recurrent import fused_gpu
from minigrad.nn.recurrent.equations import unrolled_gru, unrolled_lstm, unrolled_rnn
from minigrad.nn.recurrent.steps import (
    Sizes,
    Steps,
    by_gate,
    common_dtype,
    empty_like,
    input_products,
    parameter_gradients,
    sum_of_biases,
)

# --------------------------------------------------------------------------------- RNN


def _rnn_backward(
    g: list[Any],
    kept: tuple[Any, ...],
    needs: list[bool],
    x: Array,
    W_ih: Any,
    W_hh: Array,
    nonlinearity: str,
) -> list[Any]:
    """From the last step to the first, by the chain rule.

    A step is h' = tanh(a). Its h' goes into the output, whose gradient dy comes from the layers
    above, and into the next step, whose dh is known by then::

        dh'   = dh of the next step + dy
        delta = dh' (1 - h'^2)          h' = tanh(a), tanh' = 1 - tanh^2
        dh    = W_hh^T delta            a = W_hh h + ...

    With relu, delta is dh' where h' > 0, and 0 elsewhere.
    """
    if kept[0].by_kernels:
        return fused_gpu.rnn_backward(g, kept, needs, x, W_ih, W_hh, nonlinearity)
    steps, all_h, all_h_next = kept
    xp, relu = steps.xp, nonlinearity == "relu"
    all_delta, dh_0 = empty_like(all_h_next), steps.last_gradient(g[1])
    if relu:
        stopped = steps.each(all_h_next <= 0)
    else:  # 1 - h'^2
        xp.multiply(all_h_next, all_h_next, out=all_delta)
        xp.subtract(1, all_delta, out=all_delta)
    dy = None if g[0] is None else steps.each(g[0])
    delta = steps.each(all_delta)
    dh = steps.running(dh_0)  # dh[t]: first dh of the next step, then dh', in the end dh
    dot, W = in_blocks(W_hh, steps.N)
    # fmt: off
    for t in reversed(range(steps.count)):
        if dy is not None:
            dh[t] += dy[t]              # dh'   = dh + dy
        if relu:
            delta[t][...] = xp.where(stopped[t], 0, dh[t])  # delta = dh' where h' > 0
        else:
            delta[t] *= dh[t]           # delta = dh' (1 - h'^2)
        dot(delta[t], W, dh[t])         # dh    = W_hh^T delta
    # fmt: on
    dx, *weights = parameter_gradients(needs, x, all_h, W_ih, all_delta, all_delta)
    return [dx, dh_0, *weights]


@fused(
    twin=unrolled_rnn,
    backward=_rnn_backward,
    kept_outputs=(0,),
    several=True,
    inputs=["x", "h_0", "W_ih", "W_hh", "b_ih", "b_hh"],
)
def rnn(
    x: Any,
    h_0: Any,
    W_ih: Any,
    W_hh: Any,
    b_ih: Any,
    b_hh: Any,
    nonlinearity: str,
    sizes: Sizes,
    reverse: bool,
) -> tuple[tuple[Array, ...], Any]:
    """The simple recurrent network over a sequence; `nonlinearity` is "tanh" or "relu"."""
    if usable(x, h_0, W_ih, W_hh, b_ih, b_hh):
        return fused_gpu.rnn_forward(x, h_0, W_ih, W_hh, b_ih, b_hh, nonlinearity, sizes, reverse)
    dtype = common_dtype(x, h_0, W_ih, W_hh, b_ih, b_hh)
    steps = Steps(x, h_0, dtype, sizes, reverse)
    xp, tanh, relu = steps.xp, steps.xp.tanh, nonlinearity == "relu"
    W = W_hh.T if steps.few else xp.ascontiguousarray(W_hh.T)
    Wx = steps.each(input_products(x, W_ih, sum_of_biases(b_ih, b_hh), dtype))
    all_h, all_h_next = steps.states(h_0)
    h, h_next = steps.each(all_h), steps.each(all_h_next)
    dot, W = in_blocks(W, steps.N)
    # fmt: off
    for t in range(steps.count):
        if sizes is not None:
            steps.carry(t, h, h_next, h_0)
        a = h_next[t]
        dot(h[t], W, a)                 #      W_hh h, in the place of h'
        a += Wx[t]                      # a  = W_ih x + b_ih + W_hh h + b_hh
        if relu:
            xp.maximum(a, 0, out=a)     # h' = max(a, 0)
        else:
            tanh(a, a)                  # h' = tanh(a)
    # fmt: on
    return (all_h_next, steps.last(h_next, h_0)), (steps, all_h, all_h_next)


# -------------------------------------------------------------------------------- LSTM


def _lstm_backward(
    g: list[Any],
    kept: tuple[Any, ...],
    needs: list[bool],
    x: Array,
    W_ih: Any,
    W_hh: Array,
) -> list[Any]:
    """From the last step to the first, by the chain rule.

    A step is c' = f c + i g and h' = o tanh(c'), where i, f and o are sigmoids and g is a tanh of
    their parts of a. Its h' goes into the output, whose gradient dy comes from the layers above,
    and both h' and c' go into the next step, whose dh and dc are known by then::

        dh'     = dh of the next step + dy
        dc'     = dc of the next step + dh' o (1 - tanh(c')^2)      h' = o tanh(c')

        delta_i = dc' g i (1 - i)               c' = f c + i g, sigmoid' = sigmoid (1 - sigmoid)
        delta_f = dc' c f (1 - f)
        delta_g = dc' i (1 - g^2)               tanh' = 1 - tanh^2
        delta_o = dh' tanh(c') o (1 - o)        h' = o tanh(c')

        dc      = dc' f                         c' = f c + i g
        dh      = W_hh^T delta                  a = W_hh h + ...

    What stands beside dh' and dc' is known before the loop, and is computed for all steps at once.
    """
    if kept[0].by_kernels:
        return fused_gpu.lstm_backward(g, kept, needs, x, W_ih, W_hh)
    steps, all_gates, all_h, all_c, all_tanh_c = kept
    xp, H, multiply = steps.xp, steps.H, steps.xp.multiply
    dy = None if g[0] is None else steps.each(g[0])
    dh_0, dc_0 = steps.last_gradient(g[1]), steps.last_gradient(g[2])
    # of all steps at once: what stands beside dh' and dc'
    i, f, g, o = by_gate(all_gates, 4)  # from here on g is the gate
    all_delta, dc_dh = empty_like(all_gates), empty_like(all_tanh_c)
    delta_i, delta_f, delta_g, delta_o = by_gate(all_delta, 4)
    # fmt: off
    multiply(all_gates, all_gates, out=all_delta)
    xp.subtract(all_gates, all_delta, out=all_delta)    # sigmoid (1 - sigmoid), for i, f and o
    delta_i *= g                                        # g i (1 - i)
    delta_f *= all_c                                    # c f (1 - f)
    multiply(g, g, out=delta_g)
    xp.subtract(1, delta_g, out=delta_g)
    delta_g *= i                                        # i (1 - g^2)
    delta_o *= all_tanh_c                               # tanh(c') o (1 - o)
    multiply(all_tanh_c, all_tanh_c, out=dc_dh)
    xp.subtract(1, dc_dh, out=dc_dh)
    dc_dh *= o                                          # o (1 - tanh(c')^2)
    # fmt: on
    by_dc = all_delta[..., : 3 * H].reshape(*steps.lead, 3, H)
    delta, delta_ifg, delta_o, dc_dh, f = map(steps.each, (all_delta, by_dc, delta_o, dc_dh, f))
    # dh[t] and dc[t]: first dh and dc of the next step, then dh' and dc', in the end dh and dc;
    # dc_ifg[t] is dc[t] itself, seen so that it stands beside three gates
    dh, dc, dc_ifg = map(steps.running, (dh_0, dc_0, dc_0[:, None]))
    change = steps.running(steps.scratch(H))
    dot, W = in_blocks(W_hh, steps.N)
    # fmt: off
    for t in reversed(range(steps.count)):
        if dy is not None:
            dh[t] += dy[t]                      # dh'     = dh + dy
        multiply(dh[t], dc_dh[t], change[t])    #           dh' o (1 - tanh(c')^2)
        dc[t] += change[t]                      # dc'     = dc + dh' o (1 - tanh(c')^2)
        delta_ifg[t] *= dc_ifg[t]               # delta_i = dc' g i (1 - i)
                                                # delta_f = dc' c f (1 - f)
                                                # delta_g = dc' i (1 - g^2)
        delta_o[t] *= dh[t]                     # delta_o = dh' tanh(c') o (1 - o)
        dc[t] *= f[t]                           # dc      = dc' f
        dot(delta[t], W, dh[t])                 # dh      = W_hh^T delta
    # fmt: on
    dx, *weights = parameter_gradients(needs, x, all_h, W_ih, all_delta, all_delta)
    return [dx, dh_0, dc_0, *weights]


@fused(
    twin=unrolled_lstm,
    backward=_lstm_backward,
    kept_outputs=(0,),
    several=True,
    inputs=["x", "h_0", "c_0", "W_ih", "W_hh", "b_ih", "b_hh"],
)
def lstm(
    x: Any,
    h_0: Any,
    c_0: Any,
    W_ih: Any,
    W_hh: Any,
    b_ih: Any,
    b_hh: Any,
    sizes: Sizes,
    reverse: bool,
) -> tuple[tuple[Array, ...], Any]:
    """The LSTM over a sequence."""
    if usable(x, h_0, c_0, W_ih, W_hh, b_ih, b_hh):
        return fused_gpu.lstm_forward(x, h_0, c_0, W_ih, W_hh, b_ih, b_hh, sizes, reverse)
    dtype = common_dtype(x, h_0, c_0, W_ih, W_hh, b_ih, b_hh)
    steps = Steps(x, h_0, dtype, sizes, reverse)
    xp, H, multiply, tanh = steps.xp, steps.H, steps.xp.multiply, steps.xp.tanh
    half = xp.full(4 * H, 0.5, dtype)  # for i, f and o; 1 for g
    half[2 * H : 3 * H] = 1
    rest = 1 - half
    W = W_hh.T if steps.few else multiply(W_hh.T, half, out=xp.empty(W_hh.T.shape, dtype))
    b, scale = sum_of_biases(b_ih, b_hh), None if steps.few else half
    all_gates, all_tanh_c = input_products(x, W_ih, b, dtype, scale), steps.empty(H)
    (all_c, all_c_next), (all_h, all_h_next) = steps.states(c_0), steps.states(h_0)
    gates, i, f, g, o = map(steps.each, (all_gates, *by_gate(all_gates, 4)))
    h, h_next, c, c_next = map(steps.each, (all_h, all_h_next, all_c, all_c_next))
    tanh_c = steps.each(all_tanh_c)
    Wh, ig = steps.running(steps.scratch(4 * H)), steps.running(steps.scratch(H))
    dot, W = in_blocks(W, steps.N)
    # fmt: off
    for t in range(steps.count):
        if sizes is not None:
            steps.carry(t, h, h_next, h_0)
            steps.carry(t, c, c_next, c_0)
        dot(h[t], W, Wh[t])                     #         W_hh h
        gates[t] += Wh[t]                       # a     = W_ih x + b_ih + W_hh h + b_hh
        if steps.few:
            gates[t] *= half                    #         a / 2 of i, f and o
        tanh(gates[t], gates[t])                # g     = tanh(a)
        gates[t] *= half
        gates[t] += rest                        # i f o = (1 + tanh(a / 2)) / 2 = sigmoid(a)
        multiply(f[t], c[t], c_next[t])         #         f c
        multiply(i[t], g[t], ig[t])             #         i g
        c_next[t] += ig[t]                      # c'    = f c + i g
        tanh(c_next[t], tanh_c[t])              #         tanh(c')
        multiply(o[t], tanh_c[t], h_next[t])    # h'    = o tanh(c')
    # fmt: on
    outputs = all_h_next, steps.last(h_next, h_0), steps.last(c_next, c_0)
    return outputs, (steps, all_gates, all_h, all_c, all_tanh_c)


# --------------------------------------------------------------------------------- GRU


def _gru_backward(
    g: list[Any],
    kept: tuple[Any, ...],
    needs: list[bool],
    x: Array,
    W_ih: Any,
    W_hh: Array,
) -> list[Any]:
    """From the last step to the first, by the chain rule.

    A step is h' = (1 - z) n + z h, where r and z are the sigmoids of a_r and a_z,
    n = tanh(a_n + r s), a_n = W_in x + b_in, and s = W_hn h + b_hn. Its h' goes into the output,
    whose gradient dy comes from the layers above, and into the next step, whose dh is known by
    then::

        dh'     = dh of the next step + dy

        delta_n = dh' (1 - z) (1 - n^2)         h' = (1 - z) n + z h, tanh' = 1 - tanh^2
        delta_z = dh' (h - n) z (1 - z)         sigmoid' = sigmoid (1 - sigmoid)
        delta_r = delta_n s r (1 - r)           n = tanh(a_n + r s)
        ds      = delta_n r

        dh      = dh' z + W_hh^T (delta_r, delta_z, ds)      h is in h', a_r, a_z and s

    So the gradient of W_ih x + b_ih is (delta_r, delta_z, delta_n), and that of W_hh h + b_hh is
    (delta_r, delta_z, ds).
    """
    if kept[0].by_kernels:
        return fused_gpu.gru_backward(g, kept, needs, x, W_ih, W_hh)
    steps, all_gates, all_s, all_h = kept
    xp, H, multiply = steps.xp, steps.H, steps.xp.multiply
    dy = None if g[0] is None else steps.each(g[0])
    dh_0 = steps.last_gradient(g[1])
    # of all steps at once: what stands beside dh' and delta_n
    r, z, n = by_gate(all_gates, 3)
    all_delta, all_delta_n = empty_like(all_gates), empty_like(all_s)
    delta_r, delta_z, ds = by_gate(all_delta, 3)
    # fmt: off
    multiply(all_gates, all_gates, out=all_delta)
    xp.subtract(all_gates, all_delta, out=all_delta)    # sigmoid (1 - sigmoid), for r and z
    delta_r *= all_s                                    # s r (1 - r)
    xp.subtract(all_h, n, out=all_delta_n)
    delta_z *= all_delta_n                              # (h - n) z (1 - z)
    multiply(n, n, out=all_delta_n)
    xp.subtract(1, all_delta_n, out=all_delta_n)
    multiply(z, all_delta_n, out=ds)
    all_delta_n -= ds                                   # (1 - z) (1 - n^2)
    # fmt: on
    delta, delta_r, delta_z, ds = map(steps.each, (all_delta, delta_r, delta_z, ds))
    delta_n, r, z = map(steps.each, (all_delta_n, r, z))
    dh = steps.running(dh_0)  # dh[t]: first dh of the next step, then dh', in the end dh
    Wdelta = steps.running(steps.scratch(H))
    dot, W = in_blocks(W_hh, steps.N)
    # fmt: off
    for t in reversed(range(steps.count)):
        if dy is not None:
            dh[t] += dy[t]                      # dh'     = dh + dy
        delta_n[t] *= dh[t]                     # delta_n = dh' (1 - z) (1 - n^2)
        delta_z[t] *= dh[t]                     # delta_z = dh' (h - n) z (1 - z)
        delta_r[t] *= delta_n[t]                # delta_r = delta_n s r (1 - r)
        multiply(delta_n[t], r[t], ds[t])       # ds      = delta_n r
        dh[t] *= z[t]                           #           dh' z
        dot(delta[t], W, Wdelta[t])             #           W_hh^T (delta_r, delta_z, ds)
        dh[t] += Wdelta[t]                      # dh      = dh' z + W_hh^T (delta_r, delta_z, ds)
    # fmt: on
    delta_x = empty_like(all_gates)
    delta_x[..., : 2 * H], delta_x[..., 2 * H :] = all_delta[..., : 2 * H], all_delta_n
    dx, *weights = parameter_gradients(needs, x, all_h, W_ih, delta_x, all_delta)
    return [dx, dh_0, *weights]


@fused(
    twin=unrolled_gru,
    backward=_gru_backward,
    kept_outputs=(0,),
    several=True,
    inputs=["x", "h_0", "W_ih", "W_hh", "b_ih", "b_hh"],
)
def gru(
    x: Any, h_0: Any, W_ih: Any, W_hh: Any, b_ih: Any, b_hh: Any, sizes: Sizes, reverse: bool
) -> tuple[tuple[Array, ...], Any]:
    """The GRU over a sequence."""
    if usable(x, h_0, W_ih, W_hh, b_ih, b_hh):
        return fused_gpu.gru_forward(x, h_0, W_ih, W_hh, b_ih, b_hh, sizes, reverse)
    dtype = common_dtype(x, h_0, W_ih, W_hh, b_ih, b_hh)
    steps = Steps(x, h_0, dtype, sizes, reverse)
    xp, H, multiply, tanh = steps.xp, steps.H, steps.xp.multiply, steps.xp.tanh
    add, subtract = xp.add, xp.subtract
    half = xp.full(3 * H, 0.5, dtype)  # for r and z; 1 for n
    half[2 * H :] = 1
    W = W_hh.T if steps.few else multiply(W_hh.T, half, out=xp.empty(W_hh.T.shape, dtype))
    all_gates = input_products(x, W_ih, b_ih, dtype, None if steps.few else half)
    all_rz, b_hn = all_gates[..., : 2 * H], 0
    if b_hh is not None:
        all_rz += b_hh[: 2 * H] if steps.few else b_hh[: 2 * H] / 2
        b_hn = b_hh[2 * H :]
    (all_h, all_h_next), all_s = steps.states(h_0), steps.empty(H)
    rz, r, z, n = map(steps.each, (all_rz, *by_gate(all_gates, 3)))
    h, h_next, s = map(steps.each, (all_h, all_h_next, all_s))
    all_Wh = steps.scratch(3 * H)
    Wh, Wh_rz, Wh_n = map(steps.running, (all_Wh, all_Wh[:, : 2 * H], all_Wh[:, 2 * H :]))
    change = steps.running(steps.scratch(H))
    dot, W = in_blocks(W, steps.N)
    # fmt: off
    for t in range(steps.count):
        if sizes is not None:
            steps.carry(t, h, h_next, h_0)
        dot(h[t], W, Wh[t])                     #        W_hh h
        rz[t] += Wh_rz[t]                       # a    = W_ih x + b_ih + W_hh h + b_hh, of r and z
        if steps.few:
            rz[t] *= 0.5                        #        a / 2
        tanh(rz[t], rz[t])
        rz[t] *= 0.5
        rz[t] += 0.5                            # r, z = (1 + tanh(a / 2)) / 2 = sigmoid(a)
        add(Wh_n[t], b_hn, s[t])                # s    = W_hn h + b_hn
        multiply(r[t], s[t], change[t])         #        r s
        n[t] += change[t]                       #        a_n + r s, where a_n = W_in x + b_in
        tanh(n[t], n[t])                        # n    = tanh(a_n + r s)
        subtract(h[t], n[t], change[t])         #        h - n
        change[t] *= z[t]                       #        z (h - n)
        add(n[t], change[t], h_next[t])         # h'   = n + z (h - n) = (1 - z) n + z h
    # fmt: on
    return (all_h_next, steps.last(h_next, h_0)), (steps, all_gates, all_s, all_h)
