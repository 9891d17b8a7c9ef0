"""Going on with a run: from which checkpoint, and on which text.

A run directory may have been damaged, or made by a stranger. So everything in it is checked
before it is used, and before anything is written.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.data import Tokenizer, load_tokenizer
from minigrad.training import load_checkpoint
from models.devices import check_available
from models.runs.blas_kernels import restart_as_on, restart_for
from models.runs.cell_files import OwnCell, try_cell
from models.runs.directory import RunDirectory
from models.runs.forms import check_form, count, not_finite, number, plain
from models.runs.new_model import model_arguments
from models.runs.own_text import check_at_hand, corpus_of, own_sources
from models.runs.run import Run
from models.runs.saved_model import restore
from models.runs.settings import Settings
from models.showing.output import in_one_line
from models.showing.reporter import Reporter

MALFORMED = (TypeError, ValueError, KeyError, AttributeError, IndexError, OverflowError)
"""The errors of a damaged state, where it was not checked before."""


RECORD = {"step": count, "epoch": number, "split": str, "loss": number, "seconds": number}

FORM = {
    "settings": {...: plain},
    "model": {"step": count},
    "trainer": {
        **dict.fromkeys(("step", "epoch", "at", "tokens", "skipped", "skipped_in_a_row"), count),
        "averaging": bool,
        "norms": [number],
        "optimizer": dict,
        "rng": dict,
        "lengths": dict,
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


def resume(
    settings: Settings,
    directory: RunDirectory,
    reporter: Reporter,
    given: Collection[str] = (),
    cell: OwnCell | None = None,
) -> Run:
    """The run in `directory`, as it was when its last checkpoint was written.

    If that checkpoint is damaged, or was lost, the run goes on from the one before, and says so.

    Parameters
    ----------
    settings
        the run's own, changed where they may change; see `Settings.changed`.
    directory, reporter
        where the run is, and whom to tell.
    given
        the names of the settings that are not the run's own.
    cell
        the one that the settings name, if it is one of one's own.

    Raises
    ------
    OSError, ValueError, ModuleNotFoundError
        if there is no run, a file of it is damaged or of another run, or the text is not the one
        that it was.
    """
    check_available(settings.device)
    check_at_hand(settings, given)
    if not any(p.exists() for p in (directory.checkpoint, directory.previous, directory.model)):
        return _begun_anew(settings, directory, reporter, given, cell)
    path, state = _last_state(directory, reporter)
    restart_as_on(state["machine"], settings)
    rng, tokenizer = np.random.default_rng(settings.seed), load_tokenizer(directory.tokenizer)
    of_run = (tokenizer, path, directory.run_id)
    make = None if cell is None else cell.make
    model = restore(state["model"], *of_run, rng, make).to(settings.device)
    if changed := settings.fixed_differences(state["settings"]):
        raise ValueError(
            f"{str(directory.config)!r} has been changed since the run began: {changed}"
        )
    if model.settings() != model_arguments(settings, len(tokenizer), make):
        raise ValueError(f"{str(path)!r} holds another model than config.toml asks for")
    if cell is not None:
        try_cell(cell, settings)
    _check_best(directory, tokenizer, make)
    corpus = corpus_of(settings, tokenizer)
    if corpus.fingerprint != state["corpus"]:
        raise _another_text(settings, directory)
    run = Run(settings, corpus, directory, reporter, model, rng)
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


def _check_best(directory: RunDirectory, tokenizer: Tokenizer, make: Any) -> None:
    """Raise a ValueError if the best weights so far are damaged, or of another run."""
    if directory.model.exists():
        try:
            of_run = (tokenizer, directory.model, directory.run_id)
            restore(load_checkpoint(directory.model), *of_run, cell=make)
        except ValueError as error:
            raise ValueError(
                f"{error}. Remove it to go on without the best weights so far"
            ) from error


def _begun_anew(
    settings: Settings,
    directory: RunDirectory,
    reporter: Reporter,
    given: Collection[str],
    cell: OwnCell | None,
) -> Run:
    """A run that was stopped before its first checkpoint: it begins again."""
    restart_for(settings)
    run = Run.new(settings, directory, reporter, cell)
    before, fingerprint = directory.read_settings(), run.corpus.fingerprint
    as_it_was = before.run_id(fingerprint, directory.cell_sha256) == directory.run_id
    if own_sources(settings, given) and not as_it_was:
        raise _another_text(settings, directory)
    run.begin()
    return run


def _another_text(settings: Settings, directory: RunDirectory) -> ValueError:
    return ValueError(
        f"{', '.join(settings.text)} is not the text that the run in {str(directory.path)!r} began "
        "with, so it can't go on; --text (--valid, --test) says where that is"
    )


def _last_state(directory: RunDirectory, reporter: Reporter) -> tuple[Path, Any]:
    """The last state of a run that can be used, and the file that it is in."""
    last, previous = directory.checkpoint, directory.previous
    try:
        return last, _checked(directory, last)
    except (FileNotFoundError, ValueError) as error:
        if not previous.exists():
            raise
        try:
            state = _checked(directory, previous)
        except (FileNotFoundError, ValueError):
            raise error from None
        reason = in_one_line(error) if isinstance(error, ValueError) else f"there is no {last.name}"
        step = state["trainer"]["step"]
        reporter.warn(f"{reason}. The run goes on from the checkpoint before it, of step {step:,}")
        return previous, state


def _checked(directory: RunDirectory, path: Path) -> Any:
    """The state in a checkpoint; a ValueError unless it is one that a run can go on from."""
    state, name = directory.load_checkpoint(path), repr(str(path))
    check_form(state, FORM, name)
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
