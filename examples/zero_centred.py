"""Zero-centred activations: why tanh inside a network trains better than sigmoid.

One neuron with weights w and inputs x, its loss, and the gradients of its weights::

    y       = w . x
    L       = (y - target)^2 / 2
    dL/dy   = y - target
    dL/dw_i = (dL/dy) x_i

Each weight gradient is one number, dL/dy, times its input. If all inputs are positive, as those
from sigmoid are, all weight gradients have the sign of dL/dy: a step moves all weights up, or all
weights down. If one weight has to go up and another down, the path is a zig-zag. Inputs from tanh
have both signs.

Each step here follows the gradient of one example. Over a batch the signs may average out, so the
effect is weaker with large batches. LeCun, Bottou, Orr and Müller (1998), Efficient BackProp,
section 4.3.
"""

from __future__ import annotations

import math
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it at once, without a traceback

import numpy as np
from _figure import COLOURS, FAINT, TEXT, Say, cells, run

import minigrad as mg
from minigrad import optim
from minigrad.files import program

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Activation = Callable[[mg.Tensor], mg.Tensor]
ACTIVATIONS: dict[str, Activation] = {
    "sigmoid": mg.sigmoid,
    "tanh": mg.tanh,
    "sigmoid - 1/2": lambda z: mg.sigmoid(z) - 0.5,
}
COMPARED = ("sigmoid", "tanh")
START, TARGET = (-1.0, 1.0), (1.0, -1.0)


def weight_gradients(activation: Activation, examples: int = 1000, inputs: int = 6) -> np.ndarray:
    """dL/dw of each example by itself, shape (examples, inputs), all at the same w."""
    x = activation(mg.tensor(np.random.default_rng(0).normal(size=(examples, inputs))))
    w = np.where(np.arange(inputs) % 2, -1.0, 1.0)
    w_n = mg.tensor(np.tile(w, (examples, 1)), requires_grad=True)  # a row for each example
    y = (w_n * x).sum(1)
    loss = mg.square(y) / 2  # the target is 0
    loss.sum().backward()
    return w_n.grad.numpy()


def same_sign_fraction(gradients: np.ndarray) -> float:
    """The fraction of rows whose elements are all positive or all negative."""
    return float(((gradients > 0).all(1) | (gradients < 0).all(1)).mean())


def descend(activation: Activation, seed: int, tolerance: float = 0.1) -> np.ndarray:
    """The path of (w1, w2) from START until TARGET is `tolerance` away: shape (steps + 1, 2).

    Each step is gradient descent on one new example, whose target is TARGET . x. The learning rate
    is 1/2 over the mean of |x|^2, so the size of an activation's values does not matter.
    """
    x = activation(mg.tensor(np.random.default_rng(seed).normal(size=(1000, 2))))
    w = mg.tensor(START, dtype="float64", requires_grad=True)
    optimizer = optim.SGD([w], lr=0.5 / mg.square(x).sum(1).mean().item())
    path = [w.numpy()]
    for x_n in x:
        if math.dist(path[-1], TARGET) < tolerance:
            break
        optimizer.zero_grad()
        loss = mg.square(mg.dot(w - np.array(TARGET), x_n)) / 2
        loss.backward()
        optimizer.step()
        path.append(w.numpy())
    return np.array(path)


def detour(path: np.ndarray) -> float:
    """The length of the path, divided by that of the straight line between its two ends."""
    steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
    return float(steps.sum() / math.dist(path[0], path[-1]))


def figure(say: Say) -> Figure:
    """Draw the gradients of some examples, and the paths of two weights."""
    from minigrad.viz.figures import dress, head, new_figure

    picture = new_figure(9, 7.6, layout="constrained")
    upper, lower = picture.subplots(2, 2, height_ratios=[2.4, 4.2])
    for axes, name in zip(upper, COMPARED, strict=True):
        gradients = weight_gradients(ACTIVATIONS[name])
        columns, rows = [f"$w_{i + 1}$" for i in range(6)], [str(n + 1) for n in range(5)]
        colours = {"colours": "PuOr_r", "limits": (-1.2, 1.2)}
        cells(axes, gradients[:5], columns, rows, form="{:+.2f}", **colours)
        share = same_sign_fraction(gradients)
        title = say(
            r"$\partial L/\partial w$, inputs from {}: {:.0f} % with six equal signs",
            r"$\partial L/\partial w$, 입력이 {} 출력: 부호 6개가 모두 같은 비율 {:.0f} %",
        )
        head(axes, title.format(name, 100 * share))
    upper[0].set_ylabel(say("example", "샘플"), color=FAINT)
    largest = 0.0
    for axes, name, colour in zip(lower, COMPARED, COLOURS[1::-1], strict=True):
        way = descend(ACTIVATIONS[name], seed=0)
        largest = max(largest, abs(way).max())
        axes.plot(*way.T, ".-", color=colour, linewidth=1, markersize=4)
        ends = {"color": TEXT, "linestyle": "none", "zorder": 5}
        axes.plot(*START, "o", label=say("start", "시작"), **ends)
        axes.plot(*TARGET, "*", markersize=14, label=say("target", "목표"), **ends)
        axes.set_aspect("equal")
        axes.set_xlabel("$w_1$", color=FAINT)
        dress(axes)
        title = say("{} steps, {:.1f} times the straight line", "{}단계, 직선 거리의 {:.1f}배")
        head(axes, title.format(len(way) - 1, detour(way)))
        axes.legend(frameon=False, fontsize=9, labelcolor=TEXT, loc="lower left")
    for axes in lower:
        axes.set(xlim=(-1.1 * largest, 1.1 * largest), ylim=(-1.1 * largest, 1.1 * largest))
    lower[0].set_ylabel("$w_2$", color=FAINT)
    return picture


def main() -> None:
    """Print the signs of the gradients, the path of two weights, and its length."""
    gradients = {name: weight_gradients(a) for name, a in ACTIVATIONS.items()}
    print(__doc__.split("\n\n")[2] + "\n")  # the equations
    print("The signs of dL/dw_i = (dL/dy) x_i, i = 1 ... 6; each row is one example:\n")
    print("   inputs from sigmoid    inputs from tanh")
    for n in range(8):
        signs = [" ".join("-+"[int(g > 0)] for g in gradients[name][n]) for name in COMPARED]
        print("   " + "            ".join(signs))
    print("\nExamples with six equal signs, of 1000 (by chance: 2 / 2^6 = 3 %):\n")
    for name, g in gradients.items():
        print(f"   {name:15}{same_sign_fraction(g):6.1%}")

    ways = {name: [descend(a, seed) for seed in range(20)] for name, a in ACTIVATIONS.items()}
    print("\nw_i becomes w_i - lr dL/dw_i. w1 has to go up from -1 to 1, w2 down to -1:\n")
    print(f"   step{'inputs from sigmoid':>24}{'inputs from tanh':>30}")
    print(f"       {'w1      w2     moves':>26}{'w1      w2     moves':>30}")
    for step in range(11):
        cells = []
        for name in COMPARED:
            way = ways[name][0]
            moves = ["up" if move > 0 else "down" for move in way[step + 1] - way[step]]
            cells.append(f"{way[step + 1][0]:10.2f}{way[step + 1][1]:8.2f}   {' '.join(moves):9}")
        print(f"{step + 1:7d}{''.join(cells)}".rstrip())

    print("\nThe whole path, mean of 20 runs. detour = its length / the straight line:\n")
    print("   inputs from     steps    detour    both up or both down")
    for name, runs in ways.items():
        alike = same_sign_fraction(np.concatenate([np.diff(way, axis=0) for way in runs]))
        steps, way = np.mean([(len(way) - 1, detour(way)) for way in runs], 0)
        print(f"   {name:15}{steps:6.0f}{way:10.1f}{alike:20.0%}")


if __name__ == "__main__":
    with program():
        run(main, figure)
