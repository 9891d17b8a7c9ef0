"""What the pages run in the browser: its Python here, and whole in Chromium where Pyodide is.

`python docs/fetch_pyodide.py FOLDER` fetches Pyodide; MINIGRAD_PYODIDE=FOLDER runs the last test.
"""

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


@pytest.mark.skipif(PYODIDE is None, reason="MINIGRAD_PYODIDE names no folder with Pyodide")
def test_the_page_in_chromium(tmp_path):
    """It learns, shows the tape and runs a cell; and asks for nothing outside of its folder."""
    sync_api = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no Chromium")
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
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path / "site")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    here, outside = f"http://127.0.0.1:{server.server_port}/", []
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
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
        browser.close()
    server.shutdown()
    server.server_close()
    assert [url for url in outside if not url.startswith(("data:", "about:"))] == []
