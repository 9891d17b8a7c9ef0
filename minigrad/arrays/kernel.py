"""What a kernel is: a function on arrays in CUDA, beside the same function in NumPy, its oracle.

Where one op of a network would be dozens of CuPy calls, each of which costs the host ten
microseconds and the GPU a trip through memory, it is one kernel here. The CUDA source is compiled
by CuPy when it is first called, once for each dtype and kind of GPU, and kept on disk.

A kernel changes arrays in place and returns nothing. Its arguments are, in CUDA and in NumPy:

- arrays, contiguous, on the current GPU: ``T*``, where T is the dtype that the kernel runs in
  (integers: ``long long*``, masks: ``bool*``); None is a null pointer;
- Python ints, floats and bools: ``long long``, ``double`` and ``bool``;
- a table of arrays (`tables`), for kernels that work on many arrays at once: ``Table``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from minigrad.arrays.devices import gpus
from minigrad.arrays.library import Array, array_module

DTYPES = (np.dtype(np.float32), np.dtype(np.float64))
"""What kernels run in. Whatever else there is (float16) goes through CuPy's own functions."""

OPTIONS = ("-std=c++17",)

THREADS = 256
"""In a block, for kernels that do not care."""

COLUMNS, ROWS = 5, 64
TABLE = np.dtype([("pointers", "u8", (COLUMNS, ROWS)), ("ends", "i8", (ROWS,)), ("count", "i8")])
"""Up to 64 arrays in each of five columns; handed over by value, of at most 4 KB as CUDA asks."""

_SOURCE = """\
typedef {type} T;
#define INFINITE T(__int_as_float(0x7f800000))
#define NOT_A_NUMBER T(__int_as_float(0x7fc00000))

struct Table {{
    T* pointers[{columns}][{rows}];  // null where a column has no array
    long long ends[{rows}];          // of each row: how many elements it and those before it have
    long long count;                 // of rows
}};

__device__ inline T sigmoid(T x) {{ return T(0.5) + T(0.5) * tanh(T(0.5) * x); }}

extern "C" __global__ void {function}({parameters})
{{
{body}
}}
"""

KERNELS: dict[str, Kernel] = {}
"""Every kernel of the library, by name."""


class Kernel:
    """A function on arrays, in CUDA and in NumPy.

    Parameters
    ----------
    name
        as the GPU's profiler shows it, after ``minigrad_``.
    parameters, body
        CUDA C++: the parameter list, and what stands between the braces. T is the dtype.
    oracle
        the same function in NumPy: the same arguments, but for a table five lists of flat arrays.
        Nothing calls it but tests.
    """

    def __init__(
        self, name: str, parameters: str, body: str, oracle: Callable[..., object]
    ) -> None:
        self.name, self.oracle = name, oracle
        self._parameters, self._body = parameters, body
        self._compiled: dict[Any, Any] = {}
        assert name not in KERNELS, name
        KERNELS[name] = self

    def code(self, dtype: Any) -> str:
        """The whole source for float32 or float64."""
        return _SOURCE.format(
            type={"f4": "float", "f8": "double"}[_short(dtype)],
            columns=COLUMNS,
            rows=ROWS,
            function=self.function(dtype),
            parameters=self._parameters,
            body=self._body.strip("\n"),
        )

    def function(self, dtype: Any) -> str:
        """What it is called in the source."""
        return f"minigrad_{self.name}_{_short(dtype)}"

    def __call__(self, blocks: int, threads: int, dtype: Any, *args: Any) -> None:
        """Launch it with so many blocks, each of so many threads, on the current GPU."""
        if not blocks:
            return
        compiled = self._compiled.get(dtype)
        if compiled is None:
            import cupy

            code, function = self.code(dtype), self.function(dtype)
            compiled = self._compiled[dtype] = cupy.RawKernel(code, function, OPTIONS)
        compiled((blocks,), (threads,), args)

    def over(self, count: int, dtype: Any, *args: Any) -> None:
        """Launch it with a thread for each of `count` elements; `count` is its first argument."""
        self(-(-count // THREADS), THREADS, dtype, count, *args)


def _short(dtype: Any) -> str:
    return f"f{np.dtype(dtype).itemsize}"


def usable(*arrays: Array | None) -> bool:
    """Whether kernels can work on `arrays` of one device: a GPU's, in a dtype that they run in."""
    if not gpus:
        return False
    given = [x for x in arrays if x is not None]
    dtype = given[0].dtype
    return (
        array_module(given[0]) is not np
        and dtype in DTYPES
        and all(x.dtype == dtype for x in given)
    )


def tables(columns: Sequence[Sequence[Array | None] | None]) -> Iterator[tuple[Any, int]]:
    """Tables of the arrays in `columns`, row by row, each with its number of elements.

    The arrays of a row are of one size and contiguous, the first is not None; a column that is
    None, or missing, has no arrays.
    """
    first = columns[0] or ()
    for start in range(0, len(first), ROWS):
        rows = range(start, min(start + ROWS, len(first)))
        table = np.zeros((), TABLE)
        pointers, ends, total = table["pointers"], table["ends"], 0
        for k, column in enumerate(columns):
            if column is not None:
                pointers[k, : len(rows)] = [
                    0 if (x := column[i]) is None else x.data.ptr for i in rows
                ]
        for i in rows:
            total += first[i].size  # type: ignore[union-attr]
            ends[i - start] = total
        table["count"] = len(rows)
        if total:
            yield table, total
