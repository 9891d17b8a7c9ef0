"""One-to-many: a recurrent network writes a text about one thing, an image or a label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

import minigrad as mg
from minigrad import Tensor, nn

CELLS: dict[str, Any] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


class Captioner(nn.Module):
    """A text from one thing, token by token.

    ::

        v      = encoder(thing)                  the vector of an image, or of a label
        h_0    = tanh(W v + b)                   the first state, of each layer
        h_t    = cell([E[w_{t-1}]; v], h_{t-1})
        logits = W_y h_t + b_y                   of the next token, w_t

    w_0 is the token that ends a text. The vector of a label is a row of a table; that of an image
    comes from a network with one hidden layer. Compare Vinyals, Toshev, Bengio and Erhan (2015),
    Show and tell: a neural image caption generator. There the decoder meets v once, before w_0.

    Parameters
    ----------
    vocab_size
        how many tokens there are.
    image_shape
        height, width and channels of the images; empty: the things are labels.
    num_labels
        how many labels there are; 0: the things are images.
    embedding_size, thing_size, hidden_size, num_layers
        the length of the tokens' vectors, of v (and of the image encoder's hidden layer, twice
        that), and of h_t; the number of recurrent layers.
    cell
        ``"rnn"``, ``"lstm"`` or ``"gru"``.
    dropout
        the share of the numbers between layers and in h_t that are 0 in a training step.
    pixel_dropout, image_dropout
        the same of an image's pixels, and of the hidden layer of its encoder.
    rng
        the generator of the initial values and of dropout; None: minigrad's own.

    Raises
    ------
    ValueError
        if there is no such cell, or not one of `image_shape` and `num_labels` is given.
    """

    def __init__(
        self,
        vocab_size: int,
        image_shape: Sequence[int] = (),
        num_labels: int = 0,
        embedding_size: int = 32,
        thing_size: int = 128,
        hidden_size: int = 128,
        num_layers: int = 1,
        cell: str = "gru",
        dropout: float = 0.0,
        pixel_dropout: float = 0.0,
        image_dropout: float = 0.0,
        *,
        rng: np.random.Generator | None = None,
    ) -> None:
        if cell not in CELLS:
            raise ValueError(f"Captioner: cell must be one of {', '.join(CELLS)}, got {cell!r:.40}")
        if (len(image_shape) > 0) == (num_labels > 0):
            raise ValueError("Captioner: give either image_shape or num_labels")
        self._settings = {
            "vocab_size": vocab_size,
            "image_shape": list(image_shape),
            "num_labels": num_labels,
            "embedding_size": embedding_size,
            "thing_size": thing_size,
            "hidden_size": hidden_size,
            "num_layers": num_layers,
            "cell": cell,
            "dropout": dropout,
            "pixel_dropout": pixel_dropout,
            "image_dropout": image_dropout,
        }
        self.num_layers, self.hidden_size = num_layers, hidden_size
        self.encoder: nn.Module
        if num_labels:
            self.encoder = nn.Embedding(num_labels, thing_size, rng=rng)
        else:
            pixels, hidden = int(np.prod(image_shape)), 2 * thing_size
            self.encoder = nn.Sequential(
                nn.Flatten(),
                nn.Dropout(pixel_dropout, rng=rng),
                nn.Linear(pixels, hidden, rng=rng),
                nn.LayerNorm(hidden),
                nn.ReLU(),
                nn.Dropout(image_dropout, rng=rng),
                nn.Linear(hidden, thing_size, rng=rng),
                nn.LayerNorm(thing_size),  # else images differ too little at first to be told apart
            )
        self.first = nn.Linear(thing_size, num_layers * hidden_size, rng=rng)
        self.embedding = nn.Embedding(vocab_size, embedding_size, rng=rng)
        self.recurrent = CELLS[cell](
            embedding_size + thing_size, hidden_size, num_layers, dropout=dropout, rng=rng
        )
        self.dropout = nn.Dropout(dropout, rng=rng)
        self.output = nn.Linear(hidden_size, vocab_size, rng=rng)

    def settings(self) -> dict[str, Any]:
        """The arguments that make such a model again: ``Captioner(**model.settings())``."""
        return dict(self._settings)

    def start(self, things: ArrayLike | Tensor) -> tuple[Tensor, Any]:
        """The state before the first token: v, and that of the recurrent network.

        Parameters
        ----------
        things
            N images, shape (N, height, width, channels), with 0 for white and 1 for black, so that
            what is around a drawing is 0; or N labels, whole numbers of shape (N,).
        """
        v = self.encoder(things)
        h = mg.tanh(self.first(v)).reshape(len(v), self.num_layers, self.hidden_size)
        h = h.transpose(1, 0, 2)
        v = v.reshape(1, *v.shape)
        return v, (h, mg.zeros_like(h)) if isinstance(self.recurrent, nn.LSTM) else h

    def step(
        self, ids: ArrayLike | Tensor, state: tuple[Tensor, Any], lengths: ArrayLike | None = None
    ) -> tuple[Tensor, tuple[Tensor, Any]]:
        """The logits after each token, shape (T, N, vocab_size); and the state after the last.

        Parameters
        ----------
        ids
            tokens that come next, shape (T, N).
        state
            what `start` or the last `step` has given; all its tensors have N on their axis -2.
        lengths
            how many tokens of each text there are; None: T.
        """
        v, inner = state
        x = self.embedding(ids)
        x = mg.concatenate([x, mg.broadcast_to(v, (len(x), *v.shape[1:]))], axis=-1)
        h, inner = self.recurrent(x, inner, lengths=lengths)
        return self.output(self.dropout(h)), (v, inner)

    def forward(
        self, things: ArrayLike | Tensor, ids: ArrayLike | Tensor, lengths: ArrayLike
    ) -> Tensor:
        """The logits after each token when those before are given: teacher forcing.

        Parameters
        ----------
        things
            as in `start`.
        ids
            N texts side by side, shape (T, N), each after the token w_0, padded at the end.
        lengths
            how many tokens each has, with w_0: N integers from 1 to T, on the host.
        """
        return self.step(ids, self.start(things), lengths)[0]
