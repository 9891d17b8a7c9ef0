"""One time step of a recurrent network, forward and backward, after its matrix product.

The equations are in `minigrad.nn.recurrent.equations`. What belongs to all time steps lies in
arrays with a row for each step of each sequence; a step is the `n` rows from row `first` on
(`count` is n times H). Where z is what goes into the gates, W_ih x + b_ih and W_hh h + b_hh are its
two parts: `gates` holds the first at the beginning, and after the step the gates themselves;
`product` (n, gates H) is W_hh h. `h_before` and `h_after` are the state before and after each step,
and `dh` (N, H) is the gradient of the state after the step, which becomes that of the state before
it: but for W_hh, whose matrix product comes after the kernel. `g` is the gradient of the output, or
None.
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


def _sigmoid(x: Array) -> Array:
    return 0.5 + 0.5 * np.tanh(0.5 * x)


# --------------------------------------------------------------------------------- RNN


def _rnn_forward(
    count: int, H: int, first: int, relu: bool, gates: Array, product: Array, h_after: Array
) -> None:
    z, h = _rows(count, H, first, gates, h_after)
    z = z + product[: len(z)]
    h[...] = np.maximum(z, 0) if relu else np.tanh(z)


rnn_forward = Kernel(
    "rnn_forward",
    "long long count, long long H, long long first, bool relu, const T* gates, const T* product, "
    "T* h_after",
    _EACH
    + """
    T z = gates[at] + product[element];
    h_after[at] = relu ? (z > T(0) || z != z ? z : T(0)) : tanh(z);
""",
    _rnn_forward,
)


def _rnn_backward(
    count: int, H: int, first: int, relu: bool, g: Array | None, dh: Array, h_after: Array,
    dz: Array,
) -> None:  # fmt: skip
    g_t, h, dz_t = _rows(count, H, first, g, h_after, dz)
    d = dh[: len(h)] if g_t is None else dh[: len(h)] + g_t
    dz_t[...] = np.where(h <= 0, 0, d) if relu else d * (1 - h * h)


rnn_backward = Kernel(
    "rnn_backward",
    "long long count, long long H, long long first, bool relu, const T* g, const T* dh, "
    "const T* h_after, T* dz",
    _EACH
    + """
    T d = g ? dh[element] + g[at] : dh[element], h = h_after[at];
    dz[at] = relu ? (h <= T(0) ? T(0) : d) : d * (T(1) - h * h);
""",
    _rnn_backward,
)


# -------------------------------------------------------------------------------- LSTM


def _lstm_forward(
    count: int, H: int, first: int, gates: Array, product: Array, c_before: Array, c_after: Array,
    h_after: Array,
) -> None:  # fmt: skip
    z, c, c_new, h_new = _rows(count, H, first, gates, c_before, c_after, h_after)
    i, f, g, o = np.split(z + product[: len(z)], 4, axis=1)
    i, f, g, o = _sigmoid(i), _sigmoid(f), np.tanh(g), _sigmoid(o)
    c_new[...] = f * c + i * g
    h_new[...] = o * np.tanh(c_new)
    z[...] = np.concatenate([i, f, g, o], axis=1)


lstm_forward = Kernel(
    "lstm_forward",
    "long long count, long long H, long long first, T* gates, const T* product, "
    "const T* c_before, T* c_after, T* h_after",
    _EACH
    + """
    T* z = gates + (first + row) * 4 * H + unit;
    const T* p = product + row * 4 * H + unit;
    T i = sigmoid(z[0] + p[0]), f = sigmoid(z[H] + p[H]);
    T g = tanh(z[2 * H] + p[2 * H]), o = sigmoid(z[3 * H] + p[3 * H]);
    T c = f * c_before[at] + i * g;
    c_after[at] = c;
    h_after[at] = o * tanh(c);
    z[0] = i; z[H] = f; z[2 * H] = g; z[3 * H] = o;
""",
    _lstm_forward,
)


def _lstm_backward(
    count: int, H: int, first: int, g: Array | None, dh: Array, dc: Array, gates: Array,
    c_before: Array, c_after: Array, dz: Array,
) -> None:  # fmt: skip
    g_t, z, c, c_new, dz_t = _rows(count, H, first, g, gates, c_before, c_after, dz)
    n = len(z)
    i, f, candidate, o = np.split(z, 4, axis=1)
    d, tanh_c = dh[:n] if g_t is None else dh[:n] + g_t, np.tanh(c_new)
    of_c = dc[:n] + d * o * (1 - tanh_c * tanh_c)
    parts = (
        of_c * candidate * i * (1 - i),
        of_c * c * f * (1 - f),
        of_c * i * (1 - candidate * candidate),
        d * tanh_c * o * (1 - o),
    )
    dz_t[...] = np.concatenate(parts, axis=1)
    dc[:n] = of_c * f


lstm_backward = Kernel(
    "lstm_backward",
    "long long count, long long H, long long first, const T* g, const T* dh, T* dc, "
    "const T* gates, const T* c_before, const T* c_after, T* dz",
    _EACH
    + """
    const T* z = gates + (first + row) * 4 * H + unit;
    T i = z[0], f = z[H], candidate = z[2 * H], o = z[3 * H], tanh_c = tanh(c_after[at]);
    T d = g ? dh[element] + g[at] : dh[element];
    T of_c = dc[element] + d * o * (T(1) - tanh_c * tanh_c);
    T* out = dz + (first + row) * 4 * H + unit;
    out[0] = of_c * candidate * i * (T(1) - i);
    out[H] = of_c * c_before[at] * f * (T(1) - f);
    out[2 * H] = of_c * i * (T(1) - candidate * candidate);
    out[3 * H] = d * tanh_c * o * (T(1) - o);
    dc[element] = of_c * f;
""",
    _lstm_backward,
)


# --------------------------------------------------------------------------------- GRU


def _gru_forward(
    count: int, H: int, first: int, gates: Array, product: Array, bias: Array | None, Wh_n: Array,
    h_before: Array, h_after: Array,
) -> None:  # fmt: skip
    z, Wh, h, h_new = _rows(count, H, first, gates, Wh_n, h_before, h_after)
    p = product[: len(z)] if bias is None else product[: len(z)] + bias
    Wh[...] = p[:, 2 * H :]
    r, u = _sigmoid(z[:, :H] + p[:, :H]), _sigmoid(z[:, H : 2 * H] + p[:, H : 2 * H])
    n = np.tanh(z[:, 2 * H :] + r * Wh)
    h_new[...] = n + u * (h - n)
    z[...] = np.concatenate([r, u, n], axis=1)


gru_forward = Kernel(
    "gru_forward",
    "long long count, long long H, long long first, T* gates, const T* product, const T* bias, "
    "T* Wh_n, const T* h_before, T* h_after",
    _EACH
    + """
    T* z = gates + (first + row) * 3 * H + unit;
    const T* p = product + row * 3 * H + unit;
    const T* b = bias + unit;
    T Wh = p[2 * H] + (bias ? b[2 * H] : T(0));
    T r = sigmoid(z[0] + (p[0] + (bias ? b[0] : T(0))));
    T u = sigmoid(z[H] + (p[H] + (bias ? b[H] : T(0))));
    T n = tanh(z[2 * H] + r * Wh);
    Wh_n[at] = Wh;
    h_after[at] = n + u * (h_before[at] - n);
    z[0] = r; z[H] = u; z[2 * H] = n;
""",
    _gru_forward,
)


def _gru_backward(
    count: int, H: int, first: int, g: Array | None, dh: Array, gates: Array, Wh_n: Array,
    h_before: Array, dx: Array, dz: Array,
) -> None:  # fmt: skip
    g_t, z, Wh, h, dx_t, dz_t = _rows(count, H, first, g, gates, Wh_n, h_before, dx, dz)
    rows = len(z)
    r, u, n = np.split(z, 3, axis=1)
    d = dh[:rows] if g_t is None else dh[:rows] + g_t
    of_n = d * (1 - u) * (1 - n * n)
    of_r, of_u = of_n * Wh * r * (1 - r), d * (h - n) * u * (1 - u)
    dx_t[...] = np.concatenate([of_r, of_u, of_n], axis=1)
    dz_t[...] = np.concatenate([of_r, of_u, of_n * r], axis=1)
    dh[:rows] = d * u


gru_backward = Kernel(
    "gru_backward",
    "long long count, long long H, long long first, const T* g, T* dh, const T* gates, "
    "const T* Wh_n, const T* h_before, T* dx, T* dz",
    _EACH
    + """
    long long wide = (first + row) * 3 * H + unit;  // in an array of 3 H columns
    T r = gates[wide], u = gates[wide + H], n = gates[wide + 2 * H];
    T d = g ? dh[element] + g[at] : dh[element];
    T of_n = d * (T(1) - u) * (T(1) - n * n);
    T of_r = of_n * Wh_n[at] * r * (T(1) - r);
    T of_u = d * (h_before[at] - n) * u * (T(1) - u);
    dx[wide] = of_r; dx[wide + H] = of_u; dx[wide + 2 * H] = of_n;
    dz[wide] = of_r; dz[wide + H] = of_u; dz[wide + 2 * H] = of_n * r;
    dh[element] = d * u;
""",
    _gru_backward,
)
