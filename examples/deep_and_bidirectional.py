"""Several layers, and both directions: what each output can see of the inputs.

In a deep RNN the states of one layer are the inputs of the next. In a bidirectional RNN a second
one reads from the end to the beginning, and an output is the states of both::

    layers:      h_t(1) = tanh(W_ih(1) x_t    + W_hh(1) h_{t-1}(1) + b(1))
                 h_t(2) = tanh(W_ih(2) h_t(1) + W_hh(2) h_{t-1}(2) + b(2))
    directions:  f_t = tanh(W_ih  x_t + W_hh  f_{t-1} + b)     forwards
                 b_t = tanh(W_ih' x_t + W_hh' b_{t+1} + b')    backwards
                 output_t = [f_t, b_t]

The derivative of output_t for x_s tells whether the one depends on the other. In a deep RNN it is
0 for s > t: no output knows the future. So it can be a language model. A bidirectional RNN sees the
whole text at once, and the next word too: it is for tagging and for reading, not for predicting.

Schuster and Paliwal (1997), Bidirectional recurrent neural networks.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it at once, without a traceback

import numpy as np
from _figure import Say, arrow, box, canvas, cells, run

import minigrad as mg
from minigrad import nn
from minigrad.files import program

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

T, FEATURES, HIDDEN = 5, 4, 6


def networks() -> dict[str, nn.RNN]:
    """One of two layers, and one of two directions."""
    return {
        "layers": nn.RNN(FEATURES, HIDDEN, num_layers=2, rng=np.random.default_rng(0)),
        "directions": nn.RNN(FEATURES, HIDDEN, bidirectional=True, rng=np.random.default_rng(0)),
    }


def dependence(rnn: nn.RNN) -> np.ndarray:
    """The norm of d output_t / d x_s for each t (row) and s (column), by the tape.

    The network runs once for each element of an output, side by side; the i-th walks back from the
    i-th row of the identity.
    """
    x = np.random.default_rng(1).normal(size=(T, 1, FEATURES)).astype(np.float32)
    size = rnn(x)[0].shape[-1]
    x = mg.tensor(np.repeat(x, size, axis=1), requires_grad=True)
    output, _ = rnn(x)
    rows = []
    for t in range(T):
        (J,) = mg.grad(output[t], x, grad_outputs=np.eye(size, dtype=np.float32), retain_graph=True)
        rows.append(np.linalg.norm(J.numpy(), axis=(1, 2)))
    return np.array(rows)


def draw(axes: Axes, both: bool, chosen: int) -> None:
    """Draw a network; the ways from the inputs to the output of step `chosen` stand out."""
    canvas(axes, 7.6, 5.3)
    y_x, ys, y_out = 0.5, (1.9, 3.3), 4.75
    names = ("f", "b") if both else ("h^{(1)}", "h^{(2)}")
    for t in range(T):
        x, here = 0.8 + 1.5 * t, t == chosen
        before, after = t <= chosen, t >= chosen
        used = (before, after) if both else (before, before)
        box(axes, x, y_x, f"$x_{t + 1}$", strong=both or before, width=0.85, height=0.6)
        box(axes, x, y_out, f"$o_{t + 1}$", strong=here, width=0.85, height=0.6)
        for y, name, on in zip(ys, names, used, strict=True):
            fill = "#fdebd9" if on else "white"
            box(axes, x, y, f"${name}_{t + 1}$", strong=on, width=0.85, height=0.7, fill=fill)
        if both:  # each direction reads x and is part of the output
            arrow(axes, (x - 0.22, y_x + 0.3), (x - 0.22, ys[0] - 0.35), strong=before)
            arrow(axes, (x + 0.3, y_x + 0.3), (x + 0.3, ys[1] - 0.35), strong=after, curve=0.28)
            arrow(axes, (x - 0.3, ys[0] + 0.35), (x - 0.3, y_out - 0.3), strong=here, curve=-0.32)
            arrow(axes, (x + 0.1, ys[1] + 0.35), (x + 0.1, y_out - 0.3), strong=here)
        else:
            arrow(axes, (x, y_x + 0.3), (x, ys[0] - 0.35), strong=before)
            arrow(axes, (x, ys[0] + 0.35), (x, ys[1] - 0.35), strong=before)
            arrow(axes, (x, ys[1] + 0.35), (x, y_out - 0.3), strong=here)
        if t:
            left, right = x - 1.5 + 0.425, x - 0.425
            arrow(axes, (left, ys[0]), (right, ys[0]), strong=before)
            if both:
                arrow(axes, (right, ys[1]), (left, ys[1]), strong=t > chosen)
            else:
                arrow(axes, (left, ys[1]), (right, ys[1]), strong=before)


def figure(say: Say) -> Figure:
    """Draw both networks, and what each output depends on."""
    from minigrad.viz.figures import head, new_figure

    picture = new_figure(9, 7.8, layout="constrained")
    panels = picture.subplots(2, 2, height_ratios=[4, 3.4])
    titles = {
        "layers": say("Two layers: an output sees the past", "2층 RNN: 출력은 과거만 본다"),
        "directions": say(
            "Two directions: it sees the whole text", "양방향 RNN: 출력은 글 전체를 본다"
        ),
    }
    for (top, bottom), (name, rnn) in zip(panels.T, networks().items(), strict=True):
        norms = dependence(rnn)
        chosen = 2
        draw(top, name == "directions", chosen)
        head(top, titles[name])
        columns, rows = ([f"${letter}_{t + 1}$" for t in range(T)] for letter in "xo")
        marked = [(chosen, s) for s in range(T) if norms[chosen, s]]
        cells(bottom, norms, columns, rows, limits=(0, 1.8 * norms.max()), marked=marked)
        head(bottom, say(
            r"norm of $\partial o_t/\partial x_s$:  0, where $o_t$ does not see $x_s$",
            r"$\partial o_t/\partial x_s$의 노름:  0이면 $o_t$가 $x_s$를 못 본다",
        ))  # fmt: skip
    return picture


def main() -> None:
    """Print the shapes of both, and what each output depends on."""
    print(__doc__.split("\n\n")[2] + "\n")  # the equations
    x = np.random.default_rng(1).normal(size=(T, 1, FEATURES)).astype(np.float32)
    for name, rnn in networks().items():
        output, state = rnn(x)
        numbers = sum(p.size for p in rnn.parameters())
        print(f"two {name}: x {x.shape}, output {output.shape}, state {state.shape},")
        print(f"   {numbers} numbers to learn; the norm of d output_t / d x_s:\n")
        print("     t" + "".join(f"{f's = {s + 1}':>9}" for s in range(T)))
        for t, row in enumerate(dependence(rnn)):
            print(f"{t + 1:6d}" + "".join(f"{v:9.3f}" for v in row))
        print()
    print("Above the diagonal of the first table is 0: no output depends on a later input.")


if __name__ == "__main__":
    with program():
        run(main, figure)
