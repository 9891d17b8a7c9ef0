"""Files that are there whole or not at all, text from strangers, and a program's own output."""

from __future__ import annotations

import errno
import os
import secrets
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedRandom, TextIOWrapper
from pathlib import Path
from typing import IO, TextIO

__all__ = ["discard", "printable", "program"]

CACHE = "MINIGRAD_CACHE"
"""Of the environment: the directory for what can be fetched or made again."""

CONTROLS = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Categories of characters that steer a terminal, or turn or hide text, instead of being seen."""

JOINERS = "\u200c\u200d"
"""Of these two, words of Persian and Hindi and many emoji are made."""


def printable(text: object, keep: str = "") -> str:
    r"""Return `text` with its control characters spelled out, as ``\x1b``.

    What comes from a stranger (an answer of a server, a name in an archive, a setting in a file)
    may hold what moves the cursor, clears the screen or turns the order of letters around. All
    that can be seen stays as it is, in any script; spaces stay too.

    Parameters
    ----------
    text
        anything; of an error, its message.
    keep
        control characters to leave alone, such as ``"\n\t"``.

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
    """Raise an OSError if there is something else than a file at `path`, or at the end of a link.

    To open a pipe may take for ever, to read a device too.
    """
    if Path(path).is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if Path(path).exists() and not Path(path).is_file():
        raise OSError(errno.EINVAL, "Not a regular file", os.fspath(path))


@contextmanager
def replacement(path: str | os.PathLike[str]) -> Iterator[BufferedRandom]:
    """Open a file to be written and read, which takes the place of `path` when the block ends.

    Whatever stops the block, and whatever stops the process or the machine, there is the old file
    or the whole new one: the content goes to a file of another name in the same directory, is
    flushed to the disk, and then renamed in one step (``os.replace``). Where `path` is a link, the
    link is replaced, and the file that it leads to stays as it is.

    Raises
    ------
    OSError
        if it can't be written, or `path` is a directory or a device. What was at `path` is still
        there then.
    """
    target = Path(path).absolute()
    check_regular(path)
    unfinished = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
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
    system has it. Whatever is in it may be deleted.
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


# ------------------------------------------------------------------------ a program's own output


@contextmanager
def program() -> Iterator[None]:
    """Around all that a program does: trouble with its output is a line at most, no traceback.

    Letters that the terminal has not got come out as ``?``. If whoever reads the output has enough
    of it (``| head``), the program ends quietly; if a file can't be read or written, the output
    among them, with a line on the standard error. Its exit status is 1 then.
    """
    sys.stdout, sys.stderr = _usable(sys.stdout), _usable(sys.stderr)
    try:
        try:
            yield
        except SystemExit as end:
            if end.code:  # what is wrong has been told
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
            except (OSError, ValueError):  # Python would complain of it again when it ends
                discard(stream)


def discard(file: IO[str]) -> None:
    """Have all that is still to be written to `file` go nowhere."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, file.fileno())
        os.close(nowhere)


def _usable(stream: TextIO | None) -> TextIO:
    """A standard stream that takes all letters, also if it was closed before the program began."""
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(errors="replace")
    return stream
