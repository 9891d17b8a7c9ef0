"""Small models, and the same networks as loops in which a state or a weight can be changed."""

from itertools import pairwise

import numpy as np

import minigrad as mg
from minigrad import nn
from minigrad.nn.recurrent.equations import gru_step, lstm_step, rnn_step

STEPS = {"RNN": rnn_step, "LSTM": lstm_step, "GRU": gru_step}
V, H = 5, 3


class LM(nn.Module):
    """Embedding, one or more layers of minigrad, logits."""

    def __init__(self, kind, rng, **options):
        self.embedding = nn.Embedding(V, H, rng=rng)
        self.rnn = getattr(nn, kind)(H, H, rng=rng, **options)
        self.decoder = nn.Linear(H, V, rng=rng)

    def forward(self, ids, state=None):
        output, state = self.rnn(self.embedding(ids), state)
        return self.decoder(output), state

    def layers(self):
        def layer(k):
            kind, rnn = type(self.rnn).__name__, self.rnn
            names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            W_ih, W_hh, b_ih, b_hh = (getattr(rnn, f"{name}_l{k}") for name in names)

            def update(x, state, W=W_hh):
                options = [mg.relu] if getattr(rnn, "nonlinearity", "tanh") == "relu" else []
                return STEPS[kind](mg.linear(x, W_ih, b_ih), state, W, b_hh, *options)

            return update, lambda state: state[0], [H] * (1 + (kind == "LSTM"))

        return [layer(k) for k in range(self.rnn.num_layers)]


class OwnCell(nn.Module):
    """A state of two parts, the second made of the first; the output is neither of them."""

    def __init__(self, input_size, hidden_size, rng):
        self.state_sizes = (hidden_size, hidden_size + 1)
        self.first = nn.Linear(input_size + 2 * hidden_size + 1, hidden_size, rng=rng)
        self.second = nn.Linear(hidden_size, hidden_size + 1, rng=rng)
        self.above = nn.Linear(2 * hidden_size + 1, hidden_size, rng=rng)

    def update(self, x, state):
        first = mg.tanh(self.first(mg.concatenate([x, *state], axis=-1)))
        return first, mg.tanh(self.second(first)) + 0.5 * state[1]

    def output(self, state):
        return mg.tanh(self.above(mg.concatenate(state, axis=-1)))

    def forward(self, x, state):
        state = self.update(x, state)
        return self.output(state), state


class OwnLM(nn.Module):
    """Two layers of `OwnCell`."""

    def __init__(self, rng):
        self.embedding = nn.Embedding(V, H, rng=rng)
        self.recurrent = nn.Recurrent(OwnCell, H, H, num_layers=2, rng=rng)
        self.decoder = nn.Linear(H, V, rng=rng)

    def forward(self, ids, state=None):
        output, state = self.recurrent(self.embedding(ids), state)
        return self.decoder(output), state

    def layers(self):
        cells = (self.recurrent.cell_l0, self.recurrent.cell_l1)
        return [(cell.update, cell.output, cell.state_sizes) for cell in cells]


class Looped(nn.Module):
    """A Python loop over cells: an LSTMCell below, a GRUCell above."""

    def __init__(self, rng):
        self.embedding = nn.Embedding(V, H, rng=rng)
        self.lower = nn.LSTMCell(H, H, rng=rng)
        self.upper = nn.GRUCell(H, H, rng=rng)
        self.decoder = nn.Linear(H, V, rng=rng)

    def forward(self, ids, state=None):
        below, above = (None, None) if state is None else state
        logits = []
        for x in self.embedding(ids):
            below = self.lower(x, below)
            above = self.upper(below[0], above)
            logits.append(self.decoder(above))
        return mg.stack(logits), (below, above)

    def layers(self):
        def upper(x, state):
            return (self.upper(x, state[0]),)

        return [(self.lower, lambda s: s[0], [H, H]), (upper, lambda s: s[0], [H])]


class ByHand(nn.Module):
    """Nothing of minigrad's recurrent layers: h_t = tanh(W_xh x_t + W_hh h_{t-1})."""

    def __init__(self, rng):
        self.W_xh = nn.Parameter(rng.normal(size=(V, H)))
        self.W_hh = nn.Parameter(rng.normal(size=(H, H)))
        self.W_hy = nn.Parameter(rng.normal(size=(H, V)))

    @property
    def embedding(self):
        return lambda ids: self.W_xh[ids]

    @property
    def decoder(self):
        return lambda h: h @ self.W_hy

    def forward(self, ids, state=None):
        h = mg.zeros((ids.shape[1], H)) if state is None else state
        logits = []
        for x in self.embedding(ids):
            (h,) = self.layers()[0][0](x, (h,))
            logits.append(self.decoder(h))
        return mg.stack(logits), h

    def layers(self):
        return [(lambda x, s: (mg.tanh(x + s[0] @ self.W_hh),), lambda s: s[0], [H])]


def examples(rng):
    """Of each kind one, with weights large enough that gradients come from afar."""
    found = {
        "RNN": LM("RNN", rng),
        "relu": LM("RNN", rng, nonlinearity="relu"),
        "LSTM": LM("LSTM", rng),
        "GRU": LM("GRU", rng),
        "two layers": LM("LSTM", rng, num_layers=2, dropout=0.5),
        "own cells": OwnLM(rng),
        "looped": Looped(rng),
        "by hand": ByHand(rng),
    }
    for model in found.values():
        model.to(dtype="float64")
        for parameter in model.parameters():
            parameter.data = rng.normal(size=parameter.shape)
    return found


def losses(model, ids, change=None):
    """The loss at each time step, from the equations of `model` in a loop over time.

    ``change(layer, t, state)`` gives the state that takes the place of a layer's state.
    """
    layers = model.layers()
    states = [tuple(mg.zeros((1, n), dtype="float64") for n in sizes) for *_, sizes in layers]
    found = []
    for t, (now, then) in enumerate(pairwise(ids)):
        x = model.embedding(np.array([now]))
        for k, (update, output, _) in enumerate(layers):
            states[k] = update(x, states[k])
            if change is not None:
                states[k] = change(k, t, states[k])
            x = output(states[k])
        found.append(mg.cross_entropy(model.decoder(x), np.array([then])))
    return found
