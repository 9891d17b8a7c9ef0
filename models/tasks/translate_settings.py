"""All that the training of an encoder and a decoder is a function of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from models.measuring.translation_scores import EXTRA, has_sacrebleu
from models.runs.options import option
from models.runs.shared_settings import MODEL, OUTPUT, REGULAR, TEXT, TRAINING
from models.tasks.example_settings import FileSettings


@dataclass(frozen=True)
class TranslateSettings(FileSettings):
    """The settings of a run: each is an option of ``python -m models translate train``.

    Raises
    ------
    ValueError
        if a value is of another type, out of range, or does not go with another one.
    ModuleNotFoundError
        if `best_by` asks for what only sacrebleu can measure, and it is not installed.
    """

    task: ClassVar[str] = "translate"
    usual_length: ClassVar[tuple[str, int]] = ("epochs", 30)

    # ------------------------------------------------------------------ the text
    data: tuple[str, ...] = option(
        (),
        "A file with a sentence, a tab and its translation in each line (give it again for "
        "several); or `hangul`: made-up Korean words and how they are romanised.",
        TEXT,
        metavar="FILE.tsv",
        may_change=True,
    )
    source_column: str = option(
        "1", "The column to translate: its number from 1, or its name in the first line.", TEXT
    )
    target_column: str = option("2", "The column to translate into.", TEXT)
    source_level: Literal["char", "jamo", "word"] = option(
        "char",
        "What a token is: a character (of Korean a syllable), a letter also within a syllable "
        "(jamo), or a word.",
        TEXT,
    )
    target_level: Literal["char", "jamo", "word"] = option(
        "char", "The same for what is written.", TEXT
    )
    min_count: int = option(2, "Tokens rarer than this become `<unk>`.", TEXT, low=1)

    # ------------------------------------------------------------------ the model
    cell: Literal["lstm", "gru"] = option("lstm", "The recurrent networks.", MODEL)
    attention: Literal["additive", "multiplicative", "none"] = option(
        "additive",
        "How the decoder finds where to look: Bahdanau's score, Luong's, or not at all.",
        MODEL,
    )
    hidden_size: int = option(
        128, "Units of the decoder; half as many in each direction of the encoder.", MODEL, low=2
    )
    layers: int = option(1, "Recurrent layers on top of each other.", MODEL, low=1)
    embedding_size: int = option(64, "Length of the tokens' vectors.", MODEL, low=1)

    # ------------------------------------------------------------------ regularisation
    dropout: float = option(
        0.3, "Part of the units to drop: input, between layers, output.", REGULAR, low=0, high=1
    )
    embedding_dropout: float = option(
        0.0, "Part of the tokens to drop, each wherever it stands.", REGULAR, low=0, high=1
    )

    # ------------------------------------------------------------------ training
    scheduled_sampling: float | None = option(
        None,
        "Let the decoder go on after tokens of its own: right ones stay with probability "
        "K / (K + exp(step / K)), which is 1/2 in step K ln K.",
        TRAINING,
        above=0,
        metavar="K",
        shown="never",
    )

    # ------------------------------------------------------------------ output
    best_by: Literal["loss", "cer", "exact", "bleu", "chrf"] = option(
        "loss", "By what in validation the best weights are chosen.", OUTPUT
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hidden_size % 2:
            raise ValueError(
                "--hidden-size must be even, a half for each direction of the encoder, got "
                f"{self.hidden_size}"
            )
        if self.best_by in ("bleu", "chrf") and not has_sacrebleu():
            raise ModuleNotFoundError(f"--best-by {self.best_by}: {EXTRA}", name="sacrebleu")
