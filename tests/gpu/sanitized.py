"""Every kernel of minigrad at odd sizes, and nothing else: for CUDA's compute-sanitizer to watch.

    compute-sanitizer --tool memcheck python tests/gpu/sanitized.py

Each array is an allocation of its own, none comes out of CuPy's pool: what a kernel reads or writes
beside its arrays is found.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cupy
import numpy as np

sys.path.insert(0, str(Path(__file__).parent / "dry"))
from kernel_cases import CASES, Columns
from library_kernels import KERNELS, NAMES

from minigrad.arrays.kernel import DTYPES, tables


def on_device(argument, dtype, kept):
    """An argument of a case as the kernel is given it; its arrays are added to `kept`."""
    if isinstance(argument, Columns):
        columns = [
            None if column is None else [on_device(x, dtype, kept) for x in column]
            for column in argument.columns
        ]
        ((table, _),) = tables(columns)
        return table
    if not isinstance(argument, np.ndarray):
        return argument
    kept.append(cupy.asarray(argument.astype(dtype if argument.dtype.kind == "f" else "i8")))
    return kept[-1]


def main():
    """Launch them all."""
    cupy.cuda.set_allocator(None)
    launches = 0
    for name in NAMES:
        for dtype in DTYPES:
            for seed, make in enumerate(CASES[name]):
                call, kept = make(np.random.default_rng(seed)), []
                arguments = [on_device(argument, dtype, kept) for argument in call.arguments]
                KERNELS[name](call.blocks, call.threads, dtype, *arguments)
                cupy.cuda.Device().synchronize()
                launches += 1
    print(f"{len(NAMES)} kernels, {launches} launches")


if __name__ == "__main__":
    main()
