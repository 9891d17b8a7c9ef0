"""The snippets of readers' habits are PyTorch's: each runs there."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

sys.path.insert(0, str(Path(__file__).parents[1] / "errors"))
from snippets import OTHERWISE, SNIPPETS, run  # noqa: E402


@pytest.mark.peer
@pytest.mark.parametrize("snippet", [*SNIPPETS, *OTHERWISE])
def test_it_is_pytorchs(snippet):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run(snippet, torch)
