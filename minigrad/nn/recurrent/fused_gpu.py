"""The recurrent networks over a sequence on a GPU: a matrix product and a kernel for each step.

Each pair of functions does what the op of that name in `fused.py` does, forward and backward, with
the same letters; the equations of a step are in its kernel. States, gates and gradients of all time
steps lie in arrays that are allocated once, and the kernels are told which rows to work on.

Next: `kernels.py`.
"""

from __future__ import annotations

from typing import Any

from minigrad.arrays.library import Array, array_module
from minigrad.nn.recurrent import kernels as kernels
from minigrad.nn.recurrent.steps import (
    Sizes,
    Steps,
    empty_like,
    input_products,
    parameter_gradients,
    sum_of_biases,
)


def _contiguous(g: Any) -> Any:
    return None if g is None else array_module(g).ascontiguousarray(g)


# --------------------------------------------------------------------------------- RNN


def rnn_forward(
    x: Array, h_0: Array, W_ih: Any, W_hh: Array, b_ih: Any, b_hh: Any, nonlinearity: str,
    sizes: Sizes, reverse: bool,
) -> tuple[tuple[Array, ...], Any]:  # fmt: skip
    """See `minigrad.nn.recurrent.fused.rnn`."""
    steps = Steps(x, h_0, x.dtype, sizes, reverse, by_kernels=True)
    W, H, dtype, relu = W_hh.T, steps.H, steps.dtype, nonlinearity == "relu"
    Wx = input_products(x, W_ih, sum_of_biases(b_ih, b_hh), dtype)
    (all_h, all_h_next), all_Wh = steps.states(h_0), steps.scratch(H)
    h, h_next, Wh = steps.each(all_h), steps.each(all_h_next), steps.running(all_Wh)
    for t, (first, n) in enumerate(steps.spans):
        if sizes is not None:
            steps.carry(t, h, h_next, h_0)
        h[t].dot(W, Wh[t])
        kernels.rnn_forward.over(n * H, dtype, H, first, relu, Wx, all_Wh, all_h_next)
    return (all_h_next, steps.last(h_next, h_0)), (steps, all_h, all_h_next)


def rnn_backward(
    g: list[Any], kept: tuple[Any, ...], needs: list[bool], x: Array, W_ih: Any, W_hh: Array,
    nonlinearity: str,
) -> list[Any]:  # fmt: skip
    """The gradients of the inputs."""
    steps, all_h, all_h_next = kept
    H, dtype, relu = steps.H, steps.dtype, nonlinearity == "relu"
    dy, dh_0, all_delta = _contiguous(g[0]), steps.last_gradient(g[1]), empty_like(all_h_next)
    dh, delta = steps.running(dh_0), steps.each(all_delta)
    for t in reversed(range(steps.count)):
        first, n = steps.spans[t]
        kernels.rnn_backward.over(n * H, dtype, H, first, relu, dy, dh_0, all_h_next, all_delta)
        delta[t].dot(W_hh, dh[t])  # dh = W_hh^T delta
    dx, *weights = parameter_gradients(needs, x, all_h, W_ih, all_delta, all_delta)
    return [dx, dh_0, *weights]


# -------------------------------------------------------------------------------- LSTM


def lstm_forward(
    x: Array, h_0: Array, c_0: Array, W_ih: Any, W_hh: Array, b_ih: Any, b_hh: Any, sizes: Sizes,
    reverse: bool,
) -> tuple[tuple[Array, ...], Any]:  # fmt: skip
    """See `minigrad.nn.recurrent.fused.lstm`."""
    steps = Steps(x, h_0, x.dtype, sizes, reverse, by_kernels=True)
    W, H, dtype = W_hh.T, steps.H, steps.dtype
    gates, all_Wh = input_products(x, W_ih, sum_of_biases(b_ih, b_hh), dtype), steps.scratch(4 * H)
    (all_h, all_h_next), (all_c, all_c_next) = steps.states(h_0), steps.states(c_0)
    h, h_next, c, c_next = map(steps.each, (all_h, all_h_next, all_c, all_c_next))
    Wh = steps.running(all_Wh)
    for t, (first, n) in enumerate(steps.spans):
        if sizes is not None:
            steps.carry(t, h, h_next, h_0)
            steps.carry(t, c, c_next, c_0)
        h[t].dot(W, Wh[t])
        kernels.lstm_forward.over(
            n * H, dtype, H, first, gates, all_Wh, all_c, all_c_next, all_h_next
        )
    outputs = all_h_next, steps.last(h_next, h_0), steps.last(c_next, c_0)
    return outputs, (steps, gates, all_h, all_c, all_c_next)


def lstm_backward(
    g: list[Any], kept: tuple[Any, ...], needs: list[bool], x: Array, W_ih: Any, W_hh: Array
) -> list[Any]:
    """The gradients of the inputs."""
    steps, gates, all_h, all_c, all_c_next = kept
    H, dtype = steps.H, steps.dtype
    dy, dh_0, dc_0 = _contiguous(g[0]), steps.last_gradient(g[1]), steps.last_gradient(g[2])
    all_delta = empty_like(gates)
    dh, delta = steps.running(dh_0), steps.each(all_delta)
    for t in reversed(range(steps.count)):
        first, n = steps.spans[t]
        kernels.lstm_backward.over(
            n * H, dtype, H, first, dy, dh_0, dc_0, gates, all_c, all_c_next, all_delta
        )
        delta[t].dot(W_hh, dh[t])  # dh = W_hh^T delta
    dx, *weights = parameter_gradients(needs, x, all_h, W_ih, all_delta, all_delta)
    return [dx, dh_0, dc_0, *weights]


# --------------------------------------------------------------------------------- GRU


def gru_forward(
    x: Array, h_0: Array, W_ih: Any, W_hh: Array, b_ih: Any, b_hh: Any, sizes: Sizes, reverse: bool
) -> tuple[tuple[Array, ...], Any]:
    """See `minigrad.nn.recurrent.fused.gru`."""
    steps = Steps(x, h_0, x.dtype, sizes, reverse, by_kernels=True)
    W, H, dtype, b_hh = W_hh.T, steps.H, steps.dtype, _contiguous(b_hh)
    gates, all_Wh = input_products(x, W_ih, b_ih, dtype), steps.scratch(3 * H)
    (all_h, all_h_next), all_s = steps.states(h_0), steps.empty(H)
    h, h_next, Wh = steps.each(all_h), steps.each(all_h_next), steps.running(all_Wh)
    for t, (first, n) in enumerate(steps.spans):
        if sizes is not None:
            steps.carry(t, h, h_next, h_0)
        h[t].dot(W, Wh[t])
        kernels.gru_forward.over(
            n * H, dtype, H, first, gates, all_Wh, b_hh, all_s, all_h, all_h_next
        )
    return (all_h_next, steps.last(h_next, h_0)), (steps, gates, all_s, all_h)


def gru_backward(
    g: list[Any], kept: tuple[Any, ...], needs: list[bool], x: Array, W_ih: Any, W_hh: Array
) -> list[Any]:
    """The gradients of the inputs."""
    steps, gates, all_s, all_h = kept
    H, dtype = steps.H, steps.dtype
    dy, dh_0 = _contiguous(g[0]), steps.last_gradient(g[1])
    delta_x, all_delta = empty_like(gates), empty_like(gates)
    dh, delta = steps.running(dh_0), steps.each(all_delta)
    Wdelta = steps.running(steps.scratch(H))
    for t in reversed(range(steps.count)):
        first, n = steps.spans[t]
        kernels.gru_backward.over(
            n * H, dtype, H, first, dy, dh_0, gates, all_s, all_h, delta_x, all_delta
        )
        delta[t].dot(W_hh, Wdelta[t])
        dh[t] += Wdelta[t]  # dh = dh' z + W_hh^T (delta_r, delta_z, ds)
    dx, *weights = parameter_gradients(needs, x, all_h, W_ih, delta_x, all_delta)
    return [dx, dh_0, *weights]
