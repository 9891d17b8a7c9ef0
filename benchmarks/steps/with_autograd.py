"""HIPS autograd: cells in a loop in Python, under `value_and_grad`."""

from __future__ import annotations

import autograd.numpy as np
import numpy
from autograd import value_and_grad
from autograd.tracer import getval
from configurations import Configuration

from steps import Training

VARIANTS = {"cells": {"rnn", "lstm"}}


def sigmoid(x):
    """By tanh, which does not overflow."""
    return 0.5 * np.tanh(0.5 * x) + 0.5


def rnn(z, state):
    """The simple recurrent network."""
    return (np.tanh(z),)


def lstm(z, state):
    """The LSTM, its gates in PyTorch's order."""
    H = z.shape[1] // 4
    gates = sigmoid(z)
    g = np.tanh(z[:, 2 * H : 3 * H])
    c = gates[:, H : 2 * H] * state[1] + gates[:, :H] * g
    return gates[:, 3 * H :] * np.tanh(c), c


def make(c: Configuration, variant: str, parameters) -> Training:
    """See `steps`."""
    cell = {"rnn": rnn, "lstm": lstm}[c.cell]
    p = {name: value for name, value in parameters.items() if "bias_hh" not in name}
    zeros = numpy.zeros((c.N, c.H), numpy.float32)
    states = [(zeros, zeros)[: 1 + (c.cell == "lstm")]] * c.L

    def loss_of(p, x, y, states):
        outputs = []
        for x_t in x:
            h = p["embedding.weight"][x_t]
            for layer, state in enumerate(states):
                z = np.dot(h, p[f"recurrent.weight_ih_l{layer}"].T)
                z = z + np.dot(state[0], p[f"recurrent.weight_hh_l{layer}"].T)
                states[layer] = cell(z + p[f"recurrent.bias_ih_l{layer}"], state)
                h = states[layer][0]
            outputs.append(h)
        logits = np.dot(np.concatenate(outputs), p["output.weight"].T) + p["output.bias"]
        logits = logits - getval(logits).max(axis=1, keepdims=True)
        log_sums = np.log(np.sum(np.exp(logits), axis=1))
        return np.mean(log_sums - logits[numpy.arange(y.size), y.ravel()])

    loss_and_gradients = value_and_grad(loss_of)

    def step(x, y):
        loss, gradients = loss_and_gradients(p, x, y, states)  # `states` is brought up to date
        states[:] = [tuple(map(getval, state)) for state in states]
        norm = sum(numpy.vdot(g, g) for g in gradients.values()) ** 0.5
        scale = numpy.float32(c.lr * min(1, c.clip / (norm + 1e-6)))
        for name, g in gradients.items():
            p[name] -= scale * g
        return float(loss)

    return Training(step, lambda: {name: value.copy() for name, value in p.items()})
