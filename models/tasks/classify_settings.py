"""All that the training of a text classifier is a function of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from models.runs.options import option
from models.runs.shared_settings import MODEL, OUTPUT, REGULAR, TEXT
from models.tasks.example_settings import FileSettings

SPARSE = ("adam", "adamw", "sgd", "adagrad")
"""The optimisers that can change some rows of a matrix alone."""


@dataclass(frozen=True)
class ClassifySettings(FileSettings):
    """The settings of a run: each is an option of ``python -m models classify train``.

    Raises
    ------
    ValueError
        if a value is of another type, out of range, or does not go with another one.
    """

    task: ClassVar[str] = "classify"

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
    subwords: int | None = option(
        None,
        "Also give vectors to pieces: of a word, its parts of 3 to so many characters; of a "
        "character, the 2 to so many that end with it.",
        MODEL,
        low=2,
        shown="none",
    )
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

    # ------------------------------------------------------------------ output
    best_by: Literal["accuracy", "macro-f1", "loss"] = option(
        "accuracy", "By what in validation the best weights are chosen.", OUTPUT
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.subwords is not None:
            if self.level == "word" and self.subwords < 3:
                raise ValueError(f"--subwords of words must be at least 3, got {self.subwords}")
            if self.optimizer not in SPARSE or self.weight_decay:
                raise ValueError(
                    f"--subwords goes with --optimizer {', '.join(SPARSE)}, and without "
                    "--weight-decay"
                )
