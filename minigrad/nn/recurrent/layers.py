"""Recurrent layers: RNN, LSTM and GRU over a whole sequence, in one or more layers and directions.

::

    output, state = rnn(x)              # x of shape (T, N, input_size); the state starts as zeros
    output, state = rnn(more, state)    # goes on where the last call ended
    output, state = rnn(x, lengths=[5, 2, 7])       # three sequences, padded to the longest

The state is an argument and a result; a layer keeps none. To train on windows of a longer sequence
(truncated BPTT), cut the state off between two windows: ``state.detach()``, or each of the two
tensors of an LSTM's state.

Parameters have PyTorch's names. In the letters of lecture notes, of layer 0:

======================  ===================================
W_xh                    ``weight_ih_l0``
W_hh                    ``weight_hh_l0``
b                       ``bias_ih_l0 + bias_hh_l0``
W_hy                    the ``weight`` of the output layer, an `nn.Linear`
E (or W_e)              the ``weight`` of an `nn.Embedding`
======================  ===================================

Each layer and direction is one op for the whole sequence (`fused.py`). With ``unroll=True`` its
equations run step by step on the tape instead (`equations.py`), with the same results: to look at,
to draw, or to compare.

Next: `layer_norm_lstm.py`; or `steps.py`, where the way of the fused ops begins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad import ops
from minigrad.arrays.devices import beside
from minigrad.arrays.library import Array, ArrayLike, DType, as_array, bare, on_gpu
from minigrad.errors.values import told
from minigrad.nn.checking import (
    as_input,
    check_choice,
    check_flag,
    check_one,
    check_share,
)
from minigrad.nn.parameter import Parameter
from minigrad.nn.recurrent.cells import recurrent_parameters
from minigrad.nn.recurrent.equations import (
    ACTIVATIONS,
    State,
    unrolled_gru,
    unrolled_lstm,
    unrolled_rnn,
)
from minigrad.nn.recurrent.fused import gru, lstm, rnn
from minigrad.nn.recurrent.stack import Layers
from minigrad.ops.indexing import all_below
from minigrad.ops.neural import columns

KINDS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class _Fused(Layers):
    """What RNN, LSTM and GRU share: PyTorch's parameters, and an op for the whole sequence."""

    weight_ih_l0: Parameter
    weight_hh_l0: Parameter
    bias_ih_l0: Parameter | None
    bias_hh_l0: Parameter | None

    _gates: int
    _fused: Callable[..., Any]  # over a sequence as one op
    _unrolled: Callable[..., Any]  # over a sequence step by step on the tape

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        unroll: bool = False,
        one_hot: bool = False,
        weight_dropout: float = 0.0,
        rng: np.random.Generator | None = None,
        dtype: DType = None,
    ) -> None:
        super().__init__(
            input_size, hidden_size, num_layers, batch_first, dropout, bidirectional, rng
        )
        self.bias = check_flag(self, bias=bias)
        self.unroll = check_flag(self, unroll=unroll)
        self.one_hot = check_flag(self, one_hot=one_hot)
        self.weight_dropout = check_share(self, weight_dropout=weight_dropout)
        self._state_sizes = (self.hidden_size,) * len(self._state)
        rows = self._gates * self.hidden_size
        for name in self._names:
            parameters = recurrent_parameters(
                rows, self._input_size(name), self.hidden_size, self.bias, rng, dtype
            )
            for kind, parameter in zip(KINDS, parameters, strict=True):
                setattr(self, kind + name, parameter)

    def _over_sequence(
        self, name: str, x: Any, state: State, sizes: Sequence[int] | None, reverse: bool
    ) -> Any:
        run = self._unrolled if self.unroll else self._fused
        weights = [getattr(self, kind + name) for kind in KINDS]
        weights[1] = ops.dropout(weights[1], self.weight_dropout, self.training, self.rng)
        if self.one_hot and name in ("_l0", "_l0_reverse"):
            ids = self._checked_ids(x[..., 0])
            x, weights[0] = columns(ids, weights[0]), None
        return run(x, *state, *weights, *self._options, sizes, reverse)

    def _checked_input(self, x: ArrayLike) -> Any:
        if not self.one_hot:
            return super()._checked_input(x)
        if isinstance(check_one(self, x), list | tuple):
            x = beside(np.asarray(x, None if np.size(x) else np.int64), self._like(x))
        x, axes = as_input(self, x), "(N, T)" if self.batch_first else "(T, N)"
        if x.dtype.kind not in "iu":
            raise TypeError(
                f"{type(self).__name__}: x must be integers, not {told(x)}, since one_hot=True"
            )
        if x.ndim not in (1, 2):
            raise ValueError(
                f"{type(self).__name__}: x has shape {x.shape}, expected {axes}, or (T,) for one "
                "sequence"
            )
        return ops.expand_dims(x, -1)  # the only feature of a step is its id

    def _like(self, x: Any) -> Any:
        return vars(self)["weight_hh_l0"] if self.one_hot else x

    def _checked_ids(self, x: Any) -> Array:
        """The ids in `x`; an IndexError unless all are below `input_size`."""
        ids: Array = as_array(bare(x))
        if not on_gpu(ids) and not all_below(ids, self.input_size):
            wrong = ids[(ids < 0) | (ids >= self.input_size)]
            raise IndexError(
                f"{type(self).__name__}: id {wrong[0]} is not from 0 to {self.input_size - 1}"
            )
        return ids

    @property
    def _options(self) -> tuple[Any, ...]:
        """The arguments of the op between the weights and `sizes`."""
        return ()


class RNN(_Fused):
    """h_t = tanh(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh) at each time step t, or with relu.

    See `equations.rnn_step`, and `LSTM` for the parameters; `nonlinearity` is ``"tanh"`` or
    ``"relu"``. The weights have `hidden_size` rows; the state is one tensor h.
    """

    _gates = 1
    _fused = staticmethod(rnn)
    _unrolled = staticmethod(unrolled_rnn)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        unroll: bool = False,
        one_hot: bool = False,
        weight_dropout: float = 0.0,
        rng: np.random.Generator | None = None,
        dtype: DType = None,
    ) -> None:
        self.nonlinearity = check_choice(self, list(ACTIVATIONS), nonlinearity=nonlinearity)
        options = (bias, batch_first, dropout, bidirectional)
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            *options,
            unroll=unroll,
            one_hot=one_hot,
            weight_dropout=weight_dropout,
            rng=rng,
            dtype=dtype,
        )

    @property
    def _options(self) -> tuple[Any, ...]:
        return (self.nonlinearity,)


class LSTM(_Fused):
    """A long short-term memory over a sequence; see `equations.lstm_step`.

    Parameters
    ----------
    input_size, hidden_size
        lengths of x and of h at each time step.
    num_layers
        the number of layers: each takes the h of the layer below as its x.
    bias
        False: no biases.
    batch_first
        True: x and output have the shape (N, T, ...); states keep theirs.
    dropout
        from 0 to 1: in training, the p of `Dropout` between the layers; one layer alone has none.
        Zaremba, Sutskever and Vinyals (2014), Recurrent neural network regularization.
    bidirectional
        True: a second network runs from the last time step to the first, and the two outputs stand
        side by side. Schuster and Paliwal (1997), Bidirectional recurrent neural networks.
    unroll
        True: step by step on the tape, not as one op for the whole sequence.
    one_hot
        True: x is integers below input_size, of shape (T, N) or (T,), with `batch_first` (N, T).
        Each means a vector that is 1 there and 0 elsewhere; the cost does not depend on input_size.
    weight_dropout
        from 0 to 1: in training, the share of the elements of each weight_hh that are 0 during a
        call, the same ones at all time steps; the others are scaled by 1 / (1 - weight_dropout).
        Wan, Zeiler, Zhang, LeCun and Fergus (2013), Regularization of neural networks using
        DropConnect; Merity, Keskar and Socher (2018), Regularizing and optimizing LSTM language
        models.
    rng
        the generator of the initial values and of all dropout; None: minigrad's own.
    dtype
        of the parameters; None: float32.

    Attributes
    ----------
    weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0
        of layer 0: shapes (4 * hidden_size, input_size), (4 * hidden_size, hidden_size),
        (4 * hidden_size,) and (4 * hidden_size,); drawn evenly from [-k, k], k =
        1 / sqrt(hidden_size). The names of the next layers end in ``_l1`` and so on, and their
        input is D * hidden_size long, where D is the number of directions. The names of the other
        direction end in ``_reverse`` after that.
    """

    _gates = 4
    _state = ("h_0", "c_0")
    _fused = staticmethod(lstm)
    _unrolled = staticmethod(unrolled_lstm)


class GRU(_Fused):
    """A gated recurrent unit over a sequence; see `equations.gru_step`.

    See `LSTM` for the parameters. The weights have 3 * hidden_size rows; the state is one tensor h.
    """

    _gates = 3
    _fused = staticmethod(gru)
    _unrolled = staticmethod(unrolled_gru)
