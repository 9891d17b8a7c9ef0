"""What describes an option of a run: once for the command line, for files and for checks."""

from __future__ import annotations

import difflib
import math
import types
import typing
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import Field, field
from typing import Any, Literal, get_args, get_origin


def option(default: Any, help: str, panel: str, **about: Any) -> Any:
    """A field of `models.runs.shared_settings.RunSettings`.

    Parameters
    ----------
    default
        its value if none is given.
    help, panel
        what it does, and the heading that it stands under, for ``--help``.
    about
        ``low``, ``high``: the range of a number. ``above``: a number it must exceed. ``shown``:
        what to tell as the default. ``metavar``: what stands for the value. ``may_change``: True
        if a resumed run may be given another value.
    """
    return field(default=default, metadata={"help": help, "panel": panel, **about})


def flag(name: str) -> str:
    """An option as it is written on the command line."""
    return "--" + name.replace("_", "-")


def value_type(annotation: Any) -> tuple[Any, bool]:
    """The type of an option's value, and whether it may be None.

    A tuple of strings or numbers stays ``tuple[str, ...]``; a Literal stays one.
    """
    if get_origin(annotation) in (types.UnionType, typing.Union):
        kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
        return kinds[0], True
    return annotation, False


def checked(field: Field[Any], annotation: Any, value: Any) -> Any:
    """`value` as the option takes it.

    Raises
    ------
    ValueError
        if it is of another type, not among the choices, or out of range.
    """
    kind, optional = value_type(annotation)
    name, about = flag(field.name), field.metadata
    if value is None:
        if optional:
            return None
        raise ValueError(f"{name} must have a value")
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise ValueError(f"{name} must be one of {', '.join(get_args(kind))}, got {value!r}")
        return value
    if get_origin(kind) is tuple:
        values = value if isinstance(value, list | tuple) else [value]
        return tuple(_scalar(name, get_args(kind)[0], item, about) for item in values)
    return _scalar(name, kind, value, about)


def _scalar(name: str, kind: Any, value: Any, about: Mapping[str, Any]) -> Any:
    wanted = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}[kind]
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        with suppress(OverflowError):
            value = float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{name} must be {wanted}, got {value!r}")
    if kind in (int, float):
        low, high, above = about.get("low"), about.get("high"), about.get("above")
        if (
            not math.isfinite(value)
            or (low is not None and value < low)
            or (high is not None and value > high)
            or (above is not None and not value > above)
        ):
            asked = [f"above {above}"] if above is not None else []
            asked += [f"at least {low}"] if low is not None else []
            asked += [f"at most {high}"] if high is not None else []
            raise ValueError(f"{name} must be {' and '.join(asked) or 'finite'}, got {value}")
    return value


def check_names(given: Iterable[str], known: Iterable[str], where: str) -> None:
    """Raise a ValueError if a name in `given` is not in `known`; it names what may be meant."""
    known = list(known)
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            meant = f"; is {close[0]} meant?" if close else ""
            raise ValueError(f"{where}: there is no option {name!r}{meant}")
