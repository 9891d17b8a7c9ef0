"""All that the training of a captioner is a function of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from models.runs.options import option
from models.runs.shared_settings import MODEL, REGULAR, TEXT, TRAINING
from models.tasks.example_settings import FileSettings


@dataclass(frozen=True)
class CaptionSettings(FileSettings):
    """The settings of a run: each is an option of ``python -m models caption train``.

    Raises
    ------
    ValueError
        if a value is of another type, out of range, or does not go with another one.
    """

    task: ClassVar[str] = "caption"
    usual_length: ClassVar[tuple[str, int]] = ("epochs", 40)

    # ------------------------------------------------------------------ the text
    data: tuple[str, ...] = option(
        (),
        "A file NAME.npz of images with captions (give it again for several); or texts with "
        "labels: a file with a text, a tab and a label in each line, or a directory with a file "
        "LABEL.txt for each label.",
        TEXT,
        metavar="FILE",
        may_change=True,
    )
    language: str = option(
        "en", "Of images: the language of the captions, an array of the file.", TEXT
    )
    text_column: str | None = option(
        None,
        "Of texts: their column, by its number from 1, or its name in the first line.",
        TEXT,
    )
    label_column: str | None = option(
        None,
        "The column of the label.",
        TEXT,
        shown="of two, the one with fewer different values",
    )
    level: Literal["char", "jamo"] = option(
        "char",
        "What a letter is: a character (of Korean a syllable), or with jamo also each letter of a "
        "syllable.",
        TEXT,
    )
    max_length: int = option(60, "The most letters of a text that is written.", TEXT, low=1)

    # ------------------------------------------------------------------ the model
    cell: Literal["gru", "lstm", "rnn"] = option("gru", "The recurrent network.", MODEL)
    hidden_size: int = option(128, "Units in each layer.", MODEL, low=1)
    layers: int = option(1, "Recurrent layers on top of each other.", MODEL, low=1)
    embedding_size: int = option(32, "Length of the letters' vectors.", MODEL, low=1)
    thing_size: int = option(128, "Length of the vector of an image or a label.", MODEL, low=1)

    # ------------------------------------------------------------------ regularisation
    dropout: float = option(
        0.1, "Part of the units to drop, between layers and of the output.", REGULAR, low=0, high=1
    )
    image_dropout: float = option(
        0.1, "Part of the units to drop that an image goes through.", REGULAR, low=0, high=1
    )
    pixel_dropout: float = option(
        0.1, "Part of the pixels to make white in training.", REGULAR, low=0, high=1
    )
    shift: int = option(
        1, "Images are moved by up to so many pixels, at random, in training.", REGULAR, low=0
    )

    # ------------------------------------------------------------------ training
    epochs: int | None = option(
        None, "How often to go through the data.", TRAINING, low=1, shown="40", may_change=True
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        files = [*self.data, *(each for each in (self.valid, self.test) if each is not None)]
        kinds = {each.endswith(".npz") for each in files}
        if len(kinds) > 1:
            raise ValueError(
                "--data, --valid and --test must all be images (.npz), or all be texts"
            )

    @property
    def images(self) -> bool:
        """Whether the things are images; else they are labels."""
        return self.data[0].endswith(".npz")
