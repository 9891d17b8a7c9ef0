"""``python -m models train``: begin a run of a language model, or go on with one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from minigrad.data import CORPORA
from models.commands.training import asked_for, training
from models.measuring.units import UNITS
from models.runs.cell_files import cell_of
from models.runs.directory import RunDirectory
from models.runs.language_modelling import new_run
from models.runs.ranks import follow, meet, prepared
from models.runs.resuming import resume
from models.runs.run import Run
from models.runs.settings import Settings
from models.showing.reporter import Reporter


class _Beginning:
    """A run of a language model that begins, or goes on."""

    def __init__(
        self,
        settings: Settings,
        directory: RunDirectory,
        reporter: Reporter,
        given: Mapping[str, Any],
        asked: str,
        anew: bool,
    ) -> None:
        settings = prepared(settings, None if anew else directory)
        cell = cell_of(settings, given.get("cell"), asked, directory.cell_sha256)
        self.settings, self.given = _with_absolute_paths(settings), given
        self.others = (directory, reporter)
        self.cell, self.leader = cell, meet(settings)

    def new(self) -> Run:
        """A new run."""
        return new_run(self.settings, *self.others, self.cell, self.leader)

    def resumed(self) -> Run:
        """The run in the directory."""
        return resume(self.settings, *self.others, self.given, self.cell, self.leader)


def _follow(own: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """What the ranks of several processes do that do not lead: see `models.runs.ranks`."""
    if own["resume"] is None:
        follow(given, prepared(asked_for(Settings, own, given).settings))
    directory = RunDirectory(own["resume"])
    with suppress(OSError, ValueError):  # they can do without it, where it is not to be seen
        prepared(directory.read_settings(Settings).changed(given), directory)
    follow(given, None)


@training(Settings, lambda settings: UNITS[settings.level], _Beginning, _follow)
def train() -> None:
    """Train a language model, and leave it in a directory.

    The defaults train a model of characters on Python's documentation in a minute or two.

    Ctrl-C stops the training; `--resume DIR` goes on with it, as if it had never been stopped.

    A loss here is the mean over all tokens, in nats. Papers that add it up over the T tokens of a
    window have T times smaller learning rates, and T times larger limits of the gradient: their
    `lr 1, clip 5` at T = 20 is `--lr 20 --clip 0.25`. The recipes are converted already.
    """


def _with_absolute_paths(s: Settings) -> Settings:
    """The same settings with absolute paths: a run may be resumed from another directory."""

    def absolute(text: str) -> str:
        is_path = text not in CORPORA and Path(text).exists()
        return str(Path(text).absolute()) if is_path else text

    return dataclasses.replace(
        s,
        text=tuple(map(absolute, s.text)),
        valid=s.valid and absolute(s.valid),
        test=s.test and absolute(s.test),
        cell=s.cell if s.own_cell is None else ":".join([absolute(s.own_cell[0]), s.own_cell[1]]),
    )
