"""``python -m models compare``: several runs in one table, and in one picture."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from rich import box
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text
from safetensors import SafetensorError, safe_open

from minigrad.files import printable
from minigrad.training import write_atomically
from minigrad.viz.colours import COLOURS
from models.commands.ending import told_in_one_line
from models.commands.shared import path
from models.measuring.units import UNITS, Unit, incomparable
from models.runs.directory import RunDirectory, read_task, read_toml
from models.showing.output import Terminal, say, say_json
from models.tasks.problems import PROBLEMS

Axis = StrEnum("Axis", ["step", "epoch", "seconds", "tokens"])

PNG = b"\x89PNG\r\n\x1a\n"
NOTHING = "–"


class Summary(NamedTuple):
    """What is known about a run; None where nothing is."""

    name: str
    directory: Path
    unit: Unit
    references: Mapping[str, float]
    settings: dict[str, Any]
    records: list[dict[str, Any]]
    parameters: int | None
    steps: int
    epochs: float | None
    seconds: float | None
    tokens_per_second: float | None
    train_loss: float | None
    best_valid_loss: float | None
    best_valid_step: int | None
    test_loss: float | None
    unknown: float
    """The largest share of `<unk>` in what it was validated or tested on."""


def compare(
    directories: Annotated[
        list[Path],
        typer.Argument(metavar="DIR...", help="The directories of the runs.", parser=path),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.png", help="Also draw their losses, into this file.", parser=path
        ),
    ] = None,
    x: Annotated[
        Axis | None, typer.Option(help="What to draw them against. (default: step)")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, not a table.")] = False,
) -> None:
    """Compare runs: settings and results in a table; with --out, their losses in a picture.

    Of the settings, those are shown in which the runs differ. A run that is still going on, or was
    stopped, is shown as far as it has come.
    """
    with told_in_one_line():
        if out is not None:
            _check_picture(out)
        elif x is not None:
            raise ValueError(f"--x {x.value} is for the picture, which needs --out FILE.png")
        unique = list({directory.resolve(): directory for directory in directories}.values())
        runs = [
            summary(directory, name) for directory, name in zip(unique, names(unique), strict=True)
        ]
        if out is not None:
            from models.showing.curves import comparison  # which takes a while

            drawn = [(run.name, run.records, run.unit) for run in runs]
            references = {k: v for run in runs for k, v in run.references.items()}
            picture = comparison(drawn, (x or Axis.step).value, references)
            write_atomically(out, picture)
        if as_json:
            say_json([_as_json(run) for run in runs], indent=2)
            return
        _print(runs)
        for run in runs:
            if note := incomparable(run.unknown):
                say(f"{run.name}: {note}")
        say("--out FILE.png draws the losses" if out is None else f"picture: {printable(out)}")


def summary(directory: Path, name: str) -> Summary:
    """Read a run.

    Raises
    ------
    OSError, ValueError
        if there is no run, or it is damaged. The message names the directory or the file.
    """
    run = RunDirectory(directory)
    if not directory.is_dir():
        raise FileNotFoundError(f"there is no directory {str(directory)!r}")
    run.check_files()
    if not run.config.is_file():
        raise FileNotFoundError(f"{str(directory)!r} holds no run: it has no config.toml")
    settings = read_toml(run.config)
    unit, references = _loss_of(run.config, settings)
    records = run.log().read() if run.metrics.exists() else []
    for number, record in enumerate(records, start=1):
        for key, kinds in (("step", (int,)), ("split", (str,)), ("loss", (int, float))):
            if not isinstance(record.get(key), kinds):
                raise ValueError(
                    f"line {number} of {str(run.metrics)!r} is no record: its {key} is "
                    f"{record.get(key)!r}"
                )
    by_split: dict[str, list[dict[str, Any]]] = {"train": [], "valid": [], "test": []}
    for record in records:
        if math.isfinite(record["loss"]):
            by_split.setdefault(record["split"], []).append(record)
    train, test = by_split["train"], by_split["test"]
    best = min(by_split["valid"], key=lambda record: record["loss"], default=None)
    speeds = _numbers(train, "tokens_per_second")
    return Summary(
        name=name,
        directory=directory,
        unit=unit,
        references=references,
        settings=settings,
        records=records,
        parameters=_parameters(run.model),
        steps=max((record["step"] for record in records), default=0),
        epochs=max(_numbers(records, "epoch"), default=None),
        seconds=max(_numbers(records, "seconds"), default=None),
        tokens_per_second=statistics.median(speeds) if speeds else None,
        train_loss=train[-1]["loss"] if train else None,
        best_valid_loss=best["loss"] if best else None,
        best_valid_step=best["step"] if best else None,
        test_loss=test[-1]["loss"] if test else None,
        unknown=max(_numbers(by_split["valid"] + test, "unk"), default=0.0),
    )


def _loss_of(config: Path, settings: Mapping[str, Any]) -> tuple[Unit, Mapping[str, float]]:
    """The unit of a run's loss, and losses to compare with, by its settings and their file."""
    task, level = read_task(config), settings.get("level")
    for problem in PROBLEMS:
        if problem.kind.task == task:
            own = problem.kind.saved(settings)
            return problem.unit_of(own), problem.references(own)
    if task or not isinstance(level, str) or level not in UNITS:
        found = f"task is {task!r}" if task else f"level is {level!r}"
        raise ValueError(f"{str(config)!r} is not of a run: its {found}")
    return UNITS[level], {}


def differences(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names of the settings that are not the same in all of `settings`, in their order."""
    names = dict.fromkeys(name for each in settings for name in each)
    return [n for n in names if any(each.get(n) != settings[0].get(n) for each in settings)]


# ---------------------------------------------------------------------- reading


def _numbers(records: Sequence[Mapping[str, Any]], key: str) -> list[float]:
    values = (record.get(key) for record in records)
    return [v for v in values if isinstance(v, int | float) and math.isfinite(v)]


def _parameters(weights: Path) -> int | None:
    """How many numbers a run's model has; only the header of the file is read."""
    if not weights.is_file():
        return None
    try:
        with safe_open(weights, framework="numpy") as file:
            names = [name for name in file.keys() if name.startswith("weights/")]  # noqa: SIM118
            sizes = [math.prod(file.get_slice(name).get_shape()) for name in names]
    except SafetensorError as error:
        raise ValueError(f"{str(weights)!r} is damaged: {error}") from error
    return sum(sizes) if sizes else None


def names(directories: Sequence[Path]) -> list[str]:
    """A short name for each: the last part of its path, if that tells them apart."""
    found = [directory.resolve().name for directory in directories]
    if len(set(found)) < len(found):
        found = [str(directory) for directory in directories]
    return [printable(name) for name in found]


def _check_picture(out: Path) -> None:
    """Raise unless a picture may be written to `out`: nothing else is ever replaced."""
    if out.suffix.lower() != ".png":
        raise ValueError(f"--out must end in .png, got {str(out)!r}")
    if not out.parent.is_dir():
        raise FileNotFoundError(f"there is no directory {str(out.parent)!r} for the picture")
    if out.exists():
        with out.open("rb") as file:
            if file.read(len(PNG)) != PNG:
                raise FileExistsError(f"{str(out)!r} is no picture, and is left as it is")


# ---------------------------------------------------------------------- telling


def _as_json(run: Summary) -> dict[str, Any]:
    told = {k: v for k, v in run._asdict().items() if k not in ("records", "unit", "references")}
    return {**told, "directory": str(run.directory), "unit": run.unit.name}


def _print(runs: Sequence[Summary]) -> None:
    """A line for each run, where that fits; else, on a terminal, a column for each."""
    console = Terminal()
    rows = _rows(runs)
    if not console.is_terminal:
        Terminal(width=100_000).print(table(rows, plain=True))
        return
    wide, tall = table(rows), table([list(column) for column in zip(*rows, strict=True)])
    options = console.options.update(max_width=100_000)
    fits = Measurement.get(console, options, wide).maximum <= console.width
    console.print(wide if fits else tall)


def _rows(runs: Sequence[Summary]) -> list[list[Text]]:
    """The table: the first row holds the headings, the first column the runs' names."""
    units = {run.unit.name: run.unit for run in runs}
    short = f" {runs[0].unit.short}" if len(units) == 1 else ""

    def told(run: Summary, nats: float | None) -> str:
        if nats is None:
            return NOTHING
        value = run.unit.told(nats)
        return value.replace(run.unit.short, "").strip() if short else value

    varied = differences([run.settings for run in runs])
    results = [
        *("parameters", "steps", "epochs", "time", "tokens/s"),
        *(f"train{short}", f"best valid{short}", "at step", f"test{short}"),
    ]
    # how many steps were to be done is a setting, how many were done a result
    settings = [f"--{name}" if name in results else name.replace("_", " ") for name in varied]
    headings = ["run", *settings, *results]
    rows = [[Text(heading, "bold") for heading in headings]]
    best = _lowest(runs, "best_valid_loss") if short else None
    best_test = _lowest(runs, "test_loss") if short else None
    for number, run in enumerate(runs):
        figures = [
            *(_setting(run.settings.get(name)) for name in varied),
            *(_count(run.parameters), _count(run.steps), _decimal(run.epochs)),
            *(_clock(run.seconds), _count(run.tokens_per_second)),
            *(told(run, run.train_loss), told(run, run.best_valid_loss)),
            *(_count(run.best_valid_step), told(run, run.test_loss)),
        ]
        cells = [Text(printable(figure)) for figure in figures]
        if run is best:
            cells[-3].stylize("bold green")
        if run is best_test:
            cells[-1].stylize("bold green")
        rows.append([Text(run.name, f"bold {COLOURS[number % len(COLOURS)]}"), *cells])
    return rows


def _lowest(runs: Sequence[Summary], key: str) -> Summary | None:
    """The run in which `key` is lowest, if there are others to compare it with."""
    having = [run for run in runs if getattr(run, key) is not None]
    return min(having, key=lambda run: float(getattr(run, key))) if len(having) > 1 else None


def table(rows: Sequence[Sequence[Text]], *, plain: bool = False) -> Table:
    """A table of rows, the first of them the headings; `plain`: for a file or another program."""
    frame = None if plain else box.SIMPLE_HEAD
    made = Table(box=frame, pad_edge=False, padding=(0, 2, 0, 0) if plain else (0, 1))
    for i, heading in enumerate(rows[0]):
        made.add_column(heading, justify="left" if i == 0 else "right", no_wrap=plain)
    for row in rows[1:]:
        made.add_row(*row)
    return made


def _setting(value: Any) -> str:
    if value is None:
        return NOTHING
    if isinstance(value, list | tuple):
        return ", ".join(_setting(item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    text = str(value).replace("\n", " ")
    return Path(text).name or text  # the end of a path tells most


def _count(value: float | None) -> str:
    return NOTHING if value is None else f"{value:,.0f}"


def _decimal(value: float | None) -> str:
    return NOTHING if value is None else f"{value:,.2f}"


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return NOTHING
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
