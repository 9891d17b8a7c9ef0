"""What the processes of a job can tell each other; here for a job of one process."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NoReturn

import numpy as np

from minigrad.arrays.library import Array, is_array
from minigrad.errors.values import told


class Communicator:
    """A process's line to the others of its job. This class is for a process that is alone.

    `world` gives the right one. All ranks must call the same methods in the same order: each call
    of one but `abort` is an *exchange*, in which every rank takes part. After one that was
    interrupted, by Ctrl-C or a time-out, all others raise a RuntimeError: nobody knows how far it
    came.

    Attributes
    ----------
    rank
        the number of this process, from 0 to size - 1.
    size
        the number of processes.
    local_rank
        the number of this process among those on the same machine.
    local_size
        the number of processes on this machine.
    timeout
        the seconds that an exchange may wait for other ranks, before it raises a TimeoutError that
        names those that have not come. None: for ever.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    timeout: float | None = None

    def all_reduce(self, array: Array) -> None:
        """Replace `array`, in place, by its sum over all ranks; its bits may depend on `size`.

        Parameters
        ----------
        array
            numbers of the same shape and dtype on every rank. float16 is summed in float32.

        Raises
        ------
        TypeError
            if it is no array of NumPy or CuPy.
        """
        check_array("all_reduce", array)

    def broadcast(self, value: Any) -> Any:
        """Rank 0's `value` on every rank: any object that `pickle` takes."""
        return value

    def gather(self, value: Any) -> list[Any]:
        """The values of all ranks, by rank, on every rank: any objects that `pickle` takes."""
        return [value]

    def barrier(self) -> None:
        """Wait until every rank is here."""

    def swap(self, send: Sequence[Array], receive: Sequence[Array]) -> None:
        """Send an array to each rank, and receive one from each.

        Parameters
        ----------
        send
            `send[r]` goes to rank r: contiguous, of one axis, possibly empty.
        receive
            `receive[r]` is filled with what rank r sends to this one; of the same length.
        """
        receive[0][...] = send[0]

    def share(self, array: Array, bounds: Sequence[int]) -> None:
        """Give each rank's part of `array` to all others, in place.

        Parameters
        ----------
        array
            contiguous, of one axis; rank r's part is ``array[bounds[r]:bounds[r + 1]]``.
        bounds
            size + 1 rising places, from 0 to the length of the array.
        """

    def abort(self, status: int, tell: Callable[[], object] | None = None) -> NoReturn:
        """End the whole job now, with a status that is not 0. No exit handler runs.

        A single process ends by SystemExit.

        Parameters
        ----------
        status
            what mpiexec returns.
        tell
            called before; it says why. As all ranks may have the same to say, rank r waits r/4
            seconds (at most 3) before it speaks: the first one that does ends the job.
        """
        if tell is not None:
            tell()
        sys.exit(status)

    def __repr__(self) -> str:
        return f"rank {self.rank} of {self.size}"


def check_array(where: str, array: Any) -> None:
    """Raise a TypeError unless `array` is one that can be changed in place."""
    if isinstance(array, np.generic) or not is_array(array):
        raise TypeError(f"{where}: expected an array of NumPy or CuPy, got {told(array)}")


def flush() -> None:
    """Write out what was printed, as far as that is possible."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
