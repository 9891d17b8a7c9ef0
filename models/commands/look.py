"""``python -m models look``: see through a trained model, in one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn

from minigrad.files import printable
from minigrad.viz import Page
from models.commands.ending import ended_by_ctrl_c, told_in_one_line
from models.commands.evaluate import own_parts, read_part
from models.commands.shared import CELL, DEVICE, Weights, loaded, option, path
from models.devices import using
from models.measuring.units import UNITS
from models.rnnlm import RNNLM
from models.runs.directory import RunDirectory
from models.runs.loaded_run import LoadedRun
from models.runs.messages import title
from models.showing.output import Terminal, say

LEAST = 16
"""Tokens that a text must have to be looked at."""


def look(
    directory: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="The directory that a training run left.", parser=path),
    ],
    *,
    out: Annotated[
        Path | None, option("Where to write the page. (default: DIR/look.html)", None, parser=path)
    ] = None,
    text: Annotated[
        str | None, option("A file in UTF-8. (default: what the run validates on)", None)
    ] = None,
    tokens: Annotated[
        int, option("Tokens of the text that the units are shown on.", None, min=LEAST, max=20_000)
    ] = 2000,
    steps: Annotated[
        int, option("Time steps that gradients are followed through.", None, min=2, max=400)
    ] = 100,
    weights: Annotated[
        Weights, option("Those that were best in validation, or the last.", None)
    ] = Weights.best,
    device: Annotated[str, option(DEVICE, None, metavar="DEVICE")] = "cpu",
    cell: Annotated[str | None, option(CELL, None, metavar="FILE.py:CELL")] = None,
) -> None:
    """See through a trained model: one page that opens offline in any browser.

    Its curves; what its units follow, and what it expects at each place of a text; how the gradient
    runs back through time, and what truncated BPTT drops of it; the tape, to walk along forward and
    back; its layers; and the loss around it. The text is read here, and goes into the page.
    """
    place = RunDirectory(directory).look if out is None else out
    with told_in_one_line(), ended_by_ctrl_c(), using(device):
        if not directory.is_dir():
            raise FileNotFoundError(f"there is no directory {str(directory)!r}")
        if place.is_dir() or not place.absolute().parent.is_dir():  # said before the work
            raise FileNotFoundError(f"there can be no file {str(place)!r}: --out names a file")
        run = loaded("look", directory, weights, device, cell)
        _page(directory, run, text, tokens, steps).write(place)
    say(f"{printable(place)}: open it in a browser")


def _page(directory: Path, run: LoadedRun, text: str | None, tokens: int, steps: int) -> Page:
    from models.showing.looking import PARTS, Reading, of_curves, views_of  # which takes a while

    s = run.settings
    if not isinstance(run.model, RNNLM):
        raise ValueError(f"look is for recurrent networks; {str(directory)!r} has another one")
    part = own_parts(run)[0] if text is None else read_part(run, text, None)
    ids = part.ids[:tokens]
    if len(ids) < LEAST:
        raise ValueError(f"{part.name} has {len(ids)} tokens; a look needs {LEAST} or more")
    window = min(s.bptt, len(ids) - 1)
    reading = Reading(
        run.model, run.tokenizer, ids, min(steps, len(ids) - 1), window, s.clip or None
    )
    kept = RunDirectory(directory)
    records = kept.log().read() if kept.metrics.exists() else []
    views = of_curves(records, UNITS[s.level], title(s))
    console = Terminal(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(None))
    bar = Progress(*columns, console=console, disable=not console.is_terminal, transient=True)
    with bar:
        task = bar.add_task("", total=len(PARTS))
        for name in PARTS:
            bar.update(task, description=name)
            views += views_of(reading, name)
            bar.advance(task)
    about = (
        f"The weights are those of step {run.step:,}. The model reads {len(ids):,} tokens of "
        + ("the validation text." if text is None else f"{part.name}.")
    )
    return Page(title(s), views, text=about)
