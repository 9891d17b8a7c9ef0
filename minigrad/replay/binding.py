"""Calls with their arrays: each is a function and a tuple of arguments, and nothing is left to do.

A call whose result goes into planned memory gets that as its ``out``.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from minigrad.autograd.sparse import RowSparse
from minigrad.replay.places import Cell, as_list
from minigrad.replay.slots import GRAD


def run(calls: Sequence[Any]) -> None:
    for function, args in calls:
        function(*args)


def run_if(condition: Any, calls: Sequence[Any]) -> None:
    if condition:
        run(calls)


def put(cells: Any, function: Any, args: Any, kwargs: Any) -> None:
    """Call a function, and keep its result, or its results, in cells."""
    result = with_cells(function, args, kwargs)
    if type(cells) is Cell:
        cells.put(result)
    else:
        for cell, made in zip(cells, result, strict=True):
            cell.put(made)


def with_cells(function: Any, args: Any, kwargs: Any) -> Any:
    return function(*_filled(args), **_filled(kwargs))


def _filled(form: Any) -> Any:
    """Nested arguments with what is in the cells."""
    kind = type(form)
    if kind is Cell:
        return form.value
    if kind in (tuple, list):
        return kind([_filled(x) for x in form])
    if kind is dict:
        return {name: _filled(x) for name, x in form.items()}
    return form


def set_sparse(tensor: Any, rows: Cell, values: Cell, shape: tuple[int, int]) -> None:
    gradient: RowSparse = object.__new__(RowSparse)
    gradient.rows, gradient.values, gradient.shape = rows.value, values.value, shape
    GRAD.__set__(tensor, gradient)


def with_arrays(ufunc: Any, args: Sequence[Any]) -> tuple[Any, ...]:
    """The arguments with arrays of the right dtype in place of numbers."""
    if any(type(x) is Cell and isinstance(x.value, np.ndarray) for x in args):
        return tuple(args)  # beside an array of another shape each time, it stays a number
    kinds = [
        x.dtype if hasattr(x, "dtype") else type(x.value if type(x) is Cell else x) for x in args
    ]
    dtypes = ufunc.resolve_dtypes((*kinds, *[None] * ufunc.nout))
    result = []
    for x, dtype in zip(args, dtypes, strict=False):
        if type(x) is Cell:
            if dtype not in x.arrays:
                x.arrays[dtype] = np.array(x.value, dtype)
            x = x.arrays[dtype]
        result.append(x)
    return tuple(result)


def positional(function: Any, args: Any, kwargs: Any) -> tuple[Any, Any]:
    if kwargs:
        return partial(function, *args, **kwargs), ()
    return function, tuple(args)


def copied(function: Any, args: Any, kwargs: Any, out: Any) -> None:
    """Call a function that has no `out`, and put its result into place."""
    result = function(*args, **kwargs)
    for place, made in zip(as_list(out), as_list(result), strict=True):
        if place is None:
            continue
        if made.shape != place.shape:
            raise ValueError(
                f"capture: {function} gave an array of shape {made.shape}, and when it was "
                f"recorded {place.shape}"
            )
        place[...] = made


_REDUCTIONS = {
    np.ndarray.sum: np.add.reduce,
    np.ndarray.prod: np.multiply.reduce,
    np.ndarray.max: np.maximum.reduce,
    np.ndarray.min: np.minimum.reduce,
}
_OF_SUMS, _OF_EXTREMES = ("axis", "dtype", "out", "keepdims"), ("axis", "out", "keepdims")
_FILLS = {"zeros": 0, "zeros_like": 0, "ones": 1, "ones_like": 1}
_HAVE_OUT = {"dot", "mean", "cumsum", "cumprod", "argmax", "argmin", "round", "clip", "var", "std",
             "trace", "all", "any", "concatenate", "stack", "sum", "prod", "max", "min", "einsum",
             "amax", "amin"}  # fmt: skip
_HAVE_OUT_IN_CUPY = (_HAVE_OUT | {"take", "matmul"}) - {"einsum", "min", "amin"}
"""CuPy 14.2 hands the `out` of a minimum to CUB as a dtype, which raises a TypeError."""


def with_out(function: Any, args: Any, kwargs: Any, out: Any) -> Any:
    """A call whose result goes into `out`; None if there is nothing to do."""
    name = getattr(function, "__name__", "")
    if hasattr(function, "nin"):  # a ufunc of NumPy's or CuPy's
        return _ufunc(function, args, out, kwargs)
    if name == "reduce" or function in _REDUCTIONS:
        names = _OF_EXTREMES if name in ("max", "min") else _OF_SUMS
        given = {**dict(zip(names, args[1:], strict=False)), **kwargs}
        axis = given.get("axis", 0 if name == "reduce" else None)
        rest = {n: x for n, x in given.items() if n in ("initial", "where")}
        first = (args[0], axis, given.get("dtype"), out, given.get("keepdims", False))
        return positional(_REDUCTIONS.get(function, function), first, rest)
    if name in ("accumulate", "reduceat"):
        return positional(function, args, {**kwargs, "out": out})
    if name in ("copy", "astype"):
        return _filling(out, args[0])
    if name in _FILLS:
        return out.fill, (_FILLS[name],)
    if name.startswith("empty"):
        return None
    if name in ("full", "full_like") and not hasattr(args[1], "shape"):
        return out.fill, (args[1],)
    if name == "dot" and not kwargs and hasattr(args[0], "dot"):
        return args[0].dot, (args[1], out)
    if name == "take" and (args[4:] == ("clip",) or kwargs.get("mode") == "clip"):
        axis = args[2] if len(args) > 2 else kwargs.get("axis")
        return args[0].take, (args[1], axis, out, "clip")
    if name in ("mean", "var", "std") and out.dtype == np.float16:
        return copied, (function, args, kwargs, out)  # out= would round in the middle
    if name in (_HAVE_OUT if type(out) is np.ndarray else _HAVE_OUT_IN_CUPY):
        return positional(function, args, {**kwargs, "out": out})
    return copied, (function, args, kwargs, out)


def _filling(out: Any, x: Any) -> tuple[Any, Any]:
    """Write `x` into `out`, whatever its dtype."""
    if type(out) is np.ndarray:
        return np.copyto, (out, x, "unsafe")
    return out.__setitem__, (..., x)


def _ufunc(ufunc: Any, args: Any, out: Any, kwargs: Any) -> Any:
    if ufunc in (np.maximum, np.minimum):  # NumPy warns of a third argument without a name
        return positional(ufunc, args, {**kwargs, "out": out})
    return positional(ufunc, (*args, out), kwargs)


def in_place(function: Any, args: Any, kwargs: Any) -> Any:
    """A call that changes one of its arguments, or writes into its `out`."""
    if hasattr(function, "nin") and "out" in kwargs:
        rest = {name: x for name, x in kwargs.items() if name != "out"}
        return _ufunc(function, args, kwargs["out"], rest)
    if function is operator.setitem:
        target, index, value = args
        if _is_basic(index) and type(target) is np.ndarray:
            parts = index if type(index) is tuple else (index,)
            view = (
                target[(*parts, ...)]
                if ... not in [p for p in parts if p is ...]
                else target[parts]
            )
            return np.copyto, (view, value, "unsafe")
        return target.__setitem__, (index, value)
    if getattr(function, "__name__", "") == "dot" and len(args) == 3:
        return args[0].dot, args[1:]
    return positional(function, args, kwargs)


def _is_basic(index: Any) -> bool:
    parts = index if type(index) is tuple else (index,)
    return all(type(part) in (int, slice, type(None), type(...)) for part in parts)
