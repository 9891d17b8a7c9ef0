"""Limits for what comes from strangers: bytes, files and seconds."""

import os
import shutil
from pathlib import Path

from minigrad.errors.values import told
from minigrad.files import printable

MOST_BYTES = "MINIGRAD_MAX_BYTES"
"""An environment variable: the most bytes of a text that is fetched or unpacked."""

MOST_SECONDS = "MINIGRAD_MAX_SECONDS"
"""An environment variable: the most seconds that it may take to fetch a text."""

BYTES, SECONDS = 1 << 30, 3600
"""These limits, where the environment does not set them."""

RATIO, ALWAYS = 100, 1 << 26
"""Text becomes ten times as short when it is packed. Only a bomb becomes 100 times as short, if it
is longer than this many bytes."""

MOST_FILES = 100_000
RESERVE = 1 << 26
"""The bytes that stay free on the disk."""


class RefusedError(ValueError):
    """What a stranger sent or packed is not accepted; the message says why."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


def most_seconds() -> float:
    """The most seconds that it may take to fetch a file."""
    return _chosen(MOST_SECONDS) or SECONDS


def check_size(size: int, packed: int | None = None) -> None:
    """Raise a RefusedError if `size` bytes are too many.

    Parameters
    ----------
    size
        the number of bytes, or the number that is announced.
    packed
        the number of bytes before unpacking, if they were packed.
    """
    most, why = _chosen(MOST_BYTES), ""
    if most is None:
        most = BYTES
        if packed is not None and RATIO * packed < most:
            most = max(ALWAYS, RATIO * packed)
            why = f" for the {packed:,} bytes of its packed form"
    if size > most:
        raise RefusedError(
            f"it is longer than the {most:,} bytes that are allowed{why}; if you trust it, set the "
            f"environment variable {MOST_BYTES} to a larger number"
        )


def check_room(directory: Path, needed: int = 0) -> None:
    """Raise a RefusedError if `needed` more bytes do not fit on the disk, with some left free."""
    free = shutil.disk_usage(directory).free
    if needed > free - RESERVE:
        raise RefusedError(
            f"the disk has no room for it: {free:,} bytes are free in {str(directory)!r}, and "
            f"{RESERVE:,} of them must stay free"
        )


def _chosen(variable: str) -> int | None:
    value = os.environ.get(variable)
    if not value:
        return None
    if not (value.isascii() and value.isdigit() and int(value) > 0):
        raise ValueError(
            f"the environment variable {variable} must be a whole number above 0, such as "
            f"{4 * BYTES}, got {told(value)}"
        )
    return int(value)
