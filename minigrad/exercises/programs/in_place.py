"""A value that changed too soon.

y = 3 tanh(x), so dy/dx = 3 (1 - tanh(x)^2). At x = 0.5 that is 2.359. This program says -2.767.
"""

import numpy as np


class ThreeTanh:
    """y = 3 tanh(x), and its derivative, which needs tanh(x) again."""

    def forward(self, x):
        """y, in the shape of x."""
        self.tanh = np.tanh(x)
        y = self.tanh
        y *= 3
        return y

    def backward(self, g):
        """The gradient of x; g is that of y."""
        return g * 3 * (1 - self.tanh**2)


if __name__ == "__main__":
    op = ThreeTanh()
    op.forward(np.array([0.5]))
    print("dy/dx:", op.backward(np.array([1.0])), "and it should be 2.359")
