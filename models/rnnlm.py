"""A recurrent language model: it reads tokens and gives the probability of each next token.

`LanguageModel` is the model of the textbooks. `RNNLM` is the same model, with later improvements as
options.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from minigrad import Tensor, linear_cross_entropy, nn, one_hot
from models.initial_values import check_start, initialise, open_forget_gates
from models.regularisation import Regularisation, check_flag


class LanguageModel(nn.Module):
    """Embedding, LSTM and linear layer; examples/language_model.py trains one like it.

    Mikolov et al., "Recurrent neural network based language model" (2010), with the LSTM of
    Sundermeyer, Schlüter and Ney (2012). In the letters of the lectures E is ``embedding.weight``,
    W_xh and W_hh are ``recurrent.weight_ih_l0`` and ``weight_hh_l0``, b_h is the sum of
    ``bias_ih_l0`` and ``bias_hh_l0``, and W_hy and b_y are ``output.weight`` and ``output.bias``.
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_size: int,
        hidden_size: int,
        rng: np.random.Generator | None = None,
    ) -> None:
        self.embedding = nn.Embedding(vocab_size, embedding_size, rng=rng)
        self.recurrent = nn.LSTM(embedding_size, hidden_size, rng=rng)
        self.output = nn.Linear(hidden_size, vocab_size, rng=rng)

    def hidden(self, ids: Any, state: Any = None) -> tuple[Tensor, Any]:
        """The hidden states h_t after each time step, shape (T, N, H); and the last state."""
        x = self.embedding(ids)  # x_t = E[w_t]
        h, state = self.recurrent(x, state)  # h_t = LSTM(x_t, h_{t-1})
        return h, state

    def forward(self, ids: Any, state: Any = None) -> tuple[Tensor, Any]:
        """The logits y_t of the token after each of `ids`, shape (T, N, V); and the last state.

        `ids` w_t has the shape (T, N): T time steps of N texts side by side. `state` is the state
        that an earlier call gave for the text before `ids`; None: the texts begin here.
        """
        h, state = self.hidden(ids, state)
        return self.output(h), state  # y_t = W_hy h_t + b_y

    def loss(self, ids: Any, targets: Any, state: Any = None) -> tuple[Tensor, Any]:
        """The mean of -log p(w_{t+1}), in nats, with p = softmax(y_t); and the last state.

        `targets` w_{t+1} has the shape of `ids`; targets of -100 do not count.
        """
        h, state = self.hidden(ids, state)
        return linear_cross_entropy(h, self.output.weight, self.output.bias, targets), state


CELLS: dict[str, Any] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}

Cell = str | Callable[[int, int], nn.Module]
"""The name of one of `CELLS`, or a class of your own cell: see `minigrad.nn.Recurrent`."""


class Objective(NamedTuple):
    """What `RNNLM.objective` gives.

    `total` is what training minimises: `loss`, the cross-entropy, plus the penalties. Both are
    single numbers. `state` is the state after the last time step.
    """

    total: Tensor
    loss: Tensor
    state: Any


class RNNLM(LanguageModel):
    """A `LanguageModel` with any cell, any number of layers, and the improvements of later papers.

    ::

        x_t = E[w_t]                    the vector of the token at time t
        h_t = cell(x_t, h_{t-1})        the hidden state of each layer
        y_t = W_hy h_t + b_y            the logits of the next token

    Parameters
    ----------
    vocab_size
        the number V of tokens.
    embedding_size
        the length of x_t. None: no embedding, x_t is the one-hot vector of the token, as in
        min-char-rnn and char-rnn (Karpathy 2015).
    hidden_size
        the length of h_t in each layer (but see `tied`).
    cell
        ``"rnn"``, ``"lstm"`` or ``"gru"``. They have two biases, one of the input and one of h, as
        in PyTorch; a paper's single bias is the sum of the two. Or the class of your own cell, for
        `minigrad.nn.Recurrent` (docs/cells.md).
    num_layers
        the number of recurrent layers, one on top of the other.
    dropout, input_dropout, hidden_dropout, output_dropout, variational, embedding_dropout, \
weight_drop, activation_penalty, temporal_penalty
        what keeps it from overfitting: see `models.regularisation.Regularisation`.
    tied
        one matrix for E and W_hy: Press and Wolf, "Using the output embedding to improve language
        models" (2017). The last layer then has embedding_size units, the others hidden_size, as in
        Merity et al. (2018). With one layer, the two sizes must be equal.
    forget_bias
        the bias of an LSTM's forget gate at the start; None: like the other biases. With 1, the
        LSTM remembers from the beginning: Gers, Schmidhuber and Cummins (2000); Jozefowicz, Zaremba
        and Sutskever, "An empirical exploration of recurrent network architectures" (2015).
    init, init_scale
        how the parameters are drawn, one of `models.initial_values.INITS`: see `initialise` there.
        Your own cell draws its own parameters.
    rng
        the generator for the initial values and for dropout; None: minigrad's own.

    On a GPU (``model.to("cuda")``) the ids must be there, too: ``Tensor(ids, device="cuda")``. The
    model then does not check that they are in the vocabulary: check them before, as
    `minigrad.data.batchify` does with a `vocab_size`. NumPy arrays are refused, unless
    `minigrad.set_default_device` sends host data to the GPU.

    Attributes
    ----------
    vocab_size : int
        the number of tokens.
    embedding, recurrent, output
        nn.Embedding (None for one-hot vectors), nn.ModuleList of layers, nn.Linear. Set
        ``embedding.sparse`` for row-sparse gradients of a large vocabulary, on the CPU (on a GPU
        the CPU would have to wait for it to know the rows).

    Raises
    ------
    ValueError
        for sizes below 1, probabilities that are not from 0 to 1, an unknown cell or `init`, tied
        weights of two sizes, or options that exclude each other.

    Notes
    -----
    A call takes ids of shape (T, N) or (T,). Its state is a tuple with the state of each layer; the
    tensors of a state have N on axis -2. A call raises a TypeError, ValueError or IndexError for
    ids that are not integers, have another shape, or are outside the vocabulary, and for a state
    that does not fit.
    """

    embedding: nn.Embedding | None  # type: ignore[assignment]
    recurrent: nn.ModuleList  # type: ignore[assignment]

    def __init__(
        self,
        vocab_size: int,
        embedding_size: int | None,
        hidden_size: int,
        cell: Cell = "lstm",
        num_layers: int = 1,
        dropout: float = 0.0,
        tied: bool = False,
        *,
        input_dropout: float | None = None,
        hidden_dropout: float | None = None,
        output_dropout: float | None = None,
        variational: bool = False,
        embedding_dropout: float = 0.0,
        weight_drop: float = 0.0,
        activation_penalty: float = 0.0,
        temporal_penalty: float = 0.0,
        forget_bias: float | None = None,
        init: str = "pytorch",
        init_scale: float | None = None,
        rng: np.random.Generator | None = None,
    ) -> None:
        self.regularisation = Regularisation(
            dropout=dropout,
            input_dropout=input_dropout,
            hidden_dropout=hidden_dropout,
            output_dropout=output_dropout,
            variational=variational,
            embedding_dropout=embedding_dropout,
            weight_drop=weight_drop,
            activation_penalty=activation_penalty,
            temporal_penalty=temporal_penalty,
        )
        _check_sizes(vocab_size, embedding_size, hidden_size, num_layers, tied)
        _check_cell(cell, embedding_size, tied, self.regularisation)
        check_start(cell, forget_bias, init, init_scale)
        self._settings = {
            "vocab_size": vocab_size,
            "embedding_size": embedding_size,
            "hidden_size": hidden_size,
            "cell": cell,
            "num_layers": num_layers,
            "tied": tied,
            "forget_bias": forget_bias,
            "init": init,
            "init_scale": init_scale,
            **asdict(self.regularisation),
        }
        at_input, between, at_output = self.regularisation.places()
        masked = nn.LockedDropout if variational else nn.Dropout
        self.input_dropout = masked(0.0 if embedding_size is None else at_input, rng=rng)
        self.hidden_dropout = masked(between, rng=rng)
        self.output_dropout = masked(at_output, rng=rng)

        sizes = layer_sizes(vocab_size, embedding_size, hidden_size, num_layers, tied)
        self.embedding = None
        if embedding_size is not None:
            self.embedding = nn.Embedding(
                vocab_size, embedding_size, dropout=embedding_dropout, rng=rng
            )
        self.recurrent = nn.ModuleList(
            _layer(cell, below, above, embedding_size is None and k == 0, weight_drop, rng)
            for k, (below, above) in enumerate(pairwise(sizes))
        )
        self.output = nn.Linear(sizes[-1], vocab_size, rng=rng)
        if tied and self.embedding is not None:
            # the output layer's values, which are smaller: large ones would make large logits
            self.embedding.weight = self.output.weight
        layers = list(self.recurrent) if isinstance(cell, str) else []
        initialise(self.embedding, layers, self.output, init, init_scale, rng)
        if forget_bias is not None:
            open_forget_gates(layers, forget_bias)

    @property
    def vocab_size(self) -> int:
        """The number of tokens."""
        return int(self._settings["vocab_size"])

    @property
    def own_cell(self) -> Callable[[int, int], nn.Module] | None:
        """The class of its cells, if it is not one of minigrad's; else None."""
        cell = self._settings["cell"]
        return None if isinstance(cell, str) else cell

    def settings(self) -> dict[str, Any]:
        """The arguments that make such a model again: ``RNNLM(**model.settings())``."""
        return {
            name: value.item() if isinstance(value, np.generic) else value
            for name, value in self._settings.items()
        }

    def _run(self, ids: Any, state: Any) -> tuple[Tensor, Tensor, Any]:
        """The outputs of the top layer, these after dropout, and the last state."""
        layers = list(self.recurrent)
        if state is not None and (not isinstance(state, tuple | list) or len(state) != len(layers)):
            got = type(state).__name__ + (f" of {len(state)}" if hasattr(state, "__len__") else "")
            raise TypeError(
                f"RNNLM: state must be a tuple with the states of {len(layers)} layers, as an "
                f"earlier call gave it, not a {got}"
            )
        x = ids
        if self.embedding is not None:
            x = self.input_dropout(self.embedding(ids))
        elif self.own_cell is not None:
            x = one_hot(ids, self.vocab_size, self.output.weight.dtype)
        states = []
        for k, layer in enumerate(layers):
            if k:
                x = self.hidden_dropout(x)
            x, end = layer(x, None if state is None else state[k])
            states.append(end)
        return x, self.output_dropout(x), tuple(states)

    def hidden(self, ids: Any, state: Any = None) -> tuple[Tensor, Any]:
        """The outputs of the top layer after dropout, from which the logits are made.

        Parameters and exceptions are those of a call.

        Returns
        -------
        hidden, state
            shape (T, N, H), or (T, H); and the state after the last time step.
        """
        _, h, state = self._run(ids, state)
        return h, state

    def objective(self, ids: Any, targets: Any, state: Any = None) -> Objective:
        """What training minimises: the cross-entropy, plus the penalties of its `Regularisation`.

        Parameters
        ----------
        ids, state
            as in a call. This is teacher forcing: at each time step the model gets the token of the
            text, not the one that it would have written itself.
        targets
            the token after each of `ids`, in the same shape; targets of -100 do not count.

        Returns
        -------
        Objective
            its loss is the mean over all targets that are not -100, in nats. Its state is still on
            the tape: detach it before the next window of truncated BPTT.
        """
        raw, h, state = self._run(ids, state)
        total = loss = linear_cross_entropy(h, self.output.weight, self.output.bias, targets)
        for penalty in self.regularisation.penalties(raw, h):
            total = total + penalty
        return Objective(total, loss, state)


def layer_sizes(
    vocab_size: int, embedding_size: int | None, hidden_size: int, num_layers: int, tied: bool
) -> list[int]:
    """The length of x_t, and of h_t in each layer of an `RNNLM`."""
    sizes = [embedding_size or vocab_size, *[hidden_size] * num_layers]
    if tied:
        sizes[-1] = sizes[0]
    return sizes


def _layer(
    cell: Cell,
    below: int,
    above: int,
    is_one_hot: bool,
    weight_drop: float,
    rng: np.random.Generator | None,
) -> nn.Module:
    """A recurrent layer from vectors of length `below` to vectors of length `above`."""
    if not isinstance(cell, str):
        return nn.Recurrent(cell, below, above, rng=rng)
    options: dict[str, Any] = {"weight_dropout": weight_drop} if weight_drop else {}
    if is_one_hot:
        options["one_hot"] = True
    layer: nn.Module = CELLS[cell](below, above, rng=rng, **options)
    return layer


# ----------------------------------------------------------------------------------- checks


def _check_sizes(
    vocab_size: Any, embedding_size: Any, hidden_size: Any, num_layers: Any, tied: Any
) -> None:
    sizes = {"vocab_size": vocab_size, "hidden_size": hidden_size, "num_layers": num_layers}
    if embedding_size is not None:
        sizes["embedding_size"] = embedding_size
    for name, size in sizes.items():
        if not isinstance(size, int | np.integer) or isinstance(size, bool) or size < 1:
            raise ValueError(f"RNNLM: {name} must be an integer of at least 1, not {size!r}")
    check_flag("tied", tied)
    if tied and embedding_size is not None and num_layers == 1 and embedding_size != hidden_size:
        raise ValueError(
            "RNNLM: with one layer, tied weights need one size for embeddings and hidden units, "
            f"got embedding_size={embedding_size} and hidden_size={hidden_size}"
        )


def _check_cell(
    cell: Any, embedding_size: int | None, tied: bool, regularisation: Regularisation
) -> None:
    if not (callable(cell) or (isinstance(cell, str) and cell in CELLS)):
        raise ValueError(
            f"RNNLM: cell must be one of {', '.join(CELLS)}, not {cell!r}, or a class of your own"
        )
    if regularisation.weight_drop and not isinstance(cell, str):
        raise ValueError("RNNLM: weight_drop needs a W_hh, which a cell of your own may not have")
    if embedding_size is None:
        needing = {
            "tied": tied,
            "input_dropout": regularisation.input_dropout,
            "embedding_dropout": regularisation.embedding_dropout,
        }
        for name, value in needing.items():
            if value:
                raise ValueError(f"RNNLM: {name} needs an embedding, but embedding_size is None")
