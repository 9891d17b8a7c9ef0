"""The program whose types mypy checks (``make types``) is one that runs."""

import runpy
from pathlib import Path

from minigrad import nn


def test_the_program_runs() -> None:
    names = runpy.run_path(str(Path(__file__).with_name("user.py")))
    assert isinstance(names["state"], nn.Module) is False
    assert names["value"] > 0
