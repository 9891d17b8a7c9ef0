"""Vanishing and exploding gradients: what many time steps do to a gradient, and what clipping does.

A recurrence multiplies by the same factor at every step, and so does its derivative. In a layer the
factor is W = W_hh = rnn.weight_hh_l0::

    h_t = w h_{t-1}        dh_T/dh_0 = w w ... w = w^T   (3 * 3 = 9)
    h_t = W h_{t-1}        dh_T/dh_t = W W ... W = W^(T-t)
    h_t = tanh(W h_{t-1})  dh_T/dh_t = product of diag(1 - h_s^2) W, t < s <= T
    clipping               g becomes g min(1, max_norm / |g|)

The norm of W^k behaves like r^k, where r is the spectral radius, the largest |eigenvalue|. With
r < 1 it vanishes, with r > 1 it explodes. The factors 1 - h^2 of tanh are at most 1 and make it
smaller. Clipping keeps the direction of a gradient and makes the step a safe one.

Pascanu, Mikolov and Bengio (2013), On the difficulty of training recurrent neural networks.
"""

from __future__ import annotations

import math
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it at once, without a traceback

import numpy as np
from _figure import COLOURS, FAINT, TEXT, Say, run

import minigrad as mg
from minigrad import nn, optim
from minigrad.files import program

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RADII = (0.5, 1.0, 1.5)
SIZE, STEPS_BACK = 16, 40


def scalar_gradient(w: float, T: int) -> float:
    """dh_T/dh_0 of h_t = w h_{t-1}, by the tape."""
    h = h_0 = mg.tensor(1.0, dtype="float64", requires_grad=True)
    for _ in range(T):
        h = w * h
    return float(mg.grad(h, h_0)[0].item())


def orthogonal(radius: float, rng: np.random.Generator, size: int = SIZE) -> np.ndarray:
    """A random rotation (or reflection) times `radius`: each |eigenvalue| is `radius`."""
    return radius * np.linalg.qr(rng.normal(size=(size, size)))[0]


def gaussian(radius: float, rng: np.random.Generator, size: int = SIZE) -> np.ndarray:
    """Independent normal elements, scaled so that the largest |eigenvalue| is `radius`."""
    W = rng.normal(size=(size, size))
    return W * (radius / abs(np.linalg.eigvals(W)).max())


def singular_values(
    W: np.ndarray, activation: Callable[[mg.Tensor], mg.Tensor] = mg.copy, T: int = STEPS_BACK
) -> np.ndarray:
    """Those of dh_T/dh_{T-k} for k = 0 ... T, the largest first: shape (T + 1, size).

    One walk back gives them all. The recurrence runs once for each row of the Jacobian, side by
    side; the i-th walks back from the i-th row of the identity, the gradient of element i of h_T.
    """
    h_0 = np.linspace(-1, 1, len(W))
    states = [mg.tensor(np.tile(h_0, (len(W), 1)), requires_grad=True)]
    for _ in range(T):
        states.append(activation(mg.linear(states[-1], W)))
    jacobians = mg.grad(states[-1], states, grad_outputs=np.eye(len(W)))
    return np.array([np.linalg.svd(J.numpy(), compute_uv=False) for J in reversed(jacobians)])


def jacobian_norms(
    W: np.ndarray, activation: Callable[[mg.Tensor], mg.Tensor] = mg.copy, T: int = STEPS_BACK
) -> list[float]:
    """The norm (largest singular value) of dh_T/dh_{T-k} for k = 0 ... T."""
    return singular_values(W, activation, T)[:, 0].tolist()


def all_norms(rng: np.random.Generator) -> dict[float, dict[str, list[float]]]:
    """`jacobian_norms` for each radius and kind of recurrence."""
    norms = {}
    for radius in RADII:
        Q = orthogonal(radius, rng)
        norms[radius] = {
            "orthog.": jacobian_norms(Q),
            "Gauss": jacobian_norms(gaussian(radius, rng)),
            "tanh": jacobian_norms(Q, mg.tanh),
        }
    return norms


class Memory(nn.Module):
    """A ReLU network of spectral radius 1.5, to recall the first of T inputs."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rnn = nn.RNN(1, SIZE, nonlinearity="relu", rng=rng)
        self.rnn.weight_hh_l0.data = orthogonal(1.5, rng)
        self.decoder = nn.Linear(SIZE, 1, rng=rng)

    def forward(self, x: np.ndarray) -> mg.Tensor:
        """Predictions of shape (N, 1) for `x` of shape (T, N, 1)."""
        return self.decoder(self.rnn(x)[1][0])


def train(max_norm: float, steps: int = 400, T: int = 20) -> np.ndarray:
    """The loss and the norm of the gradient (before clipping), shape (2, steps); ends at NaN."""
    rng = np.random.default_rng(0)
    model = Memory(rng)
    optimizer = optim.SGD(model.parameters(), lr=0.05)
    history: list[tuple[float, float]] = []
    with np.errstate(over="ignore", invalid="ignore"):  # without clipping, float32 overflows
        while len(history) < steps and not (history and math.isnan(history[-1][0])):
            x = rng.normal(size=(T, 32, 1)).astype(np.float32)
            optimizer.zero_grad()
            loss = mg.mse_loss(model(x), x[0])
            loss.backward()
            norm = optim.clip_grad_norm_(model.parameters(), max_norm)
            optimizer.step()
            history.append((loss.item(), norm.item()))
    return np.array(history).T


def clip_once(max_norm: float = 1.0) -> tuple[float, float, float]:
    """Of the first gradient of `Memory`: its norm before and after clipping, and their cosine."""
    rng = np.random.default_rng(0)
    model = Memory(rng)
    x = rng.normal(size=(20, 32, 1)).astype(np.float32)
    mg.mse_loss(model(x), x[0]).backward()
    before = np.concatenate([p.grad.numpy().ravel() for p in model.parameters()])
    optim.clip_grad_norm_(model.parameters(), max_norm)
    after = np.concatenate([p.grad.numpy().ravel() for p in model.parameters()])
    norms = float(np.linalg.norm(before)), float(np.linalg.norm(after))
    return *norms, float(before @ after) / math.prod(norms)


def log_plot(norms: list[list[float]], marks: str) -> str:
    """Each of `norms` with its mark: one row for two powers of ten, one column for one step."""
    rows = {f"1e{exponent:+03d}": [" "] * len(norms[0]) for exponent in range(8, -14, -2)}
    for values, mark in zip(norms, marks, strict=True):
        for k, value in enumerate(values):
            rows[f"1e{2 * round(math.log10(value) / 2):+03d}"][k] = mark
    lines = [f"{label:>8} |{''.join(row).rstrip()}" for label, row in rows.items()]
    axis = "".join(f"{k:<10d}" for k in range(0, len(norms[0]), 10)).rstrip()
    return "\n".join([*lines, f"{'':8} +{'-' * len(norms[0])}", f"{'k =':>8}  {axis}"])


def in_powers_of_ten(value: float) -> str:
    """A number as a formula."""
    digits, _, power = f"{value:.2g}".partition("e")
    return f"{digits} \\times 10^{{{int(power)}}}" if power else digits


def figure(say: Say) -> Figure:
    """Draw the powers of w, the norms of Jacobians, and what eigen- and singular values tell."""
    from minigrad.viz.figures import dress, head, new_figure

    picture = new_figure(9, 7.4, layout="constrained")
    (powers, jacobians), (plane, values) = picture.subplots(2, 2)
    blue, orange, _, _, yellow, light_blue, _ = COLOURS
    small = {"fontsize": 8.5, "textcoords": "offset points"}

    Ts = (0, 2, 10, 20, 50, 100)
    for w, colour in ((3.0, orange), (1.1, yellow), (1.0, TEXT), (0.9, light_blue), (0.5, blue)):
        gradients = [scalar_gradient(w, T) for T in Ts]
        powers.plot(Ts, gradients, "o-", color=colour, markersize=4)
        end = f"${w:g}^{{100}} = {in_powers_of_ten(gradients[-1])}$"
        powers.annotate(end, (100, gradients[-1]), xytext=(5, 0), color=TEXT, va="center", **small)
    shown = [f"3·3 = {scalar_gradient(3.0, 2):.0f}"]
    shown += [f"3{up} = {scalar_gradient(3.0, T):,.0f}" for T, up in ((10, "¹⁰"), (20, "²⁰"))]
    style = {"transform": powers.transAxes, "va": "top", "fontsize": 9, "color": orange}
    powers.text(0.04, 0.95, "\n".join(shown), linespacing=1.5, **style)
    powers.set_yscale("log")
    powers.set_xlim(-4, 148)
    powers.set_xticks([0, 20, 50, 100])
    powers.set_xlabel(say("time steps $T$", "시간 단계 수 $T$"), color=FAINT)
    head(powers, say("a scalar: ", "스칼라: ") + r"$\partial h_T/\partial h_0 = w \cdots w = w^T$")

    norms = all_norms(np.random.default_rng(0))
    kinds = {
        "orthog.": ("-", say("orthogonal W", "직교 행렬 W")),
        "Gauss": ("--", say("Gaussian W", "가우시안 행렬 W")),
        "tanh": (":", say("orthogonal W and tanh", "직교 행렬 W와 tanh")),
    }
    for radius, colour in zip(RADII, (blue, TEXT, orange), strict=True):
        for kind, (line, label) in kinds.items():
            shown = label if radius == 1.0 else None
            jacobians.plot(norms[radius][kind], line, color=colour, label=shown)
        end = STEPS_BACK, norms[radius]["orthog."][-1]
        jacobians.annotate(f"r = {radius}", end, xytext=(5, 0), color=colour, va="center", **small)
    jacobians.set_yscale("log")
    jacobians.set_xlim(0, STEPS_BACK + 6)
    jacobians.set_xlabel(say("steps back $k$", "거슬러 간 단계 수 $k$"), color=FAINT)
    jacobian = r"$\partial h_T/\partial h_{T-k}$"
    title = (
        f"a matrix of spectral radius r: the norm of {jacobian}",
        f"스펙트럼 반지름 r인 행렬: {jacobian}의 노름",
    )
    head(jacobians, say(*title))

    angle = np.linspace(0, 2 * math.pi, 200)
    plane.plot(np.cos(angle), np.sin(angle), color=FAINT, linewidth=1)
    for radius, colour, mark in zip(RADII, (blue, TEXT, orange), "vos", strict=True):
        eigenvalues = np.linalg.eigvals(gaussian(radius, np.random.default_rng(0)))
        label, x, y = f"r = {radius}", eigenvalues.real, eigenvalues.imag
        plane.plot(x, y, mark, color=colour, label=label, markersize=5)
    plane.set(xlim=(-1.95, 1.75), ylim=(-1.3, 1.3), aspect="equal")
    plane.set_xlabel(say("real part", "실수부"), color=FAINT)
    plane.set_ylabel(say("imaginary part", "허수부"), color=FAINT)
    head(plane, say("eigenvalues of Gaussian W, unit circle", "가우시안 행렬 W의 고윳값과 단위원"))

    W = gaussian(1.0, np.random.default_rng(0))
    lines = singular_values(W)
    names = say("singular values of $W^k$", "$W^k$의 특잇값"), r"$|\lambda_i|^k$"
    values.plot(lines, color=TEXT, linewidth=1.6, label=names[0])
    powers_of = abs(np.linalg.eigvals(W))[None] ** np.arange(STEPS_BACK + 1)[:, None]
    values.plot(powers_of, "--", color=orange, linewidth=1, label=names[1])
    values.set_yscale("log")
    values.set_ylim(1e-12, 1e4)
    values.set_xlim(0, STEPS_BACK + 6)
    values.set_xlabel(say("steps back $k$", "거슬러 간 단계 수 $k$"), color=FAINT)
    title = (
        "Gaussian W, r = 1: only the largest values stay",
        "가우시안 행렬 W, r = 1: 큰 값만 남는다",
    )
    head(values, say(*title))
    for axes in (jacobians, plane, values):
        handles, labels = axes.get_legend_handles_labels()
        once = dict(zip(labels, handles, strict=True))
        style = {"frameon": False, "fontsize": 8.5, "labelcolor": TEXT}
        place = {jacobians: "lower left", plane: "upper left", values: "upper right"}[axes]
        axes.legend(once.values(), once, loc=place, **style)
    for axes in (powers, jacobians, plane, values):
        dress(axes)
    return picture


def main() -> None:
    """Print the powers of w, the norms of Jacobians, and training with and without clipping."""
    print(__doc__.split("\n\n")[2] + "\n")  # the equations
    print(f"dh_T/dh_0 = w^T. Two steps, w = 3: dh_2/dh_0 = 3 * 3 = {scalar_gradient(3.0, 2):g}\n")
    ws = (0.5, 0.9, 1.0, 1.1, 1.5, 3.0)
    print("   T" + "".join(f"{f'w = {w:g}':>12}" for w in ws))
    for T in (2, 10, 50):
        print(f"{T:4d}" + "".join(f"{scalar_gradient(w, T):12.4g}" for w in ws))

    norms = all_norms(np.random.default_rng(0))
    print(f"\nThe norm of dh_T/dh_{{T-k}} = W^k, W a {SIZE} x {SIZE} matrix of spectral radius r\n")
    print("    " + " ".join(f"{f'r = {radius}':^24}" for radius in norms).rstrip())
    print("   k" + " ".join("".join(f"{kind:>8}" for kind in kinds) for kinds in norms.values()))
    for k in (1, 2, 5, 10, 20, 40):
        groups = (kinds.values() for kinds in norms.values())
        print(f"{k:4d}" + " ".join("".join(f"{v[k]:8.2g}" for v in group) for group in groups))
    print("\nThe norms of the orthogonal ones, with ^ for r = 1.5, - for 1.0 and v for 0.5:\n")
    print(log_plot([kinds["orthog."] for kinds in norms.values()], "v-^"))

    before, after, cosine = clip_once()
    print("\nA ReLU network with r = 1.5 learns to recall the first of 20 inputs.")
    print(f"Its first gradient g has the norm {before:.0f}. Clipped, g min(1, 1 / |g|) has")
    print(f"the norm {after:.3f} and the same direction (cosine {cosine:.3f}).\n")
    runs = train(math.inf), train(1.0)
    print(f"{'without clipping':>30}{'with clipping':>27}")
    print(" step" + 2 * f"{'loss':>13}{'|g|':>12}")
    for step in (0, 1, 2, 3, 10, 100, 200, 399):
        now = [run[:, step] if step < run.shape[1] else None for run in runs]
        cells = [f"{'-':>13}{'-':>12}" if v is None else f"{v[0]:13.3g}{v[1]:12.3g}" for v in now]
        print(f"{step:5d}{''.join(cells)}")
    print("\nA network that always says 0 has the loss 1.")


if __name__ == "__main__":
    with program():
        run(main, figure)
