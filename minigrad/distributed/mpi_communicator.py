"""The line to the other processes of a job through MPI, by mpi4py.

MPI itself waits for ever, and while it waits, Python can do nothing: no signal is handled, and
nobody notices that a rank will never come. So all exchanges here are begun and then polled. When a
rank has waited too long it asks the others, by small messages beside the exchanges, whether they
wait too. Those that do not answer are the ones to look for.
"""

from __future__ import annotations

import atexit
import os
import pickle
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any, NoReturn

import numpy as np
from mpi4py import MPI

from minigrad.arrays.library import Array
from minigrad.distributed.communicator import Communicator, check_array, flush

SHORT = 1 << 10
"""Bytes; a pickled value of less than this is exchanged in one message."""

AWAKE = 0.0002
"""Seconds that a rank polls without sleeping. Where other processes wait for a processor, a rank
that polls for longer takes it from them, and waits longer itself in the end."""

GRACE = 4.0
"""Seconds that the others have to answer that they wait too."""

_TAG = 32_701  # of the messages beside the exchanges; MPI promises tags up to 32767
_ASKED, _ANSWER, _LEFT = range(3)
_KINDS = ("world", "all_reduce", "broadcast", "gather", "barrier", "swap", "share")

_let_others_run: Callable[[], object] = getattr(os, "sched_yield", lambda: time.sleep(0))


class MpiCommunicator(Communicator):
    """A line to the other ranks of an MPI communicator, for arrays in the computer's memory.

    Parameters
    ----------
    ranks
        an ``mpi4py.MPI.Intracomm``: who takes part.
    timeout
        as in `Communicator`.
    """

    def __init__(self, ranks: Any, timeout: float | None) -> None:
        self.rank, self.size, self.timeout = ranks.Get_rank(), ranks.Get_size(), timeout
        self._beside = ranks
        self._exchange, self._kind = 0, "world"
        self._left: dict[int, int] = {}  # the ranks that have ended, and their last exchange
        self._answers: dict[int, tuple[int, str]] = {}  # where the others wait
        self._asked: float | None = None  # when this rank asked them
        self._open: tuple[Any, ...] = ()  # what is not done of the exchange that runs
        self._sent: list[tuple[Any, Array]] = []
        self._places: list[tuple[str, int]] = []

    def meet(self) -> None:
        """Wait until all ranks are here, and learn where they are: before all other exchanges."""
        self._ranks, request = self._beside.Idup()
        self._wait("world", request)
        self._places = self.gather((socket.gethostname(), os.getpid()))
        host = self._places[self.rank][0]
        here = [rank for rank, place in enumerate(self._places) if place[0] == host]
        self.local_rank, self.local_size = here.index(self.rank), len(here)
        atexit.register(self._leave)

    def all_reduce(self, array: Array) -> None:
        check_array("all_reduce", array)
        wide = np.float32 if array.dtype.char == "e" else array.dtype
        numbers = np.asarray(array, wide, order="C")
        self._wait("all_reduce", self._ranks.Iallreduce(MPI.IN_PLACE, numbers))
        if numbers is not array:
            with np.errstate(over="ignore"):
                array[...] = numbers

    def broadcast(self, value: Any) -> Any:
        pickled = pickle.dumps(value, 5) if self.rank == 0 else b""
        message = _with_length(pickled)
        self._wait("broadcast", self._ranks.Ibcast(message, 0))
        length = _length(message)
        if length > SHORT - 8:
            message = np.frombuffer(pickled, np.uint8) if self.rank == 0 else _bytes(length)
            self._wait("broadcast", self._ranks.Ibcast(message, 0))
        else:
            message = message[8 : 8 + length]
        return value if self.rank == 0 else pickle.loads(message)

    def gather(self, value: Any) -> list[Any]:
        pickled = pickle.dumps(value, 5)
        messages: Array = np.empty((self.size, SHORT), np.uint8)
        self._wait("gather", self._ranks.Iallgather(_with_length(pickled), messages))
        lengths = [_length(message) for message in messages]
        if max(lengths) <= SHORT - 8:
            return [pickle.loads(x[8 : 8 + n]) for x, n in zip(messages, lengths, strict=True)]
        bounds = np.cumsum([0, *lengths]).tolist()
        whole = _bytes(bounds[-1])
        whole[bounds[self.rank] : bounds[self.rank + 1]] = np.frombuffer(pickled, np.uint8)
        self._share("gather", whole, bounds)
        return [pickle.loads(whole[a:b]) for a, b in pairwise(bounds)]

    def barrier(self) -> None:
        self._wait("barrier", self._ranks.Ibarrier())

    def swap(self, send: Sequence[Array], receive: Sequence[Array]) -> None:
        others = [rank for rank in range(self.size) if rank != self.rank]
        waiting = [
            self._ranks.Irecv([receive[rank].view(np.uint8), MPI.BYTE], rank)
            for rank in others
            if receive[rank].size
        ]
        waiting += [
            self._ranks.Isend([send[rank].view(np.uint8), MPI.BYTE], rank)
            for rank in others
            if send[rank].size
        ]
        receive[self.rank][...] = send[self.rank]
        self._wait("swap", *waiting)

    def share(self, array: Array, bounds: Sequence[int]) -> None:
        self._share("share", array.view(np.uint8), [bound * array.itemsize for bound in bounds])

    def _share(self, kind: str, array: Array, bounds: Sequence[int]) -> None:
        counts = [end - start for start, end in pairwise(bounds)]
        parts = [array, counts, list(bounds[:-1]), MPI.BYTE]
        self._wait(kind, self._ranks.Iallgatherv(MPI.IN_PLACE, parts))

    def abort(self, status: int, tell: Callable[[], object] | None = None) -> NoReturn:
        try:
            if tell is not None:
                time.sleep(min(self.rank / 4, 3.0))
                tell()
            flush()
            time.sleep(0.1)  # until mpiexec has passed it on
        finally:
            with suppress(MPI.Exception):  # MPI may have ended already
                self._beside.Abort(status or 1)
            os._exit(status or 1)  # MPICH comes back from Abort

    def _wait(self, kind: str, *requests: Any) -> None:
        """Wait until the next exchange is done."""
        if self._open:
            raise RuntimeError(
                f"{self!r}: exchange {self._exchange} ({self._kind}) was interrupted, and none can "
                "follow it"
            )
        self._open = requests  # MPI may write into their arrays, whatever happens here
        self._exchange, self._kind, self._asked = self._exchange + 1, kind, None
        start = time.monotonic()
        while not MPI.Request.Testall(requests):
            waited = time.monotonic() - start
            if waited < AWAKE:
                _let_others_run()
            else:
                time.sleep(min(waited / 20, 0.001))
                self._listen()
                self._look_for_the_missing(waited)
        self._open = ()

    def _look_for_the_missing(self, waited: float) -> None:
        """Raise if a rank will never come, or has not come for too long."""
        here = f"exchange {self._exchange} ({self._kind})"
        for rank, last in self._left.items():
            if last < self._exchange:
                raise RuntimeError(
                    f"{self._told(rank)} has ended before {here}, in which {self!r} waits for it"
                )
        if self.timeout is None or waited < self.timeout:
            return
        if self._asked is None:
            self._asked, self._answers = waited, {}
            self._say(_ASKED, self._exchange)
        elif waited - self._asked > min(GRACE, self.timeout):
            silent = [r for r in range(self.size) if r != self.rank and r not in self._answers]
            if silent:
                verb = "has" if len(silent) == 1 else "have"
                names = "; ".join(map(self._told, silent[:4])) + "; ..." * (len(silent) > 4)
                raise TimeoutError(
                    f"{len(silent)} of {self.size} ranks {verb} not come to {here} for "
                    f"{self.timeout:g} s: {names}"
                )
            waits = {self.rank: (self._exchange, self._kind)} | self._answers
            places = (f"rank {r} in exchange {n} ({kind})" for r, (n, kind) in waits.items())
            raise TimeoutError(
                f"all ranks wait for each other, for {self.timeout:g} s: {', '.join(places)}"
            )

    def _told(self, rank: int) -> str:
        if not self._places:
            return f"rank {rank}"
        host, process = self._places[rank]
        return f"rank {rank} (process {process} on {host})"

    def _say(self, what: int, about: int, to: int | None = None) -> None:
        """Send a small message beside the exchanges, to one rank or to all."""
        message = np.array([what, about, self._exchange, _KINDS.index(self._kind)], np.int64)
        ranks = [rank for rank in range(self.size) if rank != self.rank] if to is None else [to]
        self._sent = [(request, kept) for request, kept in self._sent if not request.Test()]
        self._sent += [(self._beside.Isend(message, rank, _TAG), message) for rank in ranks]

    def _listen(self) -> None:
        """Take the small messages that have come, and answer them."""
        status, message = MPI.Status(), np.empty(4, np.int64)
        while self._beside.Iprobe(tag=_TAG, status=status):
            rank = status.Get_source()
            self._beside.Recv(message, rank, _TAG)
            what, about, exchange, kind = message.tolist()
            if what == _LEFT:
                self._left[rank] = exchange
            elif what == _ASKED:
                self._say(_ANSWER, about, rank)
            elif about == self._exchange:
                self._answers[rank] = exchange, _KINDS[kind]

    def _leave(self) -> None:
        """Tell the others that this rank ends, and wait until they end too.

        MPI would wait for them anyway; but it would not tell them.
        """
        if MPI.Is_finalized() or os.getpid() != self._places[self.rank][1]:  # a fork of it
            return
        self._say(_LEFT, self._exchange)
        while len(self._left) < self.size - 1:
            self._listen()
            time.sleep(0.001)


def _bytes(length: int) -> Array:
    return np.empty(length, np.uint8)


def _with_length(pickled: bytes) -> Array:
    """A message of fixed length: the length of a pickled value, and its first bytes."""
    start = pickled[: SHORT - 8]
    message = _bytes(SHORT)
    message[:8] = np.frombuffer(len(pickled).to_bytes(8, "little"), np.uint8)
    message[8 : 8 + len(start)] = np.frombuffer(start, np.uint8)
    return message


def _length(message: Array) -> int:
    return int.from_bytes(message[:8].tobytes(), "little")
