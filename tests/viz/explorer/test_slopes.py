"""Finite differences agree with right rules, and show wrong ones."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.autograd.fused import joint
from minigrad.autograd.record import differentiable
from minigrad.viz import watch
from minigrad.viz.explorer import slopes as slopes_module
from minigrad.viz.explorer.again import Again
from minigrad.viz.explorer.slopes import Slopes
from minigrad.viz.explorer.walk import Walk
from minigrad.viz.reading import read

RNG = np.random.default_rng


@pytest.fixture(autouse=True)
def _enough_time(monkeypatch):
    monkeypatch.setattr(slopes_module, "SECONDS_FOR_RULES", np.inf)
    monkeypatch.setattr(slopes_module, "SECONDS_FOR_ALL", np.inf)


class Model(nn.Module):
    def __init__(self, kind, **options):
        rng = RNG(0)
        self.embedding = nn.Embedding(7, 4, rng=rng)
        self.recurrent = kind(4, 5, rng=rng, **options)
        self.output = nn.Linear(5, 7, rng=rng)

    def forward(self, ids):
        return self.output(nn.Dropout(0.5)(self.recurrent(self.embedding(ids))[0]))


def loss_of(model):
    ids = RNG(1).integers(7, size=(4, 3))
    return mg.cross_entropy(model(ids[:-1]).reshape(-1, 7), ids[1:].ravel())


def slopes_of(program, gradient=None):
    with watch():
        y = program()
    tape = read(y, gradient=gradient)
    again = Again(tape, gradient)
    return tape, again, Slopes(again)


@pytest.mark.parametrize("options", [{}, {"unroll": True, "num_layers": 2}])
@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_right_rules_agree(kind, options):
    """Each rule, and each gradient as the derivative of the loss; dropout's mask stays."""
    model = Model(kind, **options)
    tape, again, slopes = slopes_of(lambda: loss_of(model))
    assert not again.trouble
    passed = {edge for e in tape for edge in e.edges if edge.gradient is not None}
    assert passed <= set(slopes.rules)
    assert {d.verdict for d in slopes.rules.values()} == {"agrees"}
    results = {
        (e.index, i) for e in tape for i, r in enumerate(e.results) if r.gradient is not None
    }
    assert results == set(slopes.whole)
    assert {d.verdict for d in slopes.whole.values()} == {"agrees"}
    assert max(d.error for d in slopes.whole.values()) < 1e-6
    for entry in tape:
        for i, result in enumerate(entry.results):
            if result.gradient is not None:
                np.testing.assert_allclose(
                    result.gradient, again.gradients[entry.index, i], rtol=1e-3, atol=1e-5
                )


@differentiable(x=lambda g, x: g * mg.cos(x) * 1.001)
def bent(x):
    return mg.array_module(x).sin(x)


@differentiable(x=lambda g, x: g * (x > 0))
def steep(x):
    return mg.array_module(x).maximum(x, 0)


@differentiable(x=lambda g: g)
def noisy(x):
    return x + mg.array_module(x).asarray(RNG().normal(size=x.shape))


def test_a_wrong_rule_is_shown_and_only_it():
    """An error of one part in a thousand; the gradients behind it are wrong, the rules not."""
    x = mg.tensor(RNG(0).normal(size=(3, 4)), requires_grad=True)
    tape, _, slopes = slopes_of(lambda: mg.tanh(bent(x * 2.0)).sum())
    wrong = {
        e.op
        for e in tape
        for edge in e.edges
        if edge.has_rule and slopes.of_rule(edge).verdict == "differs"
    }
    assert wrong == {"bent"}
    verdicts = {e.op: slopes.of_whole((e.index, 0)).verdict for e in tape if e.kind != "constant"}
    assert verdicts == {
        "": "differs",
        "multiply": "differs",
        "bent": "agrees",
        "tanh": "agrees",
        "sum": "agrees",
    }


def test_a_kink_is_no_wrong_rule():
    x = mg.tensor([0.0, 1.0, -2.0], dtype="float64", requires_grad=True)
    slopes = slopes_of(lambda: steep(x).sum())[2]
    assert [d.verdict for d in slopes.rules.values()] == ["kink", "agrees"]
    y = mg.tensor([0.5, 1.0, -2.0], dtype="float64", requires_grad=True)
    assert {d.verdict for d in slopes_of(lambda: steep(y).sum())[2].rules.values()} == {"agrees"}


def test_an_op_that_draws_has_none():
    x = mg.tensor(RNG(0).normal(size=(3, 4)), requires_grad=True)
    tape, _, slopes = slopes_of(lambda: mg.tanh(noisy(x)).sum())
    found = {e.op: slopes.of_rule(e.edges[0]) for e in tape if e.kind == "op"}
    assert found["noisy"].verdict == "none"
    assert "draws" in found["noisy"].why
    assert found["tanh"].verdict == found["sum"].verdict == "agrees"
    assert "noisy" in slopes.of_whole((0, 0)).why


@pytest.mark.parametrize("x", [1e-6, 1e-3, 1.0, 1e3, 1e6])
@pytest.mark.parametrize("op", [mg.log, mg.sqrt, mg.square, lambda x: 1 / x, mg.tanh])
def test_at_any_scale(op, x):
    """Where a function bends within the step, or is large beside it."""
    x = mg.tensor(x * (1 + RNG(0).random((3, 4))), requires_grad=True)
    slopes = slopes_of(lambda: op(x).sum())[2]
    assert {d.verdict for d in slopes.rules.values()} == {"agrees"}


def test_a_gradient_to_start_from():
    x = mg.tensor(RNG(0).normal(size=(2, 3)).astype("float32"), requires_grad=True)
    start = RNG(1).normal(size=(2, 3)).astype("float32")
    _, again, slopes = slopes_of(lambda: mg.exp(x), start)
    np.testing.assert_allclose(again.gradients[0, 0], start * np.exp(x.numpy()), rtol=1e-6)
    assert {d.verdict for d in slopes.whole.values()} == {"agrees"}


def test_without_a_watch_it_says_what_to_do():
    x = mg.tensor([1.0], requires_grad=True)
    slopes = Slopes(Again(read(mg.exp(x)), None))
    assert "viz.watch()" in slopes.of_whole((0, 0)).why


def test_what_is_not_finite_is_not_judged():
    x = mg.tensor([0.0, 1.0], requires_grad=True)
    with np.errstate(all="ignore"):
        slopes = slopes_of(lambda: mg.sqrt(x).sum())[2]
        assert slopes.of_whole((0, 0)).verdict == "none"
    mask = mg.tensor([0.0, -np.inf])
    y = mg.tensor([0.5, 1.0], requires_grad=True)
    tape, _, slopes = slopes_of(lambda: mg.softmax(y + mask, axis=-1)[0])
    add = next(e for e in tape if e.op == "add")
    assert slopes.of_rule(add.edges[0]).verdict == "agrees"
    assert slopes.of_whole((0, 0)).verdict == "agrees"


@differentiable(x=lambda g, x: g * 2 * x)
def short(x):
    return (x.astype("float32") ** 2).astype(x.dtype)


@differentiable(x=lambda g: g.astype("float64"))
def shorter(x):
    return x.astype("float32")


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_a_program_that_changes_the_dtype_runs_in_float64(dtype):
    x = mg.tensor(RNG(0).normal(size=(3, 4)).astype(dtype), requires_grad=True)
    slopes = slopes_of(lambda: mg.exp(x.astype("float32") * 2).astype(dtype).sum())[2]
    found = [*slopes.rules.values(), *slopes.whole.values()]
    assert {d.verdict for d in found} == {"agrees"}


def test_an_op_that_rounds_has_none():
    x = mg.tensor(RNG(0).normal(size=(3, 4)), requires_grad=True)
    slopes = slopes_of(lambda: mg.exp(shorter(x)).sum())[2]
    assert "shorter, behind it, does not compute in float64" in slopes.of_whole((0, 0)).why


def test_what_there_is_no_time_for_says_so(monkeypatch):
    monkeypatch.setattr(slopes_module, "SECONDS_FOR_RULES", 0)
    monkeypatch.setattr(slopes_module, "SECONDS_FOR_ALL", 0)
    x = mg.tensor([1.0], requires_grad=True)
    tape, _, slopes = slopes_of(lambda: mg.exp(x * 2))
    found = [slopes.of_rule(tape.entries[-1].edges[0]), slopes.of_whole((0, 0))]
    assert all("too long" in d.why for d in found)


@differentiable(x=lambda g: g)
def proud(x):
    if x.dtype != "float32":
        raise TypeError("float32 alone")
    return x * 1


@differentiable(x=lambda g: g)
def strict(x):
    if not (x == 1).all():
        raise ValueError("ones alone")
    return x * 1


def test_an_op_that_refuses_to_run_again_says_why():
    x = mg.tensor(np.ones((2, 3), "float32"), requires_grad=True)
    slopes = slopes_of(lambda: (proud(x) * 2).sum())[2]
    assert "proud cannot run again in float64" in slopes.of_whole((0, 0)).why
    slopes = slopes_of(lambda: (strict(x) * 2).sum())[2]
    assert "ones alone" in slopes.of_whole((0, 0)).why


def test_a_program_whose_tensors_have_changed_is_not_judged():
    W = mg.nn.Parameter(mg.tensor(RNG(0).normal(size=(3, 4)), dtype="float64"))
    with watch():
        y = mg.tanh(W * 1.0).sum()
        with mg.no_grad():
            W *= 2
        y = y + (W * 1.0).sum()
    assert "changed in place" in Again(read(y), None).trouble


def test_a_gradient_that_a_hook_changed_is_not_judged():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    with watch():
        y = x * 2.0
        y.register_hook(lambda g: g * 0.5)
        loss = (y * y).sum()
        loss.backward()
    walk = Walk(read(loss))
    assert np.allclose(walk.tape.entries[0].result.gradient, 4 * x.numpy())  # the hook was there
    verdicts = [walk.slopes.whole[entry.index, 0].verdict for entry in walk.tape]
    assert verdicts == ["none", "none", "agrees", "agrees"]
    assert "hook" in walk.slopes.whole[0, 0].why
    assert {found.verdict for found in walk.slopes.rules.values()} == {"agrees"}


@joint(backward=lambda g: [g, None], inputs=["x", "y"])
def forgetful(x, y):
    return x + y, None


def test_a_rule_that_gives_nothing_is_wrong_where_something_depends():
    x = mg.tensor(RNG(0).normal(size=(3, 4)), requires_grad=True)
    tape, _, slopes = slopes_of(lambda: forgetful(x * 2, x * 3).sum())
    op = next(e for e in tape if e.op == "forgetful")
    assert [slopes.of_rule(edge).verdict for edge in op.edges] == ["agrees", "differs"]


def test_a_watch_that_runs_does_not_see_it():
    x = mg.tensor(RNG(0).normal(size=(3, 4)), requires_grad=True)
    with watch() as seen:
        y = mg.exp(x).sum()
        Slopes(Again(read(y), None))
    assert len(seen.calls) == 2


@pytest.mark.parametrize(("offset", "verdict"), [(1e3, "agrees"), (1e6, "agrees"), (1e14, "none")])
def test_a_slope_that_rounding_hides(offset, verdict):
    x = mg.tensor(RNG(0).normal(size=(3, 4)), requires_grad=True)
    slopes = slopes_of(lambda: (mg.sin(x) + offset).sum())[2]
    assert slopes.of_whole((0, 0)).verdict == verdict


def test_a_gradient_that_is_nothing_but_rounding():
    x = mg.tensor(RNG(0).normal(size=(3, 4)), requires_grad=True)
    slopes = slopes_of(lambda: mg.softmax(x, axis=-1).sum())[2]
    assert slopes.of_whole((0, 0)).verdict in ("agrees", "none")
    wrong = slopes_of(lambda: bent(mg.softmax(x, axis=-1)).sum())[2]
    assert wrong.of_whole((0, 0)).verdict == "differs"
