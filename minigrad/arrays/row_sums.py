"""Rows added up by their ids on a GPU, in one fixed order, which atomic additions do not have."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.arrays.kernel import THREADS, Kernel

Array = np.ndarray[Any, Any]


def add_rows(total: Array, ids: Array, rows: Array) -> None:
    """``total[ids[k]] += rows[k]`` for all k, in place; ids outside the matrix are left out.

    All are contiguous arrays on a GPU: `total` and `rows` in float32 or float64, `ids` in int64.
    """
    for start in range(0, len(ids), _CHUNK):
        some = ids[start : start + _CHUNK]
        _kernel(
            len(some), THREADS, rows.dtype,
            len(some), total.shape[1], total.shape[0], some, rows[start : start + _CHUNK], total,
        )  # fmt: skip


_CHUNK = 1 << 14  # ids of one launch: each is compared with all of them


def _oracle(many: int, width: int, rows: int, ids: Array, values: Array, total: Array) -> None:
    values, ids = values.reshape(ids.size, width), ids.reshape(-1)
    inside = (ids >= 0) & (ids < rows)
    sums = total.astype(np.float64)
    np.add.at(sums, ids[inside], values[inside])
    total[...] = sums


_kernel = Kernel(
    "add_rows",
    "long long many, long long width, long long rows, const long long* ids, const T* values, "
    "T* total",
    f"""
    __shared__ int earlier;
    long long mine = blockIdx.x, row = ids[mine];
    if (row < 0 || row >= rows) return;
    if (threadIdx.x == 0) earlier = 0;
    __syncthreads();
    for (long long k = threadIdx.x; k < mine; k += blockDim.x) if (ids[k] == row) earlier = 1;
    __syncthreads();
    if (earlier) return;                            // the block of that one adds mine up too
    __shared__ int same[{THREADS}], list[{THREADS}];
    for (long long start = mine; start < many; start += blockDim.x) {{
        long long k = start + threadIdx.x;
        same[threadIdx.x] = k < many && ids[k] == row;
        int found = __syncthreads_count(same[threadIdx.x]);
        if (same[threadIdx.x]) {{                   // list those of this id, in their order
            int before = 0;
            for (int j = 0; j < threadIdx.x; j++) before += same[j];
            list[before] = threadIdx.x;
        }}
        __syncthreads();
        for (long long column = threadIdx.x; column < width; column += blockDim.x) {{
            if (!found) break;
            double sum = total[row * width + column];  // for rows that are there 100,000 times
            for (int n = 0; n < found; n++) sum += values[(start + list[n]) * width + column];
            total[row * width + column] = T(sum);
        }}
        __syncthreads();
    }}
""",
    _oracle,
)
"""A block for each id; that of the first of equal ones adds up all of them."""
