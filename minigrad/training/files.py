"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Put `content` at `path`; whatever stops it, there is the old file or the new one.

    The content goes to a file of another name in the same directory first, which then takes the
    place of `path` in one step (``os.replace``). Where `path` is a link, the file it leads to is
    replaced.

    Raises
    ------
    OSError
        if it can't be written. What was at `path` is still there then.
    """
    target = Path(path).resolve()
    unfinished = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        with unfinished.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
