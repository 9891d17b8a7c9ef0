"""Each optimiser's update against its equations, written down again here, one element at a time."""

import tracemalloc
from itertools import pairwise
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.optim import ASGD, SGD, Adagrad, Adam, AdamW, RMSprop, pieces

ALL = [SGD, ASGD, Adagrad, RMSprop, Adam, AdamW]
HARD = [  # every branch of every optimiser
    (SGD, {}),
    (SGD, {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}),
    (SGD, {"momentum": 0.9, "nesterov": True}),
    (SGD, {"momentum": 0.9, "nesterov": True, "maximize": True}),
    (ASGD, {"weight_decay": 0.1}),
    (ASGD, {"lambd": 0.1, "t0": 0, "maximize": True}),
    (Adagrad, {"lr_decay": 0.1, "initial_accumulator_value": 0.2, "weight_decay": 0.1}),
    (RMSprop, {"momentum": 0.9, "centered": True, "weight_decay": 0.1}),
    (RMSprop, {"maximize": True, "alpha": 0.5}),
    (Adam, {"amsgrad": True, "weight_decay": 0.1}),
    (Adam, {"maximize": True}),
    (AdamW, {"betas": (0.5, 0.6)}),
]


def sgd(p, g, state, o):
    g = (-g if o["maximize"] else g) + o["weight_decay"] * p
    if o["momentum"]:
        first = "b" not in state
        state["b"] = g if first else o["momentum"] * state["b"] + (1 - o["dampening"]) * g
        g = g + o["momentum"] * state["b"] if o["nesterov"] else state["b"]
    return p - o["lr"] * g


def asgd(p, g, state, o):
    g = (-g if o["maximize"] else g) + o["weight_decay"] * p
    k = state["k"] = state.get("k", 0) + 1
    eta = o["lr"] / (1 + o["lambd"] * o["lr"] * (k - 1)) ** o["alpha"]
    p = (1 - o["lambd"] * eta) * p - eta * g
    state["a"] = state.get("a", 0) + (p - state.get("a", 0)) / max(1, k - 1 - o["t0"])
    return p


def adagrad(p, g, state, o):
    g = (-g if o["maximize"] else g) + o["weight_decay"] * p
    k = state["k"] = state.get("k", 0) + 1
    v = state["v"] = state.get("v", o["initial_accumulator_value"]) + g * g
    return p - o["lr"] / (1 + (k - 1) * o["lr_decay"]) * g / (sqrt(v) + o["eps"])


def rmsprop(p, g, state, o):
    g = (-g if o["maximize"] else g) + o["weight_decay"] * p
    v = state["v"] = o["alpha"] * state.get("v", 0) + (1 - o["alpha"]) * g * g
    if o["centered"]:
        m = state["m"] = o["alpha"] * state.get("m", 0) + (1 - o["alpha"]) * g
        v = max(0.0, v - m * m)
    d = g / (sqrt(v) + o["eps"])
    if o["momentum"]:
        d = state["b"] = o["momentum"] * state.get("b", 0) + d
    return p - o["lr"] * d


def adam(p, g, state, o, decoupled=False):
    g = -g if o["maximize"] else g
    if decoupled:
        p = p * (1 - o["lr"] * o["weight_decay"])
    else:
        g = g + o["weight_decay"] * p
    beta1, beta2 = o["betas"]
    k = state["k"] = state.get("k", 0) + 1
    m = state["m"] = beta1 * state.get("m", 0) + (1 - beta1) * g
    v = state["v"] = beta2 * state.get("v", 0) + (1 - beta2) * g * g
    if o["amsgrad"]:
        v = state["w"] = max(state.get("w", 0), v)
    return p - o["lr"] * (m / (1 - beta1**k)) / (sqrt(v / (1 - beta2**k)) + o["eps"])


def adamw(p, g, state, o):
    return adam(p, g, state, o, decoupled=True)


EQUATIONS = {SGD: sgd, ASGD: asgd, Adagrad: adagrad, RMSprop: rmsprop, Adam: adam, AdamW: adamw}

RATE = st.floats(0.001, 1.0)
SHARE = st.sampled_from([0.0, 0.5, 0.9, 0.99])
DECAY = st.sampled_from([0.0, 0.01, 0.3])
EPS = st.just(1e-3)
SETTINGS = {
    SGD: {"lr": RATE, "momentum": SHARE, "dampening": SHARE, "weight_decay": DECAY},
    ASGD: {
        "lr": RATE,
        "lambd": st.sampled_from([0.0, 1e-4, 0.1]),
        "alpha": st.sampled_from([0.0, 0.75, 1.0]),
        "t0": st.sampled_from([0, 1, 1e6]),
        "weight_decay": DECAY,
    },
    Adagrad: {
        "lr": RATE,
        "lr_decay": SHARE,
        "initial_accumulator_value": SHARE,
        "eps": EPS,
        "weight_decay": DECAY,
    },
    RMSprop: {
        "lr": RATE,
        "alpha": st.sampled_from([0.5, 0.9, 0.99]),  # with 0 the centered v - m² is rounding alone
        "centered": st.booleans(),
        "momentum": SHARE,
        "eps": EPS,
        "weight_decay": DECAY,
    },
    Adam: {
        "lr": RATE,
        "betas": st.tuples(SHARE, SHARE),
        "amsgrad": st.booleans(),
        "eps": EPS,
        "weight_decay": DECAY,
    },
}
SETTINGS[AdamW] = SETTINGS[Adam]


@st.composite
def options(draw, kind):
    chosen = {name: draw(values) for name, values in SETTINGS[kind].items()}
    if kind is SGD:
        chosen["nesterov"] = bool(chosen["momentum"]) and chosen["dampening"] == 0
    return {**chosen, "maximize": draw(st.booleans())}


def parameter(array, dtype=None):
    return mg.tensor(array, dtype=dtype, requires_grad=True)


def with_gradient(rng, shape, dtype="float64"):
    p = parameter(rng.normal(size=shape), dtype)
    p.grad = mg.tensor(rng.normal(size=shape), dtype)
    return p


class TestEquations:
    @pytest.mark.parametrize("kind", ALL)
    @given(data=st.data())
    @settings(max_examples=25)
    def test_steps_of_two_groups(self, kind, data):
        rng = np.random.default_rng(data.draw(st.integers(0, 999)))
        common = data.draw(options(kind))
        other = data.draw(options(kind))
        shapes = [(3, 2), (4,), ()]
        ps = [parameter(rng.normal(size=shape)) for shape in shapes]
        expected = [p.numpy() for p in ps]
        of_group = [common, common, other]
        states = [[{} for _ in range(p.size)] for p in ps]
        optimizer = kind([{"params": ps[:2]}, {"params": ps[2], **other}], **common)
        for _ in range(4):
            for p, e, state, o in zip(ps, expected, states, of_group, strict=True):
                g = rng.normal(size=p.shape)
                p.grad = mg.tensor(g)
                for i, s in zip(np.ndindex(p.shape), state, strict=True):
                    e[i] = EQUATIONS[kind](float(e[i]), float(g[i]), s, o)
            optimizer.step()
            for p, e in zip(ps, expected, strict=True):
                np.testing.assert_allclose(p.numpy(), e, rtol=1e-9, atol=1e-9)

    @pytest.mark.parametrize("kind", ALL)
    def test_goes_down(self, kind):
        target = mg.tensor([[1.0, -2.0], [0.5, 3.0]])
        p = parameter(np.zeros((2, 2)), "float32")
        optimizer = kind([p], lr=0.05)
        losses = []
        for _ in range(100):
            optimizer.zero_grad()
            loss = ((p - target) ** 2).sum()
            loss.backward()
            losses.append(loss.item())
            optimizer.step()
        assert all(b < a for a, b in pairwise(losses[:20]))
        assert losses[-1] < 0.9 * losses[0]

    def test_adamw_decays_by_default_and_adam_does_not(self):
        values = []
        for kind in (Adam, AdamW):
            p = parameter([2.0], "float64")
            p.grad = mg.zeros(1, "float64")
            kind([p], lr=0.5).step()
            values.append(p.item())
        assert values == [2.0, 2.0 * (1 - 0.5 * 0.01)]

    def test_adagrad_as_in_min_char_rnn(self):
        """Whose small number is inside the root, where gradients of 1e-4 and less notice it."""
        rng = np.random.default_rng(0)
        p = parameter(rng.normal(size=9))
        expected, memory = p.numpy(), np.zeros(9)
        optimizer = Adagrad([p], lr=0.1, eps=0, initial_accumulator_value=1e-8)
        for _ in range(5):
            g = rng.normal(size=9) * 10.0 ** np.arange(-8, 1)
            p.grad = mg.tensor(g)
            optimizer.step()
            memory += g * g
            expected += -0.1 * g / np.sqrt(memory + 1e-8)
        np.testing.assert_allclose(p.numpy(), expected, rtol=1e-10)

    def test_rmsprop_as_in_char_rnn(self):
        rng = np.random.default_rng(0)
        p = parameter(rng.normal(size=9))
        expected, m = p.numpy(), np.zeros(9)
        optimizer = RMSprop([p], lr=2e-3, alpha=0.95, eps=1e-8)
        for _ in range(5):
            g = rng.normal(size=9) * 10.0 ** np.arange(-8, 1)
            p.grad = mg.tensor(g)
            optimizer.step()
            m = 0.95 * m + 0.05 * g * g
            expected -= 2e-3 * g / (np.sqrt(m) + 1e-8)
        np.testing.assert_allclose(p.numpy(), expected, rtol=1e-10)

    def test_a_constant_gradient_never_makes_centered_rmsprop_nan(self):
        p = parameter(np.zeros(50), "float32")
        optimizer = RMSprop([p], centered=True, alpha=0.9)
        p.grad = mg.tensor(np.linspace(0.1, 3, 50), "float32")
        for _ in range(200):
            optimizer.step()
        assert np.isfinite(p.numpy()).all()


@pytest.mark.parametrize(("kind", "options"), HARD)
class TestHow:
    @pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
    def test_dtypes_stay_also_with_numpy_numbers_as_options(self, kind, options, dtype):
        rng = np.random.default_rng(0)
        p, q = with_gradient(rng, (5, 3), dtype), with_gradient(rng, (5, 3), dtype)
        q.data, q.grad = p.numpy(), p.grad.copy()
        scalars = {
            name: np.float64(value) if type(value) is float else value
            for name, value in {"lr": 0.1, **options}.items()
        }
        plain, numpy = kind([p], **{"lr": 0.1, **options}), kind([q], **scalars)
        for _ in range(3):
            plain.step()
            numpy.step()
        assert p.dtype == p.grad.dtype == dtype
        np.testing.assert_array_equal(p.numpy(), q.numpy())
        arrays = [x for x in numpy.state[q].values() if isinstance(x, np.ndarray)]
        wide = np.result_type(dtype, "float32")
        assert all(x.dtype == wide and x.shape == p.shape for x in arrays)

    def test_pieces_make_no_difference(self, kind, options, monkeypatch):
        def run(block):
            monkeypatch.setattr(pieces, "BLOCK", block)
            rng = np.random.default_rng(0)
            ps = [with_gradient(rng, shape, "float32") for shape in [(7, 3), (20,), (), (0, 3)]]
            ps += [with_gradient(rng, (1, 9), "float32"), with_gradient(rng, (5, 2, 3), "float32")]
            optimizer = kind(ps, lr=0.1, **options)
            for _ in range(3):
                optimizer.step()
            return [p.numpy() for p in ps]

        whole = run(1000)
        for block in (1, 4, 10):
            for a, b in zip(run(block), whole, strict=True):
                np.testing.assert_array_equal(a, b)

    def test_order_of_memory_makes_no_difference(self, kind, options):
        def run(arrange_p, arrange_g):
            rng = np.random.default_rng(0)
            values, g = rng.normal(size=(4, 6)), rng.normal(size=(4, 6))
            p = mg.Tensor(arrange_p(values), requires_grad=True)
            p.grad = mg.Tensor(arrange_g(g))
            optimizer = kind([p], lr=0.1, **options)
            for _ in range(3):
                optimizer.step()
            return p.numpy()

        expected = run(np.copy, np.copy)
        for arrange in (np.asfortranarray, lambda a: np.repeat(a, 2, axis=1)[:, ::2]):
            np.testing.assert_array_equal(run(arrange, np.copy), expected)
            np.testing.assert_array_equal(run(np.copy, arrange), expected)

    def test_in_place_and_nothing_else_changes(self, kind, options):
        p = with_gradient(np.random.default_rng(0), (50, 40))
        memory, gradient, g = p.data, p.grad, p.grad.numpy()
        before = p.numpy()
        optimizer = kind([p], lr=0.1, **options)
        optimizer.step()
        np.testing.assert_array_equal(gradient.numpy(), g)
        kept = optimizer.state_dict()["state"]
        copies = {i: {k: np.copy(v) for k, v in s.items()} for i, s in kept.items()}
        optimizer.step()
        assert p.data is memory
        assert not np.array_equal(p.numpy(), before)
        assert p.grad is gradient
        np.testing.assert_array_equal(gradient.numpy(), g)
        for i, state in copies.items():
            for name in state:
                np.testing.assert_array_equal(kept[i][name], state[name])

    @pytest.mark.host(reason="it measures the memory of the host")
    def test_no_temporaries_of_the_size_of_a_parameter(self, kind, options):
        p = with_gradient(np.random.default_rng(0), (1000, 1000), "float32")
        optimizer = kind([p], lr=0.1, **options)
        optimizer.step()
        tracemalloc.start()
        try:
            optimizer.step()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < p.nbytes / 20

    def test_parameters_of_several_dtypes_in_one_optimizer(self, kind, options):
        def run(*dtypes):
            ps = [with_gradient(np.random.default_rng(0), (4, 3), dtype) for dtype in dtypes]
            optimizer = kind(ps, lr=0.1, **options)
            for _ in range(3):
                optimizer.step()
            return [p.numpy() for p in ps]

        dtypes = ["float32", "float64", "float16"]
        for together, dtype in zip(run(*dtypes), dtypes, strict=True):
            np.testing.assert_array_equal(together, run(dtype)[0])

    def test_a_parameter_without_a_gradient_is_left_alone(self, kind, options):
        rng = np.random.default_rng(0)
        p, q = with_gradient(rng, (3,)), with_gradient(rng, (3,))
        q.grad = None
        before = q.numpy()
        optimizer = kind([p, q], lr=0.1, **options)
        optimizer.step()
        np.testing.assert_array_equal(q.numpy(), before)
        assert list(optimizer.state) == [p]

    def test_the_tape_notices(self, kind, options):
        p = with_gradient(np.random.default_rng(0), (3,))
        loss = (p * p).sum()
        kind([p], lr=0.1, **options).step()
        with pytest.raises(mg.TapeError, match="changed in place"):
            loss.backward()


def test_a_gradient_of_another_shape_or_dtype():
    p = parameter(np.zeros((2, 3)))
    optimizer = SGD([p])
    p.grad = mg.tensor(np.zeros(3))
    with pytest.raises(ValueError, match=r"a parameter is float64 \(2, 3\), but its .grad is "):
        optimizer.step()
    p.grad = mg.tensor(np.zeros((2, 3), "float32"))
    with pytest.raises(ValueError, match=r"its .grad is float32 \(2, 3\)"):
        optimizer.step()
