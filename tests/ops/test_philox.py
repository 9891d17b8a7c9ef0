"""The random numbers of dropout on a GPU: the published test vectors of Philox-4x32-10.

From Random123, the library of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as
1, 2, 3" (2011): file ``kat_vectors``.
"""

import numpy as np
import pytest

from minigrad.ops.kernels import philox

VECTORS = """
    00000000 00000000 00000000 00000000  00000000 00000000  6627e8d5 e169c58d bc57ac4c 9b00dbd8
    ffffffff ffffffff ffffffff ffffffff  ffffffff ffffffff  408f276d 41c83b0e a20bc7c6 6d5451fd
    243f6a88 85a308d3 13198a2e 03707344  a4093822 299f31d0  d16cfe09 94fdcceb 5001e420 24126ea1
"""
"""A line each: the counter, the key, and the result, in words of 32 bits."""


@pytest.mark.parametrize("line", VECTORS.strip().splitlines())
def test_published_vectors(line):
    words = [int(word, 16) for word in line.split()]
    counter, (low, high), expected = words[:4], words[4:6], words[6:]
    found = philox([np.array([word], np.uint32) for word in counter], high << 32 | low)
    assert [int(word[0]) for word in found] == expected
