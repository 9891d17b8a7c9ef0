"""Archives of texts, unpacked once into the cache."""

import json
import lzma
import re
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import IO

from minigrad.data.downloads import sha256_of
from minigrad.files import cache_dir, sync_directory, write_atomically

SUFFIXES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")
CONTENTS = ".contents.json"

DAMAGED = (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, lzma.LZMAError)


def is_archive(path: Path) -> bool:
    """Whether the name of a file is that of a zip or tar archive."""
    return path.name.lower().endswith(SUFFIXES)


def unpacked(archive: Path) -> Path:
    """Return a directory with the files that are in `archive`, which is unpacked if need be.

    Links and hidden files are left out. The directory is there whole or not at all, and is made
    anew if one of its files is missing or has another length.

    Raises
    ------
    OSError
        If the archive can't be read, or the directory not be written.
    ValueError
        If the archive is damaged, is encrypted, or would write outside of the directory.
    """
    target = cache_dir() / "unpacked" / f"{archive.name.split('.')[0]}-{sha256_of(archive)[:16]}"
    if _is_whole(target):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(dir=target.parent, prefix="."))
    try:
        sizes = {}
        try:
            for name, member in _members(archive):
                file = unfinished / name
                file.parent.mkdir(parents=True, exist_ok=True)
                with file.open("wb") as copy:
                    shutil.copyfileobj(member, copy)
                sizes[str(name)] = file.stat().st_size
        except DAMAGED as error:
            raise ValueError(f"the archive {str(archive)!r} is damaged: {error}") from error
        except (RuntimeError, NotImplementedError) as error:
            raise ValueError(f"the archive {str(archive)!r} can't be unpacked: {error}") from error
        write_atomically(unfinished / CONTENTS, json.dumps(sizes).encode())
        if target.exists() and not _is_whole(target):
            shutil.rmtree(target, ignore_errors=True)
        with suppress(OSError):  # somebody else may have been faster
            unfinished.rename(target)
        sync_directory(target.parent)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return target


def _members(archive: Path) -> Iterator[tuple[PurePosixPath, IO[bytes]]]:
    """Yield the name and the content of each file in an archive."""
    if archive.name.lower().endswith(".zip"):
        with zipfile.ZipFile(archive) as file:
            for info in file.infolist():
                name = _safe(info.filename, archive)
                if not info.is_dir() and name is not None:
                    with file.open(info) as member:
                        yield name, member
        return
    with tarfile.open(archive) as tar:
        for entry in tar:
            name = _safe(entry.name, archive)
            if entry.isfile() and name is not None:
                content = tar.extractfile(entry)
                assert content is not None  # as it is a regular file
                with content:
                    yield name, content


def _safe(name: str, archive: Path) -> PurePosixPath | None:
    """The name as a path below a directory; None for a hidden file."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", name):
        raise ValueError(f"the archive {str(archive)!r} holds a file outside of it: {name!r}")
    hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
    return None if hidden or not path.parts else path


def _is_whole(directory: Path) -> bool:
    """Whether all files are there with the lengths that were written down."""
    try:
        sizes = json.loads((directory / CONTENTS).read_bytes())
        return all((directory / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return False
