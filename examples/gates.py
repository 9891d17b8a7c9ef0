"""Why LSTM and GRU keep the gradient: a state that is carried on, not made anew.

A plain RNN makes its state anew at each step, by a product with W_hh and a tanh. LSTM and GRU
multiply each element of the old state by a gate between 0 and 1, and add something to it::

    RNN   h_t = tanh(Wx + W_hh h_{t-1})     dh_t/dh_{t-1} = diag(1 - h_t^2) W_hh
    LSTM  c_t = f_t c_{t-1} + i_t g_t       dc_t/dc_{t-1} = diag(f_t) + ...
    GRU   h_t = z_t h_{t-1} + (1 - z_t) n_t dh_t/dh_{t-1} = diag(z_t) + ...

The dots are the ways over the gates and g_t or n_t. Along the direct way a gradient is multiplied
by f_t (or z_t) alone: no matrix, no tanh. A gate near 1 keeps it for many steps. A gate of 1/2, as
with zero biases, loses it within ten. So the bias of the forget gate begins large: sigmoid(3) is
0.95. (GRU papers write 1 - z for this z.)

Hochreiter and Schmidhuber (1997), Long short-term memory; Gers, Schmidhuber and Cummins (2000),
Learning to forget; Jozefowicz, Zaremba and Sutskever (2015), An empirical exploration of recurrent
network architectures.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any, NamedTuple

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it at once, without a traceback

import numpy as np
from _figure import COLOURS, FAINT, TEXT, Say, run

import minigrad as mg
from minigrad import nn
from minigrad.files import program

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FEATURES, HIDDEN, T = 8, 32, 100


class Run(NamedTuple):
    """What a network did over T steps."""

    norms: np.ndarray  # of the gradient for the carried state, k = 0 ... T steps before the end
    direct: np.ndarray  # the same along the direct way alone: through the gates
    gates: np.ndarray  # f_t or z_t, shape (T, HIDDEN); of an RNN the slopes 1 - h_t^2


def carried(cell: nn.Module, state: mg.Tensor | tuple[mg.Tensor, mg.Tensor]) -> mg.Tensor:
    """The state that is carried on: c of an LSTM, else h."""
    return state[1] if isinstance(cell, nn.LSTMCell) else state


def gate_of(cell: nn.Module, x: np.ndarray, h: mg.Tensor, after: mg.Tensor) -> np.ndarray:
    """What the direct way multiplies by: f of an LSTM, z of a GRU, 1 - h^2 of an RNN."""
    if isinstance(cell, nn.RNNCell):
        return 1 - after.numpy() ** 2
    rows = slice(HIDDEN, 2 * HIDDEN)  # the second gate of each: i f g o, and r z n
    from_x = mg.linear(x, cell.weight_ih[rows], cell.bias_ih[rows])
    from_h = mg.linear(h, cell.weight_hh[rows], cell.bias_hh[rows])
    return mg.sigmoid(from_x + from_h).numpy()


def follow(kind: type, gate_bias: float = 0.0, orthogonal: bool = False) -> Run:
    """Run a cell with random weights over T random inputs, and walk back from its last output.

    Parameters
    ----------
    kind
        `nn.RNNCell`, `nn.LSTMCell` or `nn.GRUCell`.
    gate_bias
        added to the bias of the forget gate f, or of z.
    orthogonal
        whether W_hh of an RNN is orthogonal: the best for its gradient.
    """
    rng = np.random.default_rng(0)
    cell = kind(FEATURES, HIDDEN, rng=rng, dtype="float64")
    if orthogonal:
        cell.weight_hh.data = np.linalg.qr(rng.normal(size=(HIDDEN, HIDDEN)))[0]
    if gate_bias:
        cell.bias_hh.data[HIDDEN : 2 * HIDDEN] += gate_bias
    x = rng.normal(size=(T, FEATURES))
    zero = mg.zeros(HIDDEN, dtype="float64", requires_grad=True)
    state = (zero, zero * 1) if kind is nn.LSTMCell else zero
    states, gates = [carried(cell, state)], []
    for x_t in x:
        h = state[0] if kind is nn.LSTMCell else state
        state = cell(x_t, state)
        states.append(carried(cell, state))
        gates.append(gate_of(cell, x_t, h, states[-1]))
    direction = rng.normal(size=HIDDEN)  # the gradient that comes to the last state
    start = direction / np.linalg.norm(direction)
    gradients = mg.grad(states[-1], states, grad_outputs=start)
    norms = np.array([np.linalg.norm(g.numpy()) for g in reversed(gradients)])
    products = np.cumprod([np.ones(HIDDEN), *reversed(gates)], axis=0)
    return Run(norms, np.linalg.norm(start * products, axis=1), np.array(gates))


def runs() -> dict[str, Run]:
    """Each network by its name."""
    return {
        "RNN": follow(nn.RNNCell),
        "RNN orth.": follow(nn.RNNCell, orthogonal=True),
        "LSTM": follow(nn.LSTMCell),
        "LSTM +3": follow(nn.LSTMCell, 3.0),
        "GRU": follow(nn.GRUCell),
        "GRU +3": follow(nn.GRUCell, 3.0),
    }


def figure(say: Say) -> Figure:
    """Draw how the gradient goes back, how much of it is the direct way, and the gates."""
    from minigrad.viz.figures import dress, head, new_figure

    blue, orange, green = COLOURS[:3]
    found = runs()
    labels = {
        "RNN": say("RNN, random $W_{hh}$", "RNN, 무작위 행렬 $W_{hh}$"),
        "RNN orth.": say("RNN, orthogonal $W_{hh}$", "RNN, 직교 행렬 $W_{hh}$"),
        "LSTM": say("LSTM, forget bias 0", "LSTM, 망각 게이트 편향 0"),
        "LSTM +3": say("LSTM, forget bias 3", "LSTM, 망각 게이트 편향 3"),
        "GRU": say("GRU, bias of z 0", "GRU, z의 편향 0"),
        "GRU +3": say("GRU, bias of z 3", "GRU, z의 편향 3"),
    }
    looks = {"RNN": (TEXT, ""), "LSTM": (blue, "s"), "GRU": (green, "o")}

    def line(name: str) -> dict[str, Any]:
        colour, marker = looks[name.split()[0]]
        style = "-" if " " in name else "--"
        mark = {"marker": marker, "markevery": 20, "markersize": 5}
        return {"color": colour, "linestyle": style, "label": labels[name], **mark}

    picture = new_figure(9, 6.6, layout="constrained")
    mosaic = [["norms", "norms"], ["direct", "gates"]]
    panels = picture.subplot_mosaic(mosaic, height_ratios=[1.25, 1])
    steps = np.arange(T + 1)
    for name in labels:
        panels["norms"].plot(steps, found[name].norms, **line(name))
    panels["norms"].set_ylim(1e-34, 30)
    panels["norms"].legend(frameon=False, fontsize=9, labelcolor=TEXT, loc="lower left")
    head(panels["norms"], say(
        r"norm of $\partial L/\partial c_{T-k}$ (LSTM) or $\partial L/\partial h_{T-k}$ (RNN, GRU)",
        r"$\partial L/\partial c_{T-k}$ (LSTM), $\partial L/\partial h_{T-k}$ (RNN, GRU)의 노름",
    ))  # fmt: skip
    for name in ("LSTM", "LSTM +3"):
        panels["direct"].plot(steps, found[name].norms, **line(name))
        panels["direct"].plot(steps, found[name].direct, ":", color=orange, linewidth=2.2)
    gates_alone = say("product of the gates alone", "게이트만 곱한 값")
    panels["direct"].plot([], [], ":", color=orange, linewidth=2.2, label=gates_alone)
    panels["direct"].legend(frameon=False, fontsize=8.5, labelcolor=TEXT, loc="lower left")
    panels["direct"].set_ylim(1e-34, 30)
    head(
        panels["direct"],
        say("LSTM: how much of it goes the direct way", "LSTM: 셀 상태로 곧장 흐르는 기울기"),
    )
    for name in ("norms", "direct"):
        panels[name].set_yscale("log")
        panels[name].set_xlim(0, T)
        panels[name].set_xlabel(say("steps back $k$", "거슬러 간 단계 수 $k$"), color=FAINT)
    edges = np.linspace(0, 1, 41)
    for name in ("LSTM", "LSTM +3", "GRU", "GRU +3"):
        share = np.histogram(found[name].gates, edges)[0] / found[name].gates.size
        middles = (edges[1:] + edges[:-1]) / 2
        panels["gates"].plot(middles, 100 * share, **line(name) | {"markevery": share > 0.03})
    panels["gates"].set_xlabel(say("value of the gate", "게이트의 값"), color=FAINT)
    head(
        panels["gates"],
        say("forget gates $f_t$ and $z_t$, in %", "망각 게이트 $f_t$와 $z_t$의 분포(%)"),
    )
    for axes in panels.values():
        dress(axes)
    return picture


def main() -> None:
    """Print the gradient at some steps back, and the gates."""
    print(__doc__.split("\n\n")[2] + "\n")  # the equations
    found = runs()
    print(f"{HIDDEN} units, random weights and inputs. The gradient 1 comes to the state at T; its")
    print("norm k steps before. RNN orth.: W_hh is orthogonal, the best for the gradient.")
    print("+3: the bias of the forget gate f, or of z, is 3 larger.\n")
    print("   k" + "".join(f"{name:>11}" for name in found))
    for k in (0, 1, 2, 5, 10, 20, 50, 100):
        print(f"{k:4d}" + "".join(f"{run.norms[k]:11.2g}" for run in found.values()))
    print("\nThe same along the direct way alone (of the RNN: without W_hh):\n")
    print("   k" + "".join(f"{name:>11}" for name in found))
    for k in (1, 10, 100):
        print(f"{k:4d}" + "".join(f"{run.direct[k]:11.2g}" for run in found.values()))
    print("\nThe gates (of the RNN: the slopes 1 - h^2 of its tanh):\n")
    for name, values in (("mean", np.mean), ("min", np.min), ("max", np.max)):
        print(f"{name:4}" + "".join(f"{values(run.gates):11.2f}" for run in found.values()))


if __name__ == "__main__":
    with program():
        run(main, figure)
