"""What all tokenisers share: they are JSON text, which is saved to a file and loaded again."""

import hashlib
import json
import os
from functools import cached_property
from typing import Any, ClassVar, Self

from minigrad.errors.values import told
from minigrad.files import check_regular, printable, write_atomically

LONGEST = 1 << 28
"""The most bytes in a file; millions of tokens fit into that."""

VERSION = 1
"""Of the form of the JSON."""


class Saved:
    """A tokeniser that can be saved as JSON."""

    format: ClassVar[str]
    """What the JSON is called in itself."""
    kind: ClassVar[str]
    """The same in words."""
    keys: ClassVar[tuple[str, ...]] = ()
    """What else is in the JSON: the arguments of the class, which are its attributes too."""
    listed: ClassVar[str] = ""
    """The key with the list of tokens."""

    def to_json(self) -> str:
        """All that decides the ids, as JSON text, which is always the same; one token a line."""
        state = {"format": self.format, "version": VERSION}
        state |= {key: getattr(self, key) for key in self.keys}
        return json.dumps(state, ensure_ascii=False, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The tokeniser that `to_json` wrote.

        Raises
        ------
        ValueError
            if the text is not JSON, or not that of such a tokeniser.
        """
        caller = f"{cls.__name__}.from_json"
        state = cls._checked(parsed(text, caller), caller)
        if cls.listed and not isinstance(state[cls.listed], list):
            raise ValueError(f'{caller}: "{cls.listed}" must be a list')
        try:
            return cls(**state)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{caller}: the JSON is damaged: {error}") from None

    @cached_property
    def fingerprint(self) -> str:
        """The SHA-256 of `to_json()`; two tokenisers that have the same one give the same ids."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `to_json()` to `path`, in UTF-8.

        The file appears as a whole or not at all: an old file at `path` stays until the new one is
        complete.
        """
        write_atomically(path, self.to_json().encode())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """The tokeniser that `save` wrote to `path`.

        Raises
        ------
        OSError
            if the file is missing or cannot be read.
        ValueError
            if the file is not of this kind, or is damaged. The message names it.
        """
        try:
            return cls.from_json(content_of(path))
        except ValueError as error:
            raise ValueError(f"{cls.__name__}.load: {os.fspath(path)!r}: {error}") from error

    @classmethod
    def _checked(cls, state: Any, caller: str) -> dict[str, Any]:
        """`state` without its format and version; it must be the object that `to_json` writes."""
        if not isinstance(state, dict) or state.get("format") != cls.format:
            raise ValueError(
                f"{caller}: this JSON is not {cls.kind}: it must be an object with "
                f'"format": "{cls.format}"'
            )
        if state.get("version") != VERSION:
            raise ValueError(
                f"{caller}: version {told(state.get('version'))} is not known here; "
                f"this minigrad reads version {VERSION}"
            )
        expected = {"format", "version", *cls.keys}
        if state.keys() != expected:
            raise ValueError(
                f"{caller}: missing keys {sorted(expected - state.keys())}, "
                f"unexpected keys {sorted(state.keys() - expected)!s:.200}"
            )
        return {key: state[key] for key in cls.keys}


def content_of(path: str | os.PathLike[str]) -> str:
    """The text of a file in UTF-8, which may not be longer than a tokeniser can be.

    Raises
    ------
    OSError
        if the file is missing or cannot be read.
    ValueError
        if it is too long, or not UTF-8.
    """
    check_regular(path)
    with open(path, "rb") as file:
        content = file.read(LONGEST + 1)
    if len(content) > LONGEST:
        raise ValueError(f"no tokeniser has more than {LONGEST:,} bytes")
    return content.decode("utf-8-sig")


def parsed(text: str, caller: str) -> Any:
    """What JSON text says.

    Raises
    ------
    ValueError
        if it is not JSON.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{caller}: the text is not JSON: {printable(error)}") from None
