"""``python -m models baselines``: what simpler models reach on the text of a run."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer
from rich.text import Text

from minigrad.files import printable
from models.commands.compare import NOTHING, names, summary, table
from models.commands.ending import ended_by_ctrl_c, told_in_one_line
from models.commands.evaluate import Part, figures, finite, own_corpus, parts_of, read_part, watched
from models.commands.shared import CELL, DEVICE, Weights, loaded, option, path
from models.corpus import Ids
from models.devices import using
from models.measuring.evaluation import Evaluation, check_ids, evaluate
from models.measuring.units import UNITS, Unit, incomparable
from models.runs.directory import RunDirectory
from models.runs.loaded_run import LoadedRun
from models.runs.settings import Settings
from models.showing.output import Terminal, say, say_json, warn
from models.simpler.kneser_ney import KneserNey


class Row(NamedTuple):
    """A model in the table."""

    model: str
    learned_in: float | None
    """Seconds; None: not known."""

    texts: list[dict[str, Any]]
    """Its figures on each text, as `models.commands.evaluate.figures` gives them."""


def baselines(
    directories: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR...",
            help="The directories of runs on one text, with one tokenizer.",
            parser=path,
        ),
    ],
    *,
    order: Annotated[
        int, option("The longest n-grams: a token and the n - 1 before it.", None, min=1)
    ] = 5,
    text: Annotated[
        str | None,
        option("A file in UTF-8. (default: what the run validates and tests on)", None),
    ] = None,
    weights: Annotated[
        Weights, option("Those that were best in validation, or the last.", None)
    ] = Weights.best,
    device: Annotated[str, option(DEVICE, None, metavar="DEVICE")] = "cpu",
    cell: Annotated[str | None, option(CELL, None, metavar="FILE.py:CELL")] = None,
    streams: Annotated[
        int,
        option(
            "The runs read the text in so many pieces side by side: faster, and nearly exact.",
            None,
            min=1,
        ),
    ] = 1,
    as_json: Annotated[bool, option("Print one JSON object.", None, "--json")] = False,
) -> None:
    """Compare trained models with n-grams that learn from the same text, in one table.

    Uniform: all tokens are equally probable. n-grams: modified Kneser-Ney smoothing (Chen and
    Goodman 1999), always with the shorter ones added. Each token but the first is predicted from
    those before it; the vocabulary is that of the run.
    """
    with told_in_one_line(), ended_by_ctrl_c(), using(device):
        runs = _loaded(directories, weights, device, cell)
        for directory, run in zip(directories, runs, strict=True):
            if run.corpus != runs[0].corpus:
                raise ValueError(
                    f"{str(directory)!r} was trained on another text than "
                    f"{str(directories[0])!r}, or with other tokens"
                )
        first = runs[0]
        corpus = own_corpus(first)
        parts = parts_of(corpus) if text is None else [read_part(first, text, None)]
        for part in parts:
            check_ids("baselines", part.ids)
            if note := incomparable(corpus.unknown(part.ids)):
                warn(f"{part.name}: {note}")
        rows = list(_ngram_rows(first, corpus.train, parts, order))
        for directory, run, name in zip(directories, runs, names(directories), strict=True):
            rows.append(_run_row(directory, run, name, parts, streams))
        unit = UNITS[first.settings.level]
        if as_json:
            found = [{**row._asdict(), "texts": [*map(finite, row.texts)]} for row in rows]
            say_json({"unit": unit.name, "models": found})
            return
        say(f"{unit.name}; all have learned from {len(corpus.train):,} {first.settings.unit}\n")
        plain = not Terminal().is_terminal
        Terminal(width=100_000 if plain else None).print(table(_told(rows, unit), plain=plain))


def _loaded(
    directories: Sequence[Path], weights: Weights, device: str, cell: str | None
) -> list[LoadedRun]:
    """The runs; `cell` is for those that have a cell of their own, if there are any."""
    own = [RunDirectory(each).read_settings(Settings).own_cell is not None for each in directories]
    cells = [cell if is_own or not any(own) else None for is_own in own]
    return [
        loaded("baselines", each, weights, device, given)
        for each, given in zip(directories, cells, strict=True)
    ]


def _ngram_rows(run: LoadedRun, train: Ids, parts: Sequence[Part], order: int) -> Iterator[Row]:
    """The uniform distribution, and n-grams up to those of `order`, which learn from `train`."""
    vocab_size = len(run.tokenizer)
    nats = float(np.log(vocab_size))
    found = [figures(run, part, Evaluation(nats, len(part.ids) - 1), 0.0) for part in parts]
    yield Row("uniform", 0.0, found)
    for k in range(1, order + 1):
        began = time.perf_counter()
        model = KneserNey(train, vocab_size, k)
        learned_in, found = time.perf_counter() - began, []
        for part in parts:
            began = time.perf_counter()
            nats = -float(model.log_probabilities(part.ids)[1:].mean())
            evaluation = Evaluation(nats, len(part.ids) - 1)
            found.append(figures(run, part, evaluation, time.perf_counter() - began))
        yield Row(f"{k}-gram", round(learned_in, 3), found)


def _run_row(
    directory: Path, run: LoadedRun, name: str, parts: Sequence[Part], streams: int
) -> Row:
    """A trained model; how long it has learned, its metrics know."""
    found = []
    for part in parts:
        began = time.perf_counter()
        evaluation = watched(
            lambda ids, progress: evaluate(run.model, ids, streams=streams, progress=progress), part
        )
        found.append(figures(run, part, evaluation, time.perf_counter() - began))
    learned_in = summary(directory, name).seconds
    return Row(f"{name}: {run.settings.cell_name}", learned_in, found)


def _told(rows: Sequence[Row], unit: Unit) -> list[list[Text]]:
    """The table."""
    parts = [printable(each["text"]) for each in rows[0].texts]
    headings = ["model", *parts, "learned in", "measured in"]
    lines = [[Text(heading, "bold") for heading in headings]]
    for row in rows:
        losses = [each["nats_per_token"] for each in row.texts]
        told = [unit.told(nats).replace(unit.short, "").strip() for nats in losses]
        seconds = [row.learned_in, sum(each["seconds"] for each in row.texts)]
        cells = [row.model, *told, *map(_seconds, seconds)]
        lines.append([Text(printable(cell)) for cell in cells])
    return lines


def _seconds(value: float | None) -> str:
    return NOTHING if value is None else f"{value:,.1f} s"
