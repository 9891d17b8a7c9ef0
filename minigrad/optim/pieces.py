"""Large arrays, piece by piece, so that the pieces stay in the processor's cache.

An update like Adam's is a dozen NumPy calls, and each of them reads and writes whole arrays. If the
arrays have many megabytes, each call fetches everything from memory again. If they are cut into
pieces that fit into the cache, only the first call does. On a GPU an array is one piece: each call
costs a launch there, and the caches are small.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import EllipsisType
from typing import Any

from minigrad.arrays.buffers import empty
from minigrad.arrays.library import FLOAT32, Array, array_module, on_gpu
from minigrad.arrays.recording import one_call
from minigrad.autograd.sparse import RowSparse
from minigrad.optim.kernels import Change, UpdateKernel

BLOCK = 1 << 15
"""The elements of a piece; the six arrays of an Adam step in float32 then take 800 KB of cache."""


def pieces(array: Array) -> Sequence[slice | EllipsisType | None]:
    """The indices that cut `array` along its first axis; one index for the whole if it is small.

    For an array without axes this is None, which gives it an axis: of such an array, NumPy's
    functions return a number, in which nothing can be changed in place.
    """
    if array.size <= BLOCK or on_gpu(array):
        return (... if array.ndim else None,)
    rows = len(array)
    step = max(1, BLOCK * rows // array.size)
    return [slice(start, start + step) for start in range(0, rows, step)]


def of_pieces(function: Callable[[Array], Any], arrays: Sequence[Array]) -> list[Any]:
    """What `function` returns for each piece of the first array, of the second, and so on."""
    return [function(x[piece]) for x in arrays for piece in pieces(x)]


def change_all(kernel: UpdateKernel, changes: Sequence[Change]) -> None:
    """Step parameters in place, piece by piece, with the kernel's function of arrays.

    It works on views. For the rows of a row-sparse gradient, and for float16, it works on copies
    (float16 becomes float32), which are put back.
    """
    for p, g, states, numbers in changes:
        if isinstance(g, RowSparse):
            _change_rows(kernel, p, g.rows, g.values, states, numbers)
        else:
            _change(kernel, p, None, g, states, numbers)


def _change(
    kernel: UpdateKernel,
    p: Array,
    rows: Array | None,
    values: Array,
    states: tuple[Array | None, ...],
    numbers: tuple[float, ...],
) -> None:
    scratch: list[Any] = [None] * kernel.scratch  # NumPy makes what it needs
    for piece in pieces(values):
        here = piece if rows is None else rows[piece]
        part, gradient = p[here], values[piece]
        remembered = [x if x is None else x[here] for x in states]
        if is_half := p.itemsize == 2:
            part, gradient = part.astype(FLOAT32), gradient.astype(FLOAT32)
        if isinstance(piece, slice):
            if scratch[0] is None:
                scratch = [empty(array_module(part), part.shape, part.dtype) for _ in scratch]
            scratch = [s[: len(part)] for s in scratch]
        kernel.change(part, gradient, *remembered, *scratch, *numbers)
        if is_half or rows is not None:
            p[here] = part
        if rows is not None:
            for x, changed in zip(states, remembered, strict=True):
                if x is not None:
                    x[here] = changed


_change_rows = one_call("p", "states")(_change)
