"""Row-sparse gradients: on their own, along the tape, and always equal to the dense ones."""

import copy
import math
import operator
import pickle
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigrad as mg
from minigrad import RowSparse
from minigrad.arrays.sums import LONG
from minigrad.testing import strategies as draw


@st.composite
def lookups(draw_, most=3):
    """A weight, and several arrays of ids into it: none, one, and repeated ids among them."""
    weight = draw_(draw.arrays(st.tuples(st.integers(1, 6), st.integers(0, 3))))
    ids = hnp.arrays(np.int64, draw.shapes(0, 2), elements=st.integers(0, len(weight) - 1))
    return weight, draw_(st.lists(ids, min_size=1, max_size=most))


def gradient(weight, ids, sparse, **options):
    """Of a weight that is looked up once for each of `ids`, with other derivatives each time."""
    w = mg.tensor(weight, requires_grad=True)
    total = mg.tensor(0.0, dtype=weight.dtype)
    for k, some in enumerate(ids):
        total = total + (mg.embedding(some, w, sparse=sparse, **options) ** 2 * (k + 1)).sum()
    total.backward()
    return w.grad


def dense_and_sparse(rows=(3, 0, 3), features=2, shape_0=5, seed=0):
    """A matrix, and the RowSparse that stands for it."""
    values = np.random.default_rng(seed).normal(size=(len(rows), features))
    dense = np.zeros((shape_0, features))
    np.add.at(dense, np.array(rows, int), values)
    return dense, RowSparse(np.array(rows, int), values, dense.shape)


class TestGradient:
    @given(lookups(), st.data())
    def test_is_the_dense_one(self, drawn, data):
        weight, ids = drawn
        padding_idx = data.draw(st.none() | st.integers(-len(weight), len(weight) - 1))
        sparse = gradient(weight, ids, True, padding_idx=padding_idx)
        dense = gradient(weight, ids, False, padding_idx=padding_idx)
        assert isinstance(sparse, RowSparse)
        assert (sparse.shape, sparse.dtype, sparse.ndim) == (dense.shape, dense.dtype, 2)
        np.testing.assert_array_equal(sparse.numpy(), dense.numpy())
        expected = set(np.concatenate([some.ravel() for some in ids]))
        if padding_idx is not None:
            expected.discard(padding_idx % len(weight))
        assert sparse.rows.tolist() == sorted(expected)

    @given(lookups(most=2), st.booleans(), st.booleans())
    def test_of_a_tied_weight(self, drawn, before, after):
        """Dense gradients that come before, after and between those of lookups."""
        weight, ids = drawn
        found = []
        for sparse in (True, False):
            w = mg.tensor(weight, requires_grad=True)
            total = (w * w).sum() if before else mg.zeros((), weight.dtype)
            for some in ids:
                total = total + mg.embedding(some, w, sparse=sparse).sum() + (w * 3.0).sum()
            if after:
                total = total + (w**3).sum() + (w * 0.5).sum()
            total.backward()
            found.append(w.grad)
        assert isinstance(found[0], mg.Tensor)
        np.testing.assert_array_equal(found[0].numpy(), found[1].numpy())

    @pytest.mark.parametrize("order", ["sd", "ds", "ss", "ssd", "dds", "sdds", "ddss", "dsds"])
    def test_a_later_backward_adds_to_it(self, order):
        w, expected = mg.tensor(np.ones((4, 2)), requires_grad=True), np.zeros((4, 2))
        handed_out = []
        for k, kind in enumerate(order, 1):
            looked_up = mg.embedding([1, 3, 1], w, sparse=kind == "s")
            (looked_up.sum() * k).backward()
            expected += k * np.array([[0], [2], [0], [1]])
            np.testing.assert_array_equal(w.grad.numpy(), expected)
            handed_out.append((w.grad, expected.copy()))
        assert isinstance(w.grad, RowSparse if set(order) == {"s"} else mg.Tensor)
        for earlier, then in handed_out:  # nothing was added into memory that was handed out
            np.testing.assert_array_equal(earlier.numpy(), then)

    @pytest.mark.host(reason="its rules make arrays of NumPy")
    @pytest.mark.parametrize("order", ["sd", "ds", "ss", "ssd", "dds", "sdds", "ddss", "dsds"])
    def test_sums_within_a_walk_leave_the_parts_alone(self, order):
        """The gradients that the engine adds up stay as the rules made them."""
        dense, _ = dense_and_sparse()
        made = []

        def part(kind):
            def rule(g):
                d = dense_and_sparse(seed=len(made))[kind == "s"]
                made.append((d, np.array(dense_and_sparse(seed=len(made))[0])))
                return d

            return mg.differentiable(x=rule)(lambda x: x.sum())

        w = mg.tensor(dense, requires_grad=True)
        sum((part(kind)(w) for kind in order), start=mg.tensor(0.0)).backward()
        np.testing.assert_allclose(w.grad.numpy(), sum(then for _, then in made), rtol=1e-14)
        for d, then in made:
            np.testing.assert_array_equal(getattr(d, "numpy", lambda d=d: d)(), then)

    @pytest.mark.host(reason="its rules make arrays of NumPy")
    def test_two_leaves_given_one_get_memory_of_their_own(self):
        _, both = dense_and_sparse()
        op = mg.differentiable(x=lambda g: both, y=lambda g: both)(lambda x, y: (x + y).sum())
        x, y = (mg.tensor(np.zeros((5, 2)), requires_grad=True) for _ in range(2))
        op(x, y).backward()
        assert len({id(x.grad.values), id(y.grad.values), id(both.values)}) == 3

    @given(lookups())
    def test_by_grad(self, drawn):
        weight, ids = drawn
        w = mg.tensor(weight, requires_grad=True)
        rows = [mg.embedding(some, w, sparse=True) for some in ids]
        total = sum((x * x).sum() * k for k, x in enumerate(rows))  # exact: a GPU rounds x ** 1
        one, other = mg.grad(total, [w, w], retain_graph=True)
        assert isinstance(one, RowSparse)
        assert w.grad is None
        assert not np.shares_memory(one.values, other.values)
        (dense,) = mg.grad(total, w, create_graph=True)
        assert isinstance(dense, mg.Tensor)
        np.testing.assert_array_equal(one.numpy(), dense.numpy())
        w_and_all = mg.grad([w, total], w, [np.ones_like(weight), None])[0]
        np.testing.assert_array_equal(w_and_all.numpy(), 1 + one.numpy())

    @given(lookups())
    def test_derivatives_to_second_order(self, drawn):
        weight, ids = drawn
        for f in (mg.tanh, lambda w: w):
            mg.testing.check_gradients(
                lambda w, f=f: mg.embedding(ids[0], f(w), sparse=True) ** 2, weight, order=2
            )

    def test_of_the_result_of_an_op_is_dense(self):
        w = mg.tensor(np.ones((3, 2)), requires_grad=True)
        doubled = w * 2
        doubled.retain_grad()
        mg.embedding([1, 1], doubled, sparse=True).sum().backward()
        assert doubled.grad.tolist() == [[0, 0], [2, 2], [0, 0]]
        assert w.grad.tolist() == [[0, 0], [4, 4], [0, 0]]

    def test_integers_of_all_kinds_may_be_ids(self):
        w = mg.tensor(np.ones((3, 2)), requires_grad=True)
        ids = [2, [2, 0], np.array(2, np.int8), np.array([[2]], np.uint64), mg.tensor(2, dtype=int)]
        for k, some in enumerate(ids, 1):
            mg.embedding(some, w, sparse=True).sum().backward()
            assert w.grad.rows.dtype == np.int64
            assert w.grad.numpy().tolist() == [[k > 1] * 2, [0, 0], [k, k]]

    def test_a_constant_has_none(self):
        assert not mg.embedding([0], mg.ones((2, 2)), sparse=True).requires_grad

    def test_padding_has_no_gradient_even_where_it_would_be_infinite(self):
        for sparse in (True, False):
            w = mg.tensor([[0.0], [4.0]], requires_grad=True)
            with np.errstate(divide="ignore"):
                mg.sqrt(mg.embedding([0, 1, 0], w, 0, sparse=sparse)).sum().backward()
            assert w.grad.numpy().tolist() == [[0.0], [0.25]]

    def test_of_many_equal_ids(self):
        ids = np.zeros(100_000, int)
        w = mg.ones((3, 1), requires_grad=True)
        mg.embedding(ids, w, sparse=True).sum().backward()
        assert w.grad.numpy().tolist() == [[100_000], [0], [0]]

    def test_no_dense_matrix_is_made(self):
        w = mg.zeros((1_000_000, 16), requires_grad=True)  # 64 MB
        ids = np.random.default_rng(0).integers(0, 1_000_000, 700)
        optimizer = mg.optim.SGD([w], lr=0.1)
        tracemalloc.start()
        for _ in range(2):
            (
                mg.embedding(ids, w, sparse=True).sum() + mg.embedding(ids, w, 7, True).sum()
            ).backward()
            mg.optim.clip_grad_norm_([w], 1.0)
            optimizer.step()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2e6
        assert w.grad.nbytes < 1e5
        assert np.count_nonzero(w.numpy().any(axis=1)) == len(np.unique(ids))


class TestAlongTheTape:
    def test_a_hook_gets_a_dense_tensor_and_the_gradient_is_dense_from_there_on(self):
        w = mg.tensor(np.ones((3, 2)), requires_grad=True)
        seen = []
        w.register_hook(lambda g: seen.append(g) or g * 10)
        mg.embedding([1, 1], w, sparse=True).sum().backward()
        assert seen[0].tolist() == [[0, 0], [2, 2], [0, 0]]
        assert isinstance(w.grad, mg.Tensor)
        assert w.grad.tolist() == [[0, 0], [20, 20], [0, 0]]

    def test_anomaly_mode_looks_at_the_values(self):
        w = mg.tensor([[1.0], [4.0]], requires_grad=True)
        with mg.detect_anomaly():
            mg.embedding([1], w, sparse=True).sum().backward()
            assert w.grad.numpy().tolist() == [[0], [1]]
            y = mg.embedding([0], w, sparse=True)
            with pytest.raises(mg.AnomalyError, match=r"an infinity in embedding .*test_sparse.py"):
                y.backward([[np.inf]])

    def test_a_frozen_weight_keeps_none(self):
        w = mg.ones((2, 2), requires_grad=True)
        y = mg.embedding([0], w, sparse=True).sum()
        w.requires_grad_(False)
        y.backward()
        assert w.grad is None

    def test_copies_and_conversions_of_the_weight_take_it_along(self):
        layer = mg.nn.Embedding(4, 3, sparse=True)
        layer([1, 1, 2]).sum().backward()
        before = layer.weight.grad
        copied = copy.deepcopy(layer).weight.grad
        assert not np.shares_memory(copied.values, before.values)
        np.testing.assert_array_equal(copied.numpy(), before.numpy())
        layer.to(dtype="float64")
        assert layer.weight.grad.dtype == np.float64
        np.testing.assert_array_equal(layer.weight.grad.numpy(), before.numpy())


class TestRowSparse:
    @given(lookups(most=1), st.data())
    def test_stands_for_the_sum_of_its_rows(self, drawn, data):
        dense, (rows,) = np.zeros_like(drawn[0]), drawn[1]
        values = data.draw(draw.arrays((*rows.shape, dense.shape[1])))
        np.add.at(dense, rows, values)
        sparse = RowSparse(rows, values, dense.shape)
        assert np.all(np.diff(sparse.rows) > 0)
        assert len(sparse.rows) == len(sparse.values) == len(np.unique(rows))
        np.testing.assert_allclose(sparse.to_dense(), dense, rtol=1e-14)
        assert not np.shares_memory(sparse.values, values)
        assert not np.shares_memory(sparse.rows, rows)

    @pytest.mark.parametrize("features", [LONG - 1, LONG, LONG + 1])
    @pytest.mark.parametrize("rows", [[], [3], [4, 3], [3, 0, 3, 3, 1, 0], [2] * 9])
    def test_of_rows_of_any_length(self, rows, features):
        dense, sparse = dense_and_sparse(rows, features)
        np.testing.assert_allclose(sparse.to_dense(), dense, rtol=1e-13)
        assert sparse.rows.tolist() == sorted(set(rows))

    def test_adds_to_its_like(self):
        (one, a), (other, b) = dense_and_sparse(), dense_and_sparse((0, 4), seed=1)
        both = a + b
        assert isinstance(both, RowSparse)
        assert both.rows.tolist() == [0, 3, 4]
        np.testing.assert_array_equal(both.to_dense(), one + other)
        np.testing.assert_array_equal(a.to_dense(), one)
        c = a
        c += b
        np.testing.assert_array_equal(c.to_dense(), one + other)
        np.testing.assert_array_equal(a.to_dense(), one)

    @pytest.mark.host(reason="its parts are arrays of NumPy")
    @pytest.mark.parametrize("make", [np.array, mg.tensor])
    def test_adds_to_dense_arrays_and_tensors_in_both_orders(self, make):
        dense, sparse = dense_and_sparse()
        other = np.random.default_rng(1).normal(size=(5, 2))
        left, right = make(other) + sparse, sparse + make(other)
        for result in (left, right):
            assert type(result) is type(make(other))
            assert result.dtype == np.float64
            np.testing.assert_array_equal(np.asarray(result), dense + other)
        np.testing.assert_array_equal(sparse.to_dense(), dense)

    def test_is_dense_beside_tensors_and_on_the_tape(self):
        dense, sparse = dense_and_sparse()
        x = mg.tensor(np.ones((5, 2)), requires_grad=True)
        (x * sparse).sum().backward()
        np.testing.assert_array_equal(x.grad.numpy(), dense)
        assert mg.tensor(sparse).dtype == np.float64
        assert mg.sum(sparse).item() == pytest.approx(dense.sum())
        x.grad = None
        (x * 2).backward(sparse)
        np.testing.assert_array_equal(x.grad.numpy(), 2 * dense)

    def test_copies_and_pickles(self):
        dense, sparse = dense_and_sparse()
        for other in (sparse.copy(), copy.deepcopy(sparse), pickle.loads(pickle.dumps(sparse))):
            assert not np.shares_memory(other.values, sparse.values)
            np.testing.assert_array_equal(other.to_dense(), dense)
        assert sparse.nbytes == 2 * 8 + 4 * 8
        assert repr(sparse) == "RowSparse(2 rows, shape=(5, 2), dtype=float64)"

    def test_numpy_refuses_it_but_in_elementwise_functions(self):
        _, sparse = dense_and_sparse()
        for call in (np.asarray, np.linalg.norm, np.sort):
            with pytest.raises(
                TypeError, match=r"NumPy does not take a RowSparse; use \.to_dense\(\)"
            ):
                call(sparse)
        np.testing.assert_array_equal(np.tanh(sparse), np.tanh(sparse.to_dense()))
        assert np.isfinite(sparse).all()
        assert not np.isfinite(sparse * math.inf).all()

    def test_wrong_arguments(self):
        rows, values = np.array([1, 2]), np.ones((2, 3))
        with pytest.raises(TypeError, match=r"rows must be integers, not float64 \(2,\)"):
            RowSparse(rows * 1.0, values, (5, 3))
        with pytest.raises(ValueError, match=r"values have shape \(2, 3\); expected \(2, 4\)"):
            RowSparse(rows, values, (5, 4))
        for wrong in (rows, rows - 2):
            with pytest.raises(IndexError, match=r"rows -?\d to \d in a matrix of shape \(2, 3\)"):
                RowSparse(wrong, values, (2, 3))
        with pytest.raises(ValueError, match=r"a sum of shapes \(5, 3\) and \(6, 3\)"):
            RowSparse(rows, values, (5, 3)) + RowSparse(rows, values, (6, 3))


def test_a_hook_that_was_removed_leaves_no_trace():
    weight = mg.tensor(np.ones((5, 2)), requires_grad=True)
    weight.register_hook(lambda g: None)()
    mg.embedding(np.array([1, 3, 1]), weight, sparse=True).sum().backward()
    assert isinstance(weight.grad, mg.RowSparse)


def some_rows(dtype="float32"):
    return RowSparse(np.array([3, 1, 3]), np.arange(6.0, dtype=dtype).reshape(3, 2), (5, 2))


NUMBERS = [2, 2.5, True, np.float32(2.5), np.float64(2.5), np.int64(3), np.array(2.5)]


class TestArithmetic:
    @pytest.mark.parametrize("number", [*NUMBERS, mg.tensor(2.5)], ids=lambda n: f"{type(n)}")
    def test_with_a_number_stays_sparse_and_keeps_its_dtype(self, number):
        g, value = some_rows(), float(number)
        results = [g * number, g / number]
        if not isinstance(number, mg.Tensor):
            results.append(number * g)
        for result, factor in zip(results, (value, 1 / value, value), strict=False):
            assert isinstance(result, RowSparse)
            assert result.dtype == np.float32
            np.testing.assert_allclose(result.to_dense(), g.to_dense() * factor, rtol=1e-6)

    def test_with_its_like_stays_sparse(self):
        g, h = some_rows(), RowSparse(np.array([0, 3]), np.ones((2, 2), "float32"), (5, 2))
        for result, expected in [
            (g - h, g.to_dense() - h.to_dense()),
            (-g, -g.to_dense()),
            (abs(-g), g.to_dense()),
        ]:
            assert isinstance(result, RowSparse)
            np.testing.assert_array_equal(result.to_dense(), expected)

    @pytest.mark.parametrize(
        "name",
        [
            "add",
            "sub",
            "mul",
            "truediv",
            "floordiv",
            "mod",
            "pow",
            "eq",
            "ne",
            "lt",
            "le",
            "gt",
            "ge",
        ],
    )
    @pytest.mark.parametrize(
        "other",
        [np.linspace(0.5, 1.5, 10).reshape(5, 2), np.array([1.0, 2.0]), some_rows("float64")],
        ids=["matrix", "row", "its like"],
    )
    def test_with_a_matrix_is_that_of_the_dense_one(self, name, other):
        function, g = getattr(operator, name), some_rows("float64")
        for pair in [(g, other), (other, g)]:
            with np.errstate(all="ignore"):  # what is divided by zeros
                result, expected = function(*pair), function(*map(dense_of, pair))
            np.testing.assert_array_equal(dense_of(result), expected)

    def test_in_place_makes_a_new_one(self):
        first = g = some_rows()
        g *= 2
        g /= np.float64(4)
        g -= first
        g += first
        assert isinstance(g, RowSparse)
        np.testing.assert_array_equal(g.to_dense(), first.to_dense() / 2)

    def test_nothing_is_written_into_one(self):
        g = some_rows()
        with pytest.raises(TypeError, match="add: nothing is written into a RowSparse"):
            np.add(g, 1, out=g)

    def test_what_is_no_number_is_refused(self):
        for function in (operator.mul, operator.truediv):
            with pytest.raises(TypeError):
                function(some_rows(), None)

    @pytest.mark.parametrize("scale", [0.5, np.float64(0.5), mg.tensor(0.5)])
    def test_a_gradient_scaled_by_hand_can_be_stepped(self, scale):
        layer = mg.nn.Embedding(4, 2, sparse=True)
        before = layer.weight.numpy()
        layer([1]).sum().backward()
        layer.weight.grad *= scale
        mg.optim.SGD(layer.parameters(), lr=1.0).step()
        np.testing.assert_allclose(
            layer.weight.numpy() - before, [[0] * 2, [-0.5] * 2, *[[0] * 2] * 2]
        )


def dense_of(x):
    return x.to_dense() if isinstance(x, RowSparse) else x
