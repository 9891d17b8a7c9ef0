"""CuPy's universal functions, and the operators, which are made of them."""

import math

import numpy as np

from . import arithmetic
from .arrays import is_number, ndarray, on_current_device, run, to_device
from .indexing import resolve
from .names import NAMES, checked

METHODS = {
    "reduce": {"add", "multiply"},
    "accumulate": {"add", "multiply"},
    "reduceat": {"add"},
    "at": {"add", "subtract", "maximum", "minimum", "bitwise_and", "bitwise_or", "bitwise_xor"},
}
"""Which ufuncs have which methods; all have `outer`."""


class ufunc:  # noqa: N801 (CuPy's name)
    """A function of each element; NumPy's of the same name computes it, or `arithmetic` has it."""

    def __init__(self, name, function, types):
        self.name = self.__name__ = f"cupy_{name}"
        self._word, self.types, self._function = name, types.split(), function
        inputs, _, outputs = self.types[0].partition("->")
        self.nin, self.nout = len(inputs), len(outputs)
        self.nargs = self.nin + self.nout

    def __call__(self, *args, out=None, dtype=None, casting="same_kind", **others):
        if others:  # there is no where=
            raise TypeError(f"Wrong arguments {others}")
        inputs, outputs = args[: self.nin], args[self.nin :]
        for x in inputs:
            if not (isinstance(x, ndarray) or is_number(x)):
                raise TypeError(f"{self._word}: Unsupported type {type(x)}")
        if outputs:
            out = outputs[0] if len(outputs) == 1 else outputs
        options = {} if dtype is None else {"dtype": dtype}
        if out is not None:
            self._check_out(inputs, out if isinstance(out, tuple) else (out,))
            options.update(out=out, casting=casting)
        return run(self._word, arithmetic.OWN.get(self._word, self._function), inputs, options)

    def _check_out(self, inputs, outs):
        shape = np.broadcast_shapes(*[x.shape for x in inputs if isinstance(x, ndarray)])
        for out in outs:
            if not isinstance(out, ndarray):
                raise TypeError(f"{self._word}: out is a {type(out)}, no array of CuPy's")
            if out.shape != shape:
                raise ValueError(
                    f"{self._word}: out has the shape {out.shape}, the result {shape} "
                    "(CuPy would broadcast to a larger one, the strict double does not)"
                )

    def __repr__(self):
        return f"<ufunc '{self.name}'>"

    def _has(self, method):
        if self._word not in METHODS[method]:
            raise NotImplementedError(f"`{self.name}.{method}` is not supported yet")

    def reduce(self, array, axis=0, dtype=None, out=None, keepdims=False):
        """The function between all elements along an axis."""
        self._has("reduce")
        options = {"axis": axis, "dtype": dtype, "out": out, "keepdims": keepdims}
        return run(f"{self._word}.reduce", self._function.reduce, (array,), options)

    def accumulate(self, array, axis=0, dtype=None, out=None):
        """The same, with the results on the way."""
        self._has("accumulate")
        options = {"axis": axis, "dtype": dtype, "out": out}
        return run(f"{self._word}.accumulate", self._function.accumulate, (array,), options)

    def reduceat(self, array, indices, axis=0, dtype=None, out=None):
        """The same between indices."""
        self._has("reduceat")
        if not isinstance(indices, ndarray):
            raise TypeError("reduceat: the strict double wants indices on the device")
        options = {"axis": axis, "dtype": dtype, "out": out}
        return run(f"{self._word}.reduceat", self._function.reduceat, (array, indices), options)

    def at(self, a, indices, b=None):
        """In place, each time that an index occurs."""
        self._has("at")
        if a.dtype.char in "?bBhHFD":
            raise TypeError(f"{self._word}.at does not support {a.dtype}")
        if isinstance(b, np.ndarray | list):
            b = to_device(np.asarray(b))
        key, arrays = resolve(indices, a.shape)
        on_current_device(f"{self._word}.at", arrays)

        def change(a, b):  # NumPy's reads past the end of what it has to broadcast
            self._function.at(a, key, np.broadcast_to(b, a[key].shape))

        run(f"{self._word}.at", change, (a, b), {})

    def outer(self, A, B, **kwargs):
        """The function of all pairs."""
        return run(f"{self._word}.outer", self._function.outer, (A, B), kwargs)


def _make(name, function, module="ufuncs"):
    made = ufunc(name, function, NAMES[module][name])
    for method in ("reduce", "accumulate", "reduceat", "at"):
        bound = getattr(ufunc, method)
        setattr(made, method, checked("ufunc", method, bound).__get__(made))
    return made


def _special(function):
    def each(x):
        dtype = np.float32 if x.dtype == np.float32 else np.float64  # of float16 too, as in CuPy
        return np.asarray(np.frompyfunc(function, 1, 1)(x)).astype(dtype)

    return each


def _numpys(name):
    """NumPy's function of that name, which is not always a ufunc where CuPy's is."""
    function = getattr(np, name)
    return function if isinstance(function, np.ufunc) else arithmetic.as_ufunc(function)


UFUNCS = {name: _make(name, _numpys(name)) for name in NAMES["ufuncs"]}
SPECIAL = {name: _make(name, _special(getattr(math, name)), "special") for name in ("erf", "erfc")}

# ----------------------------------------------------------------------------- operators

BINARY = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "true_divide",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "divmod": "divmod",
    "pow": "power",
    "lshift": "left_shift",
    "rshift": "right_shift",
    "and": "bitwise_and",
    "or": "bitwise_or",
    "xor": "bitwise_xor",
}
COMPARISONS = {
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
    "eq": "equal",
    "ne": "not_equal",
}
UNARY = {"neg": "negative", "pos": "positive", "abs": "absolute", "invert": "invert"}


def leaves_it_to(other):
    """Whether ``x + other`` is left to `other`, which is then asked for ``other.__radd__(x)``."""
    if isinstance(other, (ndarray, np.ndarray)) or is_number(other):
        return False
    if hasattr(other, "__array_ufunc__"):
        return other.__array_ufunc__ is None
    return getattr(other, "__array_priority__", 0) > ndarray.__array_priority__


def apply(name, function, self, other):
    """``function(self, other)``; a foreign class is asked for its ``__array_ufunc__``."""
    if leaves_it_to(other):
        return NotImplemented
    known = isinstance(other, (ndarray, np.ndarray, np.generic))
    if known or not hasattr(other, "__array_ufunc__"):
        return function(self, other)
    result = other.__array_ufunc__(getattr(np, name), "__call__", self, other)
    if result is NotImplemented:
        raise TypeError(f"{name}: Unsupported type {type(other)}")
    return result


def _binary(name, function):
    def forward(self, other):
        return apply(name, function, self, other)

    def reflected(self, other):
        return NotImplemented if leaves_it_to(other) else function(other, self)

    def in_place(self, other):
        return NotImplemented if leaves_it_to(other) else function(self, other, self)

    return forward, reflected, in_place


def _comparison(name):
    return lambda self, other: apply(name, UFUNCS[name], self, other)


def matmul(a, b, out=None, **others):
    """``a @ b``: both are arrays on the device."""
    for x in (a, b):
        if not isinstance(x, ndarray):
            raise TypeError(f"matmul: expected arrays of CuPy's, got {type(x)}")
    return run("matmul", np.matmul, (a, b), {"out": out, **others})


def _install_operators():
    for name, function in BINARY.items():
        forward, reflected, in_place = _binary(function, UFUNCS[function])
        setattr(ndarray, f"__{name}__", forward)
        setattr(ndarray, f"__r{name}__", reflected)
        if name != "divmod":
            setattr(ndarray, f"__i{name}__", in_place)
    forward, reflected, _ = _binary("matmul", matmul)
    ndarray.__matmul__, ndarray.__rmatmul__ = forward, reflected
    ndarray.__imatmul__ = lambda self, other: matmul(self, other, out=self)
    for name, function in COMPARISONS.items():
        setattr(ndarray, f"__{name}__", _comparison(function))
    for name, function in UNARY.items():
        setattr(ndarray, f"__{name}__", lambda self, f=UFUNCS[function]: f(self))


_install_operators()
