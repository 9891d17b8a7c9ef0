"""A step is taken wholly or not at all; and steps of float16, whose arithmetic is float32's."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.optim import (
    ASGD,
    SGD,
    Adagrad,
    Adam,
    AdamW,
    RMSprop,
    clip_grad_norm_,
    clip_grad_value_,
)

EACH = [
    (SGD, {"momentum": 0.9}),
    (ASGD, {"t0": 0}),
    (Adagrad, {}),
    (RMSprop, {"momentum": 0.9, "centered": True}),
    (Adam, {"amsgrad": True}),
    (AdamW, {}),
]
each_optimizer = pytest.mark.parametrize(("kind", "options"), EACH)


def parameters(dtype="float64", count=2):
    made = [nn.Parameter(np.ones(2, dtype)) for _ in range(count)]
    for p in made:
        p.grad = mg.tensor(np.ones(2, dtype))
    return made


def read_only(p):
    fixed = p.numpy()
    fixed.flags.writeable = False
    p.data = fixed


def of_another_shape(p):
    p.grad = mg.ones(3, dtype="float64")


def of_another_dtype(p):
    p.grad = mg.ones(2)


def everything(optimizer):
    return [p.numpy() for p in optimizer.parameters()], optimizer.state_dict()


@each_optimizer
@pytest.mark.parametrize("after", [0, 1])
class TestWhollyOrNotAtAll:
    @pytest.mark.host(reason="a GPU's memory is never read-only")
    @pytest.mark.parametrize("spoil", [read_only, of_another_shape, of_another_dtype])
    def test_a_second_parameter_that_cannot_be_stepped(self, kind, options, after, spoil):
        optimizer = kind(parameters(), **options)
        for _ in range(after):
            optimizer.step()
        spoil(list(optimizer.parameters())[1])
        before = everything(optimizer)
        with pytest.raises(ValueError, match="step: a parameter"):
            optimizer.step()
        np.testing.assert_equal(everything(optimizer), before)

    def test_an_option_that_has_become_nan(self, kind, options, after):
        for name in kind(parameters(), **options).defaults:
            first, second = parameters()
            optimizer = kind([{"params": first}, {"params": second}], **options)
            if isinstance(optimizer.defaults[name], bool):
                continue
            for _ in range(after):
                optimizer.step()
            group, before = optimizer.param_groups[1], everything(optimizer)
            good, group[name] = group[name], (0.9, math.nan) if name == "betas" else math.nan
            with pytest.raises(ValueError, match=rf"{kind.__name__}.step: group 1: {name}"):
                optimizer.step()
            group[name] = good
            np.testing.assert_equal(everything(optimizer), before)

    @pytest.mark.parametrize("name", ["_numbers", "_states"])
    def test_what_an_option_makes_of_the_numbers(self, kind, options, after, name, monkeypatch):
        """Whatever goes wrong before the first element changes: no memory, an overflow."""
        optimizer = kind([{"params": p} for p in parameters()], **options)
        for _ in range(after):
            optimizer.step()
        before, prepare, calls = everything(optimizer), getattr(kind, name), []

        def fails(self, *args):
            calls.append(args)
            if len(calls) == 2:
                raise MemoryError
            return prepare(self, *args)

        monkeypatch.setattr(kind, name, fails)
        with pytest.raises(MemoryError):
            optimizer.step()
        np.testing.assert_equal(everything(optimizer), before)

    def test_asking_for_numbers_and_arrays_changes_nothing(self, kind, options, after):
        optimizer = kind(parameters(), **options)
        for _ in range(after):
            optimizer.step()
        before, o = everything(optimizer), optimizer._options(optimizer.param_groups[0], 0)
        for p in optimizer.parameters():
            state = optimizer.state.get(p, {})
            numbers = optimizer._numbers(state, o)
            arrays = optimizer._states(p._array, state, o)
            assert optimizer._numbers(state, o) == numbers
            for name, array in zip(optimizer._names(o), arrays, strict=True):
                assert (name is None) == (array is None)
                assert name not in state or state[name] is array
        np.testing.assert_equal(everything(optimizer), before)

    def test_numpy_s_errors_do_not_stop_it_half_way(self, kind, options, after):
        first, second = parameters("float32")
        first.grad = mg.tensor([1e38, 1e-38])
        optimizer = kind([first, second], **options)
        with np.errstate(all="raise"):
            for _ in range(after + 1):
                optimizer.step()
        assert (second.numpy() < 1).all()


@pytest.mark.host(reason="a GPU's memory is never read-only")
@pytest.mark.parametrize(
    "clip", [lambda ps: clip_grad_norm_(ps, 0.1), lambda ps: clip_grad_value_(ps, 0.1)]
)
def test_clipping_changes_all_gradients_or_none(clip):
    first, second = parameters()
    fixed = np.ones(2)
    fixed.flags.writeable = False
    second.grad = mg.Tensor(fixed)
    with pytest.raises(ValueError, match=r"gradient 1, float64 \(2,\), is in read-only memory"):
        clip([first, second])
    assert first.grad.tolist() == [1, 1]


@each_optimizer
class TestFloat16:
    def gradients(self, steps=20):
        rng = np.random.default_rng(0)
        return [
            (rng.normal(size=(3, 50)) * [[1e-4], [1], [300]]).astype("float16")
            for _ in range(steps)
        ]

    def test_is_float32_but_for_the_parameter_itself(self, kind, options):
        """Each step begins at a float16 number and ends rounded to one; all else is float32."""
        p, q = (nn.Parameter(np.full((3, 50), 2, dtype)) for dtype in ("float16", "float32"))
        half, single = kind([p], lr=0.01, **options), kind([q], lr=0.01, **options)
        for g in self.gradients():
            p.grad, q.grad = mg.tensor(g), mg.tensor(g.astype("float32"))
            half.step()
            single.step()
            q.data = q.numpy().astype("float16").astype("float32")
            np.testing.assert_array_equal(p.numpy(), q.numpy())
        assert np.isfinite(p.numpy()).all()
        for name, value in half.state_dict()["state"][0].items():
            np.testing.assert_array_equal(value, single.state_dict()["state"][0][name])

    def test_goes_on_after_loading(self, kind, options):
        p, q = (nn.Parameter(np.ones((3, 50), "float16")) for _ in range(2))
        one, other = kind([p], **options), kind([q], **options)
        for i, g in enumerate(self.gradients(4)):
            if i == 2:
                q.data = p.numpy()
                other.load_state_dict(one.state_dict())
            p.grad, q.grad = mg.tensor(g), mg.tensor(g)
            one.step()
            if i >= 2:
                other.step()
        np.testing.assert_array_equal(p.numpy(), q.numpy())

    def test_a_gradient_of_zeros_moves_nothing(self, kind, options):
        p = nn.Parameter(np.ones(3, "float16"))
        p.grad = mg.tensor(np.zeros(3, "float16"))
        kind([p], **options, weight_decay=0).step()
        np.testing.assert_allclose(p.numpy(), 1, atol=2e-3)  # ASGD's lambd is a decay of its own


class TestClippingFloat16:
    def test_a_norm_that_is_larger_than_all_of_float16(self):
        p = nn.Parameter(np.zeros(10_000, "float16"))
        p.grad = mg.tensor(np.full(10_000, 1000, "float16"))
        norm = clip_grad_norm_([p], 1.0)
        assert norm.item() == pytest.approx(1e5)
        np.testing.assert_allclose(p.grad.numpy(), 0.01, rtol=1e-3)
        optimizer = SGD([p], lr=1.0)
        optimizer.step(if_finite=norm)
        np.testing.assert_allclose(p.numpy(), -0.01, rtol=1e-3)

    @pytest.mark.parametrize(("dtype", "bound"), [("float16", 1e6), ("float32", 1e39)])
    def test_a_bound_that_is_larger_than_the_dtype(self, dtype, bound):
        p = nn.Parameter(np.zeros(3, dtype))
        p.grad = mg.tensor(np.array([1, -math.inf, math.nan], dtype))
        clip_grad_value_([p], bound)
        np.testing.assert_array_equal(p.grad.numpy(), [1, np.finfo(dtype).min, math.nan])


@each_optimizer
def test_numbers_of_numpy_are_saved_as_python_s(kind, options):
    def made(number):
        values = {name: v if isinstance(v, bool) else number(v) for name, v in options.items()}
        optimizer = kind(parameters(), lr=number(0.125), **values)
        optimizer.step()
        return optimizer.state_dict()["param_groups"]

    expected = made(float)
    for number in (np.float32, np.float64, lambda v: np.array(v, "float32")):
        saved = made(number)
        for name, value in saved[0].items():
            assert type(value) in (float, int, bool, list), name
            np.testing.assert_allclose(value, expected[0][name], rtol=1e-6)


def test_a_norm_type_and_a_bound_of_numpy():
    first, second = parameters()
    assert optim.clip_grad_norm_([first], np.float32(0.5), np.int64(2)).item() == math.sqrt(2)
    optim.clip_grad_value_([second], np.array(0.5))
    assert second.grad.tolist() == [0.5, 0.5]


def test_an_optimizer_of_one_s_own_remembers_what_it_puts_into_its_state():
    class Counting(optim.Optimizer):
        remembered = ("step",)

        def _update(self, parameter, gradient, state, o):
            state["step"] = state.get("step", 0) + 1
            parameter -= gradient * state["step"]

    optimizer = Counting(parameters(), {})
    for _ in range(2):
        optimizer.step()
    assert [p.tolist() for p in optimizer.parameters()] == [[-2, -2]] * 2
    assert optimizer.state_dict()["state"] == {0: {"step": 2}, 1: {"step": 2}}
