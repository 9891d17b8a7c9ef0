"""What is changed in place: by ``x += v`` and ``x[i] = v`` under no_grad, and arrays by Tensors."""

from __future__ import annotations

import operator
import re

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn

OPERATORS = {
    "+": operator.iadd,
    "-": operator.isub,
    "*": operator.imul,
    "/": operator.itruediv,
    "//": operator.ifloordiv,
    "%": operator.imod,
    "**": operator.ipow,
}
every_operator = pytest.mark.parametrize("sign", OPERATORS)


def test_the_first_training_loop_that_a_learner_writes():
    """Gradient descent on |x W^T + b - y|^2 by hand, in a loop over the parameters."""
    rng = np.random.default_rng(0)
    x, truth = mg.tensor(rng.standard_normal((20, 3))), np.array([[1.0, -2.0, 0.5]])
    y, layer = x @ truth.T + 0.25, nn.Linear(3, 1, dtype=np.float64)
    for _ in range(200):
        loss = ((layer(x) - y) ** 2).mean()
        layer.zero_grad()
        loss.backward()
        with mg.no_grad():
            for p in layer.parameters():
                p -= 0.1 * p.grad
    np.testing.assert_allclose(layer.weight.numpy(), truth, atol=1e-4)
    np.testing.assert_allclose(layer.bias.numpy(), [0.25], atol=1e-4)


@every_operator
@pytest.mark.parametrize("other", [2.0, np.float64(2), np.array([2.0, 3.0]), mg.tensor])
def test_under_no_grad_a_leaf_changes_as_in_numpy(sign, other):
    x = leaf = mg.tensor([5.0, 7.5], requires_grad=True)
    values = np.array([2.0, 3.0]) if other is mg.tensor else other
    other = mg.tensor(values) if other is mg.tensor else other
    expected = OPERATORS[sign](np.array([5.0, 7.5], np.float32), np.asarray(values, np.float32))
    with mg.no_grad():
        x = OPERATORS[sign](x, other)
    assert x is leaf
    assert x.is_leaf
    assert x.requires_grad
    assert x.dtype == np.float32
    np.testing.assert_allclose(x.numpy(), expected, rtol=1e-6)


@every_operator
def test_on_the_tape_it_is_a_new_tensor(sign):
    x = mg.tensor([5.0, 7.5], requires_grad=True)
    y = before = x * 1
    y = OPERATORS[sign](y, 2.0)
    assert y is not before
    assert before.tolist() == [5.0, 7.5]
    y.sum().backward()
    assert x.grad is not None


@every_operator
def test_a_leaf_while_recording_is_refused_with_the_line_that_works(sign):
    x = mg.tensor([5.0, 7.5], requires_grad=True)
    with pytest.raises(mg.TapeError, match=re.escape("with mg.no_grad()")):
        OPERATORS[sign](x, 2.0)
    assert x.tolist() == [5.0, 7.5]


@every_operator
def test_a_recorded_tensor_stays_protected(sign):
    y = mg.tensor([5.0, 7.5], requires_grad=True) * 1
    with mg.no_grad(), pytest.raises(mg.TapeError, match=re.escape(f"x = x {sign} v")):
        OPERATORS[sign](y, 2.0)
    assert y.tolist() == [5.0, 7.5]


def test_a_change_is_stamped_for_all_views():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    y = (x * x).sum()
    with mg.no_grad():
        view = x.detach()[:1]
        view += 1
    assert x.tolist() == [2.0, 2.0]
    with pytest.raises(mg.TapeError, match="changed in place"):
        y.backward()


def test_items_of_a_leaf():
    x = mg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    y = (x * x).sum()
    with mg.no_grad():
        x[0] = 5.0
        x[1, 1] -= 1.0
        x[:, 0] *= mg.tensor([2.0, 3.0], requires_grad=True)
    assert x.tolist() == [[10.0, 5.0], [9.0, 3.0]]
    assert x.is_leaf
    with pytest.raises(mg.TapeError, match="changed in place"):
        y.backward()
    with pytest.raises(mg.TapeError, match=r"x\.at\[i\]\.set\(v\).*no_grad"):
        x[0] = 1.0
    y = x * 2
    with mg.no_grad(), pytest.raises(mg.TapeError, match=r"x\.at\[i\]\.set\(v\)"):
        y[0] = 1.0


@pytest.mark.parametrize(
    ("x", "other", "error"),
    [
        ([1.0, 1.0], np.ones((3, 2), np.float32), ValueError),
        ([[1.0, 1.0]], np.ones((3, 2)), ValueError),
        (np.array([1, 2]), 0.5, TypeError),
        ([1.0, 1.0], np.ones(3), ValueError),
    ],
)
def test_what_does_not_fit_changes_nothing(x, other, error):
    x = mg.tensor(x)
    before = x.tolist()
    with mg.no_grad(), pytest.raises(error):
        x += other
    assert x.tolist() == before


@pytest.mark.host(reason="CuPy's arrays are never read-only")
def test_a_read_only_array_is_not_changed():
    array = np.ones(2)
    array.flags.writeable = False
    x = mg.Tensor(array)
    with mg.no_grad(), pytest.raises(ValueError, match="read-only"):
        x += 1


@pytest.mark.host(reason="CuPy's arrays take in none but their own kind, and say so")
def test_an_array_takes_in_what_tensors_hold():
    w = mg.tensor([1.0, 2.0], requires_grad=True)
    (w * w).sum().backward()
    w.data -= 0.25 * w.grad
    assert w.tolist() == [0.5, 1.0]
    assert w.is_leaf
    array = np.ones(2, np.float32)
    array *= w.detach()
    assert array.tolist() == [0.5, 1.0]
    with pytest.raises(TypeError, match=r"x\.detach\(\)"):
        array += w


def test_without_a_tape_a_sum_goes_on_as_in_numpy():
    total = mg.zeros(())
    for _ in range(3):
        total += mg.ones(2, requires_grad=True).sum()
    assert total.requires_grad
    assert total.item() == 6


@pytest.mark.parametrize("dtype", [np.float64, np.int64])
@pytest.mark.parametrize("kind", [list, tuple, np.array])
def test_an_assigned_list_is_not_rounded(dtype, kind):
    values = [0.1, 0.3] if dtype is np.float64 else [2**40 + 1, 2**53 + 1]
    x = mg.zeros(2, 2, dtype=dtype)
    x[1] = kind(values)
    assert x.tolist() == [[0, 0], values]
