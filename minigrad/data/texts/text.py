"""Texts that may be larger than memory: they are read in pieces, as often as needed."""

import hashlib
import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import BinaryIO, Literal, Protocol

from minigrad.data.texts.utf8 import PIECE, check_is_file, decoded
from minigrad.files import printable


class Text(Protocol):
    """A text that can be read from its beginning again and again."""

    @property
    def name(self) -> str:
        """What a person calls the text."""

    @property
    def digest(self) -> str:
        """A hash of all that the text depends on; texts with the same digest are the same."""

    @property
    def extent(self) -> int:
        """About how many bytes or characters the text has, which is known without reading it."""

    def pieces(self, size: int = PIECE) -> Iterator[str]:
        """The text in consecutive pieces, which may be cut between any two characters."""


class TextFile:
    r"""A file in UTF-8, read as `read_text` does: line ends become ``"\n"``.

    Parameters
    ----------
    path
        a regular file, which must not change as long as it is read.
    may_be_blank
        True: it is no error if the file has only whitespace in it (as one of several files).

    Raises
    ------
    OSError
        if there is no such file, or it cannot be read.
    """

    def __init__(self, path: str | os.PathLike[str], *, may_be_blank: bool = False) -> None:
        self.path = check_is_file(path)
        self.may_be_blank = may_be_blank
        status = self.path.stat()
        self._state, self._size = _state(status), status.st_size

    @property
    def name(self) -> str:
        """The name of the file, without the directory."""
        return self.path.name

    @property
    def extent(self) -> int:
        """The number of bytes in the file."""
        return self._size

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the bytes of the file."""
        with self.path.open("rb") as file:
            self._check_unchanged(file)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            self._check_unchanged(file)
        return digest

    def pieces(self, size: int = PIECE) -> Iterator[str]:
        """The text in pieces of about `size` bytes.

        Raises
        ------
        OSError
            if the file cannot be read.
        ValueError
            as `read_text` does; or if the file has changed since this object was made.
        """
        with self.path.open("rb") as file:
            self._check_unchanged(file)
            yield from decoded(file, self.path, size, may_be_blank=self.may_be_blank)
            self._check_unchanged(file)

    def _check_unchanged(self, file: BinaryIO) -> None:
        if _state(os.fstat(file.fileno())) != self._state:
            raise ValueError(
                f"the file {str(self.path)!r} has changed while it was being read; start again "
                "when nothing writes to it any more"
            )


class TextString:
    """A text that is in memory already."""

    def __init__(self, text: str, name: str) -> None:
        self.text, self.name = text, name

    @property
    def extent(self) -> int:
        """The number of characters."""
        return len(self.text)

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the text in UTF-8."""
        return hashlib.sha256(self.text.encode("utf-8", "surrogatepass")).hexdigest()

    def pieces(self, size: int = PIECE) -> Iterator[str]:
        """The text in pieces of `size` characters."""
        for start in range(0, len(self.text), size):
            yield self.text[start : start + size]


class Joined:
    r"""Several texts, one after another; each begins on a new line.

    If a text does not end in ``"\n"``, one is added, so that its last word stays apart.
    """

    def __init__(self, texts: Iterable[Text], name: str) -> None:
        self.texts, self.name = tuple(texts), name

    @property
    def digest(self) -> str:
        """A hash of the digests of the texts."""
        return hash_of("joined", *(text.digest for text in self.texts))

    @property
    def extent(self) -> int:
        """The extent of all texts together."""
        return sum(text.extent for text in self.texts)

    def pieces(self, size: int = PIECE) -> Iterator[str]:
        """The pieces of each text.

        Raises
        ------
        ValueError
            as the texts' own `pieces` do, or if all texts have only whitespace in them.
        """
        end, blank = "\n", True
        for text in self.texts:
            begun = False
            for piece in text.pieces(size):
                if not begun and end != "\n":
                    yield "\n"
                begun, end = True, piece[-1]
                blank = blank and piece.isspace()
                yield piece
        if blank:
            raise ValueError(
                f"{printable(self.name)}: none of the files has anything but whitespace in it"
            )


class Lowercase:
    """Another text in lower case."""

    def __init__(self, text: Text) -> None:
        self.text = text

    @property
    def name(self) -> str:
        """The name of the text."""
        return self.text.name

    @property
    def digest(self) -> str:
        """A hash of the digest of the text."""
        return hash_of("lowercase", self.text.digest)

    @property
    def extent(self) -> int:
        """The extent of the text."""
        return self.text.extent

    def pieces(self, size: int = PIECE) -> Iterator[str]:
        """The text in lower case; what a letter becomes may depend on its word (Σ)."""
        return (piece.lower() for piece in recut(self.text.pieces(size), after_whitespace))


class Normalized:
    """Another text in one of Unicode's normal forms.

    Parameters
    ----------
    text
        the text.
    form
        ``"NFC"`` makes one character of a letter and its marks, or of the letters of a syllable of
        Hangul, where there is such a character; ``"NFD"`` takes them apart. ``"NFKC"`` and
        ``"NFKD"`` also replace letters that only look different by the plain ones.
    """

    def __init__(self, text: Text, form: Literal["NFC", "NFD", "NFKC", "NFKD"]) -> None:
        self.text, self.form = text, form

    @property
    def name(self) -> str:
        """The name of the text."""
        return self.text.name

    @property
    def digest(self) -> str:
        """A hash of the digest of the text, the form, and the version of Unicode."""
        return hash_of(self.form, unicodedata.unidata_version, self.text.digest)

    @property
    def extent(self) -> int:
        """The extent of the text."""
        return self.text.extent

    def pieces(self, size: int = PIECE) -> Iterator[str]:
        """The text in that form; what a letter becomes does not depend on other words."""
        for piece in recut(self.text.pieces(size), after_whitespace):
            yield unicodedata.normalize(self.form, piece)


def decomposed(text: str) -> str:
    """The first word with a decomposed letter, as macOS writes names; "" if there is none.

    A decomposed letter is a letter followed by its marks, or a syllable of Hangul written as its
    letters, where Unicode has one character for the whole.
    """
    if unicodedata.is_normalized("NFC", text):
        return ""
    words = (word for word in text.split() if not unicodedata.is_normalized("NFC", word))
    return next((w for w in words if len(unicodedata.normalize("NFC", w)) < len(w)), "")


def recut(pieces: Iterable[str], last_cut: Callable[[str], int]) -> Iterator[str]:
    """A text in other pieces, which are cut only where that is allowed.

    Parameters
    ----------
    pieces
        consecutive pieces of a text.
    last_cut
        a function that gives the last place where a text that goes on may be cut; 0: nowhere.
    """
    held = ""
    for piece in pieces:
        held += piece
        cut = last_cut(held)
        if cut:
            yield held[:cut]
            held = held[cut:]
    if held:
        yield held


def after_whitespace(text: str) -> int:
    """Where to cut `text`, which goes on, so that no word is cut in two; see `recut`."""
    if not text or text[-1].isspace():
        return len(text)
    return len(text) - len(text.rsplit(maxsplit=1)[-1])


def hash_of(*parts: object) -> str:
    """The SHA-256 of `parts` as text, one on each line."""
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()


def as_text(source: Text | str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> Text:
    """A text as it is, or the text of one file or several, given by their paths."""
    if isinstance(source, str | os.PathLike):
        return TextFile(source)
    if isinstance(source, Sequence):
        files = [TextFile(path, may_be_blank=True) for path in source]
        return Joined(files, f"{len(files)} files")
    return source


def _state(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
