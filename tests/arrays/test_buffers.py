"""Memory that is used again: never while anybody can still see it, in whatever way.

A random history of taking, looking at and dropping arrays is played against a small pool, and after
each step all that is still held must have kept its numbers; several threads do so at once. The rest
is about shape, alignment, what is too small for the pool, and how much the pool may hold.
"""

from __future__ import annotations

import gc
import os
import pickle
import signal
import sys
import threading
import time
import tracemalloc
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigrad as mg
from minigrad.arrays import buffers


@pytest.fixture(autouse=True)
def pool(monkeypatch):
    """A pool of its own for each test, and small: arrays from 256 bytes, 16 KB in all."""
    monkeypatch.setattr(buffers, "_buffers", buffers._Buffers())
    monkeypatch.setattr(buffers, "SMALLEST", 256)
    monkeypatch.setattr(buffers, "LARGEST_TOTAL", 1 << 14)
    return buffers._buffers


def take(size, dtype=np.uint8):
    return buffers.empty(np, (size,), dtype)


def address(a):
    return a.__array_interface__["data"][0]


def held(pool):
    return sum(block.nbytes for blocks in pool._by_size.values() for block, _ in blocks)


class Holder:
    """What hands an array on through NumPy's protocol."""

    def __init__(self, a):
        self.__array_interface__, self.a = a.__array_interface__, a


VIEWS = {
    "itself": lambda a: a,
    "in a dict": lambda a: np.asarray({"a": [a]}["a"][0]),
    "slice": lambda a: a[7:250],
    "nothing but one number": lambda a: a[-1:],
    "reversed": lambda a: a[::-3],
    "reshaped": lambda a: a[:240].reshape(2, 4, 30).T,
    "view of a view of a view": lambda a: a[4:248][4:236][::2],
    "other dtype": lambda a: a[:256].view(np.float32),
    "memoryview": lambda a: memoryview(a)[3:200],
    "frombuffer": lambda a: np.frombuffer(memoryview(a), np.uint8, 64, 32),
    "strides": lambda a: np.lib.stride_tricks.as_strided(a, (5, 3), (2, 1)),
    "subclass": lambda a: a.view(np.recarray),
    "broadcast": lambda a: np.broadcast_to(a, (3, a.size)),
    "dlpack": np.from_dlpack,
    "protocol": lambda a: np.asarray(Holder(a)),
    "iterator": lambda a: np.nditer(a[:9], ["multi_index"]).operands[0],
    "flat": lambda a: a.flat,
}


@settings(max_examples=200)
@given(
    history=st.lists(
        st.tuples(
            st.sampled_from(["take", "take", "look", "drop", "drop"]),
            st.sampled_from(sorted(VIEWS)),
            st.sampled_from([256, 300, 310, 1000, 5000]),
            st.integers(0, 99),
        ),
        min_size=1,
        max_size=40,
    )
)
def test_what_can_be_seen_is_never_handed_out(history):
    kept = []  # each with the numbers that it must keep
    with mock.patch.object(buffers, "_buffers", buffers._Buffers()):
        for number, (what, how, size, place) in enumerate(history):
            if what == "take":
                a = take(size)
                a[...] = number
                kept.append((a, np.array(a)))
                del a
            elif kept and what == "look":  # and what was looked at may later be dropped
                a = kept[place % len(kept)][0]
                plain = type(a) is np.ndarray and a.dtype == np.uint8 and a.flags.carray
                if plain and a.ndim == 1 and a.size >= 256:
                    view = VIEWS[how](a)
                    kept.append((view, np.array(view)))
                    del view
                del a
            elif kept:
                del kept[place % len(kept)]
            for view, numbers in kept:
                np.testing.assert_array_equal(np.array(view), numbers)
        assert buffers._buffers.total == held(buffers._buffers)


@pytest.mark.parametrize("how", VIEWS)
def test_a_view_alone_keeps_its_memory(how):
    """And when it is gone too, the memory is used again."""
    a = take(400)
    a[...] = 1
    where, view = address(a), VIEWS[how](a)
    del a
    others = [take(400) for _ in range(3)]
    assert where not in map(address, others)
    for other in others:
        other[...] = 2
    assert (np.array(view).view(np.uint8) == 1).all()
    del view
    gc.collect()
    assert address(take(400)) == where


def test_what_nobody_sees_is_used_again(pool):
    first = address(take(1000))
    total = pool.total
    assert 1000 <= total <= 1000 * 9 / 8 + 64 + 64
    for _ in range(5):
        assert address(take(1000)) == first
    two = take(1000), take(1000)
    assert sorted(map(address, two))[0] != sorted(map(address, two))[1]
    assert pool.total == 2 * total


@given(
    shape=hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=12),
    dtype=st.sampled_from(["f4", "f8", "f2", "i8", "i4", "u1", "?", ">f4", "c16"]),
)
def test_it_is_as_numpys_and_aligned(shape, dtype):
    a = buffers.empty(np, shape, dtype)
    plain = np.empty(shape, dtype)
    assert (a.shape, a.dtype, a.strides) == (plain.shape, plain.dtype, plain.strides)
    assert type(a) is np.ndarray
    assert a.flags.c_contiguous
    assert a.flags.writeable
    assert a.flags.aligned
    a[...] = 1
    assert (a == 1).all()
    if a.nbytes >= 256:
        assert address(a) % 64 == 0
    assert (a.base is None) == (a.nbytes < 256)


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 4095, 4096, 5000, 16000, 50_000])
def test_at_most_an_eighth_is_wasted(size, pool):
    a = take(size)
    assert a.nbytes == size
    if size < 256:
        assert pool.total == 0
    else:
        assert size <= a.base.nbytes == pool.total <= (size + 64) * 9 / 8 + 1


def test_small_arrays_and_other_libraries_are_left_alone(pool):
    class Library:
        empty = staticmethod(lambda shape, dtype: ("theirs", shape, dtype))

    assert buffers.empty(Library, (1000, 1000), np.float32)[:2] == ("theirs", (1000, 1000))
    assert take(0).base is take(255).base is None
    assert buffers.empty(np, (1000, 0, 1000), "f8").shape == (1000, 0, 1000)
    assert pool.total == 0


def test_what_nobody_uses_is_given_back_when_there_is_too_much(pool):
    tracemalloc.start()
    try:
        for size in range(256, 9000, 256):
            take(size)
            assert pool.total == held(pool) <= buffers.LARGEST_TOTAL
        assert tracemalloc.get_traced_memory()[0] < 2 * buffers.LARGEST_TOTAL
    finally:
        tracemalloc.stop()
    kept = [take(1000) for _ in range(5)]
    for size in range(256, 9000, 256):
        take(size)
    assert pool.total == held(pool) <= buffers.LARGEST_TOTAL
    assert len({address(a) for a in kept}) == 5


def test_a_peak_does_not_stay(pool):
    """After one large batch, small ones: what is too much must not be held for ever."""
    peak = [take(1000) for _ in range(50)]
    assert pool.total > 3 * buffers.LARGEST_TOTAL
    del peak
    for _ in range(5):
        take(1000)
    assert pool.total <= buffers.LARGEST_TOTAL


def test_a_copy_does_not_hold_memory():
    a = take(1000)
    where, copies = address(a), [a.copy(), pickle.loads(pickle.dumps(a)), a + 1, a[a > 0]]
    del a
    assert address(take(1000)) == where
    assert len(copies) == 4


def test_an_error_in_between_loses_nothing(pool):
    take(1000)
    total = pool.total
    with pytest.raises(MemoryError), mock.patch.object(np, "empty", side_effect=MemoryError):
        kept = [take(1000), take(1000)]
    assert pool.total == held(pool) == total
    kept = take(1000)
    assert pool.total == total
    assert kept.size == 1000


@pytest.mark.parametrize("limit", [1 << 14, 1 << 20])
def test_no_two_threads_get_the_same(limit, pool, monkeypatch):
    """Each fills what it took with its own number, lets others run, and looks again."""
    monkeypatch.setattr(buffers, "LARGEST_TOTAL", limit)
    wrong, begin = [], threading.Barrier(6)

    def work(me):
        rng, kept = np.random.default_rng(me), []
        begin.wait(60)
        for i in range(150):
            a = take(int(rng.choice([256, 300, 1000, 256 + 64 * rng.integers(40)])))
            number = me + 6 * (i % 40)
            a[...] = number
            kept.append((a, number))
            del a
            if i % 10 == 0:
                time.sleep(0)
            wrong.extend(1 for view, number in kept if (view != number).any())
            while len(kept) > rng.integers(1, 6):
                kept.pop(int(rng.integers(len(kept))))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        workers = [threading.Thread(target=work, args=(me,)) for me in range(6)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(120)
    finally:
        sys.setswitchinterval(interval)
    assert not any(worker.is_alive() for worker in workers)
    assert not wrong
    assert pool.total == held(pool)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("locked", [False, True])
def test_a_forked_child_has_a_pool_that_works(locked, pool):
    """Also if another thread was taking a buffer at that moment."""
    kept = take(1000)
    kept[...] = 1
    if locked:
        pool._lock.acquire()
    child = os.fork()
    if child == 0:
        try:
            signal.signal(signal.SIGALRM, lambda *_: os._exit(1))
            signal.alarm(60)
            for _ in range(3):
                take(1000)[...] = 2
            os._exit(0 if (kept == 1).all() else 2)
        finally:
            os._exit(3)
    if locked:
        pool._lock.release()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_take_below_another_does_not_wait(pool):
    """As in a signal handler that runs while the lock is held: it could wait for ever."""
    with pool._lock:
        a = take(1000)
    a[...] = 1
    assert address(take(1000)) != address(a)


@pytest.mark.host(reason="minigrad's buffers are for NumPy")
def test_sequences_of_random_lengths_do_not_hoard(pool, monkeypatch):
    monkeypatch.setattr(buffers, "SMALLEST", 256)
    monkeypatch.setattr(buffers, "LARGEST_TOTAL", 1 << 40)
    rng = np.random.default_rng(0)
    layer = mg.nn.LSTM(16, 16, 2, bidirectional=True)
    totals = []
    for _ in range(60):
        lengths = rng.integers(1, 60, 8)
        output, _ = layer(np.ones((60, 8, 16), np.float32), lengths=lengths)
        output.sum().backward()
        totals.append(pool.total)
    assert max(totals[30:]) < 1.6 * max(totals[:6])
