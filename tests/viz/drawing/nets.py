"""Networks whose tapes are drawn, each made by a function of the number of time steps."""

import numpy as np

import minigrad as mg
from minigrad import nn
from models.rnnlm import RNNLM

RNG = np.random.default_rng


class Tagger(nn.Module):
    """Embedding, recurrent layers on the tape, and a linear layer."""

    def __init__(self, kind, **options):
        rng = RNG(0)
        self.embedding = nn.Embedding(5, 4, rng=rng)
        self.recurrent = kind(4, 3, rng=rng, unroll=True, **options)
        self.output = nn.Linear(3 * (1 + self.recurrent.bidirectional), 5, rng=rng)

    def forward(self, ids):
        return self.output(self.recurrent(self.embedding(ids))[0])


def layer(kind, **options):
    def made(T):
        model = Tagger(kind, **options)
        ids = np.arange(T + 1) % 5
        return model, mg.cross_entropy(model(ids[:-1]), ids[1:])

    return made


def language_model(T):
    model = RNNLM(7, 4, 3, num_layers=2, rng=RNG(0))
    for recurrent in model.recurrent:
        recurrent.unroll = True
    ids = np.arange(T + 1)[:, None] % 7
    return model, model.loss(ids[:-1], ids[1:])[0]


class Loop(nn.Module):
    """Two cells run by hand, a loss at each step."""

    def __init__(self):
        rng = RNG(0)
        self.low, self.high = nn.LSTMCell(4, 3, rng=rng), nn.GRUCell(3, 3, rng=rng)
        self.output = nn.Linear(3, 5, rng=rng)


def loop(T):
    model, low, high, loss = Loop(), None, None, 0.0
    for x in RNG(1).normal(size=(T, 1, 4)).astype(np.float32):
        low = model.low(x, low)
        high = model.high(low[0], high)
        loss = loss + mg.cross_entropy(model.output(high), [2])
    return model, loss / T


def by_hand(T):
    rng = RNG(0)
    shapes = {"W_xh": (3, 4), "W_hh": (3, 3), "b": (3,), "W_hy": (5, 3)}
    p = {name: nn.Parameter(rng.normal(size=shape) / 2) for name, shape in shapes.items()}
    h, loss = np.zeros(3), 0.0
    for t in range(T):
        h = mg.tanh(p["W_xh"] @ np.eye(4)[t % 4] + p["W_hh"] @ h + p["b"])
        loss = loss + mg.cross_entropy(p["W_hy"] @ h, t % 5)
    return p, loss


def top_first(T):
    """Two layers by hand; the recurrent product of the upper one is computed before the lower."""
    rng = RNG(0)
    p = {name: nn.Parameter(rng.normal(size=(3, 3)) / 2) for name in ("U", "W", "V")}
    low, high, loss = np.zeros(3), np.zeros(3), 0.0
    for x in rng.normal(size=(T, 3)):
        carried = p["U"] @ high
        low = mg.tanh(p["W"] @ low + x)
        high = mg.tanh(p["V"] @ low + carried)
        loss = loss + (high * high).sum()
    return p, loss


class Cell(nn.Module):
    """A cell of one's own, which transposes its weights anew at each step."""

    def __init__(self, input_size, hidden_size):
        rng = RNG(0)
        self.W = nn.Parameter(rng.normal(size=(hidden_size, input_size)).astype(np.float32))
        self.U = nn.Parameter(rng.normal(size=(hidden_size, hidden_size)).astype(np.float32))

    def forward(self, x, state):
        h = mg.tanh(x @ self.W.T + state @ self.U.T)
        return h, h


def own_cell(T):
    model = nn.Recurrent(Cell, 4, 3)
    x = RNG(1).normal(size=(T, 2, 4)).astype(np.float32)
    return model, (model(x)[0] ** 2).sum()


class Translator(nn.Module):
    """An encoder, and a decoder with other weights that starts with its last state."""

    def __init__(self):
        rng = RNG(0)
        self.source, self.target = nn.Embedding(5, 4, rng=rng), nn.Embedding(5, 4, rng=rng)
        self.encoder = nn.GRU(4, 3, rng=rng, unroll=True)
        self.decoder = nn.GRU(4, 3, rng=rng, unroll=True)
        self.output = nn.Linear(3, 5, rng=rng)


def translator(T):
    model = Translator()
    _, state = model.encoder(model.source(np.arange(T) % 5))
    words = np.arange(T + 2) % 5
    hidden, _ = model.decoder(model.target(words), state)
    return model, mg.cross_entropy(model.output(hidden), words)


def feed_forward(T):
    rng = RNG(0)
    sizes = [nn.Linear(4, 4, rng=rng) for _ in range(T)]
    model = nn.Sequential(*[part for linear in sizes for part in (linear, nn.Tanh())])
    return model, (model(rng.normal(size=(6, 4)).astype(np.float32)) ** 2).mean()


RECURRENT = {
    "RNN": (layer(nn.RNN), 1),
    "LSTM": (layer(nn.LSTM), 1),
    "GRU": (layer(nn.GRU), 1),
    "two layers": (layer(nn.RNN, num_layers=2), 2),
    "three layers": (layer(nn.LSTM, num_layers=3), 3),
    "both directions": (layer(nn.GRU, bidirectional=True), 2),
    "two layers, both directions": (layer(nn.RNN, num_layers=2, bidirectional=True), 4),
    "language model": (language_model, 2),
    "loop": (loop, 2),
    "by hand": (by_hand, 1),
    "top first": (top_first, 2),
    "own cell": (own_cell, 1),
}
"""Nets of T columns: how they are made, and the number of their recurrent layers."""

NETS = {name: made for name, (made, _) in RECURRENT.items()}
NETS |= {"translator": translator, "feed-forward": feed_forward}
