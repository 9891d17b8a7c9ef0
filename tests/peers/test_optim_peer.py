"""Optimisers, clipping and schedules against PyTorch's, number for number."""

import inspect
import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad import optim

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.peer

RATE = st.floats(1e-4, 0.5)
SHARE = st.floats(0.0, 0.999)
DECAY = st.one_of(st.just(0.0), st.floats(1e-4, 0.5))
EPS = st.floats(1e-8, 1e-3)
SETTINGS = {
    "SGD": {"lr": RATE, "momentum": st.one_of(st.just(0.0), SHARE), "dampening": SHARE},
    "ASGD": {
        "lr": RATE,
        "lambd": DECAY,
        "alpha": st.floats(0.0, 1.0),
        "t0": st.sampled_from([0, 1, 7.5, 1e6]),
    },
    "Adagrad": {"lr": RATE, "lr_decay": SHARE, "initial_accumulator_value": SHARE, "eps": EPS},
    "RMSprop": {
        "lr": RATE,
        "alpha": st.floats(0.1, 0.999),
        "eps": EPS,
        "momentum": st.one_of(st.just(0.0), SHARE),
        "centered": st.booleans(),
    },
    "Adam": {"lr": RATE, "betas": st.tuples(SHARE, SHARE), "eps": EPS, "amsgrad": st.booleans()},
}
SETTINGS["AdamW"] = SETTINGS["Adam"]
KINDS = list(SETTINGS)
SHAPES = [(3, 4), (5,), (), (2, 1, 3)]


@pytest.fixture(autouse=True)
def _float64():
    """ASGD's learning rate and weight of the average are kept in PyTorch's default dtype."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@st.composite
def options(draw, kind):
    chosen = {name: draw(values) for name, values in SETTINGS[kind].items()}
    if kind == "SGD":
        chosen["nesterov"] = bool(chosen["momentum"]) and draw(st.booleans())
        chosen["dampening"] *= not chosen["nesterov"]
    return {**chosen, "weight_decay": draw(DECAY), "maximize": draw(st.booleans())}


class Pair:
    """The same parameters and optimiser in both libraries, in two groups."""

    def __init__(self, kind, common, other, rng, dtype="float64"):
        arrays = [rng.normal(size=shape).astype(dtype) for shape in SHAPES]
        self.ours = [mg.tensor(a, requires_grad=True) for a in arrays]
        self.theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
        self.optimizers = [
            getattr(library, kind)([{"params": ps[:2]}, {"params": ps[2:], **other}], **common)
            for library, ps in ((optim, self.ours), (torch.optim, self.theirs))
        ]

    def set_gradients(self, rng, scale=1.0, missing=()):
        for i, (p, q) in enumerate(zip(self.ours, self.theirs, strict=True)):
            g = (scale * rng.normal(size=p.shape)).astype(p.dtype)
            p.grad = None if i in missing else mg.tensor(g)
            q.grad = None if i in missing else torch.tensor(g)

    def step(self):
        for optimizer in self.optimizers:
            optimizer.step()

    def assert_close(self, rtol, atol):
        for p, q in zip(self.ours, self.theirs, strict=True):
            np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=rtol, atol=atol)


@pytest.mark.parametrize("kind", KINDS)
class TestOptimizers:
    @given(data=st.data())
    @settings(max_examples=30)
    def test_many_steps(self, kind, data):
        rng = np.random.default_rng(data.draw(st.integers(0, 999)))
        common, other = data.draw(options(kind)), data.draw(options(kind))
        other.pop("initial_accumulator_value", None)  # which PyTorch takes from no group
        pair = Pair(kind, common, other, rng)
        for step in range(20):
            pair.set_gradients(rng, scale=10 ** rng.uniform(-2, 2), missing=[step % 6])
            pair.step()
        pair.assert_close(rtol=1e-8, atol=1e-8)

    def test_float32(self, kind):
        rng = np.random.default_rng(0)
        pair = Pair(kind, {"weight_decay": 0.1}, {"lr": 0.1}, rng, "float32")
        for _ in range(50):
            pair.set_gradients(rng)
            pair.step()
        pair.assert_close(rtol=1e-5, atol=1e-6)

    def test_arguments_and_defaults(self, kind):
        ours = inspect.signature(getattr(optim, kind)).parameters
        theirs = inspect.signature(getattr(torch.optim, kind)).parameters
        inner = {"foreach", "capturable", "differentiable", "fused", "decoupled_weight_decay"}
        assert [name for name in theirs if name not in inner] == list(ours)
        for name, parameter in ours.items():
            assert parameter.default == theirs[name].default

    def test_names_of_the_state(self, kind):
        rng = np.random.default_rng(0)
        every = {
            "SGD": {"momentum": 0.9},
            "RMSprop": {"momentum": 0.9, "centered": True},
            "Adam": {"amsgrad": True},
        }
        pair = Pair(kind, every.get(kind, {}), {}, rng)
        for _ in range(3):
            pair.set_gradients(rng)
            pair.step()
        ours, theirs = (optimizer.state_dict() for optimizer in pair.optimizers)
        assert list(ours["state"]) == list(theirs["state"])
        for i, entries in ours["state"].items():
            expected = theirs["state"][i]
            # what PyTorch keeps, and does not use, or could tell from the step
            for name in {"RMSprop": ["step"], "ASGD": ["eta", "mu"]}.get(kind, []):
                expected.pop(name)
            assert set(entries) == set(expected)
            for name, value in entries.items():
                np.testing.assert_allclose(value, expected[name].numpy(), rtol=1e-8, atol=1e-12)


class TestClipping:
    @given(
        st.integers(0, 999),
        st.floats(1e-3, 1e3),
        st.sampled_from([1.0, 2.0, 3.0, math.inf]),
        st.floats(-3, 3),
    )
    def test_norm(self, seed, max_norm, norm_type, exponent):
        rng = np.random.default_rng(seed)
        pair = Pair("SGD", {}, {}, rng)
        pair.set_gradients(rng, 10**exponent, missing=[seed % 5])
        norm = optim.clip_grad_norm_(pair.ours, max_norm, norm_type)
        expected = torch.nn.utils.clip_grad_norm_(pair.theirs, max_norm, norm_type)
        np.testing.assert_allclose(norm.item(), expected.item(), rtol=1e-12)
        self.assert_gradients_close(pair)

    @pytest.mark.parametrize("bad", [math.inf, math.nan])
    @pytest.mark.parametrize("norm_type", [1.0, 2.0, math.inf])
    def test_not_finite(self, bad, norm_type):
        rng = np.random.default_rng(0)
        pair = Pair("SGD", {}, {}, rng)
        pair.set_gradients(rng)
        pair.ours[0].grad.data[1, 2] = bad
        pair.theirs[0].grad[1, 2] = bad
        for clip, ps in (
            (optim.clip_grad_norm_, pair.ours),
            (torch.nn.utils.clip_grad_norm_, pair.theirs),
        ):
            with pytest.raises(RuntimeError):
                clip(ps, 1.0, norm_type, error_if_nonfinite=True)
            assert not math.isfinite(clip(ps, 1.0, norm_type).item())
        self.assert_gradients_close(pair)

    def test_value(self):
        rng = np.random.default_rng(0)
        pair = Pair("SGD", {}, {}, rng)
        pair.set_gradients(rng, missing=[1])
        optim.clip_grad_value_(pair.ours, 0.5)
        torch.nn.utils.clip_grad_value_(pair.theirs, 0.5)
        self.assert_gradients_close(pair)

    @staticmethod
    def assert_gradients_close(pair):
        for p, q in zip(pair.ours, pair.theirs, strict=True):
            if q.grad is None:
                assert p.grad is None
            else:
                np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-12)


SCHEDULES = [
    lambda s, o: s.StepLR(o, 3),
    lambda s, o: s.StepLR(o, step_size=4, gamma=0.7),
    lambda s, o: s.MultiStepLR(o, [2, 5, 5, 9], gamma=0.3),
    lambda s, o: s.ExponentialLR(o, 0.9),
    lambda s, o: s.LinearLR(o),
    lambda s, o: s.LinearLR(o, start_factor=0.1, end_factor=0.6, total_iters=7),
    lambda s, o: s.LinearLR(o, start_factor=1.0, end_factor=0.0, total_iters=7),
    lambda s, o: s.CosineAnnealingLR(o, T_max=8),
    lambda s, o: s.CosineAnnealingLR(o, 5, eta_min=0.01),
    lambda s, o: s.LambdaLR(o, lambda epoch: 0.95**epoch),
    lambda s, o: s.LambdaLR(o, lr_lambda=[lambda epoch: 1 / (1 + epoch), lambda epoch: epoch]),
    lambda s, o: s.SequentialLR(
        o, [s.LinearLR(o, 0.1, total_iters=4), s.CosineAnnealingLR(o, 10)], milestones=[4]
    ),
    lambda s, o: s.SequentialLR(
        o,
        [s.ExponentialLR(o, 0.8), s.StepLR(o, 2), s.LambdaLR(o, lambda epoch: 1 + epoch)],
        [3, 9],
    ),
]


@pytest.mark.parametrize("make", SCHEDULES, ids=[str(i) for i in range(len(SCHEDULES))])
def test_schedules(make):
    pair = Pair("SGD", {"lr": 0.5}, {"lr": 2.0}, np.random.default_rng(0))
    ours = make(optim, pair.optimizers[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of an argument that SequentialLR itself passes on
        theirs = make(torch.optim.lr_scheduler, pair.optimizers[1])
    for _ in range(30):
        lrs = [group["lr"] for group in pair.optimizers[0].param_groups]
        np.testing.assert_allclose(lrs, ours.get_last_lr())
        np.testing.assert_allclose(lrs, theirs.get_last_lr(), rtol=1e-10, atol=1e-14)
        pair.step()
        ours.step()
        theirs.step()


@given(
    st.lists(st.sampled_from([0.2, 0.5, 0.99995, 1.0, 1.00005, 1.2, math.nan]), max_size=30),
    st.fixed_dictionaries(
        {
            "mode": st.sampled_from(["min", "max"]),
            "factor": st.floats(0.1, 0.9),
            "patience": st.integers(0, 3),
            "threshold": st.sampled_from([1e-4, 0.1]),
            "threshold_mode": st.sampled_from(["rel", "abs"]),
            "cooldown": st.integers(0, 3),
            "min_lr": st.sampled_from([0, 0.3, [0.1, 1.0]]),
        }
    ),
)
def test_plateau(metrics, options):
    pair = Pair("SGD", {"lr": 0.5}, {"lr": 2.0}, np.random.default_rng(0))
    ours = optim.ReduceLROnPlateau(pair.optimizers[0], **options)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(pair.optimizers[1], **options)
    for metric in metrics:
        ours.step(metric)
        theirs.step(metric)
        np.testing.assert_allclose(ours.get_last_lr(), theirs.get_last_lr(), rtol=1e-12)
        assert ours.num_bad_epochs == theirs.num_bad_epochs
        assert ours.cooldown_counter == theirs.cooldown_counter
        assert ours.last_epoch == theirs.last_epoch


@pytest.mark.parametrize(
    "name",
    [name for name in optim.__all__ if name.endswith(("LR", "Plateau"))],
)
def test_arguments_and_defaults_of_schedules(name):
    ours = inspect.signature(getattr(optim, name)).parameters
    theirs = inspect.signature(getattr(torch.optim.lr_scheduler, name)).parameters
    assert list(ours) == list(theirs)
    for parameter in ours:
        assert ours[parameter].default == theirs[parameter].default
