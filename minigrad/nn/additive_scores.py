"""The scores of additive attention for all queries and keys at once.

The tanh is one number for each query, key and hidden unit: far more than go in or come out. So the
fused op computes it for a few sequences at a time, which fit into a core's cache, keeps none of it,
and computes it again in the backward pass.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from minigrad.arrays.buffers import empty
from minigrad.arrays.library import Array, array_module, on_gpu
from minigrad.arrays.sums import total, wide
from minigrad.autograd.fused import fused
from minigrad.ops import expand_dims, matmul, tanh

BLOCK = 1 << 17
"""On a CPU, so many numbers at a time, or those of one sequence."""


def composed_scores(q: Any, k: Any, v: Any) -> Any:
    """Composed of plain ops: the twin of the fused one."""
    return matmul(tanh(expand_dims(q, -2) + expand_dims(k, -3)), v)


def _tanhs(q: Array, k: Array, v: Array) -> Iterator[tuple[slice, Any]]:
    """tanh(q_t + k_s) of some sequences at a time: which, and an array (n, T, S, hidden)."""
    xp, (N, T, H), S = array_module(q), q.shape, k.shape[1]
    dtype = wide(np.result_type(q.dtype, k.dtype, v.dtype))
    n = max(1, N if on_gpu(q) else BLOCK // max(1, T * S * H))
    for start in range(0, N, n):
        block = slice(start, min(start + n, N))
        z = empty(xp, (block.stop - start, T, S, H), dtype)
        xp.add(q[block, :, None], k[block, None], out=z, dtype=dtype)
        yield block, xp.tanh(z, out=z)


def _batched(x: Array) -> Array:
    """`x` (..., T, hidden) with one axis for all before T."""
    return x.reshape(math.prod(x.shape[:-2]), *x.shape[-2:])


def _scores_backward(g: Array, q: Array, k: Array, v: Array) -> list[Array]:
    """With z = tanh(q_t + k_s) and e_ts = v^T z, g that of e.

    ::

        dv = sum of g_ts z
        d(q_t + k_s) = g_ts v * (1 - z^2)           so dq_t is its sum over s, and dk_s that over t
    """
    xp, H, of_v = array_module(g), v.shape[0], []
    dtype = wide(np.result_type(q.dtype, k.dtype, v.dtype))
    dq, dk = (xp.empty(_batched(x).shape, dtype) for x in (q, k))
    g = _batched(g).astype(dtype, copy=False)
    for block, z in _tanhs(_batched(q), _batched(k), v):
        of_v.append(g[block].reshape(-1) @ z.reshape(-1, H))  # sum of g_ts z
        xp.multiply(z, z, out=z)
        xp.subtract(1, z, out=z)
        xp.multiply(z, g[block][..., None], out=z)  # g_ts (1 - z^2)
        dq[block], dk[block] = total(z, 2), total(z, 1)
    dv = total(xp.stack(of_v), 0) if of_v else xp.zeros(H, dtype)
    return [
        (d * by).reshape(x.shape).astype(x.dtype, copy=False)
        for d, by, x in ((dq, v, q), (dk, v, k), (dv, 1, v))
    ]


@fused(twin=composed_scores, backward=_scores_backward, inputs=["q", "k", "v"])
def additive_scores(q: Any, k: Any, v: Any) -> tuple[Any, Any]:
    """v^T tanh(q_t + k_s), of shape (..., T, S), from (..., T, hidden) and (..., S, hidden)."""
    dtype = np.result_type(q.dtype, k.dtype, v.dtype)
    scores = array_module(q).empty((*q.shape[:-1], k.shape[-2]), dtype)
    out = _batched(scores)
    for block, z in _tanhs(_batched(q), _batched(k), v):
        out[block] = (z.reshape(-1, len(v)) @ v).reshape(out[block].shape)
    return scores, None
