"""MyGrad: cells in a loop in Python; without its guard of memory, which its manual calls slow."""

from __future__ import annotations

import mygrad as mg
import numpy as np
from configurations import Configuration
from mygrad.nnet.activations import sigmoid
from mygrad.nnet.losses import softmax_crossentropy

from steps import Training

VARIANTS = {"cells": {"rnn", "lstm"}}


def rnn(z, state):
    """The simple recurrent network."""
    return (mg.tanh(z),)


def lstm(z, state):
    """The LSTM, its gates in PyTorch's order."""
    H = z.shape[1] // 4
    i, f, g, o = (z[:, k * H : (k + 1) * H] for k in range(4))
    c = sigmoid(f) * state[1] + sigmoid(i) * mg.tanh(g)
    return sigmoid(o) * mg.tanh(c), c


def make(c: Configuration, variant: str, parameters) -> Training:
    """See `steps`."""
    mg.turn_memory_guarding_off()
    cell = {"rnn": rnn, "lstm": lstm}[c.cell]
    p = {name: mg.tensor(v, copy=False) for name, v in parameters.items() if "bias_hh" not in name}
    zeros = np.zeros((c.N, c.H), np.float32)
    states = [(zeros, zeros)[: 1 + (c.cell == "lstm")]] * c.L

    def step(x, y):
        outputs = []
        for x_t in x:
            h = p["embedding.weight"][x_t]
            for layer, state in enumerate(states):
                z = mg.matmul(h, p[f"recurrent.weight_ih_l{layer}"].T)
                z = z + mg.matmul(state[0], p[f"recurrent.weight_hh_l{layer}"].T)
                states[layer] = cell(z + p[f"recurrent.bias_ih_l{layer}"], state)
                h = states[layer][0]
            outputs.append(h)
        logits = mg.matmul(mg.concatenate(outputs), p["output.weight"].T) + p["output.bias"]
        loss = softmax_crossentropy(logits, y.ravel())
        loss.backward()
        states[:] = [tuple(part.data.copy() for part in state) for state in states]
        norm = sum(np.vdot(v.grad, v.grad) for v in p.values()) ** 0.5
        scale = np.float32(c.lr * min(1, c.clip / (norm + 1e-6)))
        for value in p.values():
            value.data[...] -= scale * value.grad
            value.null_grad()
        return float(loss)

    return Training(step, lambda: {name: value.data.copy() for name, value in p.items()})
