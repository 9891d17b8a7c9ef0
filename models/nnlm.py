"""The first neural language model: it sees a fixed number of tokens, and has no state of its own.

Bengio, Ducharme, Vincent and Jauvin, "A neural probabilistic language model" (2003).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad import Tensor, concatenate, full, nn, tanh
from models.rnnlm import LanguageModel, Objective


class NNLM(LanguageModel):
    """A feedforward network predicts the next token from the vectors of the last ones.

    In the letters of the paper, for w_{t+1} after the `context` tokens w_{t-n+2}, ..., w_t::

        x = [C[w_{t-n+2}], ..., C[w_t]]          the vectors of the n - 1 last tokens, joined
        y = b + W x + U tanh(d + H x)            the logits of the next token

    Unlike an n-gram model it learns that tokens are alike: what was seen after one of them is also
    likely after the others. But like it, it knows nothing of what is further back than its window.

    Parameters
    ----------
    vocab_size
        the number V of tokens.
    embedding_size
        the length of a token's vector.
    hidden_size
        the length of tanh(d + H x).
    context
        how many tokens it sees, n - 1.
    direct
        True: with the direct connections W; else W = 0.
    dropout
        in training, the probability with which an element of x, or of tanh(d + H x), is set to 0.
    rng
        the generator for the initial values and for dropout; None: minigrad's own.

    Attributes
    ----------
    embedding : nn.Embedding
        C. Its last row, V, stands in the place of tokens before the text begins.
    hidden_layer : nn.Linear
        H and d.
    output : nn.Linear
        [U W], or U, and b.

    Raises
    ------
    ValueError
        for a size below 1, or a probability that is not from 0 to 1. In a call, for ids or a state
        of another shape.

    Notes
    -----
    It is called like an `RNNLM`: ids of shape (T, N) or (T,) give the logits of each time step,
    shape (T, N, V) or (T, V), and the state, a tuple of one Tensor: the ids of the last `context`
    tokens, shape (N, context) or (context,). So what trains, measures and samples a recurrent model
    does the same with this one. Truncated BPTT cuts nothing off here: no gradient goes further back
    than the window.
    """

    embedding: nn.Embedding
    output: nn.Linear
    own_cell = None

    def __init__(
        self,
        vocab_size: int,
        embedding_size: int,
        hidden_size: int,
        context: int,
        direct: bool = False,
        dropout: float = 0.0,
        *,
        rng: np.random.Generator | None = None,
    ) -> None:
        if context < 1:
            raise ValueError(f"NNLM: context must be at least 1, got {context}")
        self.vocab_size, self.context, self.direct = vocab_size, context, direct
        self._settings = {
            "vocab_size": vocab_size,
            "embedding_size": embedding_size,
            "hidden_size": hidden_size,
            "context": context,
            "direct": direct,
            "dropout": dropout,
        }
        window = context * embedding_size
        self.embedding = nn.Embedding(vocab_size + 1, embedding_size, rng=rng)
        self.hidden_layer = nn.Linear(window, hidden_size, rng=rng)
        self.output = nn.Linear(hidden_size + window * direct, vocab_size, rng=rng)
        self.dropout = nn.Dropout(dropout, rng=rng)

    def settings(self) -> dict[str, Any]:
        """The arguments that make such a model again: ``NNLM(**model.settings())``."""
        return dict(self._settings)

    def hidden(self, ids: Any, state: Any = None) -> tuple[Tensor, Any]:
        """What the output layer takes: tanh(d + H x), with `direct` joined by x; and the state."""
        ids = ids if hasattr(ids, "ndim") else np.asarray(ids)
        T, before = len(ids), self._before(ids, state)
        # these are looked up apart, as they came: then `mg.capture` can check them like the ids
        vectors = concatenate([self.embedding(before).swapaxes(0, -2)[1:], self.embedding(ids)])
        x = concatenate([vectors[k : k + T] for k in range(self.context)], axis=-1)
        x = self.dropout(x)
        h = self.dropout(tanh(self.hidden_layer(x)))
        last = concatenate([before, ids.T], axis=-1)[..., -self.context :]
        return (concatenate([h, x], axis=-1) if self.direct else h), (last,)

    def _before(self, ids: Any, state: Any) -> Any:
        """The ids of the `context` tokens before `ids`, which `state` holds."""
        if ids.ndim not in (1, 2):
            raise ValueError(f"NNLM: ids must have the shape (T, N) or (T,), got {ids.shape}")
        shape = (*ids.shape[1:], self.context)
        if state is None:
            device = self.embedding.weight.device
            return full(shape, self.vocab_size, dtype=np.int64, device=device)
        found = [getattr(part, "shape", type(part).__name__) for part in state]
        if found != [shape]:
            raise ValueError(f"NNLM: state must hold one Tensor of shape {shape}, got {found}")
        return state[0]

    def objective(self, ids: Any, targets: Any, state: Any = None) -> Objective:
        """What training minimises, as of an `RNNLM`: the cross-entropy, without penalties."""
        loss, state = self.loss(ids, targets, state)
        return Objective(loss, loss, state)
