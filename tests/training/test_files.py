"""Files are whole or not there; text from strangers can be shown."""

import errno
import os
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.files import printable, replacement
from minigrad.training import write_atomically

HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def test_writes_and_replaces(tmp_path):
    path = tmp_path / "a.bin"
    write_atomically(path, b"first")
    assert path.read_bytes() == b"first"
    write_atomically(str(path), b"second")
    assert path.read_bytes() == b"second"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("fails", ["open", "fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EIO])
def test_what_was_there_stays_if_writing_fails(tmp_path, monkeypatch, fails, code):
    path = tmp_path / "a.bin"
    write_atomically(path, b"first")

    def no(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("io.open" if fails == "open" else f"os.{fails}", no)
    with pytest.raises(OSError, match=r"a\.bin") as caught:
        write_atomically(path, b"second")
    monkeypatch.undo()
    assert (caught.value.errno, caught.value.filename) == (code, str(path))
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


def write_half(path):
    with replacement(path) as file:
        file.write(b"sec")
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_disk_that_is_full_halfway(tmp_path):
    path = tmp_path / "a.bin"
    write_atomically(path, b"first")
    with pytest.raises(OSError, match=r"No space left on device: .*a\.bin"):
        write_half(path)
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


def test_errors_of_other_files_stay_what_they_are(tmp_path):
    with pytest.raises(FileNotFoundError, match="other"), replacement(tmp_path / "a"):
        (tmp_path / "other").read_bytes()


@pytest.mark.parametrize("leads_to", ["target", "nothing"])
def test_a_link_is_replaced_and_not_followed(tmp_path, leads_to):
    (tmp_path / "target").write_bytes(b"first")
    (tmp_path / "link").symlink_to(leads_to)
    write_atomically(tmp_path / "link", b"second")
    assert not (tmp_path / "link").is_symlink()
    assert (tmp_path / "link").read_bytes() == b"second"
    assert (tmp_path / "target").read_bytes() == b"first"
    assert not (tmp_path / "nothing").exists()


def test_what_is_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "no" / "a.bin", b"")
    (tmp_path / "directory").mkdir()
    (tmp_path / "link").symlink_to("directory")
    os.mkfifo(tmp_path / "pipe")
    for name in ("directory", "link", "pipe"):
        with pytest.raises(OSError, match=f"(Is a directory|Not a regular file): .*{name}"):
            write_atomically(tmp_path / name, b"")
    assert sorted(os.listdir(tmp_path)) == ["directory", "link", "pipe"]
    assert os.listdir(tmp_path / "directory") == []


class TestPrintable:
    @given(text=st.text() | st.text(st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp"])))
    def test_nothing_steers_a_terminal_and_nothing_is_lost(self, text):
        shown = printable(text)
        assert all(c in "\u200c\u200d" or unicodedata.category(c) not in HIDDEN for c in shown)
        if "\\" not in text:
            escapes = shown.encode("ascii", "backslashreplace")
            assert escapes.decode("unicode_escape") == text

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("\x1b]0;title\x07\x9b31m\x7f", r"\x1b]0;title\x07\x9b31m\x7f"),
            ("gro\u202efdp.exe\u2066", r"gro\u202efdp.exe\u2066"),
            ("half \ud800\ufeff\u2028", r"half \ud800\ufeff\u2028"),
            ("a\r\n\tb\0", r"a\r\n\tb\x00"),
        ],
    )
    def test_what_is_spelled_out(self, text, shown):
        assert printable(text) == shown
        assert printable(OSError(text)) == shown

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "경마장에 있는 말",
            "말",
            "naïve\xa0—\u3000Ελλάς",
            "می\u200cخواهم",
            "👩\u200d👧",
            r"C:\new",
        ],
    )
    def test_what_can_be_seen_stays(self, text):
        assert printable(text) == text

    def test_what_is_kept(self):
        assert printable("a\n\tb\r\x1b", keep="\n\t") == "a\n\tb\\r\\x1b"
