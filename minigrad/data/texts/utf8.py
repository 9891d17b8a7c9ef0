"""Files in UTF-8: their text in pieces, and what is wrong with a file that is not UTF-8."""

import codecs
import io
import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from minigrad.files import printable

PIECE = 1 << 22
"""About how many bytes are read at once; to encode them takes some dozen times this in memory."""


def read_text(path: str | os.PathLike[str]) -> str:
    r"""The text of a file in UTF-8; every line ends in ``"\n"``.

    Line ends of Windows (``"\r\n"``) and of old Macs (``"\r"``) become ``"\n"``, as with `open`. A
    byte order mark at the start is left out. Nothing else changes; for example, composed and
    decomposed letters stay as they are.

    Raises
    ------
    FileNotFoundError
        if there is no such file.
    IsADirectoryError
        if it is a directory.
    ValueError
        if the file has only whitespace in it, or is not UTF-8. The message names the first wrong
        byte and its offset.
    """
    path = check_is_file(path)
    with path.open("rb") as file:
        return "".join(decoded(file, path, PIECE))


def decoded(
    file: BinaryIO, path: Path, size: int = PIECE, *, may_be_blank: bool = False
) -> Iterator[str]:
    """The text of an open file in pieces, as `read_text` gives it; errors call the file `path`."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    block = file.read(3)
    if block.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ValueError(
            f"read_text: {str(path)!r} is not UTF-8: byte 0x{block[0]:02x} at offset 0 begins "
            f"a byte order mark of UTF-16 or UTF-32; {conversion(path, 'UTF-16')}"
        )
    offset = 3 if block == codecs.BOM_UTF8 else 0  # of the first byte in `block`
    block = block[offset:] + file.read(size)
    empty, blank = True, True
    while True:
        null = block.find(b"\0")
        if null >= 0:
            raise binary_file(path, offset + null)
        held = decoder.getstate()[0]  # the bytes of a character that ends in this block
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            raise not_utf_8(file, path, offset - len(held), offset + len(block), error) from error
        piece = newlines.decode(text, final=not block)
        empty, blank = empty and not piece, blank and (not piece or piece.isspace())
        if piece:
            yield piece
        if not block:
            break
        offset += len(block)
        block = file.read(size)
    if blank and not may_be_blank:
        content = "empty" if empty else "only whitespace"
        raise ValueError(f"read_text: the file {str(path)!r} is {content}; there is no text in it")


def binary_file(path: Path, offset: int) -> ValueError:
    return ValueError(
        f"read_text: {str(path)!r} is not UTF-8 text: byte 0x00 at offset {offset}; it is a "
        "binary file, or UTF-16 or UTF-32 without a byte order mark"
    )


def not_utf_8(
    file: BinaryIO, path: Path, start: int, stop: int, error: UnicodeDecodeError
) -> ValueError:
    """The error for bytes from `start` to `stop` that are not UTF-8.

    If a zero byte follows, the error names it: it says more than the first wrong byte.
    """
    while block := file.read(PIECE):
        if (null := block.find(b"\0")) >= 0:
            return binary_file(path, stop + null)
        stop += len(block)
    return ValueError(
        f"read_text: {str(path)!r} is not UTF-8: byte 0x{error.object[error.start]:02x} at offset "
        f"{start + error.start} ({error.reason}); {conversion(path, 'ENCODING')}, "
        "where ENCODING is what it was written in, such as CP1252 or CP949"
    )


def conversion(path: Path, encoding: str) -> str:
    file = printable(shlex.quote(str(path)))
    return f"convert it with: iconv -f {encoding} -t UTF-8 {file} > utf8.txt"


def check_is_file(path: str | os.PathLike[str]) -> Path:
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"read_text: path must be a file, got the directory {str(path)!r}")
    if not path.exists():
        raise FileNotFoundError(f"read_text: there is no file {str(path)!r}")
    return path
