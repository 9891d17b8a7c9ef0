"""A generator stands in for the library's own in one thread, and only for a time."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import minigrad as mg
from minigrad.arrays.random import drawing_from


def drawn():
    return mg.rand(3).tolist()


def test_another_thread_goes_on_with_the_librarys_own():
    entered, left = threading.Event(), threading.Event()

    def other():
        with drawing_from(np.random.default_rng(1)):
            entered.set()
            left.wait()

    mg.manual_seed(0)
    expected = [drawn(), drawn()]
    mg.manual_seed(0)
    thread = threading.Thread(target=other)
    thread.start()
    entered.wait()
    with drawing_from(np.random.default_rng(2)):
        inside = drawn()
        left.set()  # the one that entered first leaves first
        thread.join()
    assert inside == np.random.default_rng(2).random(3).astype(np.float32).tolist()
    assert [drawn(), drawn()] == expected


def test_after_an_error_and_for_none_all_is_as_before():
    mg.manual_seed(0)
    expected = [drawn(), drawn()]
    mg.manual_seed(0)
    with pytest.raises(ZeroDivisionError), drawing_from(np.random.default_rng(1)):
        raise ZeroDivisionError
    with drawing_from(None):
        assert drawn() == expected[0]
    assert drawn() == expected[1]


def test_the_seed_is_that_of_the_librarys_own():
    rng = np.random.default_rng(1)
    with drawing_from(rng):
        mg.manual_seed(0)
        assert drawn() == np.random.default_rng(1).random(3).astype(np.float32).tolist()
    assert drawn() == np.random.default_rng(0).random(3).astype(np.float32).tolist()
