"""Ranks in the threads of one process, for tests of what several processes do together."""

import threading
from concurrent.futures import ThreadPoolExecutor

from minigrad.distributed import Communicator


class ThreadRank(Communicator):
    """One of `size` ranks, which meet at a barrier that they share."""

    timeout = 60.0

    def __init__(self, rank, size, table):
        self.rank = self.local_rank = rank
        self.size = self.local_size = size
        self._table = table

    def gather(self, value):
        values, barrier = self._table
        values[self.rank] = value
        barrier.wait(self.timeout)
        found = [values[rank] for rank in range(self.size)]
        barrier.wait(self.timeout)  # or a quick one would write over what a slow one reads
        return found

    def broadcast(self, value):
        return self.gather(value)[0]

    def barrier(self):
        self.gather(None)

    def all_reduce(self, array):
        array[...] = sum(self.gather(array.copy()))

    def swap(self, send, receive):
        for target, sent in zip(receive, self.gather([each.copy() for each in send]), strict=True):
            target[...] = sent[self.rank]

    def share(self, array, bounds):
        parts = self.gather(array[bounds[self.rank] : bounds[self.rank + 1]].copy())
        for rank, part in enumerate(parts):
            array[bounds[rank] : bounds[rank + 1]] = part


def on_ranks(size, function):
    """What ``function(communicator)`` gives on each rank, by rank."""
    table = {}, threading.Barrier(size)

    def called(rank):
        try:
            return function(ThreadRank(rank, size, table))
        except BaseException:
            table[1].abort()  # the others raise, too, instead of waiting
            raise

    with ThreadPoolExecutor(size) as pool:
        futures = [pool.submit(called, rank) for rank in range(size)]
        errors = [each.exception() for each in futures]
    own = [e for e in errors if e and not isinstance(e, threading.BrokenBarrierError)]
    for error in own:
        raise error
    return [each.result() for each in futures]
