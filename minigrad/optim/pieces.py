"""Large arrays, piece by piece: the pieces stay in the processor's cache, and all cores work.

An update like Adam's is a dozen NumPy calls, and each of them reads and writes whole arrays. If the
arrays have many megabytes, each call fetches everything from memory again. If they are cut into
pieces that fit into the cache, only the first call does. And several threads can share the pieces.
(Not those of clipping: there, one core is about as fast as the memory.) On a GPU an array is one
piece: each call costs a launch there, and the caches are small.

Where an array is cut does not depend on the number of threads, and so the results do not either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from types import EllipsisType
from typing import Any, TypeAlias

import numpy as np

from minigrad.arrays import threads
from minigrad.arrays.buffers import empty
from minigrad.arrays.library import FLOAT32, Array, array_module
from minigrad.autograd.sparse import RowSparse, elements
from minigrad.optim.kernels import UpdateKernel

BLOCK = 1 << 15
"""The elements of a piece; the six arrays of an Adam step in float32 then take 800 KB of cache."""

LONG = 1 << 18
"""The elements of a piece for one NumPy call alone, which gains nothing from the cache."""

LARGE = 1 << 21
"""For fewer elements than this, another thread is not worth the time that it takes to wake it."""

Piece: TypeAlias = slice | EllipsisType | None
Change: TypeAlias = tuple[Array, Array | RowSparse, tuple[Array | None, ...], tuple[float, ...]]
"""A parameter, its gradient, what is remembered of it, and the numbers of its update."""


def pieces(array: Array, block: int) -> Sequence[Piece]:
    """The indices that cut `array` along its first axis, into pieces of about `block` elements.

    If it is small, one index stands for the whole. For an array without axes this is None, which
    gives it one: without, NumPy's functions return a number, which cannot be changed in place.
    """
    if array.size <= block or array_module(array) is not np:
        return (... if array.ndim else None,)
    rows = len(array)
    step = max(1, block * rows // array.size)
    return [slice(start, start + step) for start in range(0, rows, step)]


def of_pieces(function: Callable[[Array], Any], arrays: Sequence[Array], block: int) -> list[Any]:
    """What `function` returns for each piece of the first array, of the second, and so on."""
    results = []
    for x in arrays:
        if x.size <= block:
            results.append(function(x))
        else:
            results += [function(x[piece]) for piece in pieces(x, block)]
    return results


def change_all(kernel: UpdateKernel, changes: Sequence[Change]) -> None:
    """Step parameters in place, piece by piece, with the kernel's function of arrays."""
    work = [(piece, change) for change in changes for piece in pieces(elements(change[1]), BLOCK)]
    if len(work) - len(changes) < LARGE // BLOCK:
        _change(kernel, work)
    else:
        # Each thread takes the next piece. So it does little if its core is busy with something
        # else, as with a thread of OpenBLAS, which spins for milliseconds after a product.
        threads.share(partial(_change, kernel), [iter(work)] * threads.count())


def _change(kernel: UpdateKernel, work: Iterable[tuple[Piece, Change]]) -> None:
    """Change one piece after the other, in one thread.

    The kernel's function works on views. For the rows of a row-sparse gradient, and for float16, it
    works on copies (float16 becomes float32), which are put back.
    """
    made_by_numpy: list[Any] = [None] * kernel.scratch
    memory = made_by_numpy  # of this thread, for one piece after the other
    for piece, (p, g, states, numbers) in work:
        if piece is ... and p.itemsize > 2 and not isinstance(g, RowSparse):  # no copies
            kernel.change(p, g, *states, *made_by_numpy, *numbers)
            continue
        rows, values = (g.rows, g.values) if isinstance(g, RowSparse) else (None, g)
        here = piece if rows is None else rows[piece]
        part, gradient = p[here], values[piece]
        remembered = [x if x is None else x[here] for x in states]
        if is_half := p.itemsize == 2:
            part, gradient = part.astype(FLOAT32), gradient.astype(FLOAT32)
        scratch = made_by_numpy
        if isinstance(piece, slice):
            if memory[0] is None or not _fits(memory[0], part):
                memory = [empty(np, part.shape, part.dtype) for _ in memory]
            scratch = [m[: len(part)] for m in memory]
        kernel.change(part, gradient, *remembered, *scratch, *numbers)
        if is_half or rows is not None:
            p[here] = part
        if rows is not None:
            for x, changed in zip(states, remembered, strict=True):
                if x is not None:
                    x[here] = changed


def _fits(memory: Array, part: Array) -> bool:
    """Whether the first rows of `memory` are like `part`."""
    like = memory.shape[1:] == part.shape[1:] and memory.dtype == part.dtype
    return like and len(memory) >= len(part)
