"""The recurrent networks over a sequence on a GPU: a matrix product and a kernel for each step.

Each pair of functions does what the op of that name in `minigrad.nn.recurrent.fused` does, forward
and backward. What goes on between the matrix products of a time step is one kernel
(`minigrad.nn.recurrent.kernels`); states, gates and gradients of all time steps lie in arrays that
are allocated once, and the kernels are told which rows to work on.
"""

from __future__ import annotations

from typing import Any

from minigrad.arrays.library import Array, array_module
from minigrad.nn.recurrent import kernels as kernels
from minigrad.nn.recurrent.steps import (
    Sizes,
    States,
    Steps,
    both,
    final_gradient,
    of_parameters,
    products,
    room_for,
)


def _move(moves: tuple[Any, ...]) -> None:
    """Copy states from one step to the next, where they do not lie in the same place."""
    for move in moves:
        if move is not None:
            after, before = move
            after[...] = before


def _contiguous(g: Any) -> Any:
    return None if g is None else array_module(g).ascontiguousarray(g)


# --------------------------------------------------------------------------------- RNN


def rnn_forward(
    x: Array, h_0: Array, W_ih: Any, W_hh: Array, b_ih: Any, b_hh: Any, nonlinearity: str,
    sizes: Sizes, reverse: bool,
) -> Any:  # fmt: skip
    """See `minigrad.nn.recurrent.fused.rnn`; keeps (steps, h)."""
    steps, dtype, H = Steps(x, sizes, reverse, True), x.dtype, h_0.shape[1]
    z, h, W = products(x, W_ih, both(b_ih, b_hh), dtype), States(steps, h_0, dtype), W_hh.T
    product = room_for(h_0)
    for (first, n), before, p, move in zip(
        steps.spans(), h.before(), steps.rows(product), h.moves(), strict=True
    ):
        _move((move,))
        before.dot(W, p)
        kernels.rnn_forward.over(
            n * H, dtype, H, first, nonlinearity == "relu", z, product, h.all_after
        )
    return (h.all_after, h.last()), (steps, h)


def rnn_backward(
    g: list[Any], kept: tuple[Steps, States], needs: list[bool], x: Array, W_ih: Any, W_hh: Array,
    nonlinearity: str,
) -> list[Any]:  # fmt: skip
    """The gradients of the inputs."""
    steps, h = kept
    dtype, H = x.dtype, W_hh.shape[1]
    g_output, dh, dz = _contiguous(g[0]), final_gradient(g[1], h), room_for(h.all_after)
    spans, rows, parts = steps.spans(), steps.rows(dh), steps.of(dz)
    for (first, n), dh_t, dz_t in zip(spans[::-1], rows[::-1], parts[::-1], strict=True):
        kernels.rnn_backward.over(
            n * H, dtype, H, first, nonlinearity == "relu", g_output, dh, h.all_after, dz
        )
        dz_t.dot(W_hh, dh_t)
    dx, *weights = of_parameters(needs, x, h.all_before, W_ih, dz, dz)
    return [dx, dh, *weights]


# -------------------------------------------------------------------------------- LSTM


def lstm_forward(
    x: Array, h_0: Array, c_0: Array, W_ih: Any, W_hh: Array, b_ih: Any, b_hh: Any, sizes: Sizes,
    reverse: bool,
) -> Any:  # fmt: skip
    """See `minigrad.nn.recurrent.fused.lstm`; keeps (steps, gates, h, c)."""
    steps, dtype, (N, H) = Steps(x, sizes, reverse, True), x.dtype, h_0.shape
    gates, W = products(x, W_ih, both(b_ih, b_hh), dtype), W_hh.T
    h, c = (States(steps, start, dtype) for start in (h_0, c_0))
    product = array_module(x).empty((N, 4 * H), dtype)
    for (first, n), before, p, *moves in zip(
        steps.spans(), h.before(), steps.rows(product), h.moves(), c.moves(), strict=True
    ):
        _move(tuple(moves))
        before.dot(W, p)
        kernels.lstm_forward.over(
            n * H, dtype, H, first, gates, product, c.all_before, c.all_after, h.all_after
        )
    return (h.all_after, h.last(), c.last()), (steps, gates, h, c)


def lstm_backward(
    g: list[Any], kept: tuple[Steps, Array, States, States], needs: list[bool], x: Array,
    W_ih: Any, W_hh: Array,
) -> list[Any]:  # fmt: skip
    """The gradients of the inputs."""
    steps, gates, h, c = kept
    dtype, H = x.dtype, W_hh.shape[1]
    g_output, dh, dc = _contiguous(g[0]), final_gradient(g[1], h), final_gradient(g[2], c)
    dz = room_for(gates)
    spans, rows, parts = steps.spans(), steps.rows(dh), steps.of(dz)
    for (first, n), dh_t, dz_t in zip(spans[::-1], rows[::-1], parts[::-1], strict=True):
        kernels.lstm_backward.over(
            n * H, dtype, H, first, g_output, dh, dc, gates, c.all_before, c.all_after, dz
        )
        dz_t.dot(W_hh, dh_t)
    dx, *weights = of_parameters(needs, x, h.all_before, W_ih, dz, dz)
    return [dx, dh, dc, *weights]


# --------------------------------------------------------------------------------- GRU


def gru_forward(
    x: Array, h_0: Array, W_ih: Any, W_hh: Array, b_ih: Any, b_hh: Any, sizes: Sizes, reverse: bool
) -> Any:
    """See `minigrad.nn.recurrent.fused.gru`; keeps (steps, gates, Wh_n, h)."""
    steps, dtype, (N, H) = Steps(x, sizes, reverse, True), x.dtype, h_0.shape
    gates, W, b_hh = products(x, W_ih, b_ih, dtype), W_hh.T, _contiguous(b_hh)
    h, product = States(steps, h_0, dtype), array_module(x).empty((N, 3 * H), dtype)
    Wh_n = room_for(h.all_after)
    for (first, n), before, p, move in zip(
        steps.spans(), h.before(), steps.rows(product), h.moves(), strict=True
    ):
        _move((move,))
        before.dot(W, p)
        kernels.gru_forward.over(
            n * H, dtype, H, first, gates, product, b_hh, Wh_n, h.all_before, h.all_after
        )
    return (h.all_after, h.last()), (steps, gates, Wh_n, h)


def gru_backward(
    g: list[Any], kept: tuple[Steps, Array, Array, States], needs: list[bool], x: Array,
    W_ih: Any, W_hh: Array,
) -> list[Any]:  # fmt: skip
    """The gradients of the inputs."""
    steps, gates, Wh_n, h = kept
    dtype, H = x.dtype, W_hh.shape[1]
    g_output, dh = _contiguous(g[0]), final_gradient(g[1], h)
    dx, dz, product = room_for(gates), room_for(gates), room_for(dh)
    parts = (steps.spans(), steps.rows(dh), steps.of(dz), steps.rows(product))
    for (first, n), dh_t, dz_t, p in zip(*(part[::-1] for part in parts), strict=True):
        kernels.gru_backward.over(
            n * H, dtype, H, first, g_output, dh, gates, Wh_n, h.all_before, dx, dz
        )
        dz_t.dot(W_hh, p)
        dh_t += p
    of_x, *weights = of_parameters(needs, x, h.all_before, W_ih, dx, dz)
    return [of_x, dh, *weights]
