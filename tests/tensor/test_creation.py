"""Tensors out of nothing: shapes in one piece or length by length, dtypes, chance."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg

MAKERS = [mg.zeros, mg.ones, mg.rand, mg.randn]
every_maker = pytest.mark.parametrize("make", MAKERS)


@every_maker
def test_shapes_and_dtypes(make):
    for y in (make(2, 3), make((2, 3)), make([2, 3]), make(np.array([2, 3])), make(np.int64(2), 3)):
        assert (y.shape, y.dtype) == ((2, 3), np.float32)
    assert make(4).shape == make((4,)).shape == (4,)
    assert make(()).shape == ()
    for y in (make((2, 3), np.float64), make(2, 3, "float64"), make(2, 3, dtype=mg.float64)):
        assert (y.shape, y.dtype) == ((2, 3), np.float64)
    assert make(2, requires_grad=True).requires_grad


@every_maker
@pytest.mark.parametrize("wrong", [(2.5,), ("a",), ((2, 3), 4), (2, "cpu", True)])
def test_what_is_no_shape_is_told(make, wrong):
    with pytest.raises(TypeError, match=rf"{make.__name__}: expected lengths, .* dtype="):
        make(*wrong)


def test_full_takes_numbers_of_any_library():
    for value in (3, np.float64(3), np.array(3), mg.tensor(3.0)):
        y = mg.full((2,), value)
        assert (y.tolist(), y.dtype) == ([3, 3], np.float32)
    assert mg.full((2, 2), [1.0, 2.0]).tolist() == [[1, 2], [1, 2]]


def test_ranges():
    assert (mg.arange(3).tolist(), mg.arange(3).dtype) == ([0, 1, 2], np.int64)
    assert mg.arange(1, 7, 2).tolist() == [1, 3, 5]
    assert (mg.arange(0, 1, 0.5).tolist(), mg.arange(0, 1, 0.5).dtype) == ([0, 0.5], np.float32)
    assert mg.arange(np.float64(2)).dtype == np.float32
    assert mg.arange(3, dtype=mg.float64).dtype == np.float64
    y = mg.linspace(0, 1, 5, requires_grad=True)
    assert (y.tolist(), y.dtype, y.requires_grad) == ([0, 0.25, 0.5, 0.75, 1], np.float32, True)
    assert mg.eye(2).tolist() == [[1, 0], [0, 1]]
    assert mg.eye(2, 3, dtype=int).dtype == np.int64


def test_chance_follows_the_seed_and_the_generator():
    for draw in (mg.rand, mg.randn, lambda *n, **o: mg.randint(100, n, **o)):
        mg.manual_seed(3)
        first = draw(50)
        mg.manual_seed(3)
        assert draw(50).tolist() == first.tolist() != draw(50).tolist()
        one, two = (draw(50, rng=np.random.default_rng(7)).tolist() for _ in range(2))
        assert one == two
    u, z = mg.rand(10_000).numpy(), mg.randn(10_000).numpy()
    assert 0 <= u.min() < 0.01 < 0.99 < u.max() < 1
    assert abs(u.mean() - 0.5) < 0.02
    assert abs(z.mean()) < 0.05
    assert abs(z.std() - 1) < 0.05


def test_integers_by_chance():
    y = mg.randint(2, 5, (1000,))
    assert (set(y.tolist()), y.dtype) == ({2, 3, 4}, np.int64)
    assert mg.randint(5, (2, 3)).shape == (2, 3)
    assert mg.randint(3).shape == ()
    assert sorted(mg.randperm(6).tolist()) == list(range(6))


@pytest.mark.host(reason="NumPy's arrays are on the CPU")
def test_from_numpy_shares_its_memory():
    array = np.zeros(2)
    x = mg.from_numpy(array)
    array[0] = 5
    assert (x.tolist(), x.dtype) == ([5, 0], np.float64)
    with pytest.raises(TypeError, match="from_numpy: expected a NumPy array, got list"):
        mg.from_numpy([1])
