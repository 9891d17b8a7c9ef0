"""Going on with a run of any task: from which checkpoint, and whether it can be trusted.

A run directory may have been damaged, or made by a stranger. So everything in it is checked
before it is used, and before anything is written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from minigrad.training import load_checkpoint
from models.devices import check_available
from models.runs.blas_kernels import restart_as_on
from models.runs.directory import RunDirectory
from models.runs.forms import check_form, count, not_finite, number, plain
from models.runs.run import Run
from models.runs.shared_settings import RunSettings
from models.runs.task import Task
from models.showing.output import in_one_line
from models.showing.reporter import Reporter

MALFORMED = (TypeError, ValueError, KeyError, AttributeError, IndexError, OverflowError)
"""The errors of a damaged state, where it was not checked before."""


RECORD = {"step": count, "epoch": number, "split": str, "loss": number, "seconds": number}

FORM: dict[str, Any] = {
    "settings": {...: plain},
    "model": {"step": count},
    "trainer": {
        **dict.fromkeys(("step", "epoch", "at", "tokens", "skipped", "skipped_in_a_row"), count),
        "averaging": bool,
        "norms": [number],
        "optimizer": dict,
        "rng": dict,
    },
    "history": {"records": [RECORD], "sums": [number], "count": count},
    "watcher": {
        "mean": (number, None),
        "lowest": (number, None),
        "warned": bool,
        "count": count,
    },
    "standing": {
        "due": bool,
        "validated": number,
        "factor": number,
        "worse": count,
        "samples": count,
        "seconds": number,
        "finished": bool,
    },
    "corpus": str,
    "machine": {...: plain},
}
"""The form of a checkpoint. The model, the trainer and its optimiser check their own parts."""


def go_on(
    settings: RunSettings,
    directory: RunDirectory,
    reporter: Reporter,
    anew: Callable[[], Run],
    again: Callable[[Path, Mapping[str, Any]], Task],
    form: Mapping[str, Any] = FORM,
) -> Run:
    """The run in `directory`, as it was when its last checkpoint was written.

    If that checkpoint is damaged, or was lost, the run goes on from the one before, and says so.

    Parameters
    ----------
    settings
        the run's own, changed where they may change; see `RunSettings.changed`.
    directory, reporter
        where the run is, and whom to tell.
    anew
        makes and begins a run that was stopped before its first checkpoint.
    again
        makes the task from a checkpoint, given its path and what it holds: the model that it
        describes, and the data, which must be what the run began with.
    form
        that of a checkpoint of the task.

    Raises
    ------
    OSError, ValueError, ModuleNotFoundError
        if there is no run, a file of it is damaged or of another run, or the data are not what
        they were.
    """
    check_available(settings.device)
    if not any(p.exists() for p in (directory.checkpoint, directory.previous, directory.model)):
        return anew()
    path, state = _last_state(directory, reporter, form)
    restart_as_on(state["machine"], settings)
    task = again(path, state)
    _check_best(directory, task)
    run = Run(task, directory, reporter)
    try:
        run.load_state_dict(state)
    except MALFORMED as error:
        raise ValueError(f"{str(path)!r} is damaged: {type(error).__name__}: {error}") from error
    if path == directory.previous:
        directory.go_back()
    run.keeper.keep_best()
    if not run.ended:
        directory.save_settings(settings)
    return run


def check_kept(settings: RunSettings, directory: RunDirectory, state: Mapping[str, Any]) -> None:
    """Raise a ValueError if settings that can't change differ from those in a checkpoint."""
    if changed := settings.fixed_differences(state["settings"]):
        raise ValueError(
            f"{str(directory.config)!r} has been changed since the run began: {changed}"
        )


def _check_best(directory: RunDirectory, task: Task) -> None:
    """Raise a ValueError if the best weights so far are damaged, or of another run."""
    if directory.model.exists():
        try:
            task.restored(load_checkpoint(directory.model), directory.model, directory.run_id)
        except ValueError as error:
            raise ValueError(
                f"{error}. Remove it to go on without the best weights so far"
            ) from error


def _last_state(
    directory: RunDirectory, reporter: Reporter, form: Mapping[str, Any]
) -> tuple[Path, Any]:
    """The last state of a run that can be used, and the file that it is in."""
    last, previous = directory.checkpoint, directory.previous
    try:
        return last, _checked(directory, last, form)
    except (FileNotFoundError, ValueError) as error:
        if not previous.exists():
            raise
        try:
            state = _checked(directory, previous, form)
        except (FileNotFoundError, ValueError):
            raise error from None
        reason = in_one_line(error) if isinstance(error, ValueError) else f"there is no {last.name}"
        step = state["trainer"]["step"]
        reporter.warn(f"{reason}. The run goes on from the checkpoint before it, of step {step:,}")
        return previous, state


def _checked(directory: RunDirectory, path: Path, form: Mapping[str, Any]) -> Any:
    """The state in a checkpoint; a ValueError unless it is one that a run can go on from."""
    state, name = directory.load_checkpoint(path), repr(str(path))
    check_form(state, form, name)
    if place := not_finite(state):
        raise ValueError(f"{name} holds NaN or infinity, in {place}: nothing can go on from it")
    step, records = state["trainer"]["step"], state["history"]["records"]
    steps = [record["step"] for record in records]
    splits = {record["split"] for record in records}
    fits = steps == sorted(steps) and max(steps, default=0) <= step == state["model"]["step"]
    fits = fits and all("best_step" in r for r in records if r["split"] == "test")
    if not fits or (state["standing"]["finished"] and "valid" not in splits):
        raise ValueError(f"{name} is damaged: its records are not those of a run of {step:,} steps")
    return state
