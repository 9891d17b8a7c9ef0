"""All that a training run is a function of, and the optimiser and schedule that follow from it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from minigrad.data.vocabulary import Level
from minigrad.optim import SGD, Adam, LambdaLR, Optimizer
from models.rnnlm import RNNLM

LEARNING_RATES = {"adam": 0.006, "sgd": 1.0}
"""What to begin with where no learning rate is given."""


@dataclass(frozen=True)
class Settings:
    """The settings of a run; ``python -m models train --help`` explains each.

    The defaults train a model of characters on half a million of them, in a minute or two.
    """

    text: str
    level: Level = "char"
    min_count: int | None = None
    max_vocab: int | None = None
    cell: str = "gru"
    embedding_size: int = 64
    hidden_size: int = 320
    layers: int = 1
    dropout: float = 0.1
    tied: bool = False
    bptt: int = 64
    batch_size: int = 24
    epochs: int | None = None
    steps: int | None = 1200
    optimizer: str = "adam"
    lr: float | None = None
    schedule: str = "cosine"
    clip: float = 1.0
    seed: int = 0
    eval_every: int | None = None
    samples: int = 4

    @property
    def learning_rate(self) -> float:
        """The largest learning rate of the run."""
        return LEARNING_RATES[self.optimizer] if self.lr is None else self.lr

    @property
    def unit(self) -> str:
        """What the tokens are called."""
        return "characters" if self.level == "char" else "words"

    def total_steps(self, length: int) -> int:
        """How many steps there are in all, with streams of so many tokens."""
        return self.steps or (self.epochs or 1) * math.ceil((length - 1) / self.bptt)

    def make_optimizer(self, model: RNNLM) -> Optimizer:
        """The optimiser of the model's parameters."""
        kind = SGD if self.optimizer == "sgd" else Adam
        return kind(model.parameters(), lr=self.learning_rate)

    def make_schedule(self, optimizer: Optimizer, total: int) -> LambdaLR:
        """How the learning rate goes over `total` steps.

        ``"cosine"``: up in 50 steps (or a tenth of all), then along half a cosine down to 2 %;
        ``"constant"``: as it is.
        """
        rise = min(50, total // 10)

        def share(step: int) -> float:
            if self.schedule == "constant":
                return 1.0
            if step < rise:
                return (step + 1) / rise
            return 0.51 + 0.49 * math.cos(math.pi * (step - rise) / max(1, total - rise))

        return LambdaLR(optimizer, share)
