"""``python -m models recipes``: the published models that `train --recipe` can begin with."""

from __future__ import annotations

from typing import Annotated

import tomli_w
import typer

from models.commands.ending import told_in_one_line
from models.runs.recipes import RECIPES
from models.runs.settings import Settings
from models.showing.output import say


def recipes(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Show this one's settings as TOML.")
    ] = None,
) -> None:
    """List the recipes, each with its source and the figures published for it.

    The settings that NAME shows can be changed, and trained with by `train --config FILE`.
    """
    with told_in_one_line():
        if name is None:
            say("\n\n".join(_told(each) for each in RECIPES))
            return
        if name not in RECIPES:
            raise ValueError(f"there is no recipe {name!r}; there are {', '.join(RECIPES)}")
        settings = Settings.combined({"recipe": name}).to_dict()
        comments = "".join(f"# {line}\n" for line in _told(name).splitlines())
        say(comments + tomli_w.dumps(settings), end=False)


def _told(name: str) -> str:
    recipe = RECIPES[name]
    return f"{name}\n  {recipe.source}\n  {recipe.expected}\n  {recipe.conversion}"
