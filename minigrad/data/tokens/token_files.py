"""The ids of long texts: they stay in files, which are mapped into memory."""

import hashlib
import io
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from minigrad.data.texts.text import Text, as_text, hash_of, recut
from minigrad.data.texts.utf8 import PIECE
from minigrad.data.tokens.tokenizer import Tokenizer
from minigrad.files import cache_dir, make_directory, printable, replacement, write_atomically

VERSION = 1
"""To be raised when the ids of a text change, or the form in which they are kept."""

IN_MEMORY = 1 << 22
"""Texts of at most this many bytes are encoded each time, which is as fast as to check a file."""

Ids = NDArray[np.integer[Any]]


class Tokens(NamedTuple):
    """The tokens of a text.

    Attributes
    ----------
    ids
        shape (number of tokens,), read-only; of the smallest dtype among uint8, uint16 and uint32
        that holds all ids of the tokeniser.
    characters, bytes
        the length of the text in Unicode code points, and in bytes of UTF-8. A loss is divided by
        these, to compare models whose tokens differ.
    sha256
        a hash of the ids.
    """

    ids: Ids
    characters: int
    bytes: int
    sha256: str


def tokenized(
    tokenizer: Tokenizer,
    text: Text | str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    cache: bool = True,
    piece: int = PIECE,
) -> Tokens:
    """The tokens of a text of any length; they take little memory, however long the text is.

    The ids are those that `tokenizer.encode` gives for the whole text. The ids of a long text are
    written once to a file in the cache, whose name depends on the whole text and on the tokeniser.
    From there they are mapped into memory. Before such a file is used, it is checked by its
    checksum; a damaged file is made anew. If the cache cannot be written to, the ids are held in
    memory.

    Parameters
    ----------
    tokenizer
        the tokeniser to encode with.
    text
        a text; or the path of a file in UTF-8; or several paths, whose texts are joined.
    cache
        False: hold the ids in memory, without the cache.
    piece
        how many bytes of the text to read at once.

    Raises
    ------
    OSError, ValueError
        as `read_text` and `tokenizer.encode` do; or if the text changes while it is read.
    """
    text = as_text(text)
    if not cache or text.extent <= IN_MEMORY:
        return _in_memory(_Encoding(tokenizer, text, piece))
    key = hash_of("ids", VERSION, text.digest, tokenizer.fingerprint)
    path = cache_dir() / "ids" / f"{key}.npy"
    encoding = _Encoding(tokenizer, text, piece)
    kept = _kept(path, encoding.dtype)
    if kept is not None:
        return kept
    try:
        make_directory(path.parent)
        _write(encoding, path)
        kept = _kept(path, encoding.dtype)
    except OSError:
        if encoding.failed:
            raise
    return kept or _in_memory(_Encoding(tokenizer, text, piece))


class _Encoding:
    """The ids of a text in pieces; at the end it knows how many there were, and their hash."""

    def __init__(self, tokenizer: Tokenizer, text: Text, piece: int) -> None:
        self.tokenizer, self.text, self.piece = tokenizer, text, piece
        self.dtype = _narrowest(tokenizer)
        self.count = self.characters = self.bytes = 0
        self.hash = hashlib.sha256()
        self.failed = False  # whether the text cannot be read (rather than the cache)

    def __iter__(self) -> Iterator[Ids]:
        try:
            for piece in recut(self.text.pieces(self.piece), self.tokenizer.last_cut):
                ids = self._encoded(piece)
                self.count += len(ids)
                self.characters += len(piece)
                self.bytes += len(piece) if piece.isascii() else len(piece.encode())
                self.hash.update(ids.data)
                yield ids
        except Exception:
            self.failed = True
            raise

    def _encoded(self, piece: str) -> Ids:
        try:
            return self.tokenizer.encode(piece).astype(self.dtype)
        except ValueError as error:
            if not self.characters:
                raise
            raise ValueError(
                f"{error} (counted from character {self.characters:,} of "
                f"{printable(self.text.name)} on)"
            ) from error


def _narrowest(tokenizer: Tokenizer) -> np.dtype[Any]:
    # little-endian on each machine, so that the checksums are the same
    return np.min_scalar_type(max(0, len(tokenizer) - 1)).newbyteorder("<")


def _in_memory(encoding: _Encoding) -> Tokens:
    ids = np.concatenate([np.empty(0, encoding.dtype), *encoding])
    ids.flags.writeable = False
    return Tokens(ids, encoding.characters, encoding.bytes, encoding.hash.hexdigest())


def _write(encoding: _Encoding, path: Path) -> None:
    """Write the ids to `path` as a file of NumPy, and beside it what is needed to check it."""
    with replacement(path) as file:
        # the header has room for any length: it is written again when the length is known
        _write_header(file, encoding.dtype, 0)
        start = file.tell()
        for ids in encoding:
            file.write(ids.data)
        file.seek(0)
        _write_header(file, encoding.dtype, encoding.count)
        if file.tell() != start:
            raise OSError("the header of NumPy's file has grown")
    about = [encoding.characters, encoding.bytes, encoding.hash.hexdigest()]
    record = {"about": about, "check": hash_of(*about)}
    write_atomically(path.with_suffix(".json"), json.dumps(record).encode())


def _write_header(file: BinaryIO, dtype: np.dtype[Any], length: int) -> None:
    npy.write_array_header_1_0(
        file, {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": (length,)}
    )


def _header(dtype: np.dtype[Any], length: int) -> bytes:
    file = io.BytesIO()
    _write_header(file, dtype, length)
    return file.getvalue()


def _kept(path: Path, dtype: np.dtype[Any]) -> Tokens | None:
    """What is at `path`, mapped into memory; None if it is missing or damaged."""
    try:
        start = len(_header(dtype, 0))
        record = json.loads(path.with_suffix(".json").read_bytes())
        characters, size, sha256 = record["about"]
        length = (path.stat().st_size - start) // dtype.itemsize
        with path.open("rb") as file:
            # compared, not parsed: NumPy does not expect damaged headers
            whole = file.read(start) == _header(dtype, length)
            # read, not mapped, so that it does not count as memory of this process
            found = hashlib.file_digest(file, "sha256").hexdigest()
        whole = whole and found == sha256 and record["check"] == hash_of(characters, size, sha256)
        if not whole or type(characters) is not int or type(size) is not int:
            return None
        ids: Ids = np.asarray(np.memmap(path, dtype, "r", start, (length,)))
        return Tokens(ids, characters, size, sha256)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
