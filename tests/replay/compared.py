"""A step and its captured twin, side by side: all that they leave behind must be equal in bits."""

from __future__ import annotations

import numpy as np

import minigrad as mg


def bits(x):
    """What a value is, down to the last bit."""
    if isinstance(x, dict):
        return {name: bits(item) for name, item in x.items()}
    if isinstance(x, list | tuple):
        return [bits(item) for item in x]
    if isinstance(x, mg.RowSparse):
        return [x.shape, bits(x.rows), bits(x.values)]
    if isinstance(x, mg.Tensor):
        x = x.data
    if hasattr(x, "get"):
        x = x.get()
    return (x.dtype.str, x.shape, x.tobytes()) if isinstance(x, np.ndarray | np.generic) else x


def left_behind(model, optimizer, rng=None):
    """Weights, gradients, what the optimiser remembers, and the generator's state."""
    return {
        "weights": [bits(p) for p in model.parameters()],
        "gradients": [bits(p.grad) for p in model.parameters()],
        "optimizer": None if optimizer is None else bits(optimizer.state_dict()),
        "rng": None if rng is None else rng.bit_generator.state,
    }


def compare(make, batches, steps=6):
    """`make` gives a step, and a function that tells all it has left behind; both run `steps`."""
    (plain, told), (captured, captured_told) = make(), make()
    captured = mg.capture(captured)
    for i in range(steps):
        batch = batches(i)
        assert bits(captured(*batch)) == bits(plain(*batch)), f"results in step {i}"
        assert captured_told() == told(), f"in step {i}"
    return captured
