"""Going on with a run of a language model: with which text, and which model."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from models.runs.blas_kernels import products, restart_for
from models.runs.cell_files import OwnCell, try_cell
from models.runs.directory import RunDirectory
from models.runs.going_on import FORM, check_kept, go_on
from models.runs.language_modelling import LanguageModelling, new_run
from models.runs.leading import Leader
from models.runs.new_model import model_arguments
from models.runs.own_text import check_at_hand, corpus_of, own_sources
from models.runs.run import Run
from models.runs.saved_model import restore
from models.runs.settings import Settings
from models.runs.task import Task
from models.showing.reporter import Reporter


def generators(value: Any) -> bool:
    """names with values, or a list of them for several shards"""  # noqa: D400 (in messages)
    items = value if isinstance(value, list) else [value]
    return all(isinstance(item, dict) for item in items)


OWN_FORM = {**FORM, "trainer": {**FORM["trainer"], "rng": generators, "lengths": dict}}
"""The form of a checkpoint of a language model."""


def resume(
    settings: Settings,
    directory: RunDirectory,
    reporter: Reporter,
    given: Collection[str] = (),
    cell: OwnCell | None = None,
    leader: Leader | None = None,
) -> Run:
    """The run in `directory`, as it was when its last checkpoint was written: see `go_on`.

    Parameters
    ----------
    settings, directory, reporter
        as for `go_on`.
    given
        the names of the settings that are not the run's own.
    cell
        the one that the settings name, if it is one of one's own.
    leader
        of all processes, if there are several.

    Raises
    ------
    OSError, ValueError, ModuleNotFoundError
        if there is no run, a file of it is damaged or of another run, or the text is not the one
        that it was.
    """
    check_at_hand(settings, given)
    make, sha256 = (None, "") if cell is None else cell

    def again(path: Path, state: Mapping[str, Any]) -> Task:
        rng, tokenizer = np.random.default_rng(settings.seed), directory.load_tokenizer()
        model = restore(state["model"], tokenizer, path, directory.run_id, rng, make)
        check_kept(settings, directory, state)
        if model.settings() != model_arguments(settings, len(tokenizer), make):
            raise ValueError(f"{str(path)!r} holds another model than config.toml asks for")
        if cell is not None:
            try_cell(cell, settings)
        corpus = corpus_of(settings, tokenizer)
        if corpus.fingerprint != state["corpus"]:
            raise _another_text(settings, directory)
        model = model.to(settings.device)
        all_ranks = leader or Leader()
        task = LanguageModelling(
            *(settings, corpus, model, rng, reporter.warn, sha256, all_ranks.communicator)
        )
        return all_ranks.lead(task, directory)

    def anew() -> Run:
        return _begun_anew(settings, directory, reporter, given, cell, leader)

    return go_on(settings, directory, reporter, anew, again, OWN_FORM)


def _begun_anew(
    settings: Settings,
    directory: RunDirectory,
    reporter: Reporter,
    given: Collection[str],
    cell: OwnCell | None,
    leader: Leader | None,
) -> Run:
    """A run that was stopped before its first checkpoint: it begins again."""
    restart_for(settings, products(settings))
    run = new_run(settings, directory, reporter, cell, leader)
    before, fingerprint = directory.read_settings(Settings), run.task.fingerprint
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
