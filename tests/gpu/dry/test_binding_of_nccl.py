"""NCCL's C functions are given the right arguments, through CuPy itself."""

import ctypes
import subprocess
from pathlib import Path

import cupy
import pytest
from double.collectives import KINDS, OPS
from double.make_names import snapshot
from double.names import NAMES

from minigrad.distributed.communicator import Communicator
from minigrad.distributed.nccl_communicator import NcclCommunicator

SOURCE = Path(__file__).with_name("null_nccl.cpp")


class OneOfTwo(Communicator):
    """Rank 0, which hears what it says itself."""

    size = local_size = 2

    def gather(self, value):
        return [value, ("elsewhere", value[1])]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """A library with the names of NCCL's, which is there before CuPy looks for it."""
    path = tmp_path_factory.mktemp("nccl") / "libnccl.so.2"
    command = ["g++", "-std=c++17", "-shared", "-fPIC", f"-Wl,-soname,{path.name}"]
    subprocess.run([*command, SOURCE, "-o", path], check=True)
    library = ctypes.CDLL(path)
    library.null_nccl_calls.restype = ctypes.c_char_p
    return library


@pytest.fixture
def line(library):
    return NcclCommunicator(OneOfTwo())


def told(library):
    return library.null_nccl_calls().decode().splitlines()


def calls(library):
    """Without beginnings and ends: Python chooses when a communicator ends."""
    return [call for call in told(library) if call.split()[0] not in ("init", "destroy")]


def at(array, offset=0):
    return f"{array.data.ptr + offset:#x}"


def test_the_start(line, library):
    told(library)
    line.all_reduce(cupy.empty(1, "f"))
    assert "init 2 0" in told(library)


@pytest.mark.parametrize(("dtype", "number"), [("f4", 7), ("f8", 8), ("i4", 2), ("u8", 5)])
def test_all_reduce(line, library, dtype, number):
    x = cupy.empty((2, 3), dtype)
    line.all_reduce(x)
    assert calls(library) == [f"allReduce {at(x)} {at(x)} 6 {number} 0 0"]


def test_swap(line, library):
    send, receive = cupy.empty(5, "f"), cupy.empty(5, "f")
    line.swap([send[:2], send[2:]], [receive[:1], receive[1:1]])
    inner = [
        f"send {at(send)} 2 7 0 0",
        f"recv {at(receive)} 1 7 0 0",
        f"send {at(send, 8)} 3 7 1 0",
    ]
    assert calls(library) == ["groupStart", *inner, "groupEnd"]


def test_share(line, library):
    x = cupy.empty(5, "f")
    line.share(x, [0, 2, 5])
    inner = [f"broadcast {at(x)} {at(x)} 2 7 0 0", f"broadcast {at(x, 8)} {at(x, 8)} 3 7 1 0"]
    assert calls(library) == ["groupStart", *inner, "groupEnd"]


def test_the_current_stream(line, library):
    x = cupy.empty(1, "f")
    with cupy.cuda.Stream(non_blocking=True) as stream:
        line.all_reduce(x)
    assert stream.ptr != 0
    assert calls(library) == [f"allReduce {at(x)} {at(x)} 1 7 0 {stream.ptr}"]


def test_the_double_has_cupys_names(library):
    from cupy.cuda import nccl

    installed = snapshot()
    for part in ("nccl", "NcclCommunicator"):
        assert installed[part] == NAMES[part]
    ours = {name: number for name, (number, _) in KINDS.items()} | OPS
    assert ours == {name: getattr(nccl, name) for name in ours}
    assert type(nccl.get_unique_id()) is bytes
    with pytest.raises(TypeError, match="expected bytes, got tuple"):
        nccl.NcclCommunicator(2, (0,) * 128, 0)
