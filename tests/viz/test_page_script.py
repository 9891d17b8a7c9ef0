"""What views share (static/page.js): numbers, controls, tips, canvases, the address."""

from __future__ import annotations

import re

import numpy as np
import pytest

from minigrad.viz import Page, View

pytestmark = pytest.mark.host(reason="pages are made on the CPU")


@pytest.fixture
def show(open_page, own_view, tmp_path):
    """show(source, data=None): a page with a view whose function has this body."""

    def shown(source, data=None, count=1):
        own_view("demo", f"minigrad.views.demo = (element, data) => {{ {source} }};")
        path = tmp_path / "page.html"
        Page("Page", [View("demo", data)] * count).write(path)
        return open_page(path)

    return shown


def test_numbers_are_written_for_people(show):
    rng = np.random.default_rng(0)
    values = [float(f"{x:.5g}") for x in rng.choice([-1, 1], 200) * 10 ** rng.uniform(-30, 30, 200)]
    page = show("")
    written = page.evaluate("xs => xs.map((x) => minigrad.format(x))", values)
    for text, value in zip(written, values, strict=True):
        assert re.fullmatch(r"−?(\d{1,3}(,\d{3})*|0)(\.\d+)?(e−?\d+)?", text), text
        assert len(text) <= 12
        assert float(text.replace("−", "-").replace(",", "")) == pytest.approx(value, rel=0.6e-3)
    special = {"NaN": "NaN", "-Infinity": "−∞", "0": "0", "1000": "1,000", "0.1": "0.1"}
    for given, expected in special.items():
        assert page.evaluate("x => minigrad.format(x)", given) == expected
    assert page.evaluate("minigrad.format(2 / 3, 2)") == "0.67"
    assert page.evaluate("minigrad.number(null)") != page.evaluate("minigrad.number(null)")
    sizes = {
        0: "0 B",
        999: "999 B",
        1000: "1 kB",
        999_499: "999 kB",
        999_500: "1 MB",
        2.5e9: "2.5 GB",
    }
    for given, expected in sizes.items():
        assert page.evaluate("x => minigrad.bytes(x)", given) == expected


def test_a_page_of_several_views_has_contents(open_page, own_view, tmp_path):
    own_view("tall", 'minigrad.views.tall = (e) => { e.style.height = "2000px"; };')
    for titles, count in ((["one", "two", "three"], 3), (["one", "two"], 0)):
        Page("Page", [View("tall", None, title) for title in titles]).write(tmp_path / "page.html")
        page = open_page(tmp_path / "page.html")
        assert page.locator("nav button").count() == count
        if count:
            page.get_by_role("button", name="three").click()
            assert 0 <= page.locator("h2").nth(2).bounding_box()["y"] < 50
            assert page.evaluate("document.activeElement.textContent") == "three"


def test_colours_of_numbers(show):
    page = show("")
    assert page.evaluate("[0, 1, 2].map(minigrad.viridis)") == [
        "rgb(68, 1, 84)",
        "rgb(253, 231, 37)",
        "rgb(253, 231, 37)",
    ]
    assert page.evaluate("minigrad.diverging(0)") == "rgb(255, 255, 255)"
    assert page.evaluate("minigrad.viridis(NaN)") == "#d0d0d0"
    assert page.evaluate("minigrad.colour('accent')") == "#0072b2"


CONTROLS = """
window.told = [];
const tell = (x) => told.push(x);
element.append(minigrad.controls(
  minigrad.button("▶", () => tell("played"), "Play"),
  minigrad.slider("Window", {min: 1, max: 5, value: 3, show: (x) => `${x} steps`}, tell),
  minigrad.choice("Layer", ["first", [2, "second"]], "first", tell),
  minigrad.tick("Gradients", false, tell),
));
"""


def test_controls_work_with_the_keyboard_and_have_names(show):
    page = show(CONTROLS)
    for name, role, keys in [
        ("Play", "button", ["Enter", "Space"]),
        ("Window", "slider", ["ArrowRight", "ArrowRight", "ArrowRight"]),
        ("Layer", "combobox", ["ArrowDown"]),
        ("Gradients", "checkbox", ["Space", "Space"]),
    ]:
        page.keyboard.press("Tab")
        control = page.get_by_role(role, name=name)
        assert control.evaluate("node => node === document.activeElement")
        assert control.evaluate("node => getComputedStyle(node).outlineStyle") == "solid"
        for key in keys:
            page.keyboard.press(key)
    assert page.evaluate("told") == ["played", "played", 4, 5, 2, True, False]
    slider = page.get_by_role("slider")
    assert slider.get_attribute("aria-valuetext") == "5 steps"
    assert page.locator("output").text_content() == "5 steps"


def test_a_tip_shows_with_pointer_and_focus_within_the_window(show):
    page = show(
        """
        for (const align of ["left", "right"]) {
          const cell = minigrad.element("p", {tabindex: 0}, "cell");
          cell.style.cssText = `width: 60px; margin-${align === "left" ? "right" : "left"}: auto`;
          minigrad.tip.on(cell, () => `<b>${align}</b> ` + "word ".repeat(30));
          element.append(cell);
        }
        """
    )
    tip = page.locator("#tip")
    for i, side in enumerate(["left", "right"]):
        cell = page.locator(".demo-view p").nth(i)
        for begin, end in [(cell.hover, "page.mouse"), (cell.focus, "Escape")]:
            begin()
            assert tip.is_visible()
            assert tip.text_content().startswith(f"<b>{side}</b> word")
            box = tip.bounding_box()
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= 1280
            page.mouse.move(640, 700) if end == "page.mouse" else page.keyboard.press(end)
            assert not tip.is_visible()


def test_a_canvas_is_drawn_again_at_its_new_size(show, open_page):
    page = show(
        """
        window.drawn = [];
        minigrad.canvas(element, 120, "a <line>", (context, width, height) => {
          context.fillRect(0, 0, width / 2, height);
          drawn.push([width, height]);
        });
        """
    )
    open_page.until(page, "drawn.length === 1")
    page.set_viewport_size({"width": 700, "height": 800})
    open_page.until(page, "drawn.length === 2")
    assert page.evaluate("drawn") == [[1240, 120], [660, 120]]
    canvas = page.get_by_role("img", name="a <line>")
    alpha = "(node, x) => node.getContext('2d').getImageData(x, 60, 1, 1).data[3]"
    assert [canvas.evaluate(alpha, x) for x in (10, 320, 340)] == [255, 255, 0]


def test_the_address_holds_values(show, open_page):
    page = show(
        """
        element.append(minigrad.element("b", {}, String(minigrad.hash.get("step"))));
        minigrad.hash.listen(() => element.append(minigrad.hash.get("step")));
        """
    )
    assert page.locator("b").text_content() == "null"
    page.evaluate("minigrad.hash.set('step', '3 & 4'), minigrad.hash.set('gone', null)")
    assert page.evaluate("minigrad.hash.get('step')") == "3 & 4"
    open_page.until(page, "location.hash === '#step=3+%26+4'")
    page.reload()
    assert page.locator("b").text_content() == "3 & 4"
    page.evaluate("location.hash = '#step=<5>'")
    open_page.until(page, "document.querySelector('.demo-view').textContent === '3 & 4<5>'")


def test_a_view_that_fails_says_so_and_the_others_are_drawn(show, open_page):
    source = """
    element.append("drawn");
    if (document.querySelectorAll("section").length !== 2) return;
    console.error("told");
    alert("called");
    throw new Error("<b>thrown</b>");
    """
    with pytest.raises(AssertionError):
        show(source, count=3)
    told = "\n".join(open_page.problems)
    for problem in ("told", "a dialog: called", "<b>thrown</b>"):
        assert problem in told
    open_page.problems.clear()
    (page,) = open_page.pages
    assert page.locator("section").count() == 3
    assert page.locator("b").count() == 0
    assert page.locator(".failed").all_text_contents() == [
        "This could not be drawn: Error: <b>thrown</b>"
    ]
