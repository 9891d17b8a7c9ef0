"""What a function reads from elsewhere than its arguments: variables, and attributes of modules.

A replay does not run the function's Python. So if one of these is another object in a later call,
the step is recorded anew; and a function that sets one of them itself can't be captured.
"""

from __future__ import annotations

import functools
import io
import sys
import sysconfig
import types
from collections import deque
from collections.abc import Iterator, Sequence
from operator import is_
from typing import Any

import numpy as np

from minigrad.nn.module import Module
from minigrad.replay.places import CaptureError, same

_PLAIN = (int, float, bool, str, bytes, type(None))
_OURS = {"minigrad", "numpy", "cupy", *sys.stdlib_module_names}
"""The packages whose functions are not looked into."""
_INSTALLED = tuple({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
SEVERAL = 64
"""Up to so many items, a list, dict, set or deque is watched; if it has layers, always."""


class Watch:
    """The variables of a function, and what they were when it was made."""

    def __init__(self, function: Any, arguments: Sequence[Any] = ()) -> None:
        self._names: set[str] = set()
        known = -1
        while len(self._names) > known:  # which attributes are used is known after the first time
            known = len(self._names)
            self._dicts: list[tuple[str, Any, list[Any], list[Any]]] = []
            self._whole: list[tuple[str, Any, int]] = []  # nothing is added to these
            self._lists: list[tuple[str, Any, list[Any]]] = []  # also sets
            self._cells: list[tuple[str, Any, Any]] = []
            self._seen: dict[int, Any] = {}
            self._function(function)
            for x in arguments:
                self._value(type(x).__name__, x)

    @property
    def generators(self) -> list[np.random.Generator]:
        """The random generators among what the function can reach."""
        return [x for x in self._seen.values() if isinstance(x, np.random.Generator)]

    def changed(self) -> str:
        """The name of a variable that is another object than before; empty if there is none."""
        for name, cell, value in self._cells:
            if cell.cell_contents is not value and not _equal(cell.cell_contents, value):
                return name
        for where, items, keys, values in self._dicts:
            if not all(map(is_, map(items.get, keys), values)):
                for key, value in zip(keys, values, strict=True):
                    if items.get(key) is not value and not _equal(items.get(key), value):
                        return f"{where}{key}"
        for where, items, length in self._whole:
            if len(items) != length:
                return f"{where}{next(reversed(items), '')}"
        for where, items, values in self._lists:
            if len(items) != len(values) or not all(map(is_, items, values)):
                return where
        return ""

    # -------------------------------------------------------------- looking around

    def _new(self, x: Any) -> bool:
        if id(x) in self._seen:
            return False
        self._seen[id(x)] = x
        return True

    def _function(self, f: Any) -> None:
        if isinstance(f, functools.partial):
            for x in (f.func, *f.args, *f.keywords.values()):
                self._value("", x)
            return
        if isinstance(f, types.MethodType):
            self._function(f.__func__)
            self._value("self", f.__self__)
            return
        if not isinstance(f, types.FunctionType):
            self._value("", f)
            return
        if not self._new(f) or _is_ours(f):
            return
        for x in (*(f.__defaults__ or ()), *(f.__kwdefaults__ or {}).values()):
            self._value(f.__name__, x)
        names = set(_names(f.__code__))
        self._names |= names
        for name, cell in zip(f.__code__.co_freevars, f.__closure__ or (), strict=True):
            try:
                value = cell.cell_contents
            except ValueError:  # it has no value yet
                continue
            self._cells.append((name, cell, value))
            self._value(name, value)
        used = [n for n in sorted(names) if n in f.__globals__]
        values = [f.__globals__[n] for n in used]
        self._dicts.append(("", f.__globals__, used, values))
        for n, value in zip(used, values, strict=True):
            self._value(n, value)

    def _value(self, name: str, x: Any) -> None:
        """Look into a value: a module of layers, a list, an object of the user's."""
        if isinstance(x, types.FunctionType | types.MethodType | functools.partial):
            self._function(x)
        elif isinstance(x, (types.BuiltinFunctionType, *_PLAIN)) or not self._new(x):
            return
        elif isinstance(x, Iterator) and not isinstance(x, io.IOBase):
            if "." not in name or name.rpartition(".")[2] in self._names:
                raise CaptureError(
                    f"capture: the function uses an iterator ({name}), and a replay would not take "
                    "its next item; take the item outside the captured function, with next(), and "
                    "pass it as an argument"
                )
        elif _wraps(x):  # a captured function, or a cached one
            self._value(name, x.__wrapped__)
        elif isinstance(x, type | types.ModuleType):
            kinds = _PLAIN if _is_installed(x) else (*_PLAIN, type, types.FunctionType)
            names = [n for n in vars(x) if n in self._names and isinstance(vars(x)[n], kinds)]
            if names:  # numbers, strings, functions and classes alone
                self._attributes(name, x, names)
            if isinstance(x, type) and not _is_installed(x):
                self._methods(x)
                for base in x.__bases__:
                    self._value(base.__name__, base)
        elif isinstance(x, Module):
            self._value(type(x).__name__, type(x))
            self._methods(type(x))
            self._attributes(name, x, list(vars(x)))
            self._whole.append((f"{name}.", vars(x), len(vars(x))))
        elif isinstance(x, list | tuple | dict | set | deque):
            items = list(x.values() if isinstance(x, dict) else x)
            if len(x) > SEVERAL and not any(isinstance(item, Module) for item in items):
                return
            if isinstance(x, dict):
                self._dicts.append((f"{name}.", x, list(x), list(x.values())))
                self._whole.append((f"{name}.", x, len(x)))
            elif not isinstance(x, tuple):
                self._lists.append((name, x, list(x)))
            for item in items:
                self._value(name, item)
        elif _is_users(x):
            self._methods(type(x))
            self._attributes(name, x, [n for n in vars(x) if n in self._names])
            self._value(type(x).__name__, type(x))

    def _methods(self, kind: type) -> None:
        """Look into the methods of a class that may be called: those that are named somewhere."""
        looked: set[str] = set()
        while names := {"__call__", "forward", *self._names} - looked:
            looked |= names
            for n in sorted(names):
                method = getattr(kind, n, None)
                method = method.fget if isinstance(method, property) else method
                if isinstance(method, types.MethodType):  # of the class
                    method = method.__func__
                if isinstance(method, types.FunctionType) or _wraps(method):
                    self._value(n, method)

    def _attributes(self, name: str, x: Any, names: list[str]) -> None:
        items = vars(x)
        self._dicts.append((f"{name}.", items, names, [items[n] for n in names]))
        for n in names:
            self._value(f"{name}.{n}", items[n])


def _names(code: types.CodeType) -> Iterator[str]:
    """The global names and attributes that code uses, and the code inside it."""
    yield from code.co_names
    for x in code.co_consts:
        if isinstance(x, types.CodeType):
            yield from _names(x)


def _wraps(x: Any) -> bool:
    """Whether it stands for a function: a captured one, say."""
    return "__wrapped__" in getattr(x, "__dict__", ())


def _is_ours(x: Any) -> bool:
    """Whether a function, class or module belongs to minigrad, NumPy or Python itself."""
    name = x.__name__ if isinstance(x, types.ModuleType) else x.__module__
    return str(name).partition(".")[0] in _OURS


def _is_installed(x: Any) -> bool:
    """Whether a class or module is not of the user's own files."""
    module = x if isinstance(x, types.ModuleType) else sys.modules.get(x.__module__)
    return _is_ours(x) or str(getattr(module, "__file__", "")).startswith(_INSTALLED)


def _is_users(x: Any) -> bool:
    room = type(x).__module__.partition(".")[0]
    return hasattr(x, "__dict__") and room not in ("minigrad", "numpy", "cupy", "builtins")


def _equal(a: Any, b: Any) -> bool:
    """Whether two plain values are the same; objects are so only if they are one."""
    return type(a) is type(b) and isinstance(a, _PLAIN) and same(a, b)
