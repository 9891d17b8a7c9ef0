"""minigrad: automatic differentiation, recurrent networks and language models, made to be read.

::

    import minigrad as mg

    x = mg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = (x * x).sum()
    y.backward()
    x.grad                      # Tensor([2., 4., 6.], dtype=float32)

The ops are here under their NumPy names (``mg.tanh``, ``mg.matmul``, ...: `minigrad.ops` lists
them). Layers are in ``mg.nn``, optimisers in ``mg.optim``, text and batches in ``mg.data``,
gradient checks in ``mg.testing``, and backpropagation through time in ``mg.training``. ``mg.viz``
draws the tape and what runs through it. ``mg.distributed`` lets several processes train one model.
``mg.cpu`` and ``mg.cuda`` tell about the machine.
``mg.files`` writes a file as a whole or not at all.
"""

import signal
import sys
from importlib import import_module
from typing import TYPE_CHECKING

if sys.argv[:1] == ["-m"] and "minigrad" in sys.orig_argv:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # so Ctrl-C ends `python -m minigrad` at once

from numpy import float16, float32, float64, int8, int16, int32, int64, uint8

from minigrad import names, ops  # noqa: F401 (`names` gives Tensor its operators and methods)
from minigrad.arrays.devices import get_default_device, set_default_device
from minigrad.arrays.library import array_module
from minigrad.arrays.random import manual_seed
from minigrad.autograd.fused import fused, joint
from minigrad.autograd.modes import AnomalyError, detect_anomaly, enable_grad, no_grad
from minigrad.autograd.node import TapeError
from minigrad.autograd.record import differentiable
from minigrad.autograd.sparse import RowSparse
from minigrad.autograd.tape import grad
from minigrad.creation import (
    arange,
    eye,
    from_dlpack,
    from_numpy,
    full,
    linspace,
    ones,
    ones_like,
    rand,
    randint,
    randn,
    randperm,
    tensor,
    zeros,
    zeros_like,
)
from minigrad.derivatives import hessian, jacobian
from minigrad.errors.words import FUNCTIONS, unknown
from minigrad.ops import *  # noqa: F403 (the public face is flat; ops.__all__ lists the names)
from minigrad.ops.discrete import *  # noqa: F403
from minigrad.tensor import Tensor

if TYPE_CHECKING:
    from minigrad import data, distributed, files, nn, optim, testing, training, viz
    from minigrad.arrays import cpu, cuda
    from minigrad.replay import capture
    from minigrad.training import load_checkpoint as load
    from minigrad.training import save_checkpoint as save
    from minigrad.viz.explaining.explanation import explain

__version__ = "0.1.0"

__all__ = [
    *ops.__all__,
    *ops.discrete.__all__,
    "AnomalyError",
    "RowSparse",
    "TapeError",
    "Tensor",
    "arange",
    "array_module",
    "capture",
    "cpu",
    "cuda",
    "data",
    "detect_anomaly",
    "differentiable",
    "distributed",
    "enable_grad",
    "explain",
    "eye",
    "files",
    "float16",
    "float32",
    "float64",
    "from_dlpack",
    "from_numpy",
    "full",
    "fused",
    "get_default_device",
    "grad",
    "hessian",
    "int16",
    "int32",
    "int64",
    "int8",
    "jacobian",
    "joint",
    "linspace",
    "load",
    "manual_seed",
    "nn",
    "no_grad",
    "ones",
    "ones_like",
    "optim",
    "rand",
    "randint",
    "randn",
    "randperm",
    "save",
    "set_default_device",
    "tensor",
    "testing",
    "training",
    "uint8",
    "viz",
    "zeros",
    "zeros_like",
]


_ROOMS = ("data", "distributed", "files", "nn", "optim", "testing", "training", "viz")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


if not TYPE_CHECKING:  # else type checkers would accept every misspelt name

    def __getattr__(name: str) -> object:
        """``mg.nn`` and the other rooms above the engine, imported when they are first used."""
        if name in ("cpu", "cuda"):
            return import_module(f"minigrad.arrays.{name}")
        if name in _ROOMS:
            return import_module(f"minigrad.{name}")
        if name == "capture":
            return import_module("minigrad.replay").capture
        if name == "explain":
            return import_module("minigrad.viz.explaining.explanation").explain
        if name in ("load", "save"):
            return getattr(import_module("minigrad.training"), f"{name}_checkpoint")
        raise unknown("module 'minigrad'", name, FUNCTIONS, __all__)
