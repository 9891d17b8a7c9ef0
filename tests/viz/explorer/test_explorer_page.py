"""The page of an exploration in a browser: its controls do what they say."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, viz
from minigrad.autograd.record import differentiable

pytestmark = pytest.mark.host(reason="pages are made on the CPU")

RNG = np.random.default_rng
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>"


@differentiable(x=lambda g, x: g * x)  # it should be g * 2 * x
def crooked(x):
    return x * x


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    """A small network with a wrong rule, a log of 0, and an evil name."""
    rng = RNG(0)
    x = mg.tensor(rng.normal(size=(4, 3)).astype("float32"), requires_grad=True)
    W = mg.tensor(rng.normal(size=(3, 5)).astype("float32"), requires_grad=True)
    b = mg.zeros(5, requires_grad=True)
    with np.errstate(all="ignore"), viz.watch():
        h = mg.tanh(x @ W + b)
        y = crooked(h) + h  # </script><script>alert(3)</script>
        z = mg.log(mg.relu(y))
        loss = (y * 2.0).sum() + mg.where(y.detach() > 0, z, 0.0).sum()
    path = tmp_path_factory.mktemp("explorer") / "walk.html"
    found = viz.explore(loss, path, names={HOSTILE: W})
    return found, path


def position(page):
    return int(page.locator(".steps input").input_value())


def shown(page):
    return page.locator(".panel header h2").inner_text()


def step_of(found, op, forward):
    return next(
        i for i, s in enumerate(found.steps, 1) if s.entry.op == op and s.forward is forward
    )


def test_steps_by_keys_buttons_and_slider(walk, open_page):
    found, path = walk
    page, last = open_page(path), len(found.steps)
    assert position(page) == 1
    assert shown(page).startswith(found.steps[0].entry.op)
    for key, expected in [("ArrowRight", 2), ("ArrowRight", 3), ("ArrowLeft", 2), ("End", last),
                          ("ArrowRight", last), ("Home", 1), ("ArrowLeft", 1)]:  # fmt: skip
        page.keyboard.press(key)
        assert position(page) == expected, key
    for name, expected in [("a step on", 2), ("to the end", last), ("a step back", last - 1),
                           ("to the start", 1)]:  # fmt: skip
        page.get_by_role("button", name=name, exact=True).click()
        assert position(page) == expected, name
    page.locator(".steps input").fill("7")
    assert shown(page).startswith(found.steps[6].entry.op)
    assert "7 of" in page.locator(".steps output").inner_text()
    box = page.locator(".u-over").bounding_box()
    page.mouse.click(box["x"] + box["width"] - 1, box["y"] + 20)
    assert position(page) == last


def test_it_plays_and_pauses(walk, open_page):
    found, path = walk
    page = open_page(path)
    page.get_by_label("steps per second").select_option("60")
    page.keyboard.press("Space")
    page.get_by_role("button", name="pause").wait_for()
    page.get_by_role("button", name="play").wait_for()  # at the end
    assert position(page) == len(found.steps)
    page.get_by_label("steps per second").select_option("1")
    page.get_by_role("button", name="play").click()
    page.get_by_role("button", name="pause").click()
    assert position(page) == 1


def test_a_step_shows_rule_gradients_and_finite_difference(walk, open_page):
    found, path = walk
    page = open_page(f"{path}")
    panel = page.locator(".panel")
    page.locator(".steps input").fill(str(step_of(found, "crooked", False)))
    assert "lambda g, x: g * x  # it should be g * 2 * x" in panel.inner_text()
    assert panel.locator(".check.differs").inner_text().startswith("✗")
    assert "kept for this step, and dropped after it" in panel.inner_text()
    page.locator(".steps input").fill(str(step_of(found, "tanh", False)))
    assert "lambda g, out: g * (1 - out * out)" in panel.inner_text()
    assert panel.locator(".card .check.agrees").count() >= 1
    assert "the sum of 2 gradients" in panel.inner_text()
    tanh = found.steps[step_of(found, "tanh", False) - 1].entry
    first, second = (np.linalg.norm(s.gradient) for s in found.summands[tanh.index, 0])
    cells = [float(cell.inner_text()) for cell in panel.locator(".sum td.number").all()]
    total = np.linalg.norm(tanh.result.gradient)
    np.testing.assert_allclose(cells, [first, first, second, total], rtol=1e-3)
    page.locator(".steps input").fill(str(step_of(found, "add", False)))
    texts = panel.inner_text()
    entry = found.steps[step_of(found, "add", False) - 1].entry
    assert entry.op in texts
    first = min(s.entry.index for s in found.steps if s.entry.op == "add")
    page.evaluate(f"location.hash = '#node={first}'")
    panel.locator(".undone").wait_for()
    assert "the rule gave (4, 5), which is summed over axis 0 to (5,)" in panel.inner_text()


def test_the_memory_is_that_of_the_step(walk, open_page):
    found, path = walk
    page = open_page(path)
    for step in (1, 4, len(found.steps)):
        page.locator(".steps input").fill(str(step))
        told = page.locator(".kept").inner_text()
        assert told == f"kept for the way back {found.memory.saved[step - 1]} B"
        total = found.memory.saved[step - 1] + found.memory.gradients[step - 1]
        assert page.locator(".waiting").inner_text() == f"with the gradients {total} B"


def test_search_and_links(walk, open_page):
    found, path = walk
    page = open_page(path)
    page.keyboard.press("/")
    page.keyboard.type("tanh walk")
    assert page.locator(".hits li").first.inner_text() == "3 nodes"  # those of its line
    page.keyboard.press("Enter")
    assert shown(page).startswith("tanh")
    assert position(page) == step_of(found, "tanh", True)
    index = found.steps[position(page) - 1].entry.index
    page.wait_for_timeout(300)  # the address is written with a delay
    assert page.evaluate("location.hash") == f"#step={position(page)}"
    page.get_by_label("search").fill("nothing of that kind")
    assert page.locator(".hits li").inner_text() == "0 nodes"
    source = found.tape.entries[index].edges[0].source
    page.get_by_label("search").fill(f"#{source.index}")
    page.locator(".hits button").click()
    assert shown(page).startswith(f"{source.op} #{source.index}")


def test_parameters_are_found_by_their_letters(open_page, tmp_path):
    cell = nn.RNNCell(2, 2, rng=RNG(0))
    with viz.watch():
        h = mg.zeros(2)
        for _ in range(3):
            h = cell(mg.ones(2), h)
        found = viz.explore(h.sum(), tmp_path / "cell.html")
    names = found.views()[0].data["map"]["names"].values()
    assert {"W_xh", "W_hh", "b_xh", "b_hh", "initial"} <= set(names)
    page = open_page(tmp_path / "cell.html")
    page.get_by_label("search").fill("W_hh")
    assert page.locator(".search li").all_inner_texts() == ["1 node", "#1 weight_hh (2, 2)"]


def test_a_link_leads_to_a_step_or_a_node(walk, open_page, tmp_path):
    found, path = walk
    page = open_page(path)

    def follow(link):  # as from another page
        page.goto("about:blank")
        page.goto(f"{path.as_uri()}#{link}")

    for step in (5, len(found.steps) - 2):
        follow(f"step={step}")
        assert position(page) == step
    leaf = next(e for e in found.tape if e.kind == "input")
    follow(f"node={leaf.index}")
    assert shown(page) == f"{leaf.name} #{leaf.index} input"
    assert found.steps[position(page) - 1].entry is leaf


def test_it_stops_where_it_is_told(walk, open_page):
    found, path = walk
    page = open_page(path)
    page.get_by_label("stop at", exact=True).select_option("not finite")
    page.get_by_role("button", name="run there").click()
    assert position(page) == step_of(found, "log", True)  # relu has made a 0 of a number below
    page.get_by_role("button", name="to the start").click()
    page.get_by_label("steps per second").select_option("60")
    page.get_by_role("button", name="play").click()
    page.get_by_role("button", name="play").wait_for()
    assert position(page) == step_of(found, "log", True)
    assert "a value is not finite" in page.locator(".told").inner_text()
    norms = [0 if s.forward else np.linalg.norm(s.entry.result.gradient) for s in found.steps]
    limit = np.nanmedian([n for n in norms if n])
    page.get_by_label("stop at", exact=True).select_option("norm above")
    page.get_by_label("norm", exact=True).fill(str(limit))
    page.get_by_role("button", name="to the start").click()
    page.get_by_role("button", name="run there").click()
    assert position(page) == next(i for i, n in enumerate(norms, 1) if n > limit)
    page.get_by_label("stop at", exact=True).select_option("norm below")
    page.get_by_role("button", name="to the end").click()
    page.get_by_role("button", name="run there").click()
    assert "no step after this one" in page.locator(".told").inner_text()


def test_what_is_not_finite_stands_out(walk, open_page):
    found, path = walk
    page = open_page(path)
    page.locator(".steps input").fill(str(step_of(found, "log", True)))
    assert page.locator(".panel .wild").first.inner_text().startswith("✕ not finite")
    black = page.evaluate("""() => [...document.querySelectorAll(".heat")].map((node) => {
        const pixels = node.getContext("2d").getImageData(0, 0, node.width, node.height).data;
        let count = 0;
        for (let i = 0; i < pixels.length; i += 4) {
            count += pixels[i] + pixels[i + 1] + pixels[i + 2] === 0;
        }
        return count;
    })""")
    value = found.steps[step_of(found, "log", True) - 1].entry.result.value
    assert black[-1] == (~np.isfinite(value)).sum() > 0


def test_evil_names_stay_text(walk, open_page):
    """A dialog, an error or a request would fail it; see `open_page`."""
    found, path = walk
    page = open_page(path)
    index = next(e.index for e in found.tape if e.name == HOSTILE)
    page.evaluate(f"location.hash = '#node={index}'")
    page.get_by_text(HOSTILE).first.wait_for()
    page.get_by_label("search").fill("script")
    assert HOSTILE in page.locator(".hits").inner_text()
    line = step_of(found, "crooked", True)
    page.locator(".steps input").fill(str(line))
    assert "# </script><script>alert(3)</script>" in page.locator(".panel .now").inner_text()
    assert page.locator("img").count() == 0


def test_a_click_on_the_map_leads_to_the_node(walk, open_page):
    page = open_page(walk[1])
    box = page.locator(".left > canvas").bounding_box()
    page.mouse.click(box["x"] + 3, box["y"] + 3)
    assert position(page) == 1
    x, y = box["x"] + box["width"] / 2, box["y"]
    for down in range(10, int(box["height"]), 6):  # somewhere down the middle is a node
        page.mouse.move(x, y + down)
        if page.locator("#tip").is_visible():
            break
    number, name = page.locator("#tip").inner_text().split()[:2]
    assert shown(page).split()[1] != number
    page.mouse.click(x, y + down + 4)
    assert shown(page).split()[:2] == [name, number]


def test_the_map_shows_which_gradients_wait(walk, open_page):
    """As a walk that is done here: those that have come to a node which was not visited yet."""
    found, path = walk
    told = open_page(path).evaluate("""() => {
        const [{ data }] = JSON.parse(document.getElementById("views").textContent);
        const walk = minigrad.views.explorer.walk(data);
        const all = [...walk.entries.keys()];
        return walk.order.map((_, i) => all.filter((index) => walk.waits(index, i + 1)));
    }""")
    waiting = set()
    for step, indices in zip(found.steps, told, strict=True):
        if not step.forward:
            waiting.discard(step.entry.index)
            waiting |= {e.source.index for e in step.entry.edges if e.gradient is not None}
        assert set(indices) == waiting
    assert max(map(len, told)) >= 2


@pytest.mark.parametrize("width", [1280, 700])
def test_an_unrolled_network_fits_the_window(open_page, tmp_path, width):
    rng = RNG(0)
    model = nn.LSTM(3, 4, rng=rng, unroll=True)
    with viz.watch():
        loss = model(mg.tensor(rng.normal(size=(5, 2, 3)).astype("float32")))[0].sum()
    viz.explore(loss, tmp_path / "a.html")
    page = open_page(tmp_path / "a.html", width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.keyboard.press("End")
    assert "the gradient that comes in" in page.locator(".panel").inner_text()


def test_a_change_of_the_address_is_not_lost(walk, open_page):
    """Also while the page is about to note a step there."""
    page = open_page(walk[1])
    page.keyboard.press("ArrowRight")
    page.evaluate("location.hash = '#step=9'")
    page.wait_for_timeout(400)
    assert position(page) == 9
    assert page.evaluate("location.hash") == "#step=9"


def test_on_a_page_with_other_views_its_keys_need_the_focus(walk, open_page, tmp_path):
    other = viz.View(
        "picture", {"source": "data:image/gif;base64,R0lGODdhAQABAAAAACw=", "alternative": ""}
    )
    viz.Page("two", [*walk[0].views(), other]).write(tmp_path / "two.html")
    page = open_page(tmp_path / "two.html")
    page.keyboard.press("ArrowRight")
    assert position(page) == 1
    page.locator(".left > canvas").focus()
    page.keyboard.press("ArrowRight")
    assert position(page) == 2
