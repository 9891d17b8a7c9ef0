"""Ranks with a GPU each: `NcclCommunicator`, on the strict double of NCCL's calls."""

import re
import sys

import double
import numpy as np
import pytest
from double import cupy
from double.collectives import nccl
from ranks_in_threads import on_ranks

import minigrad as mg
from minigrad.distributed import Communicator, GradientAverage, averaging
from minigrad.distributed.nccl_communicator import NcclCommunicator

pytestmark = [
    pytest.mark.device,
    pytest.mark.skipif(
        sys.modules.get("cupy") is not cupy, reason="ranks that are threads need the strict double"
    ),
]
ranks = pytest.mark.parametrize("size", [1, 2, 4])


def bounds(length, size):
    """Uneven parts, an empty one among them."""
    return [0, *[length * r // size for r in range(1, size)], length]


def fetched(arrays):
    return [array.get() for array in arrays]


class TestExchanges:
    @ranks
    @pytest.mark.parametrize("dtype", ["f4", "f8", "f2", "i4", "u1", "i8"])
    def test_all_reduce(self, size, dtype):
        def run(line):
            x = cupy.asarray(np.full((2, 3), 1 + line.rank, dtype))
            line.all_reduce(x)
            return x

        for x in fetched(on_ranks(size, run)):
            assert (x.dtype, x.shape) == (dtype, (2, 3))
            assert (x == sum(range(1, size + 1))).all()

    def test_float16_is_summed_in_float32(self):
        def run(line):
            x = cupy.full(1, 2048 if line.rank == 3 else 0.5, "e")
            line.all_reduce(x)
            return x

        assert [x.item() for x in fetched(on_ranks(4, run))] == [2050] * 4

    @ranks
    def test_swap(self, size):
        """Rank a sends rank b (a + b) % size numbers 10 a + b."""

        def run(line):
            lengths = [(line.rank + r) % size for r in range(size)]
            send = [cupy.full(n, 10 * line.rank + r, "f") for r, n in enumerate(lengths)]
            receive = [cupy.empty(n, "f") for n in lengths]
            line.swap(send, receive)
            return receive

        for rank, received in enumerate(on_ranks(size, run)):
            for other, x in enumerate(fetched(received)):
                np.testing.assert_array_equal(x, [10.0 * other + rank] * ((rank + other) % size))

    @ranks
    @pytest.mark.parametrize("length", [0, 2, 7])
    def test_share(self, size, length):
        parts = bounds(length, size)

        def run(line):
            x = cupy.zeros(length + 2, "d")
            mine = slice(parts[line.rank] + 1, parts[line.rank + 1] + 1)
            x[mine] = line.rank + 1
            line.share(x[1:-1], parts)
            return x

        expected = np.repeat(np.arange(size) + 1, np.diff(parts))
        for x in fetched(on_ranks(size, run)):
            np.testing.assert_array_equal(x, [0, *expected, 0])

    def test_none_of_them_waits(self):
        def run(line):
            x = cupy.zeros(6, "f")
            line.all_reduce(x)
            line.swap([x[:3], x[3:]], [cupy.empty(3, "f"), cupy.empty(3, "f")])
            line.share(x, [0, 3, 6])

        with double.budget(sync=0, d2h=0, h2d=0, float64=0) as events:
            on_ranks(2, run)
        done = [event.what for event in events if event.what.startswith("nccl")]
        assert len(done) == 2 * 3

    def test_what_is_on_the_host_stays_there(self):
        def run(line):
            x = np.ones(3)
            line.all_reduce(x)
            return x.tolist(), line.broadcast(line.rank + 5), line.gather(line.rank), line._started

        assert on_ranks(2, run) == [([2, 2, 2], 5, [0, 1], None)] * 2

    def test_it_is_the_rank_that_it_is_given(self):
        line = Communicator()
        line.rank, line.size, line.local_rank, line.local_size, line.timeout = 5, 8, 1, 4, 60.0
        made = NcclCommunicator(line)
        told = made.rank, made.size, made.local_rank, made.local_size, made.timeout
        assert told == (5, 8, 1, 4, 60.0)
        made.timeout = None
        assert line.timeout is None


WRONG = {
    "not contiguous": (
        lambda line: line.all_reduce(cupy.zeros((2, 3), "f").T),
        ValueError,
        "all_reduce: expected a contiguous array, got float32 (3, 2) with strides (4, 12)",
    ),
    "two devices": (
        lambda line: line.swap([np.zeros(1, "f"), cupy.zeros(1, "f")], [cupy.zeros(1, "f")] * 2),
        ValueError,
        "swap: expected all arrays on one device, got ['cpu', 'cuda:",
    ),
    "bools": (
        lambda line: line.share(cupy.zeros(2, bool), [0, 1, 2]),
        TypeError,
        "NCCL: expected floats, or integers of 8, 32 or 64 bits, got bool",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arrays(name):
    function, error, message = WRONG[name]
    with pytest.raises(error, match=re.escape(message)):
        on_ranks(2, function)


def test_two_ranks_on_one_gpu():
    """It is told before NCCL tells it, in words that only NCCL's own log explains."""
    told = r"ranks 0 and 2 have the same GPU, 0000:01:00\.0 of .*as many ranks on a machine as it"
    with pytest.raises(RuntimeError, match=told):
        on_ranks(3, lambda line: line.all_reduce(cupy.ones(1, "f")), gpus=[1, 0, 1])


def test_nccl_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(nccl, "available", False)
    with pytest.raises(RuntimeError, match=r"libnccl\.so\.2 cannot .*pip install .*\[nccl\]"):
        on_ranks(2, lambda line: line.all_reduce(cupy.ones(1, "f")))


def test_an_error_of_one_rank_leaves_nobody_waiting():
    def run(line):
        if line.rank == 1:
            raise KeyError("mine")
        line.all_reduce(cupy.ones(1, "f"))

    with pytest.raises(KeyError, match="mine"):
        on_ranks(4, run)


# ------------------------------------------------------------------ the mean of gradients


SHARDS = 5
SHAPES = [(3, 5), (), (40,), (7, 2), (6,)]
DTYPES = ["f", "f", "d", "e", "f"]


def gradient(shard, i):
    """Of parameter `i`; the fourth has none in some shards, the last one in none."""
    if i == 4 or (i == 3 and shard % 2):
        return None
    rng = np.random.default_rng([shard, i])
    return (rng.standard_normal(SHAPES[i]) * 10.0 ** rng.integers(-3, 4)).astype(DTYPES[i])


def means(line, reduce, steps=1):
    """What GradientAverage makes of these gradients, and of a number beside them."""
    parameters = [
        mg.zeros(*shape, dtype=dtype, device="cuda").requires_grad_()
        for shape, dtype in zip(SHAPES, DTYPES, strict=True)
    ]
    mean = GradientAverage(parameters, SHARDS, line, reduce)
    for _ in range(steps):
        for shard in mean.own:
            for i, p in enumerate(parameters):
                g = gradient(shard, i)
                p.grad = None if g is None else mg.tensor(g, device="cuda")
            mean.add(mg.tensor(np.float32(shard / 3), device="cuda"))
        line.barrier()  # a budget is for all threads: all are within it, and nowhere else
        with double.budget(sync=0, d2h=0, h2d=0, float64=None):
            [number] = mean.finish()
            line.barrier()
        line.barrier()
    return [None if p.grad is None else p.grad.data for p in parameters] + [number.data]


@pytest.fixture(params=[1 << 18, 10], ids=["together", "one by one"])
def _sizes(request, monkeypatch):
    """Whether gradients are small ones, which are put together."""
    monkeypatch.setattr(averaging, "SMALL", request.param)


@pytest.mark.usefixtures("_sizes")
class TestTheMeanOfGradients:
    def test_it_has_the_bits_of_one_rank(self):
        alone = [x if x is None else x.get() for x in means(Communicator(), "exact")]
        for size in (2, 4):
            for found in on_ranks(size, lambda line: means(line, "exact", steps=2)):
                for a, b in zip(alone, found, strict=True):
                    assert (a is None) is (b is None)
                    if a is not None:
                        assert (a.dtype, a.shape) == (b.dtype, b.shape)
                        assert a.tobytes() == b.get().tobytes()

    def test_fast_has_its_numbers(self):
        alone = means(Communicator(), "exact")
        for found in on_ranks(4, lambda line: means(line, "fast")):
            for a, b in zip(alone, found, strict=True):
                if a is not None:
                    np.testing.assert_allclose(
                        b.get(), a.get(), rtol=2e-3 if b.dtype == "e" else 1e-5
                    )


def test_row_sparse_gradients():
    def run(line):
        weight = mg.zeros(9, 2, device="cuda").requires_grad_()
        mean = GradientAverage([weight], 4, line)
        for shard in mean.own:
            rows = cupy.asarray(np.array([shard, 3, 7 - shard]))
            weight.grad = mg.RowSparse(rows, cupy.full((3, 2), shard + 0.1, "f"), (9, 2))
            mean.add()
        mean.finish()
        return weight.grad.to_dense().get()

    alone = run(Communicator())
    assert alone.any()
    for found in on_ranks(2, run):
        assert alone.tobytes() == found.tobytes()
