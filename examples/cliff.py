"""The cliff: why a recurrent network's gradient explodes, and what clipping saves it from.

A network of one unit without inputs runs for 50 steps, and learns to end at 0.7::

    h_t = w sigmoid(h_{t-1}) + b        h_0 = 0.5
    L   = (sigmoid(h_50) - 0.7)^2

Its loss over w and b has a wall. On one side h_t goes to a high fixed point, on the other to a low
one. Where it stands between the two, the derivative is a product of 50 factors that are larger than
1. A step of plain SGD from there leads far away, to where the gradient vanishes. A clipped step is
never longer than lr max_norm, and follows the foot of the wall to the minimum.

Pascanu, Mikolov and Bengio (2013), On the difficulty of training recurrent neural networks.
"""

from __future__ import annotations

import argparse
import math
import signal

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it at once, without a traceback

import numpy as np

import minigrad as mg
from minigrad import nn, optim
from minigrad.files import program

LR, MAX_NORM, START = 0.5, 0.05, (6.0, -2.5)


class OneUnit(nn.Module):
    """Called without inputs, it gives its loss."""

    def __init__(self, w: float, b: float) -> None:
        self.w, self.b = nn.Parameter(np.array(w)), nn.Parameter(np.array(b))

    def forward(self, T: int = 50) -> mg.Tensor:
        """The loss after `T` steps."""
        h = mg.tensor(0.5, dtype="float64")
        for _ in range(T):
            h = self.w * mg.sigmoid(h) + self.b
        return (mg.sigmoid(h) - 0.7) ** 2


def loss_and_norm(w: float, b: float) -> tuple[float, float]:
    """The loss at a point, and the norm of its gradient."""
    model = OneUnit(w, b)
    loss = model()
    loss.backward()
    return loss.item(), math.hypot(model.w.grad.item(), model.b.grad.item())


def wall(w: float) -> float:
    """The b at which the wall stands, found by halving."""
    low, high = -4.0, -1.0
    while high - low > 1e-12:
        b = (low + high) / 2
        low, high = (b, high) if loss_and_norm(w, b)[0] > 0.2 else (low, b)
    return high


def train(
    start: tuple[float, float], max_norm: float, steps: int
) -> tuple[list[dict[str, np.ndarray]], list[float]]:
    """The parameters before each step of SGD and after the last, and the norms of the gradients."""
    model = OneUnit(*start)
    optimizer = optim.SGD(model.parameters(), lr=LR)
    path, norms = [model.state_dict()], []
    for _ in range(steps):
        optimizer.zero_grad()
        model().backward()
        norms.append(optim.clip_grad_norm_(model.parameters(), max_norm).item())
        optimizer.step()
        path.append(model.state_dict())
    return path, norms


def save(path: str) -> None:
    """Draw the loss and both paths, as .png, .svg, .pdf, or as a page, .html."""
    from minigrad import viz

    paths = {
        "SGD": train(START, math.inf, 120)[0],
        f"SGD with clipping at {MAX_NORM}": train(START, MAX_NORM, 300)[0],
    }
    model = OneUnit(*START)
    viz.loss_surface(
        model, model, ("w", "b"), ranges=((3.5, 7), (-4, 1)), steps=61, paths=paths
    ).save(path)


def main() -> None:
    """Print the wall, a step from it with and without clipping, and training."""
    print(__doc__.split("\n\n")[2] + "\n")  # the equations
    w, edge = 6.0, wall(6.0)
    print(f"At w = {w:g} the wall stands at b = {edge:.6f}.\n")
    print(f"{'b - wall':>10}{'loss':>10}{'|gradient|':>14}")
    for away in (1, 0.1, 0.001, 1e-6, 0, -1e-6, -0.001, -0.1):
        loss, norm = loss_and_norm(w, edge + away)
        print(f"{away:10g}{loss:10.3f}{norm:14.4g}")

    print(f"\nOne step of SGD from the foot of the wall, lr = {LR:g}:\n")
    print(f"{'':24}{'w':>12}{'b':>12}{'loss':>10}{'|gradient|':>14}")
    for name, max_norm in (("without clipping", math.inf), (f"clipped at {MAX_NORM}", MAX_NORM)):
        w_1, b_1 = (float(x) for x in train((w, edge), max_norm, 1)[0][-1].values())
        loss, norm = loss_and_norm(w_1, b_1)
        print(f"{name:24}{w_1:12.5g}{b_1:12.5g}{loss:10.3f}{norm:14.4g}")
    print("\nWithout clipping sigmoid(h) is 1 from now on: the loss is 0.3^2 for ever.")

    print(f"\nTraining from w = {START[0]:g}, b = {START[1]:g}:\n")
    print(f"{'':24}{'largest |gradient|':>20}{'longest step':>16}{'steps':>8}")
    for name, max_norm, steps in (
        ("without clipping", math.inf, 120),
        (f"clipped at {MAX_NORM}", MAX_NORM, 300),
    ):
        path, norms = train(START, max_norm, steps)
        points = np.array([[x.item() for x in point.values()] for point in path])
        longest = np.linalg.norm(np.diff(points, axis=0), axis=1).max()
        print(f"{name:24}{max(norms):20.4g}{longest:16.4g}{steps:8d}")


if __name__ == "__main__":
    with program():
        parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
        parser.add_argument("--save", metavar="FILE", help="draw it: .png, .svg, .pdf or .html")
        options = parser.parse_args()
        main() if options.save is None else save(options.save)
