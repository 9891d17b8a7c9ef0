"""Arguments that are wrong: the error names the function, the argument, and what it was given."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, viz

X = mg.tensor([1.0, 2.0], requires_grad=True)
LAYER = nn.Linear(2, 2, rng=np.random.default_rng(0))


def loss():
    return (X * X).sum()


def surface(**options):
    return viz.loss_surface(loss, LAYER, **options)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: viz.draw(loss(), names=5), TypeError, "draw: names .*, not 5"),
        (lambda: viz.text(loss(), names=5), TypeError, "text: names .*, not 5"),
        (lambda: viz.explore(loss(), names=5), TypeError, "viz.explore: names .*, not 5"),
        (lambda: viz.draw(loss(), gradient=[1, 2]), ValueError, r"draw: .* \(2,\), expected \(\)"),
        (lambda: viz.loss_surface(3, LAYER), TypeError, "loss_surface: loss .*, not 3"),
        (lambda: viz.loss_surface(loss, None), TypeError, "loss_surface: parameters .*, not None"),
        (lambda: surface(directions=3), TypeError, "loss_surface: directions .*, not 3"),
        (lambda: surface(ranges=3), TypeError, "loss_surface: ranges .*, not 3"),
        (lambda: surface(paths=3), TypeError, "loss_surface: paths .*, not 3"),
        (lambda: viz.timeline("x.exe"), ValueError, r"viz.timeline: .* \.json, .* got 'x.exe'"),
        (lambda: viz.timeline(5), ValueError, "viz.timeline: .* got 5"),
        (
            lambda: viz.gradient_through_time(LAYER, [0, 1], labels=5),
            TypeError,
            "gradient_through_time: labels .*, not 5",
        ),
        (
            lambda: viz.Neurons("abcd", np.ones((4, 1)), features=5),
            TypeError,
            "Neurons: features .*, not 5",
        ),
    ],
)
def test_an_error_names_what_is_wrong(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_a_gradient_of_another_dtype_is_converted():
    y = X * X
    walk = viz.explore(y, gradient=np.array([1.0, 10.0]))  # float64, as arrays of NumPy are
    assert walk.tape.entries[0].result.gradient.tolist() == [2.0, 40.0]
    assert walk.tape.entries[0].result.gradient.dtype == np.float32
