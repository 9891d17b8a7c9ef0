"""Arrays that stand for others, and a library of their functions: each call is written down.

A recorded array gives its values to nobody but the recorder, so nothing escapes: NumPy's own
functions are written down too, and what would read the values into Python is an error, unless the
answer is known to be the same in each replay (see `Recorder.ask`).
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import numpy as np

from minigrad.arrays.library import StandIn
from minigrad.replay.places import CONSTANT


class Recorded(StandIn):
    """Stands for the real `array`; each call on it runs, and is written down."""

    __slots__ = ("__weakref__", "array", "place", "recorder", "scalar")
    __hash__ = object.__hash__
    __array_priority__ = 1000

    def __init__(self, array: Any, place: Any, recorder: Any) -> None:
        self.array, self.place, self.recorder = array, place, recorder
        self.scalar = False  # whether NumPy itself gives a number there, which is never changed

    shape = property(lambda self: self.array.shape)
    dtype = property(lambda self: self.array.dtype)
    ndim = property(lambda self: self.array.ndim)
    size = property(lambda self: self.array.size)
    nbytes = property(lambda self: self.array.nbytes)
    itemsize = property(lambda self: self.array.itemsize)
    strides = property(lambda self: self.array.strides)
    flags = property(lambda self: self.array.flags)
    device = property(lambda self: self.array.device)
    on_gpu = property(lambda self: type(self.array) is not np.ndarray)
    library = property(lambda self: self.recorder.library_of(self.recorder.module_of(self.array)))
    T = property(lambda self: self.transpose())
    mT = property(lambda self: self.swapaxes(-1, -2))  # noqa: N815 (as in NumPy)

    def known_to_be(self, value: float) -> bool:
        """See `StandIn`."""
        return self.place.base.depends == CONSTANT and bool(self.array == value)

    def own(self, ufunc: Any) -> Any:
        """Of a ufunc, the one of the array's own library; any other function as it is."""
        if not isinstance(ufunc, np.ufunc):
            return ufunc
        return getattr(self.recorder.module_of(self.array), ufunc.__name__)

    @property
    def base(self) -> Any:
        """What stands for the array of which this is a view; None if nobody else sees its memory.

        If its layout is not that of a copy, nobody may take it for an array of its own.
        """
        if self.place.kind != "view":
            return None
        base = self.recorder.standing_for(self.place.base)
        return self if base is None and not self.flags.c_contiguous else base

    def __len__(self) -> int:
        return len(self.array)

    def __iter__(self) -> Iterator[Recorded]:
        return (self[i] for i in range(len(self.array)))

    def __getitem__(self, index: Any) -> Any:
        return self.recorder.call(operator.getitem, (self, index), {})

    def __setitem__(self, index: Any, value: Any) -> None:
        self.recorder.call(operator.setitem, (self, index, value), {}, changed=(self,))

    def __bool__(self) -> bool:
        return bool(self.recorder.ask(bool, self))

    def __int__(self) -> int:
        return int(self.recorder.ask(int, self))

    def __index__(self) -> int:
        return int(self.recorder.ask(operator.index, self))

    def __float__(self) -> float:
        return float(self.recorder.ask(float, self))

    def __format__(self, spec: str) -> str:
        return str(self.recorder.ask(lambda x: format(x.item() if x.size == 1 else x, spec), self))

    def tolist(self) -> Any:
        """The values, which a replay must find again."""
        return self.recorder.ask(type(self.array).tolist, self)

    def item(self) -> Any:
        """The single element, as a `Number`."""
        return self.recorder.item(self)

    def __repr__(self) -> str:
        return f"Recorded({self.dtype} {self.shape})"

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        function = ufunc if method == "__call__" else getattr(ufunc, method)
        changed: Sequence[Any] = ()
        if method == "at":
            changed = inputs[:1]
        elif "out" in options:
            outs = options["out"] if isinstance(options["out"], tuple) else (options["out"],)
            changed = [x for x in outs if x is not None]
            options["out"] = outs if len(outs) > 1 else outs[0]
        return self.recorder.call(function, inputs, options, changed)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return self.recorder.call_function(function, args, kwargs)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NoReturn:
        raise self.recorder.error(
            f"an array ({self.dtype} {self.shape}) was handed to a function that reads its values "
            "past minigrad; use minigrad's ops or NumPy's functions, or call it outside the "
            "captured function"
        )


def _operator(ufunc: Any) -> Any:
    return lambda self, other: self.recorder.call(self.own(ufunc), (self, other), {})


def _reflected(ufunc: Any) -> Any:
    return lambda self, other: self.recorder.call(self.own(ufunc), (other, self), {})


def _in_place(ufunc: Any) -> Any:
    def operate(self: Any, other: Any) -> Any:
        out = () if self.scalar else (self,)
        options = {"out": self} if out else {}
        return self.recorder.call(self.own(ufunc), (self, other), options, out)

    return operate


def _changing(function: Any) -> Any:
    return lambda self, other: self.recorder.call(
        function, (self, other), {}, () if self.scalar else (self,)
    )


def _unary(ufunc: Any) -> Any:
    return lambda self: self.recorder.call(self.own(ufunc), (self,), {})


def _method(name: str) -> Any:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return self.recorder.call_method(name, self, args, kwargs)

    return method


OPERATORS = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.true_divide,
    "floordiv": np.floor_divide, "mod": np.remainder, "matmul": np.matmul, "and": np.bitwise_and,
    "or": np.bitwise_or, "xor": np.bitwise_xor, "lshift": np.left_shift, "rshift": np.right_shift,
}  # fmt: skip
COMPARISONS = {
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal,
    "gt": np.greater, "ge": np.greater_equal,
}  # fmt: skip
UNARY = {
    "neg": np.negative, "pos": np.positive, "abs": np.absolute, "invert": np.invert,
}  # fmt: skip
for _name, _ufunc in OPERATORS.items():
    setattr(Recorded, f"__{_name}__", _operator(_ufunc))
    setattr(Recorded, f"__r{_name}__", _reflected(_ufunc))
    setattr(Recorded, f"__i{_name}__", _in_place(_ufunc))
for _name, _ufunc in COMPARISONS.items():
    setattr(Recorded, f"__{_name}__", _operator(_ufunc))
for _name, _ufunc in UNARY.items():
    setattr(Recorded, f"__{_name}__", _unary(_ufunc))
# a power by a Python number has ways of its own in NumPy
setattr(Recorded, "__pow__", _operator(operator.pow))  # noqa: B010
setattr(Recorded, "__rpow__", _reflected(operator.pow))  # noqa: B010
setattr(Recorded, "__ipow__", _changing(operator.ipow))  # noqa: B010


METHODS = (
    "all", "any", "argmax", "argmin", "argpartition", "argsort", "astype", "choose", "clip",
    "compress", "conj", "copy", "cumprod", "cumsum", "diagonal", "dot", "fill", "flatten",
    "get", "max", "mean", "min", "nonzero", "partition", "prod", "put", "ravel", "repeat",
    "reshape", "round", "searchsorted", "sort", "squeeze", "std", "sum", "swapaxes", "take",
    "trace", "transpose", "var", "view",
)  # fmt: skip
for _name in METHODS:
    setattr(Recorded, _name, _method(_name))


class Library:
    """Stands for an array library: its functions, each of which is written down when called."""

    def __init__(self, module: Any, recorder: Any) -> None:
        self._module, self._recorder = module, recorder
        self.ndarray = Recorded

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._module, name)
        if isinstance(value, type) or not callable(value):
            return value
        made = Function(value, name, self._recorder)
        setattr(self, name, made)
        return made


class Function:
    """A function of the array library, written down when called; of a ufunc, also its methods."""

    def __init__(self, function: Any, name: str, recorder: Any) -> None:
        self.function, self.name, self.recorder = function, name, recorder
        self.nin = getattr(function, "nin", None)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        recorder, function = self.recorder, self.function
        if recorder.paused:
            return function(*args, **kwargs)
        if self.nin is None:
            return recorder.call_function(function, args, kwargs)
        if len(args) > self.nin:
            args, kwargs = args[: self.nin], {**kwargs, "out": args[self.nin]}
        if kwargs.get("out", self) is None:
            del kwargs["out"]
        return recorder.call(function, args, kwargs, (kwargs["out"],) if "out" in kwargs else ())

    def __getattr__(self, name: str) -> Any:  # np.add.reduce, np.add.at
        method = getattr(self.function, name)

        def call(x: Any, *args: Any, **kwargs: Any) -> Any:
            changed = [x] if name == "at" else []
            if name == "reduce":
                kwargs, args = {**dict(zip(_OF_REDUCE, args, strict=False)), **kwargs}, ()
            if kwargs.get("out") is not None:
                changed = [kwargs["out"]]
            return self.recorder.call(method, (x, *args), kwargs, changed)

        return call


_OF_REDUCE = ("axis", "dtype", "out", "keepdims", "initial", "where")
