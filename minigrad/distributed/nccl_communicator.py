"""Arrays on GPUs go from GPU to GPU, by NVIDIA's NCCL (through CuPy): `NcclCommunicator`.

Each rank has a GPU of its own. A call puts the exchange into the GPU's queue, behind the work that
makes the array, and comes back; the host waits for nothing. So an error of another rank shows
elsewhere: when a number is fetched, or at the next exchange of the host's values.
"""

from __future__ import annotations

import platform
import warnings
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NoReturn

import numpy as np

from minigrad.arrays.devices import device_of, require_cupy
from minigrad.arrays.library import FLOAT32, Array, on_gpu
from minigrad.distributed.communicator import Communicator

FLOAT16 = np.dtype(np.float16)


class NcclCommunicator(Communicator):
    """Ranks whose arrays on GPUs go by NCCL; all else goes by the communicator that it is given.

    NCCL is started at the first array on a GPU, which all ranks reach together. It does not look
    whether all ranks call the same, with the same lengths and dtypes: if not, it hangs, or what
    comes is rubbish.

    Parameters
    ----------
    host
        between the same ranks, for the host's values and arrays.
    """

    def __init__(self, host: Communicator) -> None:
        self._host = host
        self._started: Any = None
        self.rank, self.size = host.rank, host.size
        self.local_rank, self.local_size = host.local_rank, host.local_size

    @property
    def timeout(self) -> float | None:
        """That of the communicator for the host's values; it can be set."""
        return self._host.timeout

    @timeout.setter
    def timeout(self, seconds: float | None) -> None:
        self._host.timeout = seconds

    def all_reduce(self, array: Array) -> None:
        """See `Communicator.all_reduce`.

        Raises
        ------
        TypeError
            if NCCL has no such dtype: bools, integers of 16 bits.
        ValueError
            if an array on a GPU is not contiguous.
        RuntimeError
            if NCCL cannot be started, or has failed since: see `swap`.
        """
        if not on_gpu(array):
            return self._host.all_reduce(array)
        numbers = array.astype(FLOAT32) if array.dtype == FLOAT16 else array
        nccl, communicator, stream = self._nccl("all_reduce", [numbers])
        if numbers.size:
            at, kind = numbers.data.ptr, _kind(nccl, numbers)
            communicator.allReduce(at, at, numbers.size, kind, nccl.NCCL_SUM, stream)
        if numbers is not array:
            array[...] = numbers
        return None

    def swap(self, send: Sequence[Array], receive: Sequence[Array]) -> None:
        """See `Communicator.swap`.

        Raises
        ------
        TypeError, ValueError
            as `all_reduce`; or if only some of the arrays are on a GPU.
        RuntimeError
            if NCCL is not installed, or two ranks have the same GPU; NCCL's own NcclError if it has
            failed, on this rank or on another.
        """
        if not any(on_gpu(array) for array in [*send, *receive]):
            return self._host.swap(send, receive)
        nccl, communicator, stream = self._nccl("swap", [*send, *receive])
        kinds = [(_kind(nccl, a), _kind(nccl, b)) for a, b in zip(send, receive, strict=True)]
        nccl.groupStart()  # else two ranks that send to each other would wait for each other
        for peer, (out, into) in enumerate(kinds):
            if send[peer].size:
                communicator.send(send[peer].data.ptr, send[peer].size, out, peer, stream)
            if receive[peer].size:
                communicator.recv(receive[peer].data.ptr, receive[peer].size, into, peer, stream)
        nccl.groupEnd()
        return None

    def share(self, array: Array, bounds: Sequence[int]) -> None:
        """See `Communicator.share`; raises as `swap`."""
        if not on_gpu(array):
            return self._host.share(array, bounds)
        nccl, communicator, stream = self._nccl("share", [array])
        kind = _kind(nccl, array)
        nccl.groupStart()
        for root, (start, stop) in enumerate(pairwise(bounds)):
            if start < stop:
                at = array.data.ptr + start * array.itemsize
                communicator.broadcast(at, at, stop - start, kind, root, stream)
        nccl.groupEnd()
        return None

    def broadcast(self, value: Any) -> Any:
        """See `Communicator.broadcast`; arrays on a GPU in `value` are copied through the host."""
        return self._host.broadcast(value)

    def gather(self, value: Any) -> list[Any]:
        """See `Communicator.gather`; arrays on a GPU in `value` are copied through the host."""
        return self._host.gather(value)

    def barrier(self) -> None:
        """Wait until the program of every rank is here; its GPU may still be at work."""
        self._host.barrier()

    def abort(self, status: int, tell: Callable[[], object] | None = None) -> NoReturn:
        """See `Communicator.abort`."""
        self._host.abort(status, tell)

    def _nccl(self, op: str, arrays: list[Array]) -> tuple[Any, Any, int]:
        """CuPy's module, its communicator, and the current stream, for an exchange of `arrays`."""
        for array in arrays:
            if not on_gpu(array):
                places = sorted({device_of(x) for x in arrays})
                raise ValueError(f"{op}: expected all arrays on one device, got {places}")
            if not array.flags.c_contiguous:
                raise ValueError(
                    f"{op}: expected a contiguous array, got {array.dtype} {array.shape} with "
                    f"strides {array.strides}"
                )
        nccl = _load()
        if self._started is None:
            self._started = self._start(nccl)
        self._started.check_async_error()
        return nccl, self._started, require_cupy().cuda.get_current_stream().ptr

    def _start(self, nccl: Any) -> Any:
        runtime = require_cupy().cuda.runtime
        here = platform.node(), runtime.deviceGetPCIBusId(runtime.getDevice())
        places: dict[tuple[str, str], int] = {}
        for rank, place in enumerate(self._host.gather(here)):
            if (other := places.setdefault(place, rank)) != rank:
                raise RuntimeError(
                    f"NCCL: ranks {other} and {rank} have the same GPU, {place[1]} of {place[0]}, "
                    "and each needs its own: start as many ranks on a machine as it has GPUs, "
                    "with all of them in CUDA_VISIBLE_DEVICES, or without that variable"
                )
        identity = self._host.broadcast(nccl.get_unique_id() if self.rank == 0 else None)
        return nccl.NcclCommunicator(
            self.size, identity, self.rank
        )  # CuPy ends it with the process


def _load() -> Any:
    """The module ``cupy.cuda.nccl``, or a RuntimeError that says how to get its library."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # CuPy's, which says what is said here
        from cupy.cuda import nccl
    if not nccl.available:
        raise RuntimeError(
            "arrays on the GPUs of several processes go by NCCL, whose library libnccl.so.2 cannot "
            'be loaded here: python -m pip install "minigrad-rnn[nccl]"'
        )
    return nccl


def _kind(nccl: Any, array: Array) -> int:
    """NCCL's number for the dtype of an array."""
    kind: int | None = getattr(nccl, f"NCCL_{array.dtype.name.upper()}", None)
    if kind is None:
        raise TypeError(
            f"NCCL: expected floats, or integers of 8, 32 or 64 bits, got {array.dtype}"
        )
    return kind
