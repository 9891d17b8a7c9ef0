"""Kernels on the rows of matrices: looking them up, adding them up, and softmax cross-entropy.

On a GPU nobody looks whether ids are in range before they are used, since the answer would have to
come to the host. A row that is looked up outside the matrix is NaN here, and so is the loss of a
target that is no class: what is wrong shows, and memory stays whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.arrays.kernel import THREADS, Kernel

Array = np.ndarray[Any, Any]

_BLOCK_SUMS = f"""
    __shared__ T shared[{THREADS}];
    int thread = threadIdx.x;
    auto reduced = [&](T value, bool largest) {{   // over all threads; each is given the result
        __syncthreads();
        shared[thread] = value;
        for (int half = {THREADS} / 2; half > 0; half /= 2) {{
            __syncthreads();
            if (thread < half) {{
                T a = shared[thread], b = shared[thread + half];
                shared[thread] = largest ? (b > a || b != b ? b : a) : a + b;
            }}
        }}
        __syncthreads();
        return shared[0];
    }};
"""


# ------------------------------------------------------------------------ cross-entropy


def _cross_entropy(
    V: int, z: Array, bias: Array | None, targets: Array, ignore_index: int, smoothing: float,
    share: Array | None, losses: Array,
) -> None:  # fmt: skip
    z, losses = z.reshape(targets.size, V), losses.reshape(-1)
    for row, y in enumerate(targets.reshape(-1).tolist()):
        if y == ignore_index:
            losses[row] = 0
            z[row] = 0
            continue
        logits = z[row] if bias is None else z[row] + bias
        if not 0 <= y < V:
            losses[row] = z[row] = np.nan
            continue
        with np.errstate(invalid="ignore"):  # infinity minus infinity
            shifted = logits - logits.max()
        total = np.exp(shifted).sum()
        losses[row] = np.log(total) - ((1 - smoothing) * shifted[y] if smoothing < 1 else 0)
        if smoothing:
            losses[row] -= smoothing / V * shifted.sum()
        z[row] = np.exp(shifted) / total
        if share is not None:
            z[row] -= smoothing / V
            z[row, y] -= 1 - smoothing
            z[row] *= share[row]


cross_entropy_rows = Kernel(
    "cross_entropy_rows",
    "long long V, T* z, const T* bias, const long long* targets, long long ignore_index, "
    "double smoothing, const T* share, T* losses",
    _BLOCK_SUMS
    + """
    long long row = blockIdx.x, y = targets[row];
    z += row * V;
    if (y == ignore_index || y < 0 || y >= V) {
        T value = y == ignore_index ? T(0) : NOT_A_NUMBER;
        for (long long v = thread; v < V; v += blockDim.x) z[v] = value;
        if (thread == 0) losses[row] = value;
        return;
    }
    T top = -INFINITE, all = T(0);
    for (long long v = thread; v < V; v += blockDim.x) {
        T value = bias ? z[v] + bias[v] : z[v];
        if (bias) z[v] = value;
        top = value > top || value != value ? value : top;
    }
    top = reduced(top, true);
    T picked = z[y] - top, sum = T(0);
    for (long long v = thread; v < V; v += blockDim.x) {
        T shifted = z[v] - top;
        if (smoothing != 0) all += shifted;
        sum += exp(shifted);
    }
    sum = reduced(sum, false);
    T kept = T(1 - smoothing), spread = T(smoothing / V);
    if (smoothing != 0) all = reduced(all, false);
    if (thread == 0) losses[row] = log(sum) - (kept != 0 ? kept * picked : T(0)) - spread * all;
    T inverse = T(1) / sum;
    for (long long v = thread; v < V; v += blockDim.x) {
        T p = exp(z[v] - top) * inverse;
        z[v] = share ? (p - spread - (v == y ? kept : T(0))) * share[row] : p;
    }
""",
    _cross_entropy,
)
"""Softmax cross-entropy of each row of logits `z` + `bias`, with a block for each row.

`z` becomes the softmax; or, with a `share` of each row in the whole loss, the gradient of that
with respect to the logits. Rows whose target is `ignore_index` get zeros for both.
"""


# ------------------------------------------------------------------- rows by their number


def _take_rows(
    count: int, width: int, rows: int, by_row: int, by_column: int, ids: Array, matrix: Array,
    out: Array,
) -> None:  # fmt: skip
    flat, out = matrix.reshape(-1), out.reshape(ids.size, width)
    for i, row in enumerate(ids.reshape(-1).tolist()):
        inside = 0 <= row < rows
        out[i] = flat[row * by_row + np.arange(width) * by_column] if inside else np.nan


take_rows = Kernel(
    "take_rows",
    "long long count, long long width, long long rows, long long by_row, long long by_column, "
    "const long long* ids, const T* matrix, T* out",
    """
    long long element = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (element >= count) return;
    long long row = ids[element / width], column = element % width;
    bool inside = 0 <= row && row < rows;
    out[element] = inside ? matrix[row * by_row + column * by_column] : NOT_A_NUMBER;
""",
    _take_rows,
)
"""Row `ids` of a matrix, for each id, of which the element (i, j) is at i by_row + j by_column."""


# ------------------------------------------------------------------------------- dropout

_PHILOX = (0xD2511F53, 0xCD9E8D57), (0x9E3779B9, 0xBB67AE85)  # multipliers, and steps of the key
_WORD = np.uint64(0xFFFFFFFF)


def philox(counter: Sequence[Array], key: int) -> list[Array]:
    """Four 32-bit random words for each counter, and for one key of 64 bits: Philox-4x32-10.

    Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (2011). Counters
    and results are four arrays of 32-bit words.
    """
    x, k = [word.astype(np.uint64) for word in counter], [key & 0xFFFFFFFF, key >> 32]
    for _ in range(10):
        a, b = np.uint64(_PHILOX[0][0]) * x[0], np.uint64(_PHILOX[0][1]) * x[2]
        x = [
            (b >> np.uint64(32)) ^ x[1] ^ np.uint64(k[0]),
            b & _WORD,
            (a >> np.uint64(32)) ^ x[3] ^ np.uint64(k[1]),
            a & _WORD,
        ]
        k = [(word + step) & 0xFFFFFFFF for word, step in zip(k, _PHILOX[1], strict=True)]
    return [word.astype(np.uint32) for word in x]


def _dropout_mask(count: int, low: int, high: int, drop: int, kept: Array) -> None:
    fours = np.arange(-(-count // 4), dtype=np.uint64)
    zero = np.zeros_like(fours)
    words = philox([fours & _WORD, fours >> np.uint64(32), zero, zero], high << 32 | low)
    draws = np.stack(words, axis=1).reshape(-1)[:count]
    kept.reshape(-1)[...] = draws >= drop


dropout_mask = Kernel(
    "dropout_mask",
    "long long count, long long low, long long high, long long drop, bool* kept",
    """
    unsigned long long four = blockIdx.x * (unsigned long long)blockDim.x + threadIdx.x;
    if (four * 4 >= count) return;
    unsigned x0 = (unsigned)four, x1 = (unsigned)(four >> 32), x2 = 0, x3 = 0;
    unsigned k0 = (unsigned)low, k1 = (unsigned)high;
    for (int round = 0; round < 10; round++) {
        unsigned long long a = 0xD2511F53ull * x0, b = 0xCD9E8D57ull * x2;
        unsigned y0 = (unsigned)(b >> 32) ^ x1 ^ k0, y2 = (unsigned)(a >> 32) ^ x3 ^ k1;
        x1 = (unsigned)b; x3 = (unsigned)a; x0 = y0; x2 = y2;
        k0 += 0x9E3779B9u; k1 += 0xBB67AE85u;
    }
    unsigned words[4] = {x0, x1, x2, x3};
    for (int j = 0; j < 4; j++)
        if (four * 4 + j < count) kept[four * 4 + j] = words[j] >= drop;
""",
    _dropout_mask,
)
"""Whether a random 32-bit word is at least `drop`; the words are a function of the 64-bit key,
given in two halves, and of where in `kept` they are. A thread for each four."""
