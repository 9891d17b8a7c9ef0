"""The language model that a run has left in its directory."""

from __future__ import annotations

from typing import Any, NamedTuple

from minigrad.data import Tokenizer
from models.runs.directory import RunDirectory
from models.runs.new_model import Model
from models.runs.saved_model import restore
from models.runs.settings import Settings


class LoadedRun(NamedTuple):
    """What `load_from` finds."""

    model: Model
    tokenizer: Tokenizer
    settings: Settings
    step: int
    """The step of training that the weights are from."""
    saw_unknown: bool
    """Whether the model was trained on a text with unknown tokens in it."""
    corpus: str
    """The fingerprint of that text; empty if it is not known."""


def load_from(
    directory: RunDirectory, which: str = "best", device: str | None = None, cell: Any = None
) -> LoadedRun:
    """The model, its tokens and the settings, as they were written here.

    Parameters
    ----------
    directory
        where.
    which
        ``"best"``: the weights that were best in validation; ``"last"``: those at the end.
    device
        where to put the model, wherever it was trained; None: on the default device.
    cell
        what makes the cells of a run with a cell of one's own, such as its class.

    Raises
    ------
    FileNotFoundError
        if there is no run here, or a file of it is missing.
    ValueError
        if a file is damaged, or is not of this run (the message names it); or if the run has
        a cell of one's own, and it is not given.
    """
    if which not in ("best", "last"):
        raise ValueError(f"load: which must be 'best' or 'last', not {which!r}")
    settings = directory.read_settings(Settings)
    if settings.own_cell is not None and cell is None:
        place, name = settings.own_cell
        raise ValueError(
            f"load: the cell of the run in {str(directory.path)!r} is {name} in {place!r}, and no "
            f"Python file is run because a run names it. If you trust it, import {name}, and "
            f"write load_run({str(directory.path)!r}, cell={name})"
        )
    if settings.own_cell is None and cell is not None:
        raise ValueError(f"load: cell is given, but that of the run is {settings.cell_name}")
    described, path = directory.load_model(which)
    tokenizer = directory.load_tokenizer()
    model = restore(described, tokenizer, path, directory.run_id, cell=cell).to(device)
    about = (described[name] for name in ("step", "saw_unknown", "corpus"))
    return LoadedRun(model, tokenizer, settings, *about)
