"""The command line: ``python -m models train`` and ``python -m models sample``."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from models.reporting import Reporter, printable
from models.run import Run
from models.run_directory import RunDirectory
from models.sampling import generate
from models.settings import LEARNING_RATES, Settings
from models.units import UNITS

Level = StrEnum("Level", ["char", "word"])
Cell = StrEnum("Cell", ["rnn", "lstm", "gru"])
OptimizerName = StrEnum("OptimizerName", ["adam", "sgd"])
ScheduleName = StrEnum("ScheduleName", ["cosine", "constant"])

app = typer.Typer(
    help="Train recurrent language models on a text, and let them write.",
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="markdown",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
DEFAULT = Settings(text="python-docs")


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):  # a terminal without 한글 gets "?", not a traceback
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    app(prog_name="python -m models")


def _option(help: str, panel: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=panel, **more)


BAD_INPUT = (OSError, ValueError, ModuleNotFoundError, MemoryError)
TEXT, MODEL, TRAINING, OUTPUT = "The text", "The model", "Training", "What comes out"


@app.command()
def train(
    *,
    text: Annotated[
        str, _option("A file in UTF-8, or python-docs: Python's own documentation.", TEXT)
    ] = DEFAULT.text,
    level: Annotated[Level, _option("What a token is.", TEXT)] = Level.char,
    min_count: Annotated[
        int | None,
        _option("Tokens rarer than this become `<unk>`. (default: 2 of words)", TEXT, min=1),
    ] = None,
    max_vocab: Annotated[
        int | None, _option("At most so many tokens, the most frequent.", TEXT, min=3)
    ] = None,
    cell: Annotated[Cell, _option("The recurrent network.", MODEL)] = Cell.gru,
    hidden_size: Annotated[
        int, _option("Units in each layer.", MODEL, min=1)
    ] = DEFAULT.hidden_size,
    layers: Annotated[
        int, _option("Recurrent layers on top of each other.", MODEL, min=1)
    ] = DEFAULT.layers,
    embedding_size: Annotated[
        int | None,
        _option(
            f"Length of the tokens' vectors. (default: {DEFAULT.embedding_size}; if tied, "
            "the hidden size)",
            MODEL,
            min=1,
        ),
    ] = None,
    dropout: Annotated[
        float,
        _option(
            "Part of the units to drop: embedding, between layers, output.", MODEL, min=0, max=1
        ),
    ] = DEFAULT.dropout,
    tied: Annotated[
        bool, _option("One matrix for the embedding and the output.", MODEL, "--tied")
    ] = False,
    steps: Annotated[
        int | None,
        _option(f"How many steps. (default: {DEFAULT.steps:,})", TRAINING, min=1),
    ] = None,
    epochs: Annotated[
        int | None,
        _option("Instead of --steps: how often to go through the text.", TRAINING, min=1),
    ] = None,
    batch_size: Annotated[
        int, _option("Streams of text read side by side.", TRAINING, min=1)
    ] = DEFAULT.batch_size,
    bptt: Annotated[
        int,
        _option("Tokens of each stream in a step, and how far gradients reach.", TRAINING, min=1),
    ] = DEFAULT.bptt,
    optimizer: Annotated[OptimizerName, _option("The optimiser.", TRAINING)] = OptimizerName.adam,
    lr: Annotated[
        float | None,
        _option(
            "The largest learning rate. (default: "
            + ", ".join(f"{rate:g} with {name}" for name, rate in LEARNING_RATES.items())
            + ")",
            TRAINING,
            min=0,
        ),
    ] = None,
    schedule: Annotated[
        ScheduleName,
        _option("The learning rate over time: warm-up and cosine, or constant.", TRAINING),
    ] = ScheduleName.cosine,
    clip: Annotated[
        float, _option("Largest norm of the gradient; 0: any.", TRAINING, min=0)
    ] = DEFAULT.clip,
    seed: Annotated[int, _option("The same seed, the same model.", TRAINING, min=0)] = DEFAULT.seed,
    out: Annotated[
        Path, _option("The directory to leave the model and the loss curve in.", OUTPUT)
    ],
    eval_every: Annotated[
        int | None,
        _option("Steps between validations. (default: a tenth of all)", OUTPUT, min=1),
    ] = None,
    samples: Annotated[
        int, _option("Samples to show on the way, first and last included.", OUTPUT, min=0)
    ] = DEFAULT.samples,
    overwrite: Annotated[
        bool, _option("Replace a run that is in the directory already.", OUTPUT, "--overwrite")
    ] = False,
) -> None:
    """Train a language model, and leave it in a directory.

    The defaults train a model of characters on Python's documentation in a minute or two. The text
    is cut: the first 90 % to train on, then 5 % to validate, and 5 % to test.

    Ctrl-C stops the training and keeps the model as it is.
    """
    console = Console()
    reporter, directory = Reporter(console, UNITS[level]), RunDirectory(out)
    if embedding_size is None:
        embedding_size = hidden_size if tied else DEFAULT.embedding_size
    with _told_in_one_line():
        if steps is not None and epochs is not None:
            raise ValueError("--steps and --epochs: only one of them can say how long to train")
        if not overwrite:
            directory.check_free()
        settings = Settings(
            text=text,
            level="char" if level is Level.char else "word",
            min_count=min_count,
            max_vocab=max_vocab,
            cell=cell.value,
            embedding_size=embedding_size,
            hidden_size=hidden_size,
            layers=layers,
            dropout=dropout,
            tied=tied,
            bptt=bptt,
            batch_size=batch_size,
            epochs=epochs,
            steps=DEFAULT.steps if steps is None and epochs is None else steps,
            optimizer=optimizer.value,
            lr=lr,
            schedule=schedule.value,
            clip=clip if math.isfinite(clip) else 0.0,
            seed=seed,
            eval_every=eval_every,
            samples=samples,
        )
        run = Run(settings, directory, reporter)
    with _told_in_one_line((OSError, MemoryError)):
        run.train()
    if run.diverged:
        raise typer.Exit(1)
    if run.interrupts.signal is not None:
        raise typer.Exit(128 + run.interrupts.signal)


@app.command()
def sample(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="The directory that a training run left.")
    ],
    prompt: Annotated[
        str, typer.Option(help="The text to go on from; empty: from the start of a line.")
    ] = "",
    length: Annotated[int, typer.Option(help="How many tokens to write.", min=0)] = 500,
    temperature: Annotated[
        float, typer.Option(help="Below 1 the text is more careful, above 1 more daring.")
    ] = 0.8,
    top_k: Annotated[
        int | None,
        typer.Option(help="Choose among the k likeliest tokens only; 1: always the likeliest."),
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option(help="Choose among the likeliest tokens that together have probability p."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="The same seed, the same text. (default: chance)", min=0)
    ] = None,
) -> None:
    """Let a trained model write.

    The text goes to the standard output, and nothing else does.
    """
    with _told_in_one_line():
        model, vocabulary, _ = RunDirectory(directory).load()
        pieces = generate(
            model,
            vocabulary,
            prompt,
            length,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            rng=np.random.default_rng(seed),
        )
    on_terminal = sys.stdout.isatty()
    with _told_in_one_line():
        for piece in pieces:
            sys.stdout.write(printable(piece) if on_terminal else piece)
            if on_terminal:
                sys.stdout.flush()
        sys.stdout.write("\n")
        sys.stdout.flush()


@contextmanager
def _told_in_one_line(kinds: tuple[type[Exception], ...] = BAD_INPUT) -> Iterator[None]:
    """Within it, an error of one of `kinds` is told in a line, and ends the program."""
    try:
        yield
    except BrokenPipeError:  # whoever reads the output has enough of it
        raise
    except kinds as error:
        typer.secho(f"Error: {_message(error)}", err=True, fg="red")
        raise typer.Exit(2) from error


def _message(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return f"there is not enough memory: {error}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror + (f": {str(error.filename)!r}" if error.filename else "")
    # a message begins with the function that raises it, which means nothing here
    return re.sub(r"^[A-Za-z_]\w*(\.\w+)*: ", "", " ".join(str(error).split()))
