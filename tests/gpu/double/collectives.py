"""``cupy.cuda.nccl``: what GPUs tell each other, on the double.

The ranks are threads of one process, each with a device of its own, or processes under mpiexec,
which then exchange by MPI. To a call of all ranks (or a group of such calls) they meet, and compare
what each of them calls; what one rank sends to another is compared there. Where NCCL would hang, or
write rubbish, because they differ, there is an NcclError that says how.

It is stricter than NCCL where a program could be right by chance: what is sent and received stands
in a group, the stream and the device are the current ones, buffers do not overlap, nothing is of
length 0. The order of a sum is another than that of the ranks, since NCCL promises none.
"""

import functools
import itertools
import os
import platform
import queue
import sys
import threading

import numpy as np

from .counts import count as count_event
from .devices import Memory, bus, current, get_current_stream
from .names import Module, checked, missing

KINDS = {
    "NCCL_INT8": (0, "int8"),
    "NCCL_UINT8": (1, "uint8"),
    "NCCL_INT32": (2, "int32"),
    "NCCL_UINT32": (3, "uint32"),
    "NCCL_INT64": (4, "int64"),
    "NCCL_UINT64": (5, "uint64"),
    "NCCL_FLOAT16": (6, "float16"),
    "NCCL_FLOAT32": (7, "float32"),
    "NCCL_FLOAT64": (8, "float64"),
}
DTYPES = {number: np.dtype(name) for number, name in KINDS.values()}
OPS = {"NCCL_SUM": 0, "NCCL_PROD": 1, "NCCL_MAX": 2, "NCCL_MIN": 3}
COMBINE = {0: np.add, 1: np.multiply, 2: np.maximum, 3: np.minimum}

INVALID_ARGUMENT, INVALID_USAGE, REMOTE_ERROR = 4, 5, 6
WORDS = {4: "NCCL_ERROR_INVALID_ARGUMENT", 5: "NCCL_ERROR_INVALID_USAGE"}
WORDS[6] = "NCCL_ERROR_REMOTE_ERROR"

PATIENCE = 5.0  # seconds that ranks wait for each other; NCCL waits for ever
ID_BYTES = 128


class NcclError(RuntimeError):
    """What NCCL reports."""

    def __init__(self, status, why=""):
        self.status = status
        super().__init__(f"{WORDS[status]}: {why}")


NcclError.__module__ = "cupy_backends.cuda.libs.nccl"


# ----------------------------------------------------------------------------- how ranks meet


class Threads:
    """Ranks that are threads of this process."""

    def __init__(self, size):
        self.size, self._told, self._barrier = size, [None] * size, threading.Barrier(size)
        self._letters = {
            pair: queue.SimpleQueue() for pair in itertools.product(range(size), repeat=2)
        }

    def gather(self, rank, value):
        """What each rank has told, on all of them."""
        self._told[rank] = value
        self._wait()
        told = list(self._told)
        self._wait()
        return told

    def _wait(self):
        try:
            self._barrier.wait(PATIENCE)
        except threading.BrokenBarrierError:
            raise _hanging("a rank did not come") from None

    def send(self, rank, peer, value):
        """Send it; what is returned waits until it was received."""
        received = threading.Event()
        self._letters[rank, peer].put((value, received))

        def wait():
            if not received.wait(PATIENCE):
                raise _hanging(f"rank {peer} does not receive what rank {rank} sends")

        return wait

    def receive(self, rank, peer):
        """What `peer` has sent."""
        try:
            value, received = self._letters[peer, rank].get(timeout=PATIENCE)
        except queue.Empty:
            raise _hanging(f"rank {peer} does not send what rank {rank} is to receive") from None
        received.set()
        return value

    def abort(self):
        """Let nobody wait at a meeting any longer."""
        self._barrier.abort()


class Processes:
    """Ranks that are processes under mpiexec."""

    def __init__(self, world):
        self.size, self._world = world.size, world.Dup()

    def gather(self, rank, value):
        """What each rank has told, on all of them."""
        return self._world.allgather(value)

    def send(self, rank, peer, value):
        """Send it; what is returned waits until it was received."""
        return self._world.issend(value, peer).wait

    def receive(self, rank, peer):
        """What `peer` has sent."""
        return self._world.recv(source=peer)


def _hanging(why):
    return NcclError(REMOTE_ERROR, f"{why} (NCCL would hang)")


meetings = {}
"""The meetings of threads, by the id of their communicator."""

_ids = itertools.count(1)
_lock = threading.Lock()


def get_unique_id():
    """What the ranks of a communicator must have in common: bytes, of which zeros may be a part."""
    return (next(_ids).to_bytes(4, "little") + os.getpid().to_bytes(8, "little")).ljust(
        ID_BYTES, b"\0"
    )


def _meeting(identity, size):
    mpi = sys.modules.get("mpi4py.MPI")
    if mpi is not None and mpi.Is_initialized() and mpi.COMM_WORLD.size > 1:
        return Processes(mpi.COMM_WORLD)
    with _lock:
        meeting = meetings.setdefault(identity, Threads(size))
    if meeting.size != size:
        raise NcclError(INVALID_ARGUMENT, f"{size} ranks, and {meeting.size} elsewhere")
    return meeting


# -------------------------------------------------------------------------------------- groups


class _Group(threading.local):
    depth = 0
    calls = ()


_group = _Group()


def group_start():
    """From here on calls are only noted down."""
    _group.depth += 1
    if _group.depth == 1:
        _group.calls = []


def group_end():
    """Do what was noted down."""
    if not _group.depth:
        raise NcclError(INVALID_USAGE, "groupEnd without groupStart")
    _group.depth -= 1
    if not _group.depth:
        calls, _group.calls = _group.calls, ()
        _run(calls)


# ---------------------------------------------------------------------------------- the calls


class _Call:
    """A call: the memory that it reads and writes here, and what the other ranks must know."""

    def __init__(self, communicator, source, target, about):
        self.communicator, self.source, self.target = communicator, source, target
        self.about = about


class NcclCommunicator:
    """A rank among others, for the device that is current when it is made."""

    def __init__(self, ndev, commId, rank, config=None):
        if not isinstance(commId, bytes):
            kind = type(commId).__name__
            raise TypeError(f"Argument 'commId' has incorrect type (expected bytes, got {kind})")
        if len(commId) != ID_BYTES:
            raise AssertionError(f"commId: {len(commId)} bytes")
        if _group.depth:
            raise NcclError(INVALID_USAGE, "a communicator is not made within a group")
        if type(ndev) is not int or type(rank) is not int or not 0 <= rank < ndev:
            raise NcclError(INVALID_ARGUMENT, f"rank {rank!r} of {ndev!r}")
        self._rank, self._size, self._device = rank, ndev, current()
        self._thread, self._alive = threading.get_ident(), True
        self._meeting = _meeting(commId, ndev)
        facts = (rank, ndev, commId, platform.node(), bus(self._device))
        told = self._meeting.gather(rank, facts)
        expected = [(r, ndev, commId) for r in range(self._meeting.size)]
        if [facts and facts[:3] for facts in told] != expected:
            raise NcclError(INVALID_ARGUMENT, f"the ranks do not fit together: {told}")
        if len({facts[3:] for facts in told}) < ndev:
            raise NcclError(INVALID_USAGE, f"Duplicate GPU detected: {told}")

    def destroy(self):
        """Give up its memory; twice is once."""
        self._alive = False

    def abort(self):
        """The same, without waiting for work that is under way."""
        self._alive = False

    def check_async_error(self):
        """Raise what has happened on the GPU since; nothing, on the double."""
        self._check()

    def size(self):
        """The number of ranks."""
        self._check()
        return self._size

    def rank_id(self):
        """Its own."""
        self._check()
        return self._rank

    def device_id(self):
        """The device that it is for."""
        self._check()
        return self._device

    def _check(self):
        if not self._alive:
            raise NcclError(INVALID_ARGUMENT, "the communicator is destroyed")
        if threading.get_ident() != self._thread:
            raise NcclError(INVALID_USAGE, "the communicator is another thread's")
        if current() != self._device:
            raise NcclError(
                INVALID_USAGE,
                f"the communicator is for device {self._device}, the current one is {current()} "
                "(NCCL does not mind, but the stream is then of the wrong device)",
            )

    def _memory(self, what, pointer, size, datatype):
        """`size` numbers from the address `pointer` on, as NumPy sees them."""
        for name, number in ((what, pointer), ("count", size), ("datatype", datatype)):
            if type(number) is not int:  # CuPy takes others, too, if they can be an index
                raise TypeError(f"{name}: an integer is required, got {number!r}")
        if datatype not in DTYPES:
            raise NcclError(INVALID_ARGUMENT, f"datatype {datatype}")
        if size < 1:
            raise NcclError(INVALID_ARGUMENT, f"count {size}: leave out what is empty")
        memory = Memory.at(pointer)
        if memory.device != self._device:
            raise NcclError(INVALID_ARGUMENT, f"{what} is on device {memory.device}")
        return memory.numbers(pointer, size, DTYPES[datatype])

    def _call(self, name, sendbuf, recvbuf, count, datatype, stream, **about):
        """Do it, or note it down; a buffer that is None is none of its arguments."""
        self._check()
        if type(stream) is not int:
            raise TypeError(f"stream: an integer is required, got {stream!r}")
        if stream != get_current_stream().ptr:
            raise NcclError(INVALID_ARGUMENT, f"{stream:#x} is not the current stream")
        for what in ("root", "peer"):
            if not 0 <= about.get(what, 0) < self._size:
                raise NcclError(INVALID_ARGUMENT, f"{what} {about[what]} of {self._size} ranks")
        if about.get("op", 0) not in COMBINE:
            raise NcclError(INVALID_ARGUMENT, f"op {about['op']}")
        source, target = (
            None if pointer is None else self._memory(what, pointer, count, datatype)
            for what, pointer in (("sendbuf", sendbuf), ("recvbuf", recvbuf))
        )
        about |= {"name": name, "count": count, "dtype": DTYPES[datatype].name}
        call = _Call(self, source, target, about)
        if _group.depth:
            _group.calls.append(call)
        elif "peer" in about:
            raise NcclError(
                INVALID_USAGE, f"{name} outside of a group, where two ranks may wait for each other"
            )
        else:
            _run([call])

    def allReduce(self, sendbuf, recvbuf, count, datatype, op, stream):
        """Of all ranks' numbers the sum, or another, to all."""
        self._call("allReduce", sendbuf, recvbuf, count, datatype, stream, op=op)

    def broadcast(self, sendbuff, recvbuff, count, datatype, root, stream):
        """One rank's numbers to all."""
        self._call("broadcast", sendbuff, recvbuff, count, datatype, stream, root=root)

    def send(self, sendbuf, count, datatype, peer, stream):
        """To one rank, which calls `recv`."""
        self._call("send", sendbuf, None, count, datatype, stream, peer=peer)

    def recv(self, recvbuf, count, datatype, peer, stream):
        """From one rank, which calls `send`."""
        self._call("recv", None, recvbuf, count, datatype, stream, peer=peer)

    def __getattr__(self, name):
        raise missing("NcclCommunicator", name)


NcclCommunicator.__module__ = "cupy_backends.cuda.libs.nccl"
for _name in ("allReduce", "broadcast", "send", "recv"):
    _method = checked("NcclCommunicator", _name, getattr(NcclCommunicator, _name))
    setattr(NcclCommunicator, _name, _method)


def _run(calls):
    """All calls of a group, at once."""
    if not calls:
        return
    communicator = calls[0].communicator
    if any(call.communicator is not communicator for call in calls):
        raise NcclError(INVALID_USAGE, "a group of calls of two communicators")
    _check_apart(calls)
    _exchange(communicator, [call for call in calls if "peer" in call.about])
    _do_together(communicator, [call for call in calls if "peer" not in call.about])
    count_event("kernels", "nccl." + "+".join(call.about["name"] for call in calls))


def _exchange(communicator, calls):
    """What is sent from rank to rank."""
    rank, meeting = communicator._rank, communicator._meeting
    waiting = [
        meeting.send(rank, call.about["peer"], (_form(call), call.source.copy()))
        for call in calls
        if call.source is not None
    ]
    for call in calls:
        if call.target is not None:
            peer = call.about["peer"]
            form, data = meeting.receive(rank, peer)
            if form != _form(call):
                raise NcclError(
                    INVALID_USAGE,
                    f"rank {peer} sends {form} to rank {rank}, which receives {_form(call)} "
                    "(NCCL would hang)",
                )
            call.target[:] = data
    for wait in waiting:
        wait()


def _form(call):
    return call.about["count"], call.about["dtype"]


def _do_together(communicator, calls):
    """What all ranks call."""
    if not calls:
        return
    told = [(c.about, None if c.source is None else c.source.copy()) for c in calls]
    everyone = communicator._meeting.gather(communicator._rank, told)
    forms = [[about for about, _ in told] for told in everyone]
    for rank, here in enumerate(forms):
        if here != forms[0]:
            raise NcclError(
                INVALID_USAGE, f"rank 0 calls {forms[0]}, rank {rank} {here} (NCCL would hang)"
            )
    for i, call in enumerate(calls):
        data = [told[i][1] for told in everyone]
        if call.about["name"] == "broadcast":
            call.target[:] = data[call.about["root"]]
        else:
            call.target[:] = functools.reduce(COMBINE[call.about["op"]], reversed(data))


def _check_apart(calls):
    """In place is allowed; else nothing that is written may be part of another buffer."""
    buffers = [(i, x) for i, c in enumerate(calls) for x in (c.source, c.target) if x is not None]
    for i, call in enumerate(calls):
        for j, other in buffers:
            if call.target is None or other is call.target:
                continue
            in_place = i == j and _place(other) == _place(call.target)
            if not in_place and np.shares_memory(call.target, other):
                raise NcclError(
                    INVALID_USAGE,
                    f"{call.about} writes to a part of what {calls[j].about} uses at the same time",
                )


def _place(array):
    return array.__array_interface__["data"][0]


nccl = Module(
    "cupy.cuda.nccl",
    "nccl",
    NcclCommunicator=NcclCommunicator,
    NcclError=NcclError,
    available=True,
    get_unique_id=get_unique_id,
    get_version=lambda: 22707,
    groupEnd=group_end,
    groupStart=group_start,
    **{name: number for name, (number, _) in KINDS.items()},
    **OPS,
)
