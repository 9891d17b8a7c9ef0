"""A network that can't move.

At 1 and -1 the slope of tanh is 0. With these first weights, most units are there after one step,
and no gradient comes through. A sum of H numbers is about sqrt(H) times as large as one of them.
"""

import numpy as np


def first_weights(rng, H):
    """W_hh of shape (H, H), so that h and W_hh h are about as large as each other."""
    return rng.standard_normal((H, H))


def saturated(W, rng):
    """The share of the units that are nearly 1 or -1 after a step."""
    h = rng.uniform(-1, 1, (100, len(W)))
    return float((np.abs(np.tanh(h @ W.T)) > 0.99).mean())


if __name__ == "__main__":
    rng = np.random.default_rng(0)
    print(f"{saturated(first_weights(rng, 256), rng):.0%} of the units are saturated")
