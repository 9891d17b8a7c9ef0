"""A device that does nothing: stock CuPy on a machine without a GPU and without a driver.

`install`, before the first ``import cupy``, puts Python functions in the place of the CUDA runtime
and driver, of cuBLAS and of Thrust. All above them is the real CuPy: dtypes, broadcasting, checks
of arguments, the source of the kernels that it generates, and NVRTC, which compiles them. Device
memory is host memory, so copies are copies; launches are counted (`null_counts`), but nothing
runs: values mean nothing. `host_execution` runs them as well.

This leans on CuPy's private interfaces, so on one version of it.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import itertools
import os
import pickle
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import entry_points
import null_counts
import null_libraries

CUPY = "14.2."
"""Where its version must begin."""

COMPUTE_CAPABILITY = (9, 0)
"""Of the GPU that this pretends to be: an H100."""

TOTAL_MEMORY = 80 << 30

ALIGNMENT = 512
"""Bytes; that of cudaMalloc."""

moves_memory = True
"""Whether copies copy; off where only the host's time is of interest."""

fresh = 0
"""Each byte of new device memory. Where kernels do not run sizes must come out as 0, not as -1."""


@dataclass(frozen=True)
class Source:
    """What CuPy had compiled: CUDA C++, NVRTC's options, and names of template instances."""

    code: str
    options: tuple[str, ...]
    lowered_names: dict[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Launch:
    """What cuLaunchKernel is given; `arguments` is an array of pointers to the arguments."""

    kernel: str
    source: Source
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    shared_bytes: int
    arguments: int


execute: list[Callable[[Launch], None]] = []
"""Called for each launch: empty, or what `host_execution` puts there."""

_memory: dict[int, tuple[Any, int]] = {}  # of the device, by address: itself, and its size
_pinned: dict[int, tuple[Any, int]] = {}  # of the host, likewise
modules: dict[int, Source] = {}  # what was loaded, by handle
_functions: dict[int, tuple[str, int, bool]] = {}  # name, module, has arrays of float64
_handles = itertools.count(0x1000)  # small ones are special: 1 and 2 are the default streams


def _new_handle(*_: Any) -> int:
    return next(_handles)


# ---------------------------------------------------------------------------- memory


def _allocate(size: int, *_: Any) -> int:
    return _block(size, _memory)


def _allocate_pinned(size: int, *_: Any) -> int:
    return _block(size, _pinned)


def _block(size: int, kept: dict[int, Any]) -> int:
    block = ctypes.create_string_buffer(size + ALIGNMENT)
    address = ctypes.addressof(block)
    address += -address % ALIGNMENT
    ctypes.memset(address, fresh, size)
    kept[address] = block, size
    return address


def _free(address: int, *_: Any) -> None:
    _memory.pop(address, None)


def _free_pinned(address: int, *_: Any) -> None:
    _pinned.pop(address, None)


def _is_on_device(address: int) -> bool:
    return any(start <= address < start + max(size, 1) for start, (_, size) in _memory.items())


_DIRECTIONS = {
    (False, True): "host_to_device",
    (True, False): "device_to_host",
    (True, True): "device_to_device",
}


def _copy(target: int, source: int, size: int, *_: Any) -> None:
    """By the addresses, since CuPy says "default" for the direction of some copies."""
    null_counts.record(_DIRECTIONS[_is_on_device(source), _is_on_device(target)])
    if moves_memory:
        ctypes.memmove(target, source, size)


def _copy_and_wait(target: int, source: int, size: int, *_: Any) -> None:
    _copy(target, source, size)
    _wait()


def _fill(address: int, value: int, size: int, *_: Any) -> None:
    if moves_memory:
        ctypes.memset(address, value, size)


def _wait(*_: Any) -> None:
    null_counts.record("synchronisations")


# ---------------------------------------------------------------------------- the device

_ATTRIBUTES = {  # cudaDeviceAttr
    1: 1024,  # MaxThreadsPerBlock
    2: 1024,  # MaxBlockDimX
    3: 1024,  # MaxBlockDimY
    4: 64,  # MaxBlockDimZ
    5: 2**31 - 1,  # MaxGridDimX
    6: 65535,  # MaxGridDimY
    7: 65535,  # MaxGridDimZ
    8: 48 << 10,  # MaxSharedMemoryPerBlock
    10: 32,  # WarpSize
    12: 65536,  # MaxRegistersPerBlock
    16: 132,  # MultiProcessorCount
    39: 2048,  # MaxThreadsPerMultiProcessor
    41: 1,  # UnifiedAddressing
    75: COMPUTE_CAPABILITY[0],
    76: COMPUTE_CAPABILITY[1],
    81: 228 << 10,  # MaxSharedMemoryPerMultiprocessor
    95: 1,  # CooperativeLaunch
    97: 227 << 10,  # MaxSharedMemoryPerBlockOptin
    115: 0,  # MemoryPoolsSupported
}


def _properties(device: int) -> dict[str, Any]:
    return {
        "name": b"null device",
        "totalGlobalMem": TOTAL_MEMORY,
        "major": COMPUTE_CAPABILITY[0],
        "minor": COMPUTE_CAPABILITY[1],
        "multiProcessorCount": _ATTRIBUTES[16],
        "warpSize": 32,
        "maxThreadsPerBlock": _ATTRIBUTES[1],
        "sharedMemPerBlock": _ATTRIBUTES[8],
    }


def _memory_info() -> tuple[int, int]:
    """Bytes free, and in all."""
    return TOTAL_MEMORY - sum(size for _, size in _memory.values()), TOTAL_MEMORY


def _nothing(*_: Any) -> None:
    pass


# ---------------------------------------------------------------------------- kernels


def _load_module(image: bytes) -> int:
    """CuPy hands over what it was given for a compiled kernel: here a `Source`, see `_remember`."""
    handle = _new_handle()
    modules[handle] = pickle.loads(bytes(image))
    return handle


def _function(module: int, name: str) -> int:
    handle = _new_handle()
    _functions[handle] = (name, module, takes_float64(modules[module].code, name))
    return handle


def takes_float64(code: str, kernel: str) -> bool:
    """Whether an array of float64 is among the parameters of `kernel`, as its source has them.

    A single number that is a ``double`` is none: a Python float, say, which CuPy hands over as one.
    """
    signature = re.search(rf"\b{re.escape(kernel)}\s*\((.*?)\)\s*\{{", code, re.DOTALL)
    if kernel.startswith("minigrad_"):
        return kernel.endswith("_f8")
    parameters = signature[1] if signature else code
    return bool(re.search(r"CArray<double\b|\bdouble\s*\*", parameters))


def _launch(
    function: int, gx: int, gy: int, gz: int, bx: int, by: int, bz: int,
    shared_bytes: int, stream: int, arguments: int, extra: int = 0,
) -> None:  # fmt: skip
    kernel, module, has_float64 = _functions[function]
    null_counts.record_launch(kernel, gx * gy * gz, bx * by * bz, has_float64)
    if execute:
        source = modules[module]
        launch = Launch(kernel, source, (gx, gy, gz), (bx, by, bz), shared_bytes, arguments)
        for run in execute:
            run(launch)


# ---------------------------------------------------------------------------- the two tables

RUNTIME: dict[str, Callable[..., Any]] = {
    # the device, and the calling thread's choice of it
    "getDeviceCount": lambda: 1,
    "getDevice": lambda: 0,
    "setDevice": _nothing,
    "_ensure_context": _nothing,
    "getDeviceProperties": _properties,
    "deviceGetAttribute": lambda attribute, device: _ATTRIBUTES.get(attribute, 0),
    "deviceGetPCIBusId": lambda device: "0000:00:00.0",
    "deviceCanAccessPeer": lambda device, peer: 0,
    "driverGetVersion": lambda: 13000,
    "memGetInfo": _memory_info,
    # memory
    "malloc": _allocate,
    "mallocAsync": _allocate,
    "hostAlloc": _allocate_pinned,
    "free": _free,
    "freeAsync": _free,
    "freeHost": _free_pinned,
    "memcpy": _copy_and_wait,
    "memcpyAsync": _copy,
    "pointerGetMemoryType": lambda address: 0,  # not registered: ordinary memory of the host
    "memset": _fill,
    "memsetAsync": _fill,
    # waiting: everything has been done already
    "deviceSynchronize": _wait,
    "streamSynchronize": _wait,
    "eventSynchronize": _wait,
    # streams and events
    "streamCreate": _new_handle,
    "streamCreateWithFlags": _new_handle,
    "streamCreateWithPriority": _new_handle,
    "streamDestroy": _nothing,
    "streamIsCapturing": lambda stream: 0,
    "streamWaitEvent": _nothing,
    "eventCreate": _new_handle,
    "eventCreateWithFlags": _new_handle,
    "eventDestroy": _nothing,
    "eventRecord": _nothing,
    "eventQuery": _nothing,  # it is done
    "streamQuery": _nothing,
    "eventElapsedTime": lambda start, end: 1.0,
}

RUNTIME_KEPT = frozenset({"check_status", "runtimeGetVersion", "_getCUDAMajorVersion"})
"""What needs no driver."""

DRIVER: dict[str, Callable[..., Any]] = {
    "ctxGetCurrent": lambda: 1,
    "ctxSetCurrent": _nothing,
    "ctxGetDevice": lambda: 0,
    "streamGetCtx": lambda stream: 1,
    "moduleLoadData": _load_module,
    "moduleUnload": _nothing,
    "moduleGetFunction": _function,
    "launchKernel": _launch,
    "funcGetAttribute": lambda attribute, function: {0: 1024}.get(attribute, 0),
    "funcSetAttribute": _nothing,
    "occupancyMaxActiveBlocksPerMultiprocessor": lambda function, threads, shared: 8,
    "occupancyMaxPotentialBlockSize": lambda function, shared, limit: (132, 1024),
}

DRIVER_KEPT = frozenset({"get_build_version"})


def install(before_import: Callable[[], None] = _nothing) -> Any:
    """Make this process's CuPy run on the null device; returns the module ``cupy``.

    `before_import` is called when all is in place but CuPy itself.

    Raises
    ------
    RuntimeError
        if CuPy is not there, of another version, or imported already.
    """
    if "cupy" in sys.modules:
        raise RuntimeError("the null device must be installed before the first `import cupy`")
    _check_version()
    os.environ["CUPY_CACHE_IN_MEMORY"] = "1"  # nothing of ours into the cache of a real GPU
    os.environ["CUPY_ACCELERATORS"] = ""  # CUB and cuTENSOR bring a CUDA runtime of their own
    runtime, driver = "cupy_backends.cuda.api.runtime", "cupy_backends.cuda.api.driver"
    entry_points.replace(runtime, RUNTIME, RUNTIME_KEPT, null_counts.record_call)
    entry_points.replace(driver, DRIVER, DRIVER_KEPT, null_counts.record_call)
    null_libraries.install_cublas()
    before_import()
    import cupy

    null_libraries.install_thrust()
    _remember_sources()
    return cupy


def _check_version() -> None:
    try:
        version = importlib.metadata.version("cupy-cuda13x")
    except importlib.metadata.PackageNotFoundError:
        raise RuntimeError(
            "the null device needs CuPy: pip install -e . --group gpu-dry (see `make test-gpu-dry`)"
        ) from None
    if not version.startswith(CUPY):
        raise RuntimeError(
            f"the null device is made for CuPy {CUPY}*, this is {version}: it leans on private "
            "interfaces, so look at each of them before this check is changed"
        )


compile_hooks: list[Callable[[Source, Callable[[], Any]], Any]] = []
"""At most one: is given a source and NVRTC's work on it, to do it or not to."""


def _remember_sources() -> None:
    """Have CuPy take the source of a kernel, after NVRTC has compiled it, for the compiled one."""
    from cupy.cuda import compiler

    compile_ = compiler._NVRTCProgram.compile

    def remembering(self: Any, options: Any = (), log_stream: Any = None) -> tuple[bytes, Any]:
        if self.method != "cubin":  # CuPy asks NVRTC for its version by an empty kernel
            return compile_(self, options, log_stream)

        def with_nvrtc() -> dict[str, str]:
            _, names = compile_(self, options, log_stream)
            return {k: v.decode() if isinstance(v, bytes) else v for k, v in (names or {}).items()}

        source = Source(self.src, tuple(options))
        names = compile_hooks[0](source, with_nvrtc) if compile_hooks else with_nvrtc()
        image = pickle.dumps(Source(self.src, tuple(options), names))
        return image, {k: v.encode() for k, v in names.items()} or None

    compiler._NVRTCProgram.compile = remembering
    compiler._NVRTCProgram.compile_for_real = compile_
