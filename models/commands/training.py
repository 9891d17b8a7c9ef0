"""The command that begins a run of a task, or goes on with one: ``train``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Protocol, get_origin

import typer

from minigrad.distributed import launched
from models.commands.ending import message, told_in_one_line
from models.commands.shared import path
from models.measuring.units import Unit
from models.runs.cell_files import in_cell
from models.runs.directory import RunDirectory, read_toml
from models.runs.messages import command
from models.runs.options import check_names, value_type
from models.runs.run import Run
from models.runs.shared_settings import OUTPUT, RunSettings, option_types, ordered
from models.showing.output import Terminal, say
from models.showing.reporter import Reporter

OWN_OPTIONS = {
    "out": (Path, "The directory to leave the model and all else in.", "DIR"),
    "resume": (Path, "Go on with the run in a directory, where it stopped.", "DIR"),
    "config": (Path, "Take options from a file (or a run's config.toml).", "FILE.toml"),
    "overwrite": (bool, "Replace a run that is in the directory already.", None),
}
"""The options that are no settings: their type, their help, and what stands for the value."""


class Beginning(Protocol):
    """What is about a task when a run of it begins, or goes on.

    It is made of the settings, the directory, the reporter, the options that were given, the
    command as it was typed, and whether the run is to begin anew. Whatever can be found wrong
    before a directory is touched is raised then.
    """

    def new(self) -> Run:
        """A new run, ready to begin."""
        ...

    def resumed(self) -> Run:
        """A run that goes on; the directory is locked."""
        ...


Decorator = Callable[[Callable[..., None]], Callable[..., None]]
Begin = Callable[[Any, RunDirectory, Reporter, Mapping[str, Any], str, bool], Beginning]


Follow = Callable[[Mapping[str, Any], Mapping[str, Any]], None]


def training(
    kind: type[RunSettings],
    unit: Callable[[Any], Unit],
    begin: Begin,
    follow: Follow | None = None,
) -> Decorator:
    """A decorator that makes the command of a task out of a function that has its docstring.

    Parameters
    ----------
    kind
        the settings of the task: they become options.
    unit
        gives the unit of the loss, from the settings.
    begin
        makes a `Beginning`.
    follow
        is called instead in the processes that follow another one, with the options of the command
        and the settings that were given.
    """

    def decorate(documented: Callable[..., None]) -> Callable[..., None]:
        def train(**options: Any) -> None:
            own = {name: options.pop(name) for name in OWN_OPTIONS}
            given = {name: value for name, value in options.items() if value is not None}
            with told_in_one_line():
                if follow is not None and launched()[0] > 0:
                    follow(own, given)
                which = _resumed if own["resume"] is not None else _begun
                run = which(kind, unit, begin, own, given)
            if run.diverged:
                raise typer.Exit(1)
            if run.interrupts.signal is not None:
                raise typer.Exit(128 + run.interrupts.signal)

        # typer reads a command's options off its signature
        parameters = _parameters(kind)
        train.__doc__ = documented.__doc__
        train.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        train.__annotations__ = {each.name: each.annotation for each in parameters}
        return train

    return decorate


def words(kind: type[RunSettings]) -> list[str]:
    """The words that the command begins with."""
    return [*([kind.task] if kind.task else []), "train"]


def _resumed(
    kind: type[RunSettings],
    unit: Callable[[Any], Unit],
    begin: Begin,
    own: Mapping[str, Any],
    given: Mapping[str, Any],
) -> Run:
    """A run that goes on, until it has ended."""
    for name in ("out", "config", "overwrite"):
        if own[name]:
            raise ValueError(f"--{name} does not go with --resume, whose run has all it needs")
    directory = RunDirectory(own["resume"])
    settings = directory.read_settings(kind)  # there is a run, or nothing is made here
    asked = command(*words(kind), "--resume", directory.path)
    settings = settings.changed(given)
    reporter = Reporter(Terminal(), unit(settings))
    beginning = begin(settings, directory, reporter, given, asked, False)
    with directory.locked():
        run = beginning.resumed()
        if run.ended:
            step = run.trainer.step
            say(f"The run has ended, after step {step:,}; more --steps make it go on.")
        else:
            _train(run)
    return run


def _begun(
    kind: type[RunSettings],
    unit: Callable[[Any], Unit],
    begin: Begin,
    own: Mapping[str, Any],
    given: Mapping[str, Any],
) -> Run:
    """A new run, until it has ended."""
    settings, directory, overwrite, config = asked_for(kind, own, given)
    asked = command(*words(kind), *config, "--out", directory.path)
    reporter = Reporter(Terminal(), unit(settings))
    run = begin(settings, directory, reporter, given, asked, True).new()
    with directory.locked():
        if not overwrite:
            directory.check_free()  # another run may have been faster
        run.begin()
        _train(run)
    return run


class Asked(NamedTuple):
    """What is asked for, when a run is to begin."""

    settings: Any
    directory: RunDirectory
    overwrite: bool
    config: list[str]
    """The options of the command that name a file of settings."""


def asked_for(kind: type[RunSettings], own: Mapping[str, Any], given: Mapping[str, Any]) -> Asked:
    """What the options of a command ask for that begins a run.

    Raises
    ------
    OSError, ValueError
        if it can't be done, as far as that is known before anything is done.
    """
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
    if given.get("recipe", file.get("recipe")) != file.get("recipe") and _is_complete(kind, file):
        raise ValueError(
            f"--recipe {given['recipe']} would lie below {str(own['config'])!r}, which sets "
            "everything; leave out one of the two"
        )
    try:
        check_names(file, option_types(kind), repr(str(own["config"])))
        settings = kind.combined(file, given)
    except TypeError as error:  # TOML has dates and tables, where there should be numbers
        raise ValueError(f"{str(own['config'])!r}: {error}") from error
    config = [] if own["config"] is None else ["--config", str(own["config"])]
    return Asked(settings, directory, overwrite, config)


def _is_complete(kind: type[RunSettings], options: Mapping[str, Any]) -> bool:
    """Whether every option of a run is there that must have a value."""
    types = option_types(kind).items()
    return all(name in options for name, annotation in types if not value_type(annotation)[1])


def _train(run: Run) -> None:
    try:
        run.train()
    except Exception as error:
        if not isinstance(error, OSError | MemoryError) and not in_cell(error):
            raise
        say(f"Error: {message(error)}", "red", err=True)
        if run.directory.checkpoint.is_file():
            again = run.task.resume_command(run.directory)
            say(f"The last checkpoint is whole. Go on with it by: {again}", err=True)
        raise typer.Exit(2) from error


METAVARS = {int: "N", float: "X", str: "TEXT"}
"""What stands for the value of an option in ``--help``, by its type."""


def _parameters(task: type[RunSettings]) -> list[inspect.Parameter]:
    """The options of the command: those of a run's settings, and its own."""
    parameters = []
    for name, (kind, help, metavar) in OWN_OPTIONS.items():
        names = ["--overwrite"] if kind is bool else []
        parse = path if kind is Path else None
        about = typer.Option(
            *names, help=help, metavar=metavar, rich_help_panel=OUTPUT, parser=parse
        )
        parameters.append(_parameter(name, kind, about))
    for field in ordered(task):
        kind, _ = value_type(option_types(task)[field.name])
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
