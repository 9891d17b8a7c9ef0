"""PyTorch: its recurrent layers, or its cells in a loop in Python.

The gradient of the embedding is dense, as `clip_grad_norm_` takes no sparse one (PyTorch 2.13).
"""

from __future__ import annotations

import torch
from configurations import Configuration
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from steps import Training

TASKS = {"rnn", "lstm", "gru"}
VARIANTS = {"layer": TASKS | {"classifier"}, "cells": TASKS}
LAYERS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
CELLS = {"rnn": nn.RNNCell, "lstm": nn.LSTMCell, "gru": nn.GRUCell}


class Model(nn.Module):
    """Embedding, recurrent layers and a linear layer."""

    def __init__(self, c: Configuration) -> None:
        super().__init__()
        self.embedding = nn.Embedding(c.V, c.D)
        self.recurrent = LAYERS[c.cell](c.D, c.H, c.L, bidirectional=bool(c.classes))
        self.output = nn.Linear(c.H, c.classes or c.V)
        self.loop, self.state = None, None  # a loop in Python, if not None, runs the cells

    def of_tokens(self, x, y):
        """The loss of a language model."""
        run = self.loop or self.recurrent
        h, self.state = run(self.embedding(x), detached(self.state))
        return nn.functional.cross_entropy(self.output(h.flatten(0, 1)), y.flatten())

    def of_sequences(self, x, y, lengths):
        """The loss of a classifier."""
        packed = pack_padded_sequence(self.embedding(x), lengths, enforce_sorted=False)
        _, (h, _) = self.recurrent(packed)
        return nn.functional.cross_entropy(self.output((h[-2] + h[-1]) / 2), y)


def detached(state):
    """The state, cut off from its past, however it is made up."""
    if state is None or isinstance(state, torch.Tensor):
        return None if state is None else state.detach()
    return tuple(map(detached, state))


def in_a_loop(c: Configuration, layers):
    """What `layers` do, with their parameters, but one cell after the other."""
    cells = [CELLS[c.cell](c.H if layer else c.D, c.H) for layer in range(c.L)]
    for layer, cell in enumerate(cells):
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            setattr(cell, name, getattr(layers, f"{name}_l{layer}"))

    def run(x, state):
        states, outputs = list(state or [None] * c.L), []
        for h in x.unbind(0):
            for layer, cell in enumerate(cells):
                states[layer] = cell(h, states[layer])
                h = states[layer][0] if c.cell == "lstm" else states[layer]
            outputs.append(h)
        return torch.stack(outputs), tuple(states)

    return run


def make(c: Configuration, variant: str, parameters, device: str = "cpu") -> Training:
    """See `steps`."""
    model = Model(c).to(device)
    model.load_state_dict({name: torch.from_numpy(value) for name, value in parameters.items()})
    trained = {name: p for name, p in model.named_parameters() if "bias_hh" not in name}
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in trained)
    if variant == "cells":
        model.loop = in_a_loop(c, model.recurrent)
    optimizer = torch.optim.SGD(trained.values(), lr=c.lr)
    loss_of = model.of_sequences if c.classes else model.of_tokens

    def placed(x, y, *lengths):  # PyTorch wants lengths on the CPU
        on_device = (torch.from_numpy(ids).to(device) for ids in (x, y))
        return (*on_device, *map(torch.from_numpy, lengths))

    def issue(*batch):
        loss = loss_of(*batch)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trained.values(), c.clip)
        optimizer.step()
        return loss.detach()

    def step(*batch):
        return issue(*placed(*batch)).item()

    def current():
        return {name: p.detach().cpu().numpy().copy() for name, p in trained.items()}

    return Training(step, current, placed, issue)
