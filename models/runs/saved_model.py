"""A language model in a file: its weights, and what is needed to use them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigrad.data import Tokenizer
from models.nnlm import NNLM
from models.rnnlm import RNNLM, layer_sizes
from models.runs.forms import check_described, count, made_of, number
from models.runs.new_model import Model

FORMATS: dict[str, type[Model]] = {"minigrad-rnnlm": RNNLM, "minigrad-nnlm": NNLM}
VERSION = 2

OWN = "own"
"""In a file, the cell of a model with your own cell: its code is not saved."""

GATES = {"rnn": 1, "lstm": 4, "gru": 3}
"""The number of rows that a cell's matrices have for each hidden unit."""

FORM = {
    "settings": dict,
    "weights": {...: np.ndarray},
    "tokenizer": str,
    "step": count,
    "loss": (number, None),
    "saw_unknown": bool,
    "corpus": str,
}
"""The form of what a file holds; see `describe`."""


def describe(
    model: Model,
    tokenizer: Tokenizer,
    step: int,
    loss: float | None,
    saw_unknown: bool,
    corpus: str = "",
    run_id: str = "",
) -> dict[str, Any]:
    """A model as `save_checkpoint` takes it: its weights, and what is needed to use them.

    `corpus` is the fingerprint of the text that it was trained on, and `run_id` the id of the run;
    empty: not known.
    """
    return {
        "format": next(name for name, kind in FORMATS.items() if type(model) is kind),
        "version": VERSION,
        "settings": {**model.settings(), **({"cell": OWN} if model.own_cell else {})},
        "weights": model.state_dict(),
        "tokenizer": tokenizer.fingerprint,
        "step": step,
        "loss": loss,
        "saw_unknown": saw_unknown,
        "corpus": corpus,
        "run_id": run_id,
    }


def restore(
    described: Any,
    tokenizer: Tokenizer,
    path: Path,
    run_id: str = "",
    rng: np.random.Generator | None = None,
    cell: Any = None,
) -> Model:
    """The model that a file describes; `rng` draws its dropout, and `cell` makes your own cells.

    The settings in the file are compared with the weights in it before the model is made. So a
    wrong file does not cost more memory and time than the weights that it holds.

    Raises
    ------
    ValueError
        if it does not describe a model, or one of another run or for other tokens, or if the model
        cannot be used. The message names `path`.
    """
    name = repr(str(path))
    check_described(described, "language model", FORMATS, VERSION, FORM, name, run_id)
    if described["tokenizer"] != tokenizer.fingerprint:
        raise ValueError(f"{name} and tokenizer.json are not of the same run")
    settings, weights = described["settings"], described["weights"]
    with made_of(weights, name):
        if settings["vocab_size"] != len(tokenizer):
            raise ValueError(
                f"it is for {settings['vocab_size']!r:.20} tokens, of which tokenizer.json has "
                f"{len(tokenizer)}"
            )
        return with_weights(FORMATS[described["format"]], settings, weights, rng, cell)


def with_weights(
    kind: type[Model],
    settings: Mapping[str, Any],
    weights: Mapping[str, NDArray[Any]],
    rng: np.random.Generator | None = None,
    cell: Any = None,
) -> Model:
    """The model of these settings and weights; no initial values are drawn, except by your `cell`.

    Raises
    ------
    TypeError, ValueError
        if the settings are wrong, or do not fit the weights.
    """
    bound = inspect.signature(kind).bind(**settings)
    bound.apply_defaults()
    arguments = {name: value for name, value in bound.arguments.items() if name != "rng"}
    found = {name: weight.shape for name, weight in weights.items()}
    if arguments.get("num_layers", 0) > len(found):
        raise ValueError(f"its settings ask for {arguments['num_layers']!r:.20} layers")
    expected = shapes(**arguments) if kind is RNNLM else shapes_of_window(**arguments)
    if is_own := arguments.get("cell") == OWN:  # its shapes are not known before it is made
        if cell is None:
            raise ValueError("its cell is not one of minigrad's, and has to be given")
        arguments["cell"] = cell
        found = {name: shape for name, shape in found.items() if not name.startswith("recurrent.")}
    for name in (*expected, *found):
        if expected.get(name) != found.get(name):
            asked, there = expected.get(name, "nothing"), found.get(name, "nothing")
            raise ValueError(f"its settings ask for {asked} as {name}, and it has {there}")
    undrawn = (rng or np.random.default_rng(0)) if is_own else _Undrawn()
    model = kind(**arguments, rng=undrawn)
    model.load_state_dict(weights)
    for part in model.modules():
        if vars(part).get("rng") is undrawn:
            vars(part)["rng"] = rng
    return model


def shapes(
    vocab_size: int,
    embedding_size: int | None,
    hidden_size: int,
    cell: str,
    num_layers: int,
    tied: bool,
    **others: Any,
) -> dict[str, tuple[int, ...]]:
    """The shapes of the weights of an `RNNLM` with these arguments, without making a model.

    The layers of your own cell are left out.

    Raises
    ------
    ValueError
        if there is no such cell.
    """
    if cell not in (OWN, *GATES):
        raise ValueError(f"there is no cell {cell!r:.20}")
    sizes = layer_sizes(vocab_size, embedding_size, hidden_size, num_layers, tied)
    found: dict[str, tuple[int, ...]] = {}
    if embedding_size is not None:
        found["embedding.weight"] = (vocab_size, embedding_size)
    for k, (below, above) in enumerate(pairwise(sizes)):
        if cell == OWN:
            break
        rows = GATES[cell] * above
        for kind, shape in (
            ("weight_ih", (rows, below)),
            ("weight_hh", (rows, above)),
            ("bias_ih", (rows,)),
            ("bias_hh", (rows,)),
        ):
            found[f"recurrent.{k}.{kind}_l0"] = shape
    if not tied:
        found["output.weight"] = (vocab_size, sizes[-1])
    found["output.bias"] = (vocab_size,)
    return found


def shapes_of_window(
    vocab_size: int,
    embedding_size: int,
    hidden_size: int,
    context: int,
    direct: bool,
    dropout: float,
) -> dict[str, tuple[int, ...]]:
    """The shapes of the weights of an `NNLM` with these arguments, without making a model."""
    window = context * embedding_size
    return {
        "embedding.weight": (vocab_size + 1, embedding_size),
        "hidden_layer.weight": (hidden_size, window),
        "hidden_layer.bias": (hidden_size,),
        "output.weight": (vocab_size, hidden_size + window * direct),
        "output.bias": (vocab_size,),
    }


class _Undrawn(np.random.Generator):
    """A generator that gives zeros that take no memory, for weights that will be replaced."""

    def __init__(self) -> None:
        super().__init__(np.random.PCG64(0))

    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = None) -> Any:
        """Zeros instead of random numbers."""
        return np.broadcast_to(0.0, size)

    normal = uniform  # type: ignore[assignment]
