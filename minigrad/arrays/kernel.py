"""What a kernel is: a function on arrays in CUDA, and the same function in NumPy, its oracle.

Some ops would be dozens of CuPy calls, and each call costs the host ten microseconds and the GPU a
trip through memory. Such an op is one kernel here. CuPy compiles the CUDA source at the first call,
once for each dtype and kind of GPU, and keeps the result on disk.

A kernel changes arrays in place, those that it does not declare as ``const``, and returns nothing.
Its arguments, in CUDA and in NumPy, are:

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
from minigrad.arrays.library import Array, on_gpu
from minigrad.arrays.recording import here

DTYPES = (np.dtype(np.float32), np.dtype(np.float64))
"""The dtypes of kernels. CuPy's own functions are used for others (float16)."""

OPTIONS = ("-std=c++17", "-fmad=false")
"""How kernels are compiled. A product and the sum after it are rounded one after the other, as
NumPy and CuPy's functions do it: so a kernel, and what runs where it cannot, give the same bits."""

THREADS = 256
"""The threads in a block, for kernels that work with any number."""

COLUMNS, ROWS = 5, 64
TABLE = np.dtype([("pointers", "u8", (COLUMNS, ROWS)), ("ends", "i8", (ROWS,)), ("count", "i8")])
"""At most 64 arrays in each of five columns. It is passed by value, so CUDA allows only 4 KB."""

_SOURCE = """\
typedef {type} T;
#define INFINITE T(__int_as_float(0x7f800000))
#define NOT_A_NUMBER T(__int_as_float(0x7fc00000))

struct Table {{
    T* pointers[{columns}][{rows}];  // null where a column has no array
    long long ends[{rows}];          // for each row: the elements in it and in the rows before it
    long long count;                 // the number of rows
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
        its name in the GPU's profiler, after ``minigrad_``.
    parameters, body
        CUDA C++: the list of parameters, and the text between the braces. T is the dtype.
    oracle
        the same function in NumPy, with the same arguments; in place of a table it has five lists
        of flat arrays. Only tests call it.
    """

    def __init__(
        self, name: str, parameters: str, body: str, oracle: Callable[..., object]
    ) -> None:
        self.name, self.oracle = name, oracle
        self._parameters, self._body = parameters, body
        declared = enumerate(parameters.split(","))
        self._changed = [i for i, p in declared if "*" in p and "const" not in p]
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
        """Its name in the source."""
        return f"minigrad_{self.name}_{_short(dtype)}"

    def __call__(self, blocks: int, threads: int, dtype: Any, *args: Any) -> None:
        """Launch it on the current GPU with `blocks` blocks of `threads` threads each."""
        if not blocks:
            return
        compiled = self._compiled.get(dtype)
        if compiled is None:
            import cupy

            code, function = self.code(dtype), self.function(dtype)
            compiled = self._compiled[dtype] = cupy.RawKernel(code, function, OPTIONS)
        recorder = here.recorder
        if recorder is None or recorder.paused:
            compiled((blocks,), (threads,), args)
        else:
            changed = [args[i] for i in self._changed if args[i] is not None]
            recorder.call(compiled, ((blocks,), (threads,), args), {}, changed)

    def over(self, count: int, dtype: Any, *args: Any) -> None:
        """Launch it with one thread for each of `count` elements; `count` is its first argument."""
        self(-(-count // THREADS), THREADS, dtype, count, *args)


def _short(dtype: Any) -> str:
    return f"f{np.dtype(dtype).itemsize}"


def usable(*arrays: Array | None) -> bool:
    """Whether kernels can work on `arrays`: they are on a GPU, and of one dtype of `DTYPES`."""
    if not gpus:
        return False
    given = [x for x in arrays if x is not None]
    dtype = given[0].dtype
    return on_gpu(given[0]) and dtype in DTYPES and all(x.dtype == dtype for x in given)


def tables(columns: Sequence[Sequence[Array | None] | None]) -> Iterator[tuple[Any, int]]:
    """Tables of the arrays in `columns`, each with its number of elements.

    The arrays of a row are contiguous and have the same size; the first is not None. A column that
    is None, or missing, has no arrays.
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
