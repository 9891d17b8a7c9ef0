"""Tensor: what a NumPy user's fingers expect."""

from __future__ import annotations

import copy
import operator
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.testing import strategies as draw

quick = settings(max_examples=40)


def leaf(values, dtype=np.float64):
    return mg.tensor(np.array(values, dtype), requires_grad=True)


# --------------------------------------------------------------------------- making


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1, np.float32),
        (2.5, np.float32),
        ([1, 2], np.float32),
        ([[1.0], [2.0]], np.float32),
        ([True, False], np.bool_),
        (np.arange(3), np.int64),
        (np.float64(1), np.float64),
        (np.ones(2, np.float16), np.float16),
        ([], np.float32),
    ],
)
def test_numbers_become_float32_and_arrays_keep_their_dtype(data, dtype):
    assert mg.tensor(data).dtype == dtype
    assert mg.Tensor(data).dtype == dtype


def test_tensor_copies_and_Tensor_does_not():
    a = mg.zeros(2).data
    assert not np.shares_memory(mg.tensor(a).data, a)
    assert mg.Tensor(a).data is a


@pytest.mark.parametrize("data", ["text", [[1, 2], [3]], {"a": 1}, 1j, None, [None]])
def test_what_is_not_numeric_is_refused(data):
    with pytest.raises(TypeError, match="tensor: "):
        mg.tensor(data)


def test_zeros_ones_full():
    assert mg.zeros((2, 3)).shape == (2, 3)
    assert mg.ones(2, dtype=np.float64).dtype == np.float64
    assert mg.full((), 7).item() == 7.0
    like = mg.ones_like(leaf([1, 2], np.float16))
    assert (like.dtype, like.requires_grad, like.tolist()) == (np.float16, False, [1.0, 1.0])
    assert mg.zeros_like(np.ones(2)).tolist() == [0.0, 0.0]


# --------------------------------------------------------------------------- operators

BINARY = [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow]
BINARY += [operator.floordiv, operator.mod]


@pytest.mark.parametrize("op", BINARY)
@pytest.mark.parametrize(
    "other", [2, 2.5, np.float32(2), np.array([1.0, 3.0], np.float32), [1.0, 3.0], np.array(2)]
)
def test_operators_and_reflected_ones_with_numbers_arrays_and_lists(op, other):
    x = leaf([1.5, 2.0], np.float32)
    for y, expected in (
        (op(x, other), op(x.numpy(), np.asarray(other, np.float32))),
        (op(other, x), op(np.asarray(other, np.float32), x.numpy())),
    ):
        assert isinstance(y, mg.Tensor)
        assert y.dtype == np.float32
        assert y.requires_grad
        np.testing.assert_allclose(y.numpy(), expected, rtol=1e-6)
        y.sum().backward()
        assert x.grad.dtype == np.float32


def test_matmul_operator_both_ways():
    w = leaf(np.ones((2, 3)))
    assert (np.ones((4, 2)) @ w).shape == (4, 3)
    assert (w @ np.ones(3)).shape == (2,)


def test_unary_operators():
    x = leaf([-1.0, 2.0])
    np.testing.assert_array_equal((-x).numpy(), [1, -2])
    np.testing.assert_array_equal((+x).numpy(), [-1, 2])
    np.testing.assert_array_equal(abs(x).numpy(), [1, 2])


@pytest.mark.parametrize(
    "op", [operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge]
)
def test_comparisons_are_bool_constants(op):
    x = leaf([1.0, 2.0])
    for other in (x, 1.5, np.array([2.0, 2.0])):
        y = op(x, other)
        assert isinstance(y, mg.Tensor)
        assert y.dtype == np.bool_
        assert not y.requires_grad
        other = other.numpy() if isinstance(other, mg.Tensor) else other
        np.testing.assert_array_equal(y.numpy(), op(x.numpy(), other))


def test_bool_logic_and_truth():
    x = mg.tensor([1.0, 2.0, 3.0])
    both = (x > 1) & (x < 3)
    assert both.tolist() == [False, True, False]
    assert (~both).any()
    assert not both.all()
    assert ((x > 2) | (x < 2)).tolist() == [True, False, True]
    with pytest.raises(ValueError, match="ambiguous"):
        bool(x)
    assert bool(mg.tensor(3.0))
    assert 2.0 in x
    assert 9.0 not in x


def test_tensors_are_hashable_by_identity():
    x, y = mg.tensor(1.0), mg.tensor(1.0)
    assert len({x, y, x}) == 2


# --------------------------------------------------------------------------- out of minigrad


def test_numbers():
    x = leaf(2.5)
    assert (float(x), int(x), x.item(), f"{x:.3f}") == (2.5, 2, 2.5, "2.500")
    assert [10, 20, 30][mg.tensor(np.array(1))] == 20
    with pytest.raises(ValueError, match=r"item: .*\(2,\)"):
        leaf([1.0, 2.0]).item()


def test_numpy_is_a_copy():
    x = leaf([1.0])
    x.numpy()[0] = 5.0
    assert x.item() == 1.0


def test_len_and_iteration():
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    assert len(x) == 2
    first, second = x
    (first * second).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [[3, 4], [1, 2]])
    with pytest.raises(TypeError, match="without axes"):
        len(leaf(1.0))
    with pytest.raises(TypeError):
        list(leaf(1.0))


def test_shape_attributes():
    x = mg.zeros((2, 3, 4))
    assert (x.shape, x.ndim, x.size, x.nbytes) == ((2, 3, 4), 3, 24, 96)
    assert x.T.shape == (4, 3, 2)
    assert x.mT.shape == (2, 4, 3)
    assert x.reshape(6, 4).shape == x.reshape((6, 4)).shape == (6, 4)
    assert x.reshape(-1).shape == x.flatten().shape == (24,)
    assert x.transpose(1, 0, 2).shape == x.transpose((1, 0, 2)).shape == (3, 2, 4)
    assert x.transpose().shape == (4, 3, 2)


METHODS = ["sum", "mean", "prod", "max", "min", "var", "std", "cumsum", "logsumexp", "abs", "exp"]
METHODS += ["tanh", "sigmoid", "relu", "softmax", "log_softmax", "ravel", "squeeze"]
METHODS += ["argmax", "argmin", "any", "all"]


@pytest.mark.parametrize("name", METHODS)
def test_methods_are_the_functions(name):
    x = leaf([[0.5, 1.0], [2.0, 1.5]])
    y = getattr(x, name)()
    np.testing.assert_array_equal(y.numpy(), getattr(mg, name)(x).numpy())
    assert y.requires_grad == (name in mg.ops.__all__)


def test_methods_take_numpys_positional_arguments():
    x = leaf([[0.5, 1.0], [2.0, 1.5]])
    assert x.sum(0).shape == (2,)
    assert x.max(1, keepdims=True).shape == (2, 1)
    assert x.mean((0, 1)).shape == ()
    assert mg.sum(x, 0, np.float32).dtype == np.float32
    assert x.argmax(0).tolist() == [1, 1]
    assert x.clip(0.75, 1.25).tolist() == [[0.75, 1.0], [1.25, 1.25]]
    with pytest.raises(TypeError, match="out must be None"):
        mg.sum(x, 0, None, np.zeros(2))


@pytest.mark.host(reason="it shows what is not said of the CPU")
def test_repr_shows_values_dtype_and_maker():
    x = leaf([1.0, 2.5], np.float32)
    assert repr(x) == "Tensor([1. , 2.5], dtype=float32, requires_grad=True)"
    assert repr(x * 2) == "Tensor([2., 5.], dtype=float32, made_by=multiply)"
    assert repr(mg.split(x, 2)[0]) == "Tensor([1.], dtype=float32, made_by=split)"
    assert repr(mg.tensor([True])) == "Tensor([ True], dtype=bool)"
    assert repr(mg.tensor(1.5)) == "Tensor(1.5, dtype=float32)"


def test_copies_of_a_leaf_are_leaves_of_their_own():
    x = leaf([1.0, 2.0])
    (x * x).sum().backward()
    for twin in (copy.deepcopy(x), copy.copy(x), pickle.loads(pickle.dumps(x))):
        assert twin.is_leaf
        assert twin.requires_grad
        assert not np.shares_memory(twin.data, x.data)
        twin.grad = None
        (twin * 3).sum().backward()
        assert twin.grad.tolist() == [3.0, 3.0]
    assert x.grad.tolist() == [2.0, 4.0]
    assert copy.deepcopy(x).grad.tolist() == [2.0, 4.0]


def test_copies_of_a_result():
    x = leaf([1.0, 2.0])
    y = x * 2
    copy.copy(y).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]
    for dump in (copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match=r"detach\(\) first, or copy\(\)"):
            dump(x * 2)


def test_detach_shares_memory_and_stops_gradients():
    x = leaf([1.0, 2.0])
    d = x.detach()
    assert np.shares_memory(d.data, x.data)
    assert not d.requires_grad
    (x * d).sum().backward()
    assert x.grad.tolist() == [1.0, 2.0]


def test_assigning_data():
    x = leaf([1.0, 2.0])
    x.data = [3, 4]
    assert (x.dtype, x.tolist()) == (np.float64, [3.0, 4.0])
    with pytest.raises(ValueError, match=r"\(3,\) to a tensor of \(2,\)"):
        x.data = np.ones(3)


# --------------------------------------------------------------------------- indexing


@quick
@given(data=st.data())
def test_indexing_by_lists_tensors_and_arrays_is_numpys(data):
    x = data.draw(draw.arrays(draw.shapes(min_dims=1, max_dims=2, min_side=1)))
    ids = data.draw(st.lists(st.integers(-len(x), len(x) - 1), min_size=1, max_size=4))
    t = mg.tensor(x)
    for index in (ids, np.array(ids), mg.tensor(np.array(ids)), (ids,), (..., None), ()):
        numpy_index = index.numpy() if isinstance(index, mg.Tensor) else index
        np.testing.assert_array_equal(t[index].numpy(), x[numpy_index])
    mask = t > 0
    np.testing.assert_array_equal(t[mask].numpy(), x[x > 0])


def test_repeated_indices_accumulate():
    x = leaf([1.0, 2.0, 3.0])
    x[[0, 0, 2, 0]].sum().backward()
    assert x.grad.tolist() == [3.0, 0.0, 1.0]


def test_indexing_errors_name_the_op():
    x = leaf([1.0, 2.0])
    with pytest.raises(IndexError, match=r"getitem: [iI]ndex 5 .*a: float64 \(2,\)"):
        x[5]
    with pytest.raises((IndexError, ValueError), match="getitem"):  # CuPy raises a ValueError
        x["a"]
    with pytest.raises(IndexError, match="getitem"):
        x[1.5]


def test_setting_elements():
    x = leaf([1.0, 2.0])
    for target in (x, x * 2):
        with pytest.raises(mg.TapeError, match=r"x = x\.at\[i\]\.set\(v\)"):
            target[0] = 5.0
    constant = mg.tensor([1.0, 2.0])
    with pytest.raises(mg.TapeError, match=r"x\.at\[i\]\.set\(v\)"):
        constant[0] = x[0]
    constant[0] = 5.0
    constant[mg.tensor(np.array([1]))] = mg.tensor([7.0])
    assert constant.tolist() == [5.0, 7.0]


def test_functional_setting_and_adding_is_differentiable_in_both():
    x, v = leaf([1.0, 2.0, 3.0]), leaf([10.0, 20.0])
    y = x.at[[0, 2]].set(v)
    assert y.tolist() == [10.0, 2.0, 20.0]
    assert x.tolist() == [1.0, 2.0, 3.0]
    (y * [1.0, 2.0, 3.0]).sum().backward()
    assert (x.grad.tolist(), v.grad.tolist()) == ([0.0, 2.0, 0.0], [1.0, 3.0])
    x.grad = v.grad = None
    y = x.at[[0, 0]].add(v)
    assert y.tolist() == [31.0, 2.0, 3.0]
    (y * 5.0).sum().backward()
    assert (x.grad.tolist(), v.grad.tolist()) == ([5.0, 5.0, 5.0], [5.0, 5.0])


# --------------------------------------------------------------------------- NumPy's protocols


@pytest.mark.parametrize(
    "call",
    [
        np.tanh,
        np.abs,
        lambda x: np.concatenate([x, x]),
        lambda x: np.stack([x, np.zeros(2)]),
        lambda x: np.ones(2) * x,
        lambda x: np.ones((3, 2)) @ x,
        lambda x: np.sum(x, axis=0),
        lambda x: np.max(x),
        lambda x: np.amax(x),
        lambda x: np.einsum("i,i", x, x),
        lambda x: np.where(np.array([True, False]), x, 0.0),
        lambda x: np.clip(x, 0, 1.5),
        lambda x: np.reshape(x, (2, 1)),
        lambda x: np.linalg.norm(x),
        lambda x: np.true_divide(1, x),
        lambda x: np.take(x, [1, 1]),
        lambda x: np.float64(2) * x,
        lambda x: np.pad(x, 1),
    ],
)
def test_numpy_functions_stay_on_the_tape(call):
    x = leaf([1.0, 2.0])
    y = call(x)
    assert isinstance(y, mg.Tensor)
    assert y.requires_grad
    np.testing.assert_allclose(y.numpy(), call(x.numpy()))


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (np.spacing, "numpy.spacing.*no such op.*numpy()"),
        (np.fft.fft, "numpy.fft"),
        (lambda x: np.linalg.inv(x), "linalg.inv"),
        (lambda x: np.add(x, x, out=np.zeros(2)), "numpy.add.*detach"),
        (lambda x: np.add.reduce(x), "add.reduce.*mg.sum"),
        (lambda x: np.asarray(x), "not silently made an array"),
        (lambda x: np.array([x]), "not silently|truth|sequence"),
        (lambda x: np.partition(x, 1), "numpy.partition"),
        (lambda x: np.add(np.zeros(2), 1, out=x), "without out"),
        (lambda x: np.add(x, 1, where=[True, False]), "without where"),
        (lambda x: operator.iadd(np.zeros(2), x), "numpy.add.*detach"),
    ],
)
def test_what_cannot_stay_on_the_tape_says_so(call, text):
    with pytest.raises((TypeError, ValueError), match=text):
        call(leaf([1.0, 2.0]))


def test_numpy_functions_with_bool_or_integer_results():
    x = leaf([1.0, np.nan])
    assert np.isnan(x).tolist() == [False, True]
    assert np.argmax(mg.tensor([1.0, 5.0])).item() == 1
    assert np.allclose(mg.tensor([1.0]), np.ones(1))
    assert np.shape(x) == (2,)


@pytest.mark.host(reason="what is on a GPU is not silently copied")
def test_a_constant_can_be_an_array():
    assert np.asarray(mg.tensor([1.0])).tolist() == [1.0]


# --------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda x: x + np.ones(3), r"add: .*x1: float64 \(2,\), x2: float64 \(3,\)"),
        (lambda x: x @ np.ones((3, 2)), r"matmul: .*x1: float64 \(2,\), x2: float64 \(3, 2\)"),
        (lambda x: x.reshape(3), r"reshape: .*shape: 3"),
        (lambda x: x.sum(2), r"sum: axis 2 is out of bounds.*axis: 2"),
        (lambda x: mg.concatenate([x, np.ones((2, 2))]), r"concatenate: .*float64 \(2, 2\)"),
        (lambda x: mg.tanh(x, 3), r"tanh\(x.*too many positional arguments"),
        (lambda x: mg.sum(x, axes=0), r"sum\(a.*unexpected keyword argument 'axes'"),
        (lambda x: mg.where(x, x, x), "where: condition is a tensor that requires a gradient"),
        (lambda x: mg.max(mg.zeros(0)), "max: zero-size"),
        (lambda x: x + "a", "add|tensor"),
        (lambda x: mg.linear(x, np.ones((3, 5))), r"linear: x needs the shape \(\.\.\., 5\)"),
        (lambda x: mg.einsum("ij,j", x, x), "einsum: .*term 0 has 2 labels"),
        (lambda x: mg.embedding([5], np.ones((2, 2))), "embedding: id 5 is outside the 2 rows"),
        (lambda x: mg.embedding([-1], np.ones((2, 2))), "embedding: id -1"),
        (
            lambda x: mg.embedding(x, np.ones((2, 2))),
            "embedding: ids must be integers, not float64",
        ),
        pytest.param(
            lambda x: mg.cross_entropy(x, 2),
            "cross_entropy: target 2 .* outside the 2 classes",
            marks=pytest.mark.host(reason="on a GPU nobody looks"),
        ),
        (lambda x: mg.cross_entropy(x, [0, 1]), r"targets has shape \(2,\), expected \(\)"),
        (lambda x: mg.cross_entropy(x, 0, reduction="avg"), "'avg'"),
        (lambda x: mg.cross_entropy(mg.tensor(np.arange(3)), 0), "logits must be .* not int64"),
        (lambda x: mg.embedding([0], np.ones((2, 2)), 7), "padding_idx 7 is outside the 2 rows"),
        (
            lambda x: mg.dropout(mg.tensor(np.arange(3))),
            r"dropout: x must be floats, not int64 \(3,\)",
        ),
        (lambda x: mg.layer_norm(mg.tensor(np.arange(3)), 3), "layer_norm: x must be floats"),
        (lambda x: mg.split(x, 3), "split: cannot cut axis 0 of length 2 into equal parts"),
        (lambda x: mg.split(x, 0), "split: cannot cut"),
        (lambda x: mg.split(x, [1, 0]), r"split: indices \[1, 0\] do not rise"),
        (lambda x: mg.split(x, 2, 1), "split: axis 1 is out of bounds for array of dimension 1"),
        (lambda x: mg.dropout(x, 1.5), "dropout: p must be from 0 to 1"),
        (lambda x: mg.dropout(x, 0.5, rng=3), "expected a numpy.random.Generator"),
        (lambda x: mg.layer_norm(x, 3), r"layer_norm: x has shape \(2,\)"),
        (lambda x: mg.mse_loss(x, np.ones(3)), "mse_loss: predictions of shape"),
        (lambda x: mg.pad(x, 1, "mean"), "pad: mode 'mean'"),
        (lambda x: mg.take(x, [0], mode="no"), "take: mode"),
        (lambda x: mg.norm(mg.ones((2, 2)), 2), "norm: ord=2"),
    ],
)
def test_errors_name_op_argument_expected_and_actual(call, text):
    with pytest.raises((ValueError, TypeError, IndexError), match=text):
        call(leaf([1.0, 2.0]))
