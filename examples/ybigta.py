"""One-hot inputs: a one-hot vector times a matrix is a row of the matrix.

This is the character model of `hello.py`, for the word "ybigta". A character enters the network as
a one-hot vector: 1 at its id, and 0 elsewhere. A matrix W turns it into features::

    W = embedding.weight                   E in the other examples
    x = onehot(id) @ W = W[id]             all other rows are multiplied by 0
    dL/dW = sum_t onehot(id_t)^T dL/dx_t   adds dL/dx_t to row id_t alone

So a lookup, `nn.Embedding`, can take the place of the product, forward and backward. It gives the
same numbers, without the multiplications.
"""

from __future__ import annotations

import signal
from itertools import pairwise
from typing import TYPE_CHECKING

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it at once, without a traceback

import numpy as np
from _figure import Say, cells, run, softmax_steps

import minigrad as mg
from minigrad import nn, optim
from minigrad.data import Vocabulary
from minigrad.files import program

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WORD = "ybigta"
VOCABULARY = Vocabulary(WORD)  # its six letters all differ


class CharRNN(nn.Module):
    """One-hot vectors, or ids, of characters in; logits of the next characters out."""

    def __init__(self, vocab_size: int, features: int, hidden: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.embedding = nn.Embedding(vocab_size, features, rng=rng)
        self.rnn = nn.RNN(features, hidden, rng=rng)
        self.decoder = nn.Linear(hidden, vocab_size, rng=rng)

    def forward(self, x: np.ndarray) -> mg.Tensor:
        """Logits (T, vocab_size); `x` holds one-hot rows, shape (T, vocab_size), or T ids."""
        looked_up = self.embedding(x) if x.dtype.kind == "i" else x @ self.embedding.weight
        output, _ = self.rnn(looked_up)
        return self.decoder(output)


def one_hot(ids: np.ndarray, size: int) -> np.ndarray:
    """Row t has 1 at ids[t] and 0 elsewhere: it is row ids[t] of the identity matrix."""
    return np.eye(size, dtype=np.float32)[ids]


def train(model: CharRNN, x: np.ndarray, steps: int = 60) -> tuple[list[float], list[np.ndarray]]:
    """The loss and the gradient of the embedding matrix at each step."""
    targets = VOCABULARY.encode(WORD)[1:]
    optimizer = optim.SGD(model.parameters(), lr=0.5)
    losses, gradients = [], []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = mg.cross_entropy(model(x), targets)
        loss.backward()
        losses.append(loss.item())
        gradients.append(model.embedding.weight.grad.numpy())
        optimizer.step()
    return losses, gradients


def train_both(steps: int = 60) -> tuple[list[CharRNN], list[list[float]], list[list[np.ndarray]]]:
    """Two models with the same weights: one trained on one-hot vectors, the other on ids."""
    ids = VOCABULARY.encode(WORD)[:-1]
    models = [CharRNN(len(VOCABULARY), features=3, hidden=8, seed=0) for _ in range(2)]
    inputs = [one_hot(ids, len(VOCABULARY)), ids]
    runs = [train(model, x, steps) for model, x in zip(models, inputs, strict=True)]
    return models, [losses for losses, _ in runs], [gradients for _, gradients in runs]


def table(logits: mg.Tensor) -> str:
    """Logits and probabilities of each time step, the target's probability in brackets."""
    letters, probabilities = VOCABULARY.tokens, mg.softmax(logits).numpy()
    head = "".join(f"{c:>5}" for c in letters) + "   " + "".join(f"{c:^6}" for c in letters)
    lines = [
        f"{'':11}{'logits z_t':<33}probabilities p_t = softmax(z_t)",
        f" t  x -> y{head}".rstrip(),
    ]
    for t, (x, y) in enumerate(pairwise(WORD)):
        scores = "".join(f"{z:5.1f}" for z in logits.numpy()[t])
        cells = "".join(
            f"[{p:.2f}]" if c == y else f" {p:.2f} "
            for c, p in zip(letters, probabilities[t], strict=True)
        )
        lines.append(f" {t + 1}  {x} -> {y}{scores}   {cells}".rstrip())
    return "\n".join(lines)


def figure(say: Say) -> Figure:
    """Draw the product that is a lookup, its gradient, and the model before and after training."""
    from minigrad.viz.figures import head, new_figure

    ids = VOCABULARY.encode(WORD)[:-1]
    untrained = CharRNN(len(VOCABULARY), features=3, hidden=8, seed=0)
    X, W = one_hot(ids, len(VOCABULARY)), untrained.embedding.weight.numpy()
    (trained, _), _, (gradients, _) = train_both(100)
    with mg.no_grad():
        logits = [model(X) for model in (untrained, trained)]

    picture = new_figure(9, 10, layout="constrained")
    upper, lower = picture.subfigures(2, 1, height_ratios=[3, 7.6], hspace=0.04)
    letters, features = VOCABULARY.tokens, ["x₁", "x₂", "x₃"]
    panels = upper.subplots(1, 4, width_ratios=[5.2, 3.4, 3.4, 3.4])
    signed = {"colours": "PuOr_r", "limits": (-3.0, 3.0)}
    cells(panels[0], X, letters, [*WORD[:-1]], form="{:.0f}", limits=(0, 2.5))
    cells(panels[1], W, features, letters, **signed)
    cells(panels[2], X @ W, features, [*WORD[:-1]], **signed)
    limits = {"colours": "PuOr_r", "limits": (-0.1, 0.1)}
    cells(panels[3], gradients[0], features, letters, form="{:.3f}", **limits)
    head(panels[0], say("one-hot X,  a row for each input", "원-핫 X, 입력마다 한 행"))
    head(panels[1], say("@  embedding W", "@  임베딩 행렬 W"))
    head(panels[2], say("=  X @ W  =  W[ids]", "=  X @ W  =  W[ids]"))
    head(panels[3], say("∂L/∂W:  0 for a", "∂L/∂W: a행은 0"))

    runs = [
        (title, each.numpy(), mg.softmax(each).numpy())
        for title, each in zip(
            (say("before training", "학습 전"), say("after 100 steps", "100번 학습한 뒤")),
            logits,
            strict=True,
        )
    ]
    softmax_steps(lower, runs, letters, WORD, say)
    return picture


def main() -> None:
    """Print the product beside the lookup, and then the two training runs."""
    ids = VOCABULARY.encode(WORD)[:-1]
    X = one_hot(ids, len(VOCABULARY))
    untrained = CharRNN(len(VOCABULARY), features=3, hidden=8, seed=0)
    W = untrained.embedding.weight.numpy()

    print(__doc__.split("\n\n")[2] + "\n")  # the equations
    print("A one-hot product is a lookup: onehot(id) @ W = W[id]. The 1 picks row id.\n")
    print(f" t   letter  id   one-hot X[t]{'X[t] @ W':>22}{'W[id]':>23}")
    for t, (letter, id) in enumerate(zip(WORD[:-1], ids, strict=True)):
        bits = " ".join("1" if bit else "." for bit in X[t])
        product, row = ("".join(f"{v:7.2f}" for v in values) for values in (X[t] @ W, W[id]))
        print(f" {t + 1}{letter:>7}{id:6d}   {bits}  {product}  {row}")

    models, losses, gradients = train_both()
    print("\nThe same weights trained twice, on one-hot vectors and on ids:\n")
    print(" step   loss, one-hot   loss, lookup   largest difference in dL/dW")
    for step in (0, 1, 5, 20, 59):
        difference = abs(gradients[0][step] - gradients[1][step]).max()
        print(f"{step:5d}{losses[0][step]:16.6f}{losses[1][step]:15.6f}{difference:20.1e}")

    print("\ndL/dW = sum_t onehot(id_t)^T dL/dx_t at step 0, one row for each letter")
    print("(a is never an input, so its row is 0):\n")
    for letter, row in zip(VOCABULARY, gradients[1][0], strict=True):
        print(f"   {letter}  " + "".join(f"{v:8.3f}" for v in row))

    with mg.no_grad():
        print(f"\nBefore training:\n\n{table(untrained(X))}")
        print(f"\nAfter training on one-hot vectors:\n\n{table(models[0](X))}")
    print("\nMultiplications for 35 x 20 words, out of 10,000, with 200 features each:")
    print(f"   one-hot product {35 * 20 * 10_000 * 200:,}, lookup 0")


if __name__ == "__main__":
    with program():
        run(main, figure)
