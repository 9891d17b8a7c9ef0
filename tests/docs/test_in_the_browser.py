"""What the pages run in the browser: its Python here, and whole in Chromium where Pyodide is.

`python docs/fetch_pyodide.py FOLDER` fetches Pyodide; MINIGRAD_PYODIDE=FOLDER runs the last test.
"""

import contextlib
import functools
import http.server
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYODIDE = os.environ.get("MINIGRAD_PYODIDE")

pytestmark = pytest.mark.host(reason="a browser has no GPU")


@pytest.fixture
def lesson():
    path = ROOT / "docs/_static/browser/lesson.py"
    spec = importlib.util.spec_from_file_location("lesson", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_text_is_learnt_and_written(lesson):
    one = lesson.Lesson("경마장에 있는 말이 뛰고 있다\n" * 12, 16, 0.02)
    first, *_, last = (json.loads(one.go_on(0.0001 + 0.05 * n)) for n in range(20))
    assert last["bits"] < first["bits"] / 2
    assert last["sample"][0] == "경"
    assert "<unk>" not in first["sample"] + last["sample"]
    assert "lstm" in one.tape()
    with pytest.raises(ValueError, match="the text has 2 characters; 40 or more"):
        lesson.Lesson("hi", 16, 0.02)


def test_cells_share_their_names_and_show_their_last_value(lesson):
    assert lesson.run("a = 2\n") == [None, None, None]
    assert lesson.run("b = a + 1\nb") == ["3", None, None]
    _, html, _ = lesson.run(
        "import minigrad as mg\nmg.viz.draw((mg.ones(2, requires_grad=True) * 2).sum())"
    )
    assert html.startswith("<iframe")
    with pytest.raises(ZeroDivisionError):
        lesson.run("1 / 0")


@contextlib.contextmanager
def browsing(folder):
    """A page of Chromium, and the address at which `folder` is served."""
    sync_api = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no Chromium")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with sync_api.sync_playwright() as play:
            browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            yield browser.new_page(), f"http://127.0.0.1:{server.server_port}/"
            browser.close()
    finally:
        server.shutdown()
        server.server_close()


CODE = '<div class="highlight"><pre>{}</pre></div>'
CELL = f'<div class="cell"><div class="cell_input">{CODE}</div></div>'
STAND_IN = """
window.ran = "";
export async function ask(kind, { code } = {}) {
  if (code === "wrong") throw new Error(code);
  window.ran += code ?? "";
  return {};
}
export function made(tag, name, text = "") {
  return Object.assign(document.createElement(tag), { className: name, textContent: text });
}
export const framed = null;
"""


def test_a_changed_cell_makes_those_below_it_run_again(tmp_path):
    cells = "".join(map(CELL.format, "ABCD"))
    html = f"<article><h1></h1>{cells}</article><script type=module src=cells.js></script>"
    (tmp_path / "index.html").write_text(html, "utf-8")
    (tmp_path / "python.js").write_text(STAND_IN, "utf-8")
    shutil.copy(ROOT / "docs/_static/browser/cells.js", tmp_path)
    with browsing(tmp_path) as (page, here):
        page.goto(here)
        page.click("text=Run this page in the browser")
        codes = page.locator(".browser-code")
        codes.nth(3).wait_for()

        def run(i):
            page.evaluate("window.ran = ''")
            codes.nth(i).press("Shift+Enter")
            return page.evaluate("window.ran")

        assert [run(3), run(3)] == ["ABCD", "D"]
        codes.nth(1).fill("X")
        assert [run(2), run(3)] == ["XC", "D"]
        codes.nth(1).fill("wrong")
        assert run(3) == ""
        codes.nth(1).fill("B")
        assert run(3) == "BCD"


@pytest.mark.skipif(PYODIDE is None, reason="MINIGRAD_PYODIDE names no folder with Pyodide")
def test_the_page_in_chromium(tmp_path):
    """It learns, shows the tape and runs a cell; and asks for nothing outside of its folder."""
    docs = tmp_path / "docs"
    shutil.copytree(
        ROOT / "docs", docs, ignore=shutil.ignore_patterns("_build", "*.md", "*.py[co]")
    )
    for name in ("steps", "lecture", "pictures", "reference"):
        shutil.rmtree(docs / name, ignore_errors=True)
    shutil.copy(ROOT / "docs/in_the_browser.md", docs)
    for name in ("minigrad", "models", "examples", "benchmarks"):
        (tmp_path / name).symlink_to(ROOT / name)
    text = (docs / "in_the_browser.md").read_text("utf-8")
    (docs / "in_the_browser.md").write_text(text.replace("(steps/index.md)", ""), "utf-8")
    (docs / "index.md").write_text("# x\n```{toctree}\nin_the_browser\n```\n", "utf-8")
    built = [sys.executable, "-m", "sphinx", "-q", "-b", "html", str(docs), str(tmp_path / "site")]
    subprocess.run(built, check=True, cwd=ROOT)
    outside = []
    with browsing(tmp_path / "site") as (page, here):
        page.set_default_timeout(120_000)
        page.on("request", lambda r: outside.append(r.url) if not r.url.startswith(here) else None)
        page.goto(here + "in_the_browser.html")
        page.click("[name=start]")
        page.wait_for_function(
            "document.querySelector('.train-word').textContent.startsWith('step')"
        )
        page.click("[name=stop]")
        tape = page.frame_locator(".train-tape iframe")
        tape.locator("text=lstm").first.wait_for()
        page.click("text=Run this page in the browser")
        page.locator(".browser-code").first.press("Shift+Enter")
        page.wait_for_selector(".browser-out")
        assert page.inner_text(".browser-out").startswith("Tensor([2., 4., 6.]")
    assert [url for url in outside if not url.startswith(("data:", "about:"))] == []
