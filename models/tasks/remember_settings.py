"""All that the training on a problem of long memory is a function of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from models.reading.memory_problems import MemoryProblem
from models.runs.options import option
from models.runs.shared_settings import MODEL, RATE, TEXT, TRAINING
from models.tasks.example_settings import RATES, ExampleSettings


@dataclass(frozen=True)
class RememberSettings(ExampleSettings):
    """The settings of a run: each is an option of ``python -m models memory train``.

    Raises
    ------
    ValueError
        if a value is of another type, out of range, or does not go with another one.
    """

    task: ClassVar[str] = "memory"
    rates: ClassVar[Mapping[str, float]] = {**RATES, "adam": 0.005, "adamw": 0.005}
    usual_length: ClassVar[tuple[str, int]] = ("steps", 3000)

    # ------------------------------------------------------------------ the problem
    problem: Literal["adding", "copying", "order"] = option(
        "adding",
        "adding: the sum of two marked numbers; copying: ten letters, said again; order: which of "
        "X and Y came first and second.",
        TEXT,
    )
    length: int = option(
        100, "Time steps; of copying, those between hearing and saying.", TEXT, high=100_000
    )

    # ------------------------------------------------------------------ the model
    cell: Literal["lstm", "gru", "rnn"] = option("lstm", "The recurrent network.", MODEL)
    hidden_size: int = option(64, "Units.", MODEL, low=1)
    keeps: int | None = option(
        None,
        "Time steps that the gates keep the state for at first, at most (chrono initialisation); "
        "0: about one, as PyTorch's do.",
        MODEL,
        low=0,
        shown="as many as an example has",
    )

    # ------------------------------------------------------------------ training
    steps: int | None = option(
        None, "How many steps.", TRAINING, low=1, shown="3,000", may_change=True
    )
    epochs: int | None = option(
        None, "How often to take 10,000 new examples.", TRAINING, low=1, may_change=True
    )

    # ------------------------------------------------------------------ the learning rate
    lr: float | None = option(
        None,
        "The largest learning rate.",
        RATE,
        above=0,
        may_change=True,
        shown=", ".join(f"{rate:g} with {name}" for name, rate in rates.items()),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            MemoryProblem(self.problem, self.length)
        except ValueError as error:
            raise ValueError(f"--length: {error}") from None

    @property
    def sources(self) -> str:
        """The problem."""
        return f"{self.problem}, T = {self.length:,}"
