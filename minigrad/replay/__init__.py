"""A step recorded once, and replayed without Python's costs: `capture`.

Read `recorder.py` first, then `program.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, update_wrapper
from typing import Any

import numpy as np

from minigrad.arrays import recording
from minigrad.arrays.library import is_array
from minigrad.autograd.modes import modes, watchers
from minigrad.autograd.node import Leaf
from minigrad.autograd.sparse import RowSparse
from minigrad.replay.program import Program
from minigrad.replay.recorder import (
    ARRAY,
    EARLY,
    GRAD,
    CaptureError,
    Cell,
    Number,
    Place,
    Recorded,
    Recorder,
    Slots,
)
from minigrad.tensor import Tensor, wrap

__all__ = ["CaptureError", "capture"]

KEPT = 8
"""How many recordings of one function are kept, for arguments of other shapes."""


def capture(function: Callable[..., Any]) -> Captured:
    """A function that is recorded at its first call, and replayed at later ones."""
    return Captured(function)


class Captured:
    """What `capture` gives; it is called like the function."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.programs: dict[Any, list[Any]] = {}
        update_wrapper(self, function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if recording.here.recorder is not None or (watchers and modes.anomaly):
            return self.function(*args, **kwargs)
        leaves: list[Any] = []
        key = (_key(args, leaves), _key(kwargs, leaves) if kwargs else None, bool(modes.recording))
        for program, results in self.programs.get(key, ()):
            if program.ready(leaves):
                program.run()
                return _given(results)
        return self._record(key, args, kwargs)

    def _record(self, key: Any, args: Any, kwargs: Any) -> Any:
        recorder = Recorder()
        leaves: list[Any] = []
        with Slots(recorder):
            stand_ins = _stand_ins((args, kwargs), recorder, leaves)
            result = self.function(*stand_ins[0], **stand_ins[1])
            places: dict[Any, Any] = {}
            form = _form(result, places)
            del result, stand_ins
        real = _given(form, places)
        kept = [r() for r in recorder.born if r() is not None]
        allowed = {id(GRAD.__get__(t)) for t in recorder.set_grads}
        for tensor in kept:
            if id(tensor) not in allowed:
                raise CaptureError(
                    f"capture: a Tensor ({tensor.dtype} {tensor.shape}) that the function has made "
                    "is kept outside it; return it as a result, and pass it as an argument to the "
                    "next call"
                )
        del kept
        if not recorder.spoilt:
            program = Program(recorder, list(places))
            self.programs.setdefault(key, []).insert(0, (program, form))
        return real


def _key(x: Any, leaves: list[Any]) -> Any:
    """What a recording is made for: the structure, shapes and dtypes of arguments."""
    kind = type(x)
    if kind is np.ndarray:
        leaves.append(x)
        return x.shape, x.dtype, x.strides if x.dtype.kind == "f" else None
    if isinstance(x, Tensor):
        if isinstance(x._node, Leaf):
            return "same", id(x)
        leaves.append(x._array)
        return Tensor, x._array.shape, x._array.dtype, x._array.strides
    if kind is float:
        leaves.append(x)
        return float
    if kind in (tuple, list) or isinstance(x, tuple):
        return kind, tuple([_key(item, leaves) for item in x])
    if kind is dict:
        return dict, tuple([(name, _key(item, leaves)) for name, item in x.items()])
    if is_array(x):
        leaves.append(x)
        return kind, x.shape, x.dtype
    if kind in (int, bool, str, type(None)):
        return kind, x
    return "same", id(x)


def _stand_ins(x: Any, recorder: Recorder, leaves: list[Any]) -> Any:
    """The arguments of the function while it is recorded."""
    kind = type(x)
    if isinstance(x, Tensor):
        if isinstance(x._node, Leaf):
            return x
        if x._node is not None:
            raise CaptureError("capture: an argument is on the tape; pass x.detach()")
        recorded = _input(ARRAY.__get__(x), recorder, len(leaves))
        leaves.append(x)
        return wrap(recorded)
    if kind is float:
        cell = Cell(x, EARLY)
        recorder.arguments.append((cell, len(leaves)))
        leaves.append(x)
        return Number(cell)
    if kind in (tuple, list):
        return kind(_stand_ins(item, recorder, leaves) for item in x)
    if isinstance(x, tuple):
        return kind(*[_stand_ins(item, recorder, leaves) for item in x])
    if kind is dict:
        return {name: _stand_ins(item, recorder, leaves) for name, item in x.items()}
    if is_array(x):
        recorded = _input(x, recorder, len(leaves))
        leaves.append(x)
        return recorded
    return x


def _input(array: Any, recorder: Recorder, number: int) -> Recorded:
    """What stands for an argument; a copy, so that it is none of the arrays known otherwise."""
    array = array.copy(order="K")
    recorded = recorder.know(array, "input", EARLY)
    recorder.inputs.append((recorded.place, number))
    return recorded


def _form(x: Any, places: dict[Any, Any]) -> Any:
    """The results, with places in place of arrays; `places` gets these and the arrays as of now."""
    kind = type(x)
    if isinstance(x, Tensor):
        array = x._array
        if array.place.kind == "outside":
            return "same", x
        places[array.place] = array.array
        return "tensor", array.place
    if kind is Recorded:
        places[x.place] = x.array
        return "array", x.place
    if kind is RowSparse:
        return partial(_sparse, x.shape), [_form(x.rows, places), _form(x.values, places)]
    if kind is Number:
        places[x.cell] = x.cell.value
        return "number", x.cell
    if kind in (tuple, list):
        return kind, [_form(item, places) for item in x]
    if isinstance(x, tuple):
        return (lambda items: kind(*items)), [_form(item, places) for item in x]
    if kind is dict:
        return (lambda items: dict(zip(x, items, strict=True))), [
            _form(item, places) for item in x.values()
        ]
    return "same", x


def _given(form: Any, places: dict[Any, Any] | None = None) -> Any:
    """The results for the caller, in memory of their own."""
    kind, x = form
    if kind == "tensor":
        return wrap((_array_at(x) if places is None else places[x]).copy())
    if kind == "array":
        return (_array_at(x) if places is None else places[x]).copy()
    if kind == "number":
        return x.value if places is None else places[x]
    if kind == "same":
        return x
    return kind([_given(item, places) for item in x])


def _array_at(place: Any) -> Any:
    return place.value if type(place) is Cell else place.array


def _sparse(shape: tuple[int, int], parts: Any) -> RowSparse:
    rows, values = parts
    return RowSparse(rows, values, shape)
