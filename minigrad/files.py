"""Files written as a whole or not at all, the cache, and text that is safe to print."""

from __future__ import annotations

import errno
import os
import sys
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedRandom, TextIOWrapper
from pathlib import Path
from typing import IO, TextIO

__all__ = ["discard", "printable", "program"]

CACHE = "MINIGRAD_CACHE"
"""An environment variable: the directory for what can be fetched or made again."""

CONTROLS = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Categories of characters that one does not see: they steer a terminal, or turn or hide text."""

HOUR = 3600.0

JOINERS = "\u200c\u200d"
"""Two such characters that stay: Persian, Hindi and many emoji need them."""


def printable(text: object, keep: str = "") -> str:
    r"""`text` with its control characters made visible, as ``\x1b``.

    Text from a stranger (the answer of a server, a name in an archive, a setting in a file) may
    move the cursor, clear the screen or turn the order of letters around. Letters and signs of any
    script stay as they are, and spaces too.

    Parameters
    ----------
    text
        anything that can be a str, such as an error.
    keep
        control characters that stay as they are, such as ``"\n\t"``.

    Examples
    --------
    >>> printable("말\x1b[2J\n")
    '말\\x1b[2J\\n'
    """
    text = str(text)
    if text.isprintable():
        return text
    return "".join(
        repr(c)[1:-1] if unicodedata.category(c) in CONTROLS and c not in keep + JOINERS else c
        for c in text
    )


def check_regular(path: str | os.PathLike[str]) -> None:
    """Raise an OSError if `path`, or what it links to, exists and is not a regular file.

    Opening a pipe may take forever, and so may reading a device.
    """
    if Path(path).is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if Path(path).exists() and not Path(path).is_file():
        raise OSError(errno.EINVAL, "Not a regular file", os.fspath(path))


@contextmanager
def replacement(path: str | os.PathLike[str]) -> Iterator[BufferedRandom]:
    """Within a ``with`` block, a new open file, which replaces `path` when the block ends.

    Even if the block, the process or the machine is stopped, there is either the old file or the
    whole new one. The content goes to a file with another name in the same directory, is flushed to
    the disk, and is then renamed in one step (``os.replace``). If `path` is a link, the link is
    replaced, and the file that it leads to stays as it is.

    Raises
    ------
    OSError
        if it cannot be written, or `path` is a directory or a device. Then the old file is still
        there.
    """
    target = Path(path).absolute()
    check_regular(path)
    unfinished = target.with_name(f".{target.name}.{os.urandom(4).hex()}.tmp")
    try:
        with unfinished.open("x+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(target)
    except OSError as error:
        if error.errno is None or error.filename not in (None, str(unfinished)):
            raise
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error
    finally:
        with suppress(OSError):
            unfinished.unlink()
    sync_directory(target.parent)


def write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Write `content` to `path`; even if it is stopped, there is the old file or the new one.

    Raises
    ------
    OSError
        if it cannot be written. Then the old file is still there.
    """
    with replacement(path) as file:
        file.write(content)


def sync_directory(path: Path) -> None:
    """Write the names in a directory to the disk, where the system can do that."""
    with suppress(OSError):  # not on Windows, nor on every file system
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def cache_dir() -> Path:
    """The directory for what can be fetched or made again; it may not exist yet.

    The environment variable `MINIGRAD_CACHE` sets it. Otherwise it lies in the user's cache, whose
    place depends on the system. Everything in it may be deleted.
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


def make_directory(path: Path) -> None:
    """Make a directory in the cache, and remove what killed processes have left in it.

    Raises
    ------
    OSError
        if it cannot be made.
    """
    import shutil  # which takes long, and `import minigrad` loads this file

    path.mkdir(parents=True, exist_ok=True)
    for unfinished in path.glob(".*.tmp"):
        with suppress(OSError):
            if time.time() - unfinished.stat().st_mtime > HOUR:  # or somebody still writes to it
                shutil.rmtree(unfinished) if unfinished.is_dir() else unfinished.unlink()


# ------------------------------------------------------------------------ a program's own output


@contextmanager
def program() -> Iterator[None]:
    """Around a whole program: an error of a file or of the output is one line, not a traceback.

    Letters that the terminal does not have become ``?``. If the reader of the output stops reading
    (``| head``), the program ends without a message. If a file or the output cannot be read or
    written, it ends with a line on the standard error. In both cases the exit status is 1.
    """
    sys.stdout, sys.stderr = _usable(sys.stdout), _usable(sys.stderr)
    try:
        try:
            yield
        except SystemExit as end:
            if end.code:  # the message has been printed
                raise
        sys.stdout.flush()
    except BrokenPipeError:
        raise SystemExit(1) from None
    except OSError as error:
        with suppress(OSError):
            print(f"Error: {printable(error)}", file=sys.stderr)
        raise SystemExit(1) from None
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):  # or Python reports it again at its end
                discard(stream)


def discard(file: IO[str]) -> None:
    """Throw away everything that is still to be written to `file`."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, file.fileno())
        os.close(nowhere)


def _usable(stream: TextIO | None) -> TextIO:
    """A standard stream that takes all letters, even if it was closed before the program began."""
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(errors="replace")
    return stream
