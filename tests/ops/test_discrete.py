"""What has no derivative: by NumPy's names, with Tensors, lists and arrays; and sorting."""

from __future__ import annotations

import inspect
import operator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigrad as mg
from minigrad.testing import strategies as draw

quick = settings(max_examples=25, deadline=None)
VALUES = st.sampled_from([0.0, 1.0, -1.5, np.nan, np.inf, -np.inf, 1 + 1e-6])
ONE = ["isnan", "isinf", "isfinite", "logical_not", "any", "all"]
TWO = ["logical_and", "logical_or", "logical_xor", "isclose", "allclose", "array_equal"]
PLACES = ["argmax", "argmin", "argsort"]


def test_all_are_here():
    assert {*ONE, *TWO, *PLACES, "one_hot"} == set(mg.ops.discrete.__all__)
    for name in mg.ops.discrete.__all__:
        assert inspect.getdoc(getattr(mg, name))


def equal(result, expected):
    if isinstance(result, mg.Tensor):
        assert not result.requires_grad
        assert result.dtype == np.asarray(expected).dtype
        result = result.numpy()
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("name", [*ONE, *PLACES])
@quick
@given(data=st.data())
def test_of_one_array(name, data):
    shape = data.draw(draw.shapes(min_dims=1, min_side=1))
    x = data.draw(hnp.arrays(np.float64, shape, elements=VALUES))
    numpy_function, function = getattr(np, name), getattr(mg, name)
    axes = [()] if name in ONE[:4] else [(), (-1,), (0,)]
    for axis in axes:
        kind = {"kind": "stable"} if name == "argsort" else {}
        expected = numpy_function(x, *axis, **kind)
        equal(function(mg.tensor(x, requires_grad=True), *axis), expected)
        equal(function(x.tolist(), *axis), expected)
        equal(numpy_function(mg.tensor(x), *axis), expected)
        if mg.get_default_device() == "cpu":
            assert type(function(x, *axis)) is type(expected)
            equal(function(x, *axis), expected)


@pytest.mark.parametrize("name", TWO)
@quick
@given(data=st.data())
def test_of_two_arrays(name, data):
    shapes = data.draw(draw.broadcastable_shapes(2))
    if name == "array_equal":
        shapes = [shapes[0]] * 2
    x, y = (data.draw(hnp.arrays(np.float64, shape, elements=VALUES)) for shape in shapes)
    expected, function = getattr(np, name)(x, y), getattr(mg, name)
    for a, b in [(mg.tensor(x), mg.tensor(y)), (mg.tensor(x, requires_grad=True), y)]:
        equal(function(a, b), expected)
        assert isinstance(function(a, b), mg.Tensor if np.ndim(expected) else mg.Tensor | bool)


@pytest.mark.parametrize("other", [[0.1, 0.2], (0.1, 0.2), np.float64(0.1), np.array(0.1), 0.1])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_stands_beside_a_tensor_is_of_its_precision(other, dtype):
    x = mg.tensor(np.array([0.1, 0.2], dtype))
    expected = [True, isinstance(other, list | tuple)]
    assert (x == other).tolist() == (other == x).tolist() == expected
    assert (x < other).tolist() == [False, False]
    assert mg.isclose(x, other, 0.0, 0.0).tolist() == expected


@pytest.mark.host(reason="CuPy raises")
def test_what_is_no_number_is_not_equal():
    x = mg.ones(2)
    assert (x != "a").all()
    assert (x != None).all()  # noqa: E711
    with pytest.raises(TypeError):
        operator.lt(x, object())


@pytest.mark.parametrize("axis", [0, 1, -1, None])
def test_equal_elements_keep_their_order_and_nan_is_the_largest(axis):
    x = np.array([[2.0, np.nan, 2.0, -1.0], [np.inf, 0.0, -0.0, 0.0]])
    flat = x if axis is not None else x.reshape(-1)
    along = 0 if axis is None else axis
    rising = mg.argsort(mg.tensor(x), axis).numpy()
    np.testing.assert_array_equal(rising, np.argsort(flat, along, kind="stable"))
    falling = mg.argsort(mg.tensor(x), axis, descending=True).numpy()
    keys = np.where(np.isnan(flat), -np.inf, np.where(np.isinf(flat), -1e300, -flat))
    np.testing.assert_array_equal(falling, np.argsort(keys, along, kind="stable"))
    for indices, descending in ((rising, False), (falling, True)):
        y = mg.sort(mg.tensor(x), axis, descending).numpy()
        np.testing.assert_array_equal(y, np.take_along_axis(flat, indices, along))


def test_the_gradient_of_what_is_sorted_goes_where_it_came_from():
    x = mg.tensor(np.array([2.0, np.nan, 2.0, -np.inf]), requires_grad=True)
    (mg.sort(x) * [1.0, 2.0, 3.0, 4.0])[:3].sum().backward()
    assert x.grad.tolist() == [2, 0, 3, 1]
    x.grad = None
    values, indices = x.topk(2)
    assert (indices.tolist(), indices.requires_grad) == ([1, 0], False)
    values[1].backward()
    assert x.grad.tolist() == [1, 0, 0, 0]
    values, indices = mg.topk(x, 2, largest=False)
    assert (values.tolist(), indices.tolist()) == ([-np.inf, 2], [3, 0])


def test_errors_of_topk():
    with pytest.raises(ValueError, match="topk: k is 3, but axis 1 has 2 elements"):
        mg.topk(mg.ones(3, 2), 3, 1)
    with pytest.raises(np.exceptions.AxisError):
        mg.topk(mg.ones(3), 1, 1)


def test_the_gradient_of_a_running_product_beside_zeros_and_infinities():
    for values in ([2.0, 0.0, 3.0, 0.0, 5.0], [0.0, 0.0], [1.0], []):
        x = mg.tensor(np.array(values), requires_grad=True)
        (g,) = mg.grad(mg.cumprod(x).sum(), x)
        for i in range(len(values)):
            others = [*values[:i], 1.0, *values[i + 1 :]]
            assert g.numpy()[i] == np.cumprod(others)[i:].sum()
    x = mg.tensor(np.array([1.0, np.inf, 2.0]), requires_grad=True)
    (g,) = mg.grad(mg.cumprod(x)[0], x)
    assert g.tolist() == [1, 0, 0]


@pytest.mark.parametrize("f", [mg.floor, mg.ceil, mg.trunc, mg.round])
def test_the_derivative_of_rounding_is_zero_whatever_comes(f):
    x = mg.tensor(np.array([1.5, -2.0]), requires_grad=True)
    (g,) = mg.grad(f(x), x, np.array([np.inf, np.nan]))
    assert g.tolist() == [0, 0]


def test_one_hot():
    ids = np.array([[0, 2], [1, 1]])
    for given_ids in (ids, mg.tensor(ids), ids.tolist()):
        y = mg.one_hot(given_ids, 3)
        assert isinstance(y, mg.Tensor)
        assert (y.shape, y.dtype) == ((2, 2, 3), np.float32)
        np.testing.assert_array_equal(y.numpy(), np.eye(3)[ids])
    assert mg.one_hot(2, 3, dtype=int).tolist() == [0, 0, 1]
    assert mg.one_hot([], 3).shape == (0, 3)
    with pytest.raises(TypeError, match="one_hot: ids must be integers, not float32"):
        mg.one_hot(mg.ones(2), 3)


@pytest.mark.host(reason="on a GPU nobody looks")
@pytest.mark.parametrize("wrong", [3, -1])
def test_one_hot_of_what_is_no_class(wrong):
    with pytest.raises(IndexError, match=f"one_hot: id {wrong} is outside the 3 classes"):
        mg.one_hot([0, wrong], 3)
