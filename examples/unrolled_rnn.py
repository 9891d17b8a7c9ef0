"""The unrolled RNN: one cell with one set of weights, used again at every time step.

Drawn as a loop, an RNN is one cell that reads its own state. Unrolled over the steps 1 ... T it is
a network of T layers, all with the same weights::

    h_t = tanh(W_xh x_t + W_hh h_{t-1} + b)   W_xh, W_hh = cell.weight_ih, _hh
    z_t = W_hy h_t + b_y                      W_hy, b_y = decoder.weight, .bias
    L   = sum_t -log softmax(z_t)[y_t]
    dL/dW_hh = sum_t dL/dW_hh(t)              W_hh(t): the W_hh that step t uses

The tape holds the unrolled network. Each use of W_hh adds a share to its gradient. To see the
shares, each step is given a copy of W_hh here: the gradients of the copies are the shares.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it at once, without a traceback

import numpy as np
from _figure import COLOURS, FAINT, TEXT, Say, arrow, box, canvas, number, run

import minigrad as mg
from minigrad import nn
from minigrad.data import Vocabulary
from minigrad.files import program

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WORD = "hello"
VOCABULARY = Vocabulary("helo")


class CharRNN(nn.Module):
    """One-hot characters in; a cell, and the scores of the next character."""

    def __init__(self, hidden_size: int = 3, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.cell = nn.RNNCell(len(VOCABULARY), hidden_size, rng=rng, dtype="float64")
        self.decoder = nn.Linear(hidden_size, len(VOCABULARY), rng=rng, dtype="float64")


def unroll(model: CharRNN, copies: list[mg.Tensor]) -> tuple[list[mg.Tensor], mg.Tensor]:
    """The states h_1 ... h_T, and the loss; step t uses ``copies[t - 1]`` as its W_hh."""
    cell, ids = model.cell, VOCABULARY.encode(WORD)
    x = np.eye(len(VOCABULARY))[ids[:-1]]
    h, states, loss = mg.zeros(cell.hidden_size, dtype="float64"), [], 0.0
    for x_t, y_t, W_hh in zip(x, ids[1:], copies, strict=True):
        Wx = mg.linear(x_t, cell.weight_ih, cell.bias_ih)
        h = mg.tanh(Wx + mg.linear(h, W_hh, cell.bias_hh))
        loss = loss + mg.cross_entropy(model.decoder(h), y_t)
        states.append(h)
    return states, loss


def shares(model: CharRNN) -> tuple[list[np.ndarray], np.ndarray]:
    """The gradient of each step's own copy of W_hh; and that of the one W_hh that all share."""
    W_hh, steps = model.cell.weight_hh, len(WORD) - 1
    copies = [W_hh.detach().requires_grad_() for _ in range(steps)]
    of_copies = mg.grad(unroll(model, copies)[1], copies)
    (shared,) = mg.grad(unroll(model, [W_hh] * steps)[1], [W_hh])
    return [g.numpy() for g in of_copies], shared.numpy()


def figure(say: Say) -> Figure:
    """Draw the loop, the unrolled network with its states, and each step's share."""
    from minigrad.viz.figures import dress, head, new_figure

    model = CharRNN()
    T = len(WORD) - 1
    states, _ = unroll(model, [model.cell.weight_hh] * T)
    of_copies, shared = shares(model)
    blue, orange, green = COLOURS[:3]

    picture = new_figure(9, 6.4, layout="constrained")
    upper, lower = picture.subfigures(2, 1, height_ratios=[4, 2.4])
    axes = upper.subplots()
    canvas(axes, 13.4, 5.2)
    top, middle, bottom = 4.6, 2.6, 0.6
    weights = {"fontsize": 11, "ha": "right", "va": "center"}

    def cell(x: float, name: str, reads: str, says: str) -> None:
        box(axes, x, bottom, reads, width=0.8, height=0.6)
        box(axes, x, middle, name, width=1.3, height=1.0, fill="#eeeeee")
        box(axes, x, top, says, width=0.8, height=0.6)
        arrow(axes, (x, bottom + 0.3), (x, middle - 0.5), blue)
        arrow(axes, (x, middle + 0.5), (x, top - 0.3), green)
        axes.text(x - 0.1, 1.5, "$W_{xh}$", color=blue, **weights)
        axes.text(x - 0.1, 3.7, "$W_{hy}$", color=green, **weights)

    cell(1.1, "$h_t$", "$x_t$", "$y_t$")
    start, end = (1.75, middle + 0.3), (1.75, middle - 0.3)
    arrow(axes, start, end, orange, curve=-2.2)
    axes.text(2.5, middle, "$W_{hh}$", color=orange, fontsize=11, va="center")
    axes.text(3.5, middle, "=", fontsize=20, color=TEXT, ha="center", va="center")
    xs = [5.0 + 2.35 * t for t in range(T)]
    for t, x in enumerate(xs):
        values = "\n".join(number(v, "{:+.2f}") for v in states[t].tolist())
        cell(x, "", f"{WORD[t]}", f"{WORD[t + 1]}")
        axes.text(x - 0.38, middle, f"$h_{t + 1}$", fontsize=10, ha="center", va="center", zorder=4)
        axes.text(x + 0.25, middle, values, fontsize=8, ha="center", va="center", zorder=4)
        arrow(axes, (x - (1.7 if t else 1.0), middle), (x - 0.65, middle), orange)
        if t:
            axes.text(x - 1.15, middle + 0.12, "$W_{hh}$", color=orange, fontsize=11, ha="center")
    head(axes, say(
        "An RNN is one cell with a loop; unrolled, it is T layers with the same weights",
        "RNN은 순환 연결이 있는 셀 하나. 시간에 따라 펼치면 같은 가중치를 쓰는 T개의 층",
    ))  # fmt: skip

    left, right = lower.subplots(1, 2, width_ratios=[1.4, 1])
    norms = [float(np.linalg.norm(g)) for g in of_copies]
    bars = left.bar(range(T), norms, width=0.5, color=orange)
    left.bar_label(bars, fmt="%.3f", padding=2, fontsize=8.5, color=TEXT)
    left.set_xticks(range(T), [f"t = {t + 1}" for t in range(T)])
    left.margins(y=0.2)
    head(left, say(
        r"norm of each step's share of $\partial L/\partial W_{hh}$",
        r"$\partial L/\partial W_{hh}$에 대한 각 시간 단계의 기여(노름)",
    ))  # fmt: skip
    total = np.sum(of_copies, axis=0)
    right.plot(shared.ravel(), "o", color=FAINT, markersize=9, markerfacecolor="none")
    right.plot(total.ravel(), "+", color=orange, markersize=8)
    right.set_xticks(range(9), [f"{i}{j}" for i in "123" for j in "123"])
    right.set_xlabel(say("row and column of $W_{hh}$", "$W_{hh}$의 행과 열"), color=FAINT)
    head(right, say("elements:  ○ shared W,  + sum of shares", "원소별:  ○ 공유한 W,  + 기여의 합"))
    for axes in (left, right):
        dress(axes)
    return picture


def main() -> None:
    """Print the states, and each step's share of the gradient."""
    print(__doc__.split("\n\n")[2] + "\n")  # the equations
    model = CharRNN()
    T = len(WORD) - 1
    states, loss = unroll(model, [model.cell.weight_hh] * T)
    of_copies, shared = shares(model)

    print(f"The steps of {WORD!r}; the loss is {loss.item():.3f}:\n")
    print(f" t   x -> y   h_t{'':25}norm of dL/dW_hh(t)")
    for t, (h, g) in enumerate(zip(states, of_copies, strict=True)):
        values = "".join(f"{v:8.3f}" for v in h.tolist())
        print(f" {t + 1}   {WORD[t]} -> {WORD[t + 1]}{values}{np.linalg.norm(g):16.4f}")
    print("\nThe first share is 0: h_0 is 0, so W_hh(1) has nothing to multiply.\n")
    print("The sum of the shares, and the gradient of the W_hh that all steps share:\n")
    for row, same in zip(np.sum(of_copies, axis=0), shared, strict=True):
        print(
            "   " + "".join(f"{v:9.4f}" for v in row) + "    " + "".join(f"{v:9.4f}" for v in same)
        )
    numbers = sum(p.size for p in model.parameters())
    print(f"\nThe model has {numbers} numbers to learn, whether it reads 4 characters or 400.")


if __name__ == "__main__":
    with program():
        run(main, figure)
