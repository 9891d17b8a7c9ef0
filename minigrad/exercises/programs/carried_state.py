"""A memory that is lost.

A long text is read in windows. The state at the end of a window is the beginning of the next one:
so the last state is that of a network that has read the whole text at once. Here it is not.
"""

import minigrad as mg
from minigrad import nn


def last_state(rnn, x, size):
    """The state after x, of shape (T, N, D), read in windows of `size` time steps."""
    state = None
    for start in range(0, len(x), size):
        _, after = rnn(x[start : start + size])
        state = after.detach()
    return state


if __name__ == "__main__":
    mg.manual_seed(0)
    rnn, x = nn.RNN(3, 4), mg.randn(12, 1, 3)
    print("in windows:", last_state(rnn, x, 4).numpy().ravel())
    print("at once:   ", rnn(x)[1].numpy().ravel())
