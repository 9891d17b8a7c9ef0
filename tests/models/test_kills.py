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
    chance = random.Random(4056)  # the kills come after 0.53 and 0.45 of the time of a whole run
    assert torment(name, kills=2, steps=100, chance=chance) >= 1
    assert "kill 2 of 2" in capsys.readouterr().out
