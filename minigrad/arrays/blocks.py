"""Products with one matrix at every time step, in blocks that OpenBLAS multiplies as they are.

OpenBLAS copies the matrices of a product into an order that suits its kernels. In a recurrent
layer W h has few columns, so the copy of W takes a quarter of the time, at each step anew. With
its AVX-512 kernels OpenBLAS multiplies small matrices without copies. And it does so on one thread:
it never waits for another, which may be busy. So W is cut into blocks that are small enough.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from minigrad.arrays import threads
from minigrad.arrays.library import Array, array_module

SMALL = 1_000_000
"""Up to so many multiplications OpenBLAS takes a product as small."""

NARROWEST = 32
"""Columns of a block; with fewer, the kernels are slower."""

MOST_PARTS = 8
"""Into so many parts the inner axis is cut at most; their products have to be added."""

WORTH_THREADS = 1 << 23
"""Above so many multiplications, the BLAS on several threads is faster."""

KERNELS = frozenset({b"Cooperlake", b"SapphireRapids", b"SkylakeX"})


@cache
def small_kernels() -> bool:
    """Whether NumPy's BLAS is an OpenBLAS whose kernels multiply small matrices as they are."""
    library = ctypes.CDLL(sys.modules["numpy._core._multiarray_umath"].__file__)
    for prefix in ("scipy_", ""):
        for suffix in ("64_", ""):
            name = getattr(library, f"{prefix}openblas_get_corename{suffix}", None)
            if name is not None:
                name.restype = ctypes.c_char_p
                return name() in KERNELS
    return False


def sizes(rows: int, inner: int, columns: int) -> tuple[int, int]:
    """Into how many parts to cut the inner axis, and into how many blocks the columns.

    (1, 1) if the product is small, or if its axes cannot be cut into equal pieces of a good size.
    """
    multiplications = rows * inner * columns
    if multiplications <= SMALL or (multiplications > WORTH_THREADS and threads.count() > 1):
        return 1, 1
    for parts in (n for n in range(1, MOST_PARTS + 1) if inner % n == 0):
        widest = SMALL * parts // (rows * inner)
        for width in range(widest, NARROWEST - 1, -1):
            if columns % width == 0:
                return parts, columns // width
    return 1, 1


def times(W: Array, rows: int) -> Callable[[Array, Array], Any]:
    """A function of x and `out` that writes x W to `out`, for any x of up to `rows` rows."""
    inner, columns = W.shape
    parts, count = 1, 1
    suitable = W.dtype == np.float32 and W.flags.c_contiguous and array_module(W) is np
    if suitable and small_kernels():
        parts, count = sizes(rows, inner, columns)
    if count == 1:
        return lambda x, out: x.dot(W, out)
    matmul, add = np.matmul, np.add.reduce
    # (parts, blocks, inner, columns), each smaller by as much
    blocks = W.reshape(parts, inner // parts, count, columns // count).swapaxes(1, 2)
    sums = np.empty((parts, rows, columns), W.dtype)

    def of_columns(x: Array, out: Array) -> None:
        matmul(x, blocks[0], out.reshape(len(x), count, -1).swapaxes(0, 1))

    def of_parts(x: Array, out: Array) -> None:
        rows = len(x)
        products = sums[:, :rows]
        matmul(
            x.reshape(rows, parts, 1, -1).transpose(1, 2, 0, 3),
            blocks,
            products.reshape(parts, rows, count, -1).swapaxes(1, 2),
        )
        add(products, 0, None, out)

    return of_columns if parts == 1 else of_parts
