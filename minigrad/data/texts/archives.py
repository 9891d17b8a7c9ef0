"""Archives of texts, which are unpacked once, into the cache."""

import errno
import json
import re
import shutil
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import IO, Any, BinaryIO

from minigrad.data.texts.downloads import sha256_of
from minigrad.data.texts.limits import MOST_FILES, RefusedError, check_room, check_size
from minigrad.files import cache_dir, make_directory, printable, sync_directory, write_atomically

SUFFIXES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")
CONTENTS = ".contents.json"

PACKERS = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\xfd7zXZ": "lzma"}
"""The modules that unpack a tar archive, by its first bytes. Not every Python has all of them."""

PIECE = 1 << 18


def is_archive(path: Path) -> bool:
    """Whether a file is a zip or tar archive, by its name."""
    return path.name.lower().endswith(SUFFIXES)


def unpacked(archive: Path) -> Path:
    """A directory with the files of `archive`, which is unpacked if need be.

    Links and hidden files are left out. Archives inside it stay packed. Control characters in names
    become visible. The directory is there as a whole or not at all. It is made anew if one of its
    files is missing or has a different length.

    Raises
    ------
    OSError
        if the archive cannot be read, or the directory cannot be written.
    ValueError
        if the archive is damaged or encrypted, would write outside of the directory, or has more in
        it than is allowed: see `minigrad.data.texts.limits`.
    """
    target = cache_dir() / "unpacked" / f"{archive.name.split('.')[0]}-{sha256_of(archive)[:16]}"
    if _is_whole(target):
        return target
    make_directory(target.parent)
    unfinished = Path(tempfile.mkdtemp(dir=target.parent, prefix=".", suffix=".tmp"))
    try:
        sizes: dict[str, int] = {}
        with archive.open("rb") as file:
            for name, piece in _pieces(file, archive):
                check_room(unfinished)
                _write(unfinished / name, piece, archive)
                sizes[str(name)] = sizes[str(name)] + len(piece) if piece else 0
        write_atomically(unfinished / CONTENTS, json.dumps(sizes).encode())
        if target.exists() and not _is_whole(target):
            shutil.rmtree(target, ignore_errors=True)
        with suppress(OSError):  # another process may have been faster
            unfinished.rename(target)
        sync_directory(target.parent)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return target


def check_archive(file: BinaryIO, name: Path) -> None:
    """Raise a ValueError if the archive in an open file cannot be unpacked; see `unpacked`."""
    for _ in _pieces(file, name):
        pass


def _write(path: Path, piece: bytes, archive: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab" if piece else "wb") as copy:
            copy.write(piece)
    except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
        raise RefusedError(
            f"the archive {str(archive)!r} is damaged: it holds both a file and a directory called "
            f"{path.name!r} or {path.parent.name!r}"
        ) from error


def _pieces(file: BinaryIO, archive: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    """For each file in an archive, its name with each piece of its content; the first is empty."""
    packed = file.seek(0, 2)
    file.seek(0)
    total = 0
    try:
        for name, size, member in _members(file, archive, packed):
            yield name, b""
            end = total + size
            while piece := member.read(PIECE):
                total += len(piece)
                check_size(total, packed)
                yield name, piece
            if total != end:
                raise EOFError(f"{name} does not have the {size:,} bytes that it should have")
    except RefusedError as error:
        raise RefusedError(f"the archive {str(archive)!r} is refused: {error}") from error
    except (RuntimeError, NotImplementedError) as error:  # encrypted, or an unusual way of packing
        raise RefusedError(f"the archive {str(archive)!r} can't be unpacked: {error}") from error
    except MemoryError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # of the disk
            raise
        raise RefusedError(f"the archive {str(archive)!r} is damaged: {error}") from error


def _members(
    file: BinaryIO, archive: Path, packed: int
) -> Iterator[tuple[PurePosixPath, int, IO[bytes]]]:
    """The name, the length and the content of each file in an archive."""
    if archive.name.lower().endswith(".zip"):
        with zipfile.ZipFile(file) as whole:
            infos = whole.infolist()
            _check_number(len(infos))
            check_size(sum(info.file_size for info in infos), packed)
            for info in infos:
                name = _safe(info.filename)
                is_file = not info.is_dir() and not stat.S_ISLNK(info.external_attr >> 16)
                if is_file and name is not None:
                    with whole.open(info) as member:
                        yield name, info.file_size, member
        return
    stream = _TarStream(file, packed)
    with tarfile.open(fileobj=stream, mode="r|") as tar:  # type: ignore[call-overload]
        for number, entry in enumerate(tar):
            _check_number(number + 1)
            name = _safe(entry.name)
            if entry.isfile() and name is not None:
                content = tar.extractfile(entry)
                assert content is not None  # since it is a regular file
                with content:
                    yield name, entry.size, content
    while stream.read(PIECE):  # to the end, where the checksum is
        pass


class _TarStream:
    """A tar archive, unpacked while it is read; it may not be longer than is allowed.

    All of it counts, since in a tar archive names may have any length too.
    """

    def __init__(self, file: BinaryIO, packed: int) -> None:
        start = file.read(6)
        file.seek(0)
        named = [name for magic, name in PACKERS.items() if start.startswith(magic)]
        self.stream: Any = import_module(named[0]).open(file) if named else file
        self.packed, self.total = packed, 0

    def read(self, size: int) -> bytes:
        piece: bytes = self.stream.read(size)
        self.total += len(piece)
        check_size(self.total, self.packed)
        return piece


def _check_number(count: int) -> None:
    if count > MOST_FILES:
        raise RefusedError(
            f"there are more than {MOST_FILES:,} files in it; unpack it by hand, and give the "
            "directory"
        )


def _safe(name: str) -> PurePosixPath | None:
    """The name as a path inside a directory; None for a hidden file."""
    path = PurePosixPath(printable(name.replace("\\", "/")).replace("\\", "_"))
    if path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", name):
        raise RefusedError(f"it holds a file outside of it: {name!r}")
    hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
    return None if hidden or not path.parts else path


def _is_whole(directory: Path) -> bool:
    """Whether all files are there, with the lengths that were written down."""
    try:
        sizes = json.loads((directory / CONTENTS).read_bytes())
        return all((directory / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return False
