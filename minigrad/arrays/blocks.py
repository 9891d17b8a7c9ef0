"""Matrix products in blocks: small ones that need no copies, and large ones for several threads.

OpenBLAS copies the matrices of a product into an order that suits its kernels. In a recurrent
layer W h has few columns, so the copy of W takes a quarter of the time, at each step anew. With
its AVX-512 kernels OpenBLAS multiplies small matrices without copies. So W is cut into blocks that
are small enough.

OpenBLAS's own threads wait for each other in loops. On a machine with other work this takes many
times as long as a product. So where OpenBLAS is told to use one thread (``OPENBLAS_NUM_THREADS=1``,
and ``MINIGRAD_NUM_THREADS=2``), large products are cut into blocks for the threads of `threads`.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from functools import cache
from typing import Any, cast

import numpy as np

from minigrad.arrays import threads
from minigrad.arrays.library import Array, array_module, on_gpu

SMALL = 1_000_000
"""Up to so many multiplications OpenBLAS takes a product as small."""

NARROWEST = 32
"""Columns of a block; with fewer, the kernels are slower."""

MOST_PARTS = 8
"""Into so many parts the inner axis is cut at most; their products have to be added."""

MOST_ROWS = 48
"""With more rows it does not pay to add the products of parts."""

LARGEST_MATRIX = 1 << 21
"""Numbers; a larger matrix does not stay in the cache, and its blocks are read too slowly."""

LARGE = 4_000_000
"""Above so many multiplications, a second thread is worth being started."""

STEP = 64
"""Kernels take so many rows or columns at once; cuts elsewhere would change the last bits."""

KERNELS = frozenset({b"Cooperlake", b"SapphireRapids", b"SkylakeX"})


@cache
def _openblas(name: str, result: Any) -> Callable[[], Any] | None:
    """OpenBLAS's function of that name, without arguments; None if NumPy's BLAS is another."""
    library = ctypes.CDLL(sys.modules["numpy._core._multiarray_umath"].__file__)
    for prefix in ("scipy_", ""):
        for suffix in ("64_", ""):
            function = getattr(library, f"{prefix}openblas_{name}{suffix}", None)
            if function is not None:
                function.restype = result
                return cast(Callable[[], Any], function)
    return None


@cache
def small_kernels() -> bool:
    """Whether NumPy's BLAS is an OpenBLAS whose kernels multiply small matrices as they are."""
    name = _openblas("get_corename", ctypes.c_char_p)
    return name is not None and name() in KERNELS


def on_one_thread() -> bool:
    """Whether NumPy's BLAS is an OpenBLAS with one thread."""
    number = _openblas("get_num_threads", ctypes.c_int)
    return number is not None and number() == 1


def product(a: Array, b: Array, out: Array | None = None) -> Array:
    """The matrix product a b; large ones are shared out over the threads, if the BLAS has one."""
    if a.size * b.shape[1] <= LARGE or on_gpu(a) or not on_one_thread():
        if out is None or a.dtype == b.dtype == out.dtype:  # for small ones faster than matmul
            return cast(Array, a.dot(b, out))
        return cast(Array, array_module(a).matmul(a, b, out=out))
    if out is None:
        out = array_module(a).empty((len(a), b.shape[1]), np.result_type(a, b))
    rows, columns = out.shape
    by_rows = rows >= columns
    length = -(-max(rows, columns) // threads.count())
    length += -length % STEP

    def of(start: int) -> None:
        here = slice(start, start + length)
        if by_rows:
            np.matmul(a[here], b, out=out[here])
        else:
            np.matmul(a, b[:, here], out=out[:, here])

    threads.share(of, range(0, max(rows, columns), length))
    return out


def sizes(rows: int, inner: int, columns: int) -> tuple[int, int]:
    """Into how many parts to cut the inner axis, and into how many blocks the columns.

    (1, 1) if the product is small, or has one row (then OpenBLAS copies nothing), or if its axes
    cannot be cut into equal pieces of a good size.
    """
    if rows * inner * columns <= SMALL or rows == 1 or inner * columns > LARGEST_MATRIX:
        return 1, 1
    most = MOST_PARTS if rows <= MOST_ROWS else 1
    for parts in (n for n in range(1, most + 1) if inner % n == 0):
        widest = SMALL * parts // (rows * inner)
        for width in range(widest, NARROWEST - 1, -1):
            if columns % width == 0:
                return parts, columns // width
    return 1, 1


def in_blocks(W: Array, rows: int) -> tuple[Callable[[Array, Any, Array], Any], Any]:
    """A function `dot`, and `W` in the form that it takes.

    ``dot(x, W, out)`` writes x W to `out`, for any x of up to `rows` rows.
    """
    inner, columns = W.shape
    parts, count = sizes(rows, inner, columns)
    xp = array_module(W)
    suitable = W.dtype == np.float32 and W.flags.c_contiguous and not on_gpu(W)
    if count == 1 or not (suitable and small_kernels() and on_one_thread()):
        return type(W).dot, W
    matmul, add = xp.matmul, xp.add.reduce
    # (parts, blocks, inner, columns), each smaller by as much
    blocks = W.reshape(parts, inner // parts, count, columns // count).swapaxes(1, 2)
    sums = xp.empty((parts, rows, columns), W.dtype)

    def by_columns(x: Array, blocks: Array, out: Array) -> None:
        matmul(x, blocks, out.reshape(len(x), count, -1).swapaxes(0, 1))

    def by_parts(x: Array, blocks: Array, out: Array) -> None:
        rows = len(x)
        products = sums[:, :rows]
        matmul(
            x.reshape(rows, parts, 1, -1).transpose(1, 2, 0, 3),
            blocks,
            products.reshape(parts, rows, count, -1).swapaxes(1, 2),
        )
        add(products, 0, None, out)

    return (by_columns, blocks[0]) if parts == 1 else (by_parts, blocks)
