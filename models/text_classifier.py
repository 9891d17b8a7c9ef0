"""Many-to-one: a recurrent network reads a text and says which class it is of."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

import minigrad as mg
from minigrad import Tensor, nn

CELLS: dict[str, Any] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}

Pooling = Literal["last", "mean", "attention"]


class TextClassifier(nn.Module):
    """The class of a sequence of tokens, from what a recurrent network has made of it.

    ::

        x_t = E[w_t]                    the vector of the token at time t
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
        the share of the tokens that are left out in a training step, wherever they stand.
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
        }
        self.pooling = pooling
        self.directions = 2 if bidirectional else 1
        size = self.directions * hidden_size
        self.embedding = nn.Embedding(
            vocab_size, embedding_size, dropout=embedding_dropout, rng=rng
        )
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

    def forward(self, ids: ArrayLike | Tensor, lengths: ArrayLike) -> Tensor:
        """The logits of the classes, of shape (N, num_classes).

        Parameters
        ----------
        ids
            N texts side by side, of shape (T, N), padded at the end to the longest.
        lengths
            how many tokens each has: N integers from 1 to T, on the host.
        """
        h, state = self.recurrent(self.dropout(self.embedding(ids)), lengths=lengths)
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
