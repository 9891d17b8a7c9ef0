"""A model of one's own in a file, with what it was made with: no pickle, and no code in it.

::

    class Classifier(nn.Module):
        def __init__(self, vocab_size, hidden_size, rng=None):
            self.vocab_size, self.hidden_size = vocab_size, hidden_size
            ...

    save_model("spam.safetensors", model)
    model = load_model("spam.safetensors", Classifier)
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from typing import Any, TypeVar

from minigrad.errors.values import told
from minigrad.nn import Module, Parameter
from minigrad.training.checkpoint import load_checkpoint, save_checkpoint

FORMAT, VERSION = "minigrad-model", 1

NOT_KEPT = ("self", "rng")
"""The arguments of a model that are not saved: a generator has a state that goes on."""

M = TypeVar("M", bound=Module)


def save_model(path: str | os.PathLike[str], model: Module) -> None:
    """Write a model to `path`: its weights, and the arguments that make such a model again.

    These are what the method ``model.settings()`` gives, if there is one: a dict. Otherwise they
    are the attributes that have the names of the arguments of ``__init__`` (but `rng`).

    Raises
    ------
    TypeError
        if there is no such attribute, or it is neither a number, a text, a bool or None, nor a list
        or dict of them.
    OSError
        if it can't be written. Then an old file is still there.
    ModuleNotFoundError
        if `safetensors` is not installed.
    """
    if not isinstance(model, Module):
        raise TypeError(f"save_model: model must be an nn.Module, not {told(model)}")
    tree = {
        "format": FORMAT,
        "version": VERSION,
        "class": type(model).__qualname__,
        "settings": _settings(model),
        "weights": model.state_dict(),
    }
    save_checkpoint(path, tree)


def load_model(path: str | os.PathLike[str], kind: type[M], **others: Any) -> M:
    """The model that `save_model` wrote, made anew by its class, with the weights in the file.

    Parameters
    ----------
    path
        the file.
    kind
        the class of the model, which you have imported: nothing in the file is executed.
    others
        arguments that were not saved, such as `rng`.

    Raises
    ------
    ValueError
        if the file is damaged, holds no model, or one of another class, or its weights do not fit.
    TypeError
        if the class does not take these arguments.
    OSError, ModuleNotFoundError
        if it can't be read, or `safetensors` is not installed.
    """
    saved, name = load_checkpoint(path), repr(os.fspath(path))
    if saved.get("format") != FORMAT or saved.get("version") != VERSION:
        raise ValueError(
            f"load_model: {name} holds no model that save_model of this minigrad wrote"
        )
    if saved["class"] != kind.__qualname__:
        raise ValueError(f"load_model: {name} holds a {saved['class']}, not a {kind.__qualname__}")
    model = kind(**saved["settings"], **others)
    model.load_state_dict(saved["weights"])
    return model


def _settings(model: Module) -> Mapping[str, Any]:
    """The arguments that make such a model again."""
    name = type(model).__name__
    if callable(own := getattr(model, "settings", None)):
        settings: Mapping[str, Any] = own()
        return settings
    found = {}
    for parameter in inspect.signature(type(model).__init__).parameters.values():
        if parameter.name in NOT_KEPT:
            continue
        value = getattr(model, parameter.name, inspect.Parameter.empty)
        if value is inspect.Parameter.empty or isinstance(value, Parameter | Module):
            raise TypeError(
                f"save_model: {name} is made with {parameter.name}, and has no such attribute that "
                f"keeps it: write self.{parameter.name} = {parameter.name} in __init__, or a "
                "method settings() that returns all arguments"
            )
        found[parameter.name] = value
    return found
