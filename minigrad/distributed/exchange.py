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
    communicator: Communicator,
    own: Sequence[Array | None],
    there: Sequence[Sequence[bool]],
    nodes: Sequence[Sequence[Node]],
    shards: int,
    like: Tensor,
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
    counts: Sequence[Sequence[int]],
    nodes: Sequence[Sequence[Node]],
    shards: int,
    like: Tensor,
) -> RowSparse:
    """The mean over all shards of row-sparse gradients, summed along the tree on every rank.

    `counts` are, for each rank and node, the numbers of rows. The other parameters are those of
    `exact_mean`.
    """
    shape, xp = like.shape, array_module(like)
    bounds = np.cumsum([0, *map(sum, counts)]).tolist()
    rows = empty(xp, (bounds[-1],), np.int64)
    values = empty(xp, (bounds[-1], shape[1]), wide(like.dtype))
    start = bounds[communicator.rank]
    for x in own:
        if x is not None:
            rows[start : start + len(x.rows)] = x.rows
            values[start : start + len(x.rows)] = x.values
            start += len(x.rows)
    communicator.share(rows, bounds)
    communicator.share(values.reshape(-1), [bound * shape[1] for bound in bounds])
    pieces: dict[Node, Any] = {}
    start = 0
    for numbers, its_nodes in zip(counts, nodes, strict=True):
        for count, node in zip(numbers, its_nodes, strict=True):
            end = start + count
            pieces[node] = RowSparse(rows[start:end], values[start:end], (shape[0], shape[1]))
            start = end
    total: RowSparse = summed(pieces, shards, plus)
    xp.divide(total.values, shards, out=total.values)
    return total
