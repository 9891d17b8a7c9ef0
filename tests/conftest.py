"""For all tests: the library's own generator starts the same, whatever ran before."""

import pytest

import minigrad as mg


@pytest.fixture(autouse=True)
def _same_seed():
    mg.manual_seed(0)
