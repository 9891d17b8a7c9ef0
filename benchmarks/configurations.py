"""What the peers train: sizes, initial parameters and data, the same for all of them.

C1 is a character RNN as in Karpathy's min-char-rnn, C2 a larger one in batches, C3 a small word
LSTM, C4 and C5 the small and the medium LSTM of Zaremba, Sutskever and Vinyals, "Recurrent neural
network regularization" (2014), without dropout. C4-GRU is C4 with another cell. "classifier" reads
sentences of different lengths in both directions. C6 is the large LSTM of Zaremba et al., for GPUs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

GATES = {"rnn": 1, "gru": 3, "lstm": 4}


@dataclass(frozen=True)
class Configuration:
    """A model, its data, and how it is trained: SGD, the gradients clipped to a global norm."""

    name: str
    cell: str  # "rnn", "lstm" or "gru"
    V: int  # tokens in the vocabulary
    D: int  # length of an embedding
    H: int  # hidden units of a layer
    L: int  # layers
    T: int  # time steps of a window; of a classifier the longest sequence
    N: int  # sequences in a batch
    classes: int = 0  # of a classifier, which is bidirectional; 0: a language model
    lr: float = 1.0
    clip: float = 0.25

    @property
    def task(self) -> str:
        """What a peer has to be able to do."""
        return "classifier" if self.classes else self.cell

    def __str__(self) -> str:
        """The sizes in one line."""
        kind = (
            f"bidirectional {self.cell.upper()} classifier" if self.classes else self.cell.upper()
        )
        sizes = f"V={self.V:,} D={self.D} H={self.H} T={self.T:,} N={self.N}"
        return f"{kind}, {self.L} layer{'s' * (self.L > 1)}, {sizes}"

    def tiny(self) -> Configuration:
        """The same kind of model, trained in a millisecond; a large vocabulary stays large."""
        return replace(self, V=min(self.V, 1000), D=5, H=6, T=4, N=3)


CONFIGURATIONS = {
    c.name: c
    for c in (
        Configuration("C1", "rnn", V=65, D=64, H=128, L=1, T=25, N=1),
        Configuration("C2", "rnn", V=65, D=64, H=256, L=1, T=64, N=32),
        Configuration("C3", "lstm", V=10_000, D=100, H=100, L=1, T=35, N=20),
        Configuration("C4", "lstm", V=10_000, D=200, H=200, L=2, T=20, N=20),
        Configuration("C4-GRU", "gru", V=10_000, D=200, H=200, L=2, T=20, N=20),
        Configuration("C5", "lstm", V=10_000, D=650, H=650, L=2, T=35, N=20),
        Configuration("classifier", "lstm", V=10_000, D=128, H=128, L=2, T=100, N=32, classes=10),
    )
}
LARGE = Configuration("C6", "lstm", V=10_000, D=1500, H=1500, L=2, T=35, N=20)
ON_GPUS = {"C4": CONFIGURATIONS["C4"], "C5": CONFIGURATIONS["C5"], "C6": LARGE}


def initial_parameters(c: Configuration) -> dict[str, np.ndarray]:
    """Named and laid out as in PyTorch, whose second bias of each layer is zero and stays it."""
    rng = np.random.default_rng(0)

    def evenly(*shape: int) -> np.ndarray:
        values = rng.random(shape, np.float32)
        values -= np.float32(0.5)
        values *= np.float32(0.2)
        return values

    parameters = {"embedding.weight": evenly(c.V, c.D)}
    directions, rows = ("", "_reverse") if c.classes else ("",), GATES[c.cell] * c.H
    for layer in range(c.L):
        for direction in directions:
            name = f"_l{layer}{direction}"
            size = len(directions) * c.H if layer else c.D
            parameters[f"recurrent.weight_ih{name}"] = evenly(rows, size)
            parameters[f"recurrent.weight_hh{name}"] = evenly(rows, c.H)
            parameters[f"recurrent.bias_ih{name}"] = evenly(rows)
            parameters[f"recurrent.bias_hh{name}"] = np.zeros(rows, np.float32)
    outputs = c.classes or c.V
    return parameters | {"output.weight": evenly(outputs, c.H), "output.bias": evenly(outputs)}


def batches(c: Configuration, count: int = 8) -> list[tuple[np.ndarray, ...]]:
    """What one training step after the other is given, in int64; the last is followed by the first.

    Tokens are distributed by Zipf's law, as words are. A language model is given (x, y) of shape
    (T, N), y being the token after each of x, and a batch goes on where the one before ended. A
    classifier is given (x, y, lengths), y and lengths of shape (N,); the lengths are drawn evenly
    from T / 10 to T.
    """
    rng = np.random.default_rng(1)
    shares = 1 / np.arange(1, c.V + 1)
    tokens = rng.choice(c.V, (count * c.T + 1, c.N), p=shares / shares.sum())
    windows = [tokens[i * c.T : (i + 1) * c.T + 1] for i in range(count)]
    if not c.classes:
        return [(window[:-1].copy(), window[1:].copy()) for window in windows]
    data = []
    for window in windows:
        lengths = rng.integers(max(1, c.T // 10), c.T, c.N, endpoint=True)
        data.append((window[: lengths.max()].copy(), rng.integers(c.classes, size=c.N), lengths))
    return data
