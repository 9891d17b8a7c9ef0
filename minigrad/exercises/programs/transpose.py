"""The shapes fit, and the gradient is wrong.

y = x W^T. With as many rows in x as features, no shape complains. By finite differences the
gradient of W is another one.
"""

import numpy as np


def forward(x, W):
    """x has the shape (N, D), W (H, D); y has (N, H)."""
    return x @ W.T


def gradient_of_W(x, g):
    """g is the gradient of y, of shape (N, H); that of W has the shape of W."""
    return x.T @ g


if __name__ == "__main__":
    rng = np.random.default_rng(0)
    x, W, g = (rng.standard_normal((3, 3)) for _ in range(3))
    nudged = W.copy()
    nudged[0, 1] += 1e-6
    by_differences = ((forward(x, nudged) - forward(x, W)) * g).sum() / 1e-6
    print("dL/dW[0, 1]:", gradient_of_W(x, g)[0, 1], "by differences:", by_differences)
