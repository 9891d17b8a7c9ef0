"""Make the gradients of all shards of a batch, on all ranks, their mean."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np

from minigrad.arrays.buffers import empty
from minigrad.arrays.library import Array, array_module, on_gpu
from minigrad.arrays.sums import wide
from minigrad.autograd.sparse import RowSparse, elements
from minigrad.distributed.communicator import Communicator
from minigrad.distributed.exchange import exact_mean, fast_mean, plus, sparse_mean
from minigrad.distributed.shard_tree import PartialSums, nodes_of, part
from minigrad.errors.values import told
from minigrad.optim.arguments import in_order
from minigrad.tensor import Tensor, mark_changed, wrap

SMALL = 1 << 18
"""Elements; gradients of fewer are put together, and exchanged as one array of about so many."""

Gradient: TypeAlias = Array | RowSparse | None  # an array of one axis; None: no gradient


class GradientAverage:
    """The mean over `shards` parts of a batch, some on each rank, of the parts' gradients.

    ::

        mean = GradientAverage(model.parameters(), shards=8, communicator=world())
        for batch in batches:
            for shard in mean.own:  # the numbers of the shards that this rank computes
                loss = loss_of(model, batch, shard)
                loss.backward()
                mean.add(loss)
            [loss] = mean.finish()  # .grad is now the mean over all shards, on every rank
            clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()

    The gradients are summed in one fixed order, a tree over the numbers of the shards, wherever
    they are. So the mean has the same bits with 1, 2 or 8 ranks. With one shard nothing is done.

    Parameters
    ----------
    parameters
        whose ``.grad`` to average; the same on every rank, in the same order.
    shards
        the number of parts of the batch, at least the number of ranks.
    communicator
        the line to the other ranks (`minigrad.distributed.world`).
    reduce
        ``"exact"``; or ``"fast"``: the ranks' sums are added by MPI's (or NCCL's) all-reduce,
        in an order that may depend on the number of ranks.

    Attributes
    ----------
    own : range
        the numbers of the shards that this rank computes, neighbouring ones.

    Raises
    ------
    ValueError
        if there are fewer shards than ranks, or `reduce` is neither.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        shards: int,
        communicator: Communicator,
        reduce: str = "exact",
    ) -> None:
        if reduce not in ("exact", "fast"):
            raise ValueError(f'GradientAverage: reduce must be "exact" or "fast", not {reduce!r}')
        if shards < communicator.size:
            raise ValueError(
                f"GradientAverage: {shards} shards for {communicator.size} ranks; each rank needs "
                "one at least"
            )
        self._parameters = list(dict.fromkeys(in_order(parameters, "GradientAverage")))
        self.shards, self.reduce, self._communicator = shards, reduce, communicator
        self.own = part(shards, communicator.size, communicator.rank)
        self._nodes = [
            nodes_of(shards, part(shards, communicator.size, rank))
            for rank in range(communicator.size)
        ]
        self._begin()

    def _begin(self) -> None:
        self._added = 0
        self._books = PartialSums(self.shards, self.own.start)
        self._sums: list[list[Gradient]] = []  # of the nodes of this rank
        self._like: list[Tensor] = list(self._parameters)  # what is averaged: and the numbers
        self._as_given: list[Any] = []  # if there is one shard alone

    def add(self, *numbers: Tensor) -> None:
        """Take the gradients of the next of this rank's shards; each ``.grad`` is then None.

        Parameters
        ----------
        numbers
            Tensors of one number each that are averaged too, such as the loss; as many for each
            shard.

        Raises
        ------
        RuntimeError
            if all shards of this rank are there already.
        ValueError
            if a gradient does not fit its parameter, or one is row-sparse and another of the same
            parameter is not.
        """
        if self._added == len(self.own):
            raise RuntimeError(
                f"GradientAverage: rank {self._communicator.rank} has {len(self.own)} of "
                f"{self.shards} shards, and all of them were added; call finish()"
            )
        for i, number in enumerate(numbers):
            if getattr(number, "shape", None) != () or number.dtype.kind != "f":
                raise ValueError(
                    f"GradientAverage: number {i} must be a Tensor of one floating-point number "
                    f"without axes, got {told(number)}"
                )
        if self._added == 0:
            self._like += numbers
        if len(numbers) != len(self._like) - len(self._parameters):
            raise ValueError(
                f"GradientAverage: {len(numbers)} numbers are added with this shard, and "
                f"{len(self._like) - len(self._parameters)} with the first one"
            )
        self._added += 1
        given = [*(p.grad for p in self._parameters), *numbers]
        for p in self._parameters:
            p.grad = None
        if self.shards == 1:
            self._as_given = given
            return
        last = self._added == len(self.own)
        seen: set[int] = set()
        sums = []
        for i, g in enumerate(given):  # one that two parameters share is copied for the second
            sums.append(self._taken(i, g, last and id(g) not in seen))
            seen.add(id(g))
        self._sums.append(sums)
        for _ in range(self._books.added()):
            right, left = self._sums.pop(), self._sums.pop()
            self._sums.append(self._both(left, right))

    def _taken(self, i: int, gradient: Any, last: bool) -> Gradient:
        """The gradient of parameter `i`, to be changed in place, if it is `last` or a number.

        If it is not the last one, it is copied if that is needed: a captured step writes the
        gradients of each shard into the same memory.
        """
        if gradient is None:
            return None
        like = self._like[i]
        if gradient.shape != like.shape or gradient.dtype != like.dtype:
            raise ValueError(
                f"GradientAverage: the gradient of parameter {i} is {told(gradient)}, and the "
                f"parameter {told(like)}"
            )
        numbers = elements(gradient)
        if isinstance(gradient, RowSparse):
            copy = gradient if last else gradient.copy()
            if numbers.dtype.char != "e":
                return copy
            return RowSparse(copy.rows, copy.values.astype(np.float32), copy.shape)
        flat = numbers.reshape(-1).astype(wide(numbers.dtype), copy=False)
        if i < len(self._parameters) and last and _changeable(flat):
            mark_changed(gradient)
            return flat
        if numbers.flags.c_contiguous and flat.dtype == numbers.dtype:  # it is still a view
            copied = empty(array_module(flat), flat.shape, flat.dtype)
            copied[...] = flat
            return copied
        return flat

    def _both(self, left: list[Gradient], right: list[Gradient]) -> list[Gradient]:
        """The sums of two nodes of this rank."""
        for i, (a, b) in enumerate(zip(left, right, strict=True)):
            if a is not None and b is not None and type(a) is not type(b):
                raise self._mixed(i)
        with np.errstate(over="ignore", invalid="ignore"):
            return [plus(a, b) for a, b in zip(left, right, strict=True)]

    def _mixed(self, i: int) -> ValueError:
        return ValueError(
            f"GradientAverage: the gradient of parameter {i}, {told(self._like[i])}, is row-sparse "
            "for some shards, and an array for others"
        )

    def finish(self) -> list[Tensor]:
        """Set each ``.grad`` to the mean over all shards; return the means of the numbers.

        A parameter that has no gradient for some shards gets 0 from them; one that has none for all
        of them gets none. On a GPU the host does not wait.

        Raises
        ------
        RuntimeError
            if not all shards of this rank were added.
        ValueError
            if the ranks do not have the same parameters, shards or numbers; on all of them.
        """
        if self._added < len(self.own):
            raise RuntimeError(
                f"GradientAverage: finish() after {self._added} of the {len(self.own)} shards of "
                f"rank {self._communicator.rank}"
            )
        if self.shards == 1:
            means = self._as_given
        else:
            with np.errstate(over="ignore", invalid="ignore"):
                sums = self._sums[0] if self._communicator.size == 1 else None
                raw = self._divided(sums) if sums is not None else self._exchanged()
                means = [_like(mean, like) for mean, like in zip(raw, self._like, strict=True)]
        for p, mean in zip(self._parameters, means, strict=False):
            p.grad = mean
        count = len(self._parameters)
        self._begin()
        return means[count:]

    def _divided(self, sums: list[Gradient]) -> list[Gradient]:
        for total in sums:
            if total is not None:
                array = elements(total)
                array_module(array).divide(array, self.shards, out=array)
        return sums

    def _exchanged(self) -> list[Gradient]:
        """The means, from what all ranks have."""
        ranks = self._agreement()
        means: list[Gradient] = [None] * len(self._like)
        dense, whole = [], []
        for i, like in enumerate(self._like):
            kinds = {kinds[i] for nodes in ranks for kinds in nodes}
            if kinds == {"d"} and like.size < SMALL:
                dense.append(i)
            elif kinds <= {"d", "-"} and "d" in kinds:
                whole.append(i)
            elif kinds <= {"s", "-"} and "s" in kinds:
                own = [sums[i] for sums in self._sums]
                means[i] = sparse_mean(self._communicator, own, self._nodes, self.shards, like)
            elif kinds != {"-"}:
                raise self._mixed(i)
        for i in whole:
            there = [[kinds[i] == "d" for kinds in nodes] for nodes in ranks]
            means[i] = self._mean([sums[i] for sums in self._sums], there, self._like[i])
        for bucket in self._buckets(dense):
            vectors = [_together([sums[i] for i in bucket]) for sums in self._sums]
            there = [[True] * len(nodes) for nodes in ranks]
            mean, start = self._mean(vectors, there, self._like[bucket[0]]), 0
            for i in bucket:
                means[i] = mean[start : start + self._like[i].size]
                start += self._like[i].size
        return means

    def _mean(self, vectors: list[Any], there: list[list[bool]], like: Tensor) -> Array:
        if self.reduce == "fast":
            return fast_mean(self._communicator, vectors, self.shards, like)
        return exact_mean(self._communicator, vectors, there, self._nodes, self.shards, like)

    def _buckets(self, dense: list[int]) -> list[list[int]]:
        """Small gradients of the same dtype and device, put together."""
        open_buckets: dict[Any, list[int]] = {}
        buckets: list[list[int]] = []
        for i in dense:
            like = self._like[i]
            bucket = open_buckets.setdefault((wide(like.dtype), on_gpu(like)), [])
            if not bucket:
                buckets.append(bucket)
            bucket.append(i)
            if sum(self._like[k].size for k in bucket) >= SMALL:
                del open_buckets[wide(like.dtype), on_gpu(like)]
        return buckets

    def _agreement(self) -> list[list[str]]:
        """For each rank and each of its nodes: the kinds of all gradients.

        A kind is d (dense), s (row-sparse) or - (no gradient).
        """
        nodes = [
            "".join("-" if g is None else "ds"[isinstance(g, RowSparse)] for g in sums)
            for sums in self._sums
        ]
        form = [
            f"{self.shards} shards, reduced {self.reduce}",
            f"{len(self._parameters)} parameters and {len(self._like)} arrays in all",
            *(
                f"array {i}: {told(x)} on a {'GPU' if on_gpu(x) else 'CPU'}"
                for i, x in enumerate(self._like)
            ),
        ]
        digest = hashlib.blake2b("\n".join(form).encode(), digest_size=8).digest()
        gathered = self._communicator.gather((digest, nodes))
        if any(other != digest for other, _ in gathered):
            forms = self._communicator.gather(form)
            for rank, other in enumerate(forms):
                for mine, theirs in zip(forms[0], other, strict=False):
                    if mine != theirs:
                        raise ValueError(
                            f"GradientAverage: rank 0 has {mine}; rank {rank} has {theirs}"
                        )
        return [nodes for _, nodes in gathered]


def _together(vectors: list[Any]) -> Array:
    """One vector after the other, in one."""
    xp = array_module(vectors[0])
    whole = empty(xp, (sum(map(len, vectors)),), vectors[0].dtype)
    return xp.concatenate(vectors, out=whole)


def _changeable(x: Array) -> bool:
    return bool(x.flags.c_contiguous) and (on_gpu(x) or bool(x.flags.writeable))


def _like(mean: Gradient, like: Tensor) -> Any:
    """A mean in the shape and dtype of what was averaged."""
    if mean is None:
        return None
    if isinstance(mean, RowSparse):
        if mean.dtype == like.dtype:
            return mean
        return RowSparse(mean.rows, mean.values.astype(like.dtype), mean.shape)
    return wrap(mean.reshape(like.shape).astype(like.dtype, copy=False))


def average_gradients(
    parameters: Iterable[Tensor], communicator: Communicator, reduce: str = "exact"
) -> None:
    """Set each ``.grad``, on every rank, to the mean of the ranks' own.

    Call it after ``backward`` and before clipping. The mean is that of a batch of all ranks' parts,
    if these are of one size.

    Parameters
    ----------
    parameters, communicator, reduce
        as for `GradientAverage`.

    Raises
    ------
    ValueError
        as `GradientAverage`.
    """
    mean = GradientAverage(parameters, communicator.size, communicator, reduce)
    mean.add()
    mean.finish()
