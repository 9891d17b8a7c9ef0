"""A short form of `file_faults.py`, which has many more calls fail."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from file_faults import FAULTS, settings_of, torment
from kills import TEXT

pytestmark = pytest.mark.host(reason="what it is about are files")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_file_call_that_fails_costs_nothing_but_time(tmp_path, fault):
    text = tmp_path / "text.txt"
    text.write_text(TEXT[:2000], encoding="utf-8")
    settings = settings_of(text, steps=2, eval_every=1)
    assert torment(tmp_path, settings, fault, slice(FAULTS.index(fault), None, 3)) > 20
