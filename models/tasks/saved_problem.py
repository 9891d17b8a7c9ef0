"""A problem and its trained network in a file: written, and read again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from minigrad import nn
from models.runs.directory import RunDirectory
from models.runs.forms import check_described, check_form, count, made_of, number, plain
from models.tasks.problem import Problem

VERSION = 1

FORM = {
    "settings": {...: plain},
    "weights": {...: np.ndarray},
    "facts": dict,
    "step": count,
    "loss": (number, None),
    "corpus": str,
    "run_id": str,
}
"""The form of what a file holds."""

P = TypeVar("P", bound=Problem)


def format_of(kind: type[Problem]) -> str:
    """What a file of a task is called in itself."""
    return f"minigrad-{kind.kind.task}"


def describe(
    problem: Problem, model: Any, step: int, loss: float | None, corpus: str, run_id: str
) -> dict[str, Any]:
    """A network, and what it reads and answers with, as `save_checkpoint` takes it."""
    return {
        "format": format_of(type(problem)),
        "version": VERSION,
        "settings": model.settings(),
        "weights": model.state_dict(),
        "facts": problem.facts,
        "step": step,
        "loss": loss,
        "corpus": corpus,
        "run_id": run_id,
    }


def restore(
    described: Any,
    kind: type[P],
    settings: Any,
    path: Path,
    run_id: str,
    rng: np.random.Generator | None = None,
) -> tuple[P, nn.Module]:
    """The problem and the network that a file describes; `rng` draws its dropout.

    Some of its weights are looked at first, so that a wrong file costs no memory.

    Raises
    ------
    ValueError
        if it describes none, or one of another run, or it can't be used. The message names `path`.
    """
    name = repr(str(path))
    format, what = format_of(kind), f"model of `{kind.kind.task}`"
    check_described(described, what, [format], VERSION, FORM, name, run_id)
    check_form(described["facts"], kind.facts_form, name, "facts")
    weights: Mapping[str, Any] = described["weights"]
    with made_of(weights, name):
        problem = kind(settings, described["facts"])
        arguments = problem.model_arguments()
        if described["settings"] != arguments:
            raise ValueError("its settings are others than those that config.toml asks for")
        for part, shape in problem.weight_shapes().items():
            found = weights[part].shape if part in weights else None
            if found != shape:
                raise ValueError(f"it has {found} as {part}, expected {shape}")
        model = kind.model_kind(**arguments, rng=rng)
        model.load_state_dict(weights)
    return problem, model


class Loaded(NamedTuple, Generic[P]):
    """What a run has left, ready to be used."""

    problem: P
    model: Any
    step: int
    """The step of training that the weights are from."""
    corpus: str
    """The fingerprint of the data."""


def load_problem(
    kind: type[P], directory: RunDirectory, which: str = "best", device: str | None = None
) -> Loaded[P]:
    """What a run has left in a directory.

    Parameters
    ----------
    kind
        which problem the run was about.
    directory
        where.
    which
        ``"best"``: the weights that were best in validation; ``"last"``: those at the end.
    device
        where to put the model; None: on the default device.

    Raises
    ------
    OSError, ValueError
        if there is no such run, or a file of it is missing, damaged or of another run.
    """
    settings = directory.read_settings(kind.kind)
    described, path = directory.load_model(which)
    problem, model = restore(described, kind, settings, path, directory.run_id)
    return Loaded(problem, model.to(device), described["step"], described["corpus"])
