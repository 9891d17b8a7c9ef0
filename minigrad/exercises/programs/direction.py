"""A step in another direction.

Clipping makes a step shorter, and leaves its direction. Here the direction changes: the large
gradient is cut, the small one stays.
"""

import numpy as np


def clipped(gradients, longest):
    """The gradients of all parameters, so that their common norm is at most `longest`."""
    result = []
    for gradient in gradients:
        norm = np.sqrt((gradient**2).sum())
        result.append(gradient * min(1.0, longest / norm))
    return result


if __name__ == "__main__":
    a, b = clipped([np.array([30.0]), np.array([40.0])], 1.0)
    print("of 30 and 40:", a, b, "and it should be 0.6 and 0.8")
