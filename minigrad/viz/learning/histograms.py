"""What happens in the layers during training: weights, gradients, activations, dead units.

::

    histograms = viz.Histograms(model, every=10)
    for x, y in batches:
        with histograms.step():
            optimizer.zero_grad()
            loss = loss_function(model(x), y)
            loss.backward()
            optimizer.step()
    print(histograms)
    histograms.save("histograms.html")

Next: `histograms_figure.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from minigrad.autograd.sparse import RowSparse
from minigrad.data.checks import positive_int
from minigrad.errors.values import calling_frame
from minigrad.nn import Module
from minigrad.tensor import Tensor, wrap
from minigrad.viz.extra import extra
from minigrad.viz.learning.histograms_page import histograms_data
from minigrad.viz.learning.series import Series
from minigrad.viz.observing import Looking
from minigrad.viz.page import View
from minigrad.viz.shown import Shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GATES = {
    "lstm": [("input gate", "sigmoid"), ("forget gate", "sigmoid"), ("candidate", "tanh"),
             ("output gate", "sigmoid")],
    "gru": [("reset gate", "sigmoid"), ("update gate", "sigmoid"), ("candidate", "tanh")],
}  # fmt: skip
"""The gates that a fused layer keeps for its way back, side by side, each with its function."""

PLAIN = {"linear", "leaky_relu", "elu", "gelu", "silu", "softplus", "layer_norm"}
"""Ops whose results are looked at beside tanh, sigmoid, relu and the recurrent layers."""


class Histograms(Shown):
    """Watches a model during training: a step at a time, every `every`-th one.

    Of each step that is looked at, it keeps histograms in bins that never change: of each parameter
    and its gradient, as they are at the end of the step (after clipping, if that is in it); of the
    outputs of each layer, and of the gradients that come back to them. An output is what a tanh,
    sigmoid, relu, linear map or recurrent layer gives, the gates of an LSTM or GRU too. Each is
    named by the module that it is in.

    A unit through which no gradient comes is told with its number: a relu that is 0 at all
    positions of the step is dead; a tanh beyond 0.99, or a sigmoid below 0.01 or above 0.99, at all
    positions is saturated.

    Parameters
    ----------
    model
        the model that is trained.
    every
        look at every so many-th step. To look takes time, on a GPU much, since all is copied to the
        host. Of the other steps nothing is seen, and they cost nothing.
    keep
        the largest number of steps kept. When there are more, every second one is forgotten, and
        from then on half as many are looked at: the memory is bounded however long training is.

    Attributes
    ----------
    weights, gradients : dict
        a `Series` for each parameter, by its name.
    activations, activation_gradients : dict
        a `Series` for each layer's outputs, by the name of the layer and of the op.

    Raises
    ------
    TypeError, ValueError
        if `model` is no Module with parameters, or a number is not positive.
    """

    title = "Weights, gradients and activations over training"
    text = (
        "Each column of a picture is the histogram of one step: the brighter, the more of the "
        "values lie there. Where the axis has powers of ten, magnitudes are counted; zeros are "
        "then in the lowest row."
    )

    def __init__(self, model: Module, *, every: int = 1, keep: int = 200) -> None:
        if not isinstance(model, Module):
            raise TypeError(f"Histograms: expected an nn.Module, not a {type(model).__name__}")
        if not model.parameters():
            raise ValueError("Histograms: the model has no parameters")
        self.model = model
        self.every = positive_int(every, "Histograms: every")
        self.keep = positive_int(keep, "Histograms: keep")
        self.weights: dict[str, Series] = {}
        self.gradients: dict[str, Series] = {}
        self.activations: dict[str, Series] = {}
        self.activation_gradients: dict[str, Series] = {}
        self.steps_seen: list[int] = []
        self._step = 0

    @contextmanager
    def step(self) -> Iterator[None]:
        """Around one step of training. After an error in it, nothing of this step is kept."""
        step, self._step = self._step, self._step + 1
        if step % self.every:
            yield
            return
        layers = _Layers(self)
        try:
            with layers:
                yield
        except BaseException:
            for series in self._all():
                series.forget()
            raise
        for name, parameter in self.model.named_parameters():
            _series(self.weights, name).add(parameter.numpy())
            if parameter.grad is not None:
                _series(self.gradients, name).add(_dense(parameter.grad))
        self.steps_seen.append(step)
        for series in self._all():
            series.close(step)
        if len(self.steps_seen) > self.keep:
            self.every *= 2
            self.steps_seen = [s for s in self.steps_seen if s % self.every == 0]
            for series in self._all():
                series.thin(self.every)

    def _all(self) -> list[Series]:
        return [
            series
            for kind in (
                self.weights,
                self.gradients,
                self.activations,
                self.activation_gradients,
            )
            for series in kind.values()
        ]

    def flat_units(self) -> dict[str, str]:
        """For each layer with a tanh, sigmoid or relu: which units let no gradient through."""
        return {name: told for name, s in self.activations.items() if (told := s.told())}

    def figure(self) -> Figure:
        """Gradients of parameters, outputs of layers, and shares of dead and saturated values."""
        with extra():
            from minigrad.viz.learning.histograms_figure import histograms_figure
        return histograms_figure(self)

    def views(self) -> list[View]:
        """All parameters and layers, with a cursor that goes through the steps."""
        return [View("histograms", histograms_data(self))]

    def __repr__(self) -> str:
        lines = [f"Histograms: {len(self.steps_seen)} of {self._step} steps looked at"]
        return "\n  ".join(
            [*lines, *(f"{name}: {told}" for name, told in self.flat_units().items())]
        )


def _series(kind: dict[str, Series], name: str, function: str = "") -> Series:
    if name not in kind:
        kind[name] = Series(function)
    return kind[name]


def _dense(gradient: Tensor | RowSparse) -> Any:
    """A gradient as an array on the host."""
    tensor = wrap(gradient.to_dense()) if isinstance(gradient, RowSparse) else gradient
    return tensor.numpy()


class _Layers(Looking):
    """Is told of every op of a step, in its thread."""

    def __init__(self, histograms: Histograms) -> None:
        self.histograms = histograms
        self.names = {id(module): name for name, module in histograms.model.named_modules()}
        self.inner: list[tuple[Module, Counter[str]]] = []
        self.made: dict[Any, str] = {}  # by node, the name of the outputs that it made

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self.made.clear()

    def called(self, op: Any, args: Sequence[Any], outputs: Any, node: Any) -> None:
        """Count the outputs of an activation or a layer."""
        super().called(op, args, outputs, node)
        function, found = op.name if op.name in ("tanh", "sigmoid", "relu") else "", None
        if op.name in ("rnn", "lstm", "gru"):
            layer = self._recurrent(op.name)
            found = f"{layer}: h"
            function = args[op.parameters.index("nonlinearity")] if op.name == "rnn" else "bounded"
            if node is not None and op.name in GATES:
                self._gates(op.name, layer, node)
        elif function or op.name in PLAIN:
            found = self._place(op.name)
        if found is None:
            return
        output = outputs[0] if type(outputs) is tuple else outputs
        _series(self.histograms.activations, found, function).add(output.numpy())
        if node is not None:
            self.made[node] = found

    def walked(self, node: Any, g: Any, gradients: Sequence[Any]) -> None:
        """Count the gradient that comes to such an output."""
        super().walked(node, g, gradients)
        if node in self.made:
            first = g[0] if isinstance(g, list) else g
            if first is not None:
                value = first if isinstance(first, Tensor | RowSparse) else wrap(first)
                name = self.made[node]
                _series(self.histograms.activation_gradients, name).add(_dense(value))

    @contextmanager
    def inside(self, module: Module) -> Iterator[None]:
        """Within it, `module` is being called."""
        self.inner.append((module, Counter()))
        try:
            with super().inside(module):
                yield
        finally:
            self.inner.pop()

    def _layer(self) -> str:
        """The name of the innermost module that is a part of the model."""
        for module, _ in reversed(self.inner):
            if id(module) in self.names:
                return self.names[id(module)] or type(module).__name__
        return "outside the model"

    def _place(self, op: str) -> str:
        """The name of an op: its layer, and where the layer itself is not minigrad's, its line."""
        frame = calling_frame()
        inner = self.inner[-1][0] if self.inner else None
        if inner is None or not type(inner).__module__.startswith("minigrad.nn"):
            return f"{self._layer()}: {op} (line {frame.f_lineno})"
        return f"{self._layer()}: {op}"

    def _recurrent(self, op: str) -> str:
        """The name of a recurrent layer; a module of several calls the op for each in turn."""
        if not self.inner:
            return op
        module, calls = self.inner[-1]
        names = getattr(module, "_names", None) or ["_l0"]
        number, calls[op] = calls[op], calls[op] + 1
        return f"{self._layer()} {names[number % len(names)].removeprefix('_')}"

    def _gates(self, op: str, layer: str, node: Any) -> None:
        gates = wrap(node.saved[1][1]).numpy()  # what the op has kept: the steps, the gates, ...
        H = gates.shape[-1] // len(GATES[op])
        for k, (gate, function) in enumerate(GATES[op]):
            part = gates[..., k * H : (k + 1) * H]
            _series(self.histograms.activations, f"{layer}: {gate}", function).add(part)
