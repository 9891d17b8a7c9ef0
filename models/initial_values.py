"""The initial values of a model's parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad import nn, rand
from models.regularisation import check_number

INITS = ("pytorch", "uniform", "normal", "scaled-normal")


def initialise(
    embedding: nn.Embedding | None,
    layers: Sequence[nn.Module],
    output: nn.Linear,
    init: str,
    scale: float | None,
    rng: np.random.Generator | None,
) -> None:
    """Draw the initial values of an `RNNLM`.

    Parameters
    ----------
    embedding, layers, output
        the parts of the model. Layers of your own cell are not in `layers`: they draw their own.
    init, scale
        ``"pytorch"``: as `minigrad.nn` has drawn them; with a `scale`, E and W_hy evenly from
        [-scale, scale], and b_y = 0, as in PyTorch's word_language_model and Merity et al. (2018).
        ``"uniform"``: all evenly from [-scale, scale]: Zaremba et al. (2014), char-rnn.
        ``"normal"``: weights from a normal distribution with the standard deviation `scale`, and
        biases 0: min-char-rnn.
        ``"scaled-normal"``: likewise, with the standard deviation 0.01 for E, and
        1 / √(number of inputs) for the other weights: Saito, "Deep learning from scratch 2" (2018).
    rng
        the generator to draw from.
    """
    if init == "pytorch":
        if scale is None:
            return
        layers = []
    parts = nn.ModuleList([part for part in (embedding, *layers, output) if part is not None])
    for parameter in parts.parameters():
        is_bias = parameter.ndim == 1
        if scale is not None and (init == "uniform" or (init == "pytorch" and not is_bias)):
            nn.init.uniform_(parameter, -scale, scale, rng)
        elif is_bias:
            nn.init.zeros_(parameter)
        elif scale is not None:  # "normal"
            nn.init.normal_(parameter, 0.0, scale, rng)
        else:  # "scaled-normal"
            is_E = embedding is not None and parameter is embedding.weight
            std = 0.01 if is_E else 1 / math.sqrt(parameter.shape[1])
            nn.init.normal_(parameter, 0.0, std, rng)


def open_forget_gates(layers: Sequence[Any], bias: float) -> None:
    """Set the bias of the forget gates of LSTMs, so that they remember from the beginning.

    Gers, Schmidhuber and Cummins (2000); Jozefowicz, Zaremba and Sutskever, "An empirical
    exploration of recurrent network architectures" (2015).
    """
    for layer in layers:
        forget = slice(layer.hidden_size, 2 * layer.hidden_size)  # the gates are i, f, g, o
        layer.bias_ih_l0.data[forget] = bias
        layer.bias_hh_l0.data[forget] = 0


def chrono(layer: Any, longest: int, rng: np.random.Generator | None) -> None:
    """Set the biases of gates so that units keep their state for 1 to about `longest` time steps.

    ::

        b = log u,  u evenly from [1, longest - 1]      of the LSTM's f, and of the GRU's z
        -b                                              of the LSTM's i

    A gate of sigmoid(log u) = 1 - 1/(u + 1) forgets in about u steps. Tallec and Ollivier, "Can
    recurrent neural networks warp time?" (2018), whose z is 1 - z here.
    """
    H = layer.hidden_size
    u = 1 + (max(longest, 2) - 2) * rand(H, rng=rng).numpy()
    keep = slice(H, 2 * H)  # the gates are i, f, g, o, or r, z, n
    for bias, values in ((layer.bias_ih_l0, np.log(u)), (layer.bias_hh_l0, np.zeros(H))):
        array = bias.numpy().copy()
        array[keep] = values
        if isinstance(layer, nn.LSTM):
            array[:H] = -values
        bias.data = array


def check_start(cell: Any, forget_bias: Any, init: Any, init_scale: Any) -> None:
    """Raise a ValueError if these arguments of an `RNNLM` are wrong, or exclude each other."""
    if forget_bias is not None:
        check_number("forget_bias", forget_bias, -math.inf, math.inf)
        if cell != "lstm":
            raise ValueError(f"RNNLM: forget_bias is for an LSTM, but cell is {cell!r}")
    if init not in INITS:
        raise ValueError(f"RNNLM: init must be one of {', '.join(INITS)}, not {init!r}")
    if init_scale is not None:
        check_number("init_scale", init_scale, 0, math.inf)
    if init in ("uniform", "normal") and init_scale is None:
        raise ValueError(f"RNNLM: init={init!r} needs an init_scale")
    if init == "scaled-normal" and init_scale is not None:
        raise ValueError("RNNLM: init='scaled-normal' takes no init_scale; it scales by the sizes")
