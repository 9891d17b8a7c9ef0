"""What real CuPy does, expression by expression, to compare the double (or a GPU) with.

semantics.txt has an expression and its outcome in each line: a value, or the type of the error.
They were recorded with CuPy 14.2's own front end, whose kernels ran on a CPU. In an expression `x`
is [[0, 1, 2], [3, 4, 5]] in float32; `xp`, `cupyx` and `special` are CuPy's modules.
"""

import copy
import math
import operator
from pathlib import Path

import numpy as np


class Left:
    __array_ufunc__ = None

    def __radd__(self, other):
        return "left to me"


class Lower:
    def __radd__(self, other):
        return "left to me"


class Higher(Lower):
    __array_priority__ = 1000


class Asked:
    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        return f"asked for {ufunc.__name__}"


def inplace(x, op, other):
    operators = {"+=": operator.iadd, "/=": operator.itruediv, "@=": operator.imatmul}
    return operators[op](x, other)


def changed(x, change):
    change(x)
    return x


def first_of(x):
    """Whether x[0, 0] changes with `x`."""
    x = x.copy()
    first = x[0, 0]
    x += 5
    return first


HELPERS = (Left, Lower, Higher, Asked, inplace, changed, first_of)


def table():
    """Pairs of an expression and its outcome."""
    path = Path(__file__).with_name("semantics.txt")
    lines = path.read_text(encoding="utf-8").splitlines()
    return [tuple(line.split("  ->  ")) for line in lines if line and not line.startswith("#")]


def outcome(expression, xp, cupyx, special):
    """What comes of it, in the words of semantics.txt."""
    names = {helper.__name__: helper for helper in HELPERS}
    names |= {"copy": copy, "math": math, "np": np}
    names |= {"xp": xp, "cupyx": cupyx, "special": special}
    names["x"] = xp.arange(6, dtype="f").reshape(2, 3)
    try:
        value = eval(expression, names)
    except Exception as error:
        return type(error).__name__
    return _told(value, xp.ndarray)


def _told(value, ndarray):
    if isinstance(value, ndarray):
        return f"{value.dtype} {value.shape}{_order(value)} {_short(value.get().tolist())}"
    if isinstance(value, np.ndarray):
        return f"NumPy {value.dtype} {value.shape} {_short(value.tolist())}"
    if isinstance(value, tuple | list):
        inner = ", ".join(_told(item, ndarray) for item in value)
        return f"({inner})" if isinstance(value, tuple) else f"[{inner}]"
    return str(value) if isinstance(value, np.dtype) else repr(value)


def _order(x):
    """How an array of several axes lies in memory, where there is more than one way."""
    c, f = x.flags.c_contiguous, x.flags.f_contiguous
    if x.ndim < 2 or (c and f):
        return ""
    return " C" if c else " F" if f else " strided"


def _short(value):
    if isinstance(value, list):
        return f"[{', '.join(_short(item) for item in value)}]"
    return f"{value:.4g}" if isinstance(value, float) else repr(value)
