"""A browser that opens pages, and fails a test at any error on them or request from them."""

from __future__ import annotations

import asyncio
import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

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
    """The browser of this process, and playwright's event loop."""
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
        loop = asyncio.get_running_loop()
        with _outside(loop):
            yield browser, loop
        browser.close()


@pytest.fixture
def open_page(_browser):
    """open_page(path): the file in a window of 1280 x 800, as a page of playwright.

    Its console must stay empty of errors, also later; it must ask for nothing outside itself, and
    open no dialog. (What it did wrong is in ``open_page.problems``.)
    """
    browser, loop = _browser
    problems, contexts = [], []

    def refuse(dialog):
        problems.append(f"a dialog: {dialog.message}")
        dialog.dismiss()

    def opened(path, width=1280, height=800):
        context = browser.new_context(viewport={"width": width, "height": height})
        contexts.append(context)
        context.set_default_timeout(10_000)
        page = context.new_page()
        page.on("console", lambda m: m.type == "error" and problems.append(m.text))
        page.on("pageerror", lambda error: problems.append(error.stack or str(error)))
        page.on("dialog", refuse)
        page.on("request", lambda r: r.url.startswith(LOCAL) or problems.append(f"asks {r.url}"))
        page.goto(Path(path).absolute().as_uri())
        assert not problems, problems
        return page

    opened.problems = problems
    asyncio.events._set_running_loop(loop)
    try:
        yield opened
        for context in contexts:
            context.close()
    finally:
        asyncio.events._set_running_loop(None)
    assert not problems, problems
