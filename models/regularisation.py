"""What keeps a language model from overfitting: dropout, and two penalties."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigrad import Tensor


@dataclass(frozen=True)
class Regularisation:
    """How an `RNNLM` is regularised; by default not at all.

    Parameters
    ----------
    dropout
        the probability with which, in training, an element of x_t or of a layer's output is set
        to 0. Nothing is dropped between one time step and the next: Zaremba, Sutskever and Vinyals,
        "Recurrent neural network regularization" (2014).
    input_dropout, hidden_dropout, output_dropout
        `dropout` for each place: of x_t, between the layers, and of the output of the top layer.
        None: `dropout`. One-hot vectors have no input dropout.
    variational
        one mask for all time steps of a sequence, instead of one for each: Gal and Ghahramani, "A
        theoretically grounded application of dropout in recurrent neural networks" (2016); the
        "locked dropout" of Merity et al. (2018).
    embedding_dropout
        the probability with which the vector of a token is 0 throughout a call: Gal and Ghahramani
        (2016). The other vectors are scaled. A tied W_hy does not change.
    weight_drop
        the probability with which an element of a layer's W_hh is 0 throughout a call: DropConnect
        of Wan, Zeiler, Zhang, LeCun and Fergus (2013), as in Merity, Keskar and Socher,
        "Regularizing and optimizing LSTM language models" (2018).
    activation_penalty, temporal_penalty
        the factors of AR and TAR in Merity et al. (2018), first in Merity, McCann and Socher,
        "Revisiting activation regularization for language RNNs" (2017): see `penalties`.

    Raises
    ------
    ValueError
        for a probability that is not from 0 to 1, a penalty below 0, or a `variational` that is
        neither True nor False.
    """

    dropout: float = 0.0
    input_dropout: float | None = None
    hidden_dropout: float | None = None
    output_dropout: float | None = None
    variational: bool = False
    embedding_dropout: float = 0.0
    weight_drop: float = 0.0
    activation_penalty: float = 0.0
    temporal_penalty: float = 0.0

    def __post_init__(self) -> None:
        check_flag("variational", self.variational)
        check_number("dropout", self.dropout, 0, 1)
        for name in ("input_dropout", "hidden_dropout", "output_dropout"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), 0, 1)
        check_number("embedding_dropout", self.embedding_dropout, 0, 1)
        check_number("weight_drop", self.weight_drop, 0, 1)
        check_number("activation_penalty", self.activation_penalty, 0, math.inf)
        check_number("temporal_penalty", self.temporal_penalty, 0, math.inf)

    def places(self) -> tuple[float, ...]:
        """The dropout of x_t, between the layers, and of the output of the top layer."""
        own = (self.input_dropout, self.hidden_dropout, self.output_dropout)
        return tuple(self.dropout if p is None else p for p in own)

    def penalties(self, raw: Tensor, h: Tensor) -> Iterator[Tensor]:
        """What is added to the loss for large outputs, and for large changes of the outputs.

        ::

            activation_penalty mean(m_t² h_t²)
            temporal_penalty   mean((h_{t+1} - h_t)²)

        m_t is the mask of dropout. The means are over all elements, as in the program that Merity
        et al. (2018) have published.

        Parameters
        ----------
        raw, h
            the outputs h_t of the top layer, shape (T, N, H) or (T, H); and these after dropout.
        """
        if self.activation_penalty:
            yield self.activation_penalty * (h * h).mean()
        if self.temporal_penalty and raw.shape[0] > 1:
            change = raw[1:] - raw[:-1]
            yield self.temporal_penalty * (change * change).mean()


def check_flag(name: str, value: Any) -> None:
    """Raise a ValueError unless an argument of `RNNLM` is True or False."""
    if not isinstance(value, bool | np.bool):
        raise ValueError(f"RNNLM: {name} must be True or False, not {value!r}")


def check_number(name: str, value: Any, low: float, high: float) -> None:
    """Raise a ValueError unless an argument of `RNNLM` is a finite number from `low` to `high`."""
    if (
        not isinstance(value, int | float | np.number)
        or not low <= value <= high
        or math.isinf(value)
    ):
        limits = f" from {low} to {high}" if high < math.inf else " of at least 0" * (low == 0)
        raise ValueError(f"RNNLM: {name} must be a finite number{limits}, not {value!r}")
