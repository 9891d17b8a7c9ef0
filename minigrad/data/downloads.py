"""Files from the network, fetched once, checked against their checksums, and kept."""

import errno
import hashlib
import logging
import os
import re
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from minigrad.data.cache import make_directory
from minigrad.files import CACHE, cache_dir, replacement

TIMEOUT = 30.0
"""Seconds that a server may keep silent."""

log = logging.getLogger("minigrad.data")


class DownloadError(OSError):
    """A file could not be fetched; the message says why, and what to do."""


@dataclass(frozen=True)
class Download:
    """A file on the network.

    Parameters
    ----------
    file
        Its path in the cache.
    urls
        Where it is, to be tried in this order.
    sha256
        The checksum of its bytes, in hexadecimal; None: not known.
    size
        How many bytes it has, for a person who fetches it by hand; None: not known.
    """

    file: str
    urls: tuple[str, ...]
    sha256: str | None = None
    size: int | None = None

    @property
    def path(self) -> Path:
        """Where it is kept."""
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
"""The corpora that are fetched by name."""


def of_url(url: str, sha256: str | None = None) -> Download:
    """Describe a file by its address.

    Parameters
    ----------
    url
        http or https. It may end in `#sha256=...`, which is the checksum then.
    sha256
        The checksum, in hexadecimal. Without one, what is served the first time is kept and used.

    Raises
    ------
    ValueError
        If the address is none, or the checksum is not 64 hexadecimal digits.
    """
    address, _, fragment = url.partition("#")
    if fragment.startswith("sha256=") and sha256 is None:
        sha256 = fragment.removeprefix("sha256=")
    if sha256 is not None and not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise ValueError(f"sha256 must be 64 hexadecimal digits, got {sha256!r} for {address}")
    parts = urlsplit(address)
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
        raise ValueError(f"an address must begin with http:// or https:// and a host, got {url!r}")
    # other addresses may end in the same name, so each has a directory of its own
    name = re.sub(r"[^\w.-]", "_", unquote(parts.path).rpartition("/")[2]).lstrip(".") or "text"
    where = hashlib.sha256(address.encode()).hexdigest()[:16]
    return Download(f"fetched/{where}/{name[-100:]}", (address,), sha256 and sha256.lower())


def fetch(download: Download, name: str) -> Path:
    """Return the path of the file, which is fetched if it is not in the cache as it should be.

    A file that was put there by hand is as good. Nothing but a whole file with the right checksum
    ever stands at that path, whatever breaks off, and whoever else fetches it at the same time.

    Parameters
    ----------
    download
        What to fetch.
    name
        What to call it in messages.

    Raises
    ------
    OSError
        If it can't be fetched from any of its addresses, or not be written. The message says why,
        and which file to put where by hand.
    ModuleNotFoundError
        If it has to be fetched, and pooch is not installed.
    """
    path = download.path
    if path.is_file() and download.sha256 in (None, sha256_of(path)):
        return path
    try:
        make_directory(path.parent)
    except OSError as error:
        raise _unwritable(path, error) from error
    with _alone(path):
        return _fetched_from_any(download, name)


def _fetched_from_any(download: Download, name: str) -> Path:
    path, present, reasons = download.path, "", []
    if path.is_file():
        found = sha256_of(path)
        if download.sha256 in (None, found):  # somebody else was faster
            return path
        present = f"; the file that is there now is another one, with sha256 {found}"
    for url in download.urls:
        reason = _fetched(url, download, path)
        if reason is None:
            return path
        reasons.append(f"{url}: {reason}")
    size = "" if download.size is None else f" of {download.size:,} bytes"
    checksum = "" if download.sha256 is None else f", whose sha256 must be {download.sha256}"
    raise DownloadError(
        f"{name} could not be fetched ({'; '.join(reasons)}). To do without the network, put that "
        f"file{size} at {path}{checksum}{present}"
    )


def _alone(path: Path) -> AbstractContextManager[Any]:
    """Within it, nobody else fetches the same file; the others wait, and then have it."""
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
        f"to fetch a text needs the package {package}: in the checkout of minigrad, "
        f'python -m pip install ".[data]"; or put the file at {path}',
        name=package,
    )


def _fetched(url: str, download: Download, path: Path) -> str | None:
    """Fetch from one address to `path`; returns why that failed, if it did."""
    try:
        import pooch
        import requests
    except ModuleNotFoundError as error:
        raise _missing("pooch", path) from error
    log.info("fetching %s", url)
    downloader = pooch.HTTPDownloader(timeout=TIMEOUT, chunk_size=1 << 16)
    try:
        with replacement(path) as file:
            downloader(url, file, None)
            file.seek(0)
            found = hashlib.file_digest(file, "sha256").hexdigest()
            if download.sha256 not in (None, found):
                raise _WrongBytesError(
                    f"what is served there is another file, of {file.tell():,} bytes with sha256 "
                    f"{found}, not {download.sha256}"
                )
    except _WrongBytesError as error:
        return str(error)
    except requests.RequestException as error:  # an OSError too, so before that
        return _reason(error)
    except OSError as error:
        raise _unwritable(path, error) from error
    if download.sha256 is None:
        log.warning(
            "%s was fetched, with nothing to check it against: its sha256 is %s (put #sha256=%s "
            "after the address to be sure to get the same text anywhere). It is kept as %s",
            *(url, found, found, path),
        )
    return None


class _WrongBytesError(Exception):
    pass


def _reason(error: Any) -> str:
    """Say shortly what went wrong: messages of requests are nested several levels deep."""
    from requests import exceptions as of

    if isinstance(error, of.HTTPError) and error.response is not None:
        return f"the server answers {error.response.status_code} {error.response.reason}"
    if isinstance(error, of.Timeout) or "timed out" in str(error):
        return f"no answer within {TIMEOUT:g} seconds"
    if isinstance(error, of.ChunkedEncodingError | of.ContentDecodingError):
        return "the connection broke off in the middle, or the server lied about the length"
    if isinstance(error, of.SSLError):
        return f"its certificate is not trusted: {error}"
    if isinstance(error, of.ConnectionError):
        cause = getattr(error.args[0] if error.args else None, "reason", None) or error
        return f"there is no connection: {str(cause).rpartition(': ')[2]}"
    return str(error)


def _unwritable(path: Path, error: OSError) -> OSError:
    what = "the disk is full" if error.errno == errno.ENOSPC else error.strerror or str(error)
    return DownloadError(
        f"{path} can't be written: {what}; the environment variable {CACHE} says in which "
        "directory texts are kept"
    )


def sha256_of(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of the bytes of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
