"""Files from the network, which are fetched once, checked by their checksums, and kept."""

import errno
import hashlib
import logging
import os
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

from minigrad.data.texts.limits import RefusedError
from minigrad.data.texts.network import receive
from minigrad.files import CACHE, cache_dir, make_directory, printable, replacement

log = logging.getLogger("minigrad.data")


class DownloadError(OSError):
    """A file could not be fetched; the message says why, and what to do."""


@dataclass(frozen=True)
class Download:
    """A file on the network.

    Parameters
    ----------
    file
        its path in the cache.
    urls
        its addresses, which are tried in this order.
    sha256
        the checksum of its bytes, in hexadecimal; None: not known.
    size
        its number of bytes, for a person who fetches it by hand; None: not known.
    """

    file: str
    urls: tuple[str, ...]
    sha256: str | None = None
    size: int | None = None

    @property
    def path(self) -> Path:
        """Where the file is kept."""
        return cache_dir() / self.file


REGISTRY = {
    "tinyshakespeare": Download(
        "tinyshakespeare.txt",
        (
            "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        ),
        "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        1_115_394,
    ),
    "wikitext-2": Download(
        "wikitext-2-v1.zip",
        (
            "https://s3.amazonaws.com/research.metamind.io/wikitext/wikitext-2-v1.zip",
            "https://wikitext.smerity.com/wikitext-2-v1.zip",
        ),
        "92675f1d63015c1c8b51f1656a52d5bdbc33aafa60cc47a218a66e7ee817488c",
    ),
}
"""The corpora that can be fetched by name."""


def of_url(url: str, sha256: str | None = None) -> Download:
    """The file at an address.

    Parameters
    ----------
    url
        an http or https address. It may end in ``#sha256=...`` with the checksum.
    sha256
        the checksum, in hexadecimal. Without a checksum, the first file that comes is kept and
        used.

    Raises
    ------
    ValueError
        if it is no address, or the checksum is not 64 hexadecimal digits.
    """
    address, _, fragment = url.partition("#")
    if fragment.startswith("sha256=") and sha256 is None:
        sha256 = fragment.removeprefix("sha256=")
    if sha256 is not None and not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise ValueError(f"sha256 must be 64 hexadecimal digits, got {sha256!r} for {address!r}")
    try:
        parts = urlsplit(address)
    except ValueError as error:
        raise ValueError(f"{url!r} is no address: {printable(error)}") from None
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
        raise ValueError(f"an address must begin with http:// or https:// and a host, got {url!r}")
    # other addresses may end in the same name, so each address has its own directory
    name = re.sub(r"[^\w.-]", "_", unquote(parts.path).rpartition("/")[2]).lstrip(".") or "text"
    where = hashlib.sha256(address.encode()).hexdigest()[:16]
    return Download(f"fetched/{where}/{name[-100:]}", (address,), sha256 and sha256.lower())


Check = Callable[[BinaryIO, str], None]
"""Raises a ValueError if the content of an open file with this name cannot be what is meant."""


def fetch(download: Download, name: str, check: Check | None = None) -> Path:
    """The path of the file in the cache, where it is put first if it is not there yet.

    A file that somebody put there by hand is used too. Only a whole file with the right checksum is
    ever put at that path, even if the connection breaks, or another process fetches the same file.
    Its length and the time are limited: see `minigrad.data.texts.limits`.

    Parameters
    ----------
    download
        the file to fetch.
    name
        what messages call it.
    check
        called before the file is kept, if there is no checksum.

    Raises
    ------
    OSError
        if the file cannot be fetched from any of its addresses, or cannot be written. The message
        says why, and which file a person can put where.
    ModuleNotFoundError
        if the file must be fetched, and a package for that is missing.
    """
    path = download.path
    if is_there(download):
        return path
    try:
        make_directory(path.parent)
    except OSError as error:
        raise _unwritable(path, error) from error
    with _alone(path):
        return path if is_there(download) else _fetched_from_any(download, name, check)


def is_there(download: Download) -> bool:
    """Whether the file is in the cache, and is the right one."""
    if not download.path.is_file() or not download.path.stat().st_size:
        return False
    return download.sha256 in (None, sha256_of(download.path))


def _fetched_from_any(download: Download, name: str, check: Check | None) -> Path:
    path, present, reasons = download.path, "", []
    if path.is_file():
        present = f"; the file that is there now is another one, with sha256 {sha256_of(path)}"
    for url in download.urls:
        reason = _fetched(url, download, path, check)
        if reason is None:
            return path
        reasons.append(f"{url}: {reason}")
    size = "" if download.size is None else f" of {download.size:,} bytes"
    checksum = "" if download.sha256 is None else f", whose sha256 must be {download.sha256}"
    raise DownloadError(
        printable(
            f"{name} could not be fetched ({'; '.join(reasons)}). To do without the network, put "
            f"that file{size} at {path}{checksum}{present}"
        )
    )


def _alone(path: Path) -> AbstractContextManager[Any]:
    """A lock for the file: only one process fetches it, and the others wait for it."""
    try:
        from filelock import FileLock
    except ModuleNotFoundError as error:
        raise _missing("filelock", path) from error
    try:
        return FileLock(path.with_name(f".{path.name}.lock")).acquire()
    except OSError as error:
        raise _unwritable(path, error) from error


def _missing(package: str, path: Path) -> ModuleNotFoundError:
    return ModuleNotFoundError(
        f"fetching a text needs the package {package}: "
        f'python -m pip install "minigrad-rnn[data]"; or put the file at {path}',
        name=package,
    )


def _fetched(url: str, download: Download, path: Path, check: Check | None) -> str | None:
    """Fetch the file from one address to `path`; returns why it failed, or None."""
    try:
        import requests  # noqa: F401 (receive needs it)
    except ModuleNotFoundError as error:
        raise _missing("requests", path) from error
    log.info("fetching %s", printable(url))
    try:
        with replacement(path) as file:
            receive(url, file, path.parent, download.size)
            file.seek(0)
            found = hashlib.file_digest(file, "sha256").hexdigest()
            if download.sha256 not in (None, found):
                raise RefusedError(
                    f"what is there is another file, of {file.tell():,} bytes with sha256 "
                    f"{found}, not {download.sha256}"
                )
            if download.sha256 is None and check is not None:
                _check(file, path.name, check, found)
    except RefusedError as error:
        return str(error)
    except OSError as error:
        raise _unwritable(path, error) from error
    if download.sha256 is None:
        log.warning(
            "%s was fetched without a checksum: its sha256 is %s (put #sha256=%s after the address "
            "to get the same text everywhere). It is kept as %s; delete that file to fetch it "
            "again",
            *(printable(url), found, found, printable(path)),
        )
    return None


def _check(file: BinaryIO, name: str, check: Check, sha256: str) -> None:
    file.seek(0)
    try:
        check(file, name)
    except ValueError as error:
        raise RefusedError(
            f"the file there was not kept, since {error}. If you want it all the same, put "
            f"#sha256={sha256} after the address"
        ) from error


def _unwritable(path: Path, error: OSError) -> OSError:
    what = "the disk is full" if error.errno == errno.ENOSPC else error.strerror or str(error)
    return DownloadError(
        printable(
            f"{path} can't be written: {what}; the environment variable {CACHE} sets the "
            "directory in which texts are kept"
        )
    )


def sha256_of(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of the bytes of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
