"""Steps of optimisers as kernels: one launch changes all parameters that share an update.

An optimiser's step is little work on many small arrays. Array by array, it would be a dozen
launches for each parameter; here it is one launch for 64 parameters. An optimiser has NumPy code
for whole arrays, and beside it CUDA code for a single element, of which `UpdateKernel` makes a
kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from textwrap import dedent, indent
from typing import Any, TypeAlias

from minigrad.arrays.kernel import THREADS, Kernel, tables, usable
from minigrad.arrays.library import Array, array_module
from minigrad.arrays.recording import one_call
from minigrad.autograd.sparse import RowSparse

Change: TypeAlias = tuple[Array, Array | RowSparse, tuple[Array | None, ...], tuple[float, ...]]
"""A parameter, its gradient, what is remembered of it, and the numbers of its update."""

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


def change_by_kernel(
    kernel: UpdateKernel, changes: Sequence[Change], finite: Array | None
) -> list[Change]:
    """Step parameters on a GPU; returns the changes for which there is no kernel.

    `finite` is an array with a single number, or None. If it is not finite, nothing changes.
    """
    changed, gradients, numbers, left = [], [], [], []
    for change in changes:
        p, g, states, given = change
        arrays = [p, *(x for x in states if x is not None)]
        if (
            isinstance(g, RowSparse)
            or not usable(*arrays)
            or not all(x.flags.c_contiguous for x in arrays)
        ):
            left.append(change)
        elif p.size:
            changed.append((p, *states))
            gradients.append(array_module(g).ascontiguousarray(g))
            numbers.append(given)
    if changed:
        _launch(kernel, changed, gradients, numbers, finite)
    return left


@one_call("changed")
def _launch(
    kernel: UpdateKernel,
    changed: Sequence[tuple[Array | None, ...]],
    gradients: Sequence[Array],
    numbers: Sequence[tuple[float, ...]],
    finite: Array | None,
) -> None:
    """Step parameters and states; one launch for those of the same device, dtype and numbers."""
    alike: dict[tuple[Any, ...], list[list[Array | None]]] = {}
    for (p, *states), g, given in zip(changed, gradients, numbers, strict=True):
        assert p is not None
        key = p.device.id, p.dtype, kernel.typed(given)
        alike.setdefault(key, []).append([p, g, *states])
    for (_, dtype, given), rows in alike.items():
        flag = _flag(finite, dtype)
        for table, total in tables(list(zip(*rows, strict=True))):
            kernel(blocks_for(total), THREADS, dtype, table, flag, *given)


def _flag(x: Array | None, dtype: Any) -> Array | None:
    """The number to look at, in `dtype`."""
    if x is None or x.dtype == dtype:
        return x
    # x itself may be too large for the dtype; x - x is 0, or NaN if x is not finite.
    return (x - x).astype(dtype)
