"""Many-to-many, in step: a recurrent network reads tokens and gives each a label."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

import minigrad as mg
from minigrad import Tensor, nn

CELLS: dict[str, Any] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


class Spelling(NamedTuple):
    """How the words of some sentences are written: each different word once."""

    ids: Any
    """The U different words side by side as ids of characters, of shape (L, U), padded."""

    lengths: ArrayLike
    """How many characters each has: U integers from 1 to L, on the host."""

    which: Any
    """Which of the U words stands where, of shape (T, N)."""


class Tagger(nn.Module):
    """A label for each token, from what is before and after it.

    ::

        x_t = E[w_t]; c(w_t)            the vector of the token at time t, and of its spelling
        h_t = cell(x_t, h_{t-1})        the hidden state, of both directions if there are two
        y_t = W h_t + b                 the logits of its labels

    c(w) is read by a second network from the characters of the word w: the last state of each of
    its directions. So a word that was never seen has a vector too. Ling et al., "Finding function
    in form: compositional character models for open vocabulary word representation" (2015).

    Parameters
    ----------
    vocab_size, num_tags
        how many tokens and labels there are.
    embedding_size, hidden_size, num_layers
        the length of E[w_t], and of h_t in each direction; the number of recurrent layers.
    num_characters, character_size
        how many characters there are, and the length of c(w); 0: words are not spelled.
    cell
        ``"rnn"``, ``"lstm"`` or ``"gru"``, for both networks.
    bidirectional
        True: a second network reads the sentence from its end. Schuster and Paliwal (1997).
    dropout
        the share of the numbers in x_t, between layers and in h_t that are 0 in a training step.
    embedding_dropout
        the share of the tokens whose E[w_t] is left out in a training step, wherever they stand.
    rng
        the generator of the initial values and of dropout; None: minigrad's own.

    Raises
    ------
    ValueError
        if there is no such cell, or the length of c(w) is odd.
    """

    def __init__(
        self,
        vocab_size: int,
        num_tags: int,
        embedding_size: int = 64,
        hidden_size: int = 64,
        num_layers: int = 1,
        num_characters: int = 0,
        character_size: int = 0,
        cell: str = "lstm",
        bidirectional: bool = True,
        dropout: float = 0.0,
        embedding_dropout: float = 0.0,
        *,
        rng: np.random.Generator | None = None,
    ) -> None:
        if cell not in CELLS:
            raise ValueError(f"Tagger: cell must be one of {', '.join(CELLS)}, got {cell!r:.40}")
        if character_size % 2:
            raise ValueError(f"Tagger: character_size must be even, got {character_size}")
        self._settings = {
            "vocab_size": vocab_size,
            "num_tags": num_tags,
            "embedding_size": embedding_size,
            "hidden_size": hidden_size,
            "num_layers": num_layers,
            "num_characters": num_characters,
            "character_size": character_size,
            "cell": cell,
            "bidirectional": bidirectional,
            "dropout": dropout,
            "embedding_dropout": embedding_dropout,
        }
        self.embedding = nn.Embedding(
            vocab_size, embedding_size, dropout=embedding_dropout, rng=rng
        )
        self.spelled = character_size > 0
        if self.spelled:
            half = character_size // 2
            self.characters = nn.Embedding(num_characters, half, rng=rng)
            self.speller = CELLS[cell](half, half, bidirectional=True, rng=rng)
        self.recurrent = CELLS[cell](
            embedding_size + character_size,
            hidden_size,
            num_layers,
            dropout=dropout,
            bidirectional=bidirectional,
            rng=rng,
        )
        self.dropout = nn.Dropout(dropout, rng=rng)
        size = 2 * hidden_size if bidirectional else hidden_size
        self.output = nn.Linear(size, num_tags, rng=rng)

    def settings(self) -> dict[str, Any]:
        """The arguments that make such a model again: ``Tagger(**model.settings())``."""
        return dict(self._settings)

    def forward(
        self, ids: ArrayLike | Tensor, lengths: ArrayLike, spelling: Spelling | None = None
    ) -> Tensor:
        """The logits of the labels, of shape (T, N, num_tags); after a sentence's end they mean
        nothing.

        Parameters
        ----------
        ids
            N sentences side by side, of shape (T, N), padded at the end to the longest.
        lengths
            how many tokens each has: N integers from 1 to T, on the host.
        spelling
            how the words are written, if the model reads that.
        """
        x = self.embedding(ids)
        if self.spelled:
            if spelling is None:
                raise ValueError("Tagger: it reads how words are written: spelling must be given")
            _, state = self.speller(self.characters(spelling.ids), lengths=spelling.lengths)
            ends = state[0] if isinstance(state, tuple) else state
            vectors = mg.concatenate([ends[0], ends[1]], axis=-1)
            x = mg.concatenate([x, vectors[spelling.which]], axis=-1)
        h, _ = self.recurrent(self.dropout(x), lengths=lengths)
        return self.output(self.dropout(h))
