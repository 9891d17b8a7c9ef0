"""What there is to know about the processor and its BLAS, and to choose: ``mg.cpu.threads()``.

Nothing here is needed to use them. A command that is to have the faster kernels of OpenBLAS begins
with `restart_with_better_kernel`, and may say which products it is going to compute
(`minigrad.training.recurrent_products`). ``python -m minigrad`` reports what is here.
"""

from __future__ import annotations

from minigrad.arrays.blas import (
    Blas,
    Product,
    better_environment,
    processor,
    restart_with_better_kernel,
    restart_with_kernel,
    vector_instructions,
)
from minigrad.arrays.blas import in_use as blas
from minigrad.arrays.threads import cores
from minigrad.arrays.threads import count as threads

__all__ = [
    "Blas",
    "Product",
    "better_environment",
    "blas",
    "cores",
    "processor",
    "restart_with_better_kernel",
    "restart_with_kernel",
    "threads",
    "vector_instructions",
]


def __dir__() -> list[str]:
    return __all__
