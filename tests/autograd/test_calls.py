"""What a call of an op does with what it is given: Tensors, arrays, lists, numbers or nothing."""

from __future__ import annotations

import gc
import inspect
from functools import wraps

import numpy as np
import pytest

import minigrad as mg

KINDS = [mg.tensor, np.array, list]


@pytest.mark.parametrize("kind", KINDS)
def test_errors_name_the_op_whatever_it_is_called_with(kind):
    x = kind([1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match=r"^matmul: .*called with x1: float\d\d \(3,\), x2: "):
        mg.matmul(x, kind([1.0, 2.0]))
    with pytest.raises(np.exceptions.AxisError, match=r"^sum: .*called with a: float\d\d \(3,\)"):
        mg.sum(x, 1)
    with pytest.raises(ValueError, match=r"^concatenate: .*called with arrays: \["):
        mg.concatenate([x, kind([[1.0]])])
    with pytest.raises(ValueError, match=r"^linear: x needs the shape"):
        mg.linear(x, kind([[1.0, 2.0]]))


@pytest.mark.parametrize(
    "call",
    [
        lambda: mg.tanh(None),
        lambda: mg.add(None, None),
        lambda: mg.expand_dims(None, 0),
        lambda: mg.gelu(None),
        lambda: mg.concatenate([None, None]),
        lambda: mg.split(None, 2),
    ],
)
def test_none_alone_is_refused(call):
    with pytest.raises(TypeError, match=r"^\w+: expected a Tensor, an array or numbers, got None"):
        call()


@pytest.mark.parametrize("x", [-0.5, [-0.5, 2.0]])
@pytest.mark.parametrize("number", [np.float64(0.25), np.array(0.25), np.float16(0.25)])
def test_a_number_of_numpys_among_the_options_does_not_decide_on_the_dtype(x, number):
    for op in (mg.leaky_relu, mg.elu):
        y, expected = op(x, number), op(x, 0.25)
        assert y.dtype == np.float32
        np.testing.assert_array_equal(y.numpy(), expected.numpy())


def test_an_option_that_needs_a_gradient_is_refused_beside_arrays_too():
    @mg.joint(backward=lambda g: [g], inputs=["x"])
    def scaled(x, by):
        return x * by, None

    by = mg.tensor(2.0, requires_grad=True)
    for x in (mg.ones(2), np.ones(2)):
        with pytest.raises(TypeError, match=r"scaled: by is a tensor .* pass by\.detach"):
            scaled(x, by)


@pytest.mark.parametrize("name", [*mg.ops.__all__, "argmax", "all", "isnan", "one_hot"])
def test_a_signature_says_that_tensors_come_out(name):
    assert "Array" not in str(inspect.signature(getattr(mg, name)).return_annotation)


def test_ops_with_lists_leave_nothing_behind():
    """Whatever the lengths of the lists are, and whichever of their items need a gradient."""
    rng = np.random.default_rng(0)
    x, constant = mg.ones(3, requires_grad=True), mg.ones(3)

    def step(length):
        items = [x if chosen else constant for chosen in rng.random(length) > 0.5]
        mg.stack([x, *items]).sum().backward()

    gc.collect()
    gc.disable()
    try:
        for length in range(1, 100):
            step(length)
        assert gc.collect() < 50
        for _ in range(10):
            step(20)
        before = len(gc.get_objects())
        for _ in range(200):
            step(20)
        assert len(gc.get_objects()) - before < 100
    finally:
        gc.enable()


def test_an_op_that_is_declared_anew_at_each_step_leaves_nothing_behind():
    def step():
        @mg.differentiable(x=lambda g: 2 * g)
        def double(x):
            return 2 * x

        @mg.joint(backward=lambda g: [3 * g], inputs=["x"])
        def triple(x):
            return 3 * x, None

        triple(double(mg.ones(3, requires_grad=True))).sum().backward()

    step()
    gc.collect()
    gc.disable()
    try:
        for _ in range(100):
            step()
        assert gc.collect() < 50
    finally:
        gc.enable()


@pytest.mark.host(reason="on a GPU a number and a list are refused: they are on the CPU")
@pytest.mark.parametrize(
    "declare",
    [
        lambda f: mg.differentiable(x=lambda g: g)(f),
        lambda f: mg.joint(backward=lambda g: [g], inputs=["x"])(wraps(f)(lambda x: (f(x), None))),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_an_op_gives_is_made_a_tensor_of_real_numbers_or_refused(declare, dtype):
    """Whatever its plain function gives: a number, a list, an array of another kind."""
    x = mg.tensor([1.0, 2.0, 3.0], dtype=dtype, requires_grad=True)

    def call(f):
        return declare(f)(x)

    for good in (lambda x: 3.0, lambda x: x.sum(), lambda x: [x, x], lambda x: x.astype(">f4")):
        y = call(good)
        assert type(y._array) is np.ndarray
        assert y.dtype.isnative
        np.testing.assert_array_equal(y.numpy(), good(x.numpy()))
    for bad in (
        lambda x: None,
        lambda x: x * 1j,
        lambda x: x.sum() * 1j,
        lambda x: x.astype(object),
        lambda x: np.ma.array(x),
    ):
        with pytest.raises(TypeError, match=r"called with x: float\d\d \(3,\)"):
            call(bad)
    assert not call(lambda x: x > 0).requires_grad
