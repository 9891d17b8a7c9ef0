"""What a run says when its loss goes wrong."""

import numpy as np
import pytest

from models.runs.settings import Settings
from models.runs.trouble import Watcher, likely_cause


def warnings_of(losses):
    watcher = Watcher()
    return [(k, said) for k, loss in enumerate(losses) if (said := watcher.saw(loss))], watcher


def falling(steps=1000, noise=0.2):
    draws = np.random.default_rng(0).normal(0, noise, steps)
    return (1.5 + 3 * np.exp(-np.arange(steps) / 200) + draws).tolist()


def test_a_noisy_loss_that_falls_is_no_trouble():
    assert warnings_of(falling())[0] == []
    assert warnings_of([4.0] * 500)[0] == []


def test_a_rising_loss_is_told_once():
    said, _ = warnings_of(falling() + [5.0] * 400)
    assert len(said) == 1
    assert 1000 < said[0][0] < 1060
    assert "its mean was 1." in said[0][1]


def test_and_again_if_it_had_recovered():
    said, _ = warnings_of(falling() + [5.0] * 100 + [1.4] * 600 + [5.0] * 100)
    assert len(said) == 2


def test_an_explosion_in_the_first_steps():
    said, _ = warnings_of([4.0, 4.0, 1e30, 1e30] + [1e30] * 20)
    assert len(said) == 1


def test_it_goes_on_where_it_was():
    losses = falling() + [5.0] * 100
    first, second = Watcher(), Watcher()
    for loss in losses[:1010]:
        first.saw(loss)
    second.load_state_dict(first.state_dict())
    assert [first.saw(x) for x in losses[1010:]] == [second.saw(x) for x in losses[1010:]]
    assert vars(first) == vars(second)


@pytest.mark.parametrize(
    ("options", "norms", "words"),
    [
        ({}, [], ["from the beginning", "--lr (it is 0.006)"]),
        ({"clip": 0.0}, [1.0] * 20 + [500.0], ["from 1 to 500", "--clip 1"]),
        ({}, [1.0] * 20 + [500.0], ["from 1 to 500", "lower --clip"]),
        ({"lr": 2.0}, [1.0] * 20, ["large for adam", "it is 2"]),
        ({}, [1.0] * 20, ["weights themselves"]),
    ],
)
def test_likely_causes(options, norms, words):
    cause = likely_cause(Settings(**options), norms)
    assert all(word in cause for word in words), cause
