"""A short form of `kills.py`, which kills many more."""

import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from kills import torment


@pytest.mark.host(reason="the processes that are killed compute on the CPU")
@pytest.mark.parametrize("name", ["awd", "classify"])
def test_a_run_that_is_killed_and_resumed_is_the_same_run(name, capsys):
    assert torment(name, kills=2, steps=100, longest=2.0, chance=random.Random(1)) >= 1
    assert "kill 2 of 2" in capsys.readouterr().out
