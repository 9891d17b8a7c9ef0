"""The examples in the documentation run, and do what they say."""

from __future__ import annotations

import code
import re
from pathlib import Path

import hypothesis
import pytest

import minigrad as mg

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])

CELLS = [page for page in PAGES if "```{code-cell}" in page.read_text("utf-8")]


def python_blocks(page):
    return re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.S | re.M)


class Prompt(code.InteractiveConsole):
    """Python's own prompt; what it complains of is kept in `said`."""

    said = ""

    def write(self, data):
        self.said += data


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_python_of_a_page_can_be_pasted_and_gives_what_its_comments_show(page, monkeypatch):
    """From top to bottom, line by line; `expression  # -> text` shows the repr of the expression.

    At the prompt a blank line ends a block, and nothing else does.
    """
    prompt, shown = Prompt({"__name__": page.stem}), []
    monkeypatch.setattr("sys.displayhook", lambda value: shown.append(repr(value)))
    for block in python_blocks(page):
        for line in [*block.splitlines(), ""]:
            unfinished = prompt.push(line)
            assert prompt.said == "", line
            if expected := re.search(r"# -> (.*)$", line):
                assert not unfinished, line
                assert shown[-1] == expected[1]
        assert not unfinished, line


@pytest.fixture
def _own_profile():
    yield
    hypothesis.settings.load_profile("any machine")  # a page has one of its own


@pytest.mark.host(reason="the texts are those of the CPU")
@pytest.mark.usefixtures("_own_profile")
@pytest.mark.parametrize("page", CELLS, ids=lambda page: page.name)
def test_the_cells_of_a_page_run(page):
    """What they show, they assert: so they fail if it is not so."""
    text = page.read_text("utf-8")
    cells = re.findall(r"^```\{code-cell\}.*\n(?:^:.*\n)*((?:.*\n)*?)^```", text, re.M)
    names = {"__name__": page.stem}
    for cell in cells:
        exec(compile(cell, page.name, "exec"), names)


def test_links_between_pages_and_to_files_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


FILES = {
    path.relative_to(ROOT).as_posix(): path.read_text("utf-8")
    for room in ("minigrad", "models", "examples", "tests", "benchmarks")
    for path in (ROOT / room).rglob("*.py")
}


OWN = ("mgu.py", "test_hypotenuse.py")  # of the reader


def files_called(name):
    return [file for file in FILES if f"/{file}".endswith(f"/{name}")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_python_files_and_rooms_that_a_page_names_are_there(page):
    text = page.read_text("utf-8")
    for name in re.findall(r"`([\w/]+\.py)`", text):
        assert name in OWN or files_called(name), name
    for room in re.findall(r"`((?:minigrad|models|examples|tests|benchmarks)/[\w/]*)`", text):
        assert (ROOT / room).is_dir(), room
    for name, file in re.findall(r"`(\w+)` in\s+`([\w/]+\.py)`", text):
        made = re.compile(rf"(def |class |^){name}\b", re.M)
        assert any(made.search(FILES[path]) for path in files_called(file)), name


def test_the_reading_order_says_how_long_a_file_is():
    """Nearly: it need not be changed with every line."""
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\S+\.py)` \| (\d+) \|", page, re.M)
    assert len(rows) > 10
    for file, told in rows:
        assert int(told) == pytest.approx(FILES[file].count("\n"), rel=0.2, abs=10), file


def test_the_docstring_of_the_package_runs():
    code = "\n".join(line[4:] for line in mg.__doc__.splitlines() if line.startswith("    "))
    namespace = {}
    exec(code, namespace)
    assert repr(namespace["x"].grad) in code


@pytest.mark.host(reason="on a GPU other calls are recorded")
def test_the_page_on_capture_shows_what_is_recorded():
    page = (ROOT / "docs" / "capture.md").read_text("utf-8")
    names = {}
    exec(re.search(r"```python\n(.*?)```", page, re.S)[1], names)
    assert f"```text\n{names['step'].explain()}\n```" in page
