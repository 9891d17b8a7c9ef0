"""The settings of a run that learns from examples: those that all such tasks share."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

from models.runs.options import flag, option
from models.runs.shared_settings import LEARNING_RATES, RATE, TEXT, TRAINING, RunSettings

RATES = {**LEARNING_RATES, "adam": 0.003, "adamw": 0.003}
"""The largest learning rate if none is given."""


@dataclass(frozen=True)
class ExampleSettings(RunSettings):
    """The settings that all tasks share that learn from examples.

    A task adds its own, and ``best_by``, whose choices are the names in `Problem.figures`.
    """

    rates: ClassVar[Mapping[str, float]] = RATES
    usual_length: ClassVar[tuple[str, int]] = ("epochs", 10)

    steps: int | None = option(None, "How many steps.", TRAINING, low=1, may_change=True)
    epochs: int | None = option(
        None, "How often to go through the data.", TRAINING, low=1, shown="10", may_change=True
    )
    batch_size: int = option(32, "Examples in a step.", TRAINING, low=1)
    lr: float | None = option(
        None,
        "The largest learning rate.",
        RATE,
        above=0,
        may_change=True,
        shown=", ".join(f"{rate:g} with {name}" for name, rate in RATES.items()),
    )

    def absolute(self) -> Self:
        """The same settings with absolute paths: a run may be resumed from another directory."""
        return self

    @property
    def sources(self) -> str:
        """Where the data comes from, for messages."""
        raise NotImplementedError


@dataclass(frozen=True)
class FileSettings(ExampleSettings):
    """The settings of a task whose examples are in files.

    Raises
    ------
    ValueError
        if a value is of another type, out of range, or does not go with another one.
    """

    data: tuple[str, ...] = option(
        (),
        "A file with the examples (give it again for several).",
        TEXT,
        metavar="FILE",
        may_change=True,
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

    def absolute(self) -> Self:
        """The same settings with absolute paths, of those that are files."""
        return dataclasses.replace(
            self,
            data=tuple(map(_absolute, self.data)),
            valid=self.valid and _absolute(self.valid),
            test=self.test and _absolute(self.test),
        )

    @property
    def sources(self) -> str:
        """The files, for messages."""
        return ", ".join(self.data)


def _absolute(text: str) -> str:
    """A name that is no file, such as that of a data set, stays as it is."""
    return str(Path(text).absolute()) if Path(text).exists() else text
