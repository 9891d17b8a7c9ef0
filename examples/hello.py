"""The character model of "hello": it reads h, e, l, l and learns to say e, l, l, o.

At each time step t the network reads one character x_t and updates its state h_t. Then it gives
each character a score, its logit; softmax turns the scores into probabilities. The loss is small
if the true next character y_t is likely. On the right are the names in the code::

    e_t = E[x_t]                   E          = embedding.weight
    h_t = tanh(W_xh e_t + b_xh     W_xh, b_xh = rnn.weight_ih_l0, rnn.bias_ih_l0
          + W_hh h_{t-1} + b_hh)   W_hh, b_hh = rnn.weight_hh_l0, rnn.bias_hh_l0
    z_t = W_hy h_t + b_y           W_hy, b_y  = decoder.weight, decoder.bias
    p_t = softmax(z_t)             z_t: logits, p_t: probabilities
    loss = mean over t of -log p_t[y_t]

The third and the fourth input are both l, but the targets are l and o. Only the state can tell
them apart: it remembers how many l came before.
"""

from __future__ import annotations

import math
import signal
from itertools import pairwise
from typing import TYPE_CHECKING

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it at once, without a traceback

import numpy as np
from _figure import Say, run, softmax_steps

import minigrad as mg
from minigrad import nn, optim
from minigrad.data import Vocabulary
from minigrad.files import program

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WORD = "hello"
VOCABULARY = Vocabulary("helo")


class CharRNN(nn.Module):
    """Ids of characters in; at each time step the logits of the next character out."""

    def __init__(self, vocab_size: int, hidden_size: int, rng: np.random.Generator) -> None:
        self.embedding = nn.Embedding(vocab_size, hidden_size, rng=rng)
        self.rnn = nn.RNN(hidden_size, hidden_size, rng=rng)
        self.decoder = nn.Linear(hidden_size, vocab_size, rng=rng)

    def forward(
        self, ids: np.ndarray, state: mg.Tensor | None = None
    ) -> tuple[mg.Tensor, mg.Tensor]:
        """Logits of shape (T, vocab_size), and the state to go on from; `ids` of shape (T,)."""
        output, state = self.rnn(self.embedding(ids), state)
        return self.decoder(output), state


def inputs_and_targets() -> tuple[np.ndarray, np.ndarray]:
    """The ids of h, e, l, l and of e, l, l, o."""
    ids = VOCABULARY.encode(WORD)
    return ids[:-1], ids[1:]


def train_step(model: CharRNN, optimizer: optim.SGD) -> float:
    """One step down the gradient; returns the loss before it."""
    inputs, targets = inputs_and_targets()
    optimizer.zero_grad()
    logits, _ = model(inputs)
    loss = mg.cross_entropy(logits, targets)
    loss.backward()
    optimizer.step()
    return float(loss.item())


def logits_and_probabilities(model: CharRNN) -> tuple[np.ndarray, np.ndarray]:
    """Both of shape (T, vocab_size), with h, e, l, l as the inputs."""
    with mg.no_grad():
        logits, _ = model(inputs_and_targets()[0])
        return logits.numpy(), mg.softmax(logits).numpy()


def continuation(model: CharRNN, start: str, length: int) -> str:
    """What the model says after `start`: each character that it says is its next input."""
    text, state = start, None
    with mg.no_grad():
        for _ in range(length):
            logits, state = model(VOCABULARY.encode(text[-1]), state)
            text += VOCABULARY.tokens[logits[-1].argmax()]
    return text[len(start) :]


def table(model: CharRNN) -> str:
    """Logits and probabilities of each time step, the target's probability in brackets."""
    letters = VOCABULARY.tokens
    lines = [
        f"{'':13}{'logits z_t = W_hy h_t + b_y':<31}probabilities p_t = softmax(z_t)",
        f" t   x -> y{''.join(f'{c:>7}' for c in letters)}    "
        + "".join(f"{c:^8}" for c in letters).rstrip(),
    ]
    logits, probabilities = logits_and_probabilities(model)
    for t, (x, y) in enumerate(pairwise(WORD)):
        scores = "".join(f"{z:7.2f}" for z in logits[t])
        cells = "".join(
            f" [{p:.2f}] " if c == y else f"  {p:.2f}  "
            for c, p in zip(letters, probabilities[t], strict=True)
        )
        lines.append(f" {t + 1}   {x} -> {y}{scores}    {cells}".rstrip())
    return "\n".join(lines)


def figure(say: Say) -> Figure:
    """Draw the logits, the probabilities and the loss before and after training."""
    from minigrad.viz.figures import new_figure

    model = CharRNN(len(VOCABULARY), hidden_size=8, rng=np.random.default_rng(0))
    optimizer = optim.SGD(model.parameters(), lr=0.5)
    before = logits_and_probabilities(model)
    for _ in range(100):
        train_step(model, optimizer)
    after = logits_and_probabilities(model)
    runs = [
        (say("before training", "학습 전"), *before),
        (say("after 100 steps", "100번 학습한 뒤"), *after),
    ]
    picture = new_figure(8, 7.2, layout="constrained")
    softmax_steps(picture, runs, VOCABULARY.tokens, WORD, say)
    return picture


def main() -> None:
    """Print the model before, during and after training."""
    model = CharRNN(len(VOCABULARY), hidden_size=8, rng=np.random.default_rng(0))
    optimizer = optim.SGD(model.parameters(), lr=0.5)

    print(__doc__.split("\n\n")[2] + "\n")  # the equations
    print("Before training: all letters are about equally likely. [Target] in brackets.\n")
    print(table(model))
    print(f"\nTraining: loss = mean of -log p_t[y_t]. (A guess costs log 4 = {math.log(4):.2f}.)\n")
    print(" step    loss   what it says after h")
    for step in range(101):
        said = continuation(model, "h", 4)
        loss = train_step(model, optimizer)
        if step in (0, 2, 5, 10, 20, 50, 100):
            print(f"{step:5d}  {loss:6.3f}   {said}")
    print("\nAfter training: each target has nearly all the probability.\n")
    print(table(model))
    print(
        "\nAt t = 3 and t = 4 the input is l both times, but the logits differ:"
        "\nthe state h_{t-1} remembers what came before."
    )


if __name__ == "__main__":
    with program():
        run(main, figure)
