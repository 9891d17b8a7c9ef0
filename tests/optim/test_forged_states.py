"""States of optimisers and schedules in which something is of a wrong type: a ValueError."""

import copy
import re

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim

JUNK = [None, 5, -1, 1.5, "abc", "\x1b[2J", [], {}, [1], [None], {"a": 1}, {0: {}}, True, (1, 2)]
JUNK += [np.ones(2, np.float32), np.array(3), 10**30, float("nan"), b"x"]


def places(tree, at=()):
    yield at
    items = (
        tree.items() if isinstance(tree, dict) else enumerate(tree) if type(tree) is list else ()
    )
    for key, value in items:
        yield from places(value, (*at, key))


def put(tree, at, value):
    if not at:
        return value
    tree = copy.deepcopy(tree)
    inner = tree
    for key in at[:-1]:
        inner = inner[key]
    inner[at[-1]] = value
    return tree


def forged(make):
    """Try all junk in all places; how often it was refused, which must change nothing."""
    refused = 0
    good = make().state_dict()
    for at in places(good):
        for junk in JUNK:
            owner = make()
            try:
                owner.load_state_dict(put(good, at, junk))
            except ValueError as error:
                assert str(error).isprintable()  # noqa: PT017
                assert re.match(r"\w+\.load_state_dict: ", str(error))  # noqa: PT017
                assert repr(owner.state_dict()) == repr(good)
                refused += 1
    return refused


def stepped(kind):
    layer = nn.Linear(2, 2, rng=np.random.default_rng(0))
    optimizer = kind(layer.parameters(), lr=0.1)
    layer(np.ones((1, 2), np.float32)).sum().backward()
    optimizer.step()
    return optimizer


SGD = lambda: optim.SGD([nn.Parameter(np.ones(1))], lr=0.1)  # noqa: E731


@pytest.mark.host(reason="a state is checked before it goes to the device")
@pytest.mark.parametrize("kind", [optim.SGD, optim.ASGD, optim.Adagrad, optim.RMSprop, optim.AdamW])
def test_of_an_optimiser(kind):
    assert forged(lambda: stepped(kind)) > 100


@pytest.mark.parametrize(
    "make",
    [
        lambda: optim.StepLR(SGD(), 3),
        lambda: optim.MultiStepLR(SGD(), [2, 3]),
        lambda: optim.ReduceLROnPlateau(SGD(), min_lr=[0.01]),
        lambda: optim.SequentialLR(s := SGD(), [optim.StepLR(s, 2), optim.StepLR(s, 3)], [5]),
    ],
)
def test_of_a_schedule(make):
    assert forged(make) > 100


def test_names_in_what_a_module_is_given():
    with pytest.raises(ValueError, match=r"unexpected: \\x1b\[2J") as caught:
        nn.Linear(1, 1).load_state_dict({**nn.Linear(1, 1).state_dict(), "\x1b[2J": np.ones(1)})
    assert str(caught.value).replace("\n", "").isprintable()


def test_a_plateau_with_nothing_yet_is_loaded_into_one_with_something():
    schedule = optim.ReduceLROnPlateau(SGD())
    fresh = schedule.state_dict()
    schedule.step(mg.tensor(1.0))
    schedule.load_state_dict(fresh)
    assert schedule.best is None
