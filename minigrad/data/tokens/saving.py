"""What all tokenisers share on their way into a file and back."""

import hashlib
import json
import os
from collections.abc import Set
from functools import cached_property
from typing import Any, Self

from minigrad.errors.values import told
from minigrad.files import check_regular, printable, write_atomically

LONGEST = 1 << 28
"""Bytes in a file: tokens by the million fit."""


class Saved:
    """A tokeniser that is JSON in a file: `to_json` and `from_json` are its own."""

    def to_json(self) -> str:
        """Return all that decides its ids as JSON text, always the same."""
        raise NotImplementedError

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return what `to_json` wrote."""
        raise NotImplementedError

    @cached_property
    def fingerprint(self) -> str:
        """The SHA-256 of `to_json()`: two that have the same give the same ids."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `to_json()` to `path`, in UTF-8.

        The file appears whole or not at all: what was at `path` stays until the new file is
        complete.
        """
        write_atomically(path, self.to_json().encode())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Return what `save` wrote to `path`.

        Raises
        ------
        OSError
            If the file is missing or can't be read.
        ValueError
            If the file is not one of this kind, or is damaged. The message names it.
        """
        try:
            return cls.from_json(content_of(path))
        except ValueError as error:
            raise ValueError(f"{cls.__name__}.load: {os.fspath(path)!r}: {error}") from error


def content_of(path: str | os.PathLike[str]) -> str:
    """Return the text of a file in UTF-8, which must not be longer than any tokeniser is.

    Raises
    ------
    OSError
        If the file is missing or can't be read.
    ValueError
        If it is too long, or not UTF-8.
    """
    check_regular(path)
    with open(path, "rb") as file:
        content = file.read(LONGEST + 1)
    if len(content) > LONGEST:
        raise ValueError(f"no tokeniser has more than {LONGEST:,} bytes")
    return content.decode("utf-8-sig")


def parsed(text: str, caller: str) -> Any:
    """Return what JSON text says.

    Raises
    ------
    ValueError
        If it is not JSON.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{caller}: the text is not JSON: {printable(error)}") from None


def checked_state(
    text: str, kind: str, format: str, version: int, keys: Set[str], caller: str
) -> dict[str, Any]:
    """Return the object in JSON text that `to_json` wrote, without its format and version.

    Parameters
    ----------
    text
        The JSON.
    kind
        What it should be, in words.
    format, version
        What the object must say of itself.
    keys
        What else there must be in it.
    caller
        What errors begin with.

    Raises
    ------
    ValueError
        If the text is not JSON, or not such an object.
    """
    state = parsed(text, caller)
    if not isinstance(state, dict) or state.get("format") != format:
        raise ValueError(
            f'{caller}: this JSON is not {kind}: it must be an object with "format": "{format}"'
        )
    if state.get("version") != version:
        raise ValueError(
            f"{caller}: version {told(state.get('version'))} is not known here; "
            f"this minigrad reads version {version}"
        )
    expected = {"format", "version", *keys}
    if state.keys() != expected:
        raise ValueError(
            f"{caller}: missing keys {sorted(expected - state.keys())}, "
            f"unexpected keys {sorted(state.keys() - expected)!s:.200}"
        )
    return {key: state[key] for key in keys}
