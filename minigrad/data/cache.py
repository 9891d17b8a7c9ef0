"""The directory in which what was fetched or worked out once is kept."""

import os
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path

VARIABLE = "MINIGRAD_CACHE"

HOUR = 3600.0


def cache_dir() -> Path:
    """Return the directory for what can be fetched or made again; it need not be there yet.

    It is what the environment variable `MINIGRAD_CACHE` says, or else the user's own cache as the
    system has it, the same as `pooch.os_cache("minigrad")`. Whatever is in it may be deleted.
    """
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return Path(os.path.abspath(os.path.expanduser(chosen)))
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA") or os.path.expanduser("~/AppData/Local")
        return Path(local) / "minigrad" / "minigrad" / "Cache"
    if sys.platform == "darwin":
        return Path(os.path.expanduser("~/Library/Caches")) / "minigrad"
    caches = os.environ.get("XDG_CACHE_HOME", "").strip() or os.path.expanduser("~/.cache")
    return Path(caches) / "minigrad"


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
