"""The double's four GPUs: which is the current one, their memory, streams and events."""

import functools
import itertools
import os
import threading
import time
import weakref

import numpy as np

from .counts import count
from .names import Module, missing

COUNT = 4
TOTAL = 80 * 2**30  # bytes on each
BLOCK = 512  # what allocations are rounded up to


class CUDARuntimeError(RuntimeError):
    """What the CUDA runtime reports."""


CUDARuntimeError.__module__ = "cupy_backends.cuda.api.runtime"


class _Current(threading.local):
    id = 0


_current = _Current()


def current():
    """The number of the current device, a matter of each thread's own."""
    return _current.id


@functools.cache
def seen():
    """The GPUs that CUDA_VISIBLE_DEVICES names, up to a wrong one; CUDA asks once, as this does."""
    names = os.environ.get("CUDA_VISIBLE_DEVICES")
    if names is None:
        return tuple(range(COUNT))
    known = [str(i) for i in range(COUNT)]
    return tuple(int(n) for n in itertools.takewhile(known.__contains__, names.split(",")))


def bus(index):
    """Where the GPU is in the machine, whatever its number is in this process."""
    return f"0000:{seen()[index]:02X}:00.0"


class Device:
    """A GPU; without a number the current one. As a context manager, the current one within it."""

    def __init__(self, device=None):
        self.id = current() if device is None else int(device)
        self._before = []

    def use(self):
        """Make it the current one."""
        if not 0 <= self.id < len(seen()):
            raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        _current.id = self.id

    def synchronize(self):
        """Wait until it has done all that it was told."""
        count("sync", "Device.synchronize")

    @property
    def mem_info(self):
        """Bytes that are free, and all."""
        return TOTAL - POOLS[self.id].total, TOTAL

    @property
    def compute_capability(self):
        """Such as that of an H100."""
        return "90"

    def __enter__(self):
        self._before.append(current())
        self.use()
        return self

    def __exit__(self, *exception):
        _current.id = self._before.pop()

    def __int__(self):
        return self.id

    def __eq__(self, other):
        return isinstance(other, Device) and self.id == other.id

    __hash__ = None

    def __repr__(self):
        return f"<CUDA Device {self.id}>"

    def __getattr__(self, name):
        raise missing("Device", name)


class _Pool:
    """What is in use of a device's memory, and what is kept to be used again."""

    def __init__(self):
        self.used = self.total = 0

    def take(self, size):
        self.used += size
        self.total = max(self.total, self.used)

    def give_back(self, size):
        self.used -= size


POOLS = [_Pool() for _ in range(COUNT)]


alive = weakref.WeakValueDictionary()
"""The memory in use, by its address."""


class Memory:
    """A piece of memory on the current device: a NumPy array that nobody else sees."""

    def __init__(self, hidden):
        self.hidden, self.device = hidden, current()
        self.start = hidden.__array_interface__["data"][0] if hidden.nbytes else 0
        self.end = self.start + hidden.nbytes
        self._size, self._pool = -(-hidden.nbytes // BLOCK) * BLOCK, POOLS[self.device]
        self._pool.take(self._size)
        if self.start:
            alive[self.start] = self

    def __del__(self):
        self._pool.give_back(self._size)

    @staticmethod
    def at(pointer):
        """The piece that `pointer` points into."""
        found = alive.get(pointer)
        if found is not None:
            return found
        for memory in list(alive.values()):
            if memory.start <= pointer < memory.end:
                return memory
        raise ValueError(f"no array of the double has memory at {pointer:#x}")

    def numbers(self, pointer, size, dtype):
        """`size` numbers from `pointer` on, as NumPy sees them."""
        if self.hidden.dtype == np.uint8:  # it is for arrays of any dtype
            return self.array(pointer, (size,), dtype)
        if self.hidden.dtype != dtype:
            raise TypeError(f"a pointer to {self.hidden.dtype} where {dtype} is expected")
        if pointer + size * dtype.itemsize > self.end:
            raise ValueError(f"{size} numbers of {dtype} go beyond the end of an array")
        by_stride = sorted(range(self.hidden.ndim), key=lambda axis: -self.hidden.strides[axis])
        flat = self.hidden.transpose(by_stride).reshape(-1)  # as it lies in memory
        assert np.shares_memory(flat[:1], self.hidden)
        first = (pointer - self.start) // dtype.itemsize
        return flat[first : first + size]

    def array(self, pointer, shape, dtype, strides=None):
        """An array in it, which begins at `pointer`; it must be of bytes."""
        if self.hidden.dtype != np.uint8 or not self.hidden.flags.c_contiguous:
            raise TypeError(f"memory for arrays is of bytes, not {self.hidden.dtype}")
        if not self.hidden.size:
            return np.empty(shape, dtype)
        return np.ndarray(shape, dtype, self.hidden, pointer - self.start, strides)


class MemoryPointer:
    """What ``x.data`` gives."""

    def __init__(self, memory, ptr):
        self.mem, self.ptr = memory, ptr

    def __add__(self, offset):
        """So many bytes further on."""
        return MemoryPointer(self.mem, self.ptr + offset)

    @property
    def device_id(self):
        """The number of the device."""
        return self.mem.device

    @property
    def device(self):
        """The device."""
        return Device(self.mem.device)


class MemoryPool:
    """What ``cupy.get_default_memory_pool()`` gives; it tells of the current device."""

    def used_bytes(self):
        """Of the arrays that are alive."""
        return POOLS[current()].used

    def total_bytes(self):
        """Those, and what is kept to be used again."""
        return POOLS[current()].total

    def free_bytes(self):
        """What is kept to be used again."""
        return POOLS[current()].total - POOLS[current()].used

    def free_all_blocks(self, stream=None):
        """Give back to the system what is kept to be used again."""
        POOLS[current()].total = POOLS[current()].used

    def __getattr__(self, name):
        raise missing("MemoryPool", name)


class Stream:
    """A stream; work on the double is done at once, whatever the stream."""

    def __init__(self, null=False, non_blocking=False, ptds=False, priority=None):
        self.ptr = 0

    def synchronize(self):
        """Wait until it has done all that it was told."""
        count("sync", "Stream.synchronize")

    def use(self):
        """Make it the current one."""
        return self

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def __getattr__(self, name):
        raise missing("Stream", name)


Stream.null = Stream()


def get_current_stream():
    """The stream that work goes to."""
    return Stream.null


class Event:
    """A point in time on a stream."""

    def __init__(self, block=False, disable_timing=False, interprocess=False):
        self.done, self.at = False, None

    def record(self, stream=None):
        """Now."""
        self.done, self.at = True, time.perf_counter()

    def synchronize(self):
        """Wait until it is past."""
        count("sync", "Event.synchronize")


def get_elapsed_time(start, end):
    """Milliseconds from one event to the other."""
    return (end.at - start.at) * 1000


def properties(index):
    """What cudaGetDeviceProperties tells of a device (a few of its fields)."""
    if not 0 <= index < len(seen()):
        raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
    return {
        "name": f"strict double {index}".encode(),
        "totalGlobalMem": TOTAL,
        "major": 9,
        "minor": 0,
        "multiProcessorCount": 132,
        "warpSize": 32,
        "maxThreadsPerBlock": 1024,
        "sharedMemPerBlock": 48 * 1024,
    }


runtime = Module(
    "cupy.cuda.runtime",
    "runtime",
    CUDARuntimeError=CUDARuntimeError,
    getDevice=current,
    getDeviceCount=lambda: len(seen()),
    getDeviceProperties=properties,
    deviceGetPCIBusId=bus,
    setDevice=lambda index: Device(index).use(),
    memGetInfo=lambda: Device().mem_info,
    deviceSynchronize=lambda: count("sync", "deviceSynchronize"),
    streamSynchronize=lambda stream: count("sync", "streamSynchronize"),
    driverGetVersion=lambda: 13000,
    runtimeGetVersion=lambda: 13000,
    is_hip=False,
)

cuda = Module(
    "cupy.cuda",
    "cuda",
    Device=Device,
    Event=Event,
    MemoryPointer=MemoryPointer,
    MemoryPool=MemoryPool,
    Stream=Stream,
    get_current_stream=get_current_stream,
    get_device_id=current,
    get_elapsed_time=get_elapsed_time,
    is_available=lambda: bool(seen()),
    runtime=runtime,
)


def poisoned(shape, dtype, order="C"):
    """New memory with nothing sensible in it: NaN, or the largest number."""
    hidden = np.empty(shape, dtype, order)
    kind = hidden.dtype.kind
    hidden.fill(np.nan if kind in "fc" else True if kind == "b" else np.iinfo(dtype).max)
    return hidden
