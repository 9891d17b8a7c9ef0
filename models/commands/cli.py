"""The command line: ``python -m models``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

from minigrad.files import printable, program
from models.commands.baselines import baselines
from models.commands.compare import compare
from models.commands.evaluate import evaluate
from models.commands.look import look
from models.commands.problem_commands import commands_of
from models.commands.recipes import recipes
from models.commands.sample import sample
from models.commands.train import train
from models.runs.ranks import ranks
from models.tasks.problems import PROBLEMS


class Commands(TyperGroup):
    """The commands; errors about their arguments are printed without control characters."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As typer does."""
        with _printable_errors():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """As typer does."""
        with _printable_errors():
            return super().invoke(ctx)


@contextmanager
def _printable_errors() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if isinstance(getattr(error, "message", None), str):  # one of typer's
            error.message = printable(error.message, "\n")  # type: ignore[attr-defined]
        raise


app = typer.Typer(
    cls=Commands,
    help="Train recurrent networks: language models on a text, and other tasks.",
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="markdown",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for command in (train, sample, evaluate, baselines, look, compare, recipes):
    app.command()(command)
for problem in PROBLEMS:
    app.add_typer(commands_of(problem), name=problem.kind.task)


def main() -> None:
    """Run the command line."""
    with ranks(), program():
        app(prog_name="python -m models")
