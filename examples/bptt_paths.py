"""Backpropagation through time as a sum over paths: dL/dW, each term with its number.

The loss at time t depends on W through every earlier step k: W makes h_k out of h_{k-1}, and from
h_k a path leads over h_{k+1} ... h_t to the loss L_t. The gradient is the sum over all of them::

    h_t = tanh(W h_{t-1} + U x_t),  L = sum_t L_t,  L_t = (h_t - y_t)^2 / 2
    dL/dW = sum_t sum_{k<=t} dL_t/dh_t (dh_t/dh_{t-1} ... dh_{k+1}/dh_k) dh_k/dW
    dL_t/dh_t = h_t - y_t,  dh_j/dh_{j-1} = (1 - h_j^2) W
    dh_k/dW   = (1 - h_k^2) h_{k-1}           with h_{k-1} held fixed

Here h is one number, so each factor and each term is a number too. The tape gives the terms: with
a copy of W for each step, the term (t, k) is the gradient of L_t for the copy of step k. Far from
the diagonal there are many factors below 1: the terms vanish.

Werbos (1990), Backpropagation through time: what it does and how to do it.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it at once, without a traceback

import numpy as np
from _figure import COLOURS, TEXT, Say, arrow, box, canvas, cells, number, run

import minigrad as mg
from minigrad.files import program

if TYPE_CHECKING:
    from matplotlib.figure import Figure

X, Y = np.array([1.0, 0.5, -0.5, 1.0]), np.array([0.5, -0.5, 0.5, 1.0])
W, U, H_0 = 0.8, 0.6, 0.5


def unroll(copies: list[mg.Tensor]) -> tuple[list[mg.Tensor], list[mg.Tensor]]:
    """h_0 ... h_T and L_1 ... L_T; step t uses ``copies[t - 1]`` as its W."""
    states, losses = [mg.tensor(H_0, dtype="float64")], []
    for W_t, x_t, y_t in zip(copies, X, Y, strict=True):
        states.append(mg.tanh(W_t * states[-1] + U * x_t))
        losses.append(mg.square(states[-1] - y_t) / 2)
    return states, losses


def terms() -> np.ndarray:
    """The term of each t (row) and k (column), by the tape; NaN where k > t: there is no path."""
    copies = [mg.tensor(W, dtype="float64", requires_grad=True) for _ in X]
    _, losses = unroll(copies)
    found = np.full((len(X), len(X)), np.nan)
    for t, L_t in enumerate(losses):
        gradients = mg.grad(L_t, copies[: t + 1], retain_graph=True)
        found[t, : t + 1] = [g.item() for g in gradients]
    return found


def factors() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each step, by the formula: dL_t/dh_t, dh_t/dh_{t-1}, and dh_t/dW with h_{t-1} fixed."""
    h = np.array([state.item() for state in unroll([mg.tensor(W, dtype="float64")] * len(X))[0]])
    slope = 1 - h[1:] ** 2
    return h[1:] - Y, slope * W, slope * h[:-1]


def gradient() -> float:
    """dL/dW of the one W that all steps share: one ordinary walk back."""
    shared = mg.tensor(W, dtype="float64", requires_grad=True)
    _, losses = unroll([shared] * len(X))
    sum(losses).backward()
    return float(shared.grad.item())


def figure(say: Say) -> Figure:
    """Draw the factors on the unrolled network, one path through it, and the terms."""
    from minigrad.viz.figures import head, new_figure

    T = len(X)
    states, _ = unroll([mg.tensor(W, dtype="float64")] * T)
    at_loss, along, at_weight = factors()
    found = terms()
    blue, _, green = COLOURS[:3]

    picture = new_figure(9, 7.6, layout="constrained")
    upper, lower = picture.subfigures(2, 1, height_ratios=[3.4, 4])
    axes = upper.subplots()
    canvas(axes, 13.2, 4.7)
    style = {"fontsize": 9, "va": "center"}
    xs = [1.0 + 2.8 * t for t in range(T + 1)]
    for t, x in enumerate(xs):  # the path from L_4 to the W of step 2 stands out
        text = f"$h_{t}$ = {states[t].item():.2f}"
        fill = "#fdebd9" if t >= 2 else "#eeeeee"
        box(axes, x, 2.3, text, strong=t >= 2, width=1.5, height=0.7, fill=fill)
        if t == 0:
            continue
        box(axes, x, 4.1, f"$L_{t}$", strong=t == T, width=0.9, height=0.6)
        box(axes, x, 0.5, "W", strong=t == 2, width=0.7, height=0.6)
        arrow(axes, (x, 3.8), (x, 2.65), strong=t == T)
        arrow(axes, (x - 0.75, 2.3), (xs[t - 1] + 0.75, 2.3), strong=t > 2)
        arrow(axes, (x, 1.95), (x, 0.8), strong=t == 2)
        axes.text(x + 0.12, 3.25, number(at_loss[t - 1]), color=blue, **style)
        axes.text(x - 1.4, 2.6, number(along[t - 1]), color=TEXT, ha="center", **style)
        axes.text(x + 0.12, 1.35, number(at_weight[t - 1]), color=green, **style)
    for y, colour, factor in (
        (1.35, blue, r"$\partial L_t/\partial h_t$"),
        (0.85, TEXT, r"$\partial h_t/\partial h_{t-1}$"),
        (0.35, green, r"$\partial h_t/\partial W$"),
    ):
        axes.text(0.25, y, factor, color=colour, **style)
    factors_of = [at_loss[-1], *along[:1:-1], at_weight[1]]
    product = " · ".join(number(factor, "{:.3f}") for factor in factors_of)
    path = f"{product} = {number(np.prod(factors_of), '{:.4f}')}"
    head(axes, say(
        f"One of the paths: from $L_4$ back to the W of step 2.  {path}",
        f"경로 하나: $L_4$에서 2단계의 W까지 거슬러 간다.  {path}",
    ))  # fmt: skip

    left, right = lower.subplots(1, 2, width_ratios=[3, 1.2])
    sums = np.nansum(found, axis=1)[:, None]
    limit = 1.5 * abs(sums).max()
    style = {"form": "{:+.4f}", "colours": "PuOr_r", "limits": (-limit, limit), "fontsize": 10}
    names = [f"$k = {k + 1}$" for k in range(T)], [f"$t = {t + 1}$" for t in range(T)]
    cells(left, found, *names, marked=[(T - 1, 1)], **style)
    head(left, say(
        "the terms:  row t is the path's loss, column k the step of its W",
        "각 항:  행 t는 경로가 시작하는 손실, 열 k는 W가 쓰인 단계",
    ))  # fmt: skip
    names = [say("sum over $k$", "$k$에 대한 합")], [f"$L_{t + 1}$" for t in range(T)]
    cells(right, sums, *names, **style)
    total = number(gradient(), "{:+.4f}")
    head(right, say(f"total = W.grad = {total}", f"전체 합 = W.grad = {total}"))
    return picture


def main() -> None:
    """Print the factors, the terms, and their sum beside the gradient."""
    print(__doc__.split("\n\n")[2] + "\n")  # the equations
    states, losses = unroll([mg.tensor(W, dtype="float64")] * len(X))
    print(f"W = {W}, U = {U}, h_0 = {H_0}. The factors of each step:\n")
    print("  t     x_t     y_t     h_t     L_t   dL_t/dh_t   dh_t/dh_{t-1}   dh_t/dW")
    rows = zip(X, Y, states[1:], losses, *factors(), strict=True)
    for t, (x, y, h, L, *three) in enumerate(rows):
        at_loss, along, at_weight = three
        print(
            f"{t + 1:3d}{x:8.2f}{y:8.2f}{h.item():8.3f}{L.item():8.3f}"
            f"{at_loss:12.4f}{along:16.4f}{at_weight:10.4f}"
        )
    found = terms()
    print("\nThe terms, by the tape:\n")
    print("  t" + "".join(f"{f'k = {k + 1}':>10}" for k in range(len(X))) + f"{'sum':>12}")
    for t, row in enumerate(found):
        cells_of = "".join(f"{v:10.5f}" if v == v else 10 * " " for v in row)
        print(f"{t + 1:3d}{cells_of}{np.nansum(row):12.5f}")
    print("sum" + "".join(f"{v:10.5f}" for v in np.nansum(found, 0)) + f"{np.nansum(found):12.5f}")
    print(f"\nW.grad, by one walk back: {gradient():.5f}")
    at_loss, along, at_weight = factors()
    factors_of = [at_loss[3], along[3], along[2], at_weight[1]]
    product = " * ".join(f"{factor:.4f}" for factor in factors_of)
    print("\nThe path from L_4 to the W of step 2, by the formula:")
    print(f"   {product} = {np.prod(factors_of):.5f}")


if __name__ == "__main__":
    with program():
        run(main, figure)
