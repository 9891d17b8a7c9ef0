"""Several ranks in one process, with the strict double: each is a thread with a GPU of its own."""

import threading

import numpy as np
from double import collectives, cupy, devices

from minigrad.distributed.communicator import Communicator
from minigrad.distributed.nccl_communicator import NcclCommunicator


class ThreadCommunicator(Communicator):
    """A line between threads, for the host's values."""

    def __init__(self, meeting, rank):
        self._meeting = meeting
        self.rank = self.local_rank = rank
        self.size = self.local_size = meeting.size

    def gather(self, value):
        return self._meeting.gather(self.rank, value)

    def broadcast(self, value):
        return self.gather(value)[0]

    def barrier(self):
        self.gather(None)

    def all_reduce(self, array):
        array[...] = sum(self.gather(np.array(array)))


def on_ranks(size, function, gpus=range(devices.COUNT)):
    """What ``function(communicator)`` gives on each of `size` ranks, by rank, on these GPUs.

    An error of one rank ends the others' waiting, and is raised here.
    """
    meeting = collectives.Threads(size)
    given, errors = [None] * size, {}

    def run(rank):
        try:
            with cupy.cuda.Device(gpus[rank]):
                given[rank] = function(NcclCommunicator(ThreadCommunicator(meeting, rank)))
        except Exception as error:
            errors[rank] = error
            for each in [meeting, *collectives.meetings.values()]:
                each.abort()

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    collectives.meetings.clear()
    own = [e for e in errors.values() if getattr(e, "status", 0) != collectives.REMOTE_ERROR]
    for error in own or errors.values():
        raise error
    return given
