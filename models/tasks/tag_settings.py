"""All that the training of a tagger is a function of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from models.runs.options import option
from models.runs.shared_settings import MODEL, OUTPUT, REGULAR, TEXT
from models.tasks.example_settings import FileSettings

CHARACTER_SIZE = 64
"""How much is read from the characters of a word if nobody says."""


@dataclass(frozen=True)
class TagSettings(FileSettings):
    """The settings of a run: each is an option of ``python -m models tag train``.

    Raises
    ------
    ValueError
        as `FileSettings` does.
    """

    task: ClassVar[str] = "tag"

    # ------------------------------------------------------------------ the text
    data: tuple[str, ...] = option(
        (),
        "A CoNLL file: a word in each line, its label in a column, a blank line after each "
        "sentence. With --spaces a text, a sentence in each line. Give it again for several.",
        TEXT,
        metavar="FILE",
        may_change=True,
    )
    spaces: bool = option(
        False,
        "Learn where the spaces of a text are, to put them back.",
        TEXT,
    )
    tag_column: int | None = option(
        None, "The column of the label, from 1.", TEXT, low=1, shown="UPOS of CoNLL-U, or the last"
    )
    min_count: int = option(2, "Tokens rarer than this have no vector of their own.", TEXT, low=1)
    max_length: int = option(
        200, "Longer sentences to train on are cut into pieces of so many tokens.", TEXT, low=1
    )

    # ------------------------------------------------------------------ the model
    cell: Literal["lstm", "gru", "rnn"] = option("lstm", "The recurrent network.", MODEL)
    hidden_size: int = option(128, "Units in each layer and direction.", MODEL, low=1)
    layers: int = option(1, "Recurrent layers on top of each other.", MODEL, low=1)
    embedding_size: int = option(64, "Length of the tokens' vectors.", MODEL, low=1)
    character_size: int | None = option(
        None,
        "Length of what a second network reads from a word's characters; 0: there is none.",
        MODEL,
        low=0,
        shown=f"{CHARACTER_SIZE}; with --spaces 0",
    )
    one_way: bool = option(False, "Read from the beginning only, not from the end too.", MODEL)

    # ------------------------------------------------------------------ regularisation
    dropout: float = option(
        0.3, "Part of the units to drop: input, between layers, output.", REGULAR, low=0, high=1
    )
    embedding_dropout: float = option(
        0.0, "Part of the tokens' vectors to drop, each wherever it stands.", REGULAR, low=0, high=1
    )

    # ------------------------------------------------------------------ output
    best_by: Literal["accuracy", "loss"] = option(
        "accuracy", "By what in validation the best weights are chosen.", OUTPUT
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.spaces and self.tag_column is not None:
            raise ValueError("--tag-column is of a CoNLL file; with --spaces --data is a text")
        if self.spaces and self.character_size:
            raise ValueError("--character-size is of words; with --spaces tokens are characters")
        if self.read_from_characters % 2:
            raise ValueError(f"--character-size must be even, got {self.character_size}")

    @property
    def read_from_characters(self) -> int:
        """The length of what is read from a word's characters."""
        usual = 0 if self.spaces else CHARACTER_SIZE
        return usual if self.character_size is None else self.character_size
