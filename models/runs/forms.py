"""Checks that what was read from a file has the form in which the program writes it."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np


def count(value: Any) -> bool:
    """a whole number of at least 0"""  # noqa: D400 (it goes into messages)
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def number(value: Any) -> bool:
    """a finite number"""  # noqa: D400
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value)


def plain(value: Any) -> bool:
    """a number, a text, true or false, or a list of them"""  # noqa: D400
    items = value if isinstance(value, list) else [value]
    return all(isinstance(item, str | int | float) for item in items)


WORDS = {str: "a text", bool: "true or false", dict: "names with values", np.ndarray: "an array"}


def check_form(value: Any, form: Any, where: str, inside: str = "") -> None:
    """Raise a ValueError unless `value` has a form.

    Parameters
    ----------
    value
        dicts, lists and what is in them, as `minigrad.training.load_checkpoint` gives them.
    form
        a type; or a function that says whether a value is right, whose docstring goes into the
        message. ``{"a": form, "b": form}``: a dict with these names, and maybe others. ``{...:
        form}``: a dict from texts to values of that form. ``[form]``: a list of items of that form.
        ``(form, None)``: None too is right.
    where
        the file, for the message.
    inside
        the place in it.
    """
    if isinstance(form, tuple):
        if value is None:
            return
        form = form[0]
    if isinstance(form, dict):
        _check(isinstance(value, Mapping), value, WORDS[dict], where, inside)
        if ... in form:
            _check(all(isinstance(name, str) for name in value), value, WORDS[dict], where, inside)
            form = dict.fromkeys(value, form[...])
        missing = [name for name in form if name not in value]
        if missing:
            raise ValueError(f"{where} is damaged: {_place(inside)} lacks {', '.join(missing)}")
        for name, each in form.items():
            check_form(value[name], each, where, f"{inside}/{name}".lstrip("/"))
    elif isinstance(form, list):
        _check(isinstance(value, list), value, "a list", where, inside)
        for i, item in enumerate(value):
            check_form(item, form[0], where, f"{inside}/{i}")
    elif isinstance(form, type):
        _check(isinstance(value, form), value, WORDS[form], where, inside)
    else:
        _check(form(value), value, form.__doc__, where, inside)


def not_finite(tree: Any, inside: str = "") -> str:
    """The place of the first array in a tree with NaN or infinity in it; empty: there is none."""
    if isinstance(tree, Mapping | list | tuple):
        items = tree.items() if isinstance(tree, Mapping) else enumerate(tree)
        places = (not_finite(item, f"{inside}/{name}".lstrip("/")) for name, item in items)
        return next(filter(None, places), "")
    array = tree.numpy() if hasattr(tree, "numpy") else tree
    is_bad = isinstance(array, np.ndarray) and not np.isfinite(array).all()
    return inside if is_bad else ""


def _check(right: bool, value: Any, wanted: str | None, where: str, inside: str) -> None:
    if not right:
        got = f"{value!r:.60}" if not isinstance(value, np.ndarray) else f"an array {value.shape}"
        raise ValueError(f"{where} is damaged: {_place(inside)} must be {wanted}, got {got}")


def _place(inside: str) -> str:
    return inside or "the whole"


def check_described(
    described: Any,
    what: str,
    formats: Collection[str],
    version: int,
    form: Mapping[str, Any],
    name: str,
    run_id: str,
) -> None:
    """Raise a ValueError unless a file describes a model of this run.

    Parameters
    ----------
    described
        what is in the file.
    what
        what it should hold, in words: ``"language model"``.
    formats, version, form
        what its ``format`` may be, its version, and the form of all else.
    name
        the file, for the message.
    run_id
        that of the run.
    """
    format = described.get("format") if isinstance(described, Mapping) else None
    if not isinstance(format, str) or format not in formats:
        raise ValueError(f"{name} holds no {what} of minigrad")
    check_form(described.get("version"), count, name, "version")
    if described["version"] != version:
        raise ValueError(
            f"{name} has version {described['version']!r}; this minigrad reads version {version}"
        )
    check_form(described, form, name)
    check_form(described.get("run_id", ""), str, name, "run_id")
    if described.get("run_id", "") != run_id:
        raise ValueError(f"{name} and config.toml are not of the same run")


@contextmanager
def made_of(weights: Mapping[str, Any], name: str) -> Iterator[None]:
    """Within it a model is made of what is in a file: a ValueError where this is wrong."""
    try:
        yield
    except (LookupError, TypeError, ValueError, MemoryError) as error:
        faults = "; ".join(line.strip() for line in str(error).splitlines())
        raise ValueError(f"the parts of {name} do not fit together: {faults}") from error
    if place := not_finite(weights):
        raise ValueError(f"{name} holds NaN or infinite weights, in {place}")
