"""The mean of gradients has the same bits with 1, 2 and 4 ranks."""

from pathlib import Path

import pytest

pytestmark = pytest.mark.host(reason="the ranks compute on the CPU")

PROGRAM = Path(__file__).with_name("equal_bits.py")


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_the_mean_has_the_bits_of_a_plain_tree_sum(mpiexec, ranks):
    done = mpiexec(ranks, PROGRAM, 0, 36)
    assert done.returncode == 0, done.stderr
    assert f"{ranks} ranks: " in done.stdout
