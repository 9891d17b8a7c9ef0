"""A cache for each test, and a server."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """A cache of each test's own; no test writes to the user's."""
    directory = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("MINIGRAD_CACHE", str(directory))
    return directory


class Server(ThreadingHTTPServer):
    """A server on this machine that can be told to misbehave.

    Attributes
    ----------
    behaviour : str
        "works", "breaks off", "claims more", "claims less", "wrong bytes", "redirects",
        "redirects forever", "stalls", or a status such as "404".
    paths : list of str
        What was asked for.
    """

    daemon_threads = True

    def __init__(self, content):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.behaviour, self.paths = content, "works", []
        self.release = threading.Event()

    def url(self, path):
        return f"http://127.0.0.1:{self.server_port}/{path}"

    def handle_error(self, request, client_address):
        """Say nothing of clients that have gone away."""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server, content = self.server, self.server.content
        server.paths.append(self.path)
        behaviour = server.behaviour
        if behaviour.isdigit():
            self.send_error(int(behaviour))
            return
        if behaviour == "redirects forever" or (
            behaviour == "redirects" and not self.path.endswith("/there")
        ):
            self.send_response(302)
            self.send_header("Location", f"{self.path}/there")
            self.end_headers()
            return
        if behaviour == "wrong bytes":
            content = b"<html>Log in first</html>"
        length = len(content) + {"claims more": 100, "claims less": -100}.get(behaviour, 0)
        self.send_response(200)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if behaviour == "stalls":
            self.wfile.write(content[:10])
            self.wfile.flush()
            server.release.wait(20)
            return
        self.wfile.write(content[: len(content) // 2] if behaviour == "breaks off" else content)

    def log_message(self, *args):
        """Say nothing."""


@pytest.fixture
def serving():
    """Serve some bytes for the length of a block."""
    return _serving


@contextmanager
def _serving(content):
    server = Server(content)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.release.set()
        server.shutdown()
        server.server_close()
        thread.join()
