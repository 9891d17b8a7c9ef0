"""Pages: whatever is in the data stays text, and nothing goes in or out."""

from __future__ import annotations

import asyncio
import json
import math
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.viz import Page, View, colours, page

pytestmark = pytest.mark.host(reason="pages are made of numbers that are on the CPU")

STATIC = Path(page.__file__).parent / "static"

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    "<!--<script>",
    "]]>-->",
    "<img src=x onerror=alert(3)>",
    "'\"`${alert(4)}{{ 7 * 7 }}",
    "&lt;&amp;",
    "\u2028\u2029",
    "\x00\x1b[2J\x7f\x85",
    "\ud800 \udc00\ud800",
    "\ufeff\ufffe\uffff",
    "\u202egnp.exe\u2066 \u200b",
    "__proto__",
    "안녕 👋🏽",
]


class Scripts(HTMLParser):
    """The texts of the scripts of a page, as an HTML parser of its own sees them."""

    def __init__(self, html):
        super().__init__()
        self.texts, self.inside = [], False
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.inside = tag == "script"
        if self.inside:
            self.texts.append("")

    def handle_endtag(self, tag):
        self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.texts[-1] += data


def data_of(html):
    """The data of the first view of a page."""
    return json.loads(Scripts(html).texts[0])[0]["data"]


letters = st.text() | st.sampled_from(HOSTILE) | st.text("<>&!-/scriptSCRIPT\"'\\ \n\u2028\ud800")
trees = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | letters,
    lambda inner: st.lists(inner) | st.dictionaries(letters, inner),
    max_leaves=12,
)


@settings(max_examples=60)
@given(trees)
def test_json_within_a_page_is_the_data_and_nothing_that_ends_a_script(data):
    text = page.as_json(page.plain(data))
    assert not re.search("[<>&\u2028\u2029\u202e\x00]", text)
    text.encode("utf-8")
    finite = json.loads(json.dumps(data), parse_constant=str)
    assert json.loads(text) == finite


@settings(max_examples=20)
@given(letters, letters)
def test_no_title_or_text_brings_a_tag(title, text):
    """A page has as many tags as one with harmless texts."""
    harmless = Page("title", [View("picture", "data", "a", "b")], text="text").html()
    html = Page(title, [View("picture", "data", title, text)], text=text + ".").html()
    html.encode("utf-8")
    assert html.count("<") == harmless.count("<")
    assert html.count("<!--") == harmless.count("<!--")


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_arrays_keep_four_significant_digits(dtype):
    rng = np.random.default_rng(0)
    values = (rng.normal(size=(20, 3)) * 10.0 ** rng.integers(-4, 4, (20, 3))).astype(dtype)
    html = Page("", [View("picture", {"values": values})]).html()
    told = data_of(html)["values"]
    np.testing.assert_allclose(told, values.astype(float), rtol=0.501e-3)
    assert all(len(re.sub(r"e.*|\.0$|[-.]", "", str(x)).strip("0")) <= 4 for x in np.ravel(told))


def test_what_an_array_may_hold():
    given = {
        "special": np.array([math.nan, math.inf, -math.inf, 0.0]),
        "alone": math.nan,
        "whole": 0.1234567,
        "scalar": np.float32(0.1234567),
        "double": np.float64(0.1234567),
        "integers": np.array([[2**40], [-3]]),
        "booleans": np.array([True, False]),
        "words": np.array(["<b>", "나"]),
        "tensor": mg.tensor([1.0, 1 / 3]),
        "none": np.zeros((2, 0)),
        "pair": (1, None),
    }
    assert data_of(Page("", [View("picture", given)]).html()) == {
        "special": ["NaN", "Infinity", "-Infinity", 0.0],
        "alone": "NaN",
        "whole": 0.1234567,
        "scalar": 0.1235,
        "double": 0.1235,
        "integers": [[2**40], [-3]],
        "booleans": [True, False],
        "words": ["<b>", "나"],
        "tensor": [1.0, 0.3333],
        "none": [[], []],
        "pair": [1, None],
    }


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"a": [1, {2}]}, r"the data of 'picture'\['a'\]\[1\] is \{2\}, which JSON cannot hold"),
        ({"a": {3: 4}}, r"the keys of the data of 'picture'\['a'\] must be strings, got 3"),
        (np.zeros(2, complex), "an array of complex128"),
    ],
)
def test_data_that_json_cannot_hold(data, message):
    with pytest.raises(TypeError, match=message):
        Page("", [View("picture", data)]).html()


def test_a_view_or_language_that_is_not_there():
    for name in ("portrait", "../page", "", "picture.js"):
        with pytest.raises(ValueError, match=r"Page: no view is called .*; there are .*picture"):
            Page("", [View(name, None)])
    with pytest.raises(ValueError, match=r"Page: language must be a tag"):
        Page("", [], language='en" onload="alert(1)')


def test_the_same_page_is_the_same_file():
    make = Page("Same", [View("picture", np.arange(3.0))]).html
    assert make() == make()


def test_a_page_is_written_as_a_whole_or_not_at_all(tmp_path):
    path = tmp_path / "page.html"
    path.write_text("before", "utf-8")
    with pytest.raises(TypeError):
        Page("", [View("picture", object())]).write(path)
    assert path.read_text("utf-8") == "before"
    Page("After", []).write(path)
    assert "<h1>After</h1>" in path.read_text("utf-8")
    assert list(tmp_path.iterdir()) == [path]


def test_a_path_where_nothing_can_be_written(tmp_path):
    for path in (tmp_path / "none" / "page.html", tmp_path):
        with pytest.raises(OSError, match=re.escape(str(path))):
            Page("", []).write(path)


def test_a_missing_package_is_told_with_the_extra_that_brings_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(
        ModuleNotFoundError, match=r'viz needs jinja2: .*install "minigrad-rnn\[viz\]"'
    ):
        Page("", []).html()


def test_viz_is_imported_lazily_and_needs_nothing_until_it_is_used():
    code = """if True:
        import sys, minigrad as mg
        assert "minigrad.viz" not in sys.modules
        mg.viz.Page("title", [])
        assert set(mg.viz.__all__) <= set(dir(mg.viz))
        heavy = {"jinja2", "markupsafe", "matplotlib", "html.parser"} & set(sys.modules)
        assert not heavy, heavy
    """
    subprocess.run([sys.executable, "-c", code], check=True)


def test_public_names():
    for name in mg.viz.__all__:
        assert getattr(mg.viz, name).__name__.rpartition(".")[2] == name
        assert getattr(mg.viz, name).__doc__
    with pytest.raises(AttributeError, match=r"module 'minigrad.viz' .*'Pagee'; .*mean 'Page'"):
        mg.viz.Pagee


def test_every_script_can_stand_in_a_page():
    """No HTML parser takes a part of one for the end of the script."""
    files = [STATIC / "LICENSES.txt", *STATIC.glob("*.js"), *STATIC.glob("views/*.js")]
    for path in files:
        assert not re.search(r"</script|<!--", path.read_text("utf-8"), re.I), path
    for path in STATIC.rglob("*.css"):
        assert "</" not in path.read_text("utf-8"), path
    assert "*/" not in (STATIC / "LICENSES.txt").read_text("utf-8")


def test_pages_and_pictures_have_the_same_colours():
    css = (STATIC / "page.css").read_text("utf-8")
    assert re.findall(r"--c\d: (#\w+);", css)[:-1] == list(colours.COLOURS)
    assert f"--ink: {colours.TEXT};" in css


# ---------------------------------------------------------------------- in a browser

DEMO = """
minigrad.views.demo = (element, data) => {
  const m = minigrad;
  const list = m.element("ul");
  for (const [key, value] of Object.entries(data.texts)) {
    list.append(m.element("li", {title: value, tabindex: 0}, key, " = ", value));
  }
  element.append(list);
  window.told = data;
  window.numbers = data.numbers.map(m.number).map(String);
};
"""


def test_hostile_text_stays_text_in_a_browser(open_page, own_view, tmp_path):
    own_view("demo", DEMO)
    numbers = np.array([math.nan, math.inf, -math.inf, 1.5])
    data = {"texts": {text: text for text in HOSTILE}, "numbers": numbers}
    everything = "\n".join(HOSTILE)
    path = tmp_path / "hostile.html"
    Page(everything, [View("demo", data, everything, everything)], text=everything).write(path)
    opened = open_page(path)
    assert opened.evaluate("numbers") == ["NaN", "Infinity", "-Infinity", "1.5"]
    codes = opened.evaluate(
        """Object.values(told.texts).map((text) =>
            Array.from({length: text.length}, (_, i) => text.charCodeAt(i)))"""
    )
    units = [list(memoryview(t.encode("utf-16-le", "surrogatepass")).cast("H")) for t in HOSTILE]
    assert codes == units
    assert opened.locator("li").count() == len(HOSTILE)
    assert opened.locator("script").count() == 5
    assert opened.locator("img").count() == 0
    for place in ("h1", "header p", "h2", ".view > p", "ul"):
        text = opened.locator(place).text_content()
        assert "<script>alert(1)</script>" in text
        assert "{{ 7 * 7 }}" in text
        assert "\\u202egnp.exe" in text
        assert "안녕 👋🏽" in text
        assert not re.search("[\x00\x1b\u202e\ufeff\ufffd\ud800]", text)


@pytest.mark.usefixtures("_browser")
def test_other_tests_may_have_an_event_loop_while_the_browser_is_open():
    asyncio.run(asyncio.sleep(0))


MISTAKE = """
([html, place]) => new Promise((resolve) => {
  document.querySelector(place).innerHTML = html;
  const script = document.body.appendChild(document.createElement("script"));
  script.textContent = "window.ran = true";
  document.querySelector("b").click();
  fetch("https://localhost/y").catch(() => setTimeout(() => resolve(String(window.ran)), 50));
})
"""


def test_no_script_but_the_page_s_own_runs_and_no_request_goes_out(open_page, tmp_path):
    """Even if a view made the mistake of writing data as HTML."""
    path = tmp_path / "mistake.html"
    Page("", []).write(path)
    opened = open_page(path)
    html = '<b onclick="window.ran = true">b</b><img src="https://localhost/x.png">'
    assert opened.evaluate(MISTAKE, [html, "main"]) == "undefined"
    told = "\n".join(open_page.problems)
    for what in ("inline event handler", "inline script", "localhost/x.png", "localhost/y"):
        assert what in told
    open_page.problems.clear()
