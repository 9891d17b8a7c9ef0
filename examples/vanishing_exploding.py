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

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it at once, without a traceback

import numpy as np

import minigrad as mg
from minigrad import nn, optim
from minigrad.files import program

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


def jacobian_norms(
    W: np.ndarray, activation: Callable[[mg.Tensor], mg.Tensor] = mg.copy, T: int = STEPS_BACK
) -> list[float]:
    """The norm (largest singular value) of dh_T/dh_{T-k} for k = 0 ... T.

    One walk back gives them all. The recurrence runs once for each row of the Jacobian, side by
    side; the i-th walks back from the i-th row of the identity, the gradient of element i of h_T.
    """
    h_0 = np.linspace(-1, 1, len(W))
    states = [mg.tensor(np.tile(h_0, (len(W), 1)), requires_grad=True)]
    for _ in range(T):
        states.append(activation(mg.linear(states[-1], W)))
    jacobians = mg.grad(states[-1], states, grad_outputs=np.eye(len(W)))
    return [float(np.linalg.norm(J.numpy(), 2)) for J in reversed(jacobians)]


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
        main()
