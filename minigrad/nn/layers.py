"""The layers without a state: Linear, Embedding, Dropout, LayerNorm.

Next: `attention.py`, `recurrent/`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from minigrad import ops
from minigrad.arrays.library import ArrayLike, DType
from minigrad.nn import init
from minigrad.nn.checking import (
    as_tensor,
    check_features,
    check_flag,
    check_number,
    check_one,
    check_rng,
    check_share,
    check_sizes,
    check_whole,
)
from minigrad.nn.module import Module
from minigrad.nn.parameter import new_parameter
from minigrad.ops.neural import drawn, thinned
from minigrad.tensor import Tensor, wrap


class Linear(Module):
    """y = x W^T + b, an affine map of the last axis.

    As the output layer of a recurrent network its `weight` is the W_hy of lecture notes, and its
    `bias` their b_y: y_t = W_hy h_t + b_y.

    Parameters
    ----------
    in_features, out_features
        lengths of the last axis of x and of y.
    bias
        False: no b.
    rng
        the generator of the initial values; None: minigrad's own.
    dtype
        of the parameters; None: float32.

    Attributes
    ----------
    weight, bias
        shapes (out_features, in_features) and (out_features,), both drawn evenly from
        [-k, k], k = 1 / sqrt(in_features).
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        rng: np.random.Generator | None = None,
        dtype: DType = None,
    ) -> None:
        sizes = check_sizes(self, in_features=in_features, out_features=out_features)
        self.in_features, self.out_features = sizes
        self.weight = new_parameter((self.out_features, self.in_features), dtype)
        self.bias = (
            new_parameter((self.out_features,), dtype) if check_flag(self, bias=bias) else None
        )
        for parameter in self.parameters():
            k = 1 / math.sqrt(self.in_features)
            init.uniform_(parameter, -k, k, rng)

    def forward(self, x: ArrayLike) -> Tensor:
        """A Tensor of shape (..., out_features), from `x` of shape (..., in_features).

        Raises
        ------
        ValueError
            if the last axis of `x` has another length.
        """
        return ops.linear(check_features(self, x, self.in_features), self.weight, self.bias)

    def extra_repr(self) -> str:
        """The sizes, and ``bias=False`` if there is no bias."""
        return super().extra_repr() + ("" if self.bias is not None else ", bias=False")


class Embedding(Module):
    """One vector for each of the ids 0 to num_embeddings - 1, the row of `weight` with that number.

    It is the product of one-hot vectors with the weight matrix, without the multiplications. The
    `weight` is the E (or W_e) of lecture notes, with a word's vector as a row.

    Parameters
    ----------
    num_embeddings, embedding_dim
        the number of ids, and the length of each vector.
    padding_idx
        an id whose vector starts as zeros and gets no gradient; a negative one counts from the end.
    sparse
        True: the weight gets a row-sparse gradient, of the rows that were looked up: see
        `minigrad.embedding`. It is for a large vocabulary of which a batch has few ids. SGD,
        Adagrad and Adam, without weight decay, then change those rows alone. With momentum, and
        with Adam, a dense gradient would also move the other rows on.
    dropout
        from 0 to 1: in training, the share of the ids whose vectors are 0 throughout a call; the
        other vectors are scaled by 1 / (1 - dropout). Gal and Ghahramani (2016), A theoretically
        grounded application of dropout in recurrent neural networks.
    rng, dtype
        as in `Linear`; dropout draws from `rng` too.

    Attributes
    ----------
    weight
        shape (num_embeddings, embedding_dim), drawn from the standard normal distribution.

    Raises
    ------
    ValueError
        if a size is below 1, `padding_idx` is no id, or `dropout` is not from 0 to 1.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        *,
        sparse: bool = False,
        dropout: float = 0.0,
        rng: np.random.Generator | None = None,
        dtype: DType = None,
    ) -> None:
        sizes = check_sizes(self, num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        self.num_embeddings, self.embedding_dim = sizes
        self.padding_idx = None
        if padding_idx is not None:
            padding_idx = check_whole(self, padding_idx=padding_idx)
            if not -self.num_embeddings <= padding_idx < self.num_embeddings:
                raise ValueError(
                    f"Embedding: padding_idx {padding_idx} is not among {num_embeddings} embeddings"
                )
            self.padding_idx = padding_idx % self.num_embeddings
        self.sparse = check_flag(self, sparse=sparse)
        self.dropout, self.rng = check_share(self, dropout=dropout), rng
        self.weight = init.normal_(new_parameter(tuple(sizes), dtype), rng=rng)
        if padding_idx is not None:
            self.weight.data[padding_idx] = 0

    def forward(self, ids: ArrayLike) -> Tensor:
        r"""A Tensor of shape (\*ids.shape, embedding_dim), from integer `ids` of any shape.

        Raises
        ------
        TypeError, IndexError
            if `ids` are not integers, or one is not from 0 to num_embeddings - 1.
        """
        vectors = ops.embedding(check_one(self, ids), self.weight, self.padding_idx, self.sparse)
        if not self.training or self.dropout == 0:
            return vectors
        # one draw for each id of the vocabulary, not a mask of the whole matrix
        each, scale = drawn(vectors, (self.num_embeddings, 1), self.dropout, self.rng)
        kept = ops.embedding(ids, wrap(each.astype(vectors.dtype))) != 0
        return thinned(vectors, kept.data, scale)

    def extra_repr(self) -> str:
        """The sizes, and what differs from the default."""
        return super().extra_repr().removesuffix(", dropout=0.0").removesuffix(", sparse=False")


class Dropout(Module):
    """Dropout: in training, each element is 0 with probability p, the others x / (1 - p).

    Out of training (`Module.eval`) it is the identity. Srivastava et al. (2014), Dropout: a simple
    way to prevent neural networks from overfitting.

    Parameters
    ----------
    p
        from 0 to 1.
    rng
        the generator of the draws; None: minigrad's own.

    Raises
    ------
    ValueError
        if `p` is not from 0 to 1.
    """

    def __init__(self, p: float = 0.5, rng: np.random.Generator | None = None) -> None:
        self.p, self.rng = check_share(self, p=p), check_rng(self, rng)

    def forward(self, x: ArrayLike) -> Tensor:
        """`x`, of any shape, with some elements 0 in training."""
        return ops.dropout(as_tensor(self, x), self.p, self.training, self.rng)


class LockedDropout(Dropout):
    """Dropout with one mask along an axis: by default the same at all time steps of a sequence.

    The "variational" dropout of Gal and Ghahramani (2016), A theoretically grounded application of
    dropout in recurrent neural networks; "locked" in Merity, Keskar and Socher (2018), Regularizing
    and optimizing LSTM language models.

    Parameters
    ----------
    p, rng
        as in `Dropout`.
    axis
        the axis along which all elements share a draw: 0 for (T, N, features), 1 for (N, T, ...).
    """

    def __init__(
        self, p: float = 0.5, axis: int = 0, rng: np.random.Generator | None = None
    ) -> None:
        super().__init__(p, rng)
        self.axis = check_whole(self, axis=axis)

    def forward(self, x: ArrayLike) -> Tensor:
        """`x`, of any shape with such an axis, with some elements 0 in training."""
        return ops.dropout(as_tensor(self, x), self.p, self.training, self.rng, self.axis)


class LayerNorm(Module):
    """y = (x - mean) / sqrt(variance + eps) * weight + bias, over the last axes of x.

    Ba, Kiros and Hinton (2016), Layer normalization.

    Parameters
    ----------
    normalized_shape
        the shape of those last axes; or a number, for one axis.
    eps
        a small number that keeps the root away from 0.
    elementwise_affine
        False: no weight and bias.
    bias
        False: no bias.
    dtype
        of the parameters; None: float32.

    Attributes
    ----------
    weight, bias
        shape `normalized_shape`; at first 1 and 0.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        dtype: DType = None,
    ) -> None:
        sizes = normalized_shape if np.iterable(normalized_shape) else [normalized_shape]
        shape = tuple([check_sizes(self, normalized_shape=size)[0] for size in sizes])
        self.normalized_shape, self.eps = shape, check_number(self, eps=eps)
        if not self.eps >= 0:
            raise ValueError(f"LayerNorm: eps must not be negative, not {eps}")
        affine = check_flag(self, elementwise_affine=elementwise_affine)
        biased = check_flag(self, bias=bias) and affine
        self.weight = init.ones_(new_parameter(shape, dtype)) if affine else None
        self.bias = new_parameter(shape, dtype) if biased else None

    def forward(self, x: ArrayLike) -> Tensor:
        r"""A Tensor of the shape of `x`, which is (..., \*normalized_shape).

        Raises
        ------
        ValueError
            if the last axes of `x` have other lengths.
        """
        return ops.layer_norm(
            as_tensor(self, x), self.normalized_shape, self.weight, self.bias, self.eps
        )
