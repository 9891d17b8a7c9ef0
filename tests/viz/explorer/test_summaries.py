"""Arrays in a few numbers and letters."""

import numpy as np
import pytest

from minigrad.viz.explorer import summaries
from minigrad.viz.explorer.summaries import LETTERS, LEVELS, Summaries

RNG = np.random.default_rng


def plain(*arrays):
    found = Summaries()
    assert [found.add(a) for a in arrays] == list(range(len(arrays)))
    return found.plain()


def cells(row):
    """The shades of a picture, from -1 to 1; NaN for what is not finite."""
    *_, rows, columns, letters = row
    shades = np.array([bytes(LETTERS).index(c.encode()) for c in letters], float)
    shades = np.where(shades == 2 * LEVELS + 1, np.nan, (shades - LEVELS) / LEVELS)
    return shades.reshape(rows, columns)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int64", "bool"])
@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 4), (2, 3, 4), (1, 1)])
def test_the_numbers(shape, dtype):
    x = (RNG(0).normal(size=shape) * 10).astype(dtype)
    norm, mean, least, most, nan, infinite, first, *_ = plain(x)[0]
    y = np.asarray(x, float)
    np.testing.assert_allclose(
        [norm, mean, least, most], [np.linalg.norm(y), y.mean(), y.min(), y.max()], rtol=1e-3
    )
    assert nan == infinite == 0
    told = [float(part) for part in first.removesuffix(", …").split(", ")]
    np.testing.assert_allclose(told, y.ravel()[:5], rtol=1e-3)
    assert first.endswith("…") == (y.size > 5)


@pytest.mark.parametrize("shape", [(2,), (5, 6), (3, 2, 4), (24, 24), (48,)])
def test_a_small_array_has_a_cell_for_each_element(shape):
    x = RNG(0).normal(size=shape)
    matrix = x.reshape(-1, shape[-1])
    np.testing.assert_allclose(cells(plain(x)[0]), matrix / np.abs(x).max(), atol=0.51 / LEVELS)


def test_of_a_large_array_the_largest_elements_are_seen():
    """Each, wherever it is, whatever its sign; and a NaN."""
    for value in (5.0, -5.0, np.nan, np.inf, -np.inf):
        for at in ((0, 0), (999, 699), (517, 33), (0, 699), (444, 350)):
            x = RNG(0).uniform(-1, 1, (1000, 700))
            x[at] = value
            found = cells(plain(x)[0])
            assert found.shape == (24, 24)
            row, column = at[0] * 24 // 1000, at[1] * 24 // 700
            finite = np.isfinite(value)
            where = found == np.sign(value) if finite else np.isnan(found)
            assert np.argwhere(where).tolist() in ([[row, column]], [[row - 1, column]]), at


def test_what_is_not_finite_is_counted_and_left_out():
    x = np.array([[1.0, np.nan, -3.0], [np.inf, -np.inf, np.nan]])
    norm, mean, least, most, nan, infinite, *_ = row = plain(x)[0]
    assert (round(norm, 3), mean, nan, infinite) == (3.162, -1, 2, 2)
    assert np.isnan([least, most]).all()
    np.testing.assert_array_equal(np.isnan(cells(row)), ~np.isfinite(x))
    assert plain(np.full(3, np.nan))[0][:2] == [0, 0]
    assert plain(np.zeros((0, 3)))[0][:4] == [0, 0, 0, 0]
    assert plain(np.full((2, 2), 1e200))[0][0] == pytest.approx(2e200)
    assert (cells(plain(np.zeros((2, 3)))[0]) == 0).all()


def test_an_array_is_there_once_and_pictures_get_smaller(monkeypatch):
    x = RNG(0).normal(size=(50, 50))
    found = Summaries()
    assert [found.add(x), found.add(None), found.add(x), found.add(x.copy())] == [0, -1, 0, 1]
    assert len(found.plain()) == 2
    monkeypatch.setattr(summaries, "CELLS", 2 * 12 * 12 + 1)
    assert found.plain()[0][-3:-1] == [12, 12]
