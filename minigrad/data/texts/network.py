"""Receive what a server sends: it may be anything, and may never end."""

import gzip
import queue
import threading
import time
import zlib
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urljoin, urlsplit

from minigrad.data.texts.limits import (
    MOST_SECONDS,
    RefusedError,
    check_room,
    check_size,
    most_seconds,
)
from minigrad.errors.values import told

TIMEOUT = 30.0
"""The seconds that a server may be silent."""

GRACE, SLOWEST = 30.0, 1000
"""After GRACE seconds, at least SLOWEST bytes must have come for each second."""

REDIRECTS = 30
BROKEN_OFF = "the connection broke off in the middle, or the server lied about the length"
PIECE = 1 << 16


def receive(url: str, file: BinaryIO, directory: Path, size: int | None = None) -> None:
    """Write everything that the server sends for `url` to `file`.

    A second thread talks to the server. Otherwise one could not stop waiting for a slow name
    server, a slow handshake, or a header that comes byte by byte. If this function gives up, the
    thread ends when the caller closes the file.

    Parameters
    ----------
    url
        an http or https address.
    file
        an open file; the caller must close it if this raises an error.
    directory
        the directory of the file, whose disk must have room.
    size
        the expected number of bytes; None: not known.

    Raises
    ------
    RefusedError
        if it does not come, or is not accepted; the message says why.
    OSError
        if the file cannot be written.
    """
    outcome: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()
    received = 0

    def work() -> None:
        nonlocal received
        try:
            with closing(_body(url, directory, size)) as pieces:
                for piece in pieces:
                    file.write(piece)
                    received += len(piece)
            outcome.put(None)
        except Exception as error:
            outcome.put(error)

    most, begin = most_seconds(), time.monotonic()
    threading.Thread(target=work, name="minigrad download", daemon=True).start()
    while True:
        try:
            error = outcome.get(timeout=0.1)
            break
        except queue.Empty:
            _check_pace(received, time.monotonic() - begin, most)
    if error is not None:
        raise error


def _check_pace(received: int, seconds: float, most: float) -> None:
    if seconds > most:
        raise RefusedError(
            f"it was not complete after {most:g} seconds; to wait longer, set the environment "
            f"variable {MOST_SECONDS} to a larger number"
        )
    if seconds > GRACE and received < SLOWEST * seconds:
        raise RefusedError(f"only {received:,} bytes came in {seconds:.0f} seconds")


def _body(url: str, directory: Path, size: int | None) -> Generator[bytes, None, None]:
    """What the server sends for `url`, in pieces, and unpacked if it is packed."""
    import requests

    try:
        with requests.Session() as session, _answer(session, url) as response:
            if response.status_code != 200:
                raise RefusedError(f"the server answers {response.status_code} {response.reason}")
            announced, packed = _length(response), "Content-Encoding" in response.headers
            stream = _unpacking(response) if packed else response.raw
            read = getattr(stream, "read1", stream.read)  # what has come, without waiting for more
            _check_length(announced or 0, size)
            check_room(directory, announced or 0)
            total = 0
            while piece := read(PIECE):
                total += len(piece)
                _check_length(total, size, response.raw.tell() if packed else None)
                check_room(directory)
                yield piece
            if announced not in (None, response.raw.tell()):
                raise RefusedError(BROKEN_OFF)
            if not total:
                raise RefusedError("it sends nothing")
    except RefusedError:
        raise
    except Exception as error:  # several libraries raise them, and the server decides which
        raise RefusedError(reason(error)) from error


def _check_length(length: int, size: int | None, packed: int | None = None) -> None:
    if size is not None and length > size:
        raise RefusedError(f"it is longer than the {size:,} bytes that it should have")
    check_size(length, packed)


def _answer(session: Any, url: str) -> Any:
    """The response of the server at the end of all redirections."""
    # requests would read the whole body of a redirection, which may have no end
    session.get_redirect_target = lambda response: None
    for _ in range(REDIRECTS + 1):
        response = session.get(
            url, stream=True, timeout=TIMEOUT, headers={"Accept-Encoding": "identity"}
        )
        target = response.headers.get("Location")
        if response.status_code not in (301, 302, 303, 307, 308) or target is None:
            break
        response.close()
        url = urljoin(url, target.encode("latin-1", "replace").decode("utf-8", "replace"))
        if urlsplit(url).scheme not in ("http", "https"):
            raise RefusedError(
                f"it redirects to {url!r:.200}, which is no address of http or https"
            )
    else:
        raise RefusedError(f"Exceeded {REDIRECTS} redirects.")
    return response


def _length(response: Any) -> int | None:
    """The number of bytes that the server announces, if any."""
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isascii() and length.isdigit() and len(length) < 20 else None


def _unpacking(response: Any) -> Any:
    encoding = response.headers["Content-Encoding"].lower()
    if encoding == "identity":
        return response.raw
    if encoding != "gzip":
        raise RefusedError(f"it is packed as {told(encoding)}, which was not asked for")
    return gzip.GzipFile(fileobj=response.raw)


def reason(error: Any) -> str:
    """In a few words, what went wrong; the messages of requests are nested and long."""
    import requests.exceptions as of
    import urllib3.exceptions as below

    if isinstance(error, of.Timeout | below.TimeoutError) or "timed out" in str(error):
        return f"no answer within {TIMEOUT:g} seconds"
    if isinstance(error, of.ChunkedEncodingError | below.HTTPError):
        return BROKEN_OFF
    if isinstance(error, gzip.BadGzipFile | EOFError | zlib.error):
        return f"it is packed with gzip, and damaged: {error}"
    if isinstance(error, of.SSLError):
        return f"its certificate is not trusted: {error}"
    if isinstance(error, of.ConnectionError):
        cause = getattr(error.args[0] if error.args else None, "reason", None) or error
        return f"there is no connection: {str(cause).rpartition(': ')[2]}"
    return str(error)
