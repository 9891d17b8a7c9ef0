import numpy as np
import pytest

import minigrad as mg


def tensors_in(value):
    return [t for item in value for t in tensors_in(item)] if isinstance(value, tuple) else [value]


def _check_gradients(function, **inputs):
    """Compare the gradients of function() for each of the float64 tensors `inputs` that it uses.

    Every element is looked at. The outputs are added up with random weights, so that no two
    elements of a gradient can stand in for each other.
    """
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=out.shape) for out in tensors_in(function())]

    def total():
        parts = zip(tensors_in(function()), weights, strict=True)
        return sum((mg.sum(out * weight) for out, weight in parts), start=mg.tensor(0.0))

    tensors = list(inputs.values())
    gradients = mg.grad(total(), tensors)
    for name, tensor, gradient in zip(inputs, tensors, gradients, strict=True):
        assert tensor.dtype == gradient.dtype == np.float64, name
        values, expected, step = tensor.numpy(), np.zeros(tensor.shape), 1e-5
        for index in np.ndindex(tensor.shape):
            sides = []
            for sign in (1, -1):
                changed = values.copy()
                changed[index] += sign * step
                tensor.data = changed
                sides.append(total().item())
            expected[index] = (sides[0] - sides[1]) / (2 * step)
        tensor.data = values
        assert np.abs(expected).max() > 1e-3, f"{name}: too small to tell"
        np.testing.assert_allclose(gradient.numpy(), expected, rtol=1e-6, atol=1e-8, err_msg=name)


@pytest.fixture
def check_gradients():
    return _check_gradients


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture
def draw(rng):
    """draw(2, 3): a float64 tensor of normal numbers that requires a gradient."""
    return lambda *shape: mg.tensor(rng.normal(size=shape), requires_grad=True)
