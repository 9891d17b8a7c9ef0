"""Where time steps, layers and nodes are: in any net, found in the tape alone."""

import re
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import nets

import minigrad as mg
from minigrad import nn, viz
from minigrad.viz.drawing.folding import Folded
from minigrad.viz.drawing.frames import frames
from minigrad.viz.drawing.graph import Graph
from minigrad.viz.drawing.placement import Placement, arrange
from minigrad.viz.drawing.recurrence import Recurrence, steps_of
from minigrad.viz.reading import read

ROWS = np.random.default_rng(0).normal(size=(6, 3))
SVG = "{http://www.w3.org/2000/svg}"


def names_of(model):
    return {"model": model} if isinstance(model, nn.Module) else model


def parts(name, T=4):
    model, loss = nets.NETS[name](T)
    graph = Graph(read(loss, names_of(model)))
    return graph, Recurrence(graph)


def drawn(drawing):
    """The boxes of the nodes and the lines of the edges of an SVG, by the names of the nodes."""
    boxes, edges = {}, []
    for group in ElementTree.fromstring(drawing.svg()).iter(SVG + "g"):
        if group.get("class").startswith("node"):
            assert group.get("id") not in boxes
            outline = group.findall(SVG + "rect")[group.get("class") == "node fold"]
            boxes[group.get("id")] = [float(outline.get(k)) for k in ("x", "y", "width", "height")]
        else:
            path = group.find(SVG + "path").get("d")
            numbers = [float(x) for x in re.findall(r"-?[\d.]+", path)]
            edges.append((*group.get("id").split("-"), numbers[:2], numbers[-2:]))
    return boxes, edges


def apart(a, b):
    """Whether two boxes have a gap between them."""
    (x, y, w, h), (u, v, s, t) = a, b
    return x + w < u or u + s < x or y + h < v or v + t < y


def touches(point, box, slack=0.11):
    (px, py), (x, y, w, h) = point, box
    inside = x - slack <= px <= x + w + slack and y - slack <= py <= y + h + slack
    border = min(abs(px - x), abs(px - x - w), abs(py - y), abs(py - y - h)) <= slack
    return inside and border


# ------------------------------------------------------------------------- time and layers


@pytest.mark.parametrize("T", [2, 3, 7])
@pytest.mark.parametrize("name", nets.RECURRENT)
def test_columns_are_time_steps_and_rows_are_layers(name, T):
    graph, recurrence = parts(name, T)
    assert recurrence.columns == T
    assert len(recurrence.layers) == nets.RECURRENT[name][1]
    for layer in recurrence.layers:
        assert sorted(layer.columns) == list(range(T))
        reverse = any(graph.entries[i].name.endswith("_reverse") for i in layer.shared)
        assert layer.columns == sorted(layer.columns, reverse=reverse)
        assert len({re.sub("weight|bias", "", graph.entries[i].name) for i in layer.shared}) < 3


@pytest.mark.parametrize("name", nets.RECURRENT)
def test_each_step_of_a_layer_has_the_same_ops(name):
    """Columns in the middle are alike; what spans several columns is what joins or parts them."""
    graph, recurrence = parts(name, 6)
    ops = [Counter() for _ in range(6)]
    for v in graph.nodes:
        if recurrence.first[v] == recurrence.last[v]:
            ops[recurrence.first[v]][recurrence.owner[v], graph.entries[v].op] += 1
        else:
            assert (recurrence.first[v], recurrence.last[v]) == (0, 5)
    assert ops[1] == ops[2] == ops[3] == ops[4]
    assert ops[0] == ops[1] or name == "by hand"


def test_an_encoder_is_left_of_its_decoder():
    graph, recurrence = parts("translator", 3)
    assert [layer.columns for layer in recurrence.layers] == [[0, 1, 2], [3, 4, 5, 6, 7]]
    spans = {
        graph.entries[v].edges[0].source.name: (recurrence.first[v], recurrence.last[v])
        for v in graph.nodes
        if graph.entries[v].op == "embedding"
    }
    assert spans == {"source.weight": (0, 2), "target.weight": (3, 7)}


@pytest.mark.parametrize("made", [nets.feed_forward, nets.layer(nn.RNN)])
def test_without_a_recurrence_there_is_one_column(made):
    _, loss = made(1)
    recurrence = Recurrence(Graph(read(loss)))
    assert (recurrence.columns, recurrence.layers) == (1, [])


def test_what_is_used_often_but_not_in_a_chain_is_no_recurrence():
    w, v = nn.Parameter(np.ones(3)), nn.Parameter(np.ones(3))
    total = sum(mg.tanh(w * x * v) for x in ROWS)
    assert not Recurrence(Graph(read(total.sum()))).layers


def test_the_first_step_may_have_no_state():
    """Then W_hh is used one time less than the bias, from the second step on."""
    W_hh, b = nn.Parameter(np.eye(3)), nn.Parameter(np.ones(3))
    h = None
    for _ in range(5):
        h = mg.tanh(b + ROWS[0] if h is None else W_hh @ h + b)
    graph = Graph(read(h.sum()))
    recurrence = Recurrence(graph)
    columns = {"matmul": [], "tanh": [], "add": [], "sum": []}
    for v in graph.nodes:
        columns[graph.entries[v].op].append(recurrence.first[v])
    del columns["add"], columns["sum"]
    assert columns == {"matmul": [1, 2, 3, 4], "tanh": [0, 1, 2, 3, 4]}


def test_attention_over_the_encoder_stays_in_the_step_of_the_decoder():
    rng = np.random.default_rng(0)
    W, U = (nn.Parameter(rng.normal(size=(3, 3))) for _ in range(2))
    h, hidden = np.zeros(3), []
    for _ in range(4):
        h = mg.tanh(W @ h + 1)
        hidden.append(h)
    memory, s = mg.stack(hidden), h
    for _ in range(3):
        s = mg.tanh(U @ s + mg.softmax(memory @ s) @ memory)
    graph = Graph(read(s.sum()))
    recurrence = Recurrence(graph)
    assert [layer.columns for layer in recurrence.layers] == [[0, 1, 2, 3], [4, 5, 6]]
    spans = {graph.entries[v].op: set() for v in graph.nodes}
    for v in graph.nodes:
        spans[graph.entries[v].op].add((recurrence.first[v], recurrence.last[v]))
    assert spans["stack"] == {(0, 3)}
    assert spans["softmax"] == {(4, 4), (5, 5), (6, 6)}


@pytest.mark.parametrize("batch_first", [False, True])
def test_a_slice_of_a_sequence_belongs_to_its_time_step(batch_first):
    """As in a loop over logits[t] or logits[:, t], whose losses are added up."""
    rng = np.random.default_rng(0)
    rnn = nn.RNN(3, 2, unroll=True, batch_first=batch_first, rng=rng)
    y, _ = rnn(rng.normal(size=(6, 4, 3) if batch_first else (4, 6, 3)).astype(np.float32))
    loss = 0.0
    for t in range(4):
        loss = loss + mg.cross_entropy(y[:, t] if batch_first else y[t], np.zeros(6, int))
    graph = Graph(read(loss))
    recurrence = Recurrence(graph)
    for op in ("cross_entropy", "getitem"):
        spans = [
            (recurrence.first[v], recurrence.last[v])
            for v in graph.nodes
            if graph.entries[v].op == op and graph.entries[v].result.shape in ((), (6, 2))
        ]
        assert spans == [(0, 0), (1, 1), (2, 2), (3, 3)]
    assert (recurrence.first[graph.tape.root.index], recurrence.last[graph.tape.root.index]) == (
        3,
        3,
    )


# ------------------------------------------------------------------------- what a watch saw


def test_initial_states_are_beside_the_first_step():
    with viz.watch():
        model, loss = nets.layer(nn.RNN, bidirectional=True)(3)
    drawing = viz.draw(loss, names={"model": model})
    boxes, edges = drawn(drawing)
    constants = [f"n{e.index}" for e in drawing.tape if e.result.shape == (1, 3) and not e.op]
    assert len(constants) == 2
    begins = [(source, target) for source, target, *_ in edges if source in constants]
    (left, forward), (right, backward) = begins
    every = [x for name, (x, *_) in boxes.items() if name not in constants]
    assert boxes[left][0] < min(every)
    assert boxes[right][0] > max(every)
    for state, first in begins:
        (_, y, _, h), (_, v, _, t) = boxes[state], boxes[first]
        assert y + h / 2 == pytest.approx(v + t / 2, abs=0.2)
    assert boxes[forward][0] < boxes[backward][0]
    assert drawing.svg().count("initial state") == 2


def test_a_frame_holds_what_its_layer_did_and_nothing_else():
    with viz.watch():
        model, loss = nets.language_model(3)
    drawing = viz.draw(loss, names={"model": model})
    graph, recurrence = steps_of(drawing.tape)
    folded = Folded(graph, recurrence, "none")
    placement = Placement(folded, [(60.0, 40.0)] * len(folded.bodies))
    found = frames(folded, placement, drawing.layers)
    assert {frame.name for frame in found} == {"embedding", "recurrent.0", "recurrent.1"}
    for frame in found:
        for body in folded.bodies:
            layers = [layer.name for layer in graph.entries[body.members[0]].layers]
            if frame.columns:
                assert body not in frame.bodies or frame.name in layers or not layers
            else:
                assert (body in frame.bodies) == (frame.name in layers)
    assert all(f">{name}</text>" in drawing.svg() for name in ("embedding", "recurrent.1"))


def test_no_frame_is_around_what_is_not_of_its_layer():
    """Beside what a layer goes on with, something else is made of its first result."""

    class Two(nn.Module):
        def forward(self, x):
            u = mg.tanh(x)
            return u, mg.exp(mg.exp(mg.exp(mg.exp(x))))

    class Only(nn.Module):
        def forward(self, x):
            return mg.tanh(mg.exp(x))

    two, only = Two(), Only()
    for model, boxed in ((two, False), (only, True)):
        x = mg.tensor([0.1], requires_grad=True)
        with viz.watch():
            made = model(x)
            y = mg.sin(mg.sin(made[0])) * made[1] if model is two else mg.sin(made) * made
        svg = viz.draw(y.sum(), names={"block": model}).svg()
        assert (">block</text>" in svg) is boxed


def test_folded_by_layer_each_call_is_a_node():
    with viz.watch():
        model, loss = nets.feed_forward(3)
    svg = viz.draw(loss, fold="layer", names={"model": model}).svg()
    assert svg.count('class="node op"') == 7  # six layers of one op each, and a square
    with viz.watch():
        model, loss = nets.language_model(3)
    drawing = viz.draw(loss, fold="layer", names={"model": model})
    assert len(drawn(drawing)[0]) == 8


# ------------------------------------------------------------------------- places


@pytest.mark.parametrize("fold", ["none", "step", "layer"])
@pytest.mark.parametrize("name", nets.NETS)
def test_nodes_are_apart_and_edges_go_from_border_to_border(name, fold):
    model, loss = nets.NETS[name](5)
    boxes, edges = drawn(viz.draw(loss, fold=fold, steps=3, names=names_of(model)))
    placed = list(boxes.values())
    assert all(apart(a, b) for i, a in enumerate(placed) for b in placed[:i])
    for source, target, start, end in edges:
        assert touches(start, boxes[source])
        assert touches(end, boxes[target])
    assert len({(source, target) for source, target, *_ in edges}) == len(edges)


@pytest.mark.parametrize("name", nets.NETS)
def test_arguments_are_below_or_left_of_what_uses_them(name):
    """Within a time step everything goes up; else it goes on in the direction of its layer."""
    model, loss = nets.NETS[name](4)
    boxes, edges = drawn(viz.draw(loss, names=names_of(model)))
    for source, target, *_ in edges:
        (x, y, w, _), (u, v, s, t) = boxes[source], boxes[target]
        assert v + t < y or x + w < u or (u + s < x and "directions" in name)


@pytest.mark.parametrize("name", nets.NETS)
def test_all_edges_and_nodes_of_the_tape_are_drawn_once(name):
    model, loss = nets.NETS[name](3)
    tape = read(loss, names_of(model))
    boxes, edges = drawn(viz.draw(loss, names=names_of(model)))
    nodes = {f"n{e.index}" for e in tape if e.kind != "parameter"}
    assert set(boxes) == nodes
    expected = {
        (f"n{edge.source.index}", f"n{e.index}")
        for e in tape
        for edge in e.edges
        if edge.source.kind != "parameter"
    }
    assert {(source, target) for source, target, *_ in edges} == expected


def test_layers_lie_one_above_the_other():
    """All of an upper layer is above all of a lower one in its columns."""
    for name in nets.RECURRENT:
        model, loss = nets.NETS[name](3)
        drawing = viz.draw(loss, names=names_of(model))
        boxes, _ = drawn(drawing)
        _, recurrence = steps_of(drawing.tape)
        tops = [[] for _ in recurrence.layers]
        for node, (_, y, _, height) in boxes.items():
            tops[recurrence.owner[int(node[1:])]].append((y, y + height))
        for low, high in pairwise(tops):
            assert max(bottom for _, bottom in high) < min(top for top, _ in low)


@pytest.mark.parametrize("name", ["two layers", "loop", "by hand", "own cell"])
def test_edges_rarely_cross(name):
    """Of the edges between two rows of a column few cross; in a recurrent step of a cell none."""
    model, loss = nets.NETS[name](3)
    _, edges = drawn(viz.draw(loss, names=names_of(model)))
    short = [(s[0], e[0], s[1], e[1]) for _, _, s, e in edges if abs(s[0] - e[0]) < 150]
    crossings = sum(
        (a[0] - b[0]) * (a[1] - b[1]) < 0 and a[2:] == b[2:]
        for i, a in enumerate(short)
        for b in short[:i]
    )
    assert crossings <= 3 * (name == "loop")  # a GRU has gates whose parts must cross


def test_a_shuffled_ladder_is_untangled():
    """Pairs of bodies in two rows, in any order: no edge crosses another, each is vertical."""
    shuffled = np.random.default_rng(0).permutation(12)
    bodies = [(0, 30.0)] * 12 + [(1, 30.0)] * 12
    places, _, _, order = arrange(
        bodies, [(i, 12 + int(k), 0) for i, k in enumerate(shuffled)], [0] * 24
    )
    assert [12 + shuffled[i] for i in order[0]] == order[1]
    for i, k in enumerate(shuffled):
        assert places[i] == pytest.approx(places[12 + k])


@pytest.mark.parametrize("seed", range(16))
def test_any_program_can_be_drawn(seed):
    """Ops, weights, stacks and slices as they come: nothing overlaps, whatever is folded."""
    loss = random_program(np.random.default_rng(seed))
    for fold, steps in (("none", None), ("none", 2), ("step", None), ("step", 1), ("layer", None)):
        drawing = viz.draw(loss, fold=fold, steps=steps)
        boxes, edges = drawn(drawing)
        placed = list(boxes.values())
        assert all(apart(a, b) for i, a in enumerate(placed) for b in placed[:i])
        for source, target, start, end in edges:
            assert touches(start, boxes[source])
            assert touches(end, boxes[target])
        assert drawing.dot().count(" -> ") == len(edges)


def random_program(rng):
    weights = [nn.Parameter(rng.normal(size=2)) for _ in range(3)]
    known = [mg.tensor(rng.normal(size=2), requires_grad=True), *weights]
    for _ in range(int(rng.integers(5, 60))):
        a, b = (known[-1 - int(rng.exponential(3)) % len(known)] for _ in range(2))
        kind = rng.integers(7)
        if kind == 0:
            known.append(mg.tanh(a))
        elif kind in (1, 2):
            known.append(a * weights[rng.integers(3)] + b)
        elif kind == 3:
            known.append(a + b)
        elif kind == 4:
            rows = mg.stack(known[-int(rng.integers(2, 6)) :])
            known.append((rows * rows).mean(axis=0))
            known.append(rows[int(rng.integers(2))])
        elif kind == 5:
            known.extend(mg.unstack(mg.stack(known[-3:])))
        else:
            known.append(mg.concatenate([a[:1], b[1:]]))
    return sum(x.sum() for x in known[-3:])


def test_the_bar_is_as_long_as_the_gradient_is_large():
    """On a log scale, from the smallest to the largest power of ten."""
    x = mg.tensor(1.0, requires_grad=True)
    y = x
    for _ in range(6):
        y = y * 0.1
    svg = ElementTree.fromstring(viz.draw(y).svg())
    lengths = []
    for group in svg.iter(SVG + "g"):
        if group.get("class") == "node op":
            track, bar = group.findall(SVG + "rect")[-2:]
            lengths.append(float(bar.get("width")) / float(track.get("width")))
    assert lengths == pytest.approx([k / 6 for k in (1, 2, 3, 4, 5)], abs=0.01)


# ------------------------------------------------------------------------- folds


@pytest.mark.parametrize("steps", [None, 1, 2, 5])
@pytest.mark.parametrize("fold", ["none", "step", "layer"])
@pytest.mark.parametrize("name", nets.NETS)
def test_each_node_is_in_one_fold_and_none_depends_on_itself(name, fold, steps):
    graph, recurrence = parts(name, 9)
    folded = Folded(graph, recurrence, fold, steps)
    members = sorted(v for body in folded.bodies for v in body.members)
    assert members == graph.nodes
    time_steps = sorted(s for column in folded.columns for s in column.steps)
    assert time_steps == list(range(recurrence.columns))
    if steps is not None and recurrence.layers and fold != "layer":
        assert len(folded.columns) == min(steps + 1, recurrence.columns)
    before = {body: set() for body in folded.bodies}
    for source, target in folded.edges:
        before[target].add(source)
    while free := [body for body, sources in before.items() if not sources]:
        for body in free:
            del before[body]
        for sources in before.values():
            sources.difference_update(free)
    assert not before


@pytest.mark.parametrize("name", nets.RECURRENT)
def test_a_step_of_a_layer_is_one_node(name):
    graph, recurrence = parts(name, 6)
    folded = Folded(graph, recurrence, "step")
    found = Counter((b.layer, b.first) for b in folded.bodies if not b.wide)
    root = folded.body_of[graph.tape.root.index]
    if not root.wide:
        found[root.layer, root.first] -= 1
    assert set(found.values()) == {1}
    assert len(found) == 6 * len(recurrence.layers)


def test_a_large_tape_is_folded_by_itself():
    _, loss = nets.layer(nn.LSTM)(60)
    drawing = viz.draw(loss)
    assert (drawing.fold, drawing.steps, drawing.time_steps) == ("step", 8, 60)
    assert "… 52 more steps …" in drawing.svg()
    assert viz.draw(nets.layer(nn.LSTM)(10)[1]).fold == "none"


def test_a_chain_of_5000_ops():
    """No recursion; its ends are drawn, and what is between them in runs."""
    y = mg.tensor(0.5, requires_grad=True)
    for _ in range(5_000):
        y = -y
    drawing = viz.draw(y)
    boxes, edges = drawn(drawing)
    assert len(boxes) < 100
    assert len(edges) == len(boxes) - 1
    assert len(viz.text(y).split("\n")) < 60


# ------------------------------------------------------------------------- effort


def test_the_work_grows_as_the_tape():
    """Counted in calls of Python functions, not in seconds."""

    def calls(made, T):
        tape, count = read(made(T)[1]), 0

        def counted(frame, event, argument):
            nonlocal count
            count += event == "call"

        sys.setprofile(counted)
        try:
            graph = Graph(tape)
            recurrence = Recurrence(graph)
            viz.Drawing(tape, "none", None).svg()
        finally:
            sys.setprofile(None)
        assert recurrence.visits < 5 * len(tape)
        return count / len(tape)

    for made in (nets.layer(nn.RNN, num_layers=2), nets.by_hand, nets.feed_forward):
        assert calls(made, 40) < 1.2 * calls(made, 10)
