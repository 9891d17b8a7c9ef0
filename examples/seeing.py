"""How far back the gradient reaches in an RNN, an LSTM and a GRU, and what their units follow.

Three character models learn from the same text for a few seconds, with the same sizes::

    x_t = E[w_t]
    h_t = RNN(x_t, h_{t-1}),  LSTM(x_t, h_{t-1})  or  GRU(x_t, h_{t-1})
    z_t = W_hy h_t + b_y
    L_t = -log softmax(z_t)[w_{t+1}]

How much a loss L_t depends on a state k steps before is the norm of dL_t/dh_{t-k}, measured for
every pair of a loss and a state. In the RNN it falls with every step back; the gates of the LSTM
and the GRU have learnt how much of it to keep.

Karpathy, Johnson and Li (2015), Visualizing and understanding recurrent networks, is where the
coloured texts are from.
"""

from __future__ import annotations

import argparse
import signal
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it at once, without a traceback

import numpy as np

import minigrad as mg
from minigrad import data, nn, optim, training, viz
from minigrad.files import program

if TYPE_CHECKING:
    from minigrad.viz.through_time.gradient import GradientThroughTime

LAYERS = {"RNN": nn.RNN, "LSTM": nn.LSTM, "GRU": nn.GRU}
STEPS_BACK = 40


class CharacterModel(nn.Module):
    """Ids of shape (T, N) in; the logits of the next characters and the last state out."""

    def __init__(self, kind: str, vocab_size: int, size: int) -> None:
        rng = np.random.default_rng(0)
        self.embedding = nn.Embedding(vocab_size, size, rng=rng)
        self.recurrent = LAYERS[kind](size, size, rng=rng)
        self.output = nn.Linear(size, vocab_size, rng=rng)

    def forward(
        self, ids: mg.Tensor | np.ndarray, state: object = None
    ) -> tuple[mg.Tensor, object]:
        """z_1 ... z_T, and the state after them."""
        h, state = self.recurrent(self.embedding(ids), state)
        return self.output(h), state


@cache
def text_and_vocabulary() -> tuple[str, str, data.Vocabulary]:
    """A text to learn from, another to look at, and their characters."""
    whole = data.load_text()[:120_000]
    return whole[:100_000], whole[100_000:], data.Vocabulary.from_text(whole)


def take_step(
    model: CharacterModel,
    optimizer: optim.Adam,
    window: tuple[np.ndarray, np.ndarray],
    state: object,
) -> object:
    """A step of truncated BPTT on a window of the text; returns the state to go on from."""
    ids, targets = window
    logits, state = model(ids, training.detach_state(state))
    loss = mg.cross_entropy(logits, targets)
    optimizer.zero_grad()
    loss.backward()
    optim.clip_grad_norm_(model.parameters(), max_norm=1.0)
    optimizer.step()
    return state


class Training(NamedTuple):
    """A model, and what was seen while it learnt."""

    model: CharacterModel
    histograms: viz.Histograms
    radii: viz.SpectralRadii
    timeline: viz.Shown
    """Of the last step."""


@cache
def trained(kind: str) -> Training:
    """A model that has read the text once, in windows."""
    text, _, vocabulary = text_and_vocabulary()
    model = CharacterModel(kind, len(vocabulary), 48)
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    histograms, radii = viz.Histograms(model, every=20), viz.SpectralRadii()
    streams = data.batchify(vocabulary.encode(text), batch_size=16)
    windows, state = list(data.windows(streams, bptt=STEPS_BACK)), None
    for step, window in enumerate(windows):
        with histograms.step():
            state = take_step(model, optimizer, window, state)
        radii.note(model, step)
    with viz.timeline() as timeline:
        take_step(model, optimizer, windows[-1], state)
    return Training(model, histograms, radii, timeline)


def through_time() -> GradientThroughTime:
    """The gradient of each loss at each state, of the three models on one piece of text."""
    _, other, vocabulary = text_and_vocabulary()
    piece = other[: 2 * STEPS_BACK + 1]
    models = {kind: trained(kind).model for kind in LAYERS}
    return viz.gradient_through_time(
        models, vocabulary.encode(piece), labels=piece, window=STEPS_BACK // 2
    )


def neurons() -> viz.Neurons:
    """What the units of the LSTM follow in a text that it has not read."""
    _, other, vocabulary = text_and_vocabulary()
    return viz.watch_neurons(trained("LSTM").model, other[:3000], vocabulary)


SHOWN = {
    "time": through_time,
    "neurons": neurons,
    "histograms": lambda: trained("LSTM").histograms,
    "radii": lambda: trained("LSTM").radii,
    "timeline": lambda: trained("LSTM").timeline,
}
"""What can be drawn."""


def main() -> None:
    """Print how the gradient decays, and the units that follow something."""
    print(__doc__.split("\n\n")[2] + "\n")  # the equations
    print(f"The mean of |dL_t/dh_(t-k)| / |dL_t/dh_t| over t:\n{'k':>6}", end="")
    flows = through_time().flows
    print("".join(f"{kind:>12}" for kind in flows))
    for k in (1, 2, 5, 10, 20, STEPS_BACK):
        print(f"{k:6}" + "".join(f"{flow.decay[k]:12.2g}" for flow in flows.values()))
    print("\nUnits of the LSTM, chosen on one half of a text; the figures are of the other:\n")
    print(neurons())


if __name__ == "__main__":
    with program():
        parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
        parser.add_argument("--save", metavar="FILE", help="draw it: .png, .svg, .pdf or .html")
        parser.add_argument("--show", choices=SHOWN, default="time", help="what to draw")
        options = parser.parse_args()
        main() if options.save is None else SHOWN[options.show]().save(options.save)
