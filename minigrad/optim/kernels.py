"""Steps of optimisers as kernels: one launch changes all parameters that share an update.

An optimiser's step is little work on many small arrays. Array by array, it would be a dozen
launches for each parameter; here it is one launch for 64 parameters. An optimiser has NumPy code
for whole arrays, and beside it CUDA code for a single element, of which `UpdateKernel` makes a
kernel. `Updates` collects the parameters of a step and launches the kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from textwrap import dedent, indent
from typing import Any

import numpy as np

from minigrad.arrays.kernel import THREADS, Kernel, tables, usable
from minigrad.arrays.library import Array, array_module
from minigrad.autograd.sparse import RowSparse

MAX_BLOCKS = 1024
"""Enough to fill any GPU of today. With more elements, each thread does several."""


def blocks_for(total: int) -> int:
    """How many blocks of threads to launch for a kernel of `each_element`."""
    return min(-(-total // THREADS), MAX_BLOCKS)


def each_element(code: str) -> str:
    """CUDA C++ that does `code` for each element ``i`` of each row ``row`` of ``table``."""
    code = indent(code, " " * 8).strip()
    return f"""
    const long long total = table.ends[table.count - 1], all = (long long)gridDim.x * blockDim.x;
    long long element = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    for (int row = 0; element < total; element += all) {{
        while (element >= table.ends[row]) ++row;  // a thread's elements rise, and so do its rows
        const long long i = element - (row ? table.ends[row - 1] : 0);
        {code}
    }}
"""


_BEFORE = """
    if (finite && !isfinite(*finite)) return;
    auto descended = [](T p, T g, T weight_decay, bool maximize) {
        T down = maximize ? -g : g;
        return weight_decay ? p * weight_decay + down : down;
    };
    auto larger = [](T a, T b) { return a > b || a != a ? a : b; };  // NaN if one of them is
"""


_TYPES: dict[str, Callable[[float], float]] = {"double": float, "bool": bool}


class UpdateKernel(Kernel):
    """A step of an optimiser, for all elements of up to 64 parameters at once.

    Parameters
    ----------
    name
        as in `Kernel`.
    change
        the step in NumPy: a function of arrays and numbers. The arrays are p (changed in place), g,
        one for each state (changed in place, or None), and `scratch` arrays for intermediate
        results (or None, as NumPy's ``out``: then NumPy makes them).
    scratch
        how many arrays for intermediate results `change` needs.
    states
        the names, in the CUDA code, of what the optimiser remembers of each element.
    numbers
        the numbers, which are the same for all elements, as C++ declares them: ``"double lr, bool
        maximize"``.
    code
        CUDA C++ for one element, with ``p`` (a reference), ``g``, a pointer for each state (null if
        there is none), and the numbers.
    """

    def __init__(
        self,
        name: str,
        change: Callable[..., None],
        *,
        scratch: int,
        states: str,
        numbers: str,
        code: str,
    ) -> None:
        self.change, self.scratch = change, scratch
        self._states = states.split()
        self._types = [_TYPES[number.split()[0]] for number in numbers.split(", ")]
        self.numbers = len(self._types)  # how many
        pointers = [
            f"T* {state} = table.pointers[{k}][row]; if ({state}) {state} += i;"
            for k, state in enumerate(self._states, 2)
        ]
        lines = [
            "T& p = table.pointers[0][row][i];",
            "T g = table.pointers[1][row][i];",
            *pointers,
            dedent(code).strip(),
        ]
        body = _BEFORE + each_element("\n".join(lines))
        super().__init__(name, f"const Table table, const T* finite, {numbers}", body, self._oracle)

    def typed(self, numbers: tuple[float, ...]) -> tuple[float, ...]:
        """`numbers` in the types of the CUDA code: an option may be 1 or np.True_ for True."""
        return tuple([kind(n) for kind, n in zip(self._types, numbers, strict=True)])

    def _oracle(self, columns: list[list[Array]], finite: Array | None, *numbers: float) -> None:
        if finite is not None and not array_module(finite).isfinite(finite).all():
            return
        for p, g, *states in zip(*columns, strict=True):
            scratch = [array_module(p).empty_like(p) for _ in range(self.scratch)]
            self.change(p, g, *states[: len(self._states)], *scratch, *numbers)


class Updates:
    """What is to be stepped on GPUs, sorted by kernel, device, dtype and numbers.

    Parameters
    ----------
    finite
        an array with a single number, or None. If the number is not finite, nothing changes.
    """

    def __init__(self, finite: Array | None) -> None:
        self._finite = finite
        self._seen: bool | None = None
        self._rows: dict[tuple[Any, ...], list[list[Array | None]]] = {}

    def is_finite(self) -> bool:
        """Whether anything is to change; to look at the number, the host waits for the GPU."""
        if self._seen is None:
            x = self._finite
            self._seen = x is None or bool(array_module(x).isfinite(x).all())
        return self._seen

    def take(
        self,
        kernel: UpdateKernel,
        p: Array,
        g: Array | RowSparse,
        states: Sequence[Array | None],
        numbers: tuple[float, ...],
    ) -> bool:
        """Whether nothing is left to do for this parameter: `launch` does it, or it stays."""
        if type(p) is np.ndarray:
            return False
        arrays = [p, *(x for x in states if x is not None)]
        if (
            isinstance(g, RowSparse)
            or not usable(*arrays)
            or not all(x.flags.c_contiguous for x in arrays)
        ):
            return not self.is_finite()
        if p.size:
            row = [p, array_module(g).ascontiguousarray(g), *states]
            key = kernel, p.device.id, p.dtype, kernel.typed(numbers)
            self._rows.setdefault(key, []).append(row)
        return True

    def launch(self) -> None:
        """Step all parameters that were added."""
        for (kernel, _, dtype, numbers), rows in self._rows.items():
            finite = self._flag(dtype)
            for table, total in tables(list(zip(*rows, strict=True))):
                kernel(blocks_for(total), THREADS, dtype, table, finite, *numbers)

    def _flag(self, dtype: Any) -> Array | None:
        """The number to look at, in `dtype`."""
        x = self._finite
        if x is None or x.dtype == dtype:
            return x
        # x itself may be too large for the dtype; x - x is 0, or NaN if x is not finite.
        return (x - x).astype(dtype)
