"""Recurrent networks over a whole sequence in one op, their backpropagation through time by hand.

The equations, and the two layouts of sequences, are in `minigrad.ops.recurrence`; unrolled over the
tape the equations are the twins of the ops here, which give the same numbers several times as fast:

- what does not depend on the recurrence is done for all time steps at once, before or after the
  loop: the products with the input, the derivatives of the gates, and the gradients of the
  weights, each of which is one matrix product;
- all gates of a step go through one tanh, by sigmoid(x) = (1 + tanh(x / 2)) / 2: the halves are in
  copies of the weights that are made once (not for a few tokens, as when text is generated, since
  copying would take far longer than they do);
- nothing is allocated inside the loops.

In all three, x has the shape (T, N, input), T at least 1, or packed by `sizes` (total, input);
states have the shape (N, H), W_ih (gates * H, input), W_hh (gates * H, H), and b_ih and b_hh
(gates * H,), or they are None. Without a W_ih, x is the product with it already, of shape (...,
gates * H). With `reverse` time runs from T - 1 to 0. They return the h of each time step, laid out
like x, and the final state.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

from minigrad.backend import Array, array_module
from minigrad.buffers import empty
from minigrad.fusing import fused
from minigrad.ops.recurrence import unrolled_gru, unrolled_lstm, unrolled_rnn

Sizes = Sequence[int] | None

FEW = 32
"""Tokens: for so many the weights are not copied, into the order and scale that suit the loop."""


class _Steps:
    """Which rows belong to each time step. Its lists are in the order in which they are read."""

    def __init__(self, x: Array, sizes: Sizes, reverse: bool) -> None:
        self.lead = x.shape[:-1]  # (T, N), or packed (total,)
        self.few = math.prod(self.lead) <= FEW
        self.sizes, self.reverse = sizes, reverse

    def of(self, array: Array) -> list[Array]:
        """The part of `array` that belongs to each step."""
        if self.sizes is None:
            parts = list(array)
        else:
            parts = [array[i:k] for i, k in pairwise(accumulate(self.sizes, initial=0))]
        return parts[::-1] if self.reverse else parts

    def rows(self, array: Array) -> list[Array]:
        """For each step the first rows of `array`, as many as there are sequences then."""
        if self.sizes is None:
            return [array] * self.lead[0]
        return [array[:n] for n in (reversed(self.sizes) if self.reverse else self.sizes)]


class _States:
    """A state before and after each time step; `start` is that before the first."""

    def __init__(self, steps: _Steps, start: Array, dtype: Any) -> None:
        xp, H = array_module(start), start.shape[1]
        self.start, self.steps = start, steps
        if steps.sizes is None:  # what is after one step is before the next, in the same place
            T, N = steps.lead
            room = empty(xp, (T + 1, N, H), dtype)
            room[-1 if steps.reverse else 0] = start
            early, late = room[:-1], room[1:]
            self.all_before, self.all_after = (late, early) if steps.reverse else (early, late)
        else:
            self.all_before = empty(xp, (*steps.lead, H), dtype)
            self.all_after = empty(xp, (*steps.lead, H), dtype)
        self.before, self.after = steps.of(self.all_before), steps.of(self.all_after)
        self.moves: list[Any] = [None] * len(self.after)
        if steps.sizes is not None:
            self._join(xp)

    def _join(self, xp: Any) -> None:
        """Set for each step what to copy, from where, when the step before it has been done."""
        known = 0
        for i, before in enumerate(self.before):
            m, n = min(known, len(before)), len(before)
            if m < n:
                before[m:] = self.start[m:n]
            if m:
                self.moves[i] = (before[:m], self.after[i - 1][:m])
            known = n

    def last(self) -> Array:
        """The state of each sequence after the last step that it has, in memory of its own."""
        if self.steps.sizes is None:
            return self.after[-1].copy()
        last = self.start.astype(self.all_after.dtype)
        for after in self.after:
            last[: len(after)] = after
        return last


def _flat(sequence: Array) -> Array:
    """`sequence` as a matrix with a row for each time step of each sequence."""
    return sequence if sequence.ndim == 2 else sequence.reshape(-1, sequence.shape[-1])


def _like(sequence: Array) -> Array:
    """An array of the shape and dtype of `sequence`, with whatever is in it."""
    return empty(array_module(sequence), sequence.shape, sequence.dtype)


def _products(x: Array, W: Any, bias: Any, dtype: Any, scale: Any = None) -> Array:
    """(W x + b) scale of all time steps at once; `x` is W x already if W is None."""
    xp = array_module(x)
    products = empty(xp, (*x.shape[:-1], x.shape[-1] if W is None else len(W)), dtype)
    if W is None:
        xp.multiply(x, 1 if scale is None else scale, out=products)
    else:
        W = W if scale is None else W * scale[:, None]
        xp.matmul(_flat(x), W.T, out=_flat(products))
    if bias is not None:
        products += bias if scale is None else bias * scale
    return products


def _dtype(*inputs: Any) -> Any:
    """What `inputs`, some of which may be None, are computed in."""
    dtypes = {x.dtype for x in inputs if x is not None}
    return dtypes.pop() if len(dtypes) == 1 else array_module(inputs[0]).result_type(*dtypes)


def _both(b_ih: Any, b_hh: Any) -> Any:
    """The sum of two biases, each of which may be None."""
    return b_ih if b_hh is None else b_hh if b_ih is None else b_ih + b_hh


def _walk_back(steps: _Steps, g: Any, final: Any, states: _States) -> tuple[list[Any], Array]:
    """The gradients of the outputs, last step first, and that of the final state, in a copy."""
    outputs = [None] * len(states.after) if g is None else steps.of(g)[::-1]
    xp, like = array_module(states.start), states.start
    dtype = states.all_after.dtype
    if final is None:
        return outputs, xp.zeros(like.shape, dtype)
    start = xp.empty(final.shape, dtype)
    start[...] = final
    return outputs, start


def _of_parameters(
    needs: Sequence[bool], x: Array, h: Array, W_ih: Any, dx: Array, dh: Array
) -> list[Any]:
    """The gradients of x, W_ih, W_hh, b_ih and b_hh, those that are needed.

    `dx` and `dh` are the gradients of W_ih x + b_ih and of W_hh h + b_hh at all time steps.
    """
    wx, *_, wW_ih, wW_hh, wb_ih, wb_hh = needs
    flat_x, flat_h = _flat(dx), _flat(dh)
    ones = array_module(x).ones(len(flat_x), flat_x.dtype)  # a product is faster than a sum
    db = ones @ flat_x if wb_ih or (wb_hh and dh is dx) else None
    of_x = dx if W_ih is None else _products(dx, W_ih.T, None, dx.dtype) if wx else None
    return [
        of_x,
        flat_x.T @ _flat(x) if wW_ih else None,
        flat_h.T @ _flat(h) if wW_hh else None,
        db,
        db if dh is dx else ones @ flat_h if wb_hh else None,
    ]


# --------------------------------------------------------------------------------- RNN


def _rnn_backward(
    g: list[Any],
    kept: tuple[_Steps, _States],
    needs: list[bool],
    x: Array,
    W_ih: Any,
    W_hh: Array,
    nonlinearity: str,
) -> list[Any]:
    steps, h = kept
    xp, after = array_module(x), h.all_after
    if nonlinearity == "tanh":
        dz = xp.multiply(after, after, out=_like(after))
        xp.subtract(1, dz, out=dz)
    else:
        dz = (after > 0).astype(after.dtype)
    g_outputs, dh = _walk_back(steps, g[0], g[1], h)
    for g_t, dz_t, dh_t in zip(g_outputs, steps.of(dz)[::-1], steps.rows(dh)[::-1], strict=True):
        if g_t is not None:
            dh_t += g_t
        dz_t *= dh_t
        dz_t.dot(W_hh, dh_t)
    dx, *weights = _of_parameters(needs, x, h.all_before, W_ih, dz, dz)
    return [dx, dh, *weights]


@fused(
    twin=unrolled_rnn,
    backward=_rnn_backward,
    kept_outputs=(0,),
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
) -> Any:
    """The simple recurrent network over a sequence; `nonlinearity` is "tanh" or "relu"."""
    xp, steps = array_module(x), _Steps(x, sizes, reverse)
    dtype = _dtype(x, h_0, W_ih, W_hh, b_ih, b_hh)
    z = _products(x, W_ih, _both(b_ih, b_hh), dtype)
    h, W = _States(steps, h_0, dtype), W_hh.T if steps.few else xp.ascontiguousarray(W_hh.T)
    tanh, relu = xp.tanh, nonlinearity == "relu"
    for z_t, before, after, move in zip(steps.of(z), h.before, h.after, h.moves, strict=True):
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
    kept: tuple[_Steps, Array, _States, _States, Array],
    needs: list[bool],
    x: Array,
    W_ih: Any,
    W_hh: Array,
) -> list[Any]:
    steps, gates, h, c, tanh_c = kept
    xp, H = array_module(x), tanh_c.shape[-1]
    i, f, candidate, o = (gates[..., k * H : (k + 1) * H] for k in range(4))
    dz = xp.multiply(gates, gates, out=_like(gates))
    xp.subtract(gates, dz, out=dz)  # s (1 - s), the derivative of the sigmoids
    d_i, d_f, d_candidate, d_o = (dz[..., k * H : (k + 1) * H] for k in range(4))
    d_i *= candidate
    d_f *= c.all_before
    xp.multiply(candidate, candidate, out=d_candidate)
    xp.subtract(1, d_candidate, out=d_candidate)
    d_candidate *= i
    d_o *= tanh_c
    dc_dh = xp.multiply(tanh_c, tanh_c, out=_like(tanh_c))
    xp.subtract(1, dc_dh, out=dc_dh)
    dc_dh *= o
    by_c = dz[..., : 3 * H].reshape(*steps.lead, 3, H)  # of i, f and g, which are reached through c
    g_outputs, dh = _walk_back(steps, g[0], g[1], h)
    _, dc = _walk_back(steps, None, g[2], c)
    parts = [steps.of(a)[::-1] for a in (dz, d_o, by_c, dc_dh, f)]
    rows = [steps.rows(a)[::-1] for a in (dh, dc, dc[:, None], xp.empty_like(dh))]
    multiply = xp.multiply
    for g_t, dz_t, d_o_t, by_c_t, dc_dh_t, f_t, dh_t, dc_t, dc_each, product in zip(
        g_outputs, *parts, *rows, strict=True
    ):
        if g_t is not None:
            dh_t += g_t
        d_o_t *= dh_t
        multiply(dh_t, dc_dh_t, product)
        dc_t += product
        by_c_t *= dc_each
        dc_t *= f_t
        dz_t.dot(W_hh, dh_t)
    dx, *weights = _of_parameters(needs, x, h.all_before, W_ih, dz, dz)
    return [dx, dh, dc, *weights]


@fused(
    twin=unrolled_lstm,
    backward=_lstm_backward,
    kept_outputs=(0,),
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
) -> Any:
    """The LSTM over a sequence."""
    xp, H, steps = array_module(x), h_0.shape[1], _Steps(x, sizes, reverse)
    dtype = _dtype(x, h_0, c_0, W_ih, W_hh, b_ih, b_hh)
    scale = xp.full(4 * H, 0.5, dtype)  # of what goes into the tanh, and of what comes out
    scale[2 * H : 3 * H] = 1
    shift = 1 - scale
    gates = _products(x, W_ih, _both(b_ih, b_hh), dtype, None if steps.few else scale)
    W = W_hh.T if steps.few else xp.multiply(W_hh.T, scale, out=xp.empty(W_hh.T.shape, dtype))
    h, c = (_States(steps, start, dtype) for start in (h_0, c_0))
    tanh_c = empty(xp, (*steps.lead, H), dtype)
    i, f, candidate, o = (steps.of(gates[..., k * H : (k + 1) * H]) for k in range(4))
    product, ig = (xp.empty((len(h_0), n), dtype) for n in (4 * H, H))
    multiply, tanh = xp.multiply, xp.tanh
    for gates_t, product_t, i_t, f_t, candidate_t, o_t, ig_t, tanh_c_t, *states in zip(
        steps.of(gates), steps.rows(product), i, f, candidate, o, steps.rows(ig), steps.of(tanh_c),
        h.before, h.after, h.moves, c.before, c.after, c.moves, strict=True,
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
    kept: tuple[_Steps, Array, Array, _States],
    needs: list[bool],
    x: Array,
    W_ih: Any,
    W_hh: Array,
) -> list[Any]:
    steps, gates, Wh_n, h = kept
    xp, H = array_module(x), Wh_n.shape[-1]
    r, z, n = (gates[..., k * H : (k + 1) * H] for k in range(3))
    dz = xp.multiply(gates, gates, out=_like(gates))
    xp.subtract(gates, dz, out=dz)
    d_r, d_z, d_Wh_n = (dz[..., k * H : (k + 1) * H] for k in range(3))
    d_r *= Wh_n
    d_n = xp.subtract(h.all_before, n, out=_like(Wh_n))
    d_z *= d_n
    xp.multiply(n, n, out=d_n)
    xp.subtract(1, d_n, out=d_n)
    d_n -= xp.multiply(z, d_n, out=d_Wh_n)  # (1 - z) (1 - n^2)
    g_outputs, dh = _walk_back(steps, g[0], g[1], h)
    parts = [steps.of(a)[::-1] for a in (dz, d_r, d_z, d_Wh_n, d_n, r, z)]
    rows = [steps.rows(a)[::-1] for a in (dh, xp.empty_like(dh))]
    multiply = xp.multiply
    for g_t, dz_t, d_r_t, d_z_t, d_Wh_n_t, d_n_t, r_t, z_t, dh_t, product in zip(
        g_outputs, *parts, *rows, strict=True
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
    dx = _like(dz)  # of W_ih x + b_ih: as of W_hh h + b_hh, but for n, which is reached past r
    dx[..., : 2 * H], dx[..., 2 * H :] = dz[..., : 2 * H], d_n
    of_x, *weights = _of_parameters(needs, x, h.all_before, W_ih, dx, dz)
    return [of_x, dh, *weights]


@fused(
    twin=unrolled_gru,
    backward=_gru_backward,
    kept_outputs=(0,),
    inputs=["x", "h_0", "W_ih", "W_hh", "b_ih", "b_hh"],
)
def gru(
    x: Any, h_0: Any, W_ih: Any, W_hh: Any, b_ih: Any, b_hh: Any, sizes: Sizes, reverse: bool
) -> Any:
    """The GRU over a sequence."""
    xp, H, steps = array_module(x), h_0.shape[1], _Steps(x, sizes, reverse)
    dtype = _dtype(x, h_0, W_ih, W_hh, b_ih, b_hh)
    scale = xp.full(3 * H, 0.5, dtype)
    scale[2 * H :] = 1
    gates = _products(x, W_ih, b_ih, dtype, None if steps.few else scale)
    W = W_hh.T if steps.few else xp.multiply(W_hh.T, scale, out=xp.empty(W_hh.T.shape, dtype))
    h, Wh_n = _States(steps, h_0, dtype), empty(xp, (*steps.lead, H), dtype)
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
        h.before, h.after, h.moves, strict=True,
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
