"""A bias of the wrong shape.

y = x + b: x has 4 rows of 3 numbers, and b is added to each row. The gradient of b comes back with
the shape (4, 3), but b has 3 numbers.
"""

import numpy as np


def forward(x, b):
    """x has the shape (N, D), b (D,)."""
    return x + b


def backward(g):
    """The gradients of x and of b; g is that of y, of shape (N, D)."""
    return g, g


if __name__ == "__main__":
    dx, db = backward(np.ones((4, 3)))
    print("shape of the gradient of b:", db.shape, "and it should be (3,)")
