"""The commands of a problem that is learnt from examples: train it, measure it, use it."""

import inspect
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from minigrad.files import printable
from models.commands.ending import ended_by_ctrl_c, told_in_one_line
from models.commands.shared import DEVICE, Weights, option, path
from models.commands.training import training
from models.devices import using
from models.measuring.evaluation import quiet
from models.runs.directory import RunDirectory
from models.runs.run import Run
from models.runs.trouble import Diverged
from models.showing.output import say, say_json, warn
from models.showing.reporter import Reporter
from models.tasks.learning import new_run, resume, told_table
from models.tasks.problem import TOGETHER, Problem, UseOption, left_out
from models.tasks.saved_problem import Loaded, load_problem

Directory = Annotated[
    Path, typer.Argument(metavar="DIR", help="The directory that a training run left.", parser=path)
]
WhichWeights = Annotated[Weights, option("Those that were best in validation, or the last.", None)]
Device = Annotated[str, option(DEVICE, None, metavar="DEVICE")]


def commands_of(problem: type[Problem]) -> typer.Typer:
    """The commands ``train``, ``evaluate`` and ``predict`` of a problem."""
    app = typer.Typer(help=problem.about, no_args_is_help=True, add_completion=False)
    for command in (_train(problem), _evaluate(problem), _predict(problem)):
        app.command()(command)
    return app


# ---------------------------------------------------------------------- train


def _train(problem: type[Problem]) -> Any:
    class Beginning:
        """A run that begins, or goes on."""

        def __init__(
            self,
            settings: Any,
            directory: RunDirectory,
            reporter: Reporter,
            given: Mapping[str, Any],
            asked: str,
            anew: bool,
        ) -> None:
            self.all = (problem, settings.absolute(), directory, reporter)

        def new(self) -> Run:
            """A new run."""
            return new_run(*self.all)

        def resumed(self) -> Run:
            """The run in the directory."""
            return resume(*self.all)

    def train() -> None: ...

    train.__doc__ = problem.help
    return training(problem.kind, problem.unit_of, Beginning)(train)


# ---------------------------------------------------------------------- evaluate


def _evaluate(problem: type[Problem]) -> Any:
    def evaluate(
        directory: Directory,
        *,
        data: Annotated[
            Path | None,
            option(
                "A file to measure on. (default: what the run tests on)",
                None,
                metavar="FILE",
                parser=path,
            ),
        ] = None,
        weights: WhichWeights = Weights.best,
        device: Device = "cpu",
        as_json: Annotated[bool, option("Print one JSON object.", None, "--json")] = False,
        **options: Any,
    ) -> None:
        """Measure a trained network, and beside it simpler methods on the same data."""
        with told_in_one_line(), ended_by_ctrl_c(), using(device):
            run = load_problem(problem, RunDirectory(directory), weights.value, device)
            name, count, table = _measured(run, data, options)
            what = run.problem.what
            if as_json:
                about = {"directory": str(directory), "weights": weights.value, "step": run.step}
                say_json({**about, "data": name, what: count, "methods": table})
                return
            say(f"{printable(directory)}: {weights.value} weights, those of step {run.step:,}")
            say(f"{printable(name)}: {count:,} {what}\n")
            say("\n".join(told_table(run.problem, table)))

    chosen = {name: each for name, each in problem.use_options.items() if each.evaluate}
    return _with_options(evaluate, chosen)


def _measured(
    run: Loaded[Any], file: Path | None, options: Mapping[str, Any]
) -> tuple[str, int, dict[str, Any]]:
    """What is measured on, how many examples it has, and the figures of each method.

    The simpler methods are left out where the data that the run learnt from is not at hand.
    """
    problem, settings = run.problem, run.problem.settings
    on, name, data = None, str(file), None
    if file is not None:
        on, bad = problem.load_part(settings, file)
        if bad:
            warn(left_out(bad))
    try:
        data = problem.load(settings)
    except (OSError, ValueError, ModuleNotFoundError) as error:
        if on is None:
            raise
        warn(f"the simpler methods are left out, as their data can't be read: {error}")
    if data is not None and data.fingerprint != run.corpus:
        if on is None:
            raise ValueError(
                f"{settings.sources} is not the data that the run was trained on; --data says what "
                "to measure on"
            )
        data = None
    if on is None:
        assert data is not None
        name = "test" if "test" in data.parts else "valid"
        on = data.parts[name]
    try:
        examples = problem.prepared(on)
    except ValueError as error:
        raise ValueError(f"{name!r}: {error}") from error
    model = run.model
    with _usable_weights():
        found = problem.measured(model, examples, lambda: False, lambda _: None, True, **options)
        _check_finite(found)
    table = {"the network": found}
    if data is not None:
        train, valid = (problem.prepared(data.parts[part]) for part in ("train", "valid"))
        table |= problem.simpler(train, valid, examples)
    return name, len(examples), table


# ---------------------------------------------------------------------- predict


def _predict(problem: type[Problem]) -> Any:
    def predict(
        directory: Directory,
        text: Annotated[
            str | None, typer.Argument(metavar="[INPUT]", help=problem.input_help)
        ] = None,
        *,
        file: Annotated[
            Path | None,
            option("A file with an input in each line.", None, metavar="FILE", parser=path),
        ] = None,
        weights: WhichWeights = Weights.best,
        device: Device = "cpu",
        as_json: Annotated[bool, option("A JSON object in each line.", None, "--json")] = False,
        **options: Any,
    ) -> None:
        """Use a trained network. Blank lines are left out."""
        with told_in_one_line(), ended_by_ctrl_c(), using(device):
            if text is not None and file is not None:
                raise ValueError("an input and --file: give one of them")
            if text is not None and not text.strip():
                raise ValueError("the input is empty")
            run = load_problem(problem, RunDirectory(directory), weights.value, device)
            lines = _lines(file) if text is None else iter([(1, text)])
            together = 1 if file is None else TOGETHER  # who writes a line waits for the answer
            while some := list(islice(lines, together)):
                with _usable_weights():
                    answers = run.problem.answers(run.model, [each for _, each in some], **options)
                    _check_finite([answer.facts for answer in answers])
                for (number, _), answer in zip(some, answers, strict=True):
                    if as_json:
                        say_json({"line": number, **answer.facts})
                    else:
                        say(answer.told)

    return _with_options(predict, problem.use_options)


@contextmanager
def _usable_weights() -> Iterator[None]:
    """Within it a network computes: a ValueError, without NumPy's warnings, if it diverges."""
    try:
        with quiet():
            yield
    except Diverged as error:
        raise ValueError(f"the weights of the model are unusable: {error}") from error


def _check_finite(facts: Any) -> None:
    """Raise `Diverged` if a number is not finite: JSON has no such numbers either."""
    try:
        json.dumps(facts, allow_nan=False, default=str)
    except ValueError as error:
        raise Diverged("what it answers became nan or inf") from error


def _with_options(command: Any, options: Mapping[str, UseOption]) -> Any:
    """A command whose `**options` are these: typer reads them off its signature."""
    signature = inspect.signature(command)
    parameters = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    for name, each in options.items():
        limits = {} if each.low is None else {"min": each.low}
        parse = path if each.kind is Path else None
        about = option(each.help, None, metavar=each.metavar, parser=parse, **limits)
        kind = each.kind if each.default is not None else each.kind | None
        parameters.append(
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=each.default,
                annotation=Annotated[kind, about],
            )
        )
    command.__signature__ = signature.replace(parameters=parameters)
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    return command


def _lines(file: Path | None) -> Iterator[tuple[int, str]]:
    """The lines of a file, or the standard input, that are not blank; their numbers, from 1."""
    name = "the standard input" if file is None else repr(str(file))
    if file is None and sys.stdin is None:
        raise ValueError("there is no input: the standard input is closed")
    source = sys.stdin.buffer if file is None else file.open("rb")
    with source:
        for number, line in enumerate(source, 1):
            try:
                decoded = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
            except UnicodeDecodeError as error:
                raise ValueError(f"{name} is not UTF-8, in line {number}: {error}") from error
            if decoded:
                yield number, decoded
