"""CuPy on the processor: each kernel that is launched is compiled with g++, and runs.

`install` installs the null device, and has it run what it is given: the very CUDA source that CuPy
generates, or that minigrad hands over, between ``include/host_cuda.h``, which is enough of CUDA in
plain C++, and a function that calls it for each thread of each block. Matrix products and sorting
are done in NumPy. So values are right, but for rounding.

What was compiled is kept from run to run in minigrad's cache directory (MINIGRAD_CACHE, or the
user's own), named by a hash of all that goes into it.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import entry_points
import null_device
import null_libraries
from null_device import Launch, Source

from minigrad.files import cache_dir

INCLUDE = Path(__file__).parent / "include"

# Products and sums must not be fused, or float64 would not agree with NumPy to the last digits.
FLAGS = ("-std=c++17", "-O1", "-ffp-contract=off", "-fpermissive", "-w", "-shared", "-fPIC")
FLAGS += ("-U_FORTIFY_SOURCE",)  # it does not like jumps from one stack to another

ORDERS = ("rising", "falling", "mixed")
"""In which the threads of a block can run between two barriers."""

_order = 0


class Geometry(ctypes.Structure):
    """As in ``include/host_launch.h``."""

    _fields_ = (
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("shared_bytes", ctypes.c_uint),
        ("order", ctypes.c_uint),
        ("has_barriers", ctypes.c_uint),
        ("strict", ctypes.c_uint),
    )


@contextlib.contextmanager
def threads_in_order(order: str) -> Iterator[None]:
    """Run kernels with their threads in this order: a missing barrier shows in one of them."""
    global _order
    before, _order = _order, ORDERS.index(order)
    try:
        yield
    finally:
        _order = before


def install() -> Any:
    """Make this process's CuPy run on the processor; returns the module ``cupy``.

    Raises
    ------
    RuntimeError
        if there is no g++; or as `null_device.install`.
    """
    if shutil.which("g++") is None:
        raise RuntimeError("running CUDA kernels on the processor needs g++, which is not here")
    null_device.fresh = 0xFF  # NaN: what nobody has written must not be read
    null_device.compile_hooks.append(_compiled_by_nvrtc_once)
    null_device.execute.append(_run)
    null_libraries.execute = True
    cupy = null_device.install()
    _spoil_reused_memory(cupy)
    return cupy


def _spoil_reused_memory(cupy: Any) -> None:
    """Fill memory with 0xFF also where CuPy's pool hands out some that was used before."""

    class Spoil(cupy.cuda.MemoryHook):
        name = "Spoil"

        def malloc_postprocess(self, device_id, size, mem_size, mem_ptr, pmem_id):
            ctypes.memset(mem_ptr, 0xFF, mem_size)

    Spoil().__enter__()  # until the process ends


# ---------------------------------------------------------------------------- compiling


@cache
def cache_directory() -> Path:
    """Where compiled kernels are kept; for this run alone if the user's cache can't be written."""
    path = cache_dir() / "kernels-for-the-host"
    try:
        path.mkdir(parents=True, exist_ok=True)
        (path / "written").touch()
    except OSError:
        return Path(tempfile.mkdtemp())
    return path


@cache
def _ground() -> str:
    """What every compiled kernel depends on: the headers, the flags, the compiler, CuPy."""
    import cupy

    headers = [path.read_text() for path in sorted(INCLUDE.rglob("*.h"))]
    version = subprocess.run(["g++", "--version"], capture_output=True, text=True, check=True)
    return "\0".join([*headers, *FLAGS, version.stdout, cupy.__version__])


def _key(*parts: str) -> str:
    return hashlib.sha256("\0".join([_ground(), *parts]).encode()).hexdigest()[:40]


def _write(path: Path, text: str) -> None:
    temporary = path.with_suffix(f".{os.getpid()}{path.suffix}")
    temporary.write_text(text)
    os.replace(temporary, path)


def _compiled_by_nvrtc_once(source: Source, with_nvrtc: Callable[[], Any]) -> Any:
    """NVRTC's names of template instances; it has taken the source, now or in an earlier run."""
    options = [o for o in source.options if not o.startswith("-I")]
    path = cache_directory() / f"{_key(source.code, *options)}.json"
    if not path.exists():
        _write(path, json.dumps(with_nvrtc()))
    return json.loads(path.read_text())


def has_barriers(code: str) -> bool:
    return bool(re.search(r"__sync|__shfl|__ballot|__any_sync|__all_sync", code))


def _host_code(source: Source, kernel: str) -> str:
    code = re.sub(
        r"extern\s+__shared__\s+(?:__align__\(\w+\)\s+)?([\w:<> ]+?)\s+(\w+)\[\]\s*;",
        r"\1* \2 = (\1*)dynamic_shared;",
        source.code,
    )
    if "complex<" not in code:  # its headers need CCCL, and take g++ long
        code = code.replace("#include <cupy/complex.cuh>\n", "")
    return (
        f'#include "host_cuda.h"\n{code}\n'
        'extern "C" const char* host_launch(const Geometry* geometry, void** arguments) '
        f"{{ return run_kernel({kernel}, geometry, arguments); }}\n"
    )


@cache
def _host_function(source: Source, kernel: str) -> Any:
    code = _host_code(source, kernel)
    library = cache_directory() / f"{_key(code)}.so"
    if not library.exists():
        _compile(code, source.options, library)
    function = ctypes.CDLL(str(library)).host_launch
    function.restype = ctypes.c_char_p
    return function


def _compile(code: str, options: tuple[str, ...], library: Path) -> None:
    cupys = [o for o in options if o.startswith("-I") and o.endswith("_core/include")]
    written = library.with_suffix(".cpp")
    _write(written, code)
    temporary = library.with_suffix(f".{os.getpid()}.so")
    command = ["g++", *FLAGS, f"-I{INCLUDE}", *cupys, str(written), "-o", str(temporary)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"g++ does not take {written}:\n{done.stderr[:3000]}")
    os.replace(temporary, library)


# ---------------------------------------------------------------------------- running


def _run(launch: Launch) -> None:
    function = _host_function(launch.source, launch.kernel)
    geometry = Geometry(
        launch.grid,
        launch.block,
        launch.shared_bytes,
        _order,
        has_barriers(launch.source.code),
        launch.kernel.startswith("minigrad_"),
    )
    error = function(ctypes.byref(geometry), ctypes.c_void_p(launch.arguments))
    if error:
        entry_points.failures.append(f"{launch.kernel}: {error.decode()}")
