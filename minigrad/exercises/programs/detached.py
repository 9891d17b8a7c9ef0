"""A network that does not learn from the past.

The loss after the last step should tell W_hh about all steps before it. Here the gradient of the
first input is None: nothing reaches it.
"""

import minigrad as mg
from minigrad import nn


def gradient_of_first_input(cell, inputs):
    """How the sum of the last state depends on the first input; each input has the shape (N, D)."""
    first = inputs[0].detach().requires_grad_()
    h = None
    for x in [first, *inputs[1:-1]]:
        h = cell(x, h).detach()
    h = cell(inputs[-1], h)
    h.sum().backward()
    return first.grad


if __name__ == "__main__":
    mg.manual_seed(0)
    print(gradient_of_first_input(nn.RNNCell(2, 3), [mg.randn(1, 2) for _ in range(4)]))
