"""``cupy.RawKernel``: instead of CUDA code, the library's oracle in NumPy runs."""

import importlib
import re

import numpy as np

from .arrays import ndarray, on_current_device
from .counts import count
from .devices import Memory

THREADS = 1024  # in a block, at most


class RawKernel:
    """A kernel of minigrad.kernels, found by its name, of which the code is not looked at."""

    def __init__(
        self,
        code,
        name,
        options=(),
        backend="nvrtc",
        translate_cucomplex=False,
        *,
        enable_cooperative_groups=False,
        jitify=None,
    ):
        if not isinstance(code, str) or not isinstance(name, str) or not isinstance(options, tuple):
            raise TypeError("RawKernel: expected code and name as strings and options as a tuple")
        found = re.fullmatch(r"minigrad_(\w+)_(f4|f8)", name)
        if not found:
            raise ValueError(f"RawKernel: no kernel of minigrad's is called {name!r}")
        if not re.search(rf"\b{name}\b", code):
            raise ValueError(f"RawKernel: no function {name} in the code")
        self.code, self.name, self.options = code, name, options
        declared = re.search(rf"\b{name}\s*\(([^)]*)\)", code)
        self._declared = [p.split() for p in declared[1].split(",") if p] if declared else []
        self._kernel, self._dtype = found[1], np.dtype(found[2])

    def compile(self, log_stream=None):
        """Nothing; CuPy would compile it now."""

    def __call__(self, grid, block, args, *, shared_mem=0, stream=None):
        """Launch it."""
        _check_size("grid", grid, 2**31 - 1)
        _check_size("block", block, THREADS)
        if not isinstance(args, tuple):
            raise TypeError(f"{self.name}: expected a tuple of arguments, got {type(args)}")
        on_current_device(self.name, [x for x in args if isinstance(x, ndarray)])
        self._check_scalars(args)
        values = [self._value(i, x) for i, x in enumerate(args)]
        count("kernels", self.name)
        registry = importlib.import_module("minigrad.arrays.kernel").KERNELS
        with np.errstate(all="ignore"):
            registry[self._kernel].oracle(*values)

    def _check_scalars(self, args):
        """CuPy hands scalars over by their own type: a float for a bool would be read as bytes."""
        expected = {"bool": bool, "double": float, "long": int}
        for i, (words, x) in enumerate(zip(self._declared, args, strict=False)):
            kind = expected.get(words[0]) if "*" not in " ".join(words) else None
            if kind is not None and type(x) is not kind:
                raise TypeError(
                    f"{self.name}: argument {i} is declared as {' '.join(words)}, got {x!r}"
                )

    def _value(self, i, x):
        """Argument number `i` for the oracle."""
        if isinstance(x, ndarray):
            if not x.flags.c_contiguous:
                raise ValueError(f"{self.name}: argument {i} is not contiguous: {x.strides}")
            if x.dtype not in (self._dtype, np.dtype(np.int64), np.dtype(bool)):
                raise TypeError(f"{self.name}: argument {i} has the dtype {x.dtype}")
            return x._hidden
        if x is None or type(x) in (bool, float):
            return x
        if type(x) is int:
            if not -(2**63) <= x < 2**63:
                raise OverflowError(f"{self.name}: argument {i} does not fit into 64 bits: {x}")
            return x
        if isinstance(x, np.ndarray) and x.dtype.names == ("pointers", "ends", "count"):
            return read_table(self.name, x, self._dtype)
        raise TypeError(f"{self.name}: argument {i} is a {type(x)}: {x!r}")


def read_table(op, table, dtype):
    """The arrays that a table points to, flat: a list for each column, with None for nothing."""
    if table.ndim:
        raise ValueError(f"{op}: expected one table, got an array of {table.shape}")
    if table.nbytes > 4096:
        raise ValueError(f"{op}: a kernel's arguments have 4096 bytes, the table {table.nbytes}")
    ends = table["ends"][: int(table["count"])]
    sizes = np.diff(ends, prepend=0).tolist()
    if min(sizes, default=0) < 0:
        raise ValueError(f"{op}: the table's ends fall: {ends}")
    columns = []
    for pointers in table["pointers"].tolist():
        columns.append([_pointed(op, p, n, dtype) for p, n in zip(pointers, sizes, strict=False)])
    return columns


def _pointed(op, pointer, size, dtype):
    if not pointer:
        return None
    memory = Memory.at(pointer)
    on_current_device(op, [_Somewhere(memory)])
    return memory.numbers(pointer, size, dtype)


class _Somewhere:
    """Of an array only its memory."""

    def __init__(self, memory):
        self._memory = memory


def _check_size(what, size, most):
    if not isinstance(size, tuple) or not 1 <= len(size) <= 3:
        raise TypeError(f"RawKernel: {what} is no tuple of up to three numbers: {size!r}")
    product = 1
    for n in size:
        if type(n) is not int or n < 1:
            raise ValueError(f"RawKernel: {what} must be of positive ints, got {size}")
        product *= n
    if product > most:
        raise ValueError(f"RawKernel: {what} {size} is more than {most}")


def not_modelled(name):
    """A class of CuPy's that the double has not."""

    def make(*args, **kwargs):
        raise NotImplementedError(f"the strict double has no {name}: it runs minigrad's kernels")

    return make
