"""The strict double of NCCL's calls: what they do, and what is refused since it hangs."""

import double
import numpy as np
import pytest
from double import collectives
from double import cupy as xp
from double.collectives import nccl
from ranks_in_threads import on_ranks

pytestmark = pytest.mark.host("it asks the double itself")

F4, F8, SUM, MAX = nccl.NCCL_FLOAT32, nccl.NCCL_FLOAT64, nccl.NCCL_SUM, nccl.NCCL_MAX
STREAM = 0


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    """Nobody waits for long."""
    monkeypatch.setattr(collectives, "PATIENCE", 0.2)


def called(function, size=2, gpus=range(4)):
    """What ``function(communicator, rank, x)`` leaves in `x`, of 4 numbers, on each rank."""
    identity = nccl.get_unique_id()

    def run(line):
        x = xp.arange(4, dtype="f") + 10 * line.rank
        function(nccl.NcclCommunicator(size, identity, line.rank), line.rank, x)
        return x.get()

    return np.array(on_ranks(size, run, gpus)).tolist()


def in_group(*calls):
    nccl.groupStart()
    for method, *arguments in calls:
        method(*arguments)
    nccl.groupEnd()


def exchange(c, x, count=2, kind=F4):
    """Two ranks send each other their first two numbers, and receive into the last two."""
    at, peer = x.data.ptr, 1 - c.rank_id()
    in_group((c.send, at, 2, F4, peer, STREAM), (c.recv, at + 8, count, kind, peer, STREAM))


def test_sums():
    added = called(lambda c, rank, x: c.allReduce(x.data.ptr, x.data.ptr, 3, F4, SUM, STREAM))
    assert added == [[10, 12, 14, 3], [10, 12, 14, 13]]
    largest = called(lambda c, rank, x: c.allReduce(x.data.ptr, x.data.ptr, 4, F4, MAX, STREAM))
    assert largest == [[10, 11, 12, 13]] * 2


def test_broadcasts():
    given = called(lambda c, rank, x: c.broadcast(x.data.ptr, x.data.ptr + 8, 2, F4, 1, STREAM))
    assert given == [[0, 1, 10, 11], [10, 11, 10, 11]]


def test_a_group_is_done_at_its_end():
    assert called(lambda c, rank, x: exchange(c, x)) == [[0, 1, 10, 11], [10, 11, 0, 1]]


def test_a_rank_can_send_to_itself():
    def run(c, rank, x):
        at = x.data.ptr
        in_group((c.send, at, 1, F4, 0, STREAM), (c.recv, at + 4, 1, F4, 0, STREAM))

    assert called(run, size=1) == [[0, 0, 2, 3]]


def test_sums_are_not_in_the_order_of_the_ranks():
    """NCCL promises no order: a program that needs that of the ranks is wrong."""
    numbers = np.array([2.0**24, 1, 1], np.float32)

    def run(c, rank, x):
        x[0] = float(numbers[rank])
        c.allReduce(x.data.ptr, x.data.ptr, 1, F4, SUM, STREAM)

    by_rank = (numbers[0] + numbers[1]) + numbers[2]
    assert [row[0] for row in called(run, size=3)] == [2.0**24 + 2] * 3 != [by_rank] * 3


def test_it_counts_a_launch_and_no_wait():
    with double.budget(sync=2, d2h=2) as events:  # the two x.get()
        called(lambda c, rank, x: exchange(c, x))
    assert [e.what for e in events if e.what.startswith("nccl")] == ["nccl.send+recv"] * 2


def reduce(c, x, count=4, kind=F4, op=SUM, stream=STREAM):
    c.allReduce(x.data.ptr, x.data.ptr, count, kind, op, stream)


def freed():
    return xp.ones(4, "f").data.ptr


def elsewhere(rank):
    with xp.cuda.Device(1 - rank):
        return xp.ones(4, "f")


REFUSED = {
    # ranks that do not fit together
    "counts": (lambda c, rank, x: reduce(c, x, 1 + rank), "rank 0 calls .* rank 1 .*would hang"),
    "dtypes": (
        lambda c, rank, x: reduce(c, x.astype("fd"[rank]), 4, (F4, F8)[rank]),
        "rank 0 calls .*float32.* rank 1 .*float64",
    ),
    "operations": (lambda c, rank, x: reduce(c, x, op=rank), "rank 0 calls"),
    "roots": (lambda c, rank, x: c.broadcast(x.data.ptr, x.data.ptr, 4, F4, rank, 0), "rank 0"),
    "calls": (
        lambda c, rank, x: (
            c.broadcast(x.data.ptr, x.data.ptr, 4, F4, 0, 0) if rank else reduce(c, x)
        ),
        "rank 0 calls .*allReduce.* rank 1 .*broadcast",
    ),
    "absent": (lambda c, rank, x: rank or reduce(c, x), "a rank did not come"),
    "unsent": (
        lambda c, rank, x: in_group((c.recv, x.data.ptr, 1, F4, 1 - rank, 0)),
        "does not send what rank . is to receive",
    ),
    "not received": (lambda c, rank, x: in_group((c.send, x.data.ptr, 1, F4, 0, 0)), "not receive"),
    "lengths": (lambda c, rank, x: exchange(c, x, count=1 + rank), r"\(2, 'float32'\)"),
    # groups
    "outside of a group": (lambda c, rank, x: c.send(x.data.ptr, 1, F4, 1 - rank, 0), "outside"),
    "no group": (lambda c, rank, x: nccl.groupEnd(), "groupEnd without groupStart"),
    "twice": (
        lambda c, rank, x: in_group(*[(c.recv, x.data.ptr + 4 * i, 2, F4, i, 0) for i in (0, 1)]),
        "writes to a part of what",
    ),
    "made in a group": (
        lambda c, rank, x: in_group((nccl.NcclCommunicator, 2, nccl.get_unique_id(), rank)),
        "not made within a group",
    ),
    # memory
    "too long": (lambda c, rank, x: reduce(c, x, 5), "beyond the end"),
    "of another dtype": (lambda c, rank, x: reduce(c, x, 2, F8), "a pointer to float32 where"),
    "of no dtype": (lambda c, rank, x: reduce(c, x, 2, 99), "datatype 99"),
    "empty": (lambda c, rank, x: reduce(c, x, 0), "count 0"),
    "freed": (lambda c, rank, x: c.allReduce(freed(), freed(), 4, F4, SUM, 0), "no array of the"),
    "of the host": (
        lambda c, rank, x: c.send(np.ones(4, "f").ctypes.data, 4, F4, 0, 0),
        "no array of the double",
    ),
    "of another GPU": (lambda c, rank, x: reduce(c, elsewhere(rank)), "is on device"),
    "overlap": (
        lambda c, rank, x: c.allReduce(x.data.ptr, x.data.ptr + 4, 2, F4, SUM, 0),
        "writes to a part of what",
    ),
    # the rest
    "stream": (lambda c, rank, x: reduce(c, x, stream=7), "0x7 is not the current stream"),
    "stream object": (lambda c, rank, x: reduce(c, x, stream=xp.cuda.Stream.null), "an integer"),
    "no stream": (lambda c, rank, x: c.allReduce(x.data.ptr, x.data.ptr, 4, F4, SUM), "stream"),
    "root": (lambda c, rank, x: c.broadcast(x.data.ptr, x.data.ptr, 4, F4, 2, 0), "root 2 of 2"),
    "destroyed": (lambda c, rank, x: (c.destroy(), c.destroy(), reduce(c, x)), "is destroyed"),
    "an id that is a tuple": (
        lambda c, rank, x: nccl.NcclCommunicator(2, (0,) * 128, rank),
        "expected bytes, got tuple",
    ),
    "a rank twice": (
        lambda c, rank, x: nccl.NcclCommunicator(2, b"1" * 128, 0),
        "do not fit together|did not come",
    ),
    "not modelled": (lambda c, rank, x: c.reduceScatter, "does not model"),
    "not there": (lambda c, rank, x: c.nothing, "has no NcclCommunicator.nothing"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_refuses(name):
    function, message = REFUSED[name]
    errors = (nccl.NcclError, ValueError, TypeError, NotImplementedError, AttributeError)
    with pytest.raises(errors, match=message):
        called(function)


def test_it_refuses_two_ranks_on_one_gpu():
    with pytest.raises(nccl.NcclError, match="Duplicate GPU detected"):
        called(lambda c, rank, x: None, gpus=[1, 1])
