"""Options and arguments that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Any

import typer

Weights = StrEnum("Weights", ["best", "last"])
"""Which weights of a run: those that were best in validation, or the last."""

DEVICE = "Where to compute: cpu, cuda (a GPU), or cuda:N; wherever the model was trained."
"""What the option ``--device`` does."""


def path(text: str) -> Path:
    """The path in an option or an argument; an empty one would mean the current directory."""
    if not text.strip():
        raise typer.BadParameter("a path must not be empty")
    return Path(text)


def option(help: str, panel: str | None, *names: str, **more: Any) -> Any:
    """An option of a command, under the heading `panel` of its ``--help``."""
    return typer.Option(*names, help=help, rich_help_panel=panel, **more)
