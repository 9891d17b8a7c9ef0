"""Work shared among threads: all of it is done, once, at the same time, and errors come through."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import minigrad as mg
from minigrad.arrays import threads


@pytest.fixture
def use(monkeypatch):
    """use(3): three threads from now on, in a pool of their own."""

    def use(count):
        threads._pool.cache_clear()
        monkeypatch.setattr(threads, "count", lambda: count)

    yield use
    if threads._pool.cache_info().currsize:
        threads._pool().shutdown()
    threads._pool.cache_clear()


@pytest.mark.parametrize("count", [1, 2, 3, 8])
@pytest.mark.parametrize("pieces", [0, 1, 2, 3, 4, 50])
@pytest.mark.parametrize("kind", [list, iter, range])
def test_every_piece_is_done_once(count, pieces, kind, use):
    use(count)
    done = []
    assert (
        threads.share(done.append, kind(pieces) if kind is range else kind(range(pieces))) is None
    )
    assert sorted(done) == list(range(pieces))


@pytest.mark.parametrize("count", [2, 4])
def test_it_runs_at_the_same_time_in_so_many_threads(count, use):
    use(count)
    meeting, seen = threading.Barrier(count, timeout=60), set()

    def piece(_):
        meeting.wait()  # breaks unless `count` threads come
        seen.add(threading.get_ident())

    threads.share(piece, range(count))
    assert len(seen) == count
    assert threading.get_ident() in seen


def test_one_thread_or_one_piece_needs_no_other_thread(use):
    for count, pieces in ((1, 5), (8, 1), (8, 0)):
        use(count)
        seen = []
        threads.share(lambda _, seen=seen: seen.append(threading.get_ident()), range(pieces))
        assert seen == [threading.get_ident()] * pieces
        assert threads._pool.cache_info().currsize == 0


def test_large_arrays_are_computed_as_by_one(use):
    use(3)
    x, y = np.random.default_rng(0).normal(size=100_000), np.empty(100_000)
    cuts = [(i, i + 7_000) for i in range(0, 100_000, 7_000)]
    threads.share(lambda cut: np.exp(x[slice(*cut)], out=y[slice(*cut)]), cuts)
    np.testing.assert_array_equal(y, np.exp(x))


def test_several_threads_may_train_at_once(use):
    """Each with a network and buffers of its own, over the same helpers."""
    use(3)

    def train(seed):
        rng = np.random.default_rng(seed)
        rnn, head = mg.nn.LSTM(16, 40, rng=rng), mg.nn.Linear(40, 600, rng=rng)
        parameters = [*rnn.parameters(), *head.parameters()]
        optimizer = mg.optim.SGD(parameters, lr=0.1)
        for _ in range(4):
            x = mg.tensor(rng.normal(size=(20, 30, 16)), dtype="float32")
            output, _ = rnn(x, lengths=rng.integers(0, 21, 30))
            loss = mg.linear_cross_entropy(
                output, head.weight, head.bias, rng.integers(0, 600, (20, 30))
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return [p.numpy() for p in parameters]

    expected = [train(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(train, range(4)))
    for one, other in zip(found, expected, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


# ------------------------------------------------------------------------- errors


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("failing", [{0}, {1}, {2}, {3}, {5}, {0, 1, 2}])
def test_an_error_comes_through_and_the_pool_lives_on(count, failing, use):
    """In the caller's own pieces (0, 3) as in those of a helper."""
    use(count)

    def piece(i):
        if i in failing:
            raise ZeroDivisionError(f"piece {i}")

    with pytest.raises(ZeroDivisionError, match=f"piece [{''.join(map(str, failing))}]"):
        threads.share(piece, range(6))
    done = []
    threads.share(done.append, range(6))
    assert sorted(done) == list(range(6))


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_comes_through(error, use):
    use(3)

    def piece(i):
        if i == 0:
            raise error

    with pytest.raises(error):
        threads.share(piece, range(6))


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_after_an_error_nobody_works_on(failing, use):
    """The arrays may be in use again as soon as share has returned."""
    use(3)
    done = []

    def piece(i):
        if i == failing:
            raise ZeroDivisionError
        if i:
            time.sleep(0.1)
        done.append(i)

    with pytest.raises(ZeroDivisionError):
        threads.share(piece, range(3))
    at_return = sorted(done)
    time.sleep(0.2)
    assert at_return == sorted(done) == sorted({0, 1, 2} - {failing})


def test_helpers_ignore_what_the_caller_ignores(use):
    use(2)
    with np.errstate(over="ignore"):
        threads.share(lambda _: np.exp(np.full(3, 1e4)), range(2))


# ------------------------------------------------------------------------- forks


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_shares_work_too(use):
    """It has none of its parent's threads; waiting for those would take for ever."""
    use(3)
    threads.share(lambda _: time.sleep(0.01), range(6))
    child = os.fork()
    if child == 0:
        try:
            signal.signal(signal.SIGALRM, lambda *_: os._exit(1))
            signal.alarm(60)
            done = []
            threads.share(done.append, range(6))
            os._exit(0 if sorted(done) == list(range(6)) else 2)
        finally:
            os._exit(3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    done = []
    threads.share(done.append, range(6))
    assert sorted(done) == list(range(6))


# ------------------------------------------------------------------------- how many


@pytest.fixture
def env(monkeypatch):
    """env(NAME=value, ...): count() in an environment in which only these are set."""

    def env(**values):
        for name in threads.VARIABLES:
            monkeypatch.delenv(name, raising=False)
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        threads.count.cache_clear()
        return threads.count()

    yield env
    threads.count.cache_clear()


def test_the_first_variable_that_is_set_decides(env):
    values = dict(zip(threads.VARIABLES, ("3", "5", "7", "9"), strict=True))
    names = list(values)
    assert names[0] == "MINIGRAD_NUM_THREADS"
    for i, name in enumerate(names):
        assert env(**{n: values[n] for n in names[i:]}) == int(values[name])
        assert env(**{name: values[name]}) == int(values[name])


@pytest.mark.parametrize("value", ["", "0", "-2", "two", "1.5", "1e3", "0x4", "²", ",4", "None"])
def test_nonsense_is_passed_over(value, env):
    assert env(MINIGRAD_NUM_THREADS=value, OPENBLAS_NUM_THREADS="6") == 6
    assert env(MINIGRAD_NUM_THREADS=value) == env()


@pytest.mark.parametrize(("value", "count"), [("4", 4), ("04", 4), ("4,2", 4), ("1", 1)])
def test_numbers(value, count, env):
    assert env(OMP_NUM_THREADS=value) == count


def test_otherwise_all_cores_that_this_process_may_use(env, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 2, 5}, raising=False)
    assert env() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 11)
    assert env() == 11
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert env() == 1


def test_pieces_may_share_in_turn(use):
    """Helpers do not wait for helpers: that would be for ever."""
    use(3)
    done = []
    threads.share(lambda i: threads.share(lambda k: done.append((i, k)), range(3)), range(3))
    assert sorted(done) == [(i, k) for i in range(3) for k in range(3)]


@pytest.mark.parametrize("used_before", [False, True])
def test_work_goes_on_when_the_main_thread_has_ended(used_before):
    """Python closes its pools of threads then, while other threads are still running."""
    code = f"""if True:
        import threading, time
        from minigrad.arrays import threads

        if {used_before}:
            threads.share(lambda i: None, range(4))
        done = []

        def work():
            threading.main_thread().join()
            time.sleep(0.05)
            threads.share(done.append, range(4))
            print(sorted(done))

        threading.Thread(target=work).start()
    """
    environment = os.environ | {"MINIGRAD_NUM_THREADS": "2"}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60
    )
    assert (ran.stdout, ran.stderr) == ("[0, 1, 2, 3]\n", "")
