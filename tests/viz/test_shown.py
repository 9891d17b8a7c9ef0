"""What functions of viz give: files of each kind, and a frame or a picture in a notebook."""

from __future__ import annotations

import re
import sys

import pytest

from minigrad.viz import Page, Shown, View
from minigrad.viz.figures import new_figure

pytestmark = pytest.mark.host(reason="pages and pictures are made on the CPU")

TALL = """
minigrad.views.tall = (element, data) => {
  const bar = minigrad.element("div", {class: "bar"}, data);
  bar.style.height = "900px";
  bar.tabIndex = 0;
  bar.addEventListener("click", () => {
    minigrad.hash.set("clicked", "<yes>");
    bar.textContent = minigrad.hash.get("clicked");
  });
  element.append(bar);
};
"""


class Line(Shown):
    title = 'A <b>"line"</b>'

    def figure(self):
        figure = new_figure(2, 1)
        figure.add_subplot().plot([0, 1])
        return figure


class Tall(Shown):
    title = "A <b>tall</b> page"

    def views(self):
        return [View("tall", "<script>alert(1)</script>")]


@pytest.mark.parametrize(
    ("suffix", "begins"),
    [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".PDF", b"%PDF"), (".html", b"<!doctype html>")],
)
def test_a_figure_is_saved_by_its_suffix_the_same_each_time(tmp_path, suffix, begins):
    path = tmp_path / f"line{suffix}"
    Line().save(path)
    first = path.read_bytes()
    assert first.startswith(begins)
    Line().save(str(path))
    assert path.read_bytes() == first
    assert list(tmp_path.iterdir()) == [path]


def test_paths_that_say_no_kind(tmp_path):
    for name in ("line", "line.gif"):
        with pytest.raises(ValueError, match=r"Line.save: the path must end in .html, .png, .svg"):
            Line().save(tmp_path / name)
    with pytest.raises(ValueError, match=r"Tall.save: it is no picture; save it as .html"):
        Tall().save(tmp_path / "tall.png")
    with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path / "none" / "line.png"))):
        Line().save(tmp_path / "none" / "line.png")
    assert not list(tmp_path.iterdir())


def test_a_missing_matplotlib_is_told_with_the_extra_that_brings_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ModuleNotFoundError, match=r'matplotlib: .*install "minigrad-rnn\[viz\]"'):
        Line().save(tmp_path / "line.png")


def test_a_figure_in_a_notebook_and_on_a_page_is_a_picture(open_page, tmp_path):
    assert '<b>"' not in Line()._repr_html_()
    (tmp_path / "notebook.html").write_text(Line()._repr_html_(), "utf-8")
    Line().save(tmp_path / "line.html")
    for name in ("notebook.html", "line.html"):
        picture = open_page(tmp_path / name).locator("img")
        assert picture.get_attribute("alt") == Line.title
        assert picture.get_attribute("width") == "192"  # two inches
        assert picture.evaluate("image => image.complete && image.naturalWidth") == 300


def test_views_in_a_notebook_are_a_frame_as_high_as_their_page(open_page, own_view, tmp_path):
    own_view("tall", TALL)
    cell = Tall()._repr_html_()
    assert cell.count("<") == 2  # the frame, and nothing in it
    path = tmp_path / "notebook.html"
    path.write_text(f"<!doctype html><body><h1>Notebook</h1>{cell}{cell}</body>", "utf-8")
    opened = open_page(path, width=700)
    open_page.until(opened, "document.querySelector('iframe').offsetHeight > 900")
    inner = opened.frames[1]
    assert inner.evaluate("document.documentElement.scrollHeight <= innerHeight")
    bar = inner.locator(".bar")
    assert bar.text_content() == "<script>alert(1)</script>"
    bar.click()
    assert bar.text_content() == "<yes>"
    assert opened.url == path.as_uri()


def test_the_page_of_a_shown_has_its_words():
    class Told(Tall):
        text = "Some words."

        def views(self):
            return [View("picture", {"source": "data:,", "alternative": ""})]

    made = Told().page()
    assert isinstance(made, Page)
    assert (made.title, made.text) == (Told.title, "Some words.")
