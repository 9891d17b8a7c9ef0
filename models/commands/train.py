"""``python -m models train``: begin a run, or go on with one."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_origin

import typer

from minigrad.data import CORPORA
from models.commands.ending import message, told_in_one_line
from models.commands.shared import path
from models.measuring.units import UNITS
from models.runs.blas_kernels import restart_for
from models.runs.cell_files import cell_of, in_cell
from models.runs.directory import RunDirectory, read_toml
from models.runs.messages import command, resume_command
from models.runs.options import check_names, value_type
from models.runs.resuming import resume
from models.runs.run import Run
from models.runs.settings import OUTPUT, Settings, option_types
from models.showing.output import Terminal, say
from models.showing.reporter import Reporter

OWN_OPTIONS = {
    "out": (Path, "The directory to leave the model and all else in.", "DIR"),
    "resume": (Path, "Go on with the run in a directory, where it stopped.", "DIR"),
    "config": (Path, "Take options from a file (or a run's config.toml).", "FILE.toml"),
    "overwrite": (bool, "Replace a run that is in the directory already.", None),
}
"""The options that are no settings: their type, their help, and what stands for the value."""


def train(**options: Any) -> None:
    """Train a language model, and leave it in a directory.

    The defaults train a model of characters on Python's documentation in a minute or two.

    Ctrl-C stops the training; `--resume DIR` goes on with it, as if it had never been stopped.

    A loss here is the mean over all tokens, in nats. Papers that add it up over the T tokens of a
    window have T times smaller learning rates, and T times larger limits of the gradient: their
    `lr 1, clip 5` at T = 20 is `--lr 20 --clip 0.25`. The recipes are converted already.
    """
    own = {name: options.pop(name) for name in OWN_OPTIONS}
    given = {name: value for name, value in options.items() if value is not None}
    with told_in_one_line():
        run = _resumed(own, given) if own["resume"] is not None else _begun(own, given)
    if run.diverged:
        raise typer.Exit(1)
    if run.interrupts.signal is not None:
        raise typer.Exit(128 + run.interrupts.signal)


def _resumed(own: Mapping[str, Any], given: Mapping[str, Any]) -> Run:
    """A run that goes on, until it has ended."""
    for name in ("out", "config", "overwrite"):
        if own[name]:
            raise ValueError(f"--{name} does not go with --resume, whose run has all it needs")
    directory = RunDirectory(own["resume"])
    settings = directory.read_settings()  # there is a run, or nothing is made here
    asked = command("train", "--resume", directory.path)
    settings = settings.changed(given)
    cell = cell_of(settings, given.get("cell"), asked, directory.cell_sha256)
    settings = _with_absolute_paths(settings)
    with directory.locked():
        reporter = Reporter(Terminal(), UNITS[settings.level])
        run = resume(settings, directory, reporter, given, cell)
        if run.ended:
            step = run.trainer.step
            say(f"The run has ended, after step {step:,}; more --steps make it go on.")
        else:
            _train(run)
    return run


def _begun(own: Mapping[str, Any], given: Mapping[str, Any]) -> Run:
    """A new run, until it has ended."""
    file = {} if own["config"] is None else read_toml(own["config"])
    out, overwrite = file.pop("out", None), file.pop("overwrite", False)
    out, overwrite = own["out"] or out, own["overwrite"] or overwrite
    if not isinstance(overwrite, bool) or not isinstance(out, str | Path | None):
        raise ValueError(f"{str(own['config'])!r}: out must be a text, overwrite true or false")
    if out is None or not str(out).strip():
        raise ValueError("--out DIR must say where to leave the model, or --resume DIR a run")
    directory = RunDirectory(out)
    if not overwrite:
        directory.check_free()
    if given.get("recipe", file.get("recipe")) != file.get("recipe") and _is_complete(file):
        raise ValueError(
            f"--recipe {given['recipe']} would lie below {str(own['config'])!r}, which sets "
            "everything; leave out one of the two"
        )
    try:
        check_names(file, option_types(), repr(str(own["config"])))
        settings = Settings.combined(file, given)
    except TypeError as error:  # TOML has dates and tables, where there should be numbers
        raise ValueError(f"{str(own['config'])!r}: {error}") from error
    restart_for(settings)
    config = [] if own["config"] is None else ["--config", own["config"]]
    cell = cell_of(settings, given.get("cell"), command("train", *config, "--out", directory.path))
    settings = _with_absolute_paths(settings)
    run = Run.new(settings, directory, Reporter(Terminal(), UNITS[settings.level]), cell)
    with directory.locked():
        if not overwrite:
            directory.check_free()  # another run may have been faster
        run.begin()
        _train(run)
    return run


def _is_complete(options: Mapping[str, Any]) -> bool:
    """Whether every option of a run is there that must have a value."""
    return all(name in options for name, kind in option_types().items() if not value_type(kind)[1])


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


def _train(run: Run) -> None:
    try:
        run.train()
    except Exception as error:
        if not isinstance(error, OSError | MemoryError) and not in_cell(error):
            raise
        say(f"Error: {message(error)}", "red", err=True)
        if run.directory.checkpoint.is_file():
            again = resume_command(run.directory, run.settings)
            say(f"The last checkpoint is whole. Go on with it by: {again}", err=True)
        raise typer.Exit(2) from error


METAVARS = {int: "N", float: "X", str: "TEXT"}
"""What stands for the value of an option in ``--help``, by its type."""


def _parameters() -> list[inspect.Parameter]:
    """The options of the command: those of a run's settings, and its own."""
    parameters = []
    for name, (kind, help, metavar) in OWN_OPTIONS.items():
        names = ["--overwrite"] if kind is bool else []
        parse = path if kind is Path else None
        about = typer.Option(
            *names, help=help, metavar=metavar, rich_help_panel=OUTPUT, parser=parse
        )
        parameters.append(_parameter(name, kind, about))
    for field in dataclasses.fields(Settings):
        kind, _ = value_type(option_types()[field.name])
        limits: dict[str, Any] = {
            "min": field.metadata.get("low"),
            "max": field.metadata.get("high"),
        }
        parser = None
        if kind == tuple[float, ...]:
            kind, parser, limits = str, _numbers, {}
        elif kind == tuple[str, ...]:
            kind = list[str]
        elif kind is str or kind is bool or get_origin(kind) is Literal:
            limits = {}
        shown = field.metadata.get("shown")
        if shown is None and field.default is not None and kind != list[str]:
            shown = str(field.default)
        about = typer.Option(
            help=field.metadata["help"] + (f" (default: {shown})" if shown else ""),
            metavar=field.metadata.get("metavar", METAVARS.get(kind)),
            rich_help_panel=field.metadata["panel"],
            show_default=False,
            parser=parser,
            **limits,
        )
        parameters.append(_parameter(field.name, kind, about))
    return parameters


def _parameter(name: str, kind: Any, about: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind | None, about],
    )


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not numbers with commas between them") from None


# typer reads a command's options off its signature
train.__signature__ = inspect.Signature(_parameters())  # type: ignore[attr-defined]
train.__annotations__ = {p.name: p.annotation for p in train.__signature__.parameters.values()}  # type: ignore[attr-defined]
