"""All that the training of a text classifier is a function of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from models.runs.options import flag, option
from models.runs.shared_settings import (
    LEARNING_RATES,
    MODEL,
    OUTPUT,
    RATE,
    REGULAR,
    TEXT,
    TRAINING,
    RunSettings,
)


@dataclass(frozen=True)
class ClassifySettings(RunSettings):
    """The settings of a run: each is an option of ``python -m models classify train``.

    Raises
    ------
    ValueError
        if a value is of another type, out of range, or does not go with another one.
    """

    task: ClassVar[str] = "classify"
    rates: ClassVar[Mapping[str, float]] = {**LEARNING_RATES, "adam": 0.003, "adamw": 0.003}
    usual_length: ClassVar[tuple[str, int]] = ("epochs", 10)

    # ------------------------------------------------------------------ the text
    data: tuple[str, ...] = option(
        (),
        "A file with a text, a tab and a label in each line (give it again for several), or a "
        "directory with a file LABEL.txt for each class.",
        TEXT,
        metavar="FILE.tsv",
        may_change=True,
    )
    text_column: str | None = option(
        None, "The column of the text: its number from 1, or its name in the first line.", TEXT
    )
    label_column: str | None = option(
        None,
        "The column of the label.",
        TEXT,
        shown="of two, the one with fewer different values",
    )
    valid: str | None = option(
        None, "A file to validate on; else a part of --data is.", TEXT, may_change=True
    )
    test: str | None = option(
        None, "A file to test on; else a part of --data is.", TEXT, may_change=True
    )
    split: tuple[float, ...] = option(
        (0.8, 0.1, 0.1),
        "The parts of --data to train on, to validate on, and (may be left out) to test on.",
        TEXT,
        above=0,
        metavar="A,B[,C]",
        shown="0.8,0.1,0.1",
    )
    split_seed: int = option(0, "The same seed, the same parts, whatever --seed is.", TEXT, low=0)
    level: Literal["char", "word"] = option(
        "char", "What a token is: a character (of Korean a syllable), or a word.", TEXT
    )
    min_count: int | None = option(
        None, "Tokens rarer than this become `<unk>`.", TEXT, low=1, shown="2"
    )
    max_vocab: int | None = option(
        None, "At most so many tokens, the most frequent.", TEXT, low=3, shown="all"
    )
    lowercase: bool = option(False, "Make all letters small.", TEXT)
    max_length: int = option(400, "Of longer texts, only so many tokens are read.", TEXT, low=1)

    # ------------------------------------------------------------------ the model
    cell: Literal["lstm", "gru", "rnn"] = option("lstm", "The recurrent network.", MODEL)
    hidden_size: int = option(64, "Units in each layer and direction.", MODEL, low=1)
    layers: int = option(1, "Recurrent layers on top of each other.", MODEL, low=1)
    embedding_size: int = option(32, "Length of the tokens' vectors.", MODEL, low=1)
    one_way: bool = option(False, "Read from the beginning only, not from the end too.", MODEL)
    pooling: Literal["attention", "mean", "last"] = option(
        "attention", "What of all time steps makes the vector of the text.", MODEL
    )

    # ------------------------------------------------------------------ regularisation
    dropout: float = option(
        0.3, "Part of the units to drop: input, between layers, output.", REGULAR, low=0, high=1
    )
    embedding_dropout: float = option(
        0.0, "Part of the tokens to drop, each wherever it stands.", REGULAR, low=0, high=1
    )

    # ------------------------------------------------------------------ training
    steps: int | None = option(None, "How many steps.", TRAINING, low=1, may_change=True)
    epochs: int | None = option(
        None, "How often to go through the data.", TRAINING, low=1, shown="10", may_change=True
    )
    batch_size: int = option(32, "Texts in a step.", TRAINING, low=1)

    # ------------------------------------------------------------------ the learning rate
    lr: float | None = option(
        None,
        "The largest learning rate.",
        RATE,
        above=0,
        may_change=True,
        shown=", ".join(f"{rate:g} with {name}" for name, rate in rates.items()),
    )

    # ------------------------------------------------------------------ output
    best_by: Literal["accuracy", "macro-f1", "loss"] = option(
        "accuracy", "By what in validation the best weights are chosen.", OUTPUT
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.data:
            raise ValueError("--data FILE must say what to learn from")
        for name in ("data", "valid", "test"):
            value = getattr(self, name)
            values = value if isinstance(value, tuple) else [value]
            if any(each is not None and not each.strip() for each in values):
                raise ValueError(f"{flag(name)} must not be empty, got {value!r}")
        if len(self.split) not in (2, 3) or not math.isclose(math.fsum(self.split), 1):
            raise ValueError(
                "--split must be two or three parts that sum to 1, got "
                + ",".join(f"{part:g}" for part in self.split)
            )

    def model_arguments(self, vocab_size: int, num_classes: int) -> dict[str, Any]:
        """What a `models.text_classifier.TextClassifier` as they ask for is made with."""
        return {
            "vocab_size": vocab_size,
            "num_classes": num_classes,
            "embedding_size": self.embedding_size,
            "hidden_size": self.hidden_size,
            "num_layers": self.layers,
            "cell": self.cell,
            "bidirectional": not self.one_way,
            "pooling": self.pooling,
            "dropout": self.dropout,
            "embedding_dropout": self.embedding_dropout,
        }
