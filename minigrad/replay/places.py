"""Where arrays are in a replay, and the calls that a recording consists of."""

from __future__ import annotations

import math
from typing import Any

from minigrad.arrays.library import array_module

CONSTANT, EARLY, LATE = range(3)
"""What an array depends on: on nothing; on arguments and arrays from outside as they are when a
replay begins; or also on what the step has computed or changed."""


class CaptureError(RuntimeError):
    """A step did something that a replay could not repeat; the text says what to do instead."""


class Place:
    """Where an array is in a replay.

    Attributes
    ----------
    base
        the place whose memory it lies in: itself, unless it is a view.
    source
        how a view is made: a function and its arguments, with places for arrays; else None.
    array
        the real array: of an array from outside, while recording; of all others, once memory is
        planned.
    library
        the array library to which it belongs.
    depends
        CONSTANT, EARLY or LATE, at this moment of the recording.
    """

    __slots__ = (
        "__weakref__", "array", "base", "depends", "dtype", "kind", "library",
        "shape", "simple", "source", "stand", "strides", "tensor", "used", "writes",
    )  # fmt: skip

    def __init__(self, array: Any, kind: str, depends: int, base: Place | None = None) -> None:
        self.shape, self.dtype, self.strides = array.shape, array.dtype, array.strides
        self.library = array_module(array)
        self.kind = kind  # "memory", "outside", "input", "view", "constant"
        self.base = self if base is None else base
        self.depends = depends
        self.source: Any = None
        self.array: Any = None
        self.tensor: Any = None  # whose array it is, of an array from outside
        self.writes, self.used = 0, False  # how often it is written; whether a replay reads it
        self.simple = True  # whether it, and what it is computed from, is written at most once
        self.stand: Any = lambda: None  # what stands for it

    @property
    def nbytes(self) -> int:
        """Bytes of its elements."""
        return int(math.prod(self.shape) * self.dtype.itemsize)


class Cell:
    """What each replay puts a value into: a `Number`, or an array whose shape is not known before.

    `arrays` are a number's copies for the functions of the array library.
    """

    __slots__ = ("arrays", "base", "depends", "simple", "stand", "used", "value", "writes")
    kind, tensor = "cell", None

    def __init__(self, value: Any, depends: int) -> None:
        self.value, self.depends = value, depends
        self.base, self.simple, self.writes, self.stand = self, True, 0, lambda: None
        self.used = False
        self.arrays: dict[Any, Any] = {}

    def put(self, value: Any) -> None:
        """Set the number, for this replay."""
        self.value = value
        for array in self.arrays.values():
            array[()] = value


class Call:
    """An entry of a recording: a call of a function, with places in place of arrays."""

    __slots__ = (
        "args",
        "changed",
        "depends",
        "effect",
        "function",
        "kwargs",
        "out",
        "reads",
    )

    def __init__(self, function: Any, args: Any, kwargs: Any) -> None:
        self.function, self.args, self.kwargs = function, args, kwargs
        self.reads: list[Any] = []  # places and cells
        self.changed: list[Any] = []  # in place, `out` included
        self.out: Any = None  # the place, cell or list of them that takes the result
        self.effect = False  # whether it must be called even if nobody uses its result
        self.depends = LATE

    @property
    def name(self) -> str:
        """What it calls."""
        f = self.function
        name = getattr(f, "__name__", None) or getattr(f, "name", f)  # of a kernel of CuPy's
        of: Any = getattr(f, "__self__", None)  # np.add, of np.add.reduce
        name = f"{of.__name__}.{name}" if hasattr(of, "nin") else str(name)
        return name.removeprefix("cupy_")  # as CuPy's ufuncs are called


def same(a: Any, b: Any) -> bool:
    """Whether two answers are equal; 0.0 and -0.0 are not, since a step may divide by them."""
    if isinstance(a, float):
        return bool(a == b) and (a != 0 or str(a) == str(b))
    if isinstance(a, list) and a and type(a[0]) in (float, list):
        return a == b and str(a) == str(b)
    return bool(a == b)


def as_list(x: Any) -> list[Any]:
    """One result, several, or none (None), as a list."""
    return list(x) if isinstance(x, list | tuple) else [] if x is None else [x]


def places_in(form: Any) -> list[Any]:
    """The places and cells in nested arguments."""
    if type(form) in (Place, Cell):
        return [form]
    if type(form) in (tuple, list):
        return [p for x in form for p in places_in(x)]
    if type(form) is dict:
        return [p for x in form.values() for p in places_in(x)]
    return []
