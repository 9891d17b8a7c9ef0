"""Problems that only a memory of many time steps solves; their examples are drawn at random.

``adding``
    Each time step gives a number from [0, 1), and two of them are marked: one in each half. The
    answer is the sum of the two. Hochreiter and Schmidhuber, "Long short-term memory" (1997), in
    the form of Le, Jaitly and Hinton, "A simple way to initialize recurrent networks of rectified
    linear units" (2015).
``copying``
    Ten letters out of eight, T - 1 blanks, and a sign: then the ten letters are to be said again in
    their order, and before them blanks. Arjovsky, Shah and Bengio, "Unitary evolution recurrent
    neural networks" (2016).
``order``
    X or Y comes early on, X or Y comes again past the middle, and all else says nothing. The answer
    is which two there were, in their order: four classes. Hochreiter and Schmidhuber (1997),
    experiment 6a, with the places of Pascanu, Mikolov and Bengio, "On the difficulty of training
    recurrent neural networks" (2013).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

COPIED = 10
"""How many letters are to be copied."""

NEAR = 0.04
"""A sum is right if it is not further off: Hochreiter and Schmidhuber (1997)."""

LEAST = {"adding": 2, "copying": 1, "order": 10}
"""The smallest length of each problem."""

SYMBOLS = {"copying": "abcdefgh.?", "order": "EBXYabcd"}
"""What a time step gives. The blank is a dot, the sign a question mark. E is the first symbol of
temporal order, B the last, and the small letters say nothing."""

ANSWERS = {"copying": tuple("abcdefgh."), "order": ("XX", "XY", "YX", "YY")}
"""The classes that an answer is one of."""


@dataclass(frozen=True)
class Examples:
    """Sequences side by side, and the answers."""

    inputs: NDArray[np.float32]
    """Of shape (L, N, features): a number and its mark, or a one-hot vector."""

    targets: NDArray[Any]
    """The answers at the last K time steps, of shape (K, N): numbers, or classes."""

    def __len__(self) -> int:
        """N."""
        return int(self.inputs.shape[1])

    def some(self, which: NDArray[np.int64]) -> Examples:
        """The examples with these numbers."""
        return Examples(self.inputs[:, which], self.targets[:, which])


class MemoryProblem:
    """A problem of a given length.

    Parameters
    ----------
    name
        ``"adding"``, ``"copying"`` or ``"order"``.
    length
        T: how many time steps an example has. Of copying: how long a letter is to be kept, so that
        an example has T + 20.

    Attributes
    ----------
    features, outputs
        how many numbers a time step gives, and from how many an answer is made.
    numeric
        whether the answer is a number: its loss is the mean squared error. Otherwise it is one of
        `outputs` classes, and the loss is the cross-entropy in nats.
    everywhere
        whether an answer is asked for at each time step, not at the last alone.

    Raises
    ------
    ValueError
        if there is no such problem, or not of that length.
    """

    def __init__(self, name: str, length: int) -> None:
        if name not in LEAST:
            raise ValueError(f"problem must be one of {', '.join(LEAST)}, got {name!r:.40}")
        if length < LEAST[name]:
            raise ValueError(f"{name} needs a length of at least {LEAST[name]}, got {length}")
        self.name, self.length = name, length
        self.numeric, self.everywhere = name == "adding", name == "copying"
        self.features = 2 if self.numeric else len(SYMBOLS[name])
        self.outputs = 1 if self.numeric else len(ANSWERS[name])

    @property
    def steps(self) -> int:
        """How many time steps an example has."""
        return self.length + 2 * COPIED if self.name == "copying" else self.length

    def draw(self, count: int, rng: np.random.Generator) -> Examples:
        """`count` examples."""
        T, N, each = self.length, count, np.arange(count)
        if self.name == "adding":
            values = rng.random((T, N), dtype=np.float32)
            first, second = rng.integers(T // 2, size=N), rng.integers(T // 2, T, size=N)
            marks = np.zeros_like(values)
            marks[first, each] = marks[second, each] = 1
            sums = values[first, each] + values[second, each]
            return Examples(np.stack([values, marks], -1), sums[None])
        if self.name == "copying":
            blank = len(ANSWERS["copying"]) - 1
            targets = np.full((self.steps, N), blank)
            targets[-COPIED:] = rng.integers(blank, size=(COPIED, N))
            symbols = np.full_like(targets, blank)
            symbols[:COPIED], symbols[-COPIED - 1] = targets[-COPIED:], blank + 1
            return Examples(self._one_hot(symbols), targets)
        E, B, X, a = (SYMBOLS["order"].index(symbol) for symbol in "EBXa")
        symbols = rng.integers(a, self.features, size=(T, N))
        symbols[0], symbols[-1] = E, B
        kinds = rng.integers(2, size=(2, N))
        for kind, tenths in zip(kinds, (1, 5), strict=True):
            places = rng.integers(tenths * T // 10, (tenths + 1) * T // 10, size=N)
            symbols[places, each] = X + kind
        return Examples(self._one_hot(symbols), 2 * kinds[:1] + kinds[1:])

    def _one_hot(self, symbols: NDArray[np.int64]) -> NDArray[np.float32]:
        return np.eye(self.features, dtype=np.float32)[symbols]

    # ------------------------------------------------------------------ how good an answer is

    @property
    def baseline(self) -> float:
        """The expected loss of the best answers that remember nothing.

        Adding: always 1; the squared error is the variance of the sum of two numbers from [0, 1),
        1/6. Copying: blanks where they are due, and any of eight letters in the ten last of T + 20
        time steps, so 10 log 8 / (T + 20). Order: any of four classes, log 4.
        """
        if self.numeric:
            return 1 / 6
        guess = math.log(self._equal)
        return guess * (COPIED / self.steps if self.everywhere else 1)

    @property
    def baseline_right(self) -> float:
        """The expected share of right answers of the same: see `right`."""
        return 1 - (1 - NEAR) ** 2 if self.numeric else 1 / self._equal

    @property
    def _equal(self) -> int:
        """How many answers are equally likely: of copying, letters and not the blank."""
        return self.outputs - self.everywhere

    def right(self, outputs: NDArray[np.floating], targets: NDArray[Any]) -> NDArray[np.bool_]:
        """Which answers are right, of shape (K, N); of copying, the last ten letters alone.

        `outputs`: what a network gives, of shape (K, N, outputs).
        """
        if self.numeric:
            return np.asarray(np.abs(self.answers(outputs) - targets) < NEAR)
        right = np.asarray(self.answers(outputs) == targets)
        return right[-COPIED:] if self.everywhere else right

    # ------------------------------------------------------------------ as text

    def read(self, line: str) -> NDArray[np.float32]:
        """The inputs that a line stands for, of shape (L, 1, features).

        Of adding, numbers with blanks between, a star after each marked one: ``"0.3 0.5* 0.2*"``.
        Of the others, a symbol for each time step.

        Raises
        ------
        ValueError
            if the line stands for none.
        """
        if not line.strip():
            raise ValueError("expected an input, got none")
        if self.numeric:
            pairs = [(_number(word.removesuffix("*")), word.endswith("*")) for word in line.split()]
            return np.array(pairs, np.float32)[:, None]
        known = SYMBOLS[self.name]
        symbols = "".join(line.split())
        if unknown := sorted(set(symbols) - set(known)):
            raise ValueError(f"expected the symbols {known}, got {unknown[0]!r}")
        return self._one_hot(np.array([[known.index(symbol)] for symbol in symbols]))

    def written(self, inputs: NDArray[np.floating]) -> str:
        """A line that `read` makes such inputs of; their shape is (L, features)."""
        if self.numeric:
            return " ".join(f"{value:.2f}{'*' if mark else ''}" for value, mark in inputs.tolist())
        return "".join(SYMBOLS[self.name][symbol] for symbol in inputs.argmax(-1))

    def told(self, answers: NDArray[Any]) -> str:
        """Answers, as `Examples.targets` has them, as text; their shape is (K,).

        Of copying, the ten last.
        """
        if self.numeric:
            return f"{answers[0]:.3f}"
        return "".join(ANSWERS[self.name][each] for each in answers[-COPIED:].tolist())

    def answers(self, outputs: NDArray[np.floating]) -> NDArray[Any]:
        """What a network answers; `outputs` has the shape (..., outputs)."""
        return outputs[..., 0] if self.numeric else outputs.argmax(-1)

    def heard(self, answer: str, steps: int) -> NDArray[Any]:
        """The answers, of shape (K, 1), that `told` tells so of an input of so many time steps.

        Raises
        ------
        ValueError
            if it tells none so.
        """
        if self.numeric:
            return np.array([[_number(answer)]], np.float32)
        if self.everywhere and steps < COPIED:
            raise ValueError(f"expected at least {COPIED} time steps, got {steps}")
        known = ANSWERS[self.name]
        parts: Sequence[str] = answer if self.everywhere else [answer]
        if not set(parts) <= set(known) or (self.everywhere and len(parts) != COPIED):
            expected = f"{COPIED} of {''.join(known)}" if self.everywhere else ", ".join(known)
            raise ValueError(f"expected {expected} as the answer, got {answer!r:.40}")
        classes = [[known.index(part)] for part in parts]
        blanks = [[len(known) - 1]] * (steps - COPIED if self.everywhere else 0)
        return np.array(blanks + classes)


def _number(word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"expected a number, got {word!r:.40}")
    return value
