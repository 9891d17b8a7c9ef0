"""Many-to-one: a recurrent network reads a text and says which class it is of."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

import minigrad as mg
from minigrad import Tensor, nn
from models.reading.subwords import NONE

CELLS: dict[str, Any] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}

PIECE_SCALE = 10.0
"""How much faster than others the vectors of pieces learn: a step of Adam changes a number by about
the learning rate, and most pieces are in few steps."""

Pooling = Literal["last", "mean", "attention"]


class TextClassifier(nn.Module):
    """The class of a sequence of tokens, from what a recurrent network has made of it.

    ::

        x_t = E[w_t]                    the vector of the token at time t
            + (s/sqrt K) sum_k G[p_tk]  and, if there are buckets, those of its K pieces
        h_t = cell(x_t, h_{t-1})        the hidden state, of both directions if there are two
        z   = pooled(h_1, ..., h_T)     one vector for the whole text
        y   = W z + b                   the logits of the classes

    Parameters
    ----------
    vocab_size, num_classes
        how many tokens and classes there are.
    embedding_size, hidden_size, num_layers
        the length of x_t, and of h_t in each direction; the number of recurrent layers.
    cell
        ``"rnn"``, ``"lstm"`` or ``"gru"``.
    bidirectional
        True: a second network reads the text from its end. Schuster and Paliwal (1997).
    pooling
        ``"last"``: z is the last state of each direction. ``"mean"``: the mean of all h_t.
        ``"attention"``: their mean with weights that depend on them and on the last state, by
        additive attention (Bahdanau, Cho and Bengio 2015).
    dropout
        the share of the numbers in x_t, between layers and in z that are 0 in a training step.
    embedding_dropout
        the share of the tokens, and of the pieces, that are left out in a training step, wherever
        they stand.
    buckets
        how many numbers the pieces of tokens have: see `models.reading.subwords`. 0: tokens have a
        vector of their own alone. With pieces, tokens that are rare share vectors with others, by
        Bojanowski, Grave, Joulin and Mikolov (2017), Enriching word vectors with subword
        information. G has a row-sparse gradient and begins at 0, so that a piece that was never
        trained on is nothing; s is `PIECE_SCALE`.
    rng
        the generator of the initial values and of dropout; None: minigrad's own.

    Raises
    ------
    ValueError
        if there is no such cell or pooling.
    """

    def __init__(
        self,
        vocab_size: int,
        num_classes: int,
        embedding_size: int = 32,
        hidden_size: int = 64,
        num_layers: int = 1,
        cell: str = "lstm",
        bidirectional: bool = True,
        pooling: str = "attention",
        dropout: float = 0.0,
        embedding_dropout: float = 0.0,
        buckets: int = 0,
        *,
        rng: np.random.Generator | None = None,
    ) -> None:
        for name, value, choices in (
            ("cell", cell, list(CELLS)),
            ("pooling", pooling, list(get_args(Pooling))),
        ):
            if value not in choices:
                raise ValueError(
                    f"TextClassifier: {name} must be one of {', '.join(choices)}, got {value!r:.40}"
                )
        self._settings = {
            "vocab_size": vocab_size,
            "num_classes": num_classes,
            "embedding_size": embedding_size,
            "hidden_size": hidden_size,
            "num_layers": num_layers,
            "cell": cell,
            "bidirectional": bidirectional,
            "pooling": pooling,
            "dropout": dropout,
            "embedding_dropout": embedding_dropout,
            "buckets": buckets,
        }
        self.pooling = pooling
        self.directions = 2 if bidirectional else 1
        size = self.directions * hidden_size
        self.embedding = nn.Embedding(
            vocab_size, embedding_size, dropout=embedding_dropout, rng=rng
        )
        self.pieces = None
        if buckets:
            self.pieces = nn.Embedding(
                1 + buckets,
                embedding_size,
                padding_idx=NONE,
                sparse=True,
                dropout=embedding_dropout,
                rng=rng,
            )
            self.pieces.weight.data[:] = 0
        self.recurrent = CELLS[cell](
            embedding_size,
            hidden_size,
            num_layers,
            dropout=dropout,
            bidirectional=bidirectional,
            rng=rng,
        )
        self.attention = (
            nn.AdditiveAttention(size, size, hidden_size, rng=rng)
            if pooling == "attention"
            else None
        )
        self.dropout = nn.Dropout(dropout, rng=rng)
        self.output = nn.Linear(size, num_classes, rng=rng)

    def settings(self) -> dict[str, Any]:
        """The arguments that make such a model again: ``TextClassifier(**model.settings())``."""
        return dict(self._settings)

    def forward(
        self,
        ids: ArrayLike | Tensor,
        lengths: ArrayLike,
        pieces: NDArray[np.int64] | None = None,
    ) -> Tensor:
        """The logits of the classes, of shape (N, num_classes).

        Parameters
        ----------
        ids
            N texts side by side, of shape (T, N), padded at the end to the longest.
        lengths
            how many tokens each has: N integers from 1 to T, on the host.
        pieces
            those of each token, if the model has buckets: of shape (T, N, K), on the host.
        """
        if (pieces is None) != (self.pieces is None):
            needs = "needs the" if pieces is None else "has no buckets for"
            raise ValueError(f"TextClassifier: the model {needs} pieces of the tokens")
        x = self.embedding(ids)
        if self.pieces is not None and pieces is not None:
            counts = np.maximum((pieces != NONE).sum(-1, keepdims=True), 1)
            scale = Tensor((PIECE_SCALE * counts**-0.5).astype(x.dtype), device=str(x.device))
            x = x + self.pieces(Tensor(pieces, device=str(x.device))).sum(-2) * scale
        h, state = self.recurrent(self.dropout(x), lengths=lengths)
        ends = state[0] if isinstance(state, tuple) else state
        last = mg.concatenate([ends[k - self.directions] for k in range(self.directions)], axis=-1)
        if self.attention is not None:
            pooled, _ = self.attention(last, h, lengths=lengths)
        elif self.pooling == "mean":  # after the end of a text, h is 0
            shares = (1 / np.asarray(lengths)[:, None]).astype(h.dtype)
            pooled = h.sum(0) * Tensor(shares, device=str(h.device))
        else:
            pooled = last
        return self.output(self.dropout(pooled))
