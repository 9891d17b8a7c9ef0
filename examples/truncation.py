"""Truncated BPTT: windows of k steps; the state is carried on, the gradient is cut off.

Full BPTT keeps the whole text on the tape, until it walks back. Truncated BPTT walks back after
every k steps. The next window goes on from the state, but without its tape::

    window j:  steps (j-1) k + 1 ... j k, from h = h_{(j-1) k}.detach()
    full:      dL/dW = sum over the paths from each L_t to the W of each s <= t
    truncated: only the paths with t and s in the same window

The tape of a window holds what k steps need, however long the text is. A large k is no slower per
step: on the contrary, k = 1 pays Python's costs for each character. What is lost are the paths
that cross an edge. The state itself crosses it: without that, each window would start knowing
nothing.

Williams and Peng (1990), An efficient gradient-based algorithm for on-line training of recurrent
network trajectories.
"""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, NamedTuple

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it at once, without a traceback

import numpy as np
from _figure import COLOURS, FAINT, TEXT, Say, arrow, box, canvas, run

import minigrad as mg
from minigrad import nn, optim, training
from minigrad.data import Vocabulary
from minigrad.files import program
from minigrad.viz.reading import read

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TEXT_READ = "경마장에 있는 말이 뛰고 있다. 그의 말이 법이다. 가는 말이 고와야 오는 말이 곱다. " * 4
VOCABULARY = Vocabulary.from_text(TEXT_READ)
WINDOWS = (1, 2, 4, 8, 16, 32, 64, 128)


class CharRNN(nn.Module):
    """Ids of characters in; at each time step the logits of the next character out."""

    def __init__(self, hidden_size: int = 64, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.embedding = nn.Embedding(len(VOCABULARY), 16, rng=rng)
        self.rnn = nn.RNN(16, hidden_size, rng=rng)
        self.decoder = nn.Linear(hidden_size, len(VOCABULARY), rng=rng)

    def forward(
        self, ids: np.ndarray, state: mg.Tensor | None = None
    ) -> tuple[mg.Tensor, mg.Tensor]:
        """Logits of shape (T, vocab_size), and the state to go on from; `ids` of shape (T,)."""
        output, state = self.rnn(self.embedding(ids), state)
        return self.decoder(output), state


def inputs_and_targets() -> tuple[np.ndarray, np.ndarray]:
    """The ids of all characters but the last, and of all but the first."""
    ids = VOCABULARY.encode(TEXT_READ)
    return ids[:-1], ids[1:]


def total(logits: mg.Tensor, targets: np.ndarray) -> mg.Tensor:
    """The loss of all steps together, in nats: windows add up."""
    return mg.cross_entropy(logits, targets, reduction="sum")


class Cost(NamedTuple):
    """What windows of one length cost and give."""

    kept: int  # bytes that the tape of one window keeps for its walk back
    seconds: float  # to go through the text once, forward and back
    cosine: float  # of the angle between the gradient and that of full BPTT


def bytes_kept(model: CharRNN, k: int) -> int:
    """What the tape keeps for a window of `k` steps: each array once, without the parameters."""
    inputs, targets = inputs_and_targets()
    loss = total(model(inputs[:k])[0], targets[:k])
    saved = [saved for entry in read(loss) for saved in entry.saved if saved.memory]
    parameters = [s for s in saved if s.source is not None and s.source.kind == "parameter"]
    own = {s.memory: s.nbytes for s in saved if s not in parameters}
    return sum(own.values())


def gradient(model: CharRNN, k: int) -> np.ndarray:
    """That of the whole text by windows of `k` steps, the state carried; all parameters in one."""
    model.zero_grad()
    for _ in training.truncated_bptt(model, total, *inputs_and_targets(), k1=k):
        pass  # each window adds to .grad
    return np.concatenate([p.grad.numpy().ravel() for p in model.parameters()])


def cost(model: CharRNN, k: int, repeats: int = 3) -> Cost:
    """What windows of `k` steps cost; the time is the shortest of some passes."""
    full, times = gradient(model, len(TEXT_READ)), []
    for _ in range(repeats):
        began = time.perf_counter()
        g = gradient(model, k)
        times.append(time.perf_counter() - began)
    cosine = float(g @ full / np.linalg.norm(g) / np.linalg.norm(full))
    return Cost(bytes_kept(model, k), min(times), cosine)


def train(model: CharRNN, k: int = 14, epochs: int = 25) -> list[float]:
    """Train on windows of `k` steps, the state carried; the loss of each epoch, per character."""
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    inputs, targets = inputs_and_targets()
    history = []
    for _ in range(epochs):
        state, losses = None, []
        for start in range(0, len(inputs), k):
            here = slice(start, start + k)
            optimizer.zero_grad()
            logits, state = model(inputs[here], state)
            loss = total(logits, targets[here])
            (loss / k).backward()
            optimizer.step()
            state = state.detach()  # its numbers go on, its tape does not
            losses.append(loss.item())
        history.append(sum(losses) / len(inputs))
    return history


def loss_by_place(model: CharRNN, k: int, carry_state: bool) -> np.ndarray:
    """The mean loss at the places 1 ... k of a window, over all windows of the text."""
    inputs, targets = inputs_and_targets()
    losses, state = [], None
    with mg.no_grad():
        for start in range(0, len(inputs) - k + 1, k):
            here = slice(start, start + k)
            logits, state = model(inputs[here], state if carry_state else None)
            losses.append(mg.cross_entropy(logits, targets[here], reduction="none").numpy())
    return np.mean(losses, axis=0)


def figure(say: Say) -> Figure:
    """Draw three windows, what they cost, and what the carried state is for."""
    from matplotlib.ticker import LogLocator

    from minigrad.viz.figures import dress, head, new_figure

    model = CharRNN()
    costs = [cost(model, k) for k in WINDOWS]
    train(model)
    blue, orange, *_ = COLOURS

    picture = new_figure(9, 6.2, layout="constrained")
    upper, lower = picture.subfigures(2, 1, height_ratios=[2.9, 3.3])
    axes = upper.subplots()
    k, windows = 4, 3
    canvas(axes, 13.4, 3.4)
    for t in range(k * windows):
        x = 0.75 + 1.05 * t + 0.3 * (t // k)
        box(axes, x, 1.5, f"$h_{{{t + 1}}}$", fill="#eeeeee", width=0.62, height=0.55)
        box(axes, x, 2.75, f"$L_{{{t + 1}}}$", width=0.62, height=0.5)
        arrow(axes, (x, 1.78), (x, 2.5))
        edge = t % k == 0
        if t:
            gap = 1.05 + 0.3 * edge
            arrow(axes, (x - gap + 0.31, 1.5), (x - 0.31, 1.5), blue)
            if not edge:
                arrow(axes, (x - 0.12, 1.2), (x - gap + 0.12, 1.2), orange, curve=-0.35)
            else:
                axes.plot([x - gap / 2] * 2, [0.3, 3.3], "--", color=TEXT, linewidth=1)
    style = {"fontsize": 9.5, "va": "center"}
    axes.text(
        0.4,
        0.55,
        say("→ the state goes on over the edge", "→ 은닉 상태는 경계를 넘어 이어진다"),
        color=blue,
        **style,
    )
    axes.text(
        5.2,
        0.55,
        say("← the gradient ends at it", "← 기울기는 경계에서 끊긴다"),
        color=orange,
        **style,
    )
    axes.text(9.6, 0.55, say("¦ the edge: h.detach()", "¦ 경계: h.detach()"), color=TEXT, **style)
    head(axes, say(
        f"Windows of k = {k} steps: truncated backpropagation through time",
        f"절단된 BPTT(truncated BPTT): 길이 k = {k}인 창(window)마다 역전파를 끊는다",
    ))  # fmt: skip

    memory, seconds, places = lower.subplots(1, 3)
    memory.plot(WINDOWS, [c.kept / 1000 for c in costs], "o-", color=orange, markersize=4)
    head(memory, say("kB that a window's tape keeps", "창 하나의 테이프가 보관하는 값(kB)"))
    seconds.plot(WINDOWS, [1000 * c.seconds for c in costs], "o-", color=orange, markersize=4)
    head(seconds, say("ms forward and back through the text", "글 전체를 한 번 학습하는 시간(ms)"))
    for axes in (memory, seconds):
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
        axes.set_xticks(WINDOWS, [str(k) for k in WINDOWS])
        axes.set_xlabel(say("window length k", "창의 길이 k"), color=FAINT)
    k = 8
    at = range(1, k + 1)
    for carry_state, colour, style, label in (
        (True, blue, "o-", say("state carried", "상태를 이어받음")),
        (False, orange, "s--", say("state 0 at each edge", "경계마다 상태 0")),
    ):
        line = loss_by_place(model, k, carry_state)
        places.plot(at, line, style, color=colour, markersize=4, label=label)
    places.set_xlabel(say(f"place in a window of {k}", f"길이 {k}인 창 안의 위치"), color=FAINT)
    places.set_xticks(at)
    places.set_ylim(-0.05, 1.3 * max(line))
    places.legend(frameon=False, fontsize=8.5, labelcolor=TEXT)
    head(places, say("loss in nats, trained model", "학습된 모델의 손실(nat)"))
    for axes in (memory, seconds, places):
        dress(axes)
    return picture


def main() -> None:
    """Print what windows cost, how far their gradient is off, and what the state is for."""
    print(__doc__.split("\n\n")[2] + "\n")  # the equations
    model = CharRNN()
    print(
        f"A text of {len(TEXT_READ) - 1} steps, read in windows of k steps. On the tape: the bytes"
    )
    print("that one window keeps. Cosine: of the gradient with that of full BPTT.\n")
    print(f"{'k':>5}{'on the tape':>14}{'for the text':>15}{'cosine':>10}")
    for k in (*WINDOWS, len(TEXT_READ) - 1):
        kept, seconds, cosine = cost(model, k)
        print(f"{k:5d}{kept:12,} B{1000 * seconds:12.1f} ms{cosine:10.4f}")
    before, *_, after = train(model)
    print(
        f"\nTrained on windows of 14 steps: the loss falls from {before:.2f} to {after:.2f} nats."
    )
    print("Then the loss at each place in a window of 8:\n")
    print("   place          " + "".join(f"{place:7d}" for place in range(1, 9)))
    for carry_state, name in ((True, "state carried"), (False, "state 0")):
        losses = loss_by_place(model, 8, carry_state)
        print(f"   {name:15}" + "".join(f"{loss:7.2f}" for loss in losses))


if __name__ == "__main__":
    with program():
        run(main, figure)
