"""``python -m models classify``: train a classifier of texts, measure it, and use it."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from minigrad.files import printable
from models.commands.ending import ended_by_ctrl_c, told_in_one_line
from models.commands.shared import DEVICE, Weights, option, path
from models.commands.training import training
from models.devices import using
from models.labelled_texts import read_labelled, told_bad
from models.measuring.confusion import Scores, confusion, scores
from models.runs.directory import RunDirectory
from models.runs.run import Run
from models.showing.output import say, say_json, warn
from models.showing.reporter import Reporter
from models.tasks.classify_settings import ClassifySettings
from models.tasks.classifying import (
    UNIT,
    new_run,
    parts_of,
    resume,
    simpler_methods,
    told_scores,
)
from models.tasks.saved_classifier import TOGETHER, LoadedClassifier, load_classifier

Directory = Annotated[
    Path, typer.Argument(metavar="DIR", help="The directory that a training run left.", parser=path)
]


class _Beginning:
    """A run that begins, or goes on."""

    def __init__(
        self,
        settings: ClassifySettings,
        directory: RunDirectory,
        reporter: Reporter,
        given: Mapping[str, Any],
        asked: str,
        anew: bool,
    ) -> None:
        self.all = (_with_absolute_paths(settings), directory, reporter)

    def new(self) -> Run:
        """A new run."""
        return new_run(*self.all)

    def resumed(self) -> Run:
        """The run in the directory."""
        return resume(*self.all)


def _with_absolute_paths(s: ClassifySettings) -> ClassifySettings:
    """The same settings with absolute paths: a run may be resumed from another directory."""
    return dataclasses.replace(
        s,
        data=tuple(str(Path(each).absolute()) for each in s.data),
        valid=s.valid and str(Path(s.valid).absolute()),
        test=s.test and str(Path(s.test).absolute()),
    )


@training(ClassifySettings, lambda settings: UNIT, _Beginning)
def train() -> None:
    """Train a recurrent network to tell which class a text is of, and leave it in a directory.

    Ctrl-C stops the training; `--resume DIR` goes on with it, as if it had never been stopped.

    In the end its figures are printed beside those of simpler methods on the same texts: the most
    frequent class, and Naive Bayes on words and on pieces of 1 to 4 characters.
    """


def evaluate(
    directory: Directory,
    *,
    data: Annotated[
        Path | None,
        option(
            "A file with texts and labels. (default: what the run tests on)",
            None,
            metavar="FILE.tsv",
            parser=path,
        ),
    ] = None,
    weights: Annotated[
        Weights, option("Those that were best in validation, or the last.", None)
    ] = Weights.best,
    device: Annotated[str, option(DEVICE, None, metavar="DEVICE")] = "cpu",
    as_json: Annotated[bool, option("Print one JSON object.", None, "--json")] = False,
) -> None:
    """Measure a classifier, and beside it simpler methods that learn from the same texts."""
    with told_in_one_line(), ended_by_ctrl_c(), using(device):
        run = load_classifier(RunDirectory(directory), weights.value, device)
        parts, on, name = None, None, str(data)
        if data is not None:
            columns = (run.settings.text_column, run.settings.label_column)
            on, bad = read_labelled(data, *columns)
            if bad:
                warn(f"{len(bad):,} lines are left out: {told_bad(bad)}")
            if unseen := sorted(set(on.labels) - set(run.classes)):
                raise ValueError(f"{name!r} has a label {unseen[0]!r:.60}, which the run has not")
        try:
            parts = parts_of(run.settings)
        except OSError:
            if on is None:
                raise
        if parts is not None and parts.fingerprint != run.corpus:
            if on is None:
                raise ValueError(
                    f"{', '.join(run.settings.data)} is not the data that the run was trained on; "
                    "--data says what to measure on"
                )
            parts = None
        if on is None:
            assert parts is not None
            on, name = (parts.valid, "valid") if parts.test is None else (parts.test, "test")
        ids_of = {label: id for id, label in enumerate(run.classes)}

        def numbered(labels: list[str]) -> Any:
            return np.array([ids_of[label] for label in labels], np.int64)

        truth, C = numbered(on.labels), len(run.classes)
        found = scores(confusion(truth, run.probabilities(on.texts).argmax(-1), C))
        table = {"the network": found}
        if parts is not None:
            train_, valid = ((p.texts, numbered(p.labels)) for p in (parts.train, parts.valid))
            table |= simpler_methods(train_, valid, (on.texts, truth), C)
        if as_json:
            say_json(_as_json(directory, weights, run, name, len(truth), table))
            return
        say(f"{printable(directory)}: {weights.value} weights, those of step {run.step:,}")
        say(f"{printable(name)}: {len(truth):,} texts\n")
        say("\n".join(told_scores(list(table.items()), run.classes)))


def _as_json(
    directory: Path,
    weights: Weights,
    run: LoadedClassifier,
    name: str,
    count: int,
    table: Mapping[str, Scores],
) -> dict[str, Any]:
    return {
        "directory": str(directory),
        "weights": weights.value,
        "step": run.step,
        "data": name,
        "texts": count,
        "methods": {
            method: {
                "accuracy": figures.accuracy,
                "macro_f1": figures.macro_f1,
                "f1": dict(zip(run.classes, figures.f1, strict=True)),
            }
            for method, figures in table.items()
        },
    }


def predict(
    directory: Directory,
    text: Annotated[
        str | None,
        typer.Argument(
            metavar="[TEXT]", help="A text; else --file, or each line of the standard input."
        ),
    ] = None,
    *,
    file: Annotated[
        Path | None, option("A file with a text in each line.", None, metavar="FILE", parser=path)
    ] = None,
    weights: Annotated[
        Weights, option("Those that were best in validation, or the last.", None)
    ] = Weights.best,
    device: Annotated[str, option(DEVICE, None, metavar="DEVICE")] = "cpu",
    as_json: Annotated[
        bool,
        option("A JSON object in each line, with the probability of each class.", None, "--json"),
    ] = False,
) -> None:
    """Say which class each text is of, and how probable that is. Blank lines are left out."""
    with told_in_one_line(), ended_by_ctrl_c(), using(device):
        if text is not None and file is not None:
            raise ValueError("a text and --file: give one of them")
        if text is not None and not text.strip():
            raise ValueError("the text is empty")
        run = load_classifier(RunDirectory(directory), weights.value, device)
        lines = _lines(file) if text is None else iter([(1, text)])
        together = 1 if file is None else TOGETHER  # who writes a line waits for the answer
        while some := list(islice(lines, together)):
            chances = run.probabilities([each for _, each in some])
            for (number, each), row in zip(some, chances.tolist(), strict=True):
                best = int(np.argmax(row))
                if as_json:
                    of_class = {c: round(p, 6) for c, p in zip(run.classes, row, strict=True)}
                    about = {"line": number, "text": each, "label": run.classes[best]}
                    say_json(
                        {**about, "probability": round(row[best], 6), "probabilities": of_class}
                    )
                else:
                    say(f"{printable(run.classes[best])}\t{row[best]:.3f}\t{printable(each)}")


def _lines(file: Path | None) -> Iterator[tuple[int, str]]:
    """The lines of a file, or the standard input, that are not blank; their numbers, from 1."""
    name = "the standard input" if file is None else repr(str(file))
    source = sys.stdin.buffer if file is None else file.open("rb")
    with source:
        for number, line in enumerate(source, 1):
            try:
                decoded = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
            except UnicodeDecodeError as error:
                raise ValueError(f"{name} is not UTF-8, in line {number}: {error}") from error
            if decoded:
                yield number, decoded


classify = typer.Typer(
    help="Tell which class a text is of: sentiment, spam, the language of a name.",
    no_args_is_help=True,
    add_completion=False,
)
for command in (train, evaluate, predict):
    classify.command()(command)
