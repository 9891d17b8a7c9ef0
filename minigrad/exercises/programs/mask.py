"""Attention to nothing.

Attention says how much each word of a sentence counts: weights that add up to 1, the softmax of a
score for each word. A sentence of 2 words is padded to 5. The padding must get no attention at all,
whatever the scores are, nan and inf too. Here it gets more than half.
"""

import numpy as np


def attention(scores, real):
    """The weights of T words: `scores` has the shape (T,), `real` says which are no padding."""
    scores = scores * real
    powers = np.exp(scores - scores.max())
    return powers / powers.sum()


if __name__ == "__main__":
    weights = attention(np.array([0.1, 0.2, 9.0, 9.0, 9.0]), np.array([1, 1, 0, 0, 0], bool))
    print("attention to the padding:", weights[2:].sum(), "and it should be 0")
