"""Jacobians and Hessians: against finite differences, against mathematics, and each other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad import nn
from minigrad.testing import strategies as draw

quick = settings(max_examples=15, deadline=None)

FUNCTIONS = [
    lambda x: mg.tanh(x) * x,
    lambda x: x.sum(),
    lambda x: mg.cumprod(x),
    lambda x: x[None] * mg.exp(x),
    lambda x: mg.softmax(x.reshape(-1)),
]


def differences(f, x, h=1e-6):
    """The Jacobian by central differences, one element of `x` after the other."""
    columns = []
    for i in range(x.size):
        step = np.zeros(x.size)
        step[i] = h
        step = step.reshape(x.shape)
        columns.append((f(mg.tensor(x + step)).numpy() - f(mg.tensor(x - step)).numpy()) / (2 * h))
    out = f(mg.tensor(x)).shape
    return np.moveaxis(np.array(columns), 0, -1).reshape(out + x.shape)


@pytest.mark.parametrize("f", FUNCTIONS)
@quick
@given(data=st.data())
def test_jacobians_and_hessians_by_differences(f, data):
    x = data.draw(draw.arrays(draw.shapes(max_dims=2, min_side=1)))
    np.testing.assert_allclose(mg.jacobian(f, x).numpy(), differences(f, x), atol=1e-6)

    def number(x):
        return (f(x) * f(x)).sum()

    H = mg.hessian(number, x)
    assert H.shape == x.shape * 2
    expected = differences(lambda x: mg.jacobian(number, x), x)
    np.testing.assert_allclose(H.numpy(), expected, rtol=1e-4, atol=1e-4)
    matrix = H.numpy().reshape(x.size, x.size)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-9)


def test_several_inputs():
    A, b = np.arange(6.0).reshape(2, 3), np.array([1.0, 2.0, 3.0])
    by_A, by_b = mg.jacobian(lambda A, b: A @ b, A, b)
    assert by_A.shape == (2, 2, 3)
    np.testing.assert_array_equal(by_A.numpy(), np.einsum("ik,j->ikj", np.eye(2), b))
    np.testing.assert_array_equal(by_b.numpy(), A)
    H = mg.hessian(lambda x, y: (x * x * y).sum(), np.array([2.0, 3.0]), np.array([5.0, 7.0]))
    np.testing.assert_array_equal(H[0][0].numpy(), np.diag([10.0, 14.0]))
    np.testing.assert_array_equal(H[0][1].numpy(), np.diag([4.0, 6.0]))
    np.testing.assert_array_equal(H[1][0].numpy(), H[0][1].numpy())
    np.testing.assert_array_equal(H[1][1].numpy(), np.zeros((2, 2)))


def test_what_does_not_matter_has_derivatives_zero():
    x, y = mg.ones(2), mg.tensor(np.ones(3))
    by_x, by_y = mg.jacobian(lambda x, y: x * 2, x, y)
    assert by_x.tolist() == [[2, 0], [0, 2]]
    assert (by_y.shape, by_y.dtype, by_y.tolist()) == ((2, 3), np.float64, [[0] * 3] * 2)
    assert mg.jacobian(lambda x: mg.ones(2), x).tolist() == [[0, 0], [0, 0]]
    assert mg.jacobian(lambda x: x[:0], x).shape == (0, 2)
    assert mg.hessian(lambda x: x.sum(), x).tolist() == [[0, 0], [0, 0]]
    assert mg.hessian(lambda x: (x**2).sum(keepdims=True), x).tolist() == [[2, 0], [0, 2]]


def test_nothing_else_is_touched():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    with mg.no_grad():
        J = mg.jacobian(lambda x: x**2, x)
    assert (J.tolist(), x.grad, J.requires_grad) == ([[2, 0], [0, 4]], None, False)


def test_it_can_be_differentiated_again():
    x = mg.tensor(np.array([1.0, 2.0]), requires_grad=True)
    mg.jacobian(lambda x: x**3, x, create_graph=True).sum().backward()
    assert x.grad.tolist() == [6, 12]
    x.grad = None
    mg.hessian(lambda x: (x**4).sum(), x, create_graph=True).sum().backward()
    assert x.grad.tolist() == [24, 48]


def test_rows_of_an_embedding():
    layer = nn.Embedding(3, 2, sparse=True)
    J = mg.jacobian(lambda w: mg.embedding([2, 2], w, sparse=True), layer.weight)
    assert J.shape == (2, 2, 3, 2)
    np.testing.assert_array_equal(J.numpy()[:, :, 2], np.stack([np.eye(2)] * 2))
    assert J.numpy()[:, :, :2].sum() == 0


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: mg.jacobian(mg.tanh), TypeError, r"jacobian\(f, x\)"),
        (lambda: mg.hessian(mg.tanh), TypeError, r"jacobian\(f, x\)"),
        (lambda: mg.jacobian(lambda x: (x, x), 1.0), TypeError, "one Tensor .* not a tuple"),
        (lambda: mg.jacobian(lambda x: x > 0, 1.0), TypeError, "not a bool Tensor"),
        (lambda: mg.jacobian(mg.tanh, np.arange(3)), TypeError, "astype"),
        (lambda: mg.hessian(mg.tanh, mg.ones(2)), ValueError, r"single number.*\(2,\)"),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()
