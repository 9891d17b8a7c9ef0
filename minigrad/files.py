"""Files that are there whole or not at all, and the directory for those that can be made again."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedRandom
from pathlib import Path

CACHE = "MINIGRAD_CACHE"
"""Of the environment: the directory for what can be fetched or made again."""


@contextmanager
def replacement(path: str | os.PathLike[str]) -> Iterator[BufferedRandom]:
    """Open a file to be written and read, which takes the place of `path` when the block ends.

    Whatever stops the block, and whatever stops the process or the machine, there is the old file
    or the whole new one: the content goes to a file of another name in the same directory, is
    flushed to the disk, and then renamed in one step (``os.replace``). Where `path` is a link, the
    file it leads to is replaced.

    Raises
    ------
    OSError
        if it can't be written. What was at `path` is still there then.
    """
    target = Path(path).resolve()
    unfinished = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        with unfinished.open("x+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    sync_directory(target.parent)


def write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Put `content` at `path`; whatever stops it, there is the old file or the new one.

    Raises
    ------
    OSError
        if it can't be written. What was at `path` is still there then.
    """
    with replacement(path) as file:
        file.write(content)


def sync_directory(path: Path) -> None:
    """Have the disk know the names in a directory, where the system can be asked to."""
    with suppress(OSError):  # not on Windows, nor on every file system
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def cache_dir() -> Path:
    """Return the directory for what can be fetched or made again; it need not be there yet.

    It is what the environment variable `MINIGRAD_CACHE` says, or else the user's own cache as the
    system has it, the same as `pooch.os_cache("minigrad")`. Whatever is in it may be deleted.
    """
    chosen = os.environ.get(CACHE)
    if chosen:
        return Path(os.path.abspath(os.path.expanduser(chosen)))
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA") or os.path.expanduser("~/AppData/Local")
        return Path(local) / "minigrad" / "minigrad" / "Cache"
    if sys.platform == "darwin":
        return Path(os.path.expanduser("~/Library/Caches")) / "minigrad"
    caches = os.environ.get("XDG_CACHE_HOME", "").strip() or os.path.expanduser("~/.cache")
    return Path(caches) / "minigrad"
