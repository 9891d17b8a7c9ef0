"""What a captured function reads or does beside its arguments is noticed, or it is an error."""

from __future__ import annotations

import types
from collections import deque

import numpy as np
import pytest

import minigrad as mg
from minigrad.replay import CaptureError

X = np.ones((2, 3), np.float32)


class Settings:
    """An object of the user's."""

    def __init__(self):
        self.scale, self._shift = 2.0, 1.0

    @property
    def shift(self):
        return self._shift


def by_default():
    settings = Settings()

    def f(x, s=settings):
        return x * s.scale

    return f, lambda: setattr(settings, "scale", 3.0)


def by_keyword():
    settings = Settings()

    def f(x, *, s=settings):
        return x * s.scale

    return f, lambda: setattr(settings, "scale", 3.0)


def by_property():
    settings = Settings()
    return lambda x: x + settings.shift, lambda: setattr(settings, "_shift", 5.0)


def by_namespace():
    settings = types.SimpleNamespace(scale=2.0)
    return lambda x: x * settings.scale, lambda: setattr(settings, "scale", 3.0)


def by_class():
    class Own(Settings):
        size = 5.0

    return lambda x: x * Own.size, lambda: setattr(Own, "size", 6.0)


def by_class_of_an_object():
    class Own(Settings):
        size = 5.0

    settings = Own()
    return lambda x: x * settings.size, lambda: setattr(Own, "size", 6.0)


def by_module():
    module = types.ModuleType("own")
    module.scale = 2.0
    return lambda x: x * module.scale, lambda: setattr(module, "scale", 6.0)


def by_new_key():
    settings = {"scale": 2.0}
    return lambda x: x * len(settings), lambda: settings.update(more=1)


def by_set():
    settings = {1, 2}
    return lambda x: x * len(settings), lambda: settings.add(3)


def by_queue():
    settings = deque([1.0, 2.0])
    return lambda x: x * settings[0], lambda: settings.rotate()


@pytest.mark.parametrize(
    "make",
    [
        by_default,
        by_keyword,
        by_property,
        by_namespace,
        by_class,
        by_class_of_an_object,
        by_module,
        by_new_key,
        by_set,
        by_queue,
    ],
)
def test_what_has_changed_is_noticed(make):
    function, change = make()
    captured, x = mg.capture(function), mg.tensor(X)
    for _ in range(2):
        assert np.array_equal(captured(x).numpy(), function(x).numpy())
    before = captured(x).numpy()
    change()
    assert np.array_equal(captured(x).numpy(), function(x).numpy())
    assert not np.array_equal(captured(x).numpy(), before)


def test_an_argument_that_gets_another_array_is_an_error():
    def assign_data(x):
        x.data = x.data * 2
        return x * 2

    with pytest.raises(CaptureError, match="gives one of its arguments another array"):
        mg.capture(assign_data)(mg.tensor(X))


@pytest.mark.parametrize("number", [np.float32(2), np.float64(2), np.int64(2), np.array(2.0)])
def test_a_number_of_numpys_would_decide_the_dtype(number):
    def scaled(x, by):
        return x * by

    with pytest.raises(CaptureError, match=r"NumPy number .* x\.item\(\)"):
        mg.capture(scaled)(mg.tensor(X), number)
    by = number.item()
    assert mg.capture(scaled)(mg.tensor(X), by).dtype == scaled(mg.tensor(X), by).dtype
