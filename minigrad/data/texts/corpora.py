"""Texts to train on: known by name, in files and directories, or on the network."""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from minigrad.data.texts.archives import check_archive, is_archive, unpacked
from minigrad.data.texts.downloads import REGISTRY, Download, fetch, is_there, of_url
from minigrad.data.texts.text import Joined, Text, TextFile, TextString
from minigrad.data.texts.utf8 import decoded, read_text
from minigrad.files import printable

PYTHON_DOCS = "python-docs"
PTB = "ptb"

CORPORA = (PYTHON_DOCS, *REGISTRY)
"""The texts that are known by name."""

PART = re.compile(r"(?<![a-z])(train(?:ing)?|valid(?:ation)?|val|dev|test)(?![a-z])", re.IGNORECASE)
"""The word in the name of a file that says which part of a corpus it is."""

TEXT_SUFFIXES = ("", ".raw", ".text", ".tokens", ".txt")
"""The suffixes of files that may be parts of a corpus, if no glob chooses the files."""


class Found(NamedTuple):
    """A text, and the parts to validate and to test on, if it has such parts.

    Attributes
    ----------
    name
        what a person calls the text.
    text
        the whole text, or the part to train on.
    valid, test
        the other parts; None: there is no such part.
    """

    name: str
    text: Text
    valid: Text | None = None
    test: Text | None = None


def find_text(
    source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = PYTHON_DOCS,
    *,
    glob: str | None = None,
) -> Found:
    """The text that `source` means, which is fetched if need be.

    Parameters
    ----------
    source
        one of these, or several, which are joined in the given order:

        - ``"python-docs"``, ``"tinyshakespeare"`` or ``"wikitext-2"``;
        - the path of a file in UTF-8; if it has the name of a corpus, ``"./NAME"``;
        - the path of a directory, or of a zip or tar archive, with such files. If their names
          differ only in `train`, `valid` (`validation`, `val`, `dev`) and `test`, and in numbers,
          they are the parts of a corpus. Otherwise all files that end in ``.txt`` are joined, in
          the order of their names;
        - an http or https address of a file or an archive. With ``#sha256=...`` at its end, the
          file is checked. The environment variable `MINIGRAD_MAX_BYTES` says how long it may be,
          also unpacked, and `MINIGRAD_MAX_SECONDS` how long it may take (by default 2^30 and 3600).
    glob
        which files of a directory or an archive to take, such as ``"**/*.md"``.

    Raises
    ------
    OSError
        if a file is missing, or cannot be read, fetched or written.
    ValueError
        if it is not clear which files are meant, or if they cannot be used.
    ModuleNotFoundError
        if a package is missing that is needed to fetch a text.
    """
    sources = [source] if isinstance(source, str | os.PathLike) else list(source)
    if not sources:
        raise ValueError("text: there must be one source at least, got none")
    places = [_place(each) for each in sources]
    if glob is not None and not any(isinstance(p, Path) and p.is_dir() for p in places):
        raise ValueError(
            f"glob: it chooses files of a directory or an archive, got {glob!r} for "
            f"{', '.join(map(repr, map(str, sources)))}"
        )
    found = [
        _in_directory(place, glob, _name(each), deep=place != Path(each))
        if isinstance(place, Path) and place.is_dir()
        else Found(_name(each), _as_text(place))
        for each, place in zip(sources, places, strict=True)
    ]
    if len(found) == 1:
        return found[0]
    whole = next((each.name for each in found if each.valid or each.test), None)
    if whole is not None:
        raise ValueError(
            f"text: {whole!r} has parts to train, validate and test on, and can't be joined with "
            "others; name its files one by one"
        )
    name = f"{found[0].name} and {len(found) - 1} more"
    files = [place for place in places if isinstance(place, Path) and place.is_file()]
    if len(files) == len(places):
        return _of_files(files, name, all_or_none=True)
    return Found(name, Joined([each.text for each in found], name))


def at_hand(source: str | os.PathLike[str]) -> bool:
    """Whether `find_text` has a source without fetching it: it is a file, a directory, or cached.

    Raises
    ------
    ValueError
        If it is an address that can't be fetched from.
    """
    if source == PYTHON_DOCS:
        return True
    download = _download(source)
    if download is not None:
        return is_there(download)
    return Path(source).is_file() or Path(source).is_dir()


def load_text(source: str | os.PathLike[str] = PYTHON_DOCS) -> str:
    """The whole text that `source` means: a file, or what else `find_text` takes.

    If it is a corpus with parts, they are joined. The default is Python's own documentation.

    Raises
    ------
    OSError, ValueError, ModuleNotFoundError
        as `find_text` does.
    """
    found = find_text(source)
    parts = [part for part in found[1:] if part is not None]
    return "".join((parts[0] if len(parts) == 1 else Joined(parts, found.name)).pieces())


def python_docs() -> str:
    """The topics of Python's `help()`: about half a million characters of English and code.

    They are the parts of the language reference that the standard library has, in the order of
    their names, with an empty line between them. The text is the same on every machine with the
    same version of Python, and a little different in another version.

    Raises
    ------
    ModuleNotFoundError
        if this Python has no `pydoc_data`, as in some small distributions.
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


def _place(source: str | os.PathLike[str]) -> Text | Path:
    """The text, file or directory that a source means, fetched and unpacked if need be."""
    if not str(source).strip():
        raise ValueError(f"text: a source (--text) must not be empty, got {str(source)!r}")
    if source == PYTHON_DOCS:
        return TextString(python_docs(), PYTHON_DOCS)
    path, download = Path(source), _download(source)
    if download is not None:
        name = str(source) if source in REGISTRY else "the text"
        path = fetch(download, name, _check_is_usable)
    if not path.exists():
        if str(source) == PTB:
            raise ValueError(
                "text: the Penn Treebank is licensed, so it cannot be fetched from here: give "
                "the path or the address of your own copy, a directory or an archive with "
                "ptb.train.txt, ptb.valid.txt and ptb.test.txt"
            )
        known = ", ".join(map(repr, CORPORA))
        raise FileNotFoundError(
            f"text: there is no file {str(source)!r} (the names known here are {known})"
        )
    return unpacked(path) if path.is_file() and is_archive(path) else path


def _download(source: str | os.PathLike[str]) -> Download | None:
    """The file that a source is on the network; None: it is none."""
    if isinstance(source, str) and source in REGISTRY:
        return REGISTRY[source]
    if isinstance(source, str) and re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", source):
        return of_url(source)
    return None


def _check_is_usable(file: BinaryIO, name: str) -> None:
    """Raise a ValueError if what a server sends cannot be the text or archive that is meant."""
    start = file.read(1000).lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    file.seek(0)
    is_page = start.startswith(b"<") and re.search(rb"<!doctype html|<html[\s>]", start)
    if is_page and not name.lower().endswith((".html", ".htm")):
        raise ValueError("it is a page of HTML, such as one to log in or one of an error")
    if is_archive(Path(name)):
        check_archive(file, Path(name))
    else:
        for _ in decoded(file, Path(name)):
            pass


def _as_text(place: Text | Path) -> Text:
    if not isinstance(place, Path):
        return place
    if place.is_file():
        return TextFile(place)
    return TextString(read_text(place), place.name)  # a pipe, which can be read only once


def _name(source: str | os.PathLike[str]) -> str:
    """The name of a source, without its directories or its host."""
    return str(source).partition("#")[0].rstrip("/\\").replace("\\", "/").rpartition("/")[2] or str(
        source
    )


def _in_directory(directory: Path, glob: str | None, name: str, *, deep: bool) -> Found:
    """The texts in a directory, and, if `deep`, in the directories below it."""
    if glob is not None:
        files = _files(directory, glob)
        if not files:
            raise FileNotFoundError(
                f"glob: no file in {name!r} matches {glob!r}; {_contents(directory)}"
            )
        return _of_files(files, name)
    everywhere = "**/" if deep else ""
    files = [
        file
        for file in _files(directory, f"{everywhere}*")
        if file.suffix.lower() in TEXT_SUFFIXES and not file.name.startswith(".")
    ]
    if _parts(files, name):
        return _of_files(files, name)
    files = [file for file in files if file.suffix.lower() == ".txt"]
    if not files:
        raise FileNotFoundError(
            f"text: no file in {name!r} ends in .txt; {_contents(directory)}. Choose files with "
            "glob (--glob), such as '**/*.md'"
        )
    return _of_files(files, name)


def _files(directory: Path, glob: str) -> list[Path]:
    try:
        files = [path for path in directory.glob(glob) if path.is_file()]
    except (ValueError, NotImplementedError) as error:
        raise ValueError(
            f"glob: {glob!r} is no pattern of paths in a directory: {printable(error)}"
        ) from None
    return sorted(files, key=lambda path: path.relative_to(directory).as_posix())


def _contents(directory: Path) -> str:
    names = sorted(path.name for path in directory.iterdir() if not path.name.startswith("."))
    shown = ", ".join(map(printable, names[:5])) + (", ..." if names[5:] else "")
    return f"it holds {shown or 'nothing'}"


def _of_files(files: Sequence[Path], name: str, *, all_or_none: bool = False) -> Found:
    """The texts in files: the parts of a corpus if their names say so, otherwise joined.

    With `all_or_none` they are parts only if every file is one.
    """
    parts = _parts(files, name)
    if parts and not (all_or_none and sum(map(len, parts.values())) < len(files)):
        texts = {part: _joined(parts[part], f"{part} of {name}") for part in parts}
        return Found(name, texts["train"], texts.get("valid"), texts.get("test"))
    return Found(name, _joined(files, name))


def _joined(files: Sequence[Path], name: str) -> Text:
    if len(files) == 1:
        return TextFile(files[0])
    return Joined([TextFile(file, may_be_blank=True) for file in files], name)


def _parts(files: Iterable[Path], name: str) -> Mapping[str, list[Path]]:
    """The files of each part, "train" and others; empty if their names do not name parts."""
    groups: dict[tuple[str, ...], dict[str, list[Path]]] = {}
    for file in files:
        match = PART.search(file.name)
        if match is None:
            continue
        word = match[1].lower()
        part = "train" if word.startswith("train") else "test" if word == "test" else "valid"
        around = (str(file.parent), file.name[: match.start()], file.name[match.end() :])
        signature = tuple(re.sub(r"[-_.]?\d+", "", text) for text in around)
        groups.setdefault(signature, {}).setdefault(part, []).append(file)
    corpora = [parts for parts in groups.values() if "train" in parts and len(parts) > 1]
    if len(corpora) > 1:
        names = " or ".join(sorted(printable(parts["train"][0].name) for parts in corpora))
        raise ValueError(f"text: {name!r} holds several corpora: choose {names} with glob (--glob)")
    return corpora[0] if corpora else {}
