"""A directory in which what was fetched or worked out once is kept."""

import shutil
import time
from contextlib import suppress
from pathlib import Path

HOUR = 3600.0


def make_directory(path: Path) -> None:
    """Make a directory in the cache, and remove what processes that were killed have left there.

    Raises
    ------
    OSError
        If it can't be made.
    """
    path.mkdir(parents=True, exist_ok=True)
    for unfinished in path.glob(".*.tmp"):
        with suppress(OSError):
            # whoever still writes to it has done so lately
            if time.time() - unfinished.stat().st_mtime > HOUR:
                shutil.rmtree(unfinished) if unfinished.is_dir() else unfinished.unlink()
