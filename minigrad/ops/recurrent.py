"""Recurrent networks over a whole sequence in one op, their backpropagation through time by hand.

The equations are in `minigrad.ops.recurrence`; unrolled over the tape they are the twins of the ops
here, which give the same numbers several times as fast:

- what does not depend on the recurrence is done for all time steps at once, before or after the
  loop: the derivatives of the gates, and the gradient of W_hh as one matrix product;
- all gates of a step go through one tanh, by sigmoid(x) = (1 + tanh(x / 2)) / 2;
- nothing is allocated inside the loops.

In all three, `Wx` is W_ih x + b_ih of all time steps, of shape (T, N, gates * H), T at least 1;
states have the shape (N, H), W_hh (gates * H, H) and b_hh (gates * H,), or it is None. With
`reverse` time runs from T - 1 to 0. They return the h of each time step, shape (T, N, H), and the
final state.
"""

from __future__ import annotations

from typing import Any

from minigrad.backend import Array, array_module
from minigrad.fusing import fused
from minigrad.ops.recurrence import unrolled_gru, unrolled_lstm, unrolled_rnn


def _in_order(sequence: Any, reverse: bool) -> Any:
    """`sequence` in the order in which the network reads it (None stays None)."""
    return sequence[::-1] if reverse and sequence is not None else sequence


def _states(xp: Any, T: int, start: Array) -> Array:
    """Room for a state before the first and after each of T time steps, the first filled in."""
    states = xp.empty((T + 1, *start.shape), start.dtype)
    states[0] = start
    return states


def _gradient_of(final: Any, like: Array) -> Array:
    """Where the walk back begins: a copy of a final state's gradient, or zeros for None."""
    return array_module(like).zeros_like(like) if final is None else final.copy()


def _of_weights(dz: Array, h: Array, b_hh: Any) -> list[Any]:
    """The gradients of W_hh and b_hh, from those of W_hh h + b_hh at all time steps."""
    flat = dz.reshape(-1, dz.shape[-1])
    return [flat.T @ h[:-1].reshape(-1, h.shape[-1]), None if b_hh is None else flat.sum(0)]


# --------------------------------------------------------------------------------- RNN


def _rnn_backward(
    g: list[Any], kept: Array, W_hh: Array, b_hh: Any, nonlinearity: str, reverse: bool
) -> list[Any]:
    h = kept
    xp, after = array_module(h), h[1:]
    dz = 1 - after * after if nonlinearity == "tanh" else (after > 0).astype(h.dtype)
    g_output, dh = _in_order(g[0], reverse), _gradient_of(g[1], h[0])
    for t in reversed(range(len(dz))):
        if g_output is not None:
            dh += g_output[t]
        dz[t] *= dh
        xp.dot(dz[t], W_hh, out=dh)
    return [_in_order(dz, reverse), dh, *_of_weights(dz, h, b_hh)]


@fused(twin=unrolled_rnn, backward=_rnn_backward, inputs=["Wx", "h_0", "W_hh", "b_hh"])
def rnn(Wx: Any, h_0: Any, W_hh: Any, b_hh: Any, nonlinearity: str, reverse: bool) -> Any:
    """The simple recurrent network over a sequence; `nonlinearity` is "tanh" or "relu"."""
    xp, T = array_module(Wx), len(Wx)
    z = _in_order(Wx, reverse) + (0 if b_hh is None else b_hh)
    W, h, product = xp.ascontiguousarray(W_hh.T), _states(xp, T, h_0), xp.empty_like(h_0)
    for t in range(T):
        xp.dot(h[t], W, out=product)
        z[t] += product
        if nonlinearity == "tanh":
            xp.tanh(z[t], out=h[t + 1])
        else:
            xp.maximum(z[t], 0, out=h[t + 1])
    return (_in_order(h[1:], reverse), h[T].copy()), h


# -------------------------------------------------------------------------------- LSTM


def _lstm_backward(
    g: list[Any], kept: tuple[Array, ...], W_hh: Array, b_hh: Any, reverse: bool
) -> list[Any]:
    gates, h, c, tanh_c = kept
    xp, (T, N, H) = array_module(gates), tanh_c.shape
    i, f, candidate, o = (gates[..., k * H : (k + 1) * H] for k in range(4))
    dz = gates - gates * gates  # s (1 - s), the derivative of the sigmoids
    dz[..., :H] *= candidate
    dz[..., H : 2 * H] *= c[:-1]
    dz[..., 2 * H : 3 * H] = i * (1 - candidate * candidate)
    dz[..., 3 * H :] *= tanh_c
    dc_dh = o * (1 - tanh_c * tanh_c)
    by_dc = dz.reshape(T, N, 4, H)[:, :, :3]  # of i, f and g, which are reached through c
    by_dh = dz[..., 3 * H :]
    g_output, dh = _in_order(g[0], reverse), _gradient_of(g[1], h[0])
    dc, product = _gradient_of(g[2], c[0]), xp.empty_like(h[0])
    for t in reversed(range(T)):
        if g_output is not None:
            dh += g_output[t]
        by_dh[t] *= dh
        xp.multiply(dh, dc_dh[t], out=product)
        dc += product
        by_dc[t] *= dc[:, None]
        dc *= f[t]
        xp.dot(dz[t], W_hh, out=dh)
    return [_in_order(dz, reverse), dh, dc, *_of_weights(dz, h, b_hh)]


@fused(twin=unrolled_lstm, backward=_lstm_backward, inputs=["Wx", "h_0", "c_0", "W_hh", "b_hh"])
def lstm(Wx: Any, h_0: Any, c_0: Any, W_hh: Any, b_hh: Any, reverse: bool) -> Any:
    """The LSTM over a sequence."""
    xp, T, H = array_module(Wx), len(Wx), h_0.shape[1]
    scale = xp.full(4 * H, 0.5, Wx.dtype)  # of what goes into the tanh, and of what comes out
    scale[2 * H : 3 * H] = 1
    shift = 1 - scale
    gates = _in_order(Wx, reverse) * scale
    if b_hh is not None:
        gates += b_hh * scale
    W = xp.ascontiguousarray((W_hh * scale[:, None]).T)
    h, c = _states(xp, T, h_0), _states(xp, T, c_0)
    i, f, candidate, o = (gates[..., k * H : (k + 1) * H] for k in range(4))
    tanh_c, product = xp.empty_like(h[1:]), xp.empty_like(gates[0])
    ig = xp.empty_like(h_0)
    for t in range(T):
        gate = gates[t]
        xp.dot(h[t], W, out=product)
        gate += product
        xp.tanh(gate, out=gate)
        gate *= scale
        gate += shift
        xp.multiply(f[t], c[t], out=c[t + 1])
        xp.multiply(i[t], candidate[t], out=ig)
        c[t + 1] += ig
        xp.tanh(c[t + 1], out=tanh_c[t])
        xp.multiply(o[t], tanh_c[t], out=h[t + 1])
    return (_in_order(h[1:], reverse), h[T].copy(), c[T].copy()), (gates, h, c, tanh_c)


# --------------------------------------------------------------------------------- GRU


def _gru_backward(
    g: list[Any], kept: tuple[Array, ...], W_hh: Array, b_hh: Any, reverse: bool
) -> list[Any]:
    Wh_n, rz, n, h = kept
    xp, (T, N, H) = array_module(n), n.shape
    r, z = rz[..., :H], rz[..., H:]
    dx = xp.empty((T, N, 3 * H), n.dtype)  # of W_ih x + b_ih
    dx[..., : 2 * H] = rz - rz * rz
    dx[..., :H] *= Wh_n
    dx[..., H : 2 * H] *= h[:-1] - n
    dx[..., 2 * H :] = (1 - z) * (1 - n * n)
    dx_r, dx_z, dx_n = (dx[..., k * H : (k + 1) * H] for k in range(3))
    dz = xp.empty_like(dx)  # of W_hh h + b_hh: the same, but that n is reached through r
    g_output, dh = _in_order(g[0], reverse), _gradient_of(g[1], h[0])
    product = xp.empty_like(dh)
    for t in reversed(range(T)):
        if g_output is not None:
            dh += g_output[t]
        dx_n[t] *= dh
        dx_z[t] *= dh
        dx_r[t] *= dx_n[t]
        dz[t, :, : 2 * H] = dx[t, :, : 2 * H]
        xp.multiply(dx_n[t], r[t], out=dz[t, :, 2 * H :])
        dh *= z[t]
        xp.dot(dz[t], W_hh, out=product)
        dh += product
    return [_in_order(dx, reverse), dh, *_of_weights(dz, h, b_hh)]


@fused(twin=unrolled_gru, backward=_gru_backward, inputs=["Wx", "h_0", "W_hh", "b_hh"])
def gru(Wx: Any, h_0: Any, W_hh: Any, b_hh: Any, reverse: bool) -> Any:
    """The GRU over a sequence."""
    xp, T, (N, H) = array_module(Wx), len(Wx), h_0.shape
    x, W, h = _in_order(Wx, reverse), xp.ascontiguousarray(W_hh.T), _states(xp, T, h_0)
    rz, n = xp.empty((T, N, 2 * H), Wx.dtype), xp.empty((T, N, H), Wx.dtype)
    Wh_n, Wh = xp.empty_like(n), xp.empty((N, 3 * H), Wx.dtype)
    r, z = rz[..., :H], rz[..., H:]
    for t in range(T):
        xp.dot(h[t], W, out=Wh)
        if b_hh is not None:
            Wh += b_hh
        Wh_n[t] = Wh[:, 2 * H :]
        xp.add(x[t, :, : 2 * H], Wh[:, : 2 * H], out=rz[t])
        rz[t] *= 0.5
        xp.tanh(rz[t], out=rz[t])
        rz[t] *= 0.5
        rz[t] += 0.5
        xp.multiply(r[t], Wh_n[t], out=n[t])
        n[t] += x[t, :, 2 * H :]
        xp.tanh(n[t], out=n[t])
        xp.subtract(h[t], n[t], out=h[t + 1])  # (1 - z) n + z h = n + z (h - n)
        h[t + 1] *= z[t]
        h[t + 1] += n[t]
    return (_in_order(h[1:], reverse), h[T].copy()), (Wh_n, rz, n, h)
