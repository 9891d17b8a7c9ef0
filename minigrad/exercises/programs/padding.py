"""A perplexity that is too good.

Two sentences of 4 and of 2 words lie side by side; the shorter one is padded, and the padding costs
nothing. With a loss of 2 for each real word, the perplexity is e^2 = 7.39. This program says 4.48.
"""

import numpy as np


def perplexity(losses, lengths):
    """The perplexity of N sentences: `losses` in nats, of shape (T, N), 0 in the padding."""
    return float(np.exp(losses.mean()))


if __name__ == "__main__":
    losses = np.array([[2.0, 2.0], [2.0, 2.0], [2.0, 0.0], [2.0, 0.0]])
    print("perplexity:", perplexity(losses, np.array([4, 2])), "and it should be 7.39")
