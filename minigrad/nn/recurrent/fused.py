"""Recurrent networks over a whole sequence in one op, their backpropagation through time by hand.

The equations, and the two layouts of sequences, are in `minigrad.nn.recurrent.equations`; unrolled
over the tape the equations are the twins of the ops here, which give the same numbers several times
as fast:

- what does not depend on the recurrence is done for all time steps at once, before or after the
  loop: the products with the input, the derivatives of the gates, and the gradients of the
  weights, each of which is one matrix product;
- all gates of a step go through one tanh, by sigmoid(x) = (1 + tanh(x / 2)) / 2: the halves are in
  copies of the weights that are made once (not for a few tokens, as when text is generated, since
  copying would take far longer than they do);
- nothing is allocated inside the loops.

On a GPU what goes on between the matrix products of a step is one kernel instead, in
`minigrad.nn.recurrent.fused_gpu`; here the same is composed of CuPy's functions for dtypes that the
kernels do not run in.

In all three, x has the shape (T, N, input), T at least 1, or packed by `sizes` (total, input);
states have the shape (N, H), W_ih (gates * H, input), W_hh (gates * H, H), and b_ih and b_hh
(gates * H,), or they are None. Without a W_ih, x is the product with it already, of shape (...,
gates * H). With `reverse` time runs from T - 1 to 0. They return the h of each time step, laid out
like x, and the final state.
"""

from __future__ import annotations

from typing import Any

from minigrad.arrays.buffers import empty
from minigrad.arrays.kernel import usable
from minigrad.arrays.library import Array, array_module
from minigrad.autograd.fused import fused
from minigrad.nn.recurrent import fused_gpu
from minigrad.nn.recurrent.equations import unrolled_gru, unrolled_lstm, unrolled_rnn
from minigrad.nn.recurrent.steps import (
    Sizes,
    States,
    Steps,
    both,
    common_dtype,
    final_gradient,
    of_parameters,
    products,
    room_for,
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
    if kept[0].by_kernels:
        return fused_gpu.rnn_backward(g, kept, needs, x, W_ih, W_hh, nonlinearity)
    steps, h = kept
    xp, after = array_module(x), h.all_after
    dz = xp.multiply(after, after, out=room_for(after))
    xp.subtract(1, dz, out=dz)
    off = after <= 0 if nonlinearity == "relu" else None  # where nothing is let through
    dh = final_gradient(g[1], h)
    parts = [steps.gradients(g[0]), steps.of(dz)[::-1], steps.gradients(off)]
    for g_t, dz_t, off_t, dh_t in zip(*parts, steps.rows(dh)[::-1], strict=True):
        if g_t is not None:
            dh_t += g_t
        if off_t is None:
            dz_t *= dh_t
        else:
            dz_t[...] = xp.where(off_t, 0, dh_t)
        dz_t.dot(W_hh, dh_t)
    dx, *weights = of_parameters(needs, x, h.all_before, W_ih, dz, dz)
    return [dx, dh, *weights]


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
    xp, steps = array_module(x), Steps(x, sizes, reverse)
    dtype = common_dtype(x, h_0, W_ih, W_hh, b_ih, b_hh)
    z = products(x, W_ih, both(b_ih, b_hh), dtype)
    h, W = States(steps, h_0, dtype), W_hh.T if steps.few else xp.ascontiguousarray(W_hh.T)
    tanh, relu = xp.tanh, nonlinearity == "relu"
    for z_t, before, after, move in zip(steps.of(z), h.before(), h.after(), h.moves(), strict=True):
        if move is not None:
            xp.copyto(*move)
        before.dot(W, after)
        after += z_t
        if relu:
            xp.maximum(after, 0, out=after)
        else:
            tanh(after, after)
    return (h.all_after, h.last()), (steps, h)


# -------------------------------------------------------------------------------- LSTM


def _lstm_backward(
    g: list[Any],
    kept: tuple[Any, ...],
    needs: list[bool],
    x: Array,
    W_ih: Any,
    W_hh: Array,
) -> list[Any]:
    if kept[0].by_kernels:
        return fused_gpu.lstm_backward(g, kept, needs, x, W_ih, W_hh)
    steps, gates, h, c, tanh_c = kept
    xp, H = array_module(x), tanh_c.shape[-1]
    i, f, candidate, o = (gates[..., k * H : (k + 1) * H] for k in range(4))
    dz = xp.multiply(gates, gates, out=room_for(gates))
    xp.subtract(gates, dz, out=dz)  # s (1 - s), the derivative of the sigmoids
    d_i, d_f, d_candidate, d_o = (dz[..., k * H : (k + 1) * H] for k in range(4))
    d_i *= candidate
    d_f *= c.all_before
    xp.multiply(candidate, candidate, out=d_candidate)
    xp.subtract(1, d_candidate, out=d_candidate)
    d_candidate *= i
    d_o *= tanh_c
    dc_dh = xp.multiply(tanh_c, tanh_c, out=room_for(tanh_c))
    xp.subtract(1, dc_dh, out=dc_dh)
    dc_dh *= o
    by_c = dz[..., : 3 * H].reshape(*steps.lead, 3, H)  # of i, f and g, which are reached through c
    dh, dc = final_gradient(g[1], h), final_gradient(g[2], c)
    parts = [steps.of(a)[::-1] for a in (dz, d_o, by_c, dc_dh, f)]
    rows = [steps.rows(a)[::-1] for a in (dh, dc, dc[:, None], xp.empty_like(dh))]
    multiply = xp.multiply
    for g_t, dz_t, d_o_t, by_c_t, dc_dh_t, f_t, dh_t, dc_t, dc_each, product in zip(
        steps.gradients(g[0]), *parts, *rows, strict=True
    ):
        if g_t is not None:
            dh_t += g_t
        d_o_t *= dh_t
        multiply(dh_t, dc_dh_t, product)
        dc_t += product
        by_c_t *= dc_each
        dc_t *= f_t
        dz_t.dot(W_hh, dh_t)
    dx, *weights = of_parameters(needs, x, h.all_before, W_ih, dz, dz)
    return [dx, dh, dc, *weights]


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
    xp, H, steps = array_module(x), h_0.shape[1], Steps(x, sizes, reverse)
    dtype = common_dtype(x, h_0, c_0, W_ih, W_hh, b_ih, b_hh)
    scale = xp.full(4 * H, 0.5, dtype)  # of what goes into the tanh, and of what comes out
    scale[2 * H : 3 * H] = 1
    shift = 1 - scale
    gates = products(x, W_ih, both(b_ih, b_hh), dtype, None if steps.few else scale)
    W = W_hh.T if steps.few else xp.multiply(W_hh.T, scale, out=xp.empty(W_hh.T.shape, dtype))
    h, c = (States(steps, start, dtype) for start in (h_0, c_0))
    tanh_c = empty(xp, (*steps.lead, H), dtype)
    i, f, candidate, o = (steps.of(gates[..., k * H : (k + 1) * H]) for k in range(4))
    product, ig = (xp.empty((len(h_0), n), dtype) for n in (4 * H, H))
    multiply, tanh = xp.multiply, xp.tanh
    for gates_t, product_t, i_t, f_t, candidate_t, o_t, ig_t, tanh_c_t, *states in zip(
        steps.of(gates), steps.rows(product), i, f, candidate, o, steps.rows(ig), steps.of(tanh_c),
        h.before(), h.after(), h.moves(), c.before(), c.after(), c.moves(), strict=True,
    ):  # fmt: skip
        before, after, move, c_before, c_after, c_move = states
        if move is not None:
            xp.copyto(*move)
            xp.copyto(*c_move)
        before.dot(W, product_t)
        gates_t += product_t
        if steps.few:
            gates_t *= scale
        tanh(gates_t, gates_t)
        gates_t *= scale
        gates_t += shift
        multiply(f_t, c_before, c_after)
        multiply(i_t, candidate_t, ig_t)
        c_after += ig_t
        tanh(c_after, tanh_c_t)
        multiply(o_t, tanh_c_t, after)
    return (h.all_after, h.last(), c.last()), (steps, gates, h, c, tanh_c)


# --------------------------------------------------------------------------------- GRU


def _gru_backward(
    g: list[Any],
    kept: tuple[Any, ...],
    needs: list[bool],
    x: Array,
    W_ih: Any,
    W_hh: Array,
) -> list[Any]:
    if kept[0].by_kernels:
        return fused_gpu.gru_backward(g, kept, needs, x, W_ih, W_hh)
    steps, gates, Wh_n, h = kept
    xp, H = array_module(x), Wh_n.shape[-1]
    r, z, n = (gates[..., k * H : (k + 1) * H] for k in range(3))
    dz = xp.multiply(gates, gates, out=room_for(gates))
    xp.subtract(gates, dz, out=dz)
    d_r, d_z, d_Wh_n = (dz[..., k * H : (k + 1) * H] for k in range(3))
    d_r *= Wh_n
    d_n = xp.subtract(h.all_before, n, out=room_for(Wh_n))
    d_z *= d_n
    xp.multiply(n, n, out=d_n)
    xp.subtract(1, d_n, out=d_n)
    d_n -= xp.multiply(z, d_n, out=d_Wh_n)  # (1 - z) (1 - n^2)
    dh = final_gradient(g[1], h)
    parts = [steps.of(a)[::-1] for a in (dz, d_r, d_z, d_Wh_n, d_n, r, z)]
    rows = [steps.rows(a)[::-1] for a in (dh, xp.empty_like(dh))]
    multiply = xp.multiply
    for g_t, dz_t, d_r_t, d_z_t, d_Wh_n_t, d_n_t, r_t, z_t, dh_t, product in zip(
        steps.gradients(g[0]), *parts, *rows, strict=True
    ):
        if g_t is not None:
            dh_t += g_t
        d_n_t *= dh_t
        d_z_t *= dh_t
        d_r_t *= d_n_t
        multiply(d_n_t, r_t, d_Wh_n_t)
        dh_t *= z_t
        dz_t.dot(W_hh, product)
        dh_t += product
    dx = room_for(dz)  # of W_ih x + b_ih: as of W_hh h + b_hh, but for n, which is reached past r
    dx[..., : 2 * H], dx[..., 2 * H :] = dz[..., : 2 * H], d_n
    of_x, *weights = of_parameters(needs, x, h.all_before, W_ih, dx, dz)
    return [of_x, dh, *weights]


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
    xp, H, steps = array_module(x), h_0.shape[1], Steps(x, sizes, reverse)
    dtype = common_dtype(x, h_0, W_ih, W_hh, b_ih, b_hh)
    scale = xp.full(3 * H, 0.5, dtype)
    scale[2 * H :] = 1
    gates = products(x, W_ih, b_ih, dtype, None if steps.few else scale)
    W = W_hh.T if steps.few else xp.multiply(W_hh.T, scale, out=xp.empty(W_hh.T.shape, dtype))
    h, Wh_n = States(steps, h_0, dtype), empty(xp, (*steps.lead, H), dtype)
    product, change = (xp.empty((len(h_0), k), dtype) for k in (3 * H, H))
    rz, r, z, n = gates[..., : 2 * H], *(gates[..., k * H : (k + 1) * H] for k in range(3))
    b_n = 0
    if b_hh is not None:
        rz += b_hh[: 2 * H] if steps.few else b_hh[: 2 * H] / 2
        b_n = b_hh[2 * H :]
    rows = [steps.rows(a) for a in (product[:, : 2 * H], product[:, 2 * H :], change)]
    add, multiply, tanh = xp.add, xp.multiply, xp.tanh
    for product_t, Wh_rz, Wh, change_t, rz_t, r_t, z_t, n_t, Wh_n_t, before, after, move in zip(
        steps.rows(product), *rows, *(steps.of(a) for a in (rz, r, z, n, Wh_n)),
        h.before(), h.after(), h.moves(), strict=True,
    ):  # fmt: skip
        if move is not None:
            xp.copyto(*move)
        before.dot(W, product_t)
        rz_t += Wh_rz
        if steps.few:
            rz_t *= 0.5
        tanh(rz_t, rz_t)
        rz_t *= 0.5
        rz_t += 0.5
        add(Wh, b_n, Wh_n_t)
        multiply(r_t, Wh_n_t, change_t)
        n_t += change_t
        tanh(n_t, n_t)
        xp.subtract(before, n_t, change_t)  # (1 - z) n + z h = n + z (h - n)
        change_t *= z_t
        add(n_t, change_t, after)
    return (h.all_after, h.last()), (steps, gates, Wh_n, h)
