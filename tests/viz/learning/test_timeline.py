"""The timeline of a step, and its trace in the Trace Event Format."""

import json
import threading
from collections import Counter

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim, viz
from minigrad.autograd import record, tape
from minigrad.autograd.fused import JointPlan
from minigrad.autograd.modes import modes, watchers
from minigrad.autograd.record import RulePlan
from minigrad.optim import clipping, clipping_gpu
from minigrad.optim.optimizer import Optimizer

PLACES = [
    (record, "run"), (tape, "walk"), (RulePlan, "backward"), (JointPlan, "backward"),
    (Optimizer, "step"), (clipping, "_norm"), (clipping, "_scale_all"),
    (clipping_gpu, "common_norm"), (clipping_gpu, "scale_all"), (clipping_gpu, "clamp_all"),
    (clipping_gpu, "clamp_one"),
]  # fmt: skip


def places():
    """All that a timeline touches."""
    found = [vars(owner)[name] for owner, name in PLACES]
    return [*found, modes.observer, list(watchers)]


@pytest.fixture
def rng():
    return np.random.default_rng(2)


class Model(nn.Module):
    def __init__(self, rng, unroll=False):
        self.embedding = nn.Embedding(7, 3, rng=rng)
        self.rnn = nn.GRU(3, 4, unroll=unroll, rng=rng)
        self.decoder = nn.Linear(4, 7, rng=rng)

    def forward(self, ids):
        return self.decoder(self.rnn(self.embedding(ids))[0])


def train_step(model, optimizer, ids):
    optimizer.zero_grad()
    loss = mg.cross_entropy(model(ids[:-1]).reshape(-1, 7), ids[1:].reshape(-1))
    loss.backward()
    optim.clip_grad_norm_(model.parameters(), 1e-3)
    optimizer.step()
    return loss


@pytest.fixture
def ids(rng):
    return rng.integers(0, 7, (6, 2))


@pytest.fixture
def step(rng, ids):
    model = Model(rng)
    optimizer = optim.Adam(model.parameters())
    with viz.timeline() as timeline:
        train_step(model, optimizer, ids)
    return timeline


# ---------------------------------------------------------------------- slices


def test_all_of_a_step_is_there(step):
    names = [s.name for s in step.slices]
    assert [s.name for s in step.slices if s.depth == 0] == [
        "Model", "reshape", "cross_entropy", "backward", "norm of the gradients",
        "scale the gradients", "Adam.step",
    ]  # fmt: skip
    layers = {s.name for s in step.slices if s.category == "layer"}
    assert layers == {"Model", "embedding (Embedding)", "rnn (GRU)", "decoder (Linear)"}
    counts = Counter(names)
    for op in ("embedding", "gru", "linear", "cross_entropy", "reshape"):
        assert counts[op] == counts[f"{op} backward"] == 1
    gru = next(s for s in step.slices if s.name == "gru")
    assert gru.facts["outputs"] == [(5, 2, 4), (2, 4)]
    assert gru.facts["inputs"][0] == (5, 2, 3)
    rule = next(s for s in step.slices if s.name == "gru backward")
    assert rule.facts["node"] == gru.facts["node"]


def test_slices_nest_and_their_durations_add_up(step):
    slices = sorted(step.slices, key=lambda s: (s.start, s.depth))
    assert slices[0].start >= 0
    open_now = []
    inner = Counter()
    for s in slices:
        while open_now and open_now[-1].end <= s.start and len(open_now) > s.depth:
            open_now.pop()
        assert len(open_now) == s.depth  # each is inside of all that are still open
        assert all(outer.start <= s.start <= s.end <= outer.end for outer in open_now)
        if open_now:
            inner[id(open_now[-1])] += s.duration
        open_now.append(s)
    assert all(inner[id(s)] <= s.duration for s in slices)
    totals = step.totals()
    assert sum(own for _, _, own in totals.values()) == sum(
        s.duration for s in slices if s.depth == 0
    )
    backward = next(s for s in slices if s.name == "backward")
    assert totals["backward"] == (1, backward.duration, backward.duration - inner[id(backward)])
    assert sum(count for count, _, _ in totals.values()) == len(slices)


def test_an_unrolled_layer_shows_each_op(rng, ids):
    model = Model(rng, unroll=True)
    with viz.timeline() as timeline:
        model(ids).sum().backward()
    counts = Counter(s.name for s in timeline.slices)
    assert counts["tanh"] == counts["tanh backward"] == 6
    layer = next(s for s in timeline.slices if s.name == "rnn (GRU)")
    for s in timeline.slices:
        if s.name == "tanh":
            assert layer.start <= s.start <= s.end <= layer.end


def test_derivatives_of_derivatives_are_inside_their_rules():
    x = mg.tensor(0.5, requires_grad=True)
    with viz.timeline() as timeline:
        (g,) = mg.grad(mg.tanh(x), x, create_graph=True)
        g.backward()
    rule = next(s for s in timeline.slices if s.name == "tanh backward")
    inside = [s.name for s in timeline.slices if rule.start <= s.start <= s.end <= rule.end]
    assert inside.count("multiply") == 2  # g * (1 - out * out)
    assert [s.name for s in timeline.slices].count("backward") == 2


# ---------------------------------------------------------------------- nothing changes


def test_results_are_the_same_bit_for_bit(ids):
    found = []
    for looks in (False, True):
        model = Model(np.random.default_rng(0))
        optimizer = optim.Adam(model.parameters())
        losses = []
        for _ in range(3):
            if looks:
                with viz.timeline():
                    losses.append(train_step(model, optimizer, ids).item())
            else:
                losses.append(train_step(model, optimizer, ids).item())
        found.append((losses, [p.numpy().tobytes() for p in model.parameters()]))
    assert found[0] == found[1]


def test_all_is_restored_also_after_an_error(rng, tmp_path):
    before = places()
    with viz.timeline():
        assert places() != before
    assert places() == before

    def fails(timeline):
        with timeline:
            nn.Linear(2, 3, rng=rng)(np.ones((1, 5), np.float32))

    with pytest.raises(ValueError, match="expected"):
        fails(timeline := viz.timeline(tmp_path / "step.json"))
    assert places() == before
    assert not list(tmp_path.iterdir())
    assert timeline.slices[-1].facts["error"] == "ValueError"
    with viz.timeline() as again:
        mg.tanh(mg.tensor(1.0))
    assert [s.name for s in again.slices] == ["tanh"]


def test_a_captured_step_is_seen_op_by_op():
    f = mg.capture(lambda x: mg.tanh(x) * 2)
    x = mg.tensor([1.0])
    f(x)
    with viz.timeline() as timeline:
        f(x)
    assert [s.name for s in timeline.slices] == ["tanh", "multiply"]


def test_other_threads_are_not_timed():
    x = mg.tensor([1.0])
    with viz.timeline() as timeline:
        other = threading.Thread(target=lambda: mg.exp(x))
        other.start()
        other.join()
        mg.tanh(x)
    assert [s.name for s in timeline.slices] == ["tanh"]


def test_only_one_timeline_runs_at_a_time():
    before = places()
    with viz.timeline() as first:
        with pytest.raises(RuntimeError, match="another timeline is running"):
            viz.timeline().__enter__()
        mg.exp(mg.tensor(1.0))
    with pytest.raises(RuntimeError, match="has run already"):
        first.__enter__()
    assert places() == before
    assert len(first.slices) == 1


# ---------------------------------------------------------------------- memory


def test_the_bytes_held_are_counted(device):
    size = 400
    parameter = mg.tensor(np.ones((4, 25), np.float32), requires_grad=True)
    with viz.timeline() as timeline:
        x = parameter.reshape(100)  # a view of what was there before
        y = mg.exp(x)
        z = mg.tanh(y)
        w = z.reshape(10, 10)  # a view
        del y  # exp and tanh keep their results
        w.sum().backward()
        del z, w
    held = [b for _, b in timeline.memory]
    assert held[:3] == [0, size, 2 * size]
    assert held[3] == 2 * size + 4  # and the sum
    assert max(held) <= 5 * size + 8
    assert held[-1] <= 2 * size  # of all that, the gradient is left
    times = [time for time, _ in timeline.memory]
    assert times == sorted(times)


# ---------------------------------------------------------------------- the trace


def test_the_trace_is_in_the_format(step, tmp_path):
    step.save(path := tmp_path / "step.json")
    written = json.loads(path.read_text())
    events = written["traceEvents"]
    assert written["displayTimeUnit"] == "ms"
    phases = Counter(e["ph"] for e in events)
    assert phases.keys() == {"M", "X", "C", "s", "f"}
    assert phases["X"] == len(step.slices)
    assert phases["s"] == phases["f"] == 5
    assert all(e["pid"] == 1 and e["tid"] == 1 for e in events)
    slices = [e for e in events if e["ph"] == "X"]
    assert [e["ts"] for e in slices] == sorted(e["ts"] for e in slices)
    for e, s in zip(slices, sorted(step.slices, key=lambda s: (s.start, -s.duration)), strict=True):
        assert (e["name"], e["cat"]) == (s.name, s.category)
        assert (e["ts"], e["dur"]) == (s.start / 1000, s.duration / 1000)  # microseconds
    gru = next(e for e in slices if e["name"] == "gru")
    assert gru["args"]["outputs"] == "(5, 2, 4), (2, 4)"
    ends = {}
    for e in events:
        if e["ph"] in "sf":
            ends.setdefault(e["id"], []).append(e)
    for start, end in ends.values():
        assert (start["ph"], end["ph"], end["bp"]) == ("s", "f", "e")
        op = next(e for e in slices if e["ts"] == start["ts"] and e["cat"] == "op")
        rule = next(e for e in slices if e["ts"] == end["ts"] and e["cat"] == "rule")
        assert rule["name"] == f"{op['name']} backward"
    counters = [e["args"]["bytes"] for e in events if e["ph"] == "C"]
    assert counters == [b for _, b in step.memory]


def test_it_is_written_at_the_end_of_the_block(tmp_path):
    with viz.timeline(tmp_path / "a.json"):
        mg.exp(mg.tensor(1.0))
    assert len(json.loads((tmp_path / "a.json").read_text())["traceEvents"]) == 5
    with pytest.raises(ValueError, match="must end in"), viz.timeline(tmp_path / "a.txt"):
        pass


def test_it_is_a_picture_and_a_table(step, tmp_path):
    step.save(tmp_path / "step.png")
    assert (tmp_path / "step.png").stat().st_size > 10_000
    assert repr(step).splitlines()[0].startswith(f"Timeline: {len(step.slices)} slices in")
    assert viz.timeline().figure()
