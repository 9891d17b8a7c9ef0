"""What pictures are made of: the tape as facts, and what a watch notes besides."""

import threading

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.autograd.modes import modes
from minigrad.viz.names import variables
from minigrad.viz.observing import last_watch, watch
from minigrad.viz.reading import read

RNG = np.random.default_rng
IDS = np.array([0, 1, 2, 3, 1])


class Model(nn.Module):
    def __init__(self, kind=nn.LSTM, **options):
        rng = RNG(0)
        self.embedding = nn.Embedding(5, 4, rng=rng)
        self.recurrent = kind(4, 3, rng=rng, **options)
        self.output = nn.Linear(3, 5, rng=rng)

    def forward(self, ids):
        return self.output(self.recurrent(self.embedding(ids))[0])


def loss_of(model):
    return mg.cross_entropy(model(IDS[:-1]), IDS[1:])


MODELS = [
    *((kind, options) for kind in (nn.RNN, nn.LSTM, nn.GRU) for options in ({}, {"unroll": True})),
    (nn.LSTM, {"num_layers": 2, "bidirectional": False, "unroll": True}),
]


@pytest.mark.parametrize(("kind", "options"), MODELS)
@pytest.mark.parametrize("watched", [False, True, "through the way back"])
def test_the_gradients_are_those_of_backward(kind, options, watched):
    """By the rules, or as the watch saw them; bit for bit, since they are added in one order."""
    model = Model(kind, **options)
    if watched:
        with watch():
            loss = loss_of(model)
            if watched is not True:
                loss.backward()
    else:
        loss = loss_of(model)
    tape = read(loss, variables())
    if watched in (False, True):
        assert all(p.grad is None for p in model.parameters())
        loss.backward()
    found = {e.name: e.result.gradient for e in tape if e.kind == "parameter"}
    for name, parameter in model.named_parameters():
        np.testing.assert_array_equal(found.pop(name), parameter.grad.numpy())
    assert not found
    assert not tape.trouble
    assert tape.watched is bool(watched)
    assert tape.root.result.value == loss.item()
    assert all(edge.source.index < e.index for e in tape for edge in e.edges)


def test_hooks_do_not_run_and_nothing_is_freed():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    y = x * x
    y.retain_grad()
    x.register_hook(lambda g: pytest.fail("a hook ran"))
    read(y.sum())
    read(y.sum())
    assert x.grad is None
    assert y.grad is None


def test_what_a_watch_knows_besides():
    """Every value, line and layer; constants; and options that are not the default."""
    model = Model(nn.RNN, unroll=True)
    with watch():
        loss = loss_of(model)  # this line
    tape = read(loss, {"model": model})
    ops = [entry for entry in tape if entry.kind == "op"]
    assert all(result.value is not None for entry in ops for result in entry.results)
    assert ops[-1].line.text == "return mg.cross_entropy(model(IDS[:-1]), IDS[1:])"
    embedding = ops[0]
    assert [(layer.name, layer.kind) for layer in embedding.layers] == [
        ("model", "Model"),
        ("embedding", "Embedding"),
    ]
    assert [e.source.kind for e in embedding.edges] == ["constant", "parameter"]
    np.testing.assert_array_equal(embedding.edges[0].source.result.value, IDS[:-1])
    assert [e.options["axis"] for e in ops if e.op == "expand_dims"] == ["1"]


def test_values_are_those_of_the_time_of_the_call():
    """Though an optimiser has changed the parameters since, and a buffer was filled anew."""
    w = nn.Parameter(np.array([1.0, 2.0]))
    buffer = np.array([3.0, 4.0])
    with watch():
        loss = (w * buffer).sum()
        loss.backward()
    buffer[:] = 0
    optim.SGD([w], lr=1.0).step()
    multiply = next(entry for entry in read(loss) if entry.op == "multiply")
    assert [edge.source.result.value.tolist() for edge in multiply.edges] == [[1, 2], [3, 4]]
    assert multiply.result.value.tolist() == [3, 8]


def test_what_a_node_keeps():
    x = mg.tensor(np.ones((3, 2)), requires_grad=True)
    y = mg.tanh(x * 2.0) + x
    kept = {e.op: {s.name: (s.nbytes, s.source) for s in e.saved} for e in read(y) if e.op}
    assert kept["add"] == {}
    assert kept["multiply"] == {"x2": (0, None)}
    [(name, (nbytes, source))] = kept["tanh"].items()
    assert (name, nbytes, source.op) == ("out", 48, "tanh")


def test_ops_with_several_results_and_one_that_is_not_used():
    x = mg.tensor(np.arange(6.0), requires_grad=True)
    a, b, _ = mg.split(x, 3)
    with watch():
        c, d, _ = mg.split(x, 3)
        watched = (c * d).sum()
    for loss in ((a * b).sum(), watched):
        tape = read(loss)
        split = next(entry for entry in tape if entry.op == "split")
        assert [r.gradient is None for r in split.results] == [False, False, True]
        multiply = next(entry for entry in tape if entry.op == "multiply")
        assert [(e.source is split, e.number) for e in multiply.edges] == [(True, 0), (True, 1)]


@pytest.mark.host("the messages are the same")
def test_what_cannot_be_read_says_what_to_do():
    with pytest.raises(TypeError, match="draw: expected a Tensor"):
        read(np.ones(2), caller="draw")
    with pytest.raises(mg.TapeError, match="constant"):
        read(mg.ones(2))
    x = mg.tensor(1.0, requires_grad=True)
    y = x * x
    y.backward()
    with pytest.raises(mg.TapeError, match=r"freed.*viz\.watch\(\)"):
        read(y)
    with pytest.raises(ValueError, match=r"shape \(3,\), expected \(\)"):
        read(x * x, gradient=[1.0, 2.0, 3.0])


def test_a_part_that_was_freed_is_an_end():
    x = mg.tensor(1.0, requires_grad=True)
    state = mg.tanh(x)
    state.backward()
    tape = read(state * x)
    assert [entry.kind for entry in tape] == ["input", "freed", "op"]
    assert "detach" in tape.trouble


def test_a_watch_is_of_one_thread_and_ends_with_its_block():
    x = mg.tensor(1.0, requires_grad=True)
    seen = watch()

    def fail_within():
        with seen:
            thread = threading.Thread(target=lambda: x * 3.0)
            thread.start()
            thread.join()
            mg.exp(x)
            with mg.no_grad():
                mg.log(x)
            raise KeyError

    with pytest.raises(KeyError):
        fail_within()
    mg.sin(x)
    assert [(call.op.name, call.node is None) for call in seen.calls] == [
        ("exp", False),
        ("log", True),
    ]
    assert last_watch() is seen


def test_a_captured_step_that_is_watched_runs_uncaptured():
    x = mg.tensor([1.0, 2.0], requires_grad=True)

    @mg.capture
    def step(a):
        loss = (a * x).sum()
        loss.backward()
        return loss.detach()

    step(mg.ones(2))
    x.grad = None
    with watch() as seen:
        step(mg.ones(2))
    assert [call.op.name for call in seen.calls] == ["multiply", "sum"]
    assert [len(walk.at) for walk in seen.walks] == [2]
    assert len(seen.cuts) == 1


def test_names_come_from_modules_and_variables():
    first, second = Model(), Model()
    x = mg.tensor(1.0, requires_grad=True)
    loss = loss_of(first) + loss_of(second) + x
    names = {e.name for e in read(loss, variables()) if not e.op}
    assert {"x", "first.output.weight", "second.output.weight"} <= names
    alone = loss_of(first)
    names = {e.name for e in read(alone, {"first": first}) if not e.op}
    assert "output.weight" in names


def test_a_given_gradient_is_the_start_also_after_a_walk():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    with watch():
        y = x * x
        y.backward(mg.ones(2))
    assert read(y).entries[0].result.gradient.tolist() == [2.0, 4.0]
    assert read(y, gradient=[10.0, 1.0]).entries[0].result.gradient.tolist() == [20.0, 4.0]


def test_watches_within_watches_all_see_what_is_inside():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    with watch() as outer:
        y = x * x
        with watch() as inner, pytest.raises(RuntimeError, match="running already"), outer:
            pass
        with inner:
            y.sum().backward()
    assert [call.op.name for call in outer.calls] == ["multiply", "sum"]
    assert [call.op.name for call in inner.calls] == ["sum"]
    assert [len(seen.walks[0].at) for seen in (outer, inner)] == [2, 2]


def test_watches_of_interleaved_generators_end():
    x = mg.tensor([1.0, 2.0], requires_grad=True)

    def program(seen):
        with seen:
            yield

    first, second = watch(), watch()
    a, b = program(first), program(second)
    next(a), next(b)
    a.close()
    x * x
    b.close()
    x * x
    assert (len(first.calls), len(second.calls)) == (0, 1)
    assert modes.observer is None


def test_values_of_leaves_are_those_of_their_step():
    w = mg.tensor([1.0, 2.0], requires_grad=True)
    optimizer, losses, before = optim.SGD([w], lr=0.1), [], []
    with watch():
        for _ in range(3):
            before.append(w.numpy())
            losses.append((w * w).sum())
            optimizer.zero_grad()
            losses[-1].backward()
            optimizer.step()
    for loss, value in zip(losses, before, strict=True):
        assert read(loss).entries[0].result.value.tolist() == value.tolist()
    loss = (w * w).sum()
    assert read(loss).entries[0].result.value.tolist() == w.numpy().tolist()
    optimizer.step()
    assert read(loss).entries[0].result.value is None  # it is another one now
