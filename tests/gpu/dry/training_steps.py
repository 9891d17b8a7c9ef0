"""Training steps of the models that minigrad is made for, to be counted and compared.

``make_step(name, device, dtype)`` gives a function without arguments that does one step: forward,
backward, clipping, and the optimiser's step. Its batch is on the device already. It returns the
loss, still there.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import nn, optim

ROOT = Path(__file__).parents[3]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
from configurations import CONFIGURATIONS  # noqa: E402

from models.rnnlm import RNNLM  # noqa: E402

V, D, H, T, N, CLASSES = 50, 12, 12, 5, 3, 4


class MGUCell(nn.Module):
    """The minimal gated unit: a cell that the library does not have."""

    def __init__(self, input_size, hidden_size):
        self.forget = nn.Linear(hidden_size + input_size, hidden_size)
        self.candidate = nn.Linear(hidden_size + input_size, hidden_size)

    def forward(self, x, h):
        f = mg.sigmoid(self.forget(mg.concatenate([h, x], axis=-1)))
        candidate = mg.tanh(self.candidate(mg.concatenate([f * h, x], axis=-1)))
        h = (1 - f) * h + f * candidate
        return h, h


class Tagger(nn.Module):
    """A language model on a recurrent layer of any kind."""

    def __init__(self, recurrent, vocabulary=V, width=D, sparse=False):
        self.embedding = nn.Embedding(vocabulary, width, sparse=sparse)
        self.recurrent = recurrent
        self.output = nn.Linear(recurrent.hidden_size, vocabulary)

    def loss(self, ids, targets, state=None):
        h, state = self.recurrent(self.embedding(ids), state)
        weight, bias = self.output.weight, self.output.bias
        return mg.linear_cross_entropy(h, weight, bias, targets), state


class Classifier(nn.Module):
    """Reads sequences of different lengths in both directions."""

    def __init__(self):
        self.embedding = nn.Embedding(V, D)
        self.recurrent = nn.LSTM(D, H, 2, bidirectional=True)
        self.output = nn.Linear(2 * H, CLASSES)

    def loss(self, ids, targets, lengths):
        _, (h, _) = self.recurrent(self.embedding(ids), lengths=lengths)
        return mg.cross_entropy(self.output(mg.concatenate([h[-2], h[-1]], axis=-1)), targets), None


@dataclass(frozen=True)
class Plan:
    """A model and how it is trained, for `steps` time steps in `layers` layers and directions."""

    title: str
    model: Callable[[], Any]
    optimizer: Callable[[Any], Any] = lambda ps: optim.SGD(ps, lr=1.0)
    steps: int = T
    batch: int = N
    layers: int = 1
    vocabulary: int = V
    lengths: tuple[int, ...] | None = None
    fused: bool = True


def _rnnlm(cell: str, layers: int = 1, width: int | None = D, **options: Any) -> Plan:
    title = f"RNNLM, {cell.upper()}, {layers} layer" + "s" * (layers > 1)
    title += "".join(f", {name}" for name in options) + ", one-hot" * (width is None)
    return Plan(title, lambda: RNNLM(V, width, H, cell, layers, **options), layers=layers)


def benchmark(name: str, full: bool = False) -> Plan:
    """A configuration of `benchmarks/`; unless `full`, with fewer tokens and units.

    Those do not change the number of launches.
    """
    c = CONFIGURATIONS[name]
    layer = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[c.cell]
    vocabulary, width, hidden = (c.V, c.D, c.H) if full else (V, D, H)
    return Plan(
        f"{name} of `benchmarks/`: {c.cell.upper()}, {c.L} layers, {c.T} time steps",
        lambda: Tagger(layer(width, hidden, c.L), vocabulary, width),
        steps=c.T,
        batch=c.N,
        layers=c.L,
        vocabulary=vocabulary,
    )


OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "SGD": lambda ps: optim.SGD(ps, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "ASGD": lambda ps: optim.ASGD(ps, lr=0.1),
    "Adagrad": lambda ps: optim.Adagrad(ps, lr=0.1),
    "RMSprop": lambda ps: optim.RMSprop(ps, lr=0.01, centered=True, momentum=0.9),
    "Adam": lambda ps: optim.Adam(ps, lr=0.01),
    "AdamW": lambda ps: optim.AdamW(ps, lr=0.01, amsgrad=True),
}

PLANS: dict[str, Plan] = {
    "rnn": _rnnlm("rnn"),
    "lstm": _rnnlm("lstm"),
    "gru": _rnnlm("gru"),
    "rnn-2": _rnnlm("rnn", 2),
    "lstm-2": _rnnlm("lstm", 2),
    "gru-2": _rnnlm("gru", 2),
    "tied": _rnnlm("lstm", tied=True),
    "dropout": _rnnlm("lstm", 2, dropout=0.5),
    "variational": _rnnlm(
        "lstm", 2, dropout=0.5, variational=True, embedding_dropout=0.1, weight_drop=0.5
    ),
    "penalties": _rnnlm("gru", activation_penalty=2.0, temporal_penalty=1.0),
    "one-hot": _rnnlm("rnn", width=None),
    "one-hot-lstm": _rnnlm("lstm", width=None),
    "classifier": Plan(
        "classifier, bidirectional LSTM, 2 layers, lengths",
        Classifier,
        layers=4,
        lengths=(5, 2, 4),
    ),
    "sparse": Plan("LSTM, row-sparse gradients", lambda: Tagger(nn.LSTM(D, H), sparse=True)),
    "unrolled": Plan("LSTM, unrolled", lambda: Tagger(nn.LSTM(D, H, unroll=True)), fused=False),
    "own-cell": Plan(
        "a cell of one's own (`nn.Recurrent`)",
        lambda: Tagger(nn.Recurrent(MGUCell, D, H)),
        fused=False,
    ),
    "C4": benchmark("C4"),
    "C4-GRU": benchmark("C4-GRU"),
    **{
        f"lstm-{name}": replace(_rnnlm("lstm"), title=f"RNNLM, LSTM, {name}", optimizer=make)
        for name, make in OPTIMIZERS.items()
    },
}


def make_step(
    plan: Plan, device: str, dtype: str = "float32", captured: bool = False
) -> tuple[Callable[[], Any], Any]:
    """A function that does a training step, and the model; the same on each device but for it."""
    mg.manual_seed(0)
    rng = np.random.default_rng(0)
    model = plan.model().to(device, dtype)
    optimizer = plan.optimizer(model.parameters())
    shape = (plan.steps, plan.batch)
    ids = mg.tensor(rng.integers(0, plan.vocabulary, shape), device=device)
    if plan.lengths is None:
        targets, extra = rng.integers(0, plan.vocabulary, shape), None
    else:
        targets, extra = rng.integers(0, CLASSES, plan.batch), plan.lengths
    targets = mg.tensor(targets, device=device)
    carried: list[Any] = [extra]

    def train(ids: Any, targets: Any, given: Any) -> tuple[Any, Any]:
        if isinstance(model, RNNLM):
            loss, _, state = model.objective(ids, targets, given)
        else:
            loss, state = model.loss(ids, targets, given)
        optimizer.zero_grad()
        loss.backward()
        norm = optim.clip_grad_norm_(model.parameters(), 0.25)
        optimizer.step(if_finite=norm)
        return loss.detach(), given if plan.lengths else detached(state)

    run = mg.capture(train) if captured else train

    def step() -> Any:
        loss, carried[0] = run(ids, targets, carried[0])
        return loss

    return step, model


def detached(state: Any) -> Any:
    """The state, cut off from the tape: truncated backpropagation through time."""
    if isinstance(state, tuple):
        return tuple(detached(part) for part in state)
    return None if state is None else state.detach()
