"""Your own cell in a Python file: ``--cell FILE.py:MyCell``.

A run directory may come from a stranger. So a file is never run because the settings of a run name
it: whoever resumes the run, or uses its model, must name the file again.
"""

from __future__ import annotations

import difflib
import hashlib
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np

from minigrad import Tensor, nn
from minigrad.training import evaluating
from models.devices import device_of, moved, using
from models.rnnlm import RNNLM
from models.runs.new_model import model_arguments
from models.runs.settings import Settings
from models.showing.output import warn

MODULE = "minigrad_cell"
"""The module name of the file while it runs; it shows which lines of a traceback are from it."""


class OwnCell(NamedTuple):
    """A cell from a file."""

    make: Callable[..., nn.Module]
    """The class, or the function that makes cells, for `minigrad.nn.Recurrent`."""

    sha256: str
    """The hash of the file."""


def cell_of(s: Settings, given: str | None, command: str, sha256: str = "") -> OwnCell | None:
    """The cell of a run from the file that `given` names; None if the run has one of minigrad's.

    Parameters
    ----------
    s
        the settings of the run.
    given
        the user's --cell; None: there was none.
    command
        the user's command, without --cell.
    sha256
        the hash of the file when the run began; empty: it begins now.

    Raises
    ------
    OSError, ValueError
        if `given` is not the cell of the run, or is missing, or cannot be loaded. The message has
        the command to write.
    """
    if given is not None and Settings.kept("cell", given) != Settings.kept("cell", s.cell):
        right = "leave out --cell" if s.own_cell is None else f"write --cell FILE.py:{s.cell_name}"
        raise ValueError(f"--cell {given}: the cell of the run is {s.cell_name}; {right}")
    if s.own_cell is None:
        return None
    file, name = s.own_cell
    if given is None:
        raise ValueError(
            f"the cell of the run is {name} in {file!r}, and a Python file is run only if the "
            f"command names it. If you trust it: {command}{s.cell_option}"
        )
    cell = load_cell(given)
    if sha256 not in ("", cell.sha256):
        warn(f"{given.rpartition(':')[0]!r} has been changed since the run began")
    return cell


def load_cell(text: str) -> OwnCell:
    """Run the file of ``FILE.py:MyCell``, as Python runs a script, and take the cell from it.

    Raises
    ------
    OSError
        if the file cannot be read.
    ValueError
        if it cannot be run, or has no class or function of this name.
    """
    file, _, name = text.rpartition(":")
    path = Path(file)
    if not file:
        raise ValueError(f"--cell {text}: a cell of your own is given as FILE.py:{name}")
    if not path.is_file():
        raise FileNotFoundError(f"--cell {text}: there is no file {file!r}")
    source, module, folder = path.read_bytes(), ModuleType(MODULE), str(path.absolute().parent)
    module.__file__, sys.modules[MODULE] = str(path.absolute()), module
    sys.path.insert(0, folder)
    try:
        with _one_line(text):
            exec(compile(source, str(path), "exec", dont_inherit=True), vars(module))
    finally:
        if folder in sys.path:
            sys.path.remove(folder)
    if name not in vars(module):
        close = difflib.get_close_matches(name, vars(module), n=1)
        meant = f"; is {close[0]} meant?" if close else ""
        raise ValueError(f"--cell {text}: there is no {name} in {file!r}{meant}")
    cell = vars(module)[name]
    if not callable(cell):
        raise ValueError(
            f"--cell {text}: {name} must be a class or function that makes cells from "
            f"(input_size, hidden_size), not a {type(cell).__name__}"
        )
    return OwnCell(cell, hashlib.sha256(source).hexdigest())


def try_cell(cell: OwnCell, s: Settings) -> None:
    """Train a small model with `cell` for one step, before the run depends on it.

    If a second model from the same seed is different, a warning says so.

    Raises
    ------
    ValueError
        if the model cannot be trained. A warning tells of parameters that no gradient reaches, of
        float64 where float32 went in, and of a second model from the same seed that is different.
    """
    with np.errstate(all="ignore"), using(s.device), _one_line(s.cell):
        (model, loss), again = (_trained(cell, s) for _ in range(2))
    if _bits(model, loss) != _bits(*again):
        warn(
            f"{s.cell_name} draws from elsewhere than the run, so the same --seed does not give "
            "the same run. nn.init, nn.Dropout, or an argument rng of the cell draw from the run"
        )
    parameters = model.recurrent[0].named_parameters()
    lost = [name for name, p in parameters if p.requires_grad and p.grad is None]
    if lost:
        warn(
            f"{s.cell_name}: no gradient reaches {', '.join(lost)}, so training leaves them as "
            "they are. Either the cell does not use them, or it computes with .data or .numpy(), "
            "which are off the tape"
        )
    if loss.dtype != model.output.weight.dtype:
        warn(
            f"{s.cell_name} makes {loss.dtype} of {model.output.weight.dtype}, which takes twice "
            "the time. The usual cause is an array that NumPy made: write np.ones(n, x.dtype)"
        )


def _trained(cell: OwnCell, s: Settings) -> tuple[RNNLM, Tensor]:
    """A model of two tokens after two time steps, there and back; and its loss."""
    model = RNNLM(**model_arguments(s, 2, cell.make), rng=np.random.default_rng(s.seed))
    ids = moved(np.zeros((2, s.batch_size), int), device_of(model.to(s.device)))
    objective = model.objective(ids, ids)
    objective.total.backward()
    with evaluating(model):
        model(ids[:, :1])
    return model, objective.loss


def _bits(model: RNNLM, loss: Tensor) -> list[bytes]:
    """A loss, the parameters and their gradients."""
    values = [each for p in model.parameters() for each in (p, p.grad) if each is not None]
    return [value.numpy().tobytes() for value in (loss, *values)]


@contextmanager
def _one_line(text: str) -> Iterator[None]:
    """Within it, any error becomes a ValueError with a message of one line."""
    try:
        yield
    except (Exception, SystemExit) as error:
        raise ValueError(f"--cell {text}: {in_cell(error) or error}") from error


def in_cell(error: BaseException) -> str:
    """The message of an error, with its line in the cell's file; empty if it is not from there."""
    lines = [
        (number, frame.f_code.co_filename)
        for frame, number in traceback.walk_tb(error.__traceback__)
        if frame.f_globals.get("__name__") == MODULE
    ]
    if not lines:
        return ""
    number, file = lines[-1]
    return f"{type(error).__name__} in line {number} of {file!r}: {error}"
