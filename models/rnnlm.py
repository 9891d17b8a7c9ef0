"""A recurrent language model: from the tokens so far, how likely each token is to come next.

Mikolov, Karafiát, Burget, Černocký and Khudanpur, "Recurrent neural network based language model"
(2010); with LSTM cells and dropout as in Zaremba, Sutskever and Vinyals, "Recurrent neural network
regularization" (2014), and all that has made it better since as options: see `RNNLM`.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from minigrad import Tensor, linear_cross_entropy, nn

CELLS: dict[str, Any] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}

INITS = ("pytorch", "uniform", "normal", "scaled-normal")


class Objective(NamedTuple):
    """What `RNNLM.objective` gives.

    `total` is what training goes down: `loss`, the cross-entropy, and the penalties; both are
    single numbers. `state` is that after the last time step.
    """

    total: Tensor
    loss: Tensor
    state: Any


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
        length of the vectors x_t. None: no embedding, x_t is the one-hot vector of the token, as in
        min-char-rnn and char-rnn (Karpathy 2015).
    hidden_size
        length of h_t in each layer (but see `tied`).
    cell
        ``"rnn"``, ``"lstm"`` or ``"gru"``. They have two biases, of the input and of h, as in
        PyTorch; where a paper's model has one, it is the sum of these two.
    num_layers
        how many recurrent layers on top of each other.
    dropout
        in training, the part of x_t, and of each layer's output, that is set to 0. Nothing is
        dropped on the way from one time step to the next: Zaremba, Sutskever and Vinyals (2014).
    tied
        one matrix for E and W: Press and Wolf, "Using the output embedding to improve language
        models" (2017). The last layer then has embedding_size units, the others hidden_size, as in
        Merity et al. (2018); with one layer the two must be equal.
    input_dropout, hidden_dropout, output_dropout
        the three places of `dropout` one by one: x_t, between the layers, and the output of the top
        layer. None: `dropout`. One-hot vectors have no input dropout.
    variational
        one mask for all time steps of a sequence, in place of one for each: Gal and Ghahramani, "A
        theoretically grounded application of dropout in recurrent neural networks" (2016); the
        "locked dropout" of Merity et al. (2018).
    embedding_dropout
        the part of the tokens whose vectors are 0 throughout a call: Gal and Ghahramani (2016). The
        others are scaled. A tied W is not touched.
    weight_drop
        the part of the elements of each layer's W_hh that are 0 throughout a call: DropConnect of
        Wan, Zeiler, Zhang, LeCun and Fergus (2013), as in Merity, Keskar and Socher, "Regularizing
        and optimizing LSTM language models" (2018).
    activation_penalty, temporal_penalty
        AR and TAR of Merity et al. (2018), first in Merity, McCann and Socher, "Revisiting
        activation regularization for language RNNs" (2017): see `objective`.
    forget_bias
        the bias of an LSTM's forget gate at the start; None: like the other biases. With 1 it
        remembers from the beginning: Gers, Schmidhuber and Cummins (2000); Jozefowicz, Zaremba and
        Sutskever, "An empirical exploration of recurrent network architectures" (2015).
    init, init_scale
        how the parameters are drawn.

        ``"pytorch"``: as `minigrad.nn` does; with an `init_scale` r, E and W evenly from [-r, r]
        and b = 0, as in PyTorch's word_language_model and Merity et al. (2018).
        ``"uniform"``: all evenly from [-init_scale, init_scale]: Zaremba et al. (2014), char-rnn.
        ``"normal"``: weights from a normal distribution with the standard deviation init_scale,
        biases 0: min-char-rnn.
        ``"scaled-normal"``: likewise with 0.01 for E, and for the others 1 / √(number of inputs):
        Saito, "Deep learning from scratch 2" (2018).
    rng
        where the initial values, and all dropout, are drawn from; None: minigrad's own generator.

    On a GPU (``model.to("cuda")``) it takes ids that are there, ``Tensor(ids, device="cuda")``, and
    nothing looks whether they are in the vocabulary: check them before (`minigrad.data.batchify`
    does, with a `vocab_size`). NumPy arrays it refuses, unless `minigrad.set_default_device` says
    that host data goes there.

    Attributes
    ----------
    vocab_size : int
        the number of tokens.
    embedding, recurrent, output
        nn.Embedding (None for one-hot vectors), nn.ModuleList of layers, nn.Linear. Set
        ``embedding.sparse`` for row-sparse gradients of a large vocabulary, on the CPU: a GPU would
        have to be waited for to know the rows.

    Raises
    ------
    ValueError
        for sizes below 1, shares that are not from 0 to 1, an unknown cell or `init`, tied weights
        of two sizes, or options that exclude each other.
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_size: int | None,
        hidden_size: int,
        cell: str = "lstm",
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
        settings = {k: value for k, value in locals().items() if k not in ("self", "rng")}
        check_arguments(**settings)
        self._settings = settings
        self.cell, self.tied = cell, tied
        self.activation_penalty, self.temporal_penalty = activation_penalty, temporal_penalty
        if embedding_size is None:
            input_dropout = 0.0
        places = [input_dropout, hidden_dropout, output_dropout]
        self.input_dropout, self.hidden_dropout, self.output_dropout = (
            (nn.LockedDropout if variational else nn.Dropout)(dropout if p is None else p, rng=rng)
            for p in places
        )
        self.embedding = None
        if embedding_size is not None:
            self.embedding = nn.Embedding(
                vocab_size, embedding_size, dropout=embedding_dropout, rng=rng
            )
        sizes = [embedding_size or vocab_size, *[hidden_size] * num_layers]
        if tied:
            sizes[-1] = sizes[0]
        layers: list[Any] = []
        for below, above in pairwise(sizes):
            options: dict[str, Any] = {"weight_dropout": weight_drop} if weight_drop else {}
            if embedding_size is None and not layers:
                options["one_hot"] = True
            layers.append(CELLS[cell](below, above, rng=rng, **options))
        self.recurrent = nn.ModuleList(layers)
        self.output = nn.Linear(sizes[-1], vocab_size, rng=rng)
        if tied and self.embedding is not None:
            # the smaller values of an output layer, since large ones would make large logits
            self.embedding.weight = self.output.weight
        for name, parameter in self.named_parameters():
            _initialise(parameter, name, init, init_scale, rng)
        if forget_bias is not None:
            for layer in layers:
                forget = slice(layer.hidden_size, 2 * layer.hidden_size)  # the gates are i, f, g, o
                layer.bias_ih_l0.data[forget] = forget_bias
                layer.bias_hh_l0.data[forget] = 0

    @property
    def vocab_size(self) -> int:
        """The number of tokens."""
        return int(self._settings["vocab_size"])

    def settings(self) -> dict[str, Any]:
        """The arguments that make such a model again: ``RNNLM(**model.settings())``."""
        return {
            name: value.item() if isinstance(value, np.generic) else value
            for name, value in self._settings.items()
        }

    def _run(self, ids: Any, state: Any) -> tuple[Tensor, Tensor, Any]:
        """The outputs of the top layer, the same after dropout, and the state."""
        layers = self.recurrent.layers
        if state is not None and (not isinstance(state, tuple | list) or len(state) != len(layers)):
            got = type(state).__name__ + (f" of {len(state)}" if hasattr(state, "__len__") else "")
            raise TypeError(
                f"RNNLM: state must be a tuple with the states of {len(layers)} layers, as an "
                f"earlier call gave it, not a {got}"
            )
        x = ids if self.embedding is None else self.input_dropout(self.embedding(ids))
        states = []
        for k, layer in enumerate(layers):
            if k:
                x = self.hidden_dropout(x)
            x, end = layer(x, None if state is None else state[k])
            states.append(end)
        return x, self.output_dropout(x), tuple(states)

    def hidden(self, ids: Any, state: Any = None) -> tuple[Tensor, Any]:
        """What the logits are made from: the outputs of the top layer, after dropout.

        Parameters and exceptions are those of `forward`.

        Returns
        -------
        hidden, state
            shape (T, N, H), or (T, H); and what is remembered after the last time step.
        """
        _, hidden, state = self._run(ids, state)
        return hidden, state

    def forward(self, ids: Any, state: Any = None) -> tuple[Tensor, Any]:
        """The logits of the next token after each of `ids`.

        Parameters
        ----------
        ids
            integers from 0 to V - 1, shape (T, N): T time steps of N texts side by side; or (T,).
        state
            what is remembered of the tokens before, as an earlier call gave it; None: nothing. It
            is a tuple with the state of each layer, whose tensors have N on their axis -2.

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
        hidden, state = self.hidden(ids, state)
        return self.output(hidden), state

    def loss(self, ids: Any, targets: Any, state: Any = None) -> tuple[Tensor, Any]:
        """Cross-entropy of the next tokens, and the state: teacher forcing.

        At each time step the model is given the text's own token, not the one that it would have
        written itself.

        Parameters
        ----------
        ids, state
            as in `forward`.
        targets
            the token that comes next after each of `ids`, in the same shape; -100: none is asked.

        Returns
        -------
        loss, state
            the mean over all targets but those of -100, in nats, a single number; and the state
            after the last time step, still on the tape: cut it off before the next window of
            truncated BPTT.
        """
        hidden, state = self.hidden(ids, state)
        return self._cross_entropy(hidden, targets), state

    def _cross_entropy(self, hidden: Tensor, targets: Any) -> Tensor:
        return linear_cross_entropy(hidden, self.output.weight, self.output.bias, targets)

    def objective(self, ids: Any, targets: Any, state: Any = None) -> Objective:
        """What training goes down: the cross-entropy and the penalties on the top layer's outputs.

        ::

            total = loss + activation_penalty mean(m_t² h_t²)
                         + temporal_penalty mean((h_{t+1} - h_t)²)

        h_t are the outputs of the top layer and m_t the masks of its dropout; the means are over
        all elements, as in the program that Merity et al. (2018) have published.

        Parameters and exceptions are those of `loss`.
        """
        raw, hidden, state = self._run(ids, state)
        total = loss = self._cross_entropy(hidden, targets)
        if self.activation_penalty:
            total = total + self.activation_penalty * (hidden * hidden).mean()
        if self.temporal_penalty and raw.shape[0] > 1:
            change = raw[1:] - raw[:-1]
            total = total + self.temporal_penalty * (change * change).mean()
        return Objective(total, loss, state)


def _initialise(
    parameter: nn.Parameter,
    name: str,
    init: str,
    init_scale: float | None,
    rng: np.random.Generator | None,
) -> None:
    """Draw a parameter of an `RNNLM` anew, as its `init` says."""
    is_bias, is_recurrent = parameter.ndim == 1, name.startswith("recurrent")
    if init == "pytorch" and (init_scale is None or is_recurrent):
        return
    if init_scale is not None and (init == "uniform" or (init == "pytorch" and not is_bias)):
        nn.init.uniform_(parameter, -init_scale, init_scale, rng)
    elif is_bias:
        nn.init.zeros_(parameter)
    else:
        std = init_scale
        if std is None:  # "scaled-normal"
            std = 0.01 if name == "embedding.weight" else 1 / math.sqrt(parameter.shape[1])
        nn.init.normal_(parameter, 0.0, std, rng)


def check_arguments(
    *,
    vocab_size: Any,
    embedding_size: Any,
    hidden_size: Any,
    num_layers: Any,
    cell: str,
    tied: bool,
    variational: bool,
    forget_bias: Any,
    init: str,
    init_scale: Any,
    **others: Any,
) -> None:
    """Raise a ValueError if an argument of `RNNLM` is out of range, or two exclude each other."""
    if cell not in tuple(CELLS):
        raise ValueError(f"RNNLM: cell must be one of {', '.join(CELLS)}, not {cell!r}")
    sizes = {"vocab_size": vocab_size, "hidden_size": hidden_size, "num_layers": num_layers}
    if embedding_size is not None:
        sizes["embedding_size"] = embedding_size
    for name, size in sizes.items():
        if not isinstance(size, int | np.integer) or isinstance(size, bool) or size < 1:
            raise ValueError(f"RNNLM: {name} must be an integer of at least 1, not {size!r}")
    for name, value in {"tied": tied, "variational": variational}.items():
        if not isinstance(value, bool | np.bool):
            raise ValueError(f"RNNLM: {name} must be True or False, not {value!r}")
    for name, value in others.items():
        if value is None and name in ("input_dropout", "hidden_dropout", "output_dropout"):
            continue
        if name.endswith(("dropout", "drop")):
            _check_number(name, value, 0, 1)
        elif name.endswith("penalty"):
            _check_number(name, value, 0, math.inf)
    if embedding_size is None:
        names = ("input_dropout", "embedding_dropout")
        excluded = ["tied"] * tied + [name for name in names if others[name]]
        if excluded:
            raise ValueError(f"RNNLM: {excluded[0]} needs an embedding, but embedding_size is None")
    if tied and num_layers == 1 and embedding_size != hidden_size:
        raise ValueError(
            "RNNLM: with one layer, tied weights need one size for embeddings and hidden units, "
            f"got embedding_size={embedding_size} and hidden_size={hidden_size}"
        )
    if forget_bias is not None:
        _check_number("forget_bias", forget_bias, -math.inf, math.inf)
        if cell != "lstm":
            raise ValueError(f"RNNLM: forget_bias is for an LSTM, but cell is {cell!r}")
    if init not in INITS:
        raise ValueError(f"RNNLM: init must be one of {', '.join(INITS)}, not {init!r}")
    if init_scale is not None:
        _check_number("init_scale", init_scale, 0, math.inf)
    if init in ("uniform", "normal") and init_scale is None:
        raise ValueError(f"RNNLM: init={init!r} needs an init_scale")
    if init == "scaled-normal" and init_scale is not None:
        raise ValueError("RNNLM: init='scaled-normal' takes no init_scale; it scales by the sizes")


def _check_number(name: str, value: Any, low: float, high: float) -> None:
    if (
        not isinstance(value, int | float | np.number)
        or not low <= value <= high
        or math.isinf(value)
    ):
        limits = f" from {low} to {high}" if high < math.inf else " of at least 0" * (low == 0)
        raise ValueError(f"RNNLM: {name} must be a finite number{limits}, not {value!r}")
