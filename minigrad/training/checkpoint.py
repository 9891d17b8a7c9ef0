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

from minigrad.backend import is_array
from minigrad.devices import to_device
from minigrad.files import write_atomically
from minigrad.tensor import Tensor

FORMAT, VERSION = "minigrad-checkpoint", 1
ARRAY, TUPLE, FLOAT, DICT = "$array", "$tuple", "$float", "$dict"


def save_checkpoint(path: str | os.PathLike[str], tree: Mapping[str, Any]) -> None:
    """Write `tree` to `path`; what was there stays until all of it is on the disk.

    Parameters
    ----------
    path
        of the file; its directory must be there.
    tree
        dicts, lists and tuples of arrays, Tensors, strings, numbers, booleans and None. Keys are
        strings or integers. NaN and infinity are kept, integers of any size too.

    Raises
    ------
    TypeError
        for something else in it; the message says where.
    OSError
        if it can't be written. What was at `path` is still there then.
    ModuleNotFoundError
        if `safetensors` is not installed.
    """
    save, _ = _safetensors()
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    content = json.dumps(_plain(tree, "", arrays), separators=(",", ":"))
    about = {"version": VERSION, "sha256": _checksum(content, arrays), "content": content}
    # one entry, since several would stand in another order in each file
    write_atomically(path, save(arrays, {FORMAT: json.dumps(about)}))


def load_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What `save_checkpoint` wrote to `path`, with Tensors as NumPy arrays.

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
    with Path(path).open("rb"):  # for the usual errors
        pass
    try:
        with safe_open(path, framework="numpy") as file:
            header = (file.metadata() or {}).get(FORMAT)
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except Exception as error:  # of a type of its own, and OSError for a file that is cut off
        raise ValueError(
            f"load_checkpoint: {name} is damaged, or no safetensors file: {error}"
        ) from error
    if header is None:
        raise ValueError(f"load_checkpoint: {name} is of another program, no checkpoint")
    try:
        about = json.loads(header)
        version = about["version"]
        if version == VERSION:
            if _checksum(about["content"], arrays) != about["sha256"]:
                raise ValueError("its checksum does not fit its content")
            tree: dict[str, Any] = _restored(json.loads(about["content"]), arrays)
            return tree
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"load_checkpoint: {name} is damaged: {error}") from error
    raise ValueError(
        f"load_checkpoint: {name} has version {version!r}; this minigrad reads version {VERSION}"
    )


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


def _plain(value: Any, where: str, arrays: dict[str, np.ndarray[Any, Any]]) -> Any:
    """`value` as JSON has it; its arrays go into `arrays`, by the keys that lead to them."""
    if isinstance(value, Tensor):
        value = value.data
    if isinstance(value, np.generic):
        value = value.item()
    if is_array(value):
        while where in arrays:  # {"a/b": x, "a": {"b": y}}
            where += "'"
        arrays[where] = np.array(to_device(value, "cpu"), order="C")
        return {ARRAY: where}
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if np.isfinite(value) else {FLOAT: repr(value)}
    if isinstance(value, Mapping):
        return _plain_dict(value, where, arrays)
    if isinstance(value, list | tuple):
        items = [_plain(item, _join(where, i), arrays) for i, item in enumerate(value)]
        return {TUPLE: items} if isinstance(value, tuple) else items
    raise TypeError(
        f"save_checkpoint: {where or 'the whole'} is a {type(value).__name__}, {value!r:.60}; "
        "expected arrays, numbers, strings, None, and dicts, lists and tuples of them"
    )


def _plain_dict(
    value: Mapping[Any, Any], where: str, arrays: dict[str, np.ndarray[Any, Any]]
) -> dict[str, Any]:
    for key in value:
        if not isinstance(key, str | int) or isinstance(key, bool):
            raise TypeError(
                f"save_checkpoint: {where or 'the whole'} has the key {key!r:.60}; expected "
                "strings or integers"
            )
    if all(isinstance(key, str) and not key.startswith("$") for key in value):
        return {key: _plain(item, _join(where, key), arrays) for key, item in value.items()}
    pairs = [[key, _plain(item, _join(where, key), arrays)] for key, item in value.items()]
    return {DICT: pairs}


def _join(where: str, key: str | int) -> str:
    return f"{where}/{key}" if where else str(key)


def _restored(value: Any, arrays: Mapping[str, np.ndarray[Any, Any]]) -> Any:
    if isinstance(value, list):
        return [_restored(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    if ARRAY in value:
        return arrays[value[ARRAY]]
    if FLOAT in value:
        return float(value[FLOAT])
    if TUPLE in value:
        return tuple(_restored(item, arrays) for item in value[TUPLE])
    if DICT in value:
        return {key: _restored(item, arrays) for key, item in value[DICT]}
    return {key: _restored(item, arrays) for key, item in value.items()}


def _checksum(content: str, arrays: Mapping[str, np.ndarray[Any, Any]]) -> str:
    """Of the content and, by their names, of the dtypes, shapes and bytes of the arrays."""
    total = hashlib.sha256()
    for piece in _pieces(content, arrays):
        total.update(piece)
    return total.hexdigest()


def _pieces(content: str, arrays: Mapping[str, np.ndarray[Any, Any]]) -> Iterator[Any]:
    yield content.encode("utf-8", "surrogatepass")
    for name in sorted(arrays):
        array = arrays[name]
        yield f"\0{name}\0{array.dtype.str}{array.shape}\0".encode("utf-8", "surrogatepass")
        yield np.ascontiguousarray(array).reshape(-1).view(np.uint8)
