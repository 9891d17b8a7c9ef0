"""Checkpoints: all that a run has to remember, in one file that is whole or not there.

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

The file is one of safetensors: the arrays lie in it as they are, and its header holds the rest as
JSON. Nothing in it is ever executed. Any program that reads safetensors can read the arrays; they
are called by the keys that lead to them, ``"model/embedding.weight"``.
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
"""How many bytes of header a reader of safetensors takes at most."""

DEEPEST = 100
"""How many dicts, lists and tuples may lie in one another: JSON is read by recursion."""

LONG = 1 << 1024
"""Python refuses to read integers of thousands of decimal digits: longer ones are hexadecimal."""

DTYPES = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64"),
)

Arrays = dict[str, np.ndarray[Any, Any]]
Place = tuple[str | int, ...]
"""The keys that lead to something in the tree."""


def save_checkpoint(path: str | os.PathLike[str], tree: Mapping[str, Any]) -> None:
    """Write `tree` to `path`; what was there stays until all of it is on the disk.

    Parameters
    ----------
    path
        of the file; its directory must be there. A link is replaced, and not followed.
    tree
        a dict of dicts, lists and tuples of arrays, Tensors, strings, numbers, booleans and None.
        Keys are strings or integers. NaN and infinity are kept, integers of any size too. Numbers
        of NumPy become Python's.

    Raises
    ------
    TypeError
        for something else in it; the message says where.
    ValueError
        if what is not in arrays is too long: lists of millions of numbers should be arrays.
    OSError
        if it can't be written. What was at `path` is still there then.
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
    # one entry, since several would stand in another order in each file
    file = save(arrays, {FORMAT: json.dumps(about)})
    header = int.from_bytes(file[:8], "little")
    if header > HEADER:
        raise ValueError(
            f"save_checkpoint: the tree takes {header:,} bytes besides its arrays, and at most "
            f"{HEADER:,} can be read back; make arrays of long lists of numbers: np.array(numbers)"
        )
    write_atomically(path, file)


def load_checkpoint(path: str | os.PathLike[str]) -> dict[Any, Any]:
    """What `save_checkpoint` wrote to `path`, with Tensors as NumPy arrays.

    It takes no more memory than the file is long, or little more, whatever the file says of itself.

    Raises
    ------
    FileNotFoundError, OSError
        if there is no such file, or it can't be read.
    ValueError
        if it is no checkpoint, or damaged: a checksum over all of it is verified. The message
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
    except Exception as error:  # of a type of its own, and OSError for a file that is cut off
        raise ValueError(
            f"load_checkpoint: {name} is damaged, or no safetensors file: {printable(error)}"
        ) from error
    if header is None:
        raise ValueError(
            f"load_checkpoint: {name} is of another program, no checkpoint; its arrays are read by "
            f"safetensors.numpy.load_file({name})"
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
            "checkpoints need safetensors: in the checkout of minigrad, "
            'python -m pip install ".[checkpoints]"',
            name=error.name,
        ) from error
    return save, safe_open


# ---------------------------------------------------------------------- writing


def _plain(value: Any, place: Place, arrays: Arrays) -> Any:
    """`value` as JSON has it; its arrays go into `arrays`, by the keys that lead to them."""
    if len(place) > DEEPEST:
        raise TypeError(
            f"save_checkpoint: {_name(place):.60} lies more than {DEEPEST} deep; does the tree "
            "hold itself?"
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
    """Put a copy of an array into `arrays`, and return its name there."""
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
    """The tree that a header tells of; a ValueError if it does not tell of one."""
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
    """What `_plain` made `value` of."""
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
    """Of the content and, by their names, of the dtypes, shapes and bytes of the arrays."""
    total = hashlib.sha256()
    for piece in _pieces(content, arrays):
        total.update(piece)
    return total.hexdigest()


def _pieces(content: str, arrays: Arrays) -> Iterator[Any]:
    yield content.encode("utf-8", "surrogatepass")
    for name in sorted(arrays):
        array = arrays[name]
        # as it lies in the file, so that a machine of the other byte order finds the same
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        yield f"\0{name}\0{array.dtype.str}{array.shape}\0".encode("utf-8", "surrogatepass")
        yield np.ascontiguousarray(array).reshape(-1).view(np.uint8)
