"""Attention: a mean of vectors, with weights that depend on what is looked for.

::

    context, weights = attention(query, keys)               # the keys are the values, too
    context, weights = attention(query, keys, values, lengths=[5, 2, 7])

A decoder that has one query after the other, since each depends on the last context, lets the layer
prepare the keys once::

    memory = attention.prepare(keys, lengths=lengths)
    for ...:
        context, weights = attention(h, memory)

In the equations q is a query, k_s the key and v_s the value at position s. From a score for each
position come the weights a, and the context is a mean of the values::

    a = softmax(score(q, k_1), ..., score(q, k_S))
    context = a_1 v_1 + ... + a_S v_S

A mask selects: what it hides becomes 0 before it meets anything, its score -infinity, and its
weight 0. So it has no gradient, whatever was there.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from minigrad import ops
from minigrad.arrays.devices import beside
from minigrad.arrays.library import Array, ArrayLike, DType, array_module, bare, refuse_mask
from minigrad.autograd.operands import operand
from minigrad.errors.values import told
from minigrad.nn import init
from minigrad.nn.additive_scores import additive_scores
from minigrad.nn.checking import (
    as_tensor,
    check_choice,
    check_flag,
    check_floats,
    check_lengths,
    check_one,
    check_rng,
    check_sizes,
)
from minigrad.nn.module import Module
from minigrad.nn.parameter import Parameter, new_parameter
from minigrad.tensor import Tensor


class Memory(NamedTuple):
    """What `prepare` makes of keys and values: the same for all queries.

    Without a batch nothing has an N.
    """

    keys: Any
    """As the scores need them, of shape (N, S, size)."""
    values: Any
    """Of shape (N, S, values)."""
    mask: Array | None
    """True where a query may look, of shape (N, 1, S); None: everywhere."""


class _Attention(Module):
    """What both kinds share; a subclass says what a score is."""

    query_size: int
    key_size: int
    batch_first: bool

    def _projected(self, keys: Tensor) -> Tensor:
        """Of `keys` (..., S, key_size) what does not depend on the query: (..., S, size)."""
        raise NotImplementedError

    def _scores(self, query: Tensor, keys: Tensor) -> Tensor:
        """Shape (..., T, S), from `query` (..., T, query_size) and projected `keys`."""
        raise NotImplementedError

    def _memory_size(self) -> int:
        """The length of a projected key."""
        raise NotImplementedError

    def forward(
        self,
        query: ArrayLike,
        keys: ArrayLike | Memory,
        values: ArrayLike = None,
        lengths: ArrayLike = None,
        mask: ArrayLike = None,
    ) -> tuple[Tensor, Tensor]:
        """The mean of the values for each query, and the weights in it.

        Parameters
        ----------
        query
            T queries for each of N sequences, of shape (T, N, query_size), with `batch_first`
            (N, T, query_size); or one for each, as at a decoder's time step, (N, query_size).
        keys
            shape (S, N, key_size), with `batch_first` (N, S, key_size); or what `prepare` has made
            of keys, values, lengths and mask. Without a batch nothing has an N: keys are
            (S, key_size), and queries (T, query_size) or (query_size,).
        values
            shape (S, N, any), with `batch_first` (N, S, any); None: the keys.
        lengths
            the number of positions of each sequence: N integers from 0 to S, on the host (an
            integer without a batch). What comes after is padding.
        mask
            bools of shape (S, N), with `batch_first` (N, S): True where a query may look. With
            lengths too it may look where both let it.

        Returns
        -------
        context, weights
            shapes (T, N, any) and (T, N, S), with `batch_first` (N, T, any) and (N, T, S); for one
            query each, (N, any) and (N, S). The weights are 0 where a query may not look; the
            others have the sum 1. Where it may look nowhere, weights and context are 0.

        Raises
        ------
        TypeError, ValueError
            if an argument has another dtype or shape, or something else comes with what `prepare`
            has made.
        """
        if not isinstance(keys, Memory):
            memory = self.prepare(keys, values, lengths, mask)
        elif values is lengths is mask is None:
            memory = self._checked_memory(keys)
        else:
            raise TypeError(
                f"{type(self).__name__}: values, lengths and mask are given to prepare, not with "
                "what it has made"
            )
        query = self._checked_query(query, memory)
        one = query.ndim < memory.keys.ndim
        query = ops.expand_dims(query, -2) if one else self._swapped(query)
        weights = masked_softmax(self._scores(query, memory.keys), memory.mask)
        context = ops.matmul(weights, memory.values)
        if one:
            return ops.squeeze(context, -2), ops.squeeze(weights, -2)
        return self._swapped(context), self._swapped(weights)

    def prepare(
        self,
        keys: ArrayLike,
        values: ArrayLike = None,
        lengths: ArrayLike = None,
        mask: ArrayLike = None,
    ) -> Memory:
        """All that does not depend on the query, to be given as `keys` to many calls.

        Parameters and exceptions are those of a call. All hypotheses of a beam search read one
        sentence: they are T queries of it.
        """
        keys = self._checked_keys(keys)
        shape = keys.shape[:-1]
        if values is not None:
            values = check_floats(self, as_tensor(self, values, "values"), "values")
            if values.ndim != keys.ndim or values.shape[:-1] != shape:
                raise ValueError(
                    f"{type(self).__name__}: values has shape {values.shape}, expected "
                    f"({', '.join(map(str, shape))}, any), as keys has shape {keys.shape}"
                )
        seen = self._seen(keys, lengths, mask)
        if seen is not None:
            keys = ops.where(seen[..., None], keys, 0.0)
            values = None if values is None else ops.where(seen[..., None], values, 0.0)
            seen = (seen if self.batch_first or seen.ndim == 1 else seen.T)[..., None, :]
        keys = self._swapped(keys)
        values = keys if values is None else self._swapped(values)
        return Memory(self._projected(keys), values, seen)

    def _swapped(self, x: Any) -> Any:
        """From the layout of the arguments to that of `Memory`, or back."""
        return x if self.batch_first or x.ndim == 2 else ops.swapaxes(x, 0, 1)

    def _seen(self, keys: Tensor, lengths: ArrayLike, mask: ArrayLike) -> Any:
        """True where a query may look, in the layout of `keys`; None: everywhere."""
        shape, name = keys.shape[:-1], type(self).__name__
        seen = None
        if lengths is not None:
            axis = 1 if self.batch_first and len(shape) == 2 else 0
            S = shape[axis]
            lengths = check_lengths(self, lengths, shape[:axis] + shape[axis + 1 :], S, "keys")
            if (lengths < S).any():
                inside = np.arange(S) < lengths[..., None]  # (N, S), or (S,)
                seen = beside(inside if axis else inside.T, keys)
        if mask is not None:
            refuse_mask(mask)
            mask = bare(operand(check_one(self, mask, "mask"), [keys]))
            if getattr(mask, "dtype", None) != np.bool_:
                raise TypeError(
                    f"{name}: mask must be bools, not {told(mask)}; True is where a query may look"
                )
            if mask.shape != shape:
                raise ValueError(f"{name}: mask has shape {mask.shape}, expected {shape}")
            seen = mask if seen is None else seen & mask
        return seen

    # ------------------------------------------------------------------ checks

    def _checked_keys(self, given: ArrayLike) -> Tensor:
        keys: Tensor = check_floats(self, as_tensor(self, given, "keys"), "keys")
        if keys.ndim not in (2, 3) or keys.shape[-1] != self.key_size:
            batch = "N, S" if self.batch_first else "S, N"
            raise ValueError(
                f"{type(self).__name__}: keys has shape {keys.shape}, expected ({batch}, "
                f"{self.key_size}), or (S, {self.key_size}) without a batch"
            )
        return keys

    def _checked_query(self, given: ArrayLike, memory: Memory) -> Tensor:
        query: Tensor = check_floats(self, as_tensor(self, given, "query"), "query")
        batch = memory.keys.shape[:-2]  # (N,), or ()
        one, T = (*batch, self.query_size), len(batch) if self.batch_first else 0  # T: its axis
        shape = query.shape
        if query.ndim == memory.keys.ndim:
            shape = shape[:T] + shape[T + 1 :]
        if shape != one:
            size, several = self.query_size, list(map(str, batch))
            several.insert(T, "T")
            raise ValueError(
                f"{type(self).__name__}: query has shape {query.shape}, expected "
                f"({', '.join(several)}, {size}), or {one} for one step, to go with the keys"
            )
        return query

    def _checked_memory(self, memory: Memory) -> Memory:
        size = self._memory_size()
        if memory.keys.shape[-1] != size:
            raise ValueError(
                f"{type(self).__name__}: these keys were prepared by another layer: they are "
                f"{memory.keys.shape[-1]} long, expected {size}"
            )
        return memory

    def extra_repr(self) -> str:
        """The sizes, and whatever differs from the default."""
        return super().extra_repr().removesuffix(", batch_first=False")


class AdditiveAttention(_Attention):
    """score(q, k) = v^T tanh(W_q q + W_k k + b).

    Bahdanau, Cho and Bengio (2015), Neural machine translation by jointly learning to align and
    translate. There W_q is W_a, W_k is U_a, and v is v_a.

    Parameters
    ----------
    query_size, key_size
        lengths of q and of k.
    hidden_size
        the length of v.
    bias
        False: no b.
    batch_first
        True: arguments and results have N before T and S.
    rng
        the generator of the initial values; None: minigrad's own.
    dtype
        of the parameters; None: float32.

    Attributes
    ----------
    weight_q, weight_k, bias, v
        shapes (hidden_size, query_size), (hidden_size, key_size), (hidden_size,) and
        (hidden_size,). Weights are drawn evenly from [-k, k], k = 1 / sqrt(length of a row), v as
        if it were a row; the bias is 0 at first.

    Raises
    ------
    TypeError, ValueError
        if a size is no integer of at least 1, or another argument has a wrong type.
    """

    def __init__(
        self,
        query_size: int,
        key_size: int,
        hidden_size: int,
        bias: bool = True,
        batch_first: bool = False,
        *,
        rng: np.random.Generator | None = None,
        dtype: DType = None,
    ) -> None:
        self.query_size, self.key_size, self.hidden_size = check_sizes(
            self, query_size=query_size, key_size=key_size, hidden_size=hidden_size
        )
        biased = check_flag(self, bias=bias)
        self.batch_first = check_flag(self, batch_first=batch_first)
        rows, rng = self.hidden_size, check_rng(self, rng)
        self.weight_q = _drawn((rows, self.query_size), dtype, rng)
        self.weight_k = _drawn((rows, self.key_size), dtype, rng)
        self.bias = new_parameter((rows,), dtype) if biased else None
        self.v = _drawn((rows,), dtype, rng)

    def _projected(self, keys: Tensor) -> Tensor:
        return ops.linear(keys, self.weight_k, self.bias)

    def _scores(self, query: Tensor, keys: Tensor) -> Tensor:
        return additive_scores(ops.linear(query, self.weight_q), keys, self.v)

    def _memory_size(self) -> int:
        return self.hidden_size

    def extra_repr(self) -> str:
        """The sizes, and whatever differs from the default."""
        return super().extra_repr() + ("" if self.bias is not None else ", bias=False")


class MultiplicativeAttention(_Attention):
    """score(q, k) = q^T W k, or q^T k.

    Luong, Pham and Manning (2015), Effective approaches to attention-based neural machine
    translation; ``"scaled_dot"`` is of Vaswani et al. (2017), Attention is all you need.

    Parameters
    ----------
    query_size, key_size
        lengths of q and of k.
    score
        ``"general"``: q^T W k; ``"dot"``: q^T k; ``"scaled_dot"``: q^T k / sqrt(key_size), which
        keeps the scores of long vectors small.
    batch_first
        True: arguments and results have N before T and S.
    rng, dtype
        as in `AdditiveAttention`.

    Attributes
    ----------
    weight
        W, of shape (query_size, key_size), drawn evenly from [-k, k], k = 1 / sqrt(key_size); None
        if there is none.

    Raises
    ------
    TypeError, ValueError
        if a size is no integer of at least 1, or the two differ without a W; if there is no such
        score, or another argument has a wrong type.
    """

    def __init__(
        self,
        query_size: int,
        key_size: int,
        score: str = "general",
        batch_first: bool = False,
        *,
        rng: np.random.Generator | None = None,
        dtype: DType = None,
    ) -> None:
        self.query_size, self.key_size = check_sizes(self, query_size=query_size, key_size=key_size)
        self.score = check_choice(self, ["general", "dot", "scaled_dot"], score=score)
        self.batch_first, rng = check_flag(self, batch_first=batch_first), check_rng(self, rng)
        self.weight = None
        if score == "general":
            self.weight = _drawn((self.query_size, self.key_size), dtype, rng)
        elif self.query_size != self.key_size:
            raise ValueError(
                f'{type(self).__name__}: score="{score}" needs queries and keys of one length, got '
                f"query_size={query_size} and key_size={key_size}"
            )

    def _projected(self, keys: Tensor) -> Tensor:
        return keys if self.weight is None else ops.linear(keys, self.weight)

    def _scores(self, query: Tensor, keys: Tensor) -> Tensor:
        if self.score == "scaled_dot":
            query = query / math.sqrt(self.key_size)
        return ops.matmul(query, ops.swapaxes(keys, -1, -2))

    def _memory_size(self) -> int:
        return self.query_size


def masked_softmax(scores: Tensor, mask: Array | None) -> Tensor:
    """The softmax of `scores` along the last axis where `mask` holds, and 0 elsewhere.

    A row of which nothing holds is 0. `mask` and `scores` are broadcast; None: it holds everywhere.
    """
    if mask is None:
        return ops.softmax(scores)
    xp = array_module(mask)
    # 0 in a row of which nothing holds: the softmax of -infinity alone is NaN
    floor = xp.where(mask.any(-1, keepdims=True), -math.inf, 0.0).astype(scores.dtype)
    return ops.where(mask, ops.softmax(ops.where(mask, scores, floor)), 0.0)


def _drawn(shape: tuple[int, ...], dtype: DType, rng: np.random.Generator | None) -> Parameter:
    k = 1 / math.sqrt(shape[-1])
    return init.uniform_(new_parameter(shape, dtype), -k, k, rng)
