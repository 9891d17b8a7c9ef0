"""Arrays of other kinds and libraries: their dtype stays, and what would be lost is refused."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import minigrad as mg

DATES = np.array(["2020-01-01", "2020-01-02"], "M8[D]")


class Column:
    """What pandas, xarray, PyTorch and others hand over: an object with ``__array__``."""

    def __init__(self, array):
        self._array, self._data, self.dtype = array, "of its own, as in pandas", array.dtype

    def __array__(self, dtype=None, copy=None):
        return np.array(self._array, dtype)


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "bool", "float16", "float64"])
def test_what_has_an_array_keeps_its_dtype(dtype):
    column = Column(np.array([0, 1], dtype))
    for x in (mg.tensor(column), mg.Tensor(column), mg.zeros_like(column)):
        assert x.dtype == dtype
    assert mg.tensor(column, dtype="float32").dtype == np.float32
    x = mg.ones(2, dtype="float16", requires_grad=True)
    y = x * column
    assert y.dtype == (x * np.array([0, 1], dtype)).dtype
    y.sum().backward()
    assert x.grad.tolist() == [0, 1]


def test_what_has_an_array_goes_where_arrays_go():
    ids = Column(np.array([0, 1]))
    z = mg.tensor(np.array([[1.0, 2.0], [3.0, 5.0]]))
    assert mg.cross_entropy(z, ids).item() == mg.cross_entropy(z, np.array([0, 1])).item()
    assert mg.embedding(ids, z).tolist() == z.tolist()
    z.data = Column(np.zeros((2, 2)))
    assert z.tolist() == [[0, 0], [0, 0]]
    assert (z == Column(np.zeros(2))).all()


MASKED = np.ma.masked_array(np.ones((2, 2)), [[False, True], [False, False]])
MASKED_IDS = np.ma.masked_array([0, 1], [False, True])


@pytest.mark.parametrize(
    "call",
    [
        lambda x: mg.tensor(MASKED),
        lambda x: mg.Tensor(MASKED),
        lambda x: mg.zeros_like(MASKED),
        lambda x: mg.full(2, np.ma.masked),
        lambda x: mg.tensor([MASKED, MASKED]),
        lambda x: x + MASKED,
        lambda x: x + np.ma.masked,
        lambda x: x * MASKED[0],
        lambda x: np.add(x, MASKED),
        lambda x: np.concatenate([x, MASKED]),
        lambda x: mg.stack([x, MASKED]),
        lambda x: mg.where(MASKED > 0, x, 0),
        lambda x: mg.clip(x, MASKED),
        lambda x: x[MASKED > 0],
        lambda x: x[MASKED_IDS],
        lambda x: mg.take(x, MASKED_IDS),
        lambda x: x.at[0].set(MASKED[0]),
        lambda x: x.at[MASKED_IDS].add(1.0),
        lambda x: x.detach().__setitem__(0, MASKED[0]),
        lambda x: setattr(x, "data", MASKED),
        lambda x: x.backward(MASKED),
        lambda x: x == MASKED,
        lambda x: mg.isclose(x, MASKED),
        lambda x: mg.one_hot(MASKED_IDS, 2),
        lambda x: mg.embedding(MASKED_IDS, x),
        lambda x: mg.cross_entropy(x, MASKED_IDS),
        lambda x: mg.mse_loss(x, MASKED),
        lambda x: mg.binary_cross_entropy_with_logits(x, MASKED),
        lambda x: mg.nn.Linear(2, 2)(MASKED),
        lambda x: mg.nn.RNN(2, 2)(MASKED),
        lambda x: mg.nn.LSTM(2, 2, one_hot=True)(MASKED_IDS),
        lambda x: mg.nn.RNN(2, 2)(np.ones((2, 2, 2)), lengths=np.ma.masked_array([1, 2], [0, 1])),
        lambda x: mg.jacobian(mg.tanh, MASKED),
    ],
)
def test_a_mask_is_not_dropped(call):
    with pytest.raises(TypeError, match="mask"):
        call(mg.ones((2, 2), requires_grad=True))


@pytest.mark.parametrize(
    "wrong",
    [
        np.array(["1", "2"]),
        np.array([b"1", b"2"]),
        np.array([1, 2], object),
        np.zeros(2, [("a", float)]),
        DATES,
        DATES - DATES,
        np.array([1j, 2]),
        ["1", "2"],
        [1j, 2],
    ],
)
@pytest.mark.parametrize(
    "call",
    [
        lambda x, a: mg.tensor(a),
        lambda x, a: mg.tensor(a, dtype="float64"),
        lambda x, a: x * a,
        lambda x, a: a + x,
        lambda x, a: mg.concatenate([x, a]),
        lambda x, a: mg.stack([x, a]),
        lambda x, a: setattr(x, "data", a),
        lambda x, a: x[a] if not isinstance(a, list) else mg.tensor(a),
        lambda x, a: mg.mse_loss(x, a),
    ],
)
def test_what_is_no_real_number_is_refused_wherever_it_comes_in(call, wrong):
    with pytest.raises(TypeError, match=r"real numbers|numpy\.add|array"):
        call(mg.ones(2), wrong)


def test_a_dtype_that_is_none_of_numbers_is_refused():
    for dtype in (complex, object, "U3", "M8[D]"):
        with pytest.raises(TypeError, match="real numbers"):
            mg.tensor([1.0], dtype=dtype)


@pytest.mark.host(reason="these are on the CPU")
def test_subclasses_of_arrays_are_arrays():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy's own, of np.matrix
        matrix = np.matrix([[1.0, 2.0], [3.0, 4.0]])
    x = mg.tensor(np.array([[2.0, 3.0], [5.0, 7.0]]), requires_grad=True)
    for y in (x * matrix, matrix * x):
        assert y.tolist() == [[2, 6], [15, 28]]
    (g,) = mg.grad((x * matrix).sum(), x)
    assert (type(g.data), g.tolist()) == (np.ndarray, matrix.tolist())
    for a in (matrix, np.ones((2, 2)).view(np.recarray)):
        for y in (mg.tensor(a), x + a, mg.concatenate([x, a])):
            assert type(y.data) is np.ndarray
    assert x[np.array([1, 0]).view(np.recarray)].tolist() == [[5, 7], [2, 3]]


def test_big_endian_numbers_are_taken_as_the_machine_has_them():
    p = mg.nn.Parameter(np.array([1.0, 2.0], ">f8"))
    assert p.dtype == np.float64
    assert p.dtype.isnative
    (p * p).sum().backward()
    mg.optim.Adam([p], lr=0.1).step()
    np.testing.assert_allclose(p.numpy(), [0.9, 1.9])
    assert mg.tensor(np.array([1, 2], ">i4"), dtype=">f2").dtype.isnative
