"""`gradient_through_time`: models and a text in, the flow of the gradient back through time out.

Next: `charts.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from minigrad.data.checks import positive_int, sequence_of_ids
from minigrad.errors.values import told
from minigrad.nn.module import Module
from minigrad.viz.extra import extra
from minigrad.viz.names import expected
from minigrad.viz.page import View
from minigrad.viz.shown import Shown
from minigrad.viz.through_time.flow import Array, Bias, Flow, colour_limits
from minigrad.viz.through_time.measuring import measured
from minigrad.viz.through_time.stepping import CALLER

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["GradientThroughTime", "gradient_through_time"]


def gradient_through_time(
    model: Module | Mapping[str, Module],
    tokens: ArrayLike,
    *,
    labels: Sequence[str] | None = None,
    window: int | None = None,
    max_norm: float | None = None,
) -> GradientThroughTime:
    """How the gradient of each loss runs back through time, and what truncation drops of it.

    For each recurrent layer it measures ``|dL_t/dh_s|``: how much the loss L_t of the prediction at
    time t depends on the state h_s, for every pair t >= s. Truncated BPTT, which carries the state
    on and cuts the gradient every `window` steps, is compared with the full gradient, for every
    length of the window. All numbers are exact: no sampling, and no approximation but float64's.

    Parameters
    ----------
    model
        a Module that is called as ``logits, state = model(ids, state)`` on ids of shape (T, N),
        with logits of shape (T, N, V), and that goes on where it stopped when it is called with
        that state; as the language models in `models` and `examples`. Or several such models by
        name, which are shown side by side.
    tokens
        T + 1 ids: the first T are the inputs, and each is to predict the one after it.
    labels
        how each of the tokens is written, as a list or, one character for each, as a string; None:
        its id.
    window
        the length of the window of truncated BPTT to begin with, in time steps; None: none. On the
        page a slider moves it.
    max_norm
        where `clip_grad_norm_` clips the gradient of all parameters; None: nowhere. On the page a
        slider moves it.

    Returns
    -------
    GradientThroughTime
        its ``flows`` are the numbers; ``save`` makes a picture or a page of them.

    Raises
    ------
    TypeError
        if a model is no Module, or does not give (logits, state).
    ValueError
        for fewer than 2 tokens, a window below 1, `labels` of another length; for a model that is
        bidirectional, that does not go on where it stopped, or whose parameters are not finite.
    IndexError
        for ids outside the vocabulary.

    Notes
    -----
    h_s is the layer's state after time step s: of an LSTM the pair (h_s, c_s) as a whole, and of
    its parts each with the other held fixed. The derivative is the total one: all ways from h_s to
    L_t count, within the layer, and through the layers above it. In a model without a layer or cell
    of minigrad h_s is the state that it returns.

    A model is measured in evaluation mode, without dropout. It is a copy, in float64: nothing of
    the model changes. With H numbers in the state of all layers it takes about 2 T batches of one
    time step, T texts in each, and memory for 2 T^2 H numbers.

    References
    ----------
    Bengio, Simard and Frasconi, "Learning long-term dependencies with gradient descent is
    difficult" (1994). Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural
    networks" (2013).

    Examples
    --------
    >>> import numpy as np
    >>> from minigrad import nn, viz
    >>> class CharRNN(nn.Module):
    ...     def __init__(self, vocab_size, hidden_size, rng):
    ...         self.embedding = nn.Embedding(vocab_size, hidden_size, rng=rng)
    ...         self.rnn = nn.RNN(hidden_size, hidden_size, rng=rng)
    ...         self.output = nn.Linear(hidden_size, vocab_size, rng=rng)
    ...
    ...     def forward(self, ids, state=None):
    ...         h, state = self.rnn(self.embedding(ids), state)
    ...         return self.output(h), state
    >>> model = CharRNN(4, 8, np.random.default_rng(0))
    >>> seen = viz.gradient_through_time(model, [0, 1, 2, 2, 3], labels="hello", window=2)
    >>> flow = seen.flows["rnn"]
    >>> bool(flow.norms[3, 3] > flow.norms[3, 0] > 0)  # the last loss, its state and the first
    True
    >>> error, cosine = flow.bias.errors[1], flow.bias.cosines[1]  # of a window of 2 steps
    >>> bool(error > 0 and cosine < 1)
    True
    >>> seen.save("hello.png")  # doctest: +SKIP
    >>> seen.save("hello.html")  # doctest: +SKIP
    """
    models = model if isinstance(model, Mapping) else {"": model}
    if not models:
        raise ValueError(f"{CALLER}: no models")
    ids = sequence_of_ids(tokens, None, f"{CALLER}: tokens")
    if len(ids) < 2:
        raise ValueError(
            f"{CALLER}: tokens must be at least 2, an input and the token after it, got {len(ids)}"
        )
    given = ids if labels is None else expected(Iterable, labels, f"{CALLER}: labels")
    written = list(map(str, given))
    if len(written) != len(ids):
        raise ValueError(
            f"{CALLER}: labels must be {len(ids)}, one for each token, got {len(written)}"
        )
    if window is not None:
        window = positive_int(window, f"{CALLER}: window")
    if max_norm is not None and not (isinstance(max_norm, Real) and max_norm > 0):
        raise ValueError(f"{CALLER}: max_norm must be a number above 0, got {told(max_norm)}")
    flows: dict[str, Flow] = {}
    for name, each in models.items():
        found = measured(each, ids)
        for flow in found:
            parts = [name, *([flow.layer] if len(found) > 1 or not name else [])]
            flows[": ".join(filter(None, parts))] = flow
    return GradientThroughTime(flows, written, window, max_norm)


class GradientThroughTime(Shown):
    """What `gradient_through_time` gives.

    Attributes
    ----------
    flows : dict of Flow
        the numbers of each layer, by the name of the model (if there are several) and of the layer
        (if it has several): ``"rnn"``, ``"LSTM"``, ``"LSTM: recurrent.1"``.
    labels : list of str
        how the T + 1 tokens are written.
    window, max_norm
        as they were passed.
    """

    title = "Gradients through time"
    text = (
        "How much the loss of the prediction at time t depends on the state at time τ. Truncated "
        "BPTT carries the state on, but cuts the gradient at the edges of its windows: it keeps "
        "the bright part of each triangle and drops the pale one. How large the error is depends "
        "also on where the edges fall. What a step gives to a gradient is measured along this "
        "gradient: the bars add up to its norm. ρ is the spectral radius of a recurrent matrix: "
        "ρᵏ is how a gradient would grow or vanish in k steps by this matrix alone, without the "
        "slopes of tanh and the gates."
    )

    def __init__(
        self, flows: dict[str, Flow], labels: list[str], window: int | None, max_norm: float | None
    ) -> None:
        self.flows, self.labels = flows, labels
        self.window, self.max_norm = window, max_norm

    def figure(self) -> Figure:
        """For each flow the triangle, the steps' shares, the bias, and the decay over the steps."""
        with extra():
            from minigrad.viz.through_time import charts
        return charts.figure(self.flows, self.labels, self.window, self.max_norm)

    def views(self) -> list[View]:
        """The page: a slider moves the window, another the threshold of clipping."""
        flows = list(self.flows.values())
        low, high = colour_limits(flows)
        data = {
            "T": flows[0].T,
            "tokens": self.labels,
            "window": self.window,
            "max_norm": None if self.max_norm is None else float(self.max_norm),
            "low": low,
            "high": high,
            "flows": [_as_data(name, flow) for name, flow in self.flows.items()],
        }
        return [View("through_time", data)]


def _as_data(name: str, flow: Flow) -> dict[str, Any]:
    """A flow for static/views/through_time.js."""
    forecast = None
    if flow.forecast is not None:
        matrix, powers = flow.forecast
        radius = flow.radii[matrix]
        forecast = {"matrix": matrix.removeprefix("W_"), "radius": radius, "powers": powers}
    parts = {part: _rows(norms) for part, norms in flow.parts.items()} if flow.T > 1 else {}
    return {
        "name": name,
        "kind": flow.kind,
        "weights": flow.weights,
        "is_matrix": bool(flow.radii),
        "losses": flow.losses,
        "norms": _rows(flow.norms),
        "parts": parts if len(parts) > 1 else {},
        "pairs": _rows(flow.pairs),
        "dropped": flow.dropped,
        "w": _bias_as_data(flow.bias),
        "all": _bias_as_data(flow.bias_of_all),
        "decay": flow.decay,
        "forecast": forecast,
    }


def _bias_as_data(bias: Bias) -> dict[str, Any]:
    names = {"norms": bias.norms, "errors": bias.errors, "cosines": bias.cosines}
    return {"full": bias.full_norm, **names}


def _rows(triangle: Array) -> list[Array]:
    """The rows t of [t, s], without the zeros for s > t."""
    return [row[: t + 1] for t, row in enumerate(triangle)]
