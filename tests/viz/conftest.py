"""A browser that opens pages, and fails a test at any error on them or request from them."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from minigrad.viz import page

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

LOCAL = ("file:", "data:", "blob:", "about:")
"""What a page may ask for."""


def _missing(reason):
    """Skip a test; in CI, where the browser is installed, fail."""
    (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)


@contextmanager
def _outside(loop):
    """Within it, the thread is not in `loop`, where playwright's calls from outside leave it.

    Tests of other rooms, in between, have event loops of their own.
    """
    asyncio.events._set_running_loop(None)
    try:
        yield
    finally:
        asyncio.events._set_running_loop(loop)


@pytest.fixture(scope="session")
def _browser():
    """A browser's context, which the pages of this process share, and playwright's event loop."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        _missing(f"none of {', '.join(BROWSERS)} is installed")
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        _missing("playwright is not installed")
    options = ["--no-sandbox"] if getattr(os, "geteuid", lambda: 1)() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=options)
        loop, context = asyncio.get_running_loop(), browser.new_context()
        context.set_default_timeout(10_000)
        with _outside(loop):
            yield context, loop
        browser.close()


@pytest.fixture
def open_page(_browser):
    """open_page(path): the file in a window of 1280 x 800, as a page of playwright.

    Its console must stay empty of errors, also later; it must ask for nothing outside itself, and
    open no dialog. `open_page.problems` lists what it did wrong. `open_page.until(page, "x === 3")`
    waits; playwright's `wait_for_function` cannot, since no page of viz may evaluate strings.
    """
    context, loop = _browser
    opened = _Opener(context)
    asyncio.events._set_running_loop(loop)
    try:
        yield opened
        for page in opened.pages:
            page.close()
    finally:
        asyncio.events._set_running_loop(None)
    assert not opened.problems, opened.problems


class _Opener:
    def __init__(self, context):
        self.context, self.pages, self.problems = context, [], []

    def __call__(self, path, width=1280, height=800):
        page, problems = self.context.new_page(), self.problems
        page.set_viewport_size({"width": width, "height": height})
        self.pages.append(page)
        page.on("console", lambda m: m.type == "error" and problems.append(m.text))
        page.on("pageerror", lambda error: problems.append(error.stack or str(error)))
        page.on("dialog", self._refuse)
        page.on("request", lambda r: r.url.startswith(LOCAL) or problems.append(f"asks {r.url}"))
        page.goto(Path(path).absolute().as_uri())
        assert not problems, problems
        return page

    def _refuse(self, dialog):
        self.problems.append(f"a dialog: {dialog.message}")
        dialog.dismiss()

    def until(self, page, expression, seconds=10):
        """Wait until a JavaScript expression holds."""
        end = time.monotonic() + seconds
        while not page.evaluate(expression):
            assert time.monotonic() < end, f"never: {expression}"
            page.wait_for_timeout(20)


@pytest.fixture
def own_view(tmp_path_factory, monkeypatch):
    """own_view(name, source): a view of JavaScript, which is there for this test alone."""
    views = tmp_path_factory.mktemp("views")

    def add(name, source):
        path = views / f"{name}.js"
        path.write_text(source, "utf-8")
        monkeypatch.setattr(page, "_views", lambda: [path])

    return add
