"""What `python -m models look` shows of a trained model: each part is a page's view or several."""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import minigrad as mg
from minigrad import nn, viz
from minigrad.data import Tokenizer
from minigrad.training import detach_state
from minigrad.viz import Shown, View
from models.measuring.units import Unit
from models.rnnlm import RNNLM
from models.showing.curves import curves

Ids = NDArray[np.integer[Any]]

TAPE = 6
"""Time steps of the tape that is drawn and explored."""

GRID = 17
"""Points along each side of the loss surface."""


class Reading(NamedTuple):
    """A trained model, and the text that it is looked at with."""

    model: RNNLM
    tokenizer: Tokenizer
    ids: Ids
    """Of tokens of the text, at least `TAPE` + 1."""
    steps: int
    """How many time steps gradients are followed through."""
    window: int
    """The length of the windows of truncated BPTT in training."""
    max_norm: float | None
    """Where gradients were clipped in training; None: nowhere."""

    def labels(self, ids: Ids) -> list[str]:
        """Each token as it is written."""
        return [self.tokenizer.decode(ids[i : i + 1]) or "␣" for i in range(len(ids))]


Part = Callable[[Reading], Shown]


def of_curves(records: Sequence[Mapping[str, Any]], unit: Unit, title: str) -> list[View]:
    """The losses of the run, the norm of its gradients and its learning rate."""
    source = f"data:image/png;base64,{base64.b64encode(curves(records, unit, title)).decode()}"
    data = {"source": source, "width": 768, "alternative": f"the curves of {title}"}
    return [View("picture", data, "The run")]


def of_neurons(reading: Reading) -> Shown:
    """What the units follow, and what the model expects at each place."""
    text = reading.tokenizer.decode(reading.ids)
    return viz.watch_neurons(reading.model, text, reading.tokenizer)


def of_time(reading: Reading) -> Shown:
    """How the gradient runs back through time."""
    ids = reading.ids[: reading.steps + 1]
    return viz.gradient_through_time(
        reading.model,
        ids,
        labels=reading.labels(ids),
        window=min(reading.window, reading.steps),
        max_norm=reading.max_norm,
    )


def of_tape(reading: Reading) -> Shown:
    """The tape of a few time steps, unrolled, to walk along."""
    model = copy.deepcopy(reading.model).eval()
    ids = _column(reading, TAPE + 1)
    with unrolled(model), viz.watch(model):
        loss = model.objective(ids[:-1], ids[1:]).total
    return viz.explore(loss)


def of_layers(reading: Reading) -> Shown:
    """Weights, gradients and activations of each layer, window after window of the text."""
    model = copy.deepcopy(reading.model).eval()
    ids = _column(reading, len(reading.ids))
    histograms, state = viz.Histograms(model), None
    for start in range(0, len(ids) - reading.steps, reading.steps):
        part = ids[start : start + reading.steps + 1]
        with histograms.step():
            model.zero_grad()
            found = model.objective(part[:-1], part[1:], state)
            found.total.backward()
        state = detach_state(found.state)
    return histograms


def of_surface(reading: Reading) -> Shown:
    """The loss around the model, in two random directions."""
    model = copy.deepcopy(reading.model).eval()
    ids = _column(reading, reading.steps + 1)
    return viz.loss_surface(
        lambda: model.objective(ids[:-1], ids[1:]).loss,
        model,
        steps=GRID,
        rng=np.random.default_rng(0),
    )


PARTS: dict[str, Part] = {
    "What the units look at": of_neurons,
    "Gradients through time": of_time,
    "The tape, step by step": of_tape,
    "Inside the layers, window after window of the text": of_layers,
    "The loss around the model": of_surface,
}
"""The parts of a page after the curves, by their titles."""


def views_of(reading: Reading, title: str) -> list[View]:
    """The views of one of the `PARTS`, with its title above them."""
    page = PARTS[title](reading).page()
    first, *others = page.views
    text = "\n".join(text for text in (page.text, first.text) if text)
    return [first._replace(title=title, text=text), *others]


def _column(reading: Reading, count: int) -> Any:
    """The first ids as a text of its own, of shape (count, 1), where the model is."""
    device = reading.model.output.weight.device
    return mg.tensor(reading.ids[:count, np.newaxis], device=device)


@contextmanager
def unrolled(model: nn.Module) -> Iterator[None]:
    """Within it, each recurrent layer runs step by step on the tape."""
    layers = [m for m in model.modules() if isinstance(m, nn.RNN | nn.LSTM | nn.GRU)]
    before = [layer.unroll for layer in layers]
    for layer in layers:
        layer.unroll = True
    try:
        yield
    finally:
        for layer, was in zip(layers, before, strict=True):
            layer.unroll = was
