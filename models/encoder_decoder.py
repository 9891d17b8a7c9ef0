"""Many-to-many: one recurrent network reads a sentence, another one writes what it is in turn."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike

import minigrad as mg
from minigrad import Tensor, nn

CELLS: dict[str, Any] = {"lstm": nn.LSTM, "gru": nn.GRU}

Attention = Literal["additive", "multiplicative", "none"]

IGNORED = -100
"""The target of a time step after the end of a sentence: its prediction is not counted."""


class Encoded(NamedTuple):
    """What the encoder has made of N sentences, as the decoder takes it."""

    memory: Any
    """Their tokens, prepared for attention; without attention, the context of each sentence, of
    shape (1, N, hidden_size)."""
    state: Any
    """The state that the decoder begins with."""


class EncoderDecoder(nn.Module):
    """A sentence from a sentence, by way of two recurrent networks and attention between them.

    ::

        k_s    = encoder(E_x[x_1], ..., E_x[x_S])_s     both directions, side by side
        h_0    = the encoder's last states
        h_t    = decoder(E_y[y_{t-1}], h_{t-1})
        a_t    = softmax over s of score(h_t, k_s)      where to look, at time t
        c_t    = sum_s a_ts k_s
        h~_t   = tanh(W_c [c_t; h_t] + b_c)
        logits = W_y h~_t + b_y                         of the next token, y_t

    Luong, Pham and Manning (2015), Effective approaches to attention-based neural machine
    translation. Here no h~_t goes back into the decoder ("input feeding"). So, when the target is
    known, all h_t come from one op over the whole sentence, and attention has all its queries at
    once.

    Parameters
    ----------
    source_size, target_size
        how many tokens the two languages have.
    embedding_size, hidden_size, num_layers
        the length of the tokens' vectors; that of h_t and of k_s, an even number, of which each
        direction of the encoder has one half; the layers of encoder and decoder.
    cell
        ``"lstm"`` or ``"gru"``.
    attention
        the score. ``"additive"``: that of Bahdanau, Cho and Bengio (2015), Neural machine
        translation by jointly learning to align and translate. ``"multiplicative"``: h^T W k, Luong
        et al. ``"none"``: c_t is the encoder's last output in each direction, the same at all t, as
        in Cho et al. (2014), Learning phrase representations using RNN encoder-decoder; compare
        Sutskever, Vinyals and Le (2014), Sequence to sequence learning with neural networks.
    dropout
        the share of the numbers in the tokens' vectors, between layers and in h~_t that are 0 in a
        training step.
    embedding_dropout
        the share of the tokens that are left out in a training step, wherever they stand.
    rng
        the generator of the initial values and of dropout; None: minigrad's own.

    Raises
    ------
    ValueError
        if there is no such cell or attention, or `hidden_size` is odd.
    """

    def __init__(
        self,
        source_size: int,
        target_size: int,
        embedding_size: int = 64,
        hidden_size: int = 128,
        num_layers: int = 1,
        cell: str = "lstm",
        attention: str = "additive",
        dropout: float = 0.0,
        embedding_dropout: float = 0.0,
        *,
        rng: np.random.Generator | None = None,
    ) -> None:
        for name, value, choices in (
            ("cell", cell, list(CELLS)),
            ("attention", attention, list(get_args(Attention))),
        ):
            if value not in choices:
                raise ValueError(
                    f"EncoderDecoder: {name} must be one of {', '.join(choices)}, got {value!r:.40}"
                )
        if hidden_size % 2:
            raise ValueError(
                "EncoderDecoder: hidden_size must be even, a half for each direction of the "
                f"encoder, got {hidden_size}"
            )
        self._settings = {
            "source_size": source_size,
            "target_size": target_size,
            "embedding_size": embedding_size,
            "hidden_size": hidden_size,
            "num_layers": num_layers,
            "cell": cell,
            "attention": attention,
            "dropout": dropout,
            "embedding_dropout": embedding_dropout,
        }
        H = hidden_size
        self.source_embedding, self.target_embedding = (
            nn.Embedding(size, embedding_size, dropout=embedding_dropout, rng=rng)
            for size in (source_size, target_size)
        )
        sizes, options = (embedding_size, num_layers), {"dropout": dropout, "rng": rng}
        self.encoder = CELLS[cell](sizes[0], H // 2, num_layers, bidirectional=True, **options)
        self.decoder = CELLS[cell](sizes[0], H, num_layers, **options)
        self.attention: Any = None
        if attention == "additive":
            self.attention = nn.AdditiveAttention(H, H, H, rng=rng)
        elif attention == "multiplicative":
            self.attention = nn.MultiplicativeAttention(H, H, rng=rng)
        self.combined = nn.Linear(2 * H, H, rng=rng)
        self.dropout = nn.Dropout(dropout, rng=rng)
        self.output = nn.Linear(H, target_size, rng=rng)

    def settings(self) -> dict[str, Any]:
        """The arguments that make such a model again: ``EncoderDecoder(**model.settings())``."""
        return dict(self._settings)

    def encode(self, ids: ArrayLike | Tensor, lengths: ArrayLike) -> Encoded:
        """Read N sentences.

        Parameters
        ----------
        ids
            of shape (S, N), padded at the end to the longest.
        lengths
            how many tokens each has: N integers from 1 to S, on the host.
        """
        keys, state = self.encoder(self.dropout(self.source_embedding(ids)), lengths=lengths)
        state = (
            tuple(map(_side_by_side, state)) if isinstance(state, tuple) else _side_by_side(state)
        )
        if self.attention is not None:
            return Encoded(self.attention.prepare(keys, lengths=lengths), state)
        last = state[0] if isinstance(state, tuple) else state
        return Encoded(last[-1:], state)

    def decode(self, ids: ArrayLike | Tensor, state: Any) -> tuple[Tensor, Any]:
        """The states h_t after the tokens `ids`, shape (T, N); and the last one, to go on from."""
        h, state = self.decoder(self.dropout(self.target_embedding(ids)), state)
        return h, state

    def attend(self, h: Tensor, memory: Any) -> tuple[Tensor, Tensor | None]:
        """What the decoder makes of its states and the source.

        Parameters
        ----------
        h
            T states for each of N sentences, of shape (T, N, hidden_size).
        memory
            that of the N sentences.

        Returns
        -------
        combined, weights
            h~, of shape (T, N, hidden_size); and the weights of attention, (T, N, S), or None.
        """
        weights = None
        if self.attention is None:
            context = mg.broadcast_to(memory, h.shape)
        else:
            context, weights = self.attention(h, memory)
        return mg.tanh(self.combined(mg.concatenate([context, h], axis=-1))), weights

    def forward(
        self, source: ArrayLike | Tensor, lengths: ArrayLike, inputs: ArrayLike | Tensor
    ) -> Tensor:
        """The logits of the token after each of `inputs`, of shape (T, N, target_size).

        Parameters
        ----------
        source, lengths
            N sentences, as in `encode`.
        inputs
            the tokens that the decoder reads, of shape (T, N); the first one begins the sentence.
        """
        encoded = self.encode(source, lengths)
        h, _ = self.decode(inputs, encoded.state)
        combined, _ = self.attend(h, encoded.memory)
        return self.output(self.dropout(combined))

    def loss(
        self,
        source: ArrayLike | Tensor,
        lengths: ArrayLike,
        inputs: ArrayLike | Tensor,
        targets: ArrayLike | Tensor,
    ) -> Tensor:
        """The mean cross-entropy of `targets`, shape (T, N), where they are not `IGNORED`."""
        encoded = self.encode(source, lengths)
        h, _ = self.decode(inputs, encoded.state)
        combined, _ = self.attend(h, encoded.memory)
        return mg.linear_cross_entropy(
            self.dropout(combined),
            self.output.weight,
            self.output.bias,
            targets,
            ignore_index=IGNORED,
        )


def _side_by_side(state: Tensor) -> Tensor:
    """The last states of both directions in one vector: (layers, N, H) of (2 layers, N, H / 2)."""
    return mg.concatenate([state[0::2], state[1::2]], axis=-1)
