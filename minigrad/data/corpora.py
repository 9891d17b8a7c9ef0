"""Text to train on: Python's own documentation, or any file in UTF-8."""

import os
import shlex
from pathlib import Path

PYTHON_DOCS = "python-docs"


def load_text(source: str | os.PathLike[str] = PYTHON_DOCS) -> str:
    """Return the text called `source`: `"python-docs"`, or the path of a file.

    A file that happens to be called `python-docs` is meant by `"./python-docs"`.

    Raises
    ------
    OSError, ValueError, ModuleNotFoundError
        As `python_docs` and `read_text` do.
    """
    return python_docs() if source == PYTHON_DOCS else read_text(source)


def python_docs() -> str:
    """Return the topics of Python's `help()`, about half a million characters of English and code.

    They are the parts of the language reference that come with the standard library, in the
    order of their names, with an empty line between two. The text is the same wherever the same
    version of Python runs; another version has a slightly different one.

    Raises
    ------
    ModuleNotFoundError
        If this Python was installed without `pydoc_data`, as some slim distributions are.
    """
    try:
        from pydoc_data.topics import topics
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"python_docs: this Python has no module {error.name}, which holds the text; "
            "install the full standard library, or pass the path of a UTF-8 text file to load_text",
            name=error.name,
        ) from error
    return "\n".join(topics[name] for name in sorted(topics))


def read_text(path: str | os.PathLike[str]) -> str:
    r"""Return the text of a UTF-8 file, with every line ending in `"\n"`.

    Line ends of Windows (`"\r\n"`) and of old Macs (`"\r"`) become `"\n"`, as they do in `open`.
    A byte order mark at the start is dropped. Nothing else changes; in particular, composed and
    decomposed letters stay what they are.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    IsADirectoryError
        If it is a directory.
    ValueError
        If the file holds nothing but whitespace, or is not UTF-8 text. The message names the first
        byte at fault and its offset.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"read_text: path must be a file, got the directory {str(path)!r}")
    if not path.exists():
        raise FileNotFoundError(
            f"read_text: there is no file {str(path)!r} "
            f"(the one text that comes without a file is {PYTHON_DOCS!r})"
        )
    text = decode_utf8(path.read_bytes(), path).replace("\r\n", "\n").replace("\r", "\n")
    if not text or text.isspace():
        content = "only whitespace" if text else "empty"
        raise ValueError(f"read_text: the file {str(path)!r} is {content}, there is no text in it")
    return text


def decode_utf8(content: bytes, path: Path) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ValueError(
            f"read_text: {str(path)!r} is not UTF-8: byte 0x{content[0]:02x} at offset 0 begins "
            f"a byte order mark of UTF-16 or UTF-32; {conversion(path, 'UTF-16')}"
        )
    null = content.find(b"\0")
    if null >= 0:
        raise ValueError(
            f"read_text: {str(path)!r} is not UTF-8 text: byte 0x00 at offset {null}; it is a "
            "binary file, or UTF-16 or UTF-32 without a byte order mark"
        )
    try:
        return content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"read_text: {str(path)!r} is not UTF-8: byte 0x{content[error.start]:02x} at offset "
            f"{error.start} ({error.reason}); {conversion(path, 'ENCODING')}, "
            "where ENCODING is what it was written in, such as CP1252 or CP949"
        ) from error


def conversion(path: Path, encoding: str) -> str:
    return f"convert it with: iconv -f {encoding} -t UTF-8 {shlex.quote(str(path))} > utf8.txt"
