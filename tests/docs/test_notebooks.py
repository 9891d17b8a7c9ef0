"""Each page with code is a notebook that stands alone; and where it is when the site is public."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pytest

pytest.importorskip("sphinx")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("jupytext")
inputtransformer2 = pytest.importorskip("IPython.core.inputtransformer2")

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

pytestmark = pytest.mark.host(reason="pages of the book")

spec = importlib.util.spec_from_file_location("notebooks", DOCS / "_extensions/notebooks.py")
notebooks = importlib.util.module_from_spec(spec)
spec.loader.exec_module(notebooks)

PAGES = notebooks.pages(DOCS)
PUBLIC = notebooks.repository({"GITHUB_REPOSITORY": "some-one/minigrad", "GITHUB_SHA": "abc123"})


def test_the_addresses_are_those_of_the_repository():
    assert PUBLIC.site == "https://some-one.github.io/minigrad/"
    assert PUBLIC.source("steps/04_tape.py") == (
        "https://github.com/some-one/minigrad/blob/abc123/docs/steps/04_tape.py"
    )
    own = notebooks.repository({"GITHUB_REPOSITORY": "Some-One/some-one.github.io"})
    assert own.site == "https://some-one.github.io/"
    assert own.commit == "main"


def test_colab_opens_what_the_workflow_has_pushed():
    found = re.fullmatch(
        r"https://colab\.research\.google\.com/github/some-one/minigrad/blob/([\w-]+)/(.+)",
        PUBLIC.colab("steps/04_tape"),
    )
    branch, file = found.groups()
    assert file == notebooks.notebook_of("steps/04_tape") == "notebooks/steps/04_tape.ipynb"
    workflow = (ROOT / ".github/workflows/test.yml").read_text("utf-8")
    assert re.search(rf"git push .* {branch}$", workflow, re.M)
    assert "path: docs/_build/html/\n" in workflow  # where `make docs` puts the site


@pytest.mark.parametrize("environ", [{}, {"GITHUB_REPOSITORY": ""}])
def test_without_a_repository_nobody_knows_an_address(environ):
    assert notebooks.repository(environ) is None


@pytest.mark.parametrize("name", ["minigrad", "a/b/c", "a/b?c", "https://github.com/a/b", "a b/c"])
def test_what_is_no_repository_is_refused(name):
    with pytest.raises(ValueError, match="GITHUB_REPOSITORY must be OWNER/NAME"):
        notebooks.repository({"GITHUB_REPOSITORY": name})


def test_every_page_with_code_is_a_notebook():
    marked = {path.stem for path in DOCS.glob("*.md") if "{code-cell}" in path.read_text("utf-8")}
    rooms = {f"{room}/{p.stem}" for room in ("steps", "lecture") for p in DOCS.glob(f"{room}/*.py")}
    assert set(PAGES) == (marked | rooms) - {"in_the_browser"}


def source_code(path):
    """The code of a page, without blank lines."""
    text = path.read_text("utf-8")
    if path.suffix == ".md":
        code = re.findall(r"^```\{code-cell\}.*\n((?:.*\n)*?)^```", text, re.M)
    else:
        cells = re.split(r"^# %%", text, flags=re.M)[1:]
        code = [c.split("\n", 1)[1] for c in cells if not c.startswith(" [markdown]")]
    lines = "\n".join(code).splitlines()
    return [line for line in lines if line.strip() and not line.startswith(":tags:")]


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("public", [None, PUBLIC], ids=["at home", "public"])
def test_a_notebook_stands_alone(page, public):
    made = notebooks.notebook(DOCS, page, public)
    nbformat.validate(made)
    code = [cell.source for cell in made.cells if cell.cell_type == "code"]
    needs_it = any(re.search(r"^(import|from) minigrad", line) for line in source_code(PAGES[page]))
    if needs_it:
        install = code.pop(0)
        assert install == notebooks.installing(public)
        exec(inputtransformer2.TransformerManager().transform_cell(install), {})
    lines = [line for cell in code for line in cell.splitlines() if line.strip()]
    assert lines == source_code(PAGES[page])
    text = "\n".join(cell.source for cell in made.cells if cell.cell_type == "markdown")
    assert not re.search(r"^:::", text, re.M)  # Sphinx's, and nobody else's
    text = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)]*)\)", text):
        assert re.match(r"https://|data:image/png;base64,", target), target[:80]
        if public is None:
            assert PUBLIC.site not in target
        elif target.startswith(public.site):
            named = target.removeprefix(public.site).partition("#")[0].removesuffix(".html")
            where = ROOT / named.removeprefix("source/") if "source/" in named else DOCS / named
            assert any(where.with_name(where.name + s).is_file() for s in ("", ".md", ".py")), named


def test_a_notebook_is_the_same_in_each_build():
    first, second = (notebooks.notebook(DOCS, "steps/04_tape", None) for _ in range(2))
    assert nbformat.writes(first) == nbformat.writes(second)


def test_where_minigrad_is_missing_it_is_installed_or_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "minigrad", None)
    with pytest.raises(ModuleNotFoundError, match=r"in a checkout of it: pip install"):
        exec(notebooks.installing(None), {})
    ran = []
    shell = type("Shell", (), {"run_line_magic": lambda self, *args: ran.append(args)})
    code = inputtransformer2.TransformerManager().transform_cell(notebooks.installing(PUBLIC))
    exec(code, {"get_ipython": shell})
    assert ran[0][0] == "pip"
    assert (
        '"minigrad-rnn[testing,viz] @ git+https://github.com/some-one/minigrad@abc123"' in ran[0][1]
    )
