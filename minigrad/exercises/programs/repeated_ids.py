"""A word that comes twice.

The vector of each word gets the gradients of all places where the word stands. In "the cat the dog"
the word "the" stands twice, and only one of its gradients arrives.
"""

import numpy as np


def gradient_of_embedding(ids, g, vocab_size):
    """The gradient of E, of shape (V, D); g has the shape (T, D), and belongs to E[ids]."""
    dE = np.zeros((vocab_size, g.shape[1]))
    dE[ids] += g
    return dE


if __name__ == "__main__":
    the, cat, dog = 0, 1, 2
    gradient = gradient_of_embedding(np.array([the, cat, the, dog]), np.ones((4, 1)), 3)
    print("the, cat, dog:", gradient[:, 0], "and it should be 2, 1, 1")
