"""The lecture: each page runs, and the numbers that it tells are those that it prints."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.host(reason="the numbers are those of the CPU")

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "lecture").glob("[0-9]*.py"))
each_page = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)


def cells(path):
    """The text and the code of a page."""
    parts = re.split(r"^# %%", path.read_text("utf-8"), flags=re.M)[1:]
    texts = [part.split("\n", 1)[1] for part in parts if part.startswith(" [markdown]")]
    code = [part.split("\n", 1)[1] for part in parts if not part.startswith(" [markdown]")]
    return re.sub(r"^# ?", "", "".join(texts), flags=re.M), "".join(code)


def printed(code, capsys):
    """What the code prints; its last line is that of its error, if it has one."""
    try:
        exec(code, {"__name__": "__main__"})
    except AssertionError as error:
        print(f"AssertionError: {error}".rstrip(": "))
    return capsys.readouterr().out.rstrip()


def changes(text):
    """From "Change it": the old code, the new code, and the last line then."""
    pattern = r"^- `(.+?)`\s→\s`(.+?)`:.*?It ends in\s`(.+?)`\.$"
    return re.findall(pattern, text.replace("\n  ", " "), re.M)


@each_page
def test_a_page_prints_the_numbers_that_its_text_tells(path, capsys):
    text, code = cells(path)
    out = printed(code, capsys)
    told = re.search(r"^\*\*The number of this page:\*\* `(.*)`$", text, re.M)
    assert out.rpartition("\n")[2] == told[1]
    before = text.partition("\n## Change it\n")[0]
    for number in re.findall(r"(?<![\w.])\d+\.\d+(?![\w.])", before):
        assert re.search(rf"(?<![\d.]){re.escape(number)}(?!\d)", out + code), number


@each_page
def test_a_change_does_what_the_page_says(path, capsys):
    text, code = cells(path)
    things = text.partition("\n## Change it\n")[2].partition("\n## Read on\n")[0]
    found = changes(things)
    assert len(found) == len(re.findall(r"^- ", things, re.M)) >= 2
    for old, new, last in found:
        assert code.count(old) == 1, old
        assert printed(code.replace(old, new), capsys).rpartition("\n")[2] == last, new


@each_page
def test_a_page_has_a_figure_a_way_into_the_code_and_one_to_build_it(path):
    text, _ = cells(path)
    shown = re.findall(r"^!\[.+\]\((.+)\)$", text, re.M)
    assert shown
    read_on = text.partition("\n## Read on\n")[2]
    named = re.findall(r"`((?:minigrad|models|examples)/\S+\.py)`", text)
    assert re.search(r"`(minigrad|models)/", read_on)
    assert "](../steps/" in read_on
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)
    for target in [*shown, *links]:
        assert (path.parent / target).is_file(), target
    for file in named:
        assert (ROOT / file).is_file(), file
