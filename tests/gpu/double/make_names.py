"""Write names.json: what CuPy has, so that the double offers nothing else.

    python tests/gpu/double/make_names.py

Needs CuPy, but neither a GPU nor a driver. Without NCCL's library (the wheel nvidia-nccl-cu13) CuPy
does not tell the names of its binding, and they stay as they are. A signature is written as its
parameters, ``"a, axis=, *, dtype="``, where ``=`` marks one that may be left out; it is null for
what is no function.
"""

import inspect
import json
import re
import warnings
from pathlib import Path

PATH = Path(__file__).with_name("names.json")


def snapshot():
    """The names of the installed CuPy, as they are kept in names.json."""
    import cupy
    import cupyx
    from cupyx.scipy import special

    names = {
        "version": cupy.__version__,
        "cupy": _functions(cupy),
        "ndarray": {
            name: _signature(getattr(cupy.ndarray, name)) for name in sorted(dir(cupy.ndarray))
        },
        "ufuncs": {name: _types(getattr(cupy, name)) for name in _ufuncs(cupy)},
        "ufunc": {name: _signature(getattr(cupy.ufunc, name)) for name in _public(cupy.ufunc)},
        "linalg": _functions(cupy.linalg),
        "random": _functions(cupy.random),
        "Generator": _functions(cupy.random.Generator),
        "cupyx": _functions(cupyx),
        "special": {name: _types(getattr(special, name)) for name in _ufuncs(special)},
        "cuda": _public(cupy.cuda),
        "Device": _public(cupy.cuda.Device),
        "runtime": [
            name for name in _public(cupy.cuda.runtime) if not re.match("cuda[A-Z]|[A-Z_]+$", name)
        ],
        "MemoryPool": _public(cupy.cuda.MemoryPool),
        "Stream": _public(cupy.cuda.Stream),
        "Event": _public(cupy.cuda.Event),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it could not be loaded
        from cupy.cuda import nccl
    if nccl.available:
        names["nccl"] = _functions(nccl)
        names["NcclCommunicator"] = _functions(nccl.NcclCommunicator)
    return names


def _public(owner):
    return [name for name in sorted(dir(owner)) if not name.startswith("_")]


def _ufuncs(module):
    import cupy

    return [name for name in _public(module) if isinstance(getattr(module, name), cupy.ufunc)]


def _types(ufunc):
    return " ".join(ufunc.types)


def _functions(owner):
    """The signature of each name in a module or class; null for what is no function."""
    ufuncs = set(_ufuncs(owner))
    members = {name: getattr(owner, name) for name in _public(owner) if name not in ufuncs}
    return {
        name: None if isinstance(member, type) else _signature(member)
        for name, member in members.items()
        if not inspect.ismodule(member)
    }


def _signature(member):
    if not callable(member):
        return None
    try:
        parameters = inspect.signature(member).parameters.values()
    except (TypeError, ValueError):
        return _from_docstring(member)
    words = []
    for p in parameters:
        if p.kind is p.KEYWORD_ONLY and not any(word.startswith("*") for word in words):
            words.append("*")
        stars = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "")
        words.append(stars + p.name + ("" if p.default is p.empty else "="))
    return _without_self(words)


def _from_docstring(member):
    """What Cython writes into the first line: ``ufunc.reduce(self, array, axis=0, dtype=None)``."""
    first = (member.__doc__ or "").partition("\n")[0]
    found = re.match(r"[\w.]+\((.*?)\)(?: ->.*)?$", first)
    if not found:
        return None
    words = []
    for word in found[1].split(", "):
        name, equals, _ = word.partition("=")
        words.append(name.split(" ")[-1] + equals)
    return _without_self(words)


def _without_self(words):
    return ", ".join(word for word in words if word != "self")


if __name__ == "__main__":
    names = json.loads(PATH.read_text(encoding="utf-8")) | snapshot()
    PATH.write_text(json.dumps(names, indent=0, sort_keys=True) + "\n", encoding="utf-8")
