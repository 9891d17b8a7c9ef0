"""How much is taken of what comes from strangers: bytes, files and seconds."""

import os
import shutil
from pathlib import Path

from minigrad.errors.values import told
from minigrad.files import printable

MOST_BYTES = "MINIGRAD_MAX_BYTES"
"""Of the environment: how long a text may be that is fetched or unpacked."""

MOST_SECONDS = "MINIGRAD_MAX_SECONDS"
"""Of the environment: how long it may take to fetch one."""

BYTES, SECONDS = 1 << 30, 3600
"""What these are if the environment does not say."""

RATIO, ALWAYS = 100, 1 << 26
"""Text packs to a tenth or less; to a hundredth, beyond so many bytes, only bombs do."""

MOST_FILES = 100_000
RESERVE = 1 << 26
"""How many bytes are left free on the disk."""


class RefusedError(ValueError):
    """What a stranger sends or has packed is not taken; the message says why."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


def most_seconds() -> float:
    """How long it may take to fetch a file."""
    return _chosen(MOST_SECONDS) or SECONDS


def check_size(size: int, packed: int | None = None) -> None:
    """Raise a RefusedError if `size` bytes are too many.

    Parameters
    ----------
    size
        how many there are, or are said to be.
    packed
        how many they came as, if they were packed.
    """
    most, why = _chosen(MOST_BYTES), ""
    if most is None:
        most = BYTES
        if packed is not None and RATIO * packed < most:
            most = max(ALWAYS, RATIO * packed)
            why = f" for the {packed:,} bytes that it is packed to"
    if size > most:
        raise RefusedError(
            f"it is longer than the {most:,} bytes that are taken{why}; if you trust it, set the "
            f"environment variable {MOST_BYTES} to a larger number"
        )


def check_room(directory: Path, needed: int = 0) -> None:
    """Raise a RefusedError if `needed` more bytes don't fit on the disk, with some to spare."""
    free = shutil.disk_usage(directory).free
    if needed > free - RESERVE:
        raise RefusedError(
            f"the disk has no room for it: {free:,} bytes are free in {str(directory)!r}, and "
            f"{RESERVE:,} are left so"
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
