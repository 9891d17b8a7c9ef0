"""Checkpoints: all that a run must remember, in one file that is whole or not there.

::

    save_checkpoint("run.safetensors", {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "rng": rng.bit_generator.state,
        "step": 1200,
    })
    saved = load_checkpoint("run.safetensors")
    model.load_state_dict(saved["model"])

`mg.save` and `mg.load` are the same two functions.

The file has the format of safetensors: the arrays lie in it as they are, and its header has the
rest as JSON. Nothing in it is ever executed. Any program that reads safetensors can read the
arrays. Their names are the keys that lead to them: ``"model/embedding.weight"``.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.arrays.devices import to_device
from minigrad.arrays.library import is_array
from minigrad.errors.values import told
from minigrad.files import check_regular, printable, write_atomically
from minigrad.tensor import Tensor

FORMAT, VERSION = "minigrad-checkpoint", 1

HEADER = 100_000_000
"""The most bytes of a header that readers of safetensors accept."""

DEEPEST = 100
"""How deep dicts, lists and tuples may be nested, since JSON is read by recursion."""

LONG = 1 << 1024
"""Larger integers are hexadecimal: Python refuses to read thousands of decimal digits."""

DTYPES = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64"),
)

Arrays = dict[str, np.ndarray[Any, Any]]
Place = tuple[str | int, ...]
"""The keys that lead to something in the tree."""


def save_checkpoint(path: str | os.PathLike[str], tree: Mapping[str, Any]) -> None:
    """Write `tree` to `path`; an old file stays there until the new one is on the disk.

    Parameters
    ----------
    path
        the file; its directory must exist. A link is replaced, not followed.
    tree
        a dict of dicts, lists and tuples of arrays, Tensors, strings, numbers, booleans and None.
        Keys are strings or integers. NaN, infinity, and integers of any size are kept. Numbers of
        NumPy become numbers of Python.

    Raises
    ------
    TypeError
        if there is something else in `tree`; the message says where.
    ValueError
        if what is not in arrays is too long: millions of numbers should be arrays, not lists.
    OSError
        if it cannot be written. Then the old file is still there.
    ModuleNotFoundError
        if `safetensors` is not installed.
    """
    save, _ = _safetensors()
    if not isinstance(path, str | os.PathLike):
        raise TypeError(
            f"save_checkpoint: path must be a str or a path, got {type(path).__name__}; the path "
            "comes first: mg.save(path, tree)"
        )
    if not isinstance(tree, Mapping):
        raise TypeError(_unknown(tree, ()))
    arrays: Arrays = {}
    content = json.dumps(_plain(tree, (), arrays), separators=(",", ":"))
    about = {"version": VERSION, "sha256": _checksum(content, arrays), "content": content}
    # one entry, since the order of several would differ from file to file
    file = save(arrays, {FORMAT: json.dumps(about)})
    header = int.from_bytes(file[:8], "little")
    if header > HEADER:
        raise ValueError(
            f"save_checkpoint: the tree takes {header:,} bytes besides its arrays, and at most "
            f"{HEADER:,} can be read back; make arrays of long lists of numbers: np.array(numbers)"
        )
    write_atomically(path, file)


def load_checkpoint(path: str | os.PathLike[str]) -> dict[Any, Any]:
    """What `save_checkpoint` wrote to `path`, with NumPy arrays in place of Tensors.

    It takes hardly more memory than the length of the file, whatever the file says about itself.

    Raises
    ------
    FileNotFoundError, OSError
        if there is no such file, or it cannot be read.
    ValueError
        if it is not a checkpoint, or is damaged, which a checksum of the whole shows. The message
        names the file.
    ModuleNotFoundError
        if `safetensors` is not installed.
    """
    _, safe_open = _safetensors()
    name = repr(os.fspath(path))
    check_regular(path)
    with Path(path).open("rb"):  # for the usual errors
        pass
    try:
        with safe_open(path, framework="numpy") as file:
            header = (file.metadata() or {}).get(FORMAT)
            arrays = {} if header is None else {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except MemoryError:
        raise
    except Exception as error:  # safetensors' own error; OSError if the file is cut off
        raise ValueError(
            f"load_checkpoint: {name} is damaged, or no safetensors file: {printable(error)}"
        ) from error
    if header is None:
        raise ValueError(
            f"load_checkpoint: {name} is no checkpoint, but a file of another program; read its "
            f"arrays with safetensors.numpy.load_file({name})"
        )
    try:
        return _tree(json.loads(header), arrays)
    except _OtherVersionError as error:
        raise ValueError(f"load_checkpoint: {name} {error}") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"load_checkpoint: {name} is damaged: {printable(error)}") from error


class _OtherVersionError(Exception):
    pass


def _safetensors() -> tuple[Any, Any]:
    try:
        from safetensors import safe_open
        from safetensors.numpy import save
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            'checkpoints need safetensors: python -m pip install "minigrad-rnn[checkpoints]"',
            name=error.name,
        ) from error
    return save, safe_open


# ---------------------------------------------------------------------- writing


def _plain(value: Any, place: Place, arrays: Arrays) -> Any:
    """`value` in the form of JSON; its arrays go into `arrays`, by the keys that lead to them."""
    if len(place) > DEEPEST:
        raise TypeError(
            f"save_checkpoint: {_name(place):.60} lies more than {DEEPEST} deep; does the tree "
            "contain itself?"
        )
    if isinstance(value, Tensor):
        value = value.data
    if isinstance(value, np.generic) and value.dtype.kind in "biufU":
        value = value.item()
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return value if abs(value) < LONG else {"$int": hex(value)}
    if isinstance(value, float):
        return value if np.isfinite(value) else {"$float": repr(float(value))}
    if is_array(value) and not isinstance(value, np.generic | np.ma.MaskedArray):
        return {"$array": _taken(value, place, arrays)}
    if isinstance(value, Mapping):
        return _plain_dict(value, place, arrays)
    if isinstance(value, list | tuple):
        items = [_plain(item, (*place, i), arrays) for i, item in enumerate(value)]
        return {"$tuple": items} if isinstance(value, tuple) else items
    raise TypeError(_unknown(value, place))


def _taken(array: Any, place: Place, arrays: Arrays) -> str:
    """The name in `arrays` of an array, of which a copy is put there."""
    if array.dtype.name not in DTYPES:
        raise TypeError(
            f"save_checkpoint: {_name(place)} is an array of dtype {array.dtype}; expected one of "
            f"{', '.join(DTYPES)}"
        )
    name = "/".join(map(str, place)).encode("utf-8", "backslashreplace").decode()
    while name in arrays or name == "__metadata__":  # {"a/b": x, "a": {"b": y}}
        name += "'"
    arrays[name] = np.array(
        to_device(array, "cpu"), array.dtype.newbyteorder("="), order="C", subok=False
    )
    return name


def _plain_dict(value: Mapping[Any, Any], place: Place, arrays: Arrays) -> dict[str, Any]:
    for key in value:
        if not isinstance(key, str | int | np.integer) or isinstance(key, bool):
            raise TypeError(
                f"save_checkpoint: {_name(place)} has the key {told(key)}; expected "
                "strings or integers"
            )
    items = []
    for key, item in value.items():
        plain = _plain(key, place, arrays)
        name = plain["$int"] if isinstance(plain, dict) else plain
        items.append([plain, _plain(item, (*place, name), arrays)])
    if all(isinstance(key, str) and not key.startswith("$") for key in value):
        return dict(items)
    return {"$dict": items}


def _name(place: Place) -> str:
    return printable("/".join(map(str, place))) if place else "the whole"


def _unknown(value: Any, place: Place) -> str:
    advice = "expected arrays, numbers, strings, None, and dicts, lists and tuples of them"
    if hasattr(value, "state_dict"):
        advice = "save its state_dict()"
    if not place:
        advice = (
            "write mg.save(path, model.state_dict()), and model.load_state_dict(mg.load(path))"
            if hasattr(value, "state_dict")
            else 'expected a dict, such as {"values": values}'
        )
    return f"save_checkpoint: {_name(place)} is a {type(value).__name__}, {told(value)}; {advice}"


# ---------------------------------------------------------------------- reading


def _tree(about: Any, arrays: Arrays) -> dict[Any, Any]:
    """The tree that a header describes; a ValueError if it does not describe one."""
    if not isinstance(about, dict) or "version" not in about:
        raise ValueError("it has no version")
    if about["version"] != VERSION:
        raise _OtherVersionError(
            f"has version {told(about['version'])}; this minigrad reads version {VERSION}"
        )
    content = about.get("content")
    if not isinstance(content, str) or _checksum(content, arrays) != about.get("sha256"):
        raise ValueError("its checksum does not fit its content")
    tree = _restored(json.loads(content), arrays)
    if not isinstance(tree, dict):
        raise ValueError(f"it holds a {type(tree).__name__}, not a dict")
    return tree


def _restored(value: Any, arrays: Arrays) -> Any:
    """What `_plain` turned into `value`."""
    if isinstance(value, list):
        return [_restored(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    if not any(key.startswith("$") for key in value):
        return {key: _restored(item, arrays) for key, item in value.items()}
    match list(value.items()):
        case [("$array", str(name))] if name in arrays:
            return arrays[name]
        case [("$float", "nan" | "inf" | "-inf" as number)]:
            return float(number)
        case [("$int", str(digits))]:
            return int(digits, 16)
        case [("$tuple", list(items))]:
            return tuple(_restored(item, arrays) for item in items)
        case [("$dict", list(pairs))]:
            return dict(_pair(pair, arrays) for pair in pairs)
    raise ValueError(f"there is no {told(value)} in a checkpoint")


def _pair(pair: Any, arrays: Arrays) -> tuple[str | int, Any]:
    match pair:
        case [key, item]:
            key = _restored(key, arrays)
            if isinstance(key, str | int) and not isinstance(key, bool):
                return key, _restored(item, arrays)
    raise ValueError(f"{told(pair)} is no key with its value")


# ---------------------------------------------------------------------- both


def _checksum(content: str, arrays: Arrays) -> str:
    """The SHA-256 of the content, and of the names, dtypes, shapes and bytes of the arrays."""
    total = hashlib.sha256()
    for piece in _pieces(content, arrays):
        total.update(piece)
    return total.hexdigest()


def _pieces(content: str, arrays: Arrays) -> Iterator[Any]:
    yield content.encode("utf-8", "surrogatepass")
    for name in sorted(arrays):
        array = arrays[name]
        # as in the file, so that a machine with the other byte order gets the same
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        yield f"\0{name}\0{array.dtype.str}{array.shape}\0".encode("utf-8", "surrogatepass")
        yield np.ascontiguousarray(array).reshape(-1).view(np.uint8)
