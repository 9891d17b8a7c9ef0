"""Each time another number.

Dropout makes each number 0 with some probability, anew at each step, so that a model learns not to
rely on a few. Measured twice on the same text, this model has two losses, and both are worse than
what it can do.
"""

import minigrad as mg
from minigrad import nn


def make():
    """A model with dropout."""
    return nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Dropout(0.5), nn.Linear(16, 3))


def evaluate(model, x, labels):
    """The loss of the model on x; afterwards it can go on learning, with dropout."""
    with mg.no_grad():
        loss = mg.cross_entropy(model(x), labels)
    return loss.item()


if __name__ == "__main__":
    mg.manual_seed(0)
    model, x, labels = make(), mg.randn(8, 4), mg.randint(0, 3, (8,))
    print("measured twice:", evaluate(model, x, labels), evaluate(model, x, labels))
