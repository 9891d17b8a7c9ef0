import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.training import evaluating


def test_no_dropout_and_no_tape_within_and_all_as_before_afterwards():
    layer = nn.Linear(2, 2, rng=np.random.default_rng(0))
    dropout, frozen = nn.Dropout(0.5), nn.Dropout(0.5).eval()
    model = nn.Sequential(layer, dropout, frozen)
    frozen.training = False
    x = np.ones((3, 2), np.float32)
    with evaluating(model):
        y = model(x)
        assert not y.requires_grad
        assert np.array_equal(y.numpy(), layer(x).numpy())
    assert model.training
    assert dropout.training
    assert not frozen.training
    assert layer(x).requires_grad


def test_restored_after_an_error():
    model = nn.Dropout(0.5)
    with pytest.raises(KeyError), evaluating(model):
        raise KeyError
    assert model.training
    assert (mg.tensor([1.0], requires_grad=True) * 2).requires_grad


def test_as_a_decorator_and_entered_again():
    model = nn.Dropout(0.5)
    look = evaluating(model)

    @look
    def outer():
        """Told."""
        with look:
            assert not model.training
        return model.training, (mg.tensor([1.0], requires_grad=True) * 2).requires_grad

    assert outer() == outer() == (False, False)
    assert outer.__doc__ == "Told."
    assert model.training


def test_over_what_runs_later_it_would_do_nothing():
    def numbers():
        yield 1

    async def later():
        pass

    for function in (numbers, later):
        with pytest.raises(
            TypeError, match=r"runs after the decorator .* `with evaluating\(module"
        ):
            evaluating(nn.Dropout())(function)


def test_modules_alone():
    with pytest.raises(TypeError, match=r"evaluating: expected an nn\.Module, not a function"):
        evaluating(mg.tanh)
