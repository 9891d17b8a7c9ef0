"""Large logits.

The probabilities of the logits 1000, 999 and 998 are 0.665, 0.245 and 0.090. This program says nan.
"""

import numpy as np


def softmax(logits):
    """The probabilities of logits of shape (..., classes)."""
    powers = np.exp(logits)
    return powers / powers.sum(-1, keepdims=True)


if __name__ == "__main__":
    print(softmax(np.array([1000.0, 999.0, 998.0])))
