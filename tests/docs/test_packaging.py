"""What pyproject.toml names stands elsewhere too: extras, groups, versions of Python."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PROJECT = SETTINGS["project"]


def texts(*rooms):
    """The program texts and pages of some rooms: (path, text)."""
    for path in sorted(p for room in rooms for p in (ROOT / room).rglob("*")):
        if path.suffix in (".py", ".md", ".yml") and "_build" not in path.parts:
            yield path.relative_to(ROOT), path.read_text("utf-8")


def extras(text):
    """What a text says to install: (the distribution or its checkout, an extra)."""
    text = text.replace("\\", "")  # of regular expressions
    found = re.findall(r"""["'](\.|minigrad[\w-]*)\[([\w,-]+)\]["']""", text)
    return [(where, extra) for where, names in found for extra in names.split(",")]


def test_the_extras_and_groups_that_are_named_are_there():
    named = 0
    for path, text in texts("minigrad", "models", "examples", "benchmarks", "docs", "tests"):
        for where, extra in extras(text):
            named += 1
            assert where in (".", PROJECT["name"]), path
            assert extra in PROJECT["optional-dependencies"], path
        for group in re.findall(r"--group ([\w-]+)", text):
            assert group in SETTINGS["dependency-groups"], path
    assert named > 20


def test_what_is_installed_asks_for_no_checkout():
    for path, text in texts("minigrad"):
        assert all(where == PROJECT["name"] for where, _ in extras(text)), path


@pytest.mark.parametrize("text", ['pip install ".[viz]"', "r'pip install \"\\.\\[viz\\]\"'"])
def test_an_extra_is_seen(text):
    assert extras(text) == [(".", "viz")]


def test_the_versions_of_python_are_the_same_everywhere():
    tested = re.search(r"python: \[(.*)\]", (ROOT / ".github/workflows/test.yml").read_text())[1]
    versions = re.findall(r"3\.\d+", tested)
    prefix = "Programming Language :: Python :: "
    named = [line.removeprefix(prefix) for line in PROJECT["classifiers"] if prefix + "3." in line]
    assert versions == named
    assert PROJECT["requires-python"] == f">={versions[0]}"
    assert SETTINGS["tool"]["ruff"]["target-version"] == f"py{versions[0].replace('.', '')}"
