"""All that the training of a classifier of images is a function of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from models.reading.labelled_images import DIGITS
from models.runs.options import option
from models.runs.shared_settings import MODEL, OUTPUT, REGULAR, TEXT, TRAINING
from models.tasks.example_settings import FileSettings


@dataclass(frozen=True)
class DigitsSettings(FileSettings):
    """The settings of a run: each is an option of ``python -m models digits train``."""

    task: ClassVar[str] = "digits"
    usual_length: ClassVar[tuple[str, int]] = ("epochs", 40)

    # ------------------------------------------------------------------ the images
    data: tuple[str, ...] = option(
        (DIGITS,),
        "A file .npz with the arrays `images` (N, height, width) and `labels` (give it again for "
        f"several); or {DIGITS}, which come with scikit-learn.",
        TEXT,
        metavar="FILE.npz",
        shown=DIGITS,
        may_change=True,
    )

    # ------------------------------------------------------------------ the model
    read: Literal["whole", "rows"] = option(
        "whole",
        "How an image is read: whole, by a multilayer perceptron, or row by row, by a recurrent "
        "network.",
        MODEL,
    )
    cell: Literal["lstm", "gru", "rnn"] | None = option(
        None, "With --read rows: the recurrent network.", MODEL, shown="lstm"
    )
    hidden_size: int = option(128, "Units in each layer.", MODEL, low=1)
    layers: int = option(1, "Hidden layers on top of each other.", MODEL, low=1)

    # ------------------------------------------------------------------ regularisation
    dropout: float = option(
        0.3, "Part of the units to drop, of each hidden layer.", REGULAR, low=0, high=1
    )

    # ------------------------------------------------------------------ training
    epochs: int | None = option(
        None, "How often to go through the data.", TRAINING, low=1, shown="40", may_change=True
    )

    # ------------------------------------------------------------------ output
    best_by: Literal["accuracy", "macro-f1", "loss"] = option(
        "loss", "By what in validation the best weights are chosen.", OUTPUT
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cell is not None and self.read == "whole":
            raise ValueError(f"--cell {self.cell} needs --read rows: a whole image needs no cell")

    @property
    def network(self) -> str:
        """The cell; "mlp": there is none."""
        return "mlp" if self.read == "whole" else self.cell or "lstm"
