"""The tape of a recurrent network, drawn: each op and its gradient, with time to the right.

The tape is what an op leaves behind for the way back: its arguments, and the arrays that its rule
needs. Time steps and layers are found in the tape itself: what is used again and again, each time
by an op that depends on the one before, is shared by the steps of a recurrence::

    h_t = tanh(W_xh x_t + W_hh h_{t-1} + b)        W_hh h_2 depends on W_hh h_1
    loss = sum over t of -log softmax(W_hy h_t)[y_t]
"""

from __future__ import annotations

import argparse
import signal
from itertools import pairwise

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it at once, without a traceback

import numpy as np

import minigrad as mg
from minigrad import Tensor, nn, viz
from minigrad.files import program

WORD, HIDDEN = "hello", 3
LETTERS = sorted(set(WORD))


def by_hand() -> tuple[Tensor, dict[str, object]]:
    """The loss of the equations above, and the names of its parameters."""
    rng, V = np.random.default_rng(0), len(LETTERS)
    W_xh = nn.Parameter(rng.normal(size=(HIDDEN, V)) / 2)
    W_hh = nn.Parameter(rng.normal(size=(HIDDEN, HIDDEN)) / 2)
    b = nn.Parameter(np.zeros(HIDDEN))
    W_hy = nn.Parameter(rng.normal(size=(V, HIDDEN)) / 2)
    h, loss = np.zeros(HIDDEN), 0.0
    for x, y in pairwise(map(LETTERS.index, WORD)):
        h = mg.tanh(W_xh @ np.eye(V)[x] + W_hh @ h + b)
        loss = loss + mg.cross_entropy(W_hy @ h, y)
    return loss, {"W_xh": W_xh, "W_hh": W_hh, "b": b, "W_hy": W_hy}


class Model(nn.Module):
    """Letters to letters: embedding, recurrent layers on the tape, linear layer."""

    def __init__(self, recurrent: nn.Module, outputs: int) -> None:
        rng = np.random.default_rng(0)
        self.embedding = nn.Embedding(len(LETTERS), 4, rng=rng)
        self.recurrent = recurrent
        self.output = nn.Linear(outputs, len(LETTERS), rng=rng)

    def forward(self, ids: np.ndarray) -> Tensor:
        """The logits of the letter after each of `ids`."""
        h, _ = self.recurrent(self.embedding(ids))
        return self.output(h)


def by_layers(net: str, word: str) -> tuple[Tensor, dict[str, object]]:
    """The loss of a model, and the model."""
    rng = np.random.default_rng(0)
    if net == "bidirectional":
        model = Model(nn.RNN(4, HIDDEN, bidirectional=True, unroll=True, rng=rng), 2 * HIDDEN)
    elif net == "two-layers":
        model = Model(nn.LSTM(4, HIDDEN, num_layers=2, unroll=True, rng=rng), HIDDEN)
    else:
        model = Model(nn.LSTM(4, HIDDEN, unroll=True, rng=rng), HIDDEN)
    ids = np.array([LETTERS.index(letter) for letter in word])
    return mg.cross_entropy(model(ids[:-1]), ids[1:]), {"model": model}


def seen(net: str, show: str) -> viz.Shown:
    """The tape of one of `NETS`, drawn; or the walk along it, whose picture is its memory."""
    with viz.watch():
        if net == "by-hand":
            loss, names = by_hand()
        else:
            loss, names = by_layers(net, WORD * 20 if net == "two-layers" else WORD)
    return (viz.explore if show == "walk" else viz.draw)(loss, names=names)


NETS = ("by-hand", "lstm", "bidirectional", "two-layers")


def main() -> None:
    """Print the equations, and the tape as a table."""
    print(__doc__.partition("::\n\n")[2])
    loss, names = by_hand()
    print(viz.text(loss, names=names))


if __name__ == "__main__":
    with program():
        parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
        told = (
            "draw it: .png, .svg, .pdf, .dot, .mmd (Mermaid), or .html, a page to search and zoom"
        )
        parser.add_argument("--save", metavar="FILE", help=told)
        parser.add_argument(
            "--show",
            choices=("tape", "walk"),
            default="tape",
            help="the tape, or the walk back: .html to follow it, .png for the memory it holds",
        )
        parser.add_argument("--net", choices=NETS, default="by-hand", help="what to draw")
        options = parser.parse_args()
        main() if options.save is None else seen(options.net, options.show).save(options.save)
