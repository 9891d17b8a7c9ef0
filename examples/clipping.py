"""Gradient clipping: a safe step where the gradient explodes.

Clipping by norm shortens a gradient that is longer than max_norm, all parameters together. Its
direction stays. Clipping by value cuts each element off at a limit. That turns the gradient::

    by norm:   g   <- g min(1, max_norm / |g|)      optim.clip_grad_norm_
    by value:  g_i <- max(-limit, min(g_i, limit))  optim.clip_grad_value_

Two weights w and u show it: h_t = w h_{t-1} + u x_t, and L = (h_T - 1)^2 / 2. The second part
trains the ReLU network of `vanishing_exploding.py`, with and without clipping.

Pascanu, Mikolov and Bengio (2013), On the difficulty of training recurrent neural networks.
"""

from __future__ import annotations

import math
import signal
from typing import TYPE_CHECKING

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it at once, without a traceback

import numpy as np
from _figure import COLOURS, FAINT, TEXT, Say, run
from vanishing_exploding import in_powers_of_ten, train

import minigrad as mg
from minigrad import optim
from minigrad.files import program

if TYPE_CHECKING:
    from matplotlib.figure import Figure

X = (1.0, 0.5, 1.0, -0.5, 1.0, 1.0)
WEIGHTS = ((0.6, 1.0), (0.2, -1.0), (-0.8, 0.5), (-0.4, 0.5), (0.2, 0.5))


def gradient(w: float, u: float, clip: str = "", limit: float = 1.0) -> np.ndarray:
    """(dL/dw, dL/du), of the tape; clipped by "norm" or by "value"."""
    weights = mg.tensor([w, u], dtype="float64", requires_grad=True)
    h = mg.tensor(0.0, dtype="float64")
    for x_t in X:
        h = weights[0] * h + weights[1] * x_t
    (mg.square(h - 1.0) / 2).backward()
    if clip == "norm":
        optim.clip_grad_norm_([weights], limit)
    elif clip == "value":
        optim.clip_grad_value_([weights], limit)
    return weights.grad.numpy()


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Of the angle between two vectors: 1 if they have the same direction."""
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def figure(say: Say) -> Figure:
    """Draw clipped gradients of two weights, and training with and without clipping."""
    from matplotlib.patches import Circle, Rectangle

    from minigrad.viz.figures import dress, head, new_figure

    losses, norms = train(1.0)
    unclipped, _ = train(math.inf)
    blue, orange, _ = COLOURS[:3]
    picture = new_figure(9, 5.2, layout="constrained")
    mosaic = [["plane", "norm"], ["plane", "loss"]]
    panels = picture.subplot_mosaic(mosaic, width_ratios=[1.15, 1])
    plane = panels["plane"]

    edge = {"fill": False, "edgecolor": FAINT, "linewidth": 1}
    plane.add_patch(Circle((0, 0), 1, **edge))
    plane.add_patch(Rectangle((-1, -1), 2, 2, linestyle=":", **edge))
    for clip, colour, style, size, label in (
        ("", FAINT, "-", 0, say("gradient", "기울기")),
        ("value", orange, "--", 7, say("clipped by value: turned", "값 클리핑: 방향이 바뀐다")),
        (
            "norm",
            blue,
            "-",
            6,
            say("clipped by norm: same direction", "노름 클리핑: 방향은 그대로"),
        ),
    ):
        mark = {"marker": "s" if clip == "value" else "o", "markersize": size, "markevery": [1]}
        for n, weights in enumerate(WEIGHTS):
            x, y = gradient(*weights, clip)
            line = {"color": colour, "linestyle": style, "linewidth": 1.5 if clip else 1}
            plane.plot([0, x], [0, y], label=None if n else label, **line, **mark)
            if not clip:
                at = {"textcoords": "offset points", "ha": "center", "va": "center"}
                place = 12 * np.array([x, y]) / math.hypot(x, y)
                if math.hypot(x, y) > 1:
                    norm = f"{math.hypot(x, y):.2f}"
                    plane.annotate(norm, (x, y), place, fontsize=8.5, color=FAINT, **at)
    plane.set(xlim=(-3.9, 2.9), ylim=(-3.1, 3.4), aspect="equal")
    plane.set_xlabel(r"$\partial L/\partial w$", color=FAINT)
    plane.set_ylabel(r"$\partial L/\partial u$", color=FAINT)
    plane.legend(frameon=False, fontsize=8.5, labelcolor=TEXT, loc="upper left")
    title = "Gradients of two weights, limit 1", "가중치 두 개의 기울기, 임계값 1"
    head(plane, say(*title))

    panels["norm"].plot(norms, color=FAINT, linewidth=0.8, label=say("before", "클리핑 전"))
    after = np.minimum(norms, 1.0)
    panels["norm"].plot(after, color=blue, linewidth=1.6, label=say("after", "클리핑 후"))
    head(panels["norm"], say("norm of the gradient", "기울기의 노름"))
    panels["loss"].plot(losses, color=blue, linewidth=1, label=say("with clipping", "클리핑 있음"))
    blown_up = f"${in_powers_of_ten(unclipped[1])}$"
    label = say(f"without: {blown_up}, then NaN", f"클리핑 없음: {blown_up} 다음은 NaN")
    panels["loss"].plot(unclipped, "x--", color=orange, label=label)
    panels["loss"].set_ylim(0.03, 1e4)
    panels["loss"].set_xlabel(say("training step", "학습 단계"), color=FAINT)
    head(panels["loss"], say("loss (squared error)", "손실(제곱 오차)"))
    for name in ("norm", "loss"):
        panels[name].set_yscale("log")
        panels[name].legend(frameon=False, fontsize=8.5, labelcolor=TEXT, loc="upper right")
    for axes in panels.values():
        dress(axes)
        axes.minorticks_off()
    return picture


def main() -> None:
    """Print clipped gradients of two weights, and training with and without clipping."""
    print(__doc__.split("\n\n")[2] + "\n")  # the equations
    print("Gradients of w and u, clipped at 1; cos: of the angle to the gradient before.\n")
    print(f"{'':31}{'by norm':>16}{'by value':>23}")
    print("     w     u" + 2 * "   dL/dw  dL/du" + "   cos" + "   dL/dw  dL/du   cos")
    for w, u in WEIGHTS:
        g = gradient(w, u)
        line = f"{w:6.1f}{u:6.1f}{g[0]:8.2f}{g[1]:7.2f}"
        for clip in ("norm", "value"):
            clipped = gradient(w, u, clip)
            line += f"{clipped[0]:8.2f}{clipped[1]:7.2f}{cosine(clipped, g):6.2f}"
        print(line)

    runs = train(1.0), train(math.inf)
    print("\nTraining a ReLU network; |g| is the norm of all gradients before clipping:\n")
    print(f"{'with clipping at 1':>38}{'without':>23}")
    print(" step        loss       |g|    factor         loss         |g|")
    for step in (0, 1, 2, 3, 10, 50, 100, 200, 399):
        loss, norm = runs[0][:, step]
        line = f"{step:5d}{loss:12.3f}{norm:10.2f}{min(1.0, 1 / norm):10.4f}"
        if step < runs[1].shape[1]:
            line += "".join(f"{v:12.3g}" for v in runs[1][:, step])
        print(line)


if __name__ == "__main__":
    with program():
        run(main, figure)
