"""Recurrent layers: a whole sequence at once, in one or more layers and directions.

::

    output, state = rnn(x)              # x of shape (T, N, input_size); the state starts as zeros
    output, state = rnn(more, state)    # goes on where the last call ended

The state is given and returned, never kept. To train on windows of a longer sequence (truncated
BPTT), cut it off between them: ``state.detach()``, or each of the two tensors of an LSTM's.

Each layer and direction is one op for the whole sequence (`minigrad.ops.recurrent`); with
``unroll=True`` its equations run step by step on the tape instead (`minigrad.ops.recurrence`), with
the same results: to look at, to draw, or to compare.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad import ops
from minigrad.backend import ArrayLike, DType
from minigrad.nn.building import (
    check_floats,
    check_nonlinearity,
    check_sizes,
    checked_state,
    recurrent_parameters,
)
from minigrad.nn.module import Module
from minigrad.ops.recurrence import State, unrolled_gru, unrolled_lstm, unrolled_rnn
from minigrad.ops.recurrent import gru, lstm, rnn
from minigrad.recording import operand
from minigrad.tensor import Tensor


class _Recurrent(Module):
    """What RNN, LSTM and GRU share: all but the equations."""

    _gates: int
    _state: tuple[str, ...] = ("h_0",)
    _fused: Callable[..., Any]  # over a sequence: as one op,
    _unrolled: Callable[..., Any]  # and step by step on the tape

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
        rng: np.random.Generator | None = None,
        dtype: DType = None,
    ) -> None:
        check_sizes(self, input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
        if not 0 <= dropout <= 1:
            raise ValueError(f"{type(self).__name__}: dropout must be from 0 to 1, not {dropout}")
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first = bias, batch_first
        self.dropout, self.bidirectional, self.rng = dropout, bidirectional, rng
        self.unroll = unroll
        for layer in range(num_layers):
            size = input_size if layer == 0 else hidden_size * len(self._directions)
            for direction in self._directions:
                parameters = recurrent_parameters(
                    self._gates * hidden_size, size, hidden_size, bias, rng, dtype
                )
                for name, parameter in zip(self._names(layer, direction), parameters, strict=True):
                    setattr(self, name, parameter)

    @property
    def _directions(self) -> Sequence[str]:
        return ("", "_reverse") if self.bidirectional else ("",)

    def _names(self, layer: int, direction: str) -> list[str]:
        """The names of weight_ih, weight_hh, bias_ih and bias_hh."""
        kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        return [f"{kind}_l{layer}{direction}" for kind in kinds]

    def _sequence(self, Wx: Any, state: State, W_hh: Any, b_hh: Any, reverse: bool) -> Any:
        """The output and the parts of the final state of one layer in one direction."""
        run = self._unrolled if self.unroll else self._fused
        return run(Wx, *state, W_hh, b_hh, reverse)

    def forward(self, x: ArrayLike, state: Any = None) -> tuple[Tensor, Any]:
        """Run over a sequence; D is 2 for a bidirectional layer, else 1.

        Parameters
        ----------
        x
            shape (T, N, input_size), with `batch_first` (N, T, input_size); or (T, input_size) for
            one sequence without a batch, and then output and states have no N either.
        state
            h_0 of shape (num_layers * D, N, hidden_size), layer by layer, in each the forward
            direction first; of an LSTM a pair (h_0, c_0); None: zeros.

        Returns
        -------
        output, state
            the last layer's h at each time step, of shape (T, N, D * hidden_size), with
            `batch_first` (N, T, ...); and the state in the end, like the one to start from.

        Raises
        ------
        TypeError, ValueError
            if `x` or `state` is not like that, or T is 0.
        """
        x = self._checked(x)
        D, H = len(self._directions), self.hidden_size
        batched, time_second = x.ndim == 3, x.ndim == 3 and self.batch_first
        rows = self.num_layers * D
        N = x.shape[0 if time_second else 1] if batched else 1
        parts = checked_state(self, x, state, self._state, (rows, N, H) if batched else (rows, H))
        if time_second:
            x = ops.swapaxes(x, 0, 1)
        elif not batched:
            x = ops.expand_dims(x, 1)
            parts = tuple(ops.expand_dims(part, 1) for part in parts)
        output, parts = self._run(x, parts)
        if time_second:
            output = ops.swapaxes(output, 0, 1)
        elif not batched:
            output = ops.squeeze(output, 1)
            parts = tuple(ops.squeeze(part, 1) for part in parts)
        return output, parts if len(parts) > 1 else parts[0]

    def _checked(self, x: ArrayLike) -> Any:
        x = check_floats(self, operand(x))
        if x.ndim not in (2, 3) or x.shape[-1] != self.input_size:
            batch = "N, T" if self.batch_first else "T, N"
            raise ValueError(
                f"{type(self).__name__}: x has shape {x.shape}, expected ({batch}, "
                f"{self.input_size}), or (T, {self.input_size}) for one sequence"
            )
        if x.shape[1 if self.batch_first and x.ndim == 3 else 0] == 0:
            raise ValueError(
                f"{type(self).__name__}: x has shape {x.shape}; the sequence needs at least one "
                "time step"
            )
        return x

    def _run(self, x: Any, state: State) -> tuple[Any, State]:
        """All layers, with `x` of shape (T, N, input) and a batch in each part of the state."""
        finals: list[State] = []
        for layer in range(self.num_layers):
            if layer > 0:
                x = ops.dropout(x, self.dropout, self.training, self.rng)
            outputs = []
            for direction in self._directions:
                W_ih, W_hh, b_ih, b_hh = (getattr(self, n) for n in self._names(layer, direction))
                start = tuple(part[len(finals)] for part in state)
                reverse = direction == "_reverse"
                Wx = ops.linear(x, W_ih, b_ih)
                output, *final = self._sequence(Wx, start, W_hh, b_hh, reverse)
                outputs.append(output)
                finals.append(tuple(final))
            x = ops.concatenate(outputs, axis=-1) if len(outputs) > 1 else outputs[0]
        return x, tuple(ops.stack(parts) for parts in zip(*finals, strict=True))

    def extra_repr(self) -> str:
        """The sizes, and whatever differs from the default."""
        defaults = {"num_layers": 1, "nonlinearity": "tanh", "bias": True, "batch_first": False}
        defaults |= {"dropout": 0.0, "bidirectional": False, "unroll": False}
        others = [
            f"{name}={vars(self)[name]!r}"
            for name, default in defaults.items()
            if vars(self).get(name, default) != default
        ]
        return ", ".join([f"{self.input_size}, {self.hidden_size}", *others])


class RNN(_Recurrent):
    """h_t = tanh(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh) at each time step t, or with relu.

    See `recurrence.rnn_step`, and `LSTM` for the parameters; `nonlinearity` is ``"tanh"`` or
    ``"relu"``. The weights have `hidden_size` rows; the state is one tensor h.
    """

    _gates = 1

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
        rng: np.random.Generator | None = None,
        dtype: DType = None,
    ) -> None:
        self.nonlinearity = check_nonlinearity(self, nonlinearity)
        options = (bias, batch_first, dropout, bidirectional)
        super().__init__(
            input_size, hidden_size, num_layers, *options, unroll=unroll, rng=rng, dtype=dtype
        )

    def _sequence(self, Wx: Any, state: State, W_hh: Any, b_hh: Any, reverse: bool) -> Any:
        run = unrolled_rnn if self.unroll else rnn
        (h_0,) = state
        return run(Wx, h_0, W_hh, b_hh, self.nonlinearity, reverse)


class LSTM(_Recurrent):
    """A long short-term memory over a sequence; see `recurrence.lstm_step` for the equations.

    Parameters
    ----------
    input_size, hidden_size
        lengths of x and of h at each time step.
    num_layers
        how many on top of each other: each but the first takes the h of the one below as its x.
    bias
        False: without biases.
    batch_first
        True: x and output have the shape (N, T, ...); states keep theirs.
    dropout
        from 0 to 1: in training, `Dropout` between the layers with this p (Zaremba, Sutskever and
        Vinyals 2014, Recurrent neural network regularization); one layer alone has none.
    bidirectional
        True: a second network runs from the last time step to the first, and the outputs of the two
        stand side by side (Schuster and Paliwal 1997, Bidirectional recurrent neural networks).
    unroll
        True: step by step on the tape, rather than one op for the whole sequence.
    rng
        where the initial values, and dropout, are drawn from; None: minigrad's own generator.
    dtype
        of the parameters; None: float32.

    Attributes
    ----------
    weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0
        of layer 0: shapes (4 * hidden_size, input_size), (4 * hidden_size, hidden_size) and twice
        (4 * hidden_size,), all drawn evenly from [-k, k] with k = 1 / sqrt(hidden_size). The next
        layers' names end in ``_l1`` and so on, and their input is D * hidden_size long; those of
        the other direction have ``_reverse`` after that.
    """

    _gates = 4
    _state = ("h_0", "c_0")
    _fused = staticmethod(lstm)
    _unrolled = staticmethod(unrolled_lstm)


class GRU(_Recurrent):
    """A gated recurrent unit over a sequence; see `recurrence.gru_step` for the equations.

    See `LSTM` for the parameters. The weights have 3 * hidden_size rows; the state is one tensor h.
    """

    _gates = 3
    _fused = staticmethod(gru)
    _unrolled = staticmethod(unrolled_gru)
