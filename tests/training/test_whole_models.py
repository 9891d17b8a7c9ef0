"""Models of one's own in files: they come back as they were, or are refused by name."""

from itertools import pairwise

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.training import load_model, save_model
from models.text_classifier import TextClassifier


class Net(nn.Module):
    def __init__(self, sizes, name="net", *, rng=None):
        self.sizes, self.name, self.rng = sizes, name, rng
        layers = (nn.Linear(a, b, rng=rng) for a, b in pairwise(sizes))
        self.layers = nn.Sequential(*layers)

    def forward(self, x):
        return self.layers(x)


class Forgetful(nn.Module):
    def __init__(self, size):
        self.layer = nn.Linear(size, size)


def same(a, b):
    ours, theirs = a.state_dict(), b.state_dict()
    return ours.keys() == theirs.keys() and all((ours[k] == theirs[k]).all() for k in ours)


def test_a_model_comes_back_with_its_settings(tmp_path):
    model = Net([3, 4, 2], name="새", rng=np.random.default_rng(0))
    save_model(tmp_path / "m", model)
    again = load_model(tmp_path / "m", Net, rng=np.random.default_rng(1))
    assert (again.sizes, again.name) == ([3, 4, 2], "새")
    assert same(model, again)
    x = mg.ones((2, 3))
    assert (model(x).numpy() == again(x).numpy()).all()


def test_a_model_that_says_its_settings_itself(tmp_path):
    model = TextClassifier(7, 3, 4, 5, cell="gru", pooling="mean", rng=np.random.default_rng(0))
    save_model(tmp_path / "m", model)
    again = load_model(tmp_path / "m", TextClassifier)
    assert again.settings() == model.settings()
    assert same(model, again)


def test_what_is_refused(tmp_path):
    with pytest.raises(TypeError, match="Forgetful is made with size, and has no such attribute"):
        save_model(tmp_path / "m", Forgetful(3))
    with pytest.raises(TypeError, match="must be an nn"):
        save_model(tmp_path / "m", {})
    with pytest.raises(TypeError, match="settings/sizes"):
        save_model(tmp_path / "m", Net([np]))
    save_model(tmp_path / "m", Net([3, 2]))
    with pytest.raises(ValueError, match="holds a Net, not a Forgetful"):
        load_model(tmp_path / "m", Forgetful)
    mg.save(tmp_path / "other", {"format": "something"})
    with pytest.raises(ValueError, match="holds no model"):
        load_model(tmp_path / "other", Net)
    content = bytearray((tmp_path / "m").read_bytes())
    content[-3] ^= 255
    (tmp_path / "m").write_bytes(content)
    with pytest.raises(ValueError, match="damaged"):
        load_model(tmp_path / "m", Net)
