import errno
import hashlib
import io
import logging
import multiprocessing
import os
import socket
import sys
import tarfile
import threading
import time
import zipfile
from pathlib import Path

import pytest

from minigrad.data import cache_dir, find_text, load_text
from minigrad.data.texts import corpora, downloads, network
from minigrad.data.texts.archives import unpacked
from minigrad.data.texts.downloads import Download, fetch, of_url

pytest.importorskip("requests")

TEXT = "All that glisters is not gold.\n" * 5000
CONTENT = TEXT.encode()
SHA256 = hashlib.sha256(CONTENT).hexdigest()
FAULTS = {
    "breaks off": "the connection broke off",
    "claims more": "the connection broke off in the middle, or the server lied about the length",
    "claims less": "another file, of 154,900 bytes with sha256",
    "wrong bytes": "another file, of 25 bytes with sha256",
    "404": "the server answers 404 Not Found",
    "500": "the server answers 500 Internal Server Error",
    "redirects forever": "Exceeded 30 redirects",
    "stalls": "no answer within 0.2 seconds",
}


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def server(serving):
    with serving(CONTENT) as server:
        yield server


@pytest.fixture
def corpus(server, monkeypatch):
    """A corpus called "proverb", which the server has."""
    download = Download("proverb.txt", (server.url("proverb"),), SHA256, len(CONTENT))
    monkeypatch.setitem(downloads.REGISTRY, "proverb", download)
    return download


def files(cache):
    """All that is in the cache, hidden and half-written files too, but for the locks."""
    found = [path for path in cache.rglob("*") if path.is_file() and path.suffix != ".lock"]
    return sorted(str(path.relative_to(cache)) for path in found)


class TestByName:
    def test_is_fetched_once(self, corpus, server, cache):
        assert load_text("proverb") == TEXT
        assert load_text("proverb") == TEXT
        assert server.paths == ["/proverb"]
        assert files(cache) == ["proverb.txt"]
        assert find_text("proverb").name == "proverb"

    @pytest.mark.parametrize("fault", FAULTS)
    def test_trouble_is_told_and_leaves_nothing(self, corpus, server, cache, monkeypatch, fault):
        monkeypatch.setattr(network, "TIMEOUT", 0.2 if fault == "stalls" else 10.0)
        server.behaviour = fault
        too_long = {"claims more": "it is longer than the 155,000 bytes that it should have"}
        with pytest.raises(OSError, match={**FAULTS, **too_long}[fault]) as caught:
            load_text("proverb")
        message = str(caught.value)
        assert message.startswith(f"proverb could not be fetched ({server.url('proverb')}: ")
        assert f"put that file of 155,000 bytes at {cache / 'proverb.txt'}" in message
        assert SHA256 in message
        assert "\n" not in message
        assert files(cache) == []
        server.behaviour = "works"
        assert load_text("proverb") == TEXT
        assert files(cache) == ["proverb.txt"]

    def test_nobody_is_there(self, monkeypatch, cache):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{free.getsockname()[1]}/x"
        monkeypatch.setitem(downloads.REGISTRY, "x", Download("x.txt", (url,), SHA256))
        with pytest.raises(OSError, match=r"there is no connection: .*refused"):
            load_text("x")
        assert files(cache) == []

    def test_no_such_host(self, monkeypatch, cache):
        def no(*args, **kwargs):
            raise socket.gaierror(-2, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", no)
        download = Download("x.txt", ("http://example.invalid/x",), SHA256)
        with pytest.raises(OSError, match=r"there is no connection.*put that file at"):
            fetch(download, "x")

    def test_a_redirection_is_followed(self, corpus, server):
        server.behaviour = "redirects"
        assert load_text("proverb") == TEXT
        assert server.paths == ["/proverb", "/proverb/there"]

    def test_the_next_address_is_tried(self, server, serving):
        with serving(b"something else") as wrong:
            urls = (wrong.url("first"), server.url("second"))
            download = Download("x.txt", urls, SHA256)
            assert fetch(download, "x").read_bytes() == CONTENT
            assert (wrong.paths, server.paths) == (["/first"], ["/second"])
            server.behaviour = "404"
            (cache_dir() / "x.txt").unlink()
            with pytest.raises(OSError, match=r"/first: what is there.*/second: the server ans"):
                fetch(download, "x")

    def test_a_file_put_there_by_hand(self, corpus, server, cache):
        server.behaviour = "404"
        (cache / "proverb.txt").write_bytes(CONTENT)
        assert load_text("proverb") == TEXT
        assert server.paths == []

    def test_a_wrong_file_put_there_by_hand(self, corpus, server, cache):
        server.behaviour = "404"
        (cache / "proverb.txt").write_bytes(CONTENT[:-1])
        with pytest.raises(OSError, match="the file that is there now is another one, with sha256"):
            load_text("proverb")
        assert (cache / "proverb.txt").read_bytes() == CONTENT[:-1]
        server.behaviour = "works"
        assert load_text("proverb") == TEXT

    def test_many_at_once(self, corpus, server, cache):
        texts = []
        threads = [
            threading.Thread(target=lambda: texts.append(load_text("proverb"))) for _ in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert texts == [TEXT] * 6
        assert files(cache) == ["proverb.txt"]

    def test_two_processes_at_once(self, corpus, cache):
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            paths = pool.starmap(fetch, [(corpus, "proverb")] * 2)
        assert paths == [cache / "proverb.txt"] * 2
        assert (cache / "proverb.txt").read_bytes() == CONTENT
        assert files(cache) == ["proverb.txt"]

    @pytest.mark.parametrize(
        ("code", "message"),
        [(errno.ENOSPC, "the disk is full"), (errno.EACCES, "Permission denied")],
    )
    def test_a_cache_that_cannot_be_written_to(self, corpus, cache, monkeypatch, code, message):
        def no(*args):
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(os, "fsync", no)
        with pytest.raises(
            OSError, match=rf"proverb\.txt can't be written: {message}; .*MINIGRAD_CACHE"
        ):
            load_text("proverb")
        assert files(cache) == []

    def test_a_file_in_the_place_of_the_cache(self, corpus, monkeypatch, tmp_path):
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("MINIGRAD_CACHE", str(tmp_path / "file"))
        with pytest.raises(OSError, match=r"can't be written: .*MINIGRAD_CACHE"):
            load_text("proverb")

    @pytest.mark.parametrize("package", ["requests", "filelock"])
    def test_without_a_package(self, corpus, cache, monkeypatch, package):
        monkeypatch.setitem(sys.modules, package, None)
        message = rf'the package {package}: .*pip install "minigrad-rnn\[data\]"; or put'
        with pytest.raises(ModuleNotFoundError, match=message):
            load_text("proverb")
        (cache / "proverb.txt").write_bytes(CONTENT)
        assert load_text("proverb") == TEXT

    def test_what_is_known(self):
        assert {"tinyshakespeare", "wikitext-2"} <= downloads.REGISTRY.keys()
        for download in downloads.REGISTRY.values():
            assert len(download.sha256) == 64
            assert all(url.startswith("https://") for url in download.urls)


class TestByAddress:
    def test_is_fetched_once_and_its_checksum_told(self, server, cache, caplog):
        with caplog.at_level(logging.INFO, "minigrad.data"):
            assert load_text(server.url("a/proverb.txt?v=1")) == TEXT
            assert load_text(server.url("a/proverb.txt?v=1")) == TEXT
        assert server.paths == ["/a/proverb.txt?v=1"]
        fetching, told = caplog.messages
        assert fetching.startswith("fetching http://127.0.0.1")
        assert f"its sha256 is {SHA256}" in told
        assert caplog.records[1].levelname == "WARNING"
        (file,) = files(cache)
        assert file.startswith("fetched/")
        assert file.endswith("/proverb.txt")

    def test_with_a_checksum(self, server, caplog):
        assert load_text(f"{server.url('x')}#sha256={SHA256.upper()}") == TEXT
        assert fetch(of_url(server.url("x"), SHA256), "x").read_bytes() == CONTENT
        assert server.paths == ["/x"]
        assert caplog.messages == []

    def test_with_a_wrong_checksum(self, server, cache):
        with pytest.raises(OSError, match=f"sha256 {SHA256}, not {'0' * 64}"):
            load_text(f"{server.url('x')}#sha256={'0' * 64}")
        assert files(cache) == []

    @pytest.mark.parametrize("fault", ["breaks off", "claims more", "404"])
    def test_trouble_leaves_nothing(self, server, cache, fault):
        server.behaviour = fault
        with pytest.raises(OSError, match=FAULTS[fault]):
            load_text(server.url("x"))
        assert files(cache) == []
        server.behaviour = "works"
        assert load_text(server.url("x")) == TEXT

    def test_addresses_that_end_alike_are_told_apart(self, server):
        load_text(server.url("a/text.txt"))
        load_text(server.url("b/text.txt"))
        assert server.paths == ["/a/text.txt", "/b/text.txt"]

    @pytest.mark.parametrize(
        "url", ["http://h/..%2F..%2Fetc", "http://h/%00", "http://h/", "http://h/.x"]
    )
    def test_a_name_stays_in_its_place(self, cache, url):
        path = of_url(url).path
        assert path.parent.parent == cache / "fetched"
        assert not path.name.startswith(".")

    @pytest.mark.parametrize("url", ["ftp://host/x", "http://", "file:///etc/passwd"])
    def test_other_addresses(self, url):
        with pytest.raises(ValueError, match="must begin with http:// or https:// and a host"):
            load_text(url)

    def test_checksum_that_is_none(self):
        with pytest.raises(ValueError, match="sha256 must be 64 hexadecimal digits, got 'abc'"):
            load_text("http://host/x#sha256=abc")


def zipped(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content.encode()))
    return buffer.getvalue()


PARTS = {
    "wikitext-2/": "",
    "wikitext-2/wiki.test.tokens": "the test",
    "wikitext-2/wiki.train.tokens": "the training " * 100,
    "wikitext-2/wiki.valid.tokens": "the validation",
}


class TestArchives:
    def test_a_corpus_in_an_archive_has_parts(self, serving, monkeypatch, tmp_path):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "wikitext-2").mkdir()  # is not meant
        content = zipped(PARTS)
        with serving(content) as server:
            download = Download("w.zip", (server.url("w"),), hashlib.sha256(content).hexdigest())
            monkeypatch.setitem(downloads.REGISTRY, "wikitext-2", download)
            for _ in range(2):
                found = find_text("wikitext-2")
                assert found.name == "wikitext-2"
                texts = ["".join(part.pieces()) for part in found[1:]]
                assert texts == ["the training " * 100, "the validation", "the test"]
            assert server.paths == ["/w"]
        assert load_text("wikitext-2").startswith("the training the")

    @pytest.mark.parametrize("make", [zipped, tarred])
    @pytest.mark.parametrize("damage", ["missing", "short", "record"])
    def test_is_unpacked_again_if_a_file_is_not_as_it_was(self, tmp_path, make, damage):
        members = {"a/x.txt": "one", "a/b/y.txt": "two", ".hidden": "no", "__MACOSX/._x": "no"}
        archive = tmp_path / ("x.zip" if make is zipped else "x.tar.gz")
        archive.write_bytes(make(members))
        directory = unpacked(archive)
        assert files(directory) == [".contents.json", "a/b/y.txt", "a/x.txt"]
        if damage == "missing":
            (directory / "a/x.txt").unlink()
        elif damage == "short":
            (directory / "a/x.txt").write_text("on")
        else:
            (directory / ".contents.json").write_text("[]")
        assert unpacked(archive) == directory
        assert (directory / "a/x.txt").read_text() == "one"
        assert [path.name for path in directory.parent.iterdir()] == [directory.name]

    @pytest.mark.parametrize("make", [zipped, tarred])
    @pytest.mark.parametrize("name", ["../x.txt", "/x.txt", "a/../../x.txt", "..\\x.txt", "C:\\x"])
    def test_nothing_is_written_outside(self, tmp_path, cache, make, name):
        archive = tmp_path / ("x.zip" if make is zipped else "x.tgz")
        archive.write_bytes(make({"fine.txt": "fine", name: "not"}))
        with pytest.raises(ValueError, match="holds a file outside of it"):
            unpacked(archive)
        assert files(cache) == []
        assert [path.name for path in tmp_path.iterdir()] == [archive.name]

    def test_links_are_left_out(self, tmp_path):
        with tarfile.open(tmp_path / "x.tar", "w") as archive:
            info = tarfile.TarInfo("link.txt")
            info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(info)
        assert files(unpacked(tmp_path / "x.tar")) == [".contents.json"]

    @pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tgz", "x.tar.xz", "x.tar.bz2"])
    @pytest.mark.parametrize("length", [0, 10, 300])
    def test_damaged(self, tmp_path, cache, name, length):
        make = zipped if name == "x.zip" else tarred
        content = make({f"{n}.txt": str(n) * 50 for n in range(100)})[:length]
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=rf"the archive .*{name}' is damaged"):
            unpacked(tmp_path / name)
        assert files(cache) == []

    def test_bytes_that_changed_inside(self, tmp_path, cache):
        content = bytearray(zipped({"x.txt": "some text " * 100}))
        content[45] ^= 0xFF
        (tmp_path / "x.zip").write_bytes(content)
        with pytest.raises(ValueError, match="is damaged"):
            load_text(tmp_path / "x.zip")
        assert files(cache) == []

    def test_local_with_a_glob(self, tmp_path):
        (tmp_path / "x.zip").write_bytes(zipped({"a/x.md": "one", "b/y.md": "two", "z.txt": "3"}))
        assert load_text(tmp_path / "x.zip") == "3"
        found = find_text(tmp_path / "x.zip", glob="*/*.md")
        assert "".join(found.text.pieces()) == "one\ntwo"


class TestCacheDir:
    def test_what_a_killed_process_left_is_removed_in_time(self, corpus, cache):
        for name, age in ((".a.txt.0.tmp", 7200), (".b.txt.1.tmp", 60), ("mine.tmp", 7200)):
            (cache / name).write_text("half")
            os.utime(cache / name, (time.time() - age,) * 2)
        load_text("proverb")
        assert files(cache) == [".b.txt.1.tmp", "mine.tmp", "proverb.txt"]

    def test_is_where_the_desktop_specification_has_it(self, monkeypatch):
        monkeypatch.delenv("MINIGRAD_CACHE")
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.setenv("HOME", "/home/me")
        monkeypatch.setattr(sys, "platform", "linux")
        assert cache_dir() == Path("/home/me/.cache/minigrad")
        monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
        assert cache_dir() == Path("/somewhere/minigrad")

    def test_may_be_chosen(self, monkeypatch, tmp_path):
        monkeypatch.setenv("MINIGRAD_CACHE", str(tmp_path))
        assert cache_dir() == tmp_path
        monkeypatch.setenv("MINIGRAD_CACHE", "~/x")
        assert cache_dir() == tmp_path.home() / "x"

    def test_others(self, monkeypatch):
        monkeypatch.delenv("MINIGRAD_CACHE")
        monkeypatch.setenv("HOME", "/home/me")
        monkeypatch.setattr(sys, "platform", "darwin")
        assert str(cache_dir()) == "/home/me/Library/Caches/minigrad"
        monkeypatch.setattr(sys, "platform", "win32")
        monkeypatch.setenv("LOCALAPPDATA", "/local")
        assert str(cache_dir()) == "/local/minigrad/minigrad/Cache"


def test_penn_treebank_is_ones_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"licensed.*path or the address of your own copy"):
        load_text(corpora.PTB)
    (tmp_path / "ptb").mkdir()
    for part in ("train", "valid", "test"):
        (tmp_path / "ptb" / f"ptb.{part}.txt").write_text(f" {part} \n")
    assert load_text("ptb") == " train \n valid \n test \n"
