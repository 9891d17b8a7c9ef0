"""A program for several ranks: the mean of random gradients has the bits of a plain tree sum.

It is compared on every rank with a reference that knows nothing of ranks; so if it holds with 1, 2
and 4 ranks, their bits are equal.
"""

import sys
from functools import partial

import numpy as np

import minigrad as mg
from minigrad.distributed import GradientAverage, averaging, world


def plain_mean(values, shards):
    """The mean of the values of all shards; None, no gradient, is skipped."""

    def total(level, i):
        if level == 0:
            return values[i]
        left = total(level - 1, 2 * i)
        if (2 * i + 1) << (level - 1) >= shards:
            return left
        right = total(level - 1, 2 * i + 1)
        if left is None or right is None:
            return left if right is None else right
        return left + right

    root = total((shards - 1).bit_length(), 0)
    return root if root is None or shards == 1 else root / shards


def random_array(rng, shape, dtype):
    kind = rng.integers(6)
    x = rng.standard_normal(shape) * 10.0 ** rng.integers(-3, 4)
    if kind == 0:  # values of all sizes, of which some are no numbers
        x = rng.choice([0.0, -0.0, 1e-40, 3e38, -3e38, np.inf, -np.inf, np.nan, 6e4], shape)
    if kind == 1:
        x = np.zeros(shape)
    with np.errstate(over="ignore"):
        return np.asarray(x, dtype)


def random_gradient(rng, kind, parameter):
    """As the tape would leave it, and the array that it stands for, in the dtype of the sum."""
    shape, dtype = parameter.shape, parameter.dtype
    wide = np.float32 if dtype == np.float16 else dtype
    if kind == "none" or (kind == "some" and rng.random() < 0.5):
        return None, None
    if kind == "sparse":
        rows = rng.integers(0, max(shape[0], 1), rng.integers(0, 5) if shape[0] else 0)
        with np.errstate(all="ignore"):
            sparse = mg.RowSparse(rows, random_array(rng, (len(rows), shape[1]), dtype), shape)
        full = np.full(shape, -0.0, wide)  # adding -0.0 changes no number, not even -0.0
        full[sparse.rows] = sparse.values
        return sparse, full
    x = random_array(rng, shape, dtype)
    if kind == "strided" and x.ndim > 1:
        x = np.asfortranarray(x)
    if kind == "fixed":
        x.flags.writeable = False
    return mg.Tensor(x, device="cpu"), x.astype(wide)


def same(a, b):
    """Equal bits, NaN aside, whose sign and payload are nobody's business."""
    if a is None or b is None:
        return a is b
    a, b = np.asarray(a), np.asarray(b)
    numbers = ~np.isnan(a)
    return (
        a.dtype == b.dtype
        and a.shape == b.shape
        and np.array_equal(np.isnan(a), np.isnan(b))
        and a[numbers].tobytes() == b[numbers].tobytes()
    )


def one_case(rng, communicator, shards, reduce):
    averaging.SMALL = int(rng.choice([1, 8, 40, 1 << 18]))
    dtypes = [np.float16, np.float32, np.float64]
    shapes, kinds = [(), (0,), (1,), (7,), (3, 5), (2, 3, 4), (0, 3), (50, 2)], []
    parameters = []
    for _ in range(rng.integers(1, 7)):
        shape = shapes[rng.integers(len(shapes))]
        kinds.append(str(rng.choice(["dense", "some", "none", "strided", "fixed", "again"])))
        if len(shape) == 2 and rng.random() < 0.3:
            kinds[-1] = "sparse"
        dtype = dtypes[rng.integers(3)]
        parameters.append(mg.zeros(*shape, dtype=dtype).requires_grad_())
    tied = [*parameters, parameters[0]]  # it counts once
    mean = GradientAverage(tied, shards, communicator, reduce)
    drawn = partial(random_gradient, rng)
    memory = [mg.zeros_like(p) for p in parameters]
    for _ in range(2):  # two steps with the same object
        given = [list(map(drawn, kinds, parameters)) for _ in range(shards)]
        losses = rng.standard_normal(shards).astype(np.float32)
        for shard in mean.own:
            for p, place, kind, (g, _) in zip(parameters, memory, kinds, given[shard], strict=True):
                p.grad = g
                if kind == "again":  # as a captured step does
                    place.data[...] = g.data
                    p.grad = place
            loss = mg.tensor(losses[shard])
            mean.add(loss)
            assert loss.item() == losses[shard]
            assert all(p.grad is None for p in parameters) or shards == 1
        [loss] = mean.finish()
        found = [*(p.grad for p in parameters), loss]
        for i, x in enumerate(found):
            column = losses if i == len(parameters) else [row[i][1] for row in given]
            with np.errstate(all="ignore"):
                expected = plain_mean(
                    [None if v is None else np.asarray(v) for v in column], shards
                )
                if expected is not None:
                    like = np.float32 if i == len(parameters) else parameters[i].dtype
                    expected = np.asarray(expected).astype(like)
                    if i < len(parameters) and kinds[i] == "sparse" and shards > 0:
                        rows = [row[i][0].rows for row in given if row[i][0] is not None]
                        absent = np.setdiff1d(np.arange(len(expected)), np.concatenate(rows))
                        expected[absent] = 0
            got = None if x is None else x.numpy()
            if reduce == "exact":
                assert same(got, expected), (shards, i, kinds, got, expected)
            elif expected is not None:
                fine = np.isfinite(got) & np.isfinite(expected)
                sizes = [np.abs(v[fine]).max(initial=0) for v in column if v is not None]
                bound = shards * 4 * np.finfo(got.dtype).eps * max(sizes)
                assert np.abs(got[fine] - expected[fine]).max(initial=0) <= bound
        bits = b"".join(mg.Tensor(x).numpy().tobytes() for x in found if x is not None)
        assert len(set(communicator.gather(bits))) == 1
    return len(found)


def exchange_all_kinds(line):
    """Each method of the communicator, with values of all sizes."""
    rank, size = line.rank, line.size
    assert (line.local_rank, line.local_size) == (rank, size)
    for length in (0, 1, 1000, 1001, 1016, 1017, 5000, 1 << 20):
        assert line.broadcast(bytes(length) if rank == 0 else None) == bytes(length)
        values = line.gather(("of", rank, bytes(length * rank)))
        assert values == [("of", r, bytes(length * r)) for r in range(size)]
    every = range(size)
    for dtype in ("float16", "float32", "float64", "int64"):
        for view in (np.s_[:], np.s_[1:, ::2], np.s_[2, 1, ...], np.s_[:0]):
            array = (np.arange(12, dtype=dtype).reshape(3, 4).T + rank)[view]
            expected = array * size + sum(every) - rank * size
            line.all_reduce(array)
            np.testing.assert_array_equal(array, expected)
    bounds = [0, *(r * r for r in every)][: size + 1]  # some parts are empty
    array = np.full(bounds[-1], -1.0)
    array[bounds[rank] : bounds[rank + 1]] = rank
    line.share(array, bounds)
    expected = np.repeat(every, np.diff(bounds))
    np.testing.assert_array_equal(array, expected)
    receive = [np.zeros(r, np.float16) for r in every]
    line.swap([np.full(rank, rank + r / 8, np.float16) for r in every], receive)
    for r in every:
        np.testing.assert_array_equal(receive[r], np.full(r, r + rank / 8))
    line.barrier()


def main(seed, cases):
    communicator = world(60)
    exchange_all_kinds(communicator)
    compared = 0
    for case in range(cases):
        shards = 1 + case % 9
        rng = np.random.default_rng([seed, case])
        if shards >= communicator.size:
            compared += one_case(rng, communicator, shards, "fast" if case % 4 == 3 else "exact")
    communicator.barrier()
    if communicator.rank == 0:
        print(f"{communicator.size} ranks: {compared} means are right")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
