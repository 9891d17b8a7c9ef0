"""One time step of a recurrent network as a CUDA kernel, and beside it the same in NumPy.

A kernel is what a step does after its matrix product, forward and backward, with the equations and
letters of `fused.py`. (`minigrad.arrays.kernel` tells what a kernel is.) This is the last file of
the room; `layers.py` goes on from here to what users call.

Arrays of all time steps have a row for each step of each sequence. A step is the `n` rows from row
`first` on, and `count` is n times H, the number of threads:

- `gates` holds W_ih x + b_ih when the step begins, and the gates when it ends;
- `Wh` (n, gates * H) is W_hh h; `h`, `h_next`, `c`, `c_next` are the states before and after;
- `dy` is the gradient of the output, or None;
- `dh` (N, H) is the gradient of the state after the step. The kernel leaves there what dh is
  without W_hh^T delta, whose matrix product comes after it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.arrays.kernel import Kernel

Array = np.ndarray[Any, Any]

_EACH = """
    long long element = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (element >= count) return;
    long long row = element / H, unit = element - row * H;
    long long at = first * H + element;             // in an array of H columns
"""


def _rows(count: int, H: int, first: int, *arrays: Array | None) -> list[Any]:
    """The rows of the step in arrays of all steps, None for None."""
    return [None if a is None else a.reshape(-1, a.shape[-1])[first : first + count // H]
            for a in arrays]  # fmt: skip


def _sigmoid(a: Array) -> Array:
    return 0.5 + 0.5 * np.tanh(0.5 * a)


# --------------------------------------------------------------------------------- RNN


def _rnn_forward(
    count: int, H: int, first: int, relu: bool, Wx: Array, Wh: Array, h_next: Array
) -> None:
    Wx, h_next = _rows(count, H, first, Wx, h_next)
    a = Wx + Wh[: len(Wx)]
    h_next[...] = np.maximum(a, 0) if relu else np.tanh(a)


rnn_forward = Kernel(
    "rnn_forward",
    "long long count, long long H, long long first, bool relu, const T* Wx, const T* Wh, T* h_next",
    _EACH
    + """
    T a = Wx[at] + Wh[element];                     // a  = W_ih x + b_ih + W_hh h + b_hh
    h_next[at] = relu ? (a > T(0) || a != a ? a : T(0)) : tanh(a);      // h' = tanh(a)
""",
    _rnn_forward,
)


def _rnn_backward(
    count: int, H: int, first: int, relu: bool, dy: Array | None, dh: Array, h_next: Array,
    delta: Array,
) -> None:  # fmt: skip
    dy, h_next, delta = _rows(count, H, first, dy, h_next, delta)
    dh_next = dh[: len(delta)] if dy is None else dh[: len(delta)] + dy
    delta[...] = np.where(h_next <= 0, 0, dh_next) if relu else dh_next * (1 - h_next * h_next)


rnn_backward = Kernel(
    "rnn_backward",
    "long long count, long long H, long long first, bool relu, const T* dy, const T* dh, "
    "const T* h_next, T* delta",
    _EACH
    + """
    T h = h_next[at];
    T d = dy ? dh[element] + dy[at] : dh[element];  // dh'   = dh + dy
    delta[at] = relu ? (h <= T(0) ? T(0) : d) : d * (T(1) - h * h);     // delta = dh' (1 - h'^2)
""",
    _rnn_backward,
)


# -------------------------------------------------------------------------------- LSTM


def _lstm_forward(
    count: int, H: int, first: int, gates: Array, Wh: Array, c: Array, c_next: Array,
    h_next: Array,
) -> None:  # fmt: skip
    gates, c, c_next, h_next = _rows(count, H, first, gates, c, c_next, h_next)
    i, f, g, o = np.split(gates + Wh[: len(gates)], 4, axis=1)
    i, f, g, o = _sigmoid(i), _sigmoid(f), np.tanh(g), _sigmoid(o)
    c_next[...] = f * c + i * g
    h_next[...] = o * np.tanh(c_next)
    gates[...] = np.concatenate([i, f, g, o], axis=1)


lstm_forward = Kernel(
    "lstm_forward",
    "long long count, long long H, long long first, T* gates, const T* Wh, const T* c, T* c_next, "
    "T* h_next",
    _EACH
    + """
    T* a = gates + (first + row) * 4 * H + unit;    // W_ih x + b_ih + b_hh, of i; then of f, g, o
    const T* w = Wh + row * 4 * H + unit;           // W_hh h
    T i = sigmoid(a[0] + w[0]);                     // i  = sigmoid(a_i)
    T f = sigmoid(a[H] + w[H]);                     // f  = sigmoid(a_f)
    T g = tanh(a[2 * H] + w[2 * H]);                // g  = tanh(a_g)
    T o = sigmoid(a[3 * H] + w[3 * H]);             // o  = sigmoid(a_o)
    T c_new = f * c[at] + i * g;                    // c' = f c + i g
    c_next[at] = c_new;
    h_next[at] = o * tanh(c_new);                   // h' = o tanh(c')
    a[0] = i; a[H] = f; a[2 * H] = g; a[3 * H] = o;
""",
    _lstm_forward,
)


def _lstm_backward(
    count: int, H: int, first: int, dy: Array | None, dh: Array, dc: Array, gates: Array,
    c: Array, c_next: Array, delta: Array,
) -> None:  # fmt: skip
    dy, gates, c, c_next, delta = _rows(count, H, first, dy, gates, c, c_next, delta)
    n = len(gates)
    i, f, g, o = np.split(gates, 4, axis=1)
    tanh_c = np.tanh(c_next)
    dh_next = dh[:n] if dy is None else dh[:n] + dy
    dc_next = dc[:n] + dh_next * o * (1 - tanh_c * tanh_c)
    delta_i, delta_f = dc_next * g * i * (1 - i), dc_next * c * f * (1 - f)
    delta_g, delta_o = dc_next * i * (1 - g * g), dh_next * tanh_c * o * (1 - o)
    delta[...] = np.concatenate([delta_i, delta_f, delta_g, delta_o], axis=1)
    dc[:n] = dc_next * f


lstm_backward = Kernel(
    "lstm_backward",
    "long long count, long long H, long long first, const T* dy, const T* dh, T* dc, "
    "const T* gates, const T* c, const T* c_next, T* delta",
    _EACH
    + """
    long long wide = (first + row) * 4 * H + unit;  // in an array of 4 H columns
    T i = gates[wide], f = gates[wide + H], g = gates[wide + 2 * H], o = gates[wide + 3 * H];
    T tanh_c = tanh(c_next[at]);
    T dh_next = dy ? dh[element] + dy[at] : dh[element];        // dh'     = dh + dy
    // dc' = dc + dh' o (1 - tanh(c')^2)
    T dc_next = dc[element] + dh_next * o * (T(1) - tanh_c * tanh_c);
    delta[wide] = dc_next * g * i * (T(1) - i);                 // delta_i = dc' g i (1 - i)
    delta[wide + H] = dc_next * c[at] * f * (T(1) - f);         // delta_f = dc' c f (1 - f)
    delta[wide + 2 * H] = dc_next * i * (T(1) - g * g);         // delta_g = dc' i (1 - g^2)
    delta[wide + 3 * H] = dh_next * tanh_c * o * (T(1) - o);    // delta_o = dh' tanh(c') o (1 - o)
    dc[element] = dc_next * f;                                  // dc      = dc' f
""",
    _lstm_backward,
)


# --------------------------------------------------------------------------------- GRU


def _gru_forward(
    count: int, H: int, first: int, gates: Array, Wh: Array, b_hh: Array | None, s: Array,
    h: Array, h_next: Array,
) -> None:  # fmt: skip
    gates, s, h, h_next = _rows(count, H, first, gates, s, h, h_next)
    a_r, a_z, a_n = np.split(gates, 3, axis=1)
    Wh = Wh[: len(gates)] if b_hh is None else Wh[: len(gates)] + b_hh
    Wh_r, Wh_z, s[...] = np.split(Wh, 3, axis=1)
    r, z = _sigmoid(a_r + Wh_r), _sigmoid(a_z + Wh_z)
    n = np.tanh(a_n + r * s)
    h_next[...] = n + z * (h - n)
    gates[...] = np.concatenate([r, z, n], axis=1)


gru_forward = Kernel(
    "gru_forward",
    "long long count, long long H, long long first, T* gates, const T* Wh, const T* b_hh, T* s, "
    "const T* h, T* h_next",
    _EACH
    + """
    T* a = gates + (first + row) * 3 * H + unit;    // W_ih x + b_ih, of r; then of z and n
    const T* w = Wh + row * 3 * H + unit;           // W_hh h
    const T* b = b_hh + unit;
    T s_new = w[2 * H] + (b_hh ? b[2 * H] : T(0));              // s = W_hn h + b_hn
    T r = sigmoid(a[0] + (w[0] + (b_hh ? b[0] : T(0))));        // r = sigmoid(a_r)
    T z = sigmoid(a[H] + (w[H] + (b_hh ? b[H] : T(0))));        // z = sigmoid(a_z)
    T n = tanh(a[2 * H] + r * s_new);                           // n = tanh(a_n + r s)
    s[at] = s_new;
    h_next[at] = n + z * (h[at] - n);                           // h' = (1 - z) n + z h
    a[0] = r; a[H] = z; a[2 * H] = n;
""",
    _gru_forward,
)


def _gru_backward(
    count: int, H: int, first: int, dy: Array | None, dh: Array, gates: Array, s: Array, h: Array,
    delta_x: Array, delta_h: Array,
) -> None:  # fmt: skip
    dy, gates, s, h, delta_x, delta_h = _rows(count, H, first, dy, gates, s, h, delta_x, delta_h)
    rows = len(gates)
    r, z, n = np.split(gates, 3, axis=1)
    dh_next = dh[:rows] if dy is None else dh[:rows] + dy
    delta_n = dh_next * (1 - z) * (1 - n * n)
    delta_r, delta_z = delta_n * s * r * (1 - r), dh_next * (h - n) * z * (1 - z)
    delta_x[...] = np.concatenate([delta_r, delta_z, delta_n], axis=1)
    delta_h[...] = np.concatenate([delta_r, delta_z, delta_n * r], axis=1)
    dh[:rows] = dh_next * z


gru_backward = Kernel(
    "gru_backward",
    "long long count, long long H, long long first, const T* dy, T* dh, const T* gates, "
    "const T* s, const T* h, T* delta_x, T* delta_h",
    _EACH
    + """
    long long wide = (first + row) * 3 * H + unit;  // in an array of 3 H columns
    T r = gates[wide], z = gates[wide + H], n = gates[wide + 2 * H];
    T dh_next = dy ? dh[element] + dy[at] : dh[element];        // dh'     = dh + dy
    T delta_n = dh_next * (T(1) - z) * (T(1) - n * n);          // delta_n = dh' (1 - z) (1 - n^2)
    T delta_r = delta_n * s[at] * r * (T(1) - r);               // delta_r = delta_n s r (1 - r)
    T delta_z = dh_next * (h[at] - n) * z * (T(1) - z);         // delta_z = dh' (h - n) z (1 - z)
    delta_x[wide] = delta_r; delta_x[wide + H] = delta_z; delta_x[wide + 2 * H] = delta_n;
    delta_h[wide] = delta_r; delta_h[wide + H] = delta_z;
    delta_h[wide + 2 * H] = delta_n * r;                        // ds      = delta_n r
    dh[element] = dh_next * z;                                  // dh      = dh' z + ...
""",
    _gru_backward,
)
