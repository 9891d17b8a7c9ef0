"""A temperature that does nothing.

At a low temperature a model should say what is the most probable; at a high one it should try more.
With this program each temperature gives the same text.
"""

import numpy as np


def probabilities(logits, temperature):
    """What to draw the next token by; `logits` has the shape (V,)."""
    powers = np.exp(logits - logits.max())
    p = powers / powers.sum()
    p = p / temperature
    return p / p.sum()


if __name__ == "__main__":
    for temperature in (0.1, 1.0, 10.0):
        print(temperature, probabilities(np.array([2.0, 1.0, 0.0]), temperature).round(3))
