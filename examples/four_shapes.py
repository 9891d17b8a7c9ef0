"""The four shapes of an RNN: the same cell, with its inputs and outputs at other time steps.

What is given, and what is asked for, decides where inputs go in and where outputs are read. The
cell and the output layer are the same, step by step::

    one-to-one      y_1 = W h_1       h_1 = RNN(x_1, 0)
    one-to-many     y_t = W h_t       h_t = RNN(y_{t-1}, h_{t-1}), y_0 = x_1
    many-to-one     y_1 = W h_T       h_t = RNN(x_t, h_{t-1})
    many-to-many    y_t = W h_t       h_t = RNN(x_t, h_{t-1})
       or, later    y_t = W h_{T+t}   h_{T+t} = RNN(y_{t-1}, h_{T+t-1}), y_0 = 0

The derivative of y_t for x_s tells whether an output depends on an input: the tables have the shape
of the task. In step, no output knows a later input. If the outputs come later, each depends on all
inputs: then first one network reads, the encoder, and then another one writes, the decoder.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from typing import TYPE_CHECKING

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it at once, without a traceback

import numpy as np
from _figure import COLOURS, Say, arrow, box, canvas, cells, run

import minigrad as mg
from minigrad import nn
from minigrad.files import program

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

T, FEATURES, HIDDEN = 3, 4, 6
PLACES = {"one-to-one": 2, "one-to-many": T, "many-to-one": T, "many-to-many": T, "later": 2 * T}
"""How many time steps have room in the drawing of each."""


class Network(nn.Module):
    """A cell, which reads, another one for what is written later, and an output layer for both."""

    def __init__(self, rng: np.random.Generator) -> None:
        options = {"rng": rng, "dtype": "float64"}
        self.cell = nn.RNNCell(FEATURES, HIDDEN, **options)
        self.decoder = nn.RNNCell(FEATURES, HIDDEN, **options)
        self.output = nn.Linear(HIDDEN, FEATURES, **options)

    def read(self, x: Sequence[mg.Tensor]) -> list[mg.Tensor]:
        """The state after each of the inputs."""
        states: list[mg.Tensor] = []
        for x_t in x:
            states.append(self.cell(x_t, states[-1] if states else None))
        return states

    def write(
        self, cell: nn.RNNCell, y: mg.Tensor, state: mg.Tensor | None = None
    ) -> list[mg.Tensor]:
        """T outputs, each of which is the next input; `y` is the first input."""
        outputs = []
        for _ in range(T):
            state = cell(y, state)
            y = self.output(state)
            outputs.append(y)
        return outputs


def shapes(network: Network, x: Sequence[mg.Tensor]) -> dict[str, tuple[int, list[mg.Tensor]]]:
    """Of each shape: how many of the inputs it reads, and its outputs."""
    output = network.output
    states = network.read(x)
    start = mg.zeros(FEATURES, dtype="float64")
    return {
        "one-to-one": (1, [output(states[0])]),
        "one-to-many": (1, network.write(network.cell, x[0])),
        "many-to-one": (T, [output(states[-1])]),
        "many-to-many": (T, [output(h) for h in states]),
        "later": (T, network.write(network.decoder, start, states[-1])),
    }


def dependence(y: Sequence[mg.Tensor], x: Sequence[mg.Tensor]) -> np.ndarray:
    """The norm of dy_t/dx_s for each t (row) and s (column), by the tape."""
    squares = np.zeros((len(y), len(x)))
    for t, y_t in enumerate(y):
        for i in range(FEATURES):
            gradients = mg.grad(y_t[i], x, retain_graph=True, allow_unused=True)
            squares[t] += [0.0 if g is None else np.square(g.numpy()).sum() for g in gradients]
    return np.sqrt(squares)


def tables() -> dict[str, np.ndarray]:
    """The table of each shape."""
    rng = np.random.default_rng(0)
    network = Network(rng)
    x = [mg.tensor(rng.normal(size=FEATURES), requires_grad=True) for _ in range(T)]
    return {name: dependence(y, x[:read]) for name, (read, y) in shapes(network, x).items()}


def draw(axes: Axes, name: str, read: int, written: int) -> None:
    """Draw the network of a shape, over its time steps."""
    later = name == "later"
    steps = read + written if later else max(read, written)
    first = steps - written  # the step of the first output
    width, wide, high = 1.05, 0.78, 0.62
    canvas(axes, width * PLACES[name], 4.2)
    own = name == "one-to-many" or later
    for t in range(steps):
        x = width * (t + 0.5)
        fill = "#fdebd9" if later and t >= read else "#eeeeee"
        box(axes, x, 2.1, f"$h_{t + 1}$", fill=fill, width=wide, height=high)
        if t:
            arrow(axes, (x - width + wide / 2, 2.1), (x - wide / 2, 2.1))
        if t < read:
            box(axes, x, 0.6, f"$x_{t + 1}$", COLOURS[0], width=wide, height=high)
            arrow(axes, (x, 0.6 + high / 2), (x, 2.1 - high / 2))
        if t >= first:
            box(axes, x, 3.6, f"$y_{t - first + 1}$", COLOURS[2], width=wide, height=high)
            arrow(axes, (x, 2.1 + high / 2), (x, 3.6 - high / 2))
            if own and t > first:  # what it has written is what it reads next
                start, end = (x - width + 0.3, 3.6 - high / 2), (x - 0.22, 2.1 + high / 2)
                arrow(axes, start, end, COLOURS[1], dashed=True)


def figure(say: Say) -> Figure:
    """Draw the shapes, and below each of them its table."""
    from minigrad.viz.figures import head, new_figure

    titles = {
        "one-to-one": say("one-to-one", "일대일"),
        "one-to-many": say("one-to-many", "일대다"),
        "many-to-one": say("many-to-one", "다대일"),
        "many-to-many": say("many-to-many,\nin step", "다대다\n(같은 단계에서)"),
        "later": say("many-to-many,\nencoder and decoder", "다대다\n(인코더와 디코더)"),
    }
    picture = new_figure(9, 4.6, layout="constrained")
    ratios = {"width_ratios": [*PLACES.values()], "height_ratios": [4.2, 3]}
    panels = picture.subplots(2, 5, gridspec_kw=ratios)
    found = tables()
    largest = max(table.max() for table in found.values())
    for (top, bottom), (name, table) in zip(panels.T, found.items(), strict=True):
        written, read = table.shape
        draw(top, name, read, written)
        head(top, titles[name])
        columns = [f"$x_{s + 1}$" for s in range(read)]
        rows = [f"$y_{t + 1}$" for t in range(written)]
        cells(bottom, table, columns, rows, limits=(0, 1.8 * largest))
        bottom.set(
            aspect="equal", anchor="NW", xlim=(-0.5, PLACES[name] - 0.5), ylim=(T - 0.5, -0.5)
        )
        bottom.xaxis.tick_top()
    head(panels[1, 0], r"$|\partial y_t/\partial x_s|$")
    return picture


def main() -> None:
    """Print the shapes, and what each output depends on."""
    print(__doc__.split("\n\n")[2] + "\n")  # the equations
    for name, table in tables().items():
        print(f"{name}: the norm of dy_t/dx_s")
        print("     t" + "".join(f"{f's = {s + 1}':>9}" for s in range(table.shape[1])))
        for t, row in enumerate(table):
            print(f"{t + 1:6d}" + "".join(f"{v:9.3f}" for v in row))
        print()
    print("0: the output does not know this input.")


if __name__ == "__main__":
    with program():
        run(main, figure)
