"""What an exploration holds is what the engine does."""

import json

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, viz
from minigrad.autograd.node import TapeError
from minigrad.viz.explorer.step_order import axes_summed
from minigrad.viz.page import as_json, plain

pytestmark = pytest.mark.host(reason="pages are made on the CPU")

RNG = np.random.default_rng


class Model(nn.Module):
    def __init__(self, kind=nn.LSTM, **options):
        rng = RNG(0)
        self.embedding = nn.Embedding(7, 4, rng=rng)
        self.recurrent = kind(4, 5, rng=rng, **options)
        self.output = nn.Linear(5, 7, rng=rng)

    def forward(self, ids):
        return self.output(self.recurrent(self.embedding(ids))[0])


def loss_of(model):
    ids = RNG(1).integers(7, size=(4, 3))
    return mg.cross_entropy(model(ids[:-1]).reshape(-1, 7), ids[1:].ravel())


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_each_gradient_is_the_engines_and_its_summands_add_up(kind):
    """Bit for bit, of every result on the tape."""
    model = Model(kind, unroll=True)
    with viz.watch():
        loss = loss_of(model)
    walk = viz.explore(loss)
    met = 0
    for step in walk.steps:
        entry = step.entry
        if step.forward:
            continue
        tensors = entry.call.outputs if entry.call else [entry.node.tensor()]
        gradients = mg.grad(loss, tensors, retain_graph=True, allow_unused=True)
        for i, (result, g) in enumerate(zip(entry.results, gradients, strict=True)):
            if result.gradient is None:
                assert g is None
                continue
            np.testing.assert_array_equal(result.gradient, g.numpy())
            summands = walk.summands.get((entry.index, i), [])
            met += len(summands) > 1
            total = None
            for summand in summands:
                total = summand.gradient if total is None else total + summand.gradient
            if entry is not walk.tape.root:
                np.testing.assert_array_equal(total, result.gradient)
    assert met >= 4
    for name, parameter in model.named_parameters():
        assert parameter.grad is None, name


def test_after_the_way_back_the_recorded_walk_is_shown():
    model = Model()
    with viz.watch():
        loss = loss_of(model)
        before = viz.explore(loss)
        loss.backward()
    after = viz.explore(loss)
    assert [s.forward for s in after.steps] == [s.forward for s in before.steps]
    for a, b in zip(after.steps, before.steps, strict=True):
        np.testing.assert_array_equal(a.entry.result.gradient, b.entry.result.gradient)
    np.testing.assert_array_equal(after.memory.saved, before.memory.saved)
    assert {d.verdict for d in after.slopes.rules.values()} == {"agrees"}


@pytest.mark.parametrize(
    ("shape", "to", "axes"),
    [((4, 3), (3,), [0]), ((4, 3), (4, 1), [1]), ((2, 4, 3), (1, 3), [0, 1]), ((3,), (), [0]),
     ((4, 1), (4, 1), []), ((5, 4, 3), (1, 1, 1), [0, 1, 2])],
)  # fmt: skip
def test_the_axes_over_which_broadcasting_is_undone(shape, to, axes):
    assert axes_summed(shape, to) == axes
    x, y = (mg.tensor(RNG(i).normal(size=s), requires_grad=True) for i, s in enumerate((shape, to)))
    walk = viz.explore((x * y).sum())
    (edge,) = (e for entry in walk.tape for e in entry.edges if e.argument == "x2")
    told = next(v for v in data_of(walk)["entries"] if v.get("op") == "multiply")["edges"][1]
    if axes:
        assert told[6:8] == [str(shape), axes]
        got = edge.gradient.sum(tuple(axes)).reshape(to)
        np.testing.assert_allclose(got, edge.source.result.gradient)
    else:
        assert len(told) == 6


def data_of(walk):
    """The data as the page has it."""
    (view,) = walk.views()
    return json.loads(as_json(plain(view.data)))


def test_the_page_holds_each_thing_once():
    """Tables of rules, lines and arrays: what a long tape repeats is not repeated."""
    with viz.watch():
        data = data_of(viz.explore(loss_of(Model(unroll=True))))
    ops = {entry["op"] for entry in data["entries"] if entry["kind"] == "op"}
    assert len(data["entries"]) > 40
    assert len(data["rules"]) <= len(ops) + 2
    assert len(data["lines"]) <= 4
    assert all(set(file["lines"]) for file in data["files"])
    called = [data["files"][f]["lines"][str(n)] for f, n, _ in data["lines"]]
    assert any("self.recurrent(self.embedding(ids))" in text for text in called)


def test_the_norms_of_summands_and_of_their_sum_so_far():
    x = mg.tensor(RNG(0).normal(size=4), requires_grad=True)
    parts = [RNG(i).normal(size=4) for i in range(1, 4)]
    y = x * parts[0] + x * parts[1] + x * parts[2]
    data = data_of(viz.explore(y.sum()))
    sums = data["entries"][0]["sums"]
    arrived = np.array(parts[::-1])  # that of the youngest op is first
    expected = np.linalg.norm([arrived, np.cumsum(arrived, axis=0)], axis=-1).T
    np.testing.assert_allclose([row[3:] for row in sums], expected, rtol=1e-3)
    assert [data["entries"][row[1]]["op"] for row in sums] == ["multiply"] * 3
    two = data_of(viz.explore((x * parts[0] + x).sum()))["entries"]
    assert [len(entry.get("sums", [])) for entry in two] == [2, 0, 0, 0]


@pytest.mark.parametrize("watched", [False, True])
def test_what_is_not_known_is_said(watched):
    x = mg.tensor([[1.0, 2.0]], requires_grad=True)
    with viz.watch() if watched else mg.enable_grad():
        y = mg.exp(x + 1).sum()
    data = data_of(viz.explore(y))
    add = next(entry for entry in data["entries"] if entry.get("op") == "add")
    assert (add["results"][0][2] >= 0) is watched
    assert ("line" in add) is watched
    assert ("viz.watch()" in " ".join(data["reasons"])) is not watched
    gradient = data["summaries"][add["results"][0][3]]
    np.testing.assert_allclose(gradient[0], np.linalg.norm(np.exp([2, 3])), rtol=1e-3)


def test_a_wrong_shape_or_a_constant_is_refused():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(TypeError, match=r"viz\.explore: expected a Tensor"):
        viz.explore(3.0)
    with pytest.raises(TapeError, match=r"viz\.explore: this tensor is a constant"):
        viz.explore(mg.ones(2))
    with pytest.raises(ValueError, match="shape"):
        viz.explore(x * 2, gradient=np.ones(3))
    with pytest.raises(ValueError, match=r"must end in \.html"):
        viz.explore(x * 2, "walk.txt")


def test_names_and_pictures(tmp_path):
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    walk = viz.explore((x * 2).sum(), tmp_path / "walk.png", names={"the start": x})
    assert walk.tape.entries[0].name == "the start"
    assert (tmp_path / "walk.png").read_bytes().startswith(b"\x89PNG")
    assert "<iframe" in walk._repr_html_()
