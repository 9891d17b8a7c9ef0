"""Steps and clipping of row-sparse gradients, against the dense ones and a lazy Adam."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad import RowSparse
from minigrad.optim import (
    SGD,
    Adagrad,
    Adam,
    AdamW,
    Optimizer,
    RMSprop,
    clip_grad_norm_,
    clip_grad_value_,
    pieces,
)

KINDS = [
    (SGD, {"lr": 0.1}),
    (SGD, {"lr": 0.1, "momentum": 0.9, "dampening": 0.3}),
    (SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "maximize": True}),
    (Adagrad, {"lr": 0.1, "lr_decay": 0.1, "initial_accumulator_value": 0.2, "maximize": True}),
    (Adagrad, {"lr": 0.1}),
    (Adam, {"lr": 0.1}),
    (Adam, {"lr": 0.1, "amsgrad": True, "maximize": True}),
    (AdamW, {"lr": 0.1, "weight_decay": 0.0}),
]
WITHOUT_MEMORY = [KINDS[i] for i in (0, 3, 4)]  # for a gradient of 0 they do nothing
every_kind = pytest.mark.parametrize(("kind", "options"), KINDS)
few = settings(max_examples=settings.default.max_examples // 4)


def on_host(array):
    """An array, wherever it is, as one of NumPy's."""
    return mg.Tensor(array).numpy()


class Twins:
    """One weight twice, stepped by the same optimiser, with sparse and with dense gradients."""

    def __init__(self, kind, options, seed=0, shape=(7, 3), dtype="float64"):
        self.rng = np.random.default_rng(seed)
        start = self.rng.normal(size=shape)
        self.weights = [mg.tensor(start, dtype, requires_grad=True) for _ in range(2)]
        self.optimizers = [kind([w], **options) for w in self.weights]

    def backward(self, ids):
        shape = (len(ids), self.weights[0].shape[1])
        g = self.rng.normal(size=shape).astype(self.weights[0].dtype)
        for w, sparse in zip(self.weights, (True, False), strict=True):
            w.grad = None
            mg.embedding(ids, w, sparse=sparse).backward(mg.tensor(g))

    def step(self, ids):
        self.backward(ids)
        for optimizer in self.optimizers:
            optimizer.step()

    def state(self, i):
        return self.optimizers[i].state[self.weights[i]]

    def assert_equal(self):
        np.testing.assert_array_equal(*[w.numpy() for w in self.weights])
        for name, value in self.state(0).items():
            other = self.state(1)[name]
            np.testing.assert_array_equal(on_host(value), on_host(other), err_msg=name)


ids_of_steps = st.lists(st.lists(st.integers(0, 6), max_size=9), min_size=1, max_size=5)


class TestSteps:
    @every_kind
    @few
    @given(st.lists(st.permutations(range(7)), min_size=1, max_size=4), st.booleans())
    def test_of_all_rows_are_the_dense_steps(self, kind, options, order, twice):
        twins = Twins(kind, options)
        for ids in order:
            twins.step(np.array(ids * (1 + twice)))
            twins.assert_equal()

    @pytest.mark.parametrize(("kind", "options"), WITHOUT_MEMORY)
    @few
    @given(ids_of_steps)
    def test_of_some_rows_are_the_dense_steps_where_nothing_fades(self, kind, options, steps):
        twins = Twins(kind, options)
        for ids in steps:
            twins.step(np.array(ids, int))
            twins.assert_equal()

    @every_kind
    @few
    @given(ids_of_steps)
    def test_each_row_goes_its_own_way(self, kind, options, steps):
        """As if only the touched rows were there; but the steps are counted for all of them."""
        rng, start = np.random.default_rng(1), np.random.default_rng(0).normal(size=(7, 3))
        w = mg.tensor(start, requires_grad=True)
        optimizer = kind([w], **options)
        for ids in steps:
            before = w.numpy(), {k: on_host(v) for k, v in optimizer.state.get(w, {}).items()}
            w.grad = None
            g = mg.tensor(rng.normal(size=(len(ids), 3)))
            mg.embedding(np.array(ids, int), w, sparse=True).backward(g)
            rows = on_host(w.grad.rows)
            alone = mg.tensor(before[0][rows], requires_grad=True)
            alone.grad = mg.tensor(w.grad.values)
            reference = kind([alone], **options)
            if before[1]:
                reference.state[alone] = {
                    k: mg.Tensor(v[rows]).data if v.shape else int(v) for k, v in before[1].items()
                }
            optimizer.step()
            reference.step()
            expected = before[0].copy()
            expected[rows] = alone.numpy()
            np.testing.assert_array_equal(w.numpy(), expected)
            others = np.setdiff1d(np.arange(7), rows)
            for name, value in optimizer.state[w].items():
                value = on_host(value)
                if name != "step":
                    then = before[1].get(name)
                    first = options.get("initial_accumulator_value", 0)
                    np.testing.assert_array_equal(
                        value[others], first if then is None else then[others]
                    )
                    part = on_host(reference.state[alone][name])
                    np.testing.assert_array_equal(value[rows], part)

    @given(ids_of_steps, st.booleans())
    def test_lazy_adam(self, steps, amsgrad):
        rng = np.random.default_rng(0)
        w = mg.tensor(rng.normal(size=(7, 2)), requires_grad=True)
        optimizer = Adam([w], 0.1, (0.5, 0.9), 1e-3, amsgrad=amsgrad)
        expected = w.numpy()
        m, v, largest = (np.zeros((7, 2)) for _ in range(3))
        for k, ids in enumerate(steps, 1):
            g, total = rng.normal(size=(len(ids), 2)), np.zeros((7, 2))
            np.add.at(total, np.array(ids, int), g)
            for i in set(ids):
                m[i] = 0.5 * m[i] + 0.5 * total[i]
                v[i] = 0.9 * v[i] + 0.1 * total[i] ** 2
                largest[i] = np.maximum(largest[i], v[i]) if amsgrad else v[i]
                root = np.sqrt(largest[i] / (1 - 0.9**k))
                expected[i] -= 0.1 * (m[i] / (1 - 0.5**k)) / (root + 1e-3)
            w.grad = None
            mg.embedding(np.array(ids, int), w, sparse=True).backward(mg.tensor(g))
            optimizer.step()
            np.testing.assert_allclose(w.numpy(), expected, rtol=1e-12, atol=1e-12)

    @every_kind
    def test_float32_and_pieces(self, kind, options, monkeypatch):
        monkeypatch.setattr(pieces, "BLOCK", 8)
        twins = Twins(kind, options, dtype="float32")
        for _ in range(3):
            twins.step(twins.rng.permutation(7))
            twins.assert_equal()
        assert twins.weights[0].dtype == np.float32

    @every_kind
    def test_the_gradient_stays_as_it_is_and_the_tape_notices(self, kind, options):
        twins = Twins(kind, options)
        w = twins.weights[0]
        twins.backward(np.array([1, 4, 1]))
        gradient, values = w.grad, w.grad.values.copy()
        loss = (w * w).sum()
        twins.optimizers[0].step()
        assert w.grad is gradient
        np.testing.assert_array_equal(on_host(gradient.values), on_host(values))
        with pytest.raises(mg.TapeError, match="changed in place"):
            loss.backward()

    @every_kind
    def test_sparse_and_dense_in_turn(self, kind, options):
        twins = Twins(kind, options)
        for step in range(4):
            twins.backward(twins.rng.permutation(7))
            if step % 2:
                twins.weights[0].grad = mg.tensor(twins.weights[0].grad.to_dense())
            for optimizer in twins.optimizers:
                optimizer.step()
            twins.assert_equal()

    def test_saved_and_loaded(self):
        twins = Twins(Adam, {})
        twins.step(np.array([0, 2]))
        w = mg.tensor(twins.weights[0].numpy(), requires_grad=True)
        other = Adam([w])
        other.load_state_dict(twins.optimizers[0].state_dict())
        twins.backward(np.array([2, 3]))
        w.grad = twins.weights[0].grad.copy()
        twins.optimizers[0].step()
        other.step()
        np.testing.assert_array_equal(w.numpy(), twins.weights[0].numpy())


class TestRefusals:
    @pytest.mark.parametrize(
        ("kind", "options", "message"),
        [
            (
                SGD,
                {"weight_decay": 0.1},
                r"SGD\.step: .*shape \(7, 3\).*, but weight_decay=0\.1 is",
            ),
            (Adagrad, {"weight_decay": 0.1}, r"Adagrad\.step: .*put it into a group with weight"),
            (Adam, {"weight_decay": 0.1}, r"Adam\.step: .*, or look its rows up with sparse=False"),
            (AdamW, {}, r"AdamW\.step: .*, but weight_decay=0\.01 is for all rows"),
            (RMSprop, {}, r"RMSprop\.step: .*, which RMSprop does not take; use SGD, Adagrad or"),
        ],
    )
    def test_leave_everything_as_it_was(self, kind, options, message):
        first = mg.ones(3, requires_grad=True)
        second = mg.ones((7, 3), requires_grad=True)
        optimizer = kind([first, second], **options)
        (first.sum() + mg.embedding([1], second, sparse=True).sum()).backward()
        with pytest.raises(ValueError, match=message):
            optimizer.step()
        assert first.tolist() == [1, 1, 1]
        assert not optimizer.state
        optimizer.zero_grad()
        (first.sum() + mg.embedding([1], second).sum()).backward()
        optimizer.step()

    def test_an_optimizer_of_one_s_own_takes_none_unless_it_says_so(self):
        class Plain(Optimizer):
            def _update(self, parameter, gradient, state, o):
                parameter -= gradient

        w = mg.ones((2, 2), requires_grad=True)
        mg.embedding([1], w, sparse=True).sum().backward()
        with pytest.raises(ValueError, match="which Plain does not take"):
            Plain([w], {}).step()

    def test_a_group_without_weight_decay_beside_one_with_it(self):
        linear, layer = mg.nn.Linear(3, 2), mg.nn.Embedding(5, 3, sparse=True)
        groups = [
            {"params": linear.parameters()},
            {"params": layer.parameters(), "weight_decay": 0},
        ]
        optimizer = AdamW(groups)
        before = layer.weight.numpy()
        linear(layer([1, 3])).sum().backward()
        optimizer.step()
        assert (layer.weight.numpy() != before).any(1).tolist() == [False, True, False, True, False]

    def test_a_gradient_of_another_shape(self):
        w = mg.ones((2, 2), requires_grad=True)
        w.grad = RowSparse(np.array([0]), np.ones((1, 2), "float32"), (3, 2))
        with pytest.raises(ValueError, match=r"is float32 \(2, 2\), but its .grad is float32 \(3"):
            SGD([w]).step()


def test_zeroed_gradients_are_of_no_rows():
    w = mg.ones((3, 2), requires_grad=True)
    mg.embedding([1, 1], w, sparse=True).sum().backward()
    optimizer = Adam([w])
    optimizer.zero_grad(set_to_none=False)
    assert isinstance(w.grad, RowSparse)
    assert (len(w.grad.rows), w.grad.dtype) == (0, np.float32)
    optimizer.step()
    assert w.tolist() == [[1, 1]] * 3
    mg.embedding([2], w, sparse=True).sum().backward()
    assert w.grad.rows.tolist() == [2]


class TestClipping:
    @given(
        st.lists(st.integers(0, 6), max_size=9),
        st.sampled_from([1.0, 2.0, 3.5, math.inf]),
        st.floats(1e-3, 1e2),
    )
    def test_norm(self, ids, norm_type, max_norm):
        twins = Twins(SGD, {})
        twins.backward(np.array(ids, int))
        other = mg.ones(2, "float64", requires_grad=True)
        other.sum().backward()
        before = twins.weights[0].grad.rows.copy()
        norms, scaled = [], []
        for w in twins.weights:
            other.grad = mg.ones(2, "float64")
            norms.append(clip_grad_norm_([w, other], max_norm, norm_type).item())
            scaled.append(w.grad.numpy())
        np.testing.assert_allclose(*norms, rtol=1e-12)
        np.testing.assert_allclose(*scaled, rtol=1e-12)
        assert twins.weights[0].grad.rows.tolist() == before.tolist()

    @given(st.lists(st.integers(0, 6), max_size=9), st.floats(0, 3))
    def test_value(self, ids, bound):
        twins = Twins(SGD, {})
        twins.backward(np.array(ids, int))
        for w in twins.weights:
            clip_grad_value_(w, bound)
        np.testing.assert_array_equal(*[w.grad.numpy() for w in twins.weights])

    def test_a_gradient_that_several_weights_got_is_scaled_once_in_each(self):
        ws = [mg.ones((3, 1), "float64", requires_grad=True) for _ in range(2)]
        g = np.array([[3.0]])
        for w in ws:
            mg.embedding([1], w, sparse=True).backward(mg.tensor(g))
        assert clip_grad_norm_(ws, 1.0).item() == pytest.approx(math.sqrt(18))
        for w in ws:
            assert w.grad.numpy()[1, 0] == pytest.approx(1 / math.sqrt(2), rel=1e-6)
        assert g[0, 0] == 3

    def test_the_culprit_is_named(self):
        w = mg.ones((3, 1), requires_grad=True)
        mg.embedding([1], w, sparse=True).backward([[np.inf]])
        with pytest.raises(RuntimeError, match=r"gradient 0 of 1, of shape \(3, 1\), is the first"):
            clip_grad_norm_(w, 1.0, error_if_nonfinite=True)


def test_a_language_model_learns_the_same_with_both():
    """Dense everywhere else, one sparse table: the losses of Adagrad are the same, and fall."""
    losses = []
    for sparse in (True, False):
        rng = np.random.default_rng(0)
        ids = rng.integers(0, 20, (6, 4))
        layer = mg.nn.Embedding(50, 8, sparse=sparse, rng=rng)
        decoder = mg.nn.Linear(8, 50, rng=rng)
        parameters = [*layer.parameters(), *decoder.parameters()]
        optimizer = Adagrad(parameters, lr=0.1)
        curve = []
        for _ in range(10):
            loss = mg.cross_entropy(decoder(layer(ids[:-1])), ids[1:])
            optimizer.zero_grad()
            loss.backward()
            clip_grad_norm_(parameters, 100.0)
            optimizer.step()
            curve.append(loss.item())
        losses.append(curve)
    np.testing.assert_allclose(*losses, rtol=1e-6)
    assert all(later < earlier for earlier, later in pairwise(losses[0]))
