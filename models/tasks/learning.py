"""Learning from examples: what is the same in a run of any problem."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minigrad import cuda, nn
from minigrad.files import printable
from models.devices import check_available
from models.measuring.evaluation import quiet
from models.runs import messages
from models.runs.blas_kernels import restart_for
from models.runs.directory import RunDirectory
from models.runs.going_on import check_kept, go_on
from models.runs.history import History
from models.runs.run import Run
from models.runs.task import Progress, Task
from models.showing.reporter import Reporter
from models.tasks.example_settings import ExampleSettings
from models.tasks.example_trainer import ExampleTrainer
from models.tasks.problem import Data, Problem, Stop
from models.tasks.saved_problem import describe, restore


class Learning:
    """A network that learns from the examples of a problem: see `models.runs.task.Task`.

    Parameters
    ----------
    problem, data, model
        what it learns, from what, and the network.
    rng
        draws its dropout.
    """

    def __init__(
        self, problem: Problem, data: Data, model: nn.Module, rng: np.random.Generator
    ) -> None:
        s: ExampleSettings = problem.settings
        self.settings, self.problem, self.data, self.model = s, problem, data, model
        self.fingerprint, self.unit = data.fingerprint, problem.unit_of(s)
        self.references = problem.references(s)
        self.figure, self.larger = problem.figures[getattr(s, "best_by", "loss")]
        self.parts = {name: problem.prepared(part) for name, part in data.parts.items()}
        self.sizes: Mapping[str, int] = {
            name: len(part) for name, part in self.parts.items() if name != "train"
        }
        self.trainer = ExampleTrainer(problem, model, self.parts["train"], rng)
        self._found: dict[str, dict[str, Any]] = {}  # the last figures of each part

    @property
    def run_id(self) -> str:
        """The id of a run that begins like this."""
        return self.settings.run_id(self.fingerprint)

    def begin(self, directory: RunDirectory) -> None:
        """Write the settings."""
        directory.begin(self.settings, None, self.run_id)

    def described(self, loss: float | None, run_id: str) -> dict[str, Any]:
        """As `describe` gives it."""
        return describe(self.problem, self.model, self.trainer.step, loss, self.fingerprint, run_id)

    def restored(self, described: Any, path: Path, run_id: str) -> nn.Module:
        """As `restore` does."""
        problem, model = restore(described, type(self.problem), self.settings, path, run_id)
        if problem.facts != self.problem.facts:
            raise ValueError(f"{str(path)!r} holds a model of other data")
        return model

    def measured(
        self, model: nn.Module, part: str, stop: Stop, progress: Progress
    ) -> dict[str, Any] | None:
        """Those of the problem's figures that are numbers."""
        found = self.problem.measured(model, self.parts[part], stop, progress, part == "test")
        if found is None:
            return None
        self._found[part] = found
        return {name: each for name, each in found.items() if isinstance(each, int | float)}

    def told(self, figures: Mapping[str, Any]) -> str:
        """The main figures."""
        return self.problem.told(figures)

    def sample(self) -> str:
        """What the model says about some examples to validate on."""
        rng = np.random.default_rng(self.settings.seed)
        with quiet():
            return self.problem.sample(self.model, self.parts["valid"], rng)

    # ------------------------------------------------------------------ what is said

    def title(self) -> str:
        """The network and the data."""
        return self.problem.title()

    def introduction(self) -> list[str]:
        """Data, model, training and optimiser."""
        s, sizes = self.settings, {name: len(part) for name, part in self.parts.items()}
        words = {"train": "to train on", "valid": "to validate", "test": "to test"}
        lines = [
            f"data        {printable(s.sources)}",
            f"{self.problem.what:<11} " + ", ".join(f"{sizes[n]:,} {words[n]}" for n in sizes),
            *self.problem.introduction(self.data, self.model),
            f"training    {messages.length(s, self.trainer)} of {s.batch_size} {self.problem.what}",
            f"optimiser   {s.optimizer}, learning rate {s.learning_rate:g}",
        ]
        if s.device != "cpu":
            lines.append(f"device      {s.device}: {cuda.device_name(s.device)}")
        return lines

    def warnings(self) -> list[str]:
        """What the problem warns of."""
        return self.problem.warnings(self.data)

    def results(
        self, history: History, seconds: float, test: Mapping[str, Any] | None, worse: int
    ) -> str:
        """The figures of the best weights, and of simpler methods on the same examples."""
        best = history.best("valid")
        assert best is not None  # a run ends with a validation
        minutes, rest = divmod(round(seconds), 60)
        told = self.told(best) or self.unit.told(best["loss"])
        lines = [
            f"Trained in {minutes} min {rest} s.",
            f"best validation {told}, after step {best['step']:,}; its weights are kept",
        ]
        if worse:
            lines.insert(0, f"Stopped early: {worse} validations without a better one.")
        part = self._last_part
        where = {"valid": "validate on", "test": "test on, never looked at before"}[part]
        lines.append(f"\non the {self.sizes[part]:,} {self.problem.what} to {where}:")
        parts = (self.parts[name] for name in ("train", "valid", part))
        table = {"the network": self._found[part], **self.problem.simpler(*parts)}
        return "\n".join([*lines, *told_table(self.problem, table)])

    @property
    def _last_part(self) -> str:
        return "test" if "test" in self.sizes else "valid"

    def ended(self, directory: RunDirectory, best: nn.Module | None) -> None:
        """Draw what the best model does."""
        part, model = self._last_part, self.model if best is None else best
        if part == "valid" or part not in self._found:
            self.measured(model, part, lambda: False, lambda _: None)
        title = self.title()
        picture = self.problem.picture(model, self.parts[part], title, self._found[part])
        if picture is not None:
            directory.save_result(picture)

    def whats_next(self, directory: RunDirectory) -> str:
        """Where the results lie, and the commands that use the model."""
        task = self.settings.task
        drawn = [f"picture     {directory.result}"] if directory.result.exists() else []
        example = self.problem.example_input
        return "\n".join(
            [
                f"weights     {directory.model}",
                f"curves      {directory.curves}",
                *drawn,
                "",
                "Try next:",
                f"  {messages.command(task, 'predict', directory.path, example)}",
                f"  {messages.command(task, 'evaluate', directory.path)}",
            ]
        )

    def resume_command(self, directory: RunDirectory) -> str:
        """How to go on."""
        return messages.command(self.settings.task, "train", "--resume", directory.path)


def told_table(problem: Problem, methods: Mapping[str, Mapping[str, Any]]) -> Sequence[str]:
    """The figures of several methods, a line for each; "-" where a method has no such figure."""
    rows = {name: problem.columns(figures) for name, figures in methods.items()}
    heads = list(dict.fromkeys(head for row in rows.values() for head in row))
    names = max(24, *map(len, rows))
    lines = ["  ".join([" " * names, *(f"{head:>9}" for head in heads)])]
    for name, row in rows.items():
        cells = (f"{row.get(head, '-'):>{max(9, len(head))}}" for head in heads)
        lines.append("  ".join([f"{name:{names}}", *cells]))
    return lines


# ---------------------------------------------------------------------- beginning, going on


def new_run(kind: type[Problem], settings: Any, directory: RunDirectory, reporter: Reporter) -> Run:
    """A run that is ready to begin; nothing is written yet.

    Raises
    ------
    OSError, ValueError, ModuleNotFoundError
        if the data, or a setting, is not usable.
    """
    check_available(settings.device)
    restart_for(settings, kind.products(settings))
    data, rng = kind.load(settings), np.random.default_rng(settings.seed)
    problem = kind(settings, kind.learnt(settings, data.parts["train"]))
    model = kind.model_kind(**problem.model_arguments(), rng=rng).to(settings.device)
    return Run(Learning(problem, data, model, rng), directory, reporter)


def resume(kind: type[Problem], settings: Any, directory: RunDirectory, reporter: Reporter) -> Run:
    """The run in `directory`, as it was when its last checkpoint was written: see `go_on`."""

    def anew() -> Run:
        run = new_run(kind, settings, directory, reporter)
        before = directory.read_settings(kind.kind)
        if before.run_id(run.task.fingerprint) != directory.run_id:
            raise _other_data(settings, directory)
        run.begin()
        return run

    def again(path: Path, state: Mapping[str, Any]) -> Task:
        rng = np.random.default_rng(settings.seed)
        check_kept(settings, directory, state)
        about = (kind, settings, path, directory.run_id, rng)
        problem, model = restore(state["model"], *about)
        data = kind.load(settings)
        if data.fingerprint != state["corpus"]:
            raise _other_data(settings, directory)
        return Learning(problem, data, model.to(settings.device), rng)

    return go_on(settings, directory, reporter, anew, again)


def _other_data(settings: ExampleSettings, directory: RunDirectory) -> ValueError:
    return ValueError(
        f"{printable(settings.sources)} is not the data that the run in {str(directory.path)!r} "
        "began with, so it can't go on; --data (--valid, --test) says where that is"
    )
