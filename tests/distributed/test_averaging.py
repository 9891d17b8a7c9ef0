"""The mean of gradients in one process, and what is refused."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.distributed import Communicator, GradientAverage, average_gradients
from minigrad.distributed.shard_tree import PartialSums, nodes_of, part, summed

ALONE = Communicator()


def written(level, i, shards):
    """The sum of a node as it is written down, by its definition."""
    if level == 0:
        return f"{i}"
    left = written(level - 1, 2 * i, shards)
    if (2 * i + 1) << (level - 1) >= shards:
        return left
    return f"({left} + {written(level - 1, 2 * i + 1, shards)})"


def plus(left, right):
    return f"({left} + {right})"


def test_the_tree_is_the_one_that_the_docstring_shows():
    assert written(3, 0, 6) == "(((0 + 1) + (2 + 3)) + (4 + 5))"


@pytest.mark.parametrize("shards", [*range(1, 20), 64, 100])
def test_any_number_of_ranks_sums_along_the_same_tree(shards):
    """Each rank as far as it can alone, with few sums at a time."""
    for size in range(1, shards + 1):
        nodes = {}
        for rank in range(size):
            own = part(shards, size, rank)
            books, sums = PartialSums(shards, own.start), []
            for shard in own:
                sums.append(str(shard))
                for _ in range(books.added()):
                    right, left = sums.pop(), sums.pop()
                    sums.append(plus(left, right))
                assert len(sums) == len(books.nodes) <= 2 * math.log2(len(own) + 1)
            assert books.nodes == nodes_of(shards, own)
            nodes |= dict(zip(books.nodes, sums, strict=True))
        assert summed(nodes, shards, plus) == written((shards - 1).bit_length(), 0, shards)


def test_the_parts_of_the_ranks_are_all_there_is():
    for total in range(20):
        for size in range(1, total + 1):
            parts = [part(total, size, rank) for rank in range(size)]
            assert [i for each in parts for i in each] == [*range(total)]
            assert max(map(len, parts)) - min(map(len, parts)) <= 1


def gradient_of(model, x):
    loss = (model(x) ** 2).mean()
    loss.backward()
    return loss


def test_the_mean_over_shards_is_the_gradient_of_the_whole_batch(rng):
    model = nn.Linear(4, 3, dtype="float64", rng=rng)
    x = mg.tensor(rng.standard_normal((12, 4)), dtype="float64")
    whole = gradient_of(model, x)
    expected = [p.grad.numpy() for p in model.parameters()]
    mean = GradientAverage(model.parameters(), 3, ALONE)
    model.zero_grad()
    for shard in mean.own:
        mean.add(gradient_of(model, x[4 * shard : 4 * shard + 4]))
        assert all(p.grad is None for p in model.parameters())
    [loss] = mean.finish()
    np.testing.assert_allclose(loss.item(), whole.item(), rtol=1e-12)
    for p, g in zip(model.parameters(), expected, strict=True):
        np.testing.assert_allclose(p.grad.numpy(), g, rtol=1e-12)


def test_one_shard_leaves_everything_as_it_is(rng):
    model = nn.Linear(4, 3, rng=rng)
    loss = gradient_of(model, mg.ones(2, 4))
    before = [p.grad for p in model.parameters()]
    mean = GradientAverage(model.parameters(), 1, ALONE)
    mean.add(loss)
    assert mean.finish()[0] is loss
    average_gradients(model.parameters(), ALONE)
    assert all(p.grad is g for p, g in zip(model.parameters(), before, strict=True))


def test_a_captured_step_may_write_each_gradient_into_the_same_memory(rng):
    w = nn.Parameter(rng.standard_normal((300, 300)).astype(np.float32))
    xs = [mg.tensor(rng.standard_normal((2, 300)).astype(np.float32)) for _ in range(5)]

    def step(x):
        loss = ((x @ w) ** 2).mean()
        loss.backward()
        return loss.detach()

    means = []
    for function in (step, mg.capture(step)):
        mean = GradientAverage([w], 5, ALONE)
        for x in xs:
            w.grad = None
            mean.add(function(x))
        mean.finish()
        means.append(w.grad.numpy())
        w.grad = None
    np.testing.assert_array_equal(*means)


def test_two_parameters_may_share_a_gradient():
    v, w = mg.zeros(3).requires_grad_(), mg.zeros(3).requires_grad_()
    mean = GradientAverage([v, w], 2, ALONE)
    mean.add()
    v.grad = w.grad = mg.tensor([2.0, 4.0, 6.0])
    mean.add()
    mean.finish()
    assert v.grad.tolist() == w.grad.tolist() == [1.0, 2.0, 3.0]


def test_what_does_not_fit_is_refused():
    w, table = mg.zeros(3).requires_grad_(), mg.zeros(5, 2).requires_grad_()
    with pytest.raises(ValueError, match='reduce must be "exact" or "fast", not \'slow\''):
        GradientAverage([w], 2, ALONE, "slow")
    with pytest.raises(ValueError, match="0 shards for 1 ranks"):
        GradientAverage([w], 0, ALONE)
    with pytest.raises(
        TypeError, match=r"all_reduce: expected an array of NumPy or CuPy, got \[1\]"
    ):
        ALONE.all_reduce([1])
    with pytest.raises(ValueError, match="no parameters"):
        average_gradients([], ALONE)
    mean = GradientAverage([w, table], 2, ALONE)
    with pytest.raises(RuntimeError, match=r"finish\(\) after 0 of the 2 shards of rank 0"):
        mean.finish()
    with pytest.raises(ValueError, match="number 0 must be a Tensor of one floating-point number"):
        mean.add(0.5)
    w.grad = mg.zeros(4)
    with pytest.raises(
        ValueError, match=r"gradient of parameter 0 is float32 \(4,\), and the para"
    ):
        mean.add()
    mean = GradientAverage([w, table], 2, ALONE)
    mg.embedding(mg.tensor([1, 2], dtype="int64"), table, sparse=True).sum().backward()
    mean.add(mg.tensor(1.0))
    table.sum().backward()
    with pytest.raises(ValueError, match="0 numbers are added with this shard, and 1 with"):
        mean.add()
    with pytest.raises(ValueError, match=r"gradient of parameter 1, float32 \(5, 2\), is row-sp"):
        mean.add(mg.tensor(1.0))
    mean = GradientAverage([w], 2, ALONE)
    mean.add()
    mean.add()
    with pytest.raises(RuntimeError, match="rank 0 has 2 of 2 shards, and all of them were added"):
        mean.add()
    assert mean.finish() == []
    assert w.grad is None
