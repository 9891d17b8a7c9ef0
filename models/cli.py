"""The command line: ``python -m models``."""

from __future__ import annotations

import os
import sys

import typer

from models.commands.compare import compare
from models.commands.evaluate import evaluate
from models.commands.recipes import recipes
from models.commands.sample import sample
from models.commands.train import train

app = typer.Typer(
    help="Train recurrent language models on a text, and let them write.",
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="markdown",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for command in (train, sample, evaluate, compare, recipes):
    app.command()(command)


def main() -> None:
    """Run the command line."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # it was closed before we were started
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        # a terminal without 한글 gets "?", not a traceback
        getattr(sys, name).reconfigure(errors="replace")
    app(prog_name="python -m models")
