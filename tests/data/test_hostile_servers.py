"""Servers that send anything, too much, or for ever: told in one line, and nothing is kept."""

import gzip
import hashlib
import itertools
import shutil
import socket
import threading
import time
from collections import namedtuple

import pytest

from minigrad.data import find_text, load_text
from minigrad.data.texts import limits, network

pytest.importorskip("requests")

TEXT = b"All that glisters is not gold.\n" * 100
ESCAPES = "\x1bc\x07\x9b31m\x85"


def answer(*headers, status="200 OK", body=b"", lengths=True):
    """What a server sends: pieces of bytes, and numbers of seconds to wait."""
    if lengths:
        headers = (*headers, f"Content-Length: {len(body)}")
    head = "\r\n".join([f"HTTP/1.1 {status}", *headers, "Connection: close", "", ""])
    return [head.encode("latin-1"), body]


def for_ever(first, piece, pause=0.0):
    """`first`, and then `piece` again and again."""
    yield from first
    while True:
        yield piece
        if pause:
            yield pause


def chunked(pieces):
    return (b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)


def redirection(location, body=b""):
    return answer(f"Location: {location}", status="302 Found", body=body)


NO_LENGTH = answer(lengths=False)
CHUNKED = answer("Transfer-Encoding: chunked", lengths=False)
PACKED = "Content-Encoding: gzip"
BOMB = gzip.compress(bytes(80 << 20), 1)
BROKEN_OFF = "the connection broke off in the middle, or the server lied about the length"
TOO_LONG = "it is longer than the 1,000,000 bytes that are allowed; .*MINIGRAD_MAX_BYTES"
SLOW = r"only [\d,]+ bytes came in \d+ seconds"

HOSTILE = {
    # no text
    "nothing": (answer(), "it sends nothing"),
    "no content": (answer(status="204 No Content"), "the server answers 204 No Content"),
    "a part": (answer(status="206 Partial Content", body=TEXT), "the server answers 206 Partial"),
    "not modified": (answer(status="304 Not Modified"), "the server answers 304"),
    "a page": (answer(body=b"\n <!DOCTYPE HTML><title>Log in</title>"), "it is a page of HTML"),
    "a page in UTF-8": (answer(body=b"\xef\xbb\xbf<html>"), "it is a page of HTML"),
    "a page of XML": (answer(body=b"<?xml version='1.0'?>\n<html l='en'>"), "a page of HTML"),
    "another encoding": (answer(body="말".encode("cp949")), "is not UTF-8: byte 0xb8 at offset 0"),
    "a picture": (answer(body=b"\x89PNG\r\n\x1a\n\0\0"), "is not UTF-8"),
    "only spaces": (answer(body=b" \n" * 50), "only whitespace"),
    # steering the terminal
    "a reason": (answer(status=f"500 {ESCAPES}boom"), r"answers 500 \\x1bc\\x07\\x9b31m\\x85b"),
    "another address": (redirection(f"file://{ESCAPES}"), r"it redirects to 'file://\\x1bc"),
    "an encoding": (answer(f"Content-Encoding: {ESCAPES}", body=TEXT), r"packed as '\\x1bc"),
    # somewhere else
    "a file": (redirection("file:///etc/passwd"), "no address of http or https"),
    "another protocol": (redirection("ftp://127.0.0.1/x"), "no address of http or https"),
    "no host": (redirection("http://[::1"), "Invalid"),
    "nowhere": (answer(status="302 Found"), "the server answers 302 Found"),
    "in circles": (redirection("/"), "Exceeded 30 redirects"),
    # too much
    "announced": (answer("Content-Length: 7000000000", lengths=False), TOO_LONG),
    "without end": (for_ever(NO_LENGTH, TEXT), TOO_LONG),
    "chunks without end": (for_ever(CHUNKED, *chunked([TEXT])), TOO_LONG),
    "headers without end": (for_ever([b"HTTP/1.1 200 OK\r\n"], b"X: y\r\n"), "."),
    "a header without end": (for_ever([b"HTTP/1.1 200 OK\r\nX: "], b"y" * 1000), "."),
    "a bomb": (answer(PACKED, body=BOMB), "longer than the 67,108,864 bytes .*packed form"),
    "a chunked bomb": (
        [
            *answer(PACKED, "Transfer-Encoding: chunked", lengths=False),
            *chunked([BOMB]),
            b"0\r\n\r\n",  # or a Python that reads on before it unpacks finds it cut short
        ],
        "longer than the 67,108,864 bytes .*packed form",
    ),
    "a bomb in a bomb": (answer(f"{PACKED}, gzip", body=BOMB), "packed as 'gzip, gzip'"),
    # damaged
    "unasked": (answer("Content-Encoding: br", body=TEXT), "packed as 'br', which was not"),
    "cut short": ([*answer("Content-Length: 5000", lengths=False), TEXT], BROKEN_OFF),
    "a chunk cut short": ([*CHUNKED, b"ffff\r\n", TEXT], BROKEN_OFF),
    "no last chunk": ([*CHUNKED, *chunked([TEXT])], BROKEN_OFF),
    "a chunk of no length": ([*CHUNKED, b"-5\r\nxx\r\n"], BROKEN_OFF),
    "half of gzip": (answer(PACKED, body=gzip.compress(TEXT)[:-9]), "with gzip, and damaged"),
    "wrong gzip": (answer(PACKED, body=TEXT), "packed with gzip, and damaged"),
    "gzip and more": (answer(PACKED, body=gzip.compress(TEXT) + b"x"), "with gzip, and damaged"),
    "a length below 0": (answer("Content-Length: -5", lengths=False), "it sends nothing"),
    "no HTTP": ([b"220 ftp.example \x1b[2J\r\n"], "."),
    "no status": ([b"HTTP/1.1 \x1b[2J\r\n\r\n"], "."),
    "gone at once": ([], "."),
    # slow
    "drops": (for_ever(NO_LENGTH, b"x", 0.05), SLOW),
    "drops of a promise": (
        for_ever(answer("Content-Length: 9999", lengths=False), b"x", 0.05), SLOW),
    "drops of chunks": (for_ever(CHUNKED, b"1\r\nx\r\n", 0.05), SLOW),
    "drops of a header": (for_ever([b"HTTP/1.1 200 OK\r\nX: "], b"y", 0.05), SLOW),
    "drops of a status": (for_ever([b"HTTP/1.1 200 "], b"O", 0.05), SLOW),
    "drops of a redirection": (
        itertools.chain(redirection("/there", TEXT)[:1], for_ever([], b"x", 0.05)), SLOW),
    "continues for ever": (for_ever([], b"HTTP/1.1 100 Continue\r\n\r\n", 0.01), SLOW),
}  # fmt: skip


class Server:
    """Sends to each who connects what it was told, and no more when the test has ended."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}/text.txt"
        self.pieces, self.sent, self.over = [], 0, False
        self.threads = [threading.Thread(target=self.listen, daemon=True)]
        self.threads[0].start()

    def listen(self):
        while not self.over:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.threads.append(threading.Thread(target=self.talk, args=(connection,), daemon=True))
            self.threads[-1].start()

    def talk(self, connection):
        with connection:
            try:
                connection.settimeout(10)
                connection.recv(65536)
                for piece in self.pieces:
                    if self.over:
                        return
                    if isinstance(piece, float):
                        time.sleep(piece)
                    else:
                        connection.sendall(piece)
                        self.sent += len(piece)
            except OSError:
                pass

    def close(self):
        self.over = True
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        for thread in self.threads:
            thread.join(10)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = Server()
    yield server
    server.close()


def kept(cache):
    return [path for path in cache.rglob("*") if path.is_file() and path.suffix != ".lock"]


@pytest.mark.parametrize("kind", HOSTILE)
def test_is_refused_in_one_line_and_not_kept(server, cache, monkeypatch, kind):
    server.pieces, message = HOSTILE[kind]
    if message is SLOW:
        monkeypatch.setattr(network, "GRACE", 0.5)
    if "bomb" not in kind:
        monkeypatch.setenv("MINIGRAD_MAX_BYTES", "1000000")
    with pytest.raises(OSError, match=rf"^the text could not be fetched \(.*{message}") as caught:
        load_text(server.url)
    assert str(caught.value).isprintable()
    assert kept(cache) == []
    assert server.sent < 80_000_000


@pytest.mark.parametrize(
    "pieces",
    [
        answer(body=TEXT),
        [*NO_LENGTH, TEXT],
        [*CHUNKED, *chunked([TEXT[:7], TEXT[7:]]), b"0\r\n\r\n"],
        answer(PACKED, body=gzip.compress(TEXT)),
        answer(PACKED, body=gzip.compress(TEXT[:50]) + gzip.compress(TEXT[50:])),
        answer("Content-Encoding: identity", body=TEXT),
        [piece for byte in answer(body=TEXT) for piece in (byte[:9], 0.1, byte[9:])],
    ],
)
def test_what_is_honest_is_taken(server, pieces):
    server.pieces = pieces
    assert load_text(server.url) == TEXT.decode()


def test_a_redirection_with_a_body_without_end(server, monkeypatch):
    """Its body is not read."""
    there = Server()
    there.pieces = answer(body=TEXT)
    server.pieces = for_ever(redirection(there.url)[:1], TEXT)
    try:
        assert load_text(server.url) == TEXT.decode()
    finally:
        there.close()


class TestLimits:
    def test_the_ceiling_can_be_raised(self, server, monkeypatch):
        monkeypatch.setattr(limits, "BYTES", 3000)
        server.pieces = answer(body=TEXT)
        with pytest.raises(OSError, match=r"longer than the 3,000 bytes.*MINIGRAD_MAX_BYTES"):
            load_text(server.url)
        monkeypatch.setenv("MINIGRAD_MAX_BYTES", "3100")
        assert load_text(server.url) == TEXT.decode()

    def test_and_then_a_bomb_is_none(self, server, monkeypatch):
        monkeypatch.setattr(limits, "ALWAYS", 3000)
        packed = gzip.compress(TEXT * 10)
        server.pieces = answer(PACKED, body=packed)
        with pytest.raises(OSError, match=f"for the {len(packed)} bytes of its packed form"):
            load_text(server.url)
        monkeypatch.setenv("MINIGRAD_MAX_BYTES", "31000")
        assert load_text(server.url) == TEXT.decode() * 10

    def test_all_of_it_has_a_deadline(self, server, cache, monkeypatch):
        monkeypatch.setattr(limits, "SECONDS", 0.5)
        server.pieces = for_ever(NO_LENGTH, TEXT, 0.01)
        with pytest.raises(
            OSError, match=r"not complete after 0.5 seconds; .*MINIGRAD_MAX_SECONDS"
        ):
            load_text(server.url)
        assert kept(cache) == []

    @pytest.mark.parametrize("announced", [True, False])
    def test_a_disk_without_room(self, server, cache, monkeypatch, announced):
        usage = namedtuple("usage", "total used free")
        left = {"free": limits.RESERVE + (2000 if announced else -1)}
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, **left))
        server.pieces = answer(body=TEXT) if announced else [*NO_LENGTH, TEXT]
        with pytest.raises(OSError, match="the disk has no room for it"):
            load_text(server.url)
        assert kept(cache) == []

    @pytest.mark.parametrize("variable", ["MINIGRAD_MAX_BYTES", "MINIGRAD_MAX_SECONDS"])
    @pytest.mark.parametrize("value", ["0", "-1", "1e9", "many\x1b", "٣"])
    def test_a_limit_that_is_none(self, server, monkeypatch, variable, value):
        monkeypatch.setenv(variable, value)
        server.pieces = answer(body=TEXT)
        with pytest.raises(
            (ValueError, OSError), match=f"{variable} must be a whole number"
        ) as caught:
            load_text(server.url)
        assert str(caught.value).isprintable()


class TestWhatIsNotWhatWasMeant:
    def test_may_be_meant_all_the_same(self, server, cache):
        page = b"<html><body>About gold.</body></html>"
        server.pieces = answer(body=page)
        sha256 = hashlib.sha256(page).hexdigest()
        with pytest.raises(OSError, match=f"was not kept.*put #sha256={sha256} after the address"):
            load_text(server.url)
        assert load_text(f"{server.url}#sha256={sha256}") == page.decode()

    def test_or_be_called_a_page(self, server):
        server.pieces = answer(body=b"<html>About gold.</html>")
        assert load_text(server.url.replace(".txt", ".html")) == "<html>About gold.</html>"

    def test_an_archive_that_is_none(self, server, cache):
        server.pieces = answer(body=TEXT)
        with pytest.raises(OSError, match=r"the archive 'text\.zip' is damaged"):
            find_text(server.url.replace(".txt", ".zip"))
        assert kept(cache) == []

    def test_an_empty_file_from_before_is_fetched_anew(self, server, cache):
        server.pieces = answer(body=TEXT)
        load_text(server.url)
        (path,) = kept(cache)
        path.write_bytes(b"")
        assert load_text(server.url) == TEXT.decode()

    @pytest.mark.parametrize("url", ["http://[::1", "http://\x1b[2J\u202e", "http:///x\x07"])
    def test_addresses(self, url):
        with pytest.raises((ValueError, OSError)) as caught:
            load_text(url)
        assert str(caught.value).isprintable()


def test_an_interrupt_leaves_nothing(server, cache, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(network, "_check_pace", interrupted)
    server.pieces = for_ever(NO_LENGTH, TEXT, 0.05)
    with pytest.raises(KeyboardInterrupt):
        load_text(server.url)
    assert kept(cache) == []


def test_threads_end_when_they_are_given_up(server, monkeypatch):
    monkeypatch.setattr(network, "GRACE", 0.5)
    server.pieces = for_ever(NO_LENGTH, b"x", 0.05)
    with pytest.raises(OSError, match=SLOW):
        load_text(server.url)
    for thread in threading.enumerate():
        if thread.name == "minigrad download":
            thread.join(10)
            assert not thread.is_alive()
