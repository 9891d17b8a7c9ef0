"""How one array, of which every rank has partial sums, becomes the mean on every rank.

Each rank is sent its own piece of all partial sums, adds these up, and gives the result to all
others. So each rank does an equal part of the work, and sends and gets about twice the array,
however many ranks there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.arrays.buffers import empty
from minigrad.arrays.library import Array, array_module
from minigrad.arrays.sums import wide
from minigrad.autograd.sparse import RowSparse
from minigrad.distributed.communicator import Communicator
from minigrad.distributed.shard_tree import Node, summed
from minigrad.tensor import Tensor


def plus(left: Any, right: Any) -> Any:
    """The sum of two gradients, in place of the left array; None, no gradient, adds nothing."""
    if left is None or right is None:
        return left if right is None else right
    if isinstance(left, RowSparse):
        return left + right
    return array_module(left).add(left, right, out=left)


def exact_mean(
    communicator: Communicator,
    own: Sequence[Array | None],
    there: Sequence[Sequence[bool]],
    nodes: Sequence[Sequence[Node]],
    shards: int,
    like: Tensor,
) -> Array:
    """The mean over all shards, summed along the tree.

    Parameters
    ----------
    own
        this rank's partial sums, arrays of one axis, one for each of its nodes; they are changed.
    there
        for each rank, which of its nodes have one.
    nodes
        for each rank, its nodes.
    shards
        their number.
    like
        a Tensor on the same device, whose dtype, if it is no float16, is that of the sums.
    """
    rank, size, xp = communicator.rank, communicator.size, array_module(like)
    dtype = wide(like.dtype)
    length = next((len(x) for x in own if x is not None), like.size)
    bounds = [length * r // size for r in range(size + 1)]
    mine = slice(bounds[rank], bounds[rank + 1])
    nothing = xp.empty(0, dtype)
    pieces: dict[Node, Array | None] = {}
    for k in range(max(map(len, nodes))):
        vector = own[k] if k < len(own) else None
        send, receive = [nothing] * size, [nothing] * size
        for r in range(size):
            if r != rank and vector is not None:
                send[r] = vector[bounds[r] : bounds[r + 1]]
            if r != rank and k < len(nodes[r]) and there[r][k]:
                receive[r] = empty(xp, (mine.stop - mine.start,), dtype)
        communicator.swap(send, receive)
        for r in range(size):
            if k < len(nodes[r]):
                piece = receive[r] if r != rank else None if vector is None else vector[mine]
                pieces[nodes[r][k]] = piece if there[r][k] else None
    total = summed(pieces, shards, plus)
    whole = next((x for x in own if x is not None), None)
    whole = empty(xp, (length,), dtype) if whole is None else whole
    xp.divide(total, shards, out=whole[mine])
    communicator.share(whole, bounds)
    return whole


def fast_mean(
    communicator: Communicator, own: Sequence[Array | None], shards: int, like: Tensor
) -> Array:
    """The mean over all shards, where the ranks' sums are added by an all-reduce.

    The parameters are those of `exact_mean`.
    """
    total = None
    for x in own:
        total = plus(total, x)
    if total is None:
        total = array_module(like).zeros(like.size, wide(like.dtype))
    communicator.all_reduce(total)
    return array_module(total).divide(total, shards, out=total)


def sparse_mean(
    communicator: Communicator,
    own: Sequence[RowSparse | None],
    nodes: Sequence[Sequence[Node]],
    shards: int,
    like: Tensor,
) -> RowSparse:
    """The mean over all shards of row-sparse gradients, summed along the tree.

    Each rank sums its own piece here, too: so many rows of the matrix. So a rank sends each of its
    rows once, and gets each row of the mean once, however many ranks there are. The parameters are
    those of `exact_mean`.
    """
    xp, size, shape = array_module(like), communicator.size, (like.shape[0], like.shape[1])
    nothing = RowSparse(xp.empty(0, np.int64), xp.empty((0, shape[1]), wide(like.dtype)), shape)
    sums = [nothing if x is None else x for x in own]
    edges = xp.asarray([shape[0] * r // size for r in range(size + 1)])
    cuts = [xp.searchsorted(x.rows, edges).tolist() for x in sums]
    # of each rank, for each of its nodes: how many rows it sends to this one
    sizes = communicator.gather(np.diff(cuts).tolist())
    coming = [[to[communicator.rank] for to in of_nodes] for of_nodes in sizes]
    lengths = list(map(sum, coming))

    def swapped(arrays: list[Array], width: int) -> list[Array]:
        send = [
            xp.concatenate([x[cut[r] : cut[r + 1]] for x, cut in zip(arrays, cuts, strict=True)])
            for r in range(size)
        ]
        receive = [empty(xp, (length * width,), send[0].dtype) for length in lengths]
        communicator.swap([x.reshape(-1) for x in send], receive)
        return receive

    rows = swapped([x.rows for x in sums], 1)
    values = swapped([x.values for x in sums], shape[1])
    pieces: dict[Node, Any] = {}
    for rank, counts in enumerate(coming):
        ends = np.cumsum(counts).tolist()
        for node, count, end in zip(nodes[rank], counts, ends, strict=True):
            part = slice(end - count, end)
            matrix = values[rank].reshape(lengths[rank], shape[1])
            pieces[node] = RowSparse(rows[rank][part], matrix[part], shape)
    piece = summed(pieces, shards, plus)
    xp.divide(piece.values, shards, out=piece.values)
    return _joined(communicator, piece)


def _joined(communicator: Communicator, piece: RowSparse) -> RowSparse:
    """The rows of all ranks' pieces, which follow each other, on every rank."""
    xp, rank, width = array_module(piece.values), communicator.rank, piece.shape[1]
    bounds = np.cumsum([0, *communicator.gather(len(piece.rows))]).tolist()
    rows = empty(xp, (bounds[-1],), np.int64)
    values = empty(xp, (bounds[-1], width), piece.dtype)
    rows[bounds[rank] : bounds[rank + 1]] = piece.rows
    values[bounds[rank] : bounds[rank + 1]] = piece.values
    communicator.share(rows, bounds)
    communicator.share(values.reshape(-1), [bound * width for bound in bounds])
    return RowSparse(rows, values, piece.shape)
