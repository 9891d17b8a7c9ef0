"""A model that is sure, and wrong.

With the logits 0 and 1000 the class 0 has a loss of 1000. This program says inf, and nothing can be
learnt from inf.
"""

import minigrad as mg


def loss(logits, label):
    """The cross-entropy of logits of shape (classes,), where `label` is right."""
    probabilities = mg.softmax(logits, -1)
    return -mg.log(probabilities)[label]


if __name__ == "__main__":
    print("loss:", loss(mg.tensor([0.0, 1000.0]), 0).item(), "and it should be 1000")
