"""Options and arguments that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Any

import typer

from models.runs import messages
from models.runs.cell_files import cell_of
from models.runs.directory import RunDirectory
from models.runs.loaded_run import LoadedRun, load_from
from models.runs.settings import Settings

Weights = StrEnum("Weights", ["best", "last"])
"""Which weights of a run: those that were best in validation, or the last."""

DEVICE = "Where to compute: cpu or cuda, the current GPU; wherever the model was trained."
"""What the option ``--device`` does."""


CELL = "The file of the run's cell, if it has one of its own: no file is run just for its name."
"""What the option ``--cell`` does for a model that is there."""


def loaded(
    command: str, directory: Path, weights: Weights, device: str, cell: str | None
) -> LoadedRun:
    """The run in `directory`, with the cell that `cell` names, if it has one of its own."""
    run = RunDirectory(directory)
    asked = messages.command(command, directory)
    own = cell_of(run.read_settings(Settings), cell, asked, run.cell_sha256)
    return load_from(run, weights.value, device, own and own.make)


def path(text: str) -> Path:
    """The path in an option or an argument; an empty one would mean the current directory."""
    if not text.strip():
        raise typer.BadParameter("a path must not be empty")
    return Path(text)


def option(help: str, panel: str | None, *names: str, **more: Any) -> Any:
    """An option of a command, under the heading `panel` of its ``--help``."""
    return typer.Option(*names, help=help, rich_help_panel=panel, **more)
