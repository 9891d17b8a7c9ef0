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

from minigrad.arrays import threads
from minigrad.arrays.buffers import empty
from minigrad.arrays.library import FLOAT32, Array, array_module, on_gpu
from minigrad.arrays.recording import one_call
from minigrad.autograd.sparse import RowSparse
from minigrad.optim.kernels import Change, UpdateKernel

BLOCK = 1 << 15
"""The elements of a piece; the six arrays of an Adam step in float32 then take 800 KB of cache."""

LONG = 1 << 18
"""The elements of a piece for one NumPy call alone, which gains nothing from the cache."""

LARGE = 1 << 21
"""For fewer elements than this, another thread is not worth the time that it takes to wake it."""

Piece: TypeAlias = slice | EllipsisType | None


def pieces(array: Array, block: int) -> Sequence[Piece]:
    """The indices that cut `array` along its first axis, into pieces of about `block` elements.

    If it is small, one index stands for the whole. For an array without axes this is None, which
    gives it one: without, NumPy's functions return a number, which cannot be changed in place.
    """
    if array.size <= block or on_gpu(array):
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
    dense: list[Any] = []
    for p, g, states, numbers in changes:
        if isinstance(g, RowSparse):
            _change_rows(kernel, p, g.rows, g.values, states, numbers)
        else:
            dense.append((p, None, g, states, numbers))
    _share_out(kernel, dense)


@one_call("p", "states")
def _change_rows(
    kernel: UpdateKernel,
    p: Array,
    rows: Array,
    values: Array,
    states: tuple[Array | None, ...],
    numbers: tuple[float, ...],
) -> None:
    _share_out(kernel, [(p, rows, values, states, numbers)])


def _share_out(kernel: UpdateKernel, changes: list[Any]) -> None:
    work = [(piece, change) for change in changes for piece in pieces(change[2], BLOCK)]
    if len(work) - len(changes) < LARGE // BLOCK:
        _change(kernel, work)
    else:
        threads.deal(partial(_change, kernel), work)


def _change(kernel: UpdateKernel, work: Iterable[tuple[Piece, Any]]) -> None:
    """Change one piece after the other, in one thread.

    The kernel's function works on views. For the rows of a row-sparse gradient, and for float16, it
    works on copies (float16 becomes float32), which are put back.
    """
    made_by_numpy: list[Any] = [None] * kernel.scratch
    memory = made_by_numpy  # of this thread, for one piece after the other
    for piece, (p, rows, values, states, numbers) in work:
        if piece is ... and p.itemsize > 2 and rows is None:  # nothing to cut or copy
            kernel.change(p, values, *states, *made_by_numpy, *numbers)
            continue
        here = piece if rows is None else rows[piece]
        part, gradient = p[here], values[piece]
        remembered = [x if x is None else x[here] for x in states]
        if is_half := p.itemsize == 2:
            part, gradient = part.astype(FLOAT32), gradient.astype(FLOAT32)
        scratch = made_by_numpy
        if isinstance(piece, slice):
            if memory[0] is None or not _fits(memory[0], part):
                memory = [empty(array_module(part), part.shape, part.dtype) for _ in memory]
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
