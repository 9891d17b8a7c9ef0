"""What a drawing is written as: SVG, PNG, PDF, DOT, Mermaid, a page and plain text."""

import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import nets

import minigrad as mg
from minigrad import nn, viz
from minigrad.viz.drawing.facts import held_bytes, kept_bytes
from minigrad.viz.drawing.recurrence import steps_of
from minigrad.viz.drawing.terminal import columns_of, table
from minigrad.viz.reading import read

pytestmark = pytest.mark.host(reason="files and texts are the same whatever the device")

EVIL = '<script>alert(1)</script> "&\\]\n한국어; x -> y [label="\x1b[2J'


def evil():
    """A drawing, and a table, with names that try to be something else."""
    w, other = nn.Parameter(np.ones((2, 3))), mg.tensor([1.0, 2.0], requires_grad=True)
    loss = mg.tanh(other @ w).sum()
    return viz.draw(loss, names={EVIL: w, EVIL + "2": other}), loss, {EVIL: w, EVIL + "2": other}


def drawing(name="RNN", T=3, **options):
    model, loss = nets.NETS[name](T)
    return viz.draw(
        loss, names={"model": model} if isinstance(model, nn.Module) else model, **options
    )


# ------------------------------------------------------------------------- graphs as text


def parsed_dot(text):
    """The nodes with their labels, and the edges, of a graph in DOT; by its grammar's tokens."""
    token = re.compile(r'\s*("(?:[^"\\]|\\.)*"|->|[{}\[\];,=]|[A-Za-z_0-9.]+)')
    tokens, at = [], 0
    while text[at:].strip():
        match = token.match(text, at)
        assert match, text[at : at + 40]
        tokens.append(match[1])
        at = match.end()
    assert tokens.count("{") == tokens.count("}")
    assert tokens.count("[") == tokens.count("]")
    nodes, edges = {}, []
    for i, (a, b) in enumerate(pairwise(tokens)):
        if b == "->":
            edges.append((a, tokens[i + 2]))
        elif b == "[" and a != "node":
            nodes[a] = tokens[i + 4]
    return nodes, edges


def parsed_mermaid(text):
    """The same of a flowchart of Mermaid, in which each line is one of four things."""
    nodes, edges, depth = {}, [], 0
    first, *lines = text.splitlines()
    assert first == "flowchart BT"
    for line in map(str.strip, lines):
        if match := re.fullmatch(r"(n\d+) --> (n\d+)", line):
            edges.append(match.groups())
        elif match := re.fullmatch(r'subgraph \w+\["[^"<>`]*"\]', line):
            depth += 1
        elif line == "end":
            depth -= 1
        elif match := re.fullmatch(r'(n\d+)[\[({]+"((?:[^"<>`]|<br/>)*)"[\])}]+', line):
            nodes[match[1]] = match[2]
        else:
            assert line.startswith("style ")
    assert depth == 0
    return nodes, edges


@pytest.mark.parametrize("fold", ["none", "step", "layer"])
@pytest.mark.parametrize("name", ["two layers, both directions", "loop", "feed-forward"])
def test_dot_and_mermaid_hold_the_same_graph_as_svg(name, fold):
    drawn = drawing(name, 4, fold=fold)
    groups = [g.get("id") for g in ElementTree.fromstring(drawn.svg()).iter() if g.get("class")]
    nodes = {name for name in groups if "-" not in name}
    edges = {tuple(name.split("-")) for name in groups if "-" in name}
    for found, arrows in (parsed_dot(drawn.dot()), parsed_mermaid(drawn.mermaid())):
        assert set(found) == nodes
        assert set(arrows) == edges
        assert len(arrows) == len(edges)


def test_hostile_names_stay_text():
    drawn, loss, names = evil()
    tree = ElementTree.fromstring(drawn.svg())
    assert {e.tag.partition("}")[2] for e in tree.iter()} == {
        "svg",
        "title",
        "rect",
        "g",
        "path",
        "text",
    }
    texts = [e.text for e in tree.iter() if e.text and "script" in e.text]
    assert any("<script>alert(1)</script>" in text for text in texts)
    assert "\x1b" not in drawn.svg() + drawn.dot() + drawn.mermaid()
    nodes, edges = parsed_dot(drawn.dot())
    assert len(nodes) == 4
    assert len(edges) == 3
    nodes, _ = parsed_mermaid(drawn.mermaid())
    assert any("#60;script#62;" in label and "한국어" in label for label in nodes.values())
    told = viz.text(loss, names=names)
    assert "\x1b" not in told
    assert "\\x1b" in told


def test_what_a_node_tells(tmp_path):
    with viz.watch():
        w = nn.Parameter(np.array([[1.0, 2.0]], np.float32))
        y = mg.tanh(w * 2.0)
    titles = {
        e.text.split("\n")[0]: e.text
        for e in ElementTree.fromstring(viz.draw(y, gradient=[[1.0, 0.0]]).svg()).iter()
        if e.tag.endswith("title")
    }
    told = titles["op: tanh"]
    assert "shape: (1, 2)" in told
    assert "value: from 0.964 to 0.999, mean 0.982, norm 1.39" in told
    assert "gradient: from 0 to 1, mean 0.5, norm 1" in told
    assert "keeps: out (8 B, its own result)" in told
    assert "y = mg.tanh(w * 2.0)" in told
    assert "parameters: w" in titles["op: multiply"]


def test_values_and_gradients_that_are_not_finite_are_marked():
    x = mg.tensor([0.0, 2.0], requires_grad=True)
    with np.errstate(all="ignore"), viz.watch():
        y = (mg.log(x) * x).sum()
        svg = viz.draw(y).svg()
    assert "value not finite" in svg
    assert "gradient not finite" in svg
    assert "1 infinite of 2; the others from 0.693" in svg
    assert "value not finite" not in drawing().svg()


def test_the_same_drawing_is_the_same_file(tmp_path):
    for suffix in (".svg", ".png", ".pdf", ".html", ".dot", ".mmd"):
        files = [tmp_path / f"{k}{suffix}" for k in range(2)]
        for file in files:
            drawing("by hand", 2).save(file)
        assert files[0].read_bytes() == files[1].read_bytes()
    with pytest.raises(ValueError, match=r"must end in \.svg, .*'a\.jpg'"):
        drawing().save("a.jpg")


def test_svg_and_png_show_one_scene(tmp_path):
    """matplotlib paints as many lines of text as the SVG has, at the same places."""
    drawn = drawing("by hand")
    tree = ElementTree.fromstring(drawn.svg())
    width, height = float(tree.get("width")), float(tree.get("height"))
    figure = drawn.figure()
    assert np.allclose(figure.get_size_inches() * 96, (width, height), atol=0.1)
    svg_texts = [(e.text, float(e.get("x")) / width) for e in tree.iter() if e.tag.endswith("text")]
    assert [
        (t.get_text(), pytest.approx(t.get_position()[0], abs=1e-3)) for t in figure.texts
    ] == svg_texts


# ------------------------------------------------------------------------- shapes and bad input


def test_scalars_empty_arrays_and_integers():
    x = mg.tensor(np.zeros((0, 3)), requires_grad=True)
    y = (x * 2.0).sum() + mg.tensor(1.0, requires_grad=True)
    for fold in ("none", "step", "layer"):
        ElementTree.fromstring(viz.draw(y, fold=fold).svg())
    assert "(0, 3)" in viz.text(y)
    leaf = mg.tensor(1.0, requires_grad=True)
    ElementTree.fromstring(viz.draw(leaf).svg())
    assert "leaf" in viz.text(leaf)


def test_bad_input_says_what_is_wrong():
    with pytest.raises(TypeError, match="draw: expected a Tensor"):
        viz.draw(np.ones(2))
    with pytest.raises(mg.TapeError, match="text: this tensor is a constant"):
        viz.text(mg.ones(2))
    x = mg.tensor(1.0, requires_grad=True)
    y = x * x
    with pytest.raises(
        ValueError, match='fold must be "auto", "none", "step" or "layer", got \'time\''
    ):
        viz.draw(y, fold="time")
    for steps in (0, -1):
        with pytest.raises(ValueError, match="draw: steps must be at least 1"):
            viz.draw(y, steps=steps)
    with pytest.raises(TypeError, match="draw: steps must be an int"):
        viz.draw(y, steps=2.5)
    y.backward()
    with pytest.raises(mg.TapeError, match=r"freed.*viz\.watch"):
        viz.draw(y)


def test_a_part_that_was_freed_is_drawn_as_such():
    x = mg.tensor(1.0, requires_grad=True)
    state = mg.tanh(x)
    state.backward()
    drawn = viz.draw(state * 2.0)
    assert 'class="node freed"' in drawn.svg()
    assert "no gradients: the tape ends at a tanh" in viz.text(state * 2.0)


def test_what_is_not_drawn_loads_no_matplotlib(tmp_path):
    code = (
        "import sys, minigrad as mg; x = mg.tensor(1.0, requires_grad=True); y = mg.tanh(x)\n"
        "d = mg.viz.draw(y); d.save('a.svg'); d.save('a.dot'); d.save('a.mmd'); mg.viz.text(y)\n"
        "assert not {'matplotlib', 'jinja2', 'treescope'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


# ------------------------------------------------------------------------- text


def test_the_table_has_each_op_and_leaf():
    x = mg.tensor([3.0, 4.0], requires_grad=True)
    w = nn.Parameter(np.array([1.0, 2.0], np.float32))
    y = (mg.tanh(x * w) + x).sum()
    rows = viz.text(y).splitlines()
    assert rows[0].split() == ["node", "op", "arguments", "shape", "gradient", "keeps"]
    assert [row.split()[:2] for row in rows[1:5]] == [
        ["#5", "sum"],
        ["#4", "add"],
        ["#3", "tanh"],
        ["#2", "multiply"],
    ]
    assert rows[2].split()[2:4] == ["#3,", "x"]
    assert rows[3].split()[-2:] == ["8", "B"]
    assert rows[4].split()[2:4] == ["x,", "w"]
    leaves = "\n".join(rows[5:])
    assert re.search(r"\bx +x +input +\(2,\) +1\.4", leaves)
    assert re.search(r"\bw +w +parameter +\(2,\)", leaves)
    assert rows[-1] == "4 ops; 16 B kept for the way back besides parameters"


@pytest.mark.parametrize("width", [50, 80, 200])
def test_the_table_fits_the_terminal_and_its_columns_are_straight(width):
    model, loss = nets.layer(nn.LSTM)(3)
    names = {"아주 긴 이름을 가진 모형": model}
    text = table(*steps_of(read(loss, names)), width)
    lines = text.splitlines()[:-1]
    assert max(map(columns_of, lines)) <= width
    heads = lines[0]
    at = heads.index("op")
    assert all(line[at - 1] == " " and line[at] != " " for line in lines[: lines.index("")])
    assert [columns_of(c) for c in ("a", "한", "e\u0301")] == [1, 2, 1]


def test_a_narrow_table_keeps_the_places_of_lines():
    with viz.watch():
        loss = nets.layer(nn.LSTM)(3)[1]
    text = table(*steps_of(read(loss, {})), 80)
    rows = [row for row in text.splitlines() if " sigmoid " in row]
    assert rows
    assert all(re.search(r"  nets\.py:\d+ ?\S*…?$", row) for row in rows)


def test_a_folded_step_is_called_after_all_layers_in_it():
    embedding, cell, output = nn.Embedding(5, 2), nn.RNNCell(2, 2), nn.Linear(2, 5)
    with viz.watch():
        h, outputs = mg.zeros(2), []
        for i in range(3):
            h = cell(embedding(i), h)
            outputs.append(output(h))
        loss = mg.stack(outputs).sum()
    drawn = viz.draw(loss, fold="step").svg()
    assert "embedding, cell, output" in drawn


def test_the_table_tells_the_time_step():
    text = viz.text(nets.by_hand(3)[1])
    steps = re.findall(r"^ *#\d+ +(\S+) +tanh", text, re.M)
    assert steps == ["3", "2", "1"]


# ------------------------------------------------------------------------- the page


@pytest.fixture
def page(open_page, tmp_path):
    def opened(drawn):
        drawn.save(tmp_path / "a.html")
        page = open_page(tmp_path / "a.html")
        page.wait_for_timeout(100)
        return page

    return opened


def test_the_page_searches_selects_and_folds(page):
    opened = page(drawing("LSTM", 3))
    panel = opened.locator("aside")
    search = opened.get_by_label("Search nodes")
    search.fill("tanh")
    assert opened.get_by_text("6 found").is_visible()
    search.press("Enter")
    assert panel.get_by_role("heading").inner_text() == "tanh"
    assert "its own result" in panel.inner_text()
    panel.get_by_role("button", name=re.compile("split")).click()
    assert panel.get_by_role("heading").inner_text() == "split"
    opened.get_by_label("Fold").select_option(label="layers")
    assert opened.get_by_text("1 found").is_visible()
    search.press("Enter")
    assert "36 ops" in panel.inner_text()


def test_the_page_obeys_keys_and_mouse(page):
    opened = page(drawing("by hand", 3))
    canvas = opened.get_by_role("img", name="the tape drawn")
    panel = opened.locator("aside")
    canvas.focus()
    opened.keyboard.press("ArrowDown")
    heading = panel.get_by_role("heading")
    assert heading.inner_text() == "add"  # the root
    opened.keyboard.press("ArrowDown")
    assert heading.inner_text() == "cross_entropy"
    opened.keyboard.press("ArrowLeft")
    assert heading.inner_text() == "cross_entropy"
    opened.keyboard.press("Escape")
    assert heading.count() == 0
    opened.keyboard.press("0")
    opened.keyboard.press("/")
    opened.keyboard.type("matmul")
    assert opened.get_by_text("9 found").is_visible()
    box = canvas.bounding_box()
    opened.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    opened.mouse.wheel(0, -300)
    opened.mouse.down()
    opened.mouse.move(box["x"] + 100, box["y"] + 100)
    opened.mouse.up()


def test_a_link_leads_to_a_node(page, open_page, tmp_path):
    drawn = drawing("RNN", 3)
    drawn.save(tmp_path / "b.html")
    root = drawn.tape.root.index
    opened = open_page(tmp_path / "b.html")
    opened.evaluate(f"location.hash = 'fold=step&node=n{root}'")
    opened.wait_for_timeout(100)
    assert opened.locator("aside").get_by_role("heading").inner_text() == "cross_entropy"
    assert opened.get_by_label("Fold").input_value() == "time steps"


def test_hostile_names_on_the_page_stay_text(page):
    drawn, *_ = evil()
    opened = page(drawn)
    search = opened.get_by_label("Search nodes")
    search.fill("<script>")
    search.press("Enter")
    assert "<script>alert(1)</script>" in opened.locator("aside").inner_text()


def test_in_a_notebook_it_shows_itself():
    html = drawing()._repr_html_()
    assert html.startswith("<iframe")
    assert "srcdoc" in html


# ------------------------------------------------------------------------- what a reader sees


@pytest.mark.parametrize("fold", ["none", "step"])
@pytest.mark.parametrize("name", ["LSTM", "two layers, both directions", "translator", "loop"])
def test_no_text_is_cut_off_or_over_another(name, fold):
    """By the widths of the letters that matplotlib has drawn."""
    pytest.importorskip("matplotlib")
    with viz.watch():
        model, loss = nets.NETS[name](2)
    names = {"model": model} if isinstance(model, nn.Module) else model
    figure = viz.draw(loss, fold=fold, names=names).figure()
    width, height = figure.bbox.size
    renderer = figure.canvas.get_renderer()
    places = [(text.get_window_extent(renderer), text.get_text()) for text in figure.texts]
    assert len(places) > 10
    for i, (one, a) in enumerate(places):
        sides = one.x0, one.y0, width - one.x1, height - one.y1
        assert min(sides) >= 0, f"{a} is cut off"
        for other, b in places[:i]:
            across = min(one.x1, other.x1) - max(one.x0, other.x0)
            up = min(one.y1, other.y1) - max(one.y0, other.y0)
            assert across <= 1 or up <= 4, f"{a} and {b} overlap"


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("unroll", [True, False])
def test_what_a_tape_holds_is_what_the_explorer_counts(kind, unroll):
    """Parts of one array, such as the gates of a GRU, are all kept."""
    layer = getattr(nn, kind)(3, 4, unroll=unroll, rng=np.random.default_rng(0))
    walk = viz.explore(layer(mg.ones((5, 2, 3)))[0].sum())
    counted = walk.memory.saved[[step.forward for step in walk.steps]][-1]
    assert held_bytes(walk.tape.entries) == counted
    assert 0.7 * counted < kept_bytes(walk.tape.entries) <= counted
