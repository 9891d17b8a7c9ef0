"""The LSTM with layer normalisation over whole sequences.

It has what `nn.LSTM` has by the same way, `Layers`. Its equations run step by step on the tape, but
for the product with the input, which is one for all time steps.

Next: `own_cell.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.arrays.library import DType
from minigrad.nn import init
from minigrad.nn.parameter import new_parameter
from minigrad.nn.recurrent.cells import recurrent_parameters
from minigrad.nn.recurrent.equations import State, layer_norm_lstm_step, unrolled
from minigrad.nn.recurrent.stack import Layers
from minigrad.ops import layer_norm, linear


class LayerNormLSTM(Layers):
    """An LSTM with layer normalisation over a sequence; see `equations.layer_norm_lstm_step`.

    It is called as `LSTM` is, and returns the same. Ba, Kiros and Hinton (2016), Layer
    normalization.

    Parameters
    ----------
    input_size, hidden_size, num_layers, batch_first, dropout, bidirectional
        as in `LSTM`.
    rng
        the generator of the initial values and of dropout; None: minigrad's own.
    dtype
        of the parameters; None: float32.

    Attributes
    ----------
    weight_ih_l0, weight_hh_l0
        of layer 0: shapes (4 * hidden_size, input_size) and (4 * hidden_size, hidden_size), drawn
        as in `LSTM`. The names of other layers and directions are as in `LSTM`, too.
    gain_ih_l0, gain_hh_l0, bias_l0
        shape (4 * hidden_size,), of the gates; gains are 1 at first, and biases 0.
    gain_c_l0, bias_c_l0
        shape (hidden_size,), of the memory cell before the output.

    Raises
    ------
    TypeError, ValueError
        for wrong sizes, a dropout that is not from 0 to 1, or an argument of a wrong type.
    """

    _state = ("h_0", "c_0")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        rng: np.random.Generator | None = None,
        dtype: DType = None,
    ) -> None:
        super().__init__(
            input_size, hidden_size, num_layers, batch_first, dropout, bidirectional, rng
        )
        H = self.hidden_size
        self._state_sizes = (H, H)
        for name in self._names:
            weight_ih, weight_hh, *_ = recurrent_parameters(
                4 * H, self._input_size(name), H, False, rng, dtype
            )
            setattr(self, f"weight_ih{name}", weight_ih)
            setattr(self, f"weight_hh{name}", weight_hh)
            for kind, size in (("ih", 4 * H), ("hh", 4 * H), ("c", H)):
                setattr(self, f"gain_{kind}{name}", init.ones_(new_parameter((size,), dtype)))
            setattr(self, f"bias{name}", new_parameter((4 * H,), dtype))
            setattr(self, f"bias_c{name}", new_parameter((H,), dtype))

    def _over_sequence(
        self, name: str, x: Any, state: State, sizes: Sequence[int] | None, reverse: bool
    ) -> Any:
        def its(kind: str) -> Any:
            return getattr(self, kind + name)

        weights = [its(kind) for kind in ("weight_hh", "gain_hh", "gain_c", "bias_c")]

        def step(Wx: Any, state: State) -> tuple[Any, State]:
            state = layer_norm_lstm_step(Wx, state, *weights)
            return state[0], state

        rows = 4 * self.hidden_size
        Wx = layer_norm(linear(x, its("weight_ih")), rows, its("gain_ih"), its("bias"))
        return unrolled(step, Wx, state, sizes, reverse)
