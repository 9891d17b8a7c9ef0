"""The library's generator in forked processes."""

from __future__ import annotations

import multiprocessing
import sys

import numpy as np
import pytest

import minigrad as mg

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="needs fork"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
    pytest.mark.host(reason="a forked process cannot use its parent's GPU"),
]


def mask():
    return mg.dropout(mg.ones(64), 0.5).numpy()


def masks_of_children(count):
    context = multiprocessing.get_context("fork")
    masks = []
    for _ in range(count):
        queue = context.SimpleQueue()
        child = context.Process(target=lambda queue=queue: queue.put(mask()))
        child.start()
        masks.append(queue.get())
        child.join()
    return masks


def test_each_draws_masks_of_its_own_which_follow_from_the_seed():
    runs = []
    for _ in range(2):
        mg.manual_seed(7)
        runs.append([*masks_of_children(3), mask()])
    for one, other in zip(*runs, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len({m.tobytes() for m in runs[0]}) == 4
    mg.manual_seed(7)
    np.testing.assert_array_equal(mask(), runs[0][-1])  # the parent goes on as without children
    mg.manual_seed(8)
    assert masks_of_children(1)[0].tobytes() != runs[0][0].tobytes()
