"""Replace C functions that CuPy's compiled modules call in each other by Python functions.

A Cython module publishes its C functions in a dict ``__pyx_capi__``: for each name a capsule that
holds the function's address, and whose own name is the C signature, such as ``"int (int, int
__pyx_skip_dispatch)"``. A module that is imported later looks the address up there, once. So what
is replaced before ``import cupy`` is what all of CuPy calls.
"""

from __future__ import annotations

import ctypes
import importlib
import re
import sys
import traceback
from collections.abc import Callable
from types import ModuleType
from typing import Any

C_TYPES: dict[str, Any] = {
    "void": None,
    "int": ctypes.c_int,
    "unsigned int": ctypes.c_uint,
    "float": ctypes.c_float,
    "size_t": ctypes.c_size_t,
    "intptr_t": ctypes.c_ssize_t,
    "PyObject *": ctypes.py_object,
    "CUdevice": ctypes.c_int,
    "cudaMemcpyKind": ctypes.c_int,
}

failures: list[str] = []
"""Errors in replaced functions: C callers cannot be told, so whoever runs tests looks here."""

_api = ctypes.pythonapi
_api.PyCapsule_GetName.restype = ctypes.c_char_p
_api.PyCapsule_GetName.argtypes = [ctypes.py_object]
_api.PyCapsule_New.restype = ctypes.py_object
_api.PyCapsule_New.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]


def replace(
    module_name: str,
    functions: dict[str, Callable[..., Any]],
    kept: frozenset[str],
    on_call: Callable[[str], None],
) -> None:
    """Put `functions` in the place of the module's own.

    Parameters
    ----------
    functions
        by name. They are given the C function's arguments without Cython's own, and called from C
        and from Python alike.
    kept
        functions that stay as they are. All others, and those whose signature has types that are
        not in `C_TYPES`, raise NotImplementedError when they are called.
    on_call
        told the name of each call.
    """
    module = importlib.import_module(module_name)
    unknown = sorted(name for name in functions if name not in module.__pyx_capi__)
    if unknown:
        raise RuntimeError(f"{module_name} has no C functions {unknown}: is this CuPy 14.2?")
    for name, capsule in list(module.__pyx_capi__.items()):
        signature = _api.PyCapsule_GetName(capsule)
        parsed = _parse(signature.decode())
        if parsed is None or name in kept:
            continue
        function = functions.get(name) or _refusal(f"{module_name}.{name}")
        _replace_one(module, name, signature, parsed, function, on_call)


def _parse(signature: str) -> tuple[str, list[str], int] | None:
    """Its result's type, its arguments' types, and how many of these it has but for Cython's own.

    None if it is no function, or has other types than are known here.
    """
    match = re.fullmatch(r"(.*?) ?\((.*)\)", signature)
    if not match:
        return None
    result, arguments = match[1], [a for a in match[2].split(", ") if a != "void"]
    own = [a for a in arguments if "__pyx_" not in a]
    if result not in C_TYPES or any(a not in C_TYPES for a in own):
        return None
    return result, arguments, len(own)


def _c_type(argument: str) -> Any:
    if "__pyx_skip_dispatch" in argument:
        return ctypes.c_int
    return ctypes.c_void_p if "__pyx_" in argument else C_TYPES[argument]


def _refusal(name: str) -> Callable[..., Any]:
    def refuse(*args: Any) -> None:
        raise NotImplementedError(f"the null device has no {name}")

    return refuse


def _replace_one(
    module: ModuleType,
    name: str,
    signature: bytes,
    parsed: tuple[str, list[str], int],
    function: Callable[..., Any],
    on_call: Callable[[str], None],
) -> None:
    result_type, arguments, count = parsed
    nothing = None if result_type == "PyObject *" else 0
    finalizing = sys.is_finalizing  # by closure: CuPy frees memory when modules are gone already

    def from_c(*args: Any) -> Any:
        if finalizing():
            return nothing
        try:
            on_call(name)
            result = function(*args[:count])
        except Exception:
            failures.append(traceback.format_exc())
            return nothing
        return nothing if result is None else result

    def from_python(*args: Any) -> Any:
        on_call(name)
        return function(*args)

    prototype = ctypes.PYFUNCTYPE(C_TYPES[result_type], *(_c_type(a) for a in arguments))
    callback = prototype(from_c)
    # Both are referred to from C, to the very end of the process.
    for kept in (callback, signature):
        _api.Py_IncRef(ctypes.py_object(kept))
    address = ctypes.cast(callback, ctypes.c_void_p)
    module.__pyx_capi__[name] = _api.PyCapsule_New(address, signature, None)
    setattr(module, name, from_python)


def redirect(module_name: str, name: str, address: int) -> None:
    """Put the C function at `address`, which must have the same signature, in the place of one.

    It comes into effect for the modules that are imported after it.
    """
    module = importlib.import_module(module_name)
    signature = _api.PyCapsule_GetName(module.__pyx_capi__[name])
    _api.Py_IncRef(ctypes.py_object(signature))
    module.__pyx_capi__[name] = _api.PyCapsule_New(address, signature, None)
