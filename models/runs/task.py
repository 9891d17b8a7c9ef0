"""What a run has to know of what it trains."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from minigrad import nn
from models.measuring.units import Unit
from models.runs.directory import RunDirectory
from models.runs.history import History
from models.runs.shared_settings import RunSettings
from models.runs.stepper import Stepper

Progress = Callable[[int], object]
"""Is told how much of a part of the data has been measured."""


class Task(Protocol):
    """What is trained: its model, its data, how good it is, and what is said about it.

    All else about a run is the same for each task: the loop, schedule and optimiser, checkpoints
    and going on from them, trouble, Ctrl-C, display and curves.

    Attributes
    ----------
    settings, trainer
        the settings of the run, and what takes its steps.
    unit
        that of its loss.
    references
        losses to compare with, by their names: lines among the curves.
    fingerprint
        a hash of its data: the same fingerprint means the same data.
    run_id
        the id of a run that begins like this.
    figure, larger
        which figure of a validation says how good it is, and whether a larger one is better.
    sizes
        how much there is to measure in the part "valid", and, if there is one, in "test".
    """

    @property
    def settings(self) -> RunSettings: ...
    @property
    def trainer(self) -> Stepper: ...

    unit: Unit
    references: Mapping[str, float]
    fingerprint: str
    figure: str
    larger: bool
    sizes: Mapping[str, int]

    @property
    def run_id(self) -> str: ...

    def begin(self, directory: RunDirectory) -> None:
        """Write the files that will not change; the files of another run are deleted."""

    def described(self, loss: float | None, run_id: str) -> dict[str, Any]:
        """The model as `save_checkpoint` takes it, with "step" and "loss": see `restored`."""
        ...

    def restored(self, described: Any, path: Path, run_id: str) -> nn.Module:
        """The model that `described` gave; a ValueError that names `path` if it is another."""
        ...

    def measured(
        self, model: nn.Module, part: str, stop: Callable[[], bool], progress: Progress
    ) -> dict[str, Any] | None:
        """The figures of a model on a part of the data, "loss" among them; None: it was stopped."""
        ...

    def told(self, figures: Mapping[str, Any]) -> str:
        """What to tell of figures beside the loss; empty: nothing."""
        ...

    def sample(self) -> str:
        """Something that shows what the model does now, to be shown on the way.

        Raises
        ------
        Diverged
            if what it does is not finite.
        """
        ...

    # ------------------------------------------------------------------ what is said

    def title(self) -> str:
        """What stands above the curves."""
        ...

    def introduction(self) -> list[str]:
        """What is about to be trained, how, and for how long, in lines."""
        ...

    def warnings(self) -> list[str]:
        """What to warn of before the training."""
        ...

    def results(
        self,
        history: History,
        seconds: float,
        test: Mapping[str, Any] | None,
        worse: int,
    ) -> str:
        """What a run that has ended has reached, in so many seconds.

        `test`: the figures of the best weights on the part to test on. `worse`: the run was ended
        early, after so many validations without a better one; 0: it was not.
        """
        ...

    def ended(self, directory: RunDirectory, best: nn.Module | None) -> None:
        """Leave what else belongs to a run that has ended, such as pictures of its best model."""

    def whats_next(self, directory: RunDirectory) -> str:
        """Where the results lie, and what to do with them."""
        ...

    def resume_command(self, directory: RunDirectory) -> str:
        """How to go on with a run that was stopped."""
        ...
