"""A strict stand-in for CuPy, for machines without a GPU.

`cupy` is a module object with the names, arguments and rules of the real CuPy (14.2), in which
NumPy computes the values. It refuses what is slow or undefined on a GPU, or works only by chance:
see the other modules. `stats` counts what costs time there, and `budget` limits it. `install`
makes ``import cupy`` give it.

It is stricter than CuPy where CuPy does something costly or undefined in silence: it refuses
NumPy's functions (CuPy would answer), arrays that are not on the current device, ``x[i] = v`` with
an index that occurs twice, and ``out=`` of a larger shape. New memory is full of NaN.

It says nothing about the rounding, the speed and the memory of a real GPU. Of a kernel its oracle
runs; the CUDA code is not looked at.
"""

import sys
import types

import numpy as np

from . import draws, functions, kernels, methods  # noqa: F401 (methods: gives them to the array)
from .arrays import ndarray
from .collectives import nccl
from .counts import budget, stats
from .devices import MemoryPool, cuda, runtime
from .names import NAMES, Module
from .ufuncs import SPECIAL, UFUNCS, ufunc

__all__ = ["budget", "cupy", "cupyx", "install", "stats"]

POOL = MemoryPool()


def _get_array_module(*args):
    return cupy if any(isinstance(x, ndarray) for x in args) else np


def _numpys():
    """Types and constants: CuPy's are NumPy's own."""
    names = [name for name in NAMES["cupy"] if isinstance(getattr(np, name, None), type)]
    names = [name for name in names if issubclass(getattr(np, name), np.generic)]
    names += ["e", "inf", "nan", "newaxis", "pi", "euler_gamma"]
    return {name: getattr(np, name) for name in names if name in NAMES["cupy"]}


cupy = Module(
    "cupy",
    "cupy",
    __version__=NAMES["version"],
    __path__=[],
    **_numpys(),
    **functions.FUNCTIONS,
    **{name: made for name, made in UFUNCS.items() if name not in functions.FUNCTIONS},
    ElementwiseKernel=kernels.not_modelled("ElementwiseKernel"),
    RawKernel=kernels.RawKernel,
    RawModule=kernels.not_modelled("RawModule"),
    ReductionKernel=kernels.not_modelled("ReductionKernel"),
    cuda=cuda,
    get_array_module=_get_array_module,
    get_default_memory_pool=lambda: POOL,
    is_available=cuda.is_available,
    linalg=Module("cupy.linalg", "linalg", LinAlgError=np.linalg.LinAlgError, **functions.LINALG),
    ndarray=ndarray,
    random=Module("cupy.random", "random", **draws.MEMBERS),
    ufunc=ufunc,
    lib=types.SimpleNamespace(
        stride_tricks=types.SimpleNamespace(
            as_strided=functions.as_strided, sliding_window_view=functions.sliding_window_view
        )
    ),
)
special = Module("cupyx.scipy.special", "special", **SPECIAL)
scipy = Module("cupyx.scipy", "cupyx", __path__=[], special=special)
cupyx = Module(
    "cupyx",
    "cupyx",
    __path__=[],
    scatter_add=functions.scatter_add,
    scatter_max=functions.scatter_max,
    scatter_min=functions.scatter_min,
    scipy=scipy,
)


cuda.nccl = nccl
MODULES = [cupy, cupy.linalg, cupy.random, cuda, nccl, runtime, cupyx, scipy, special]


def install():
    """Make ``import cupy`` give the double, in this process.

    Raises
    ------
    RuntimeError
        if the real CuPy was imported before.
    """
    if sys.modules.get("cupy", cupy) is not cupy:
        raise RuntimeError("another cupy was imported before the strict double was installed")
    sys.modules.update({module.__name__: module for module in MODULES})
