import os

import pytest

from minigrad.training import write_atomically


def test_writes_and_replaces(tmp_path):
    path = tmp_path / "a.bin"
    write_atomically(path, b"first")
    assert path.read_bytes() == b"first"
    write_atomically(str(path), b"second")
    assert path.read_bytes() == b"second"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("fails", ["fsync", "replace"])
def test_what_was_there_stays_if_writing_fails(tmp_path, monkeypatch, fails):
    path = tmp_path / "a.bin"
    write_atomically(path, b"first")

    def no(*args):
        raise OSError("no space left")

    monkeypatch.setattr(os, fails, no)
    with pytest.raises(OSError, match="no space left"):
        write_atomically(path, b"second")
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "target").write_bytes(b"first")
    (tmp_path / "link").symlink_to("target")
    write_atomically(tmp_path / "link", b"second")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"second"


def test_missing_directory(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "no" / "a.bin", b"")
