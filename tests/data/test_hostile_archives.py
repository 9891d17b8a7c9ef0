"""Archives that hold too much, lie, or reach outside: refused in one line, and nothing is kept."""

import bz2
import gzip
import io
import lzma
import random
import shutil
import stat
import struct
import tarfile
import zipfile
from collections import namedtuple

import pytest

from minigrad.data import load_text
from minigrad.data.texts import limits
from minigrad.data.texts.archives import unpacked

MANY = 80 << 20
TOO_LONG = "it is longer than the 67,108,864 bytes .*packed form; .*MINIGRAD_MAX_BYTES"


def zipped(*members, method=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(*members, format=tarfile.GNU_FORMAT, **headers):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format, pax_headers=headers) as archive:
        for name, content in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = info.size or len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def entry(name, type, **settings):
    info = tarfile.TarInfo(name)
    info.type = type
    for setting, value in settings.items():
        setattr(info, setting, value)
    return info


def lying(content, size):
    """A zip archive whose only file says that it is `size` bytes long."""
    whole = bytearray(zipped(("x.txt", content)))
    true, false = struct.pack("<I", len(content)), struct.pack("<I", size)
    return bytes(whole.replace(true, false))


def encrypted():
    whole = bytearray(zipped(("x.txt", b"text")))
    for magic, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        whole[whole.index(magic) + place] |= 1
    return bytes(whole)


def rare():
    whole = bytearray(zipped(("x.txt", b"text")))
    for magic, place in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        whole[whole.index(magic) + place] = 97
    return bytes(whole)


def sparse(size):
    """A tar archive with a file of `size` bytes, none of which is in it."""
    info = entry("x.txt", tarfile.GNUTYPE_SPARSE, size=0)
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[386:398] = b"%011o\0" % size  # where the only piece begins
    block[398:410] = b"%011o\0" % 0
    block[483:495] = b"%011o\0" % size
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block[:512])
    return bytes(block[:512]) + bytes(1024)


def long_name(length):
    """A tar archive with a name of `length` bytes."""
    info = entry("././@LongLink", tarfile.GNUTYPE_LONGNAME, size=length)
    return info.tobuf(tarfile.GNU_FORMAT) + b"x" * length + bytes(1024)


ZEROS = bytes(MANY)
HOSTILE = {
    # too much
    "bomb.zip": (lambda: zipped(("x.txt", ZEROS)), TOO_LONG),
    "parts.zip": (lambda: zipped(*((f"{n}", ZEROS[: MANY // 8]) for n in range(8))), TOO_LONG),
    "bomb.tar.gz": (lambda: gzip.compress(tarred(("x.txt", ZEROS)), 1), TOO_LONG),
    "bomb.tar.bz2": (lambda: bz2.compress(tarred(("x.txt", ZEROS)), 1), TOO_LONG),
    "bomb.tar.xz": (lambda: lzma.compress(tarred(("x.txt", ZEROS)), preset=0), TOO_LONG),
    "hidden bomb.tgz": (lambda: gzip.compress(tarred((".x", ZEROS)), 1), TOO_LONG),
    "long name.tgz": (lambda: gzip.compress(long_name(MANY), 1), TOO_LONG),
    "sparse.tar": (lambda: sparse(MANY), TOO_LONG),
    "sparse of terabytes.tar": (lambda: sparse(1 << 32), TOO_LONG),
    "says too much.zip": (lambda: lying(b"t" * 1001, (1 << 32) - 2), TOO_LONG),
    # lies
    "says less.zip": (lambda: lying(b"t" * 1001, 10), "is damaged"),
    "says more.zip": (lambda: lying(b"t" * 1001, 2000), "is damaged"),
    "says more.tar": (lambda: tarred(("x.txt", b"t" * 5000))[:2000], "is damaged"),
    "cut short.tgz": (lambda: gzip.compress(tarred(("x.txt", b"t" * 5000)))[:-12], "is damaged"),
    "cut short.tar.bz2": (lambda: bz2.compress(tarred(("x.txt", b"t" * 5000)))[:-9], "is damaged"),
    "cut short.tar.xz": (lambda: lzma.compress(tarred(("x.txt", b"t" * 5000)))[:-40], "is damaged"),
    "sum.tgz": (lambda: gzip.compress(tarred(("x", b"t")))[:-8] + bytes(8), "is damaged"),
    "both.zip": (lambda: zipped(("a", b"t"), ("a/b", b"t")), "both a file and a directory"),
    "both.tar": (lambda: tarred(("a/b", b"t"), ("a", b"t")), "both a file and a directory"),
    # can't be read
    "encrypted.zip": (encrypted, "can't be unpacked: .*encrypted"),
    "rare.zip": (rare, "can't be unpacked"),
    # outside
    "outside.zip": (lambda: zipped(("a/../../\x1b", b"t")), r"outside of it: 'a/../../\\x1b'"),
    "outside.tar": (lambda: tarred(("/\x1b[2J", b"t")), r"outside of it: '/\\x1b\[2J'"),
    "drive.zip": (lambda: zipped(("c:x", b"t")), "outside of it: 'c:x'"),
}  # fmt: skip


def left(directory):
    return [path for path in directory.rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", HOSTILE)
def test_is_refused_in_one_line_and_leaves_nothing(tmp_path, cache, name):
    make, message = HOSTILE[name]
    (tmp_path / name).write_bytes(make())
    with pytest.raises(ValueError, match=rf"^the archive '.*{name}' .*{message}") as caught:
        unpacked(tmp_path / name)
    assert str(caught.value).isprintable()
    assert left(cache) == []
    assert [path.name for path in tmp_path.iterdir()] == [name]


class TestWhatIsLeftOut:
    def test_links_and_devices(self, tmp_path, cache):
        kinds = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, b"?")
        entries = [(entry(f"{n}.txt", kind, linkname="x.txt"), b"") for n, kind in enumerate(kinds)]
        (tmp_path / "x.tar").write_bytes(tarred(("x.txt", b"text"), *entries))
        names = {path.name for path in left(unpacked(tmp_path / "x.tar"))}
        assert names <= {"x.txt", ".contents.json", "4.txt"}  # of no known kind: an empty file
        assert load_text(tmp_path / "x.tar").strip() == "text"

    def test_links_in_a_zip_archive(self, tmp_path):
        link = zipfile.ZipInfo("link.txt")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        (tmp_path / "x.zip").write_bytes(zipped((link, "/etc/passwd"), ("x.txt", "text")))
        assert load_text(tmp_path / "x.zip") == "text"

    def test_archives_in_it_stay_packed(self, tmp_path):
        inner = zipped(("inner.txt", "x"))
        (tmp_path / "x.zip").write_bytes(zipped(("y.zip", inner), ("x.txt", "text")))
        assert (unpacked(tmp_path / "x.zip") / "y.zip").read_bytes() == inner
        assert load_text(tmp_path / "x.zip") == "text"

    @pytest.mark.parametrize("make", [zipped, tarred])
    def test_control_characters_in_names(self, tmp_path, make):
        name = tmp_path / ("x.zip" if make is zipped else "x.tar")
        name.write_bytes(make(("\x1b[2J\u202e말.txt", b"text")))
        names = [path.name for path in left(unpacked(name)) if path.suffix == ".txt"]
        assert names == ["_x1b[2J_u202e말.txt"]

    @pytest.mark.parametrize("make", [zipped, tarred])
    @pytest.mark.filterwarnings("ignore:Duplicate name")
    def test_the_last_of_two_of_the_same_name(self, tmp_path, make):
        name = tmp_path / ("x.zip" if make is zipped else "x.tar")
        name.write_bytes(make(("x.txt", b"the first"), ("x.txt", b"last")))
        assert load_text(name) == "last"


class TestLimits:
    def test_of_bytes_can_be_raised(self, tmp_path, monkeypatch):
        monkeypatch.setattr(limits, "ALWAYS", 3000)
        text = "All that glisters. " * 10_000
        (tmp_path / "x.zip").write_bytes(zipped(("x.txt", text)))
        with pytest.raises(ValueError, match=r"longer than the .* bytes of its packed form"):
            load_text(tmp_path / "x.zip")
        monkeypatch.setenv("MINIGRAD_MAX_BYTES", str(len(text)))
        assert load_text(tmp_path / "x.zip") == text

    @pytest.mark.parametrize("make", [zipped, tarred])
    def test_of_files(self, tmp_path, cache, monkeypatch, make):
        monkeypatch.setattr("minigrad.data.texts.archives.MOST_FILES", 9)
        name = tmp_path / ("x.zip" if make is zipped else "x.tar")
        name.write_bytes(make(*((f"{n}/", b"") for n in range(10))))
        with pytest.raises(ValueError, match="more than 9 files in it; unpack it by hand"):
            unpacked(name)
        assert left(cache) == []

    def test_of_the_disk(self, tmp_path, cache, monkeypatch):
        usage = namedtuple("usage", "total used free")(0, 0, limits.RESERVE - 1)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
        (tmp_path / "x.zip").write_bytes(zipped(("x.txt", b"text")))
        with pytest.raises(ValueError, match="the disk has no room for it"):
            unpacked(tmp_path / "x.zip")
        assert left(cache) == []


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tgz", "x.tar.bz2", "x.tar.xz"])
def test_any_byte(tmp_path, cache, name):
    """Damage is noticed, or changes nothing but what nothing depends on; never anything else."""
    members = [("a.txt", b"some text " * 20), ("b/c.txt", "말".encode() * 20)]
    pack = {"x.tgz": gzip.compress, "x.tar.bz2": bz2.compress, "x.tar.xz": lzma.compress}
    whole = zipped(*members) if name == "x.zip" else pack.get(name, bytes)(tarred(*members))
    rng = random.Random(0)
    for place in rng.sample(range(len(whole)), min(len(whole), 80)):
        damaged = bytearray(whole)
        damaged[place] ^= rng.randrange(1, 256)
        (tmp_path / name).write_bytes(damaged)
        try:
            directory = unpacked(tmp_path / name)
        except ValueError as error:
            assert str(error).isprintable()  # noqa: PT017
        else:
            assert all(path.is_relative_to(cache) for path in left(directory))
    assert [path.name for path in tmp_path.iterdir()] == [name]
