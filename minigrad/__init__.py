"""minigrad: automatic differentiation, recurrent networks and language models, made to be read.

::

    import minigrad as mg

    x = mg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = (x * x).sum()
    y.backward()
    x.grad                      # Tensor([2., 4., 6.], dtype=float32)

Ops are here by their NumPy names (``mg.tanh``, ``mg.matmul``, ...: `minigrad.ops` lists them),
layers are in ``mg.nn``, optimisers in ``mg.optim``, text and batches in ``mg.data``, gradient
checks in ``mg.testing``, backpropagation through time in ``mg.training``.
"""

import signal
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if sys.argv[:1] == ["-m"] and "minigrad" in sys.orig_argv:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # `python -m minigrad` begins; Ctrl-C ends it

from minigrad import ops
from minigrad.anomaly import AnomalyError
from minigrad.backend import array_module
from minigrad.creation import from_dlpack, full, ones, ones_like, tensor, zeros, zeros_like
from minigrad.devices import get_default_device, set_default_device
from minigrad.fusing import fused, joint
from minigrad.modes import detect_anomaly, enable_grad, no_grad
from minigrad.ops import *  # noqa: F403 (the public face is flat; ops.__all__ lists the names)
from minigrad.random import manual_seed
from minigrad.recording import differentiable
from minigrad.sparse import RowSparse
from minigrad.tape import TapeError, grad
from minigrad.tensor import Tensor

if TYPE_CHECKING:
    from minigrad import cuda, data, nn, optim, testing, training

__version__ = "0.1.0"

__all__ = [
    *ops.__all__,
    "AnomalyError",
    "RowSparse",
    "TapeError",
    "Tensor",
    "array_module",
    "cuda",
    "data",
    "detect_anomaly",
    "differentiable",
    "enable_grad",
    "from_dlpack",
    "full",
    "fused",
    "get_default_device",
    "grad",
    "joint",
    "manual_seed",
    "nn",
    "no_grad",
    "ones",
    "ones_like",
    "optim",
    "set_default_device",
    "tensor",
    "testing",
    "training",
    "zeros",
    "zeros_like",
]


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


def __getattr__(name: str) -> Any:
    """``mg.nn`` and the other floors above the engine, imported when they are first asked for."""
    if name in ("cuda", "data", "nn", "optim", "testing", "training"):
        return import_module(f"minigrad.{name}")
    raise AttributeError(f"module 'minigrad' has no attribute {name!r}")
