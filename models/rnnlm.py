"""A recurrent language model: from the tokens so far, how likely each token is to come next.

Mikolov, Karafiát, Burget, Černocký and Khudanpur, "Recurrent neural network based language model"
(2010); with LSTM cells and dropout as in Zaremba, Sutskever and Vinyals, "Recurrent neural network
regularization" (2014).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad import Tensor, linear_cross_entropy, nn

CELLS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


class RNNLM(nn.Module):
    """Embedding, recurrent layers, and a linear layer that gives the logits of the next token.

    ::

        x_t    = E[id_t]                  the vector of the token at time t
        h_t    = cell(x_t, h_{t-1})       what is remembered of all tokens up to t
        p_t+1  = softmax(W h_t + b)       how likely each token is to be the next

    Parameters
    ----------
    vocab_size
        the number V of tokens.
    embedding_size
        length of the vectors x_t.
    hidden_size
        length of h_t in each layer.
    cell
        ``"rnn"``, ``"lstm"`` or ``"gru"``.
    num_layers
        how many recurrent layers on top of each other.
    dropout
        in training, the part of x_t, and of each layer's output, that is set to 0. Nothing is
        dropped on the way from one time step to the next.
    tied
        one matrix for E and W, which then must have one shape: embedding_size = hidden_size. Press
        and Wolf, "Using the output embedding to improve language models" (2017).
    rng
        where the initial values, and dropout, are drawn from; None: minigrad's own generator.

    Attributes
    ----------
    embedding, recurrent, output
        the three layers. The state that goes along is that of `recurrent`.

    Raises
    ------
    ValueError
        for sizes below 1, a dropout that is not from 0 to 1, an unknown cell, or tied weights of
        two sizes.
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_size: int,
        hidden_size: int,
        cell: str = "lstm",
        num_layers: int = 1,
        dropout: float = 0.0,
        tied: bool = False,
        *,
        rng: np.random.Generator | None = None,
    ) -> None:
        if cell not in CELLS:
            raise ValueError(f"RNNLM: cell must be one of {', '.join(CELLS)}, not {cell!r}")
        if tied and embedding_size != hidden_size:
            raise ValueError(
                "RNNLM: tied weights need one size for embeddings and hidden units, got "
                f"embedding_size={embedding_size} and hidden_size={hidden_size}"
            )
        self.cell, self.tied = cell, tied
        self.dropout = nn.Dropout(dropout, rng)
        self.embedding = nn.Embedding(vocab_size, embedding_size, rng=rng)
        self.recurrent = CELLS[cell](
            embedding_size, hidden_size, num_layers, dropout=dropout, rng=rng
        )
        self.output = nn.Linear(hidden_size, vocab_size, rng=rng)
        if tied:  # the smaller values of an output layer, since large ones would make large logits
            self.embedding.weight = self.output.weight

    def settings(self) -> dict[str, Any]:
        """The arguments that make such a model again: ``RNNLM(**model.settings())``."""
        return {
            "vocab_size": self.embedding.num_embeddings,
            "embedding_size": self.embedding.embedding_dim,
            "hidden_size": self.recurrent.hidden_size,
            "cell": self.cell,
            "num_layers": self.recurrent.num_layers,
            "dropout": self.dropout.p,
            "tied": self.tied,
        }

    def forward(self, ids: Any, state: Any = None) -> tuple[Tensor, Any]:
        """The logits of the next token after each of `ids`.

        Parameters
        ----------
        ids
            integers from 0 to V - 1, shape (T, N): T time steps of N texts side by side; or (T,).
        state
            what is remembered of the tokens before, as an earlier call gave it; None: nothing.

        Returns
        -------
        logits, state
            shape (T, N, V), or (T, V); and what is remembered after the last time step.

        Raises
        ------
        TypeError, ValueError, IndexError
            for ids that are not integers, have another shape, or are outside the vocabulary; for a
            state that does not fit.
        """
        hidden, state = self.recurrent(self.dropout(self.embedding(ids)), state)
        return self.output(self.dropout(hidden)), state

    def loss(self, ids: Any, targets: Any, state: Any = None) -> tuple[Tensor, Any]:
        """Cross-entropy of the next tokens, and the state: teacher forcing.

        At each time step the model is given the text's own token, not the one that it would have
        written itself.

        Parameters
        ----------
        ids, state
            as in `forward`.
        targets
            the token that comes next after each of `ids`, in the same shape.

        Returns
        -------
        loss, state
            the mean over all tokens, in nats, a single number; and the state after the last time
            step, still on the tape: cut it off before the next window of truncated BPTT.
        """
        hidden, state = self.recurrent(self.dropout(self.embedding(ids)), state)
        weight, bias = self.output.weight, self.output.bias
        return linear_cross_entropy(self.dropout(hidden), weight, bias, targets), state
